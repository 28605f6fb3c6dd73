"""A text item: the value of a slot `text/K`, checked. Everything its picture depends on, with the scene's photograph.

text        str; "\\n" breaks lines. lang: en | zh
font        {id, family, style, bold, italic}; only `id` is drawn
size_px     em of the font, 6..2000
color       "#rrggbb"
position    [x, y], fractions of the picture's sides, where the anchor lies
anchor      point of the block: l | m | r, then t | m | b
align       left | center | right, of lines in a block
width       lines are broken at this share of the picture's width (of its height where vertical), 0.02..1
rotation    degrees clockwise about the block's middle
vertical    columns of upright characters from right to left
stroke      null or {width_px, color}
shadow      null or {dx_px, dy_px, blur_px, opacity}
surface     null, {kind: quad, corners: [[x, y] x 4]} or {kind: cylinder, bend}: what the whole sheet of text lies on
light       0..1: how far the photograph's light and shade fall on it
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import numpy as np

from ..color_names import name_of
from .faults import TextSpecError
from .phrase_lists import LANGUAGES, unusable

#: Characters of an item's text, at most: a paragraph.
MAX_CHARACTERS = 400
#: What a field is when a complete item does not name it.
DEFAULTS: Mapping[str, Any] = {
    **{"anchor": "mm", "align": "center", "width": 0.9, "rotation": 0, "vertical": False},
    **{"stroke": None, "shadow": None, "surface": None, "light": 0},
}
REQUIRED = ("text", "lang", "font", "size_px", "color", "position")
FIELDS = frozenset((*REQUIRED, *DEFAULTS))
MIN_SIZE_PX, MAX_SIZE_PX = 6.0, 2000.0
COLOR = re.compile(r"#[0-9a-f]{6}")


def checked(item: Mapping[str, Any]) -> dict[str, Any]:
    """A complete item with defaults filled in.

    Raises:
        TextSpecError: names the field that is missing, unknown or out of range.
    """
    if not isinstance(item, Mapping):
        raise TextSpecError(f"a text item is an object, not {type(item).__name__}")
    unknown, missing = sorted(set(item) - FIELDS), [f for f in REQUIRED if f not in item]
    if unknown or missing:
        raise TextSpecError(f"text item: unknown fields {unknown}, missing fields {missing}")
    full = {**DEFAULTS, **item}
    for name, rule in _RULES.items():
        try:
            good = rule(full[name])
        except (KeyError, TypeError, ValueError, IndexError):
            good = False
        if not good:
            raise TextSpecError(f"text item: {name} = {full[name]!r}; {_ASKED[name]}")
    return full


def rgb_of(color: str) -> tuple[int, int, int]:
    """Of `#rrggbb`, 0..255."""
    return int(color[1:3], 16), int(color[3:5], 16), int(color[5:7], 16)


def hex_of(rgb: Any) -> str:
    return "#{:02x}{:02x}{:02x}".format(*(int(c) for c in rgb))


@lru_cache(maxsize=4096)
def color_name(color: str) -> str:
    """The name of `#rrggbb`: a key of `color_names.FOCAL`."""
    name = name_of(np.array([rgb_of(color)], np.uint8))
    assert name is not None  # one pixel bears its name wholly
    return name


def quoted(text: str) -> str:
    """The text as an instruction quotes it, on one line: a space shows where a line ends."""
    return " ".join(text.split("\n"))


def _within(low: float, high: float) -> Any:
    return lambda v: not isinstance(v, bool) and low <= float(v) <= high


def _point(v: Any) -> bool:
    return len(v) == 2 and all(-0.5 <= float(c) <= 1.5 for c in v)


def _stroke(v: Any) -> bool:
    return v is None or (
        set(v) == {"width_px", "color"}
        and 0 < float(v["width_px"]) <= 64
        and bool(COLOR.fullmatch(v["color"]))
    )


def _shadow(v: Any) -> bool:
    return v is None or (
        set(v) == {"dx_px", "dy_px", "blur_px", "opacity"}
        and all(abs(float(v[k])) <= 128 for k in v)
        and 0 <= float(v["opacity"]) <= 1
        and float(v["blur_px"]) >= 0
    )


def _surface(v: Any) -> bool:
    if v is None:
        return True
    if v["kind"] == "cylinder":
        return set(v) == {"kind", "bend"} and 0.05 <= float(v["bend"]) <= 1.2
    return (
        v["kind"] == "quad" and len(v["corners"]) == 4 and all(_point(c) for c in v["corners"]) and _convex(v)
    )


def _convex(v: Any) -> bool:
    corners = np.array(v["corners"], float)
    sides = np.roll(corners, -1, 0) - corners
    after = np.roll(sides, -1, 0)
    return bool((sides[:, 0] * after[:, 1] - sides[:, 1] * after[:, 0] > 1e-3).all())


_RULES: Mapping[str, Any] = {
    "text": lambda v: isinstance(v, str) and unusable(v, MAX_CHARACTERS) is None,
    "lang": lambda v: v in LANGUAGES,
    "font": lambda v: isinstance(v["id"], str),
    "size_px": _within(MIN_SIZE_PX, MAX_SIZE_PX),
    "color": lambda v: bool(COLOR.fullmatch(v)),
    "position": _point,
    "anchor": lambda v: len(v) == 2 and v[0] in "lmr" and v[1] in "tmb",
    "align": lambda v: v in ("left", "center", "right"),
    "width": _within(0.02, 1),
    "rotation": _within(-360, 360),
    "vertical": lambda v: isinstance(v, bool),
    "stroke": _stroke,
    "shadow": _shadow,
    "surface": _surface,
    "light": _within(0, 1),
}
_ASKED = {
    "text": f"1 to {MAX_CHARACTERS} characters, written left to right, without quotation or control marks",
    "lang": "en or zh",
    "font": "an object with the id of a face",
    "size_px": f"{MIN_SIZE_PX:g} to {MAX_SIZE_PX:g}",
    "color": "#rrggbb in lower case",
    "position": "[x, y] as fractions of the sides",
    "anchor": "l, m or r, then t, m or b",
    "align": "left, center or right",
    "width": "0.02 to 1",
    "rotation": "-360 to 360 degrees",
    "vertical": "true or false",
    "stroke": "null or {width_px, color}",
    "shadow": "null or {dx_px, dy_px, blur_px, opacity}",
    "surface": "null, {kind: quad, corners} with the corners clockwise from the upper left, or {kind: cylinder, bend}",
    "light": "0 to 1",
}
