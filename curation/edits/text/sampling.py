"""From partial specs to complete ones, by seed: whatever is not said is drawn; what is said stays as it is said.

A spec is {canvas: {width_px, height_px, color, to}, items: [item, ...]}; both parts and every field of an item may be
missing (`items.py` tells the fields; `font` may be a family's name). With a photograph the canvas is left out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..color_names import FOCAL
from ..spec import State
from .contrast import FLOOR, against, ground_of, luminance
from .drawing import corners_of
from .faults import PictureTooSmallError, TextError, TextOverflowError, TextSpecError
from .fonts import FontBook
from .items import DEFAULTS, FIELDS, MAX_SIZE_PX, checked, color_name, hex_of, rgb_of
from .phrase_lists import LANGUAGES, Phrases, language_of

#: Smallest side of a picture that is written on, px.
MIN_SIDE_PX = 64
#: Smallest size a text is refitted to, px.
LEAST_PX = 12.0
#: Blocks keep this share of the shorter side from edges and from each other.
MARGIN = 0.02
#: Attempts at a place before a text is made smaller.
_TRIES = 14
_SIZES = {
    "tiny": (0.024, 0.04),
    "small": (0.04, 0.06),
    "medium": (0.06, 0.1),
    "large": (0.1, 0.17),
    "huge": (0.17, 0.3),
}

Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class Kit:
    """What texts are made from: fonts and phrases."""

    book: FontBook
    phrases: Phrases

    def legible(self, item: Mapping[str, Any], photo: np.ndarray) -> bool:
        """Whether an item stands out from the photograph behind it, by its own color or by its outline's."""
        color, stroke = rgb_of(item["color"]), item["stroke"]
        if stroke:
            edge = rgb_of(stroke["color"])
            return against(color, (_light(edge),) * 2) >= FLOOR
        return against(color, ground_of(photo, self.box(item, photo))) >= FLOOR

    def box(self, item: Mapping[str, Any], photo: np.ndarray) -> Box:
        """(x0, y0, x1, y1) of an item's block, px."""
        corners = corners_of(item, self.book, photo.shape)
        return (*corners.min(0), *corners.max(0))

    def fits(self, item: Mapping[str, Any], photo: np.ndarray, taken: Sequence[Box] = ()) -> bool:
        """Whether the block lies in the picture, in the width its lines are given, and clear of other boxes."""
        margin = MARGIN * min(photo.shape[:2])
        x0, y0, x1, y1 = self.box(item, photo)
        inside = x0 >= margin / 2 and y0 >= margin / 2
        inside &= x1 <= photo.shape[1] - margin / 2 and y1 <= photo.shape[0] - margin / 2
        return inside and not any(meet((x0, y0, x1, y1), other, margin) for other in taken)


def meet(a: Box, b: Box, gap_px: float = 0.0) -> bool:
    """Whether two boxes come nearer to each other than a gap."""
    return a[0] - gap_px < b[2] and b[0] - gap_px < a[2] and a[1] - gap_px < b[3] and b[1] - gap_px < a[3]


def canvas(spec: Mapping[str, Any] | None, seed: int) -> np.ndarray:
    """(H, W, 3) uint8: a plain ground, or one that runs from a color to another.

    Args:
        spec: {width_px, height_px, color, to}; what is missing is drawn. `to`: null for a plain ground.

    Raises:
        TextSpecError: an unknown field or one out of range. PictureTooSmallError: below `MIN_SIDE_PX`.
    """
    rng = np.random.default_rng((seed, 1))
    spec = dict(spec or {})
    if set(spec) - {"width_px", "height_px", "color", "to"}:
        raise TextSpecError(
            f"canvas: unknown fields {sorted(set(spec) - {'width_px', 'height_px', 'color', 'to'})}"
        )
    width, height = ((512, 512), (640, 448), (448, 640), (768, 512), (512, 768))[int(rng.integers(5))]
    start = np.array(FOCAL[_of(rng, list(FOCAL))]) * rng.uniform(0.75, 1) + rng.uniform(0, 60)
    end = (
        np.clip(start * rng.uniform(0.6, 0.95) + rng.uniform(0, 30, 3), 0, 255)
        if rng.random() < 0.5
        else None
    )
    try:
        width, height = int(spec.get("width_px", width)), int(spec.get("height_px", height))
        start = np.array(rgb_of(spec["color"])) if "color" in spec else np.clip(start, 0, 255)
        if "to" in spec:
            end = None if spec["to"] is None else np.array(rgb_of(spec["to"]))
    except (TypeError, ValueError) as e:
        raise TextSpecError(f"canvas: {spec}: sizes are numbers, colors #rrggbb ({e})") from e
    if min(width, height) < MIN_SIDE_PX or max(width, height) > 8192:
        raise PictureTooSmallError(f"canvas of {width} x {height} px; sides are {MIN_SIDE_PX} to 8192 px")
    share = np.linspace(0, 1, height)[:, None, None] if end is not None else np.zeros((height, 1, 1))
    rows = start * (1 - share) + (start if end is None else end) * share
    return np.rint(np.broadcast_to(rows, (height, width, 3))).astype(np.uint8)


