"""From partial items to complete ones, by seed: whatever is not said is drawn; what is said stays as it is said.

Only the size gives way, where a text would not fit. Every field has random numbers of its own, so that saying one
leaves the others as they were.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

import numpy as np

from ..color_names import FOCAL
from .canvases import MIN_SIDE_PX
from .contrast import against, luminance
from .faults import PictureTooSmallError, TextError, TextOverflowError, TextSpecError
from .items import DEFAULTS, FIELDS, MAX_SIZE_PX, checked, color_name, hex_of, rgb_of
from .kit import LEAST_PX, Box, Kit
from .phrase_lists import LANGUAGES, language_of

#: Attempts at a place before a text is made smaller, and how much smaller.
_TRIES, _STEP = 12, 0.85
#: Free places of which the calmest is taken.
_CHOICES = 4
#: Ground too varied (see `Kit.unrest`) for texts larger than this share of the shorter side.
_RESTLESS, _LARGE = 0.55, 0.09
#: Sizes as shares of the picture's shorter side, by how often they are drawn.
_SIZES = {
    "tiny": (0.024, 0.04, 1),
    "small": (0.04, 0.06, 1),
    "medium": (0.06, 0.1, 2),
    "large": (0.1, 0.17, 2),
    "huge": (0.17, 0.3, 1),
}
#: Shares of drawn texts of several lines, of turned and of vertical ones (Chinese only), of outlines and shadows.
_LINES, _TURNED, _VERTICAL, _OUTLINED, _SHADED = 0.14, 0.12, 0.22, 0.12, 0.15
#: Longest Chinese text that is set vertically unasked, characters.
_LONGEST_COLUMN = 14


def item(
    partial: Mapping[str, Any],
    kit: Kit,
    photo: np.ndarray,
    rng: np.random.Generator,
    taken: Sequence[Box] = (),
) -> dict[str, Any]:
    """A complete item that can be read and lies within the picture, clear of `taken` boxes.

    Args:
        partial: fields of an item (see `items.py`), none of them needed; `font` may be the name of a family.
        photo: (H, W, 3) uint8, what it is written on.

    Raises:
        TextSpecError: a field is unknown or out of range. MissingGlyphError: no font has the characters.
        TextOverflowError: nothing fits at `LEAST_PX`. PictureTooSmallError. TextError: the color could not be read.
    """
    full = unplaced(partial, kit, photo, rng)
    streams = rng.spawn(2)
    while True:
        if "position" in partial:
            places = [full] if kit.fits(full, photo, taken) else []
        else:
            places = list(islice(_places(full, kit, photo, streams[0], taken), _CHOICES))
        if places:
            # Where the picture is calm a text is read best, and hides least; one that is calm nowhere is made smaller.
            unrest, best = min(((kit.unrest(v, photo), v) for v in places), key=lambda found: found[0])
            large = full["size_px"] > _LARGE * min(photo.shape[:2])
            if unrest <= _RESTLESS or not large or not {"size_px", "position"}.isdisjoint(partial):
                return dressed(partial, best, kit, photo, streams[1])
        full["size_px"] = round(full["size_px"] * _STEP, 1)
        if full["size_px"] < LEAST_PX:
            raise TextOverflowError(
                f"{full['text']!r} does not fit {photo.shape[1]} x {photo.shape[0]} px; shorten or break it"
            )


def unplaced(
    partial: Mapping[str, Any], kit: Kit, photo: np.ndarray, rng: np.random.Generator
) -> dict[str, Any]:
    """An item without a place and a color of its own yet (`color` is black where none is given)."""
    if min(photo.shape[:2]) < MIN_SIDE_PX:
        raise PictureTooSmallError(
            f"{photo.shape[1]} x {photo.shape[0]} px is too small to write on; at least {MIN_SIDE_PX} px"
        )
    if set(partial) - FIELDS:
        raise TextSpecError(
            f"text item: unknown fields {sorted(set(partial) - FIELDS)}; there are {', '.join(sorted(FIELDS))}"
        )
    for field in ("text", "font", "size_px", "color", "position"):
        if field in partial and partial[field] is None:
            raise TextSpecError(f"text item: {field} is null; leave it out to have it drawn")
    streams = rng.spawn(3)
    full = _what(partial, kit, streams[0])
    full |= _how(partial, full, photo, streams[1])
    full["stroke"] = partial.get("stroke")
    full["shadow"] = partial.get("shadow")
    if "shadow" not in partial and streams[2].random() < _SHADED:
        full["shadow"] = shadow(full["size_px"])
    full["color"] = partial.get("color", "#000000")
    # Everything but the place is known: what is out of range is told before a place is sought.
    return checked({**full, "position": partial.get("position", [0.5, 0.5])})


def dressed(
    partial: Mapping[str, Any], placed: dict[str, Any], kit: Kit, photo: np.ndarray, rng: np.random.Generator
) -> dict[str, Any]:
    """A color that can be read there; where the ground is too varied for any, an outline as well."""
    number, outlined = rng.random(), rng.random() < _OUTLINED
    if "color" not in partial:
        names = readable_colors(kit, placed, photo) or ("white", "yellow", "black", "blue", "red")
        placed["color"] = hex_of(FOCAL[names[int(number * len(names))]])
    if "stroke" not in partial and (outlined or not kit.legible(placed, photo)):
        placed["stroke"] = stroke(placed["color"], placed["size_px"])
    if not kit.legible(placed, photo):
        raise TextError(
            f"{placed['text']!r} in {color_name(placed['color'])} could not be read on its ground; "
            "take another color, or leave color or stroke to be drawn"
        )
    return placed


def shadow(size_px: float) -> dict[str, float]:
    """A soft shadow to the lower right, in keeping with the letters."""
    offset = max(1, round(0.06 * size_px))
    return {"dx_px": offset, "dy_px": offset, "blur_px": max(1, round(0.05 * size_px)), "opacity": 0.7}


def stroke(color: str, size_px: float) -> dict[str, Any]:
    """An outline in black or white, whichever stands out from the letters."""
    edge = max(("#000000", "#ffffff"), key=lambda c: against(rgb_of(color), (_light(rgb_of(c)),) * 2))
    return {"width_px": max(1, round(0.06 * size_px)), "color": edge}


def readable_colors(kit: Kit, wanted: Mapping[str, Any], photo: np.ndarray) -> list[str]:
    """Names of colors in which an item would be legible where it stands."""
    ground = kit.ground(wanted, photo)
    return [n for n, rgb in FOCAL.items() if kit.stands_out({**wanted, "color": hex_of(rgb)}, ground)]


def _what(partial: Mapping[str, Any], kit: Kit, rng: np.random.Generator) -> dict[str, Any]:
    """Language, text and a font that has its characters."""
    phrases, choose_text, choose_font = kit.phrases, *rng.spawn(2)
    if not isinstance(partial.get("text", ""), str):
        raise TextSpecError(f"text item: text = {partial['text']!r}; a string")
    lang = partial.get("lang")
    if lang is None:
        lang = language_of(partial["text"]) if "text" in partial else _of(rng, phrases.languages)
    if lang not in LANGUAGES:
        raise TextSpecError(f"text item: lang = {lang!r}; {' or '.join(LANGUAGES)}")
    text = partial["text"] if "text" in partial else _lines(kit, lang, choose_text)
    asked = partial.get("font")
    if asked is None:
        faces = kit.book.covering(text)
        other = phrases.translated(text, lang)
        if other is not None and choose_font.random() < 0.5:
            # A font of both languages, so that a translation can keep it.
            faces = [f for f in faces if not f.missing(other)] or faces
        styles = sorted({f.style_on(text) or "" for f in faces})
        style = _of(choose_font, styles)
        font = _of(choose_font, [f for f in faces if (f.style_on(text) or "") == style]).value(text)
    else:
        if not isinstance(asked, str) and not (
            isinstance(asked, Mapping) and isinstance(asked.get("id"), str)
        ):
            raise TextSpecError(f"text item: font = {asked!r}; the name of a family, or an object with an id")
        face = kit.book.named(asked if isinstance(asked, str) else asked["id"])
        if face.missing(text):
            kit.book.covering(text)  # tells what no font has
            raise TextSpecError(
                f"font {face.family} lacks {face.missing(text)!r} of {text!r}; take another font"
            )
        font = face.value(text) if isinstance(asked, str) else dict(asked)
    return {"lang": lang, "text": text, "font": font}


def _lines(kit: Kit, lang: str, rng: np.random.Generator) -> str:
    """A drawn text; some have two or three short lines."""
    several, count = rng.random() < _LINES, int(rng.integers(2, 4))
    drawn = [kit.phrases.draw(lang, rng)]
    for _ in range(4 * count if several else 0):
        line = kit.phrases.draw(lang, rng)
        if line not in drawn and len(line) <= 20 and len(drawn) < count:
            drawn.append(line)
    return "\n".join(drawn)


def _how(
    partial: Mapping[str, Any], what: Mapping[str, Any], photo: np.ndarray, rng: np.random.Generator
) -> dict[str, Any]:
    """Size, alignment, rotation, direction; drawn whether they are given or not, so that one field moves no other."""
    weights = np.array([w for _, _, w in _SIZES.values()], float)
    low, high, _ = list(_SIZES.values())[int(rng.choice(len(weights), p=weights / weights.sum()))]
    size = max(LEAST_PX + 2, float(rng.uniform(low, high)) * min(photo.shape[:2]))
    degrees = round(float(rng.choice([-1, 1]) * rng.uniform(3, 14)), 1)
    turned, upright = rng.random() < _TURNED, rng.random() < _VERTICAL
    align, width = _of(rng, ("left", "center", "center", "right")), round(float(rng.uniform(0.45, 0.9)), 2)
    text = what["text"]
    ems = max(sum(1.0 if ord(c) >= 0x2E80 else 0.5 for c in line) for line in text.split("\n"))
    upright = upright and "surface" not in partial and may_stand(text)
    drawn = {
        **DEFAULTS,
        "size_px": min(round(size, 1), MAX_SIZE_PX),
        "vertical": upright,
        "rotation": degrees if turned and not partial.get("vertical", upright) else 0,
        "align": align,
        "width": width if ems > 7 else 0.9,
        "light": 0.6 if partial.get("surface") else 0,
    }
    return {k: partial.get(k, v) for k, v in drawn.items()}


def may_stand(text: str) -> bool:
    """Chinese characters only, in one column: other letters lie on their side there, single ones look the same."""
    return 2 <= len(text) <= _LONGEST_COLUMN and all("\u4e00" <= c <= "\u9fff" for c in text)


def _places(
    full: Mapping[str, Any], kit: Kit, photo: np.ndarray, rng: np.random.Generator, taken: Sequence[Box]
) -> Iterator[dict[str, Any]]:
    """The item where it fits: left, middle or right as the anchor says; where the anchor is the middle, anywhere."""
    for _ in range(_TRIES):
        middle, x, y = rng.random() < 0.4, float(rng.uniform(0.08, 0.92)), float(rng.uniform(0.05, 0.95))
        x = {"l": 0.04, "r": 0.96}.get(full["anchor"][0], 0.5 if middle else x)
        placed = {**full, "position": [round(x, 4), round(y, 4)]}
        if kit.fits(placed, photo, taken):
            yield placed


def _light(rgb: tuple[int, int, int]) -> float:
    return float(luminance(np.array(rgb, np.uint8)))


def _of(rng: np.random.Generator, options: Sequence[Any]) -> Any:
    return options[int(rng.integers(len(options)))]