def complete(
    spec: Mapping[str, Any], kit: Kit, seed: int, photo: np.ndarray | None = None
) -> tuple[np.ndarray, State]:
    """(photo or canvas, state with slots text/0, text/1, ...) of a partial spec.

    Raises:
        TextSpecError, MissingGlyphError, TextOverflowError, PictureTooSmallError: an item that cannot be drawn.
    """
    if set(spec) - {"canvas", "items"}:
        raise TextSpecError(f"spec: unknown fields {sorted(set(spec) - {'canvas', 'items'})}")
    base = canvas(spec.get("canvas"), seed) if photo is None else photo
    rng = np.random.default_rng((seed, 2))
    partials = spec.get("items")
    if partials is None:
        partials = [{}] * int(rng.integers(1, 4))
    state: dict[str, Any] = {}
    for number, partial in enumerate(partials):
        taken = [kit.box(v, base) for v in state.values()]
        state[f"text/{number}"] = item(partial, kit, base, np.random.default_rng((seed, 3, number)), taken)
    return base, state


def vary(
    kit: Kit, photo: np.ndarray, state: State, fields: Mapping[str, Mapping[str, Any]], seed: int = 0
) -> tuple[State, State]:
    """(source, target): the same but for some fields of some slots. A field given as None is drawn anew.

    Where a text no longer fits, both sides get the largest size at which both do, before either is drawn; where the
    font lacks its characters, both get one that has them.

    Raises:
        as `complete`; TextSpecError for a slot that holds no text.
    """
    source, target = dict(state), dict(state)
    for number, (slot, asked) in enumerate(sorted(fields.items())):
        if slot not in state or not slot.startswith("text/"):
            raise TextSpecError(f"slot {slot!r} holds no text; there are {sorted(state)}")
        before = checked(state[slot])
        rng = np.random.default_rng((seed, 4, number))
        drawn = {k for k, v in asked.items() if v is None and k not in ("stroke", "shadow", "surface")}
        given = {k: v for k, v in asked.items() if k not in drawn}
        kept = {k: v for k, v in before.items() if k not in drawn and k not in given}
        if "content" in given:
            given.setdefault("lang", language_of(given["content"]))
        elif "content" in drawn:
            given.setdefault("lang", before["lang"])
        kept.pop("lang", None) if "lang" in given else None
        wanted = {**kept, **given}
        if "content" in wanted and "font" not in given:
            face = kit.book.face(before["font"]["id"])
            if face.missing(wanted["content"]):
                both = kit.book.covering(wanted["content"], before["content"])
                wanted["font"] = before["font"] = _of(rng, both).value
        others = [kit.box(v, photo) for k, v in target.items() if k.startswith("text/") and k != slot]
        after = item(wanted, kit, photo, rng, others if "position" in drawn else (), refit=False)
        if "size_px" not in given:
            before, after = refit_both(kit, photo, before, after)
        elif not kit.fits(after, photo):
            raise TextOverflowError(f"{after['content']!r} does not fit at {after['size_px']} px")
        source[slot], target[slot] = before, after
    return source, target


def refit_both(
    kit: Kit, photo: np.ndarray, before: Mapping[str, Any], after: Mapping[str, Any]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Both items at the largest size, no larger than theirs, at which both fit. Raises TextOverflowError."""
    factor = 1.0
    while True:
        pair = [{**v, "size_px": round(v["size_px"] * factor, 1)} for v in (before, after)]
        if min(v["size_px"] for v in pair) < LEAST_PX and factor < 1:
            raise TextOverflowError(
                f"{after['content']!r} does not fit beside {before['content']!r} at {LEAST_PX} px"
            )
        if all(kit.fits(v, photo) for v in pair):
            return pair[0], pair[1]
        factor *= 0.92


def item(
    partial: Mapping[str, Any],
    kit: Kit,
    photo: np.ndarray,
    rng: np.random.Generator,
    taken: Sequence[Box] = (),
    refit: bool = True,
) -> dict[str, Any]:
    """A complete item that can be read and, with `refit`, lies within the picture clear of `taken` boxes.

    Raises:
        TextSpecError, MissingGlyphError, PictureTooSmallError; TextOverflowError: nothing fits at `LEAST_PX`.
    """
    if min(photo.shape[:2]) < MIN_SIDE_PX:
        raise PictureTooSmallError(
            f"{photo.shape[1]} x {photo.shape[0]} px is too small to write on; at least {MIN_SIDE_PX} px"
        )
    if set(partial) - FIELDS:
        raise TextSpecError(f"text item: unknown fields {sorted(set(partial) - FIELDS)}")
    full = _what(partial, kit, rng)
    full |= _how(partial, full["content"], photo, rng)
    for field, value in (("stroke", None), ("shadow", None)):
        full[field] = partial.get(field, value)
    if "shadow" not in partial and rng.random() < 0.15:
        full["shadow"] = shadow(full["size_px"])
    full["color"] = partial.get("color", "#000000")
    return (
        _placed(partial, full, kit, photo, rng, taken)
        if refit or "position" not in partial
        else _dressed(partial, checked({**full, "position": partial["position"]}), kit, photo, rng)
    )


def shadow(size_px: float) -> dict[str, float]:
    """A soft shadow to the lower right, in keeping with the letters."""
    offset = max(1, round(0.06 * size_px))
    return {"dx_px": offset, "dy_px": offset, "blur_px": max(1, round(0.05 * size_px)), "opacity": 0.7}


def stroke(color: str, size_px: float) -> dict[str, Any]:
    """An outline in black or white, whichever stands out from the letters."""
    edge = max(("#000000", "#ffffff"), key=lambda c: against(rgb_of(color), (_light(rgb_of(c)),) * 2))
    return {"width_px": max(1, round(0.05 * size_px)), "color": edge}


def readable_colors(kit: Kit, wanted: Mapping[str, Any], photo: np.ndarray) -> list[str]:
    """Names of colors in which an item would be legible where it stands."""
    return [n for n, rgb in FOCAL.items() if kit.legible({**wanted, "color": hex_of(rgb)}, photo)]


def _what(partial: Mapping[str, Any], kit: Kit, rng: np.random.Generator) -> dict[str, Any]:
    """Language, content and a font that has its characters."""
    lang = partial.get("lang")
    if lang is None:
        lang = language_of(partial["content"]) if "content" in partial else _of(rng, LANGUAGES)
    if lang not in LANGUAGES:
        raise TextSpecError(f"text item: lang = {lang!r}; en or zh")
    content = partial.get("content") or _of(rng, kit.phrases.texts[lang])
    asked = partial.get("font")
    if asked is None:
        faces = kit.book.covering(content)
        if content in kit.phrases.translations.get(lang, {}):
            # A font of both languages, so that a translation can keep it.
            both = [f for f in faces if not f.missing(kit.phrases.translations[lang][content])]
            faces = both if both and rng.random() < 0.5 else faces
        styles = sorted({f.style or "" for f in faces})
        style = _of(rng, styles)
        font = _of(rng, [f for f in faces if (f.style or "") == style]).value
    else:
        face = kit.book.named(asked if isinstance(asked, str) else asked["id"])
        if face.missing(content):
            kit.book.covering(content)  # tells what no font has
            raise TextSpecError(
                f"font {face.family} lacks {face.missing(content)!r} of {content!r}; take another font"
            )
        font = face.value
    return {"lang": lang, "content": content, "font": font}


def _how(
    partial: Mapping[str, Any], content: str, photo: np.ndarray, rng: np.random.Generator
) -> dict[str, Any]:
    """Size, alignment, rotation, direction; drawn whether they are given or not, so that one field changes no other."""
    low, high = _SIZES[_of(rng, ("tiny", "small", "medium", "medium", "large", "large", "huge"))]
    size = max(LEAST_PX + 2, float(rng.uniform(low, high)) * min(photo.shape[:2]))
    turned = round(float(rng.choice([-1, 1]) * rng.uniform(3, 14)), 1) if rng.random() < 0.12 else 0
    ems = sum(1.0 if ord(c) >= 0x2E80 else 0.5 for c in content)
    drawn = {
        **DEFAULTS,
        "size_px": round(size, 1),
        "rotation": turned,
        "vertical": bool(rng.random() < 0.22),
        "align": _of(rng, ("left", "center", "center", "right")),
        "width": round(float(rng.uniform(0.45, 0.9)), 2) if ems > 7 else 0.9,
        "light": 0,
    }
    if language_of(content) != "zh":
        drawn["vertical"] = False
    if drawn["vertical"] and "rotation" not in partial:
        drawn["rotation"] = 0
    return {k: partial.get(k, v) for k, v in drawn.items()}


def _placed(
    partial: Mapping[str, Any],
    full: dict[str, Any],
    kit: Kit,
    photo: np.ndarray,
    rng: np.random.Generator,
    taken: Sequence[Box],
) -> dict[str, Any]:
    """The item at a free place, made smaller until there is one."""
    size = float(full["size_px"])
    while True:
        for _ in range(_TRIES if "position" not in partial else 1):
            place = _place(full, photo, rng)
            placed = checked(
                {**full, "position": place, **{k: partial[k] for k in ("position",) if k in partial}}
            )
            if kit.fits(placed, photo, taken):
                return _dressed(partial, placed, kit, photo, rng)
        if "size_px" in partial and "position" not in partial and size <= float(partial["size_px"]) * 0.5:
            raise TextOverflowError(f"{full['content']!r} finds no place near {partial['size_px']} px")
        size *= 0.85
        if size < LEAST_PX or size > MAX_SIZE_PX:
            raise TextOverflowError(
                f"{full['content']!r} does not fit {photo.shape[1]} x {photo.shape[0]} px"
            )
        full = {**full, "size_px": round(size, 1)}


def _place(full: Mapping[str, Any], photo: np.ndarray, rng: np.random.Generator) -> list[float]:
    """Left, middle or right as the anchor says, at any height; where the anchor is the middle, anywhere."""
    x = {"l": 0.04, "r": 0.96}.get(full["anchor"][0])
    if x is None:
        x = 0.5 if rng.random() < 0.5 else float(rng.uniform(0.08, 0.92))
    return [round(x, 4), round(float(rng.uniform(0.05, 0.95)), 4)]


def _dressed(
    partial: Mapping[str, Any], placed: dict[str, Any], kit: Kit, photo: np.ndarray, rng: np.random.Generator
) -> dict[str, Any]:
    """A color that can be read there; where the ground is too varied for any, an outline as well."""
    if "color" not in partial:
        names = readable_colors(kit, {**placed, "stroke": None}, photo)
        name = _of(rng, names or ("white", "yellow", "red", "black", "blue"))
        placed["color"] = hex_of(FOCAL[name])
    if "stroke" not in partial and (rng.random() < 0.12 or not kit.legible(placed, photo)):
        placed["stroke"] = stroke(placed["color"], placed["size_px"])
    if not kit.legible(placed, photo) and "color" in partial:
        raise TextError(
            f"{placed['content']!r} in {color_name(placed['color'])} could not be read on its ground; "
            "take another color, or leave the color or the stroke to be drawn"
        )
    return placed


def _light(rgb: tuple[int, int, int]) -> float:
    return float(luminance(np.array(rgb, np.uint8)))


def _of(rng: np.random.Generator, options: Sequence[Any]) -> Any:
    return options[int(rng.integers(len(options)))]
