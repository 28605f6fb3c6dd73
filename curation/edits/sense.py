"""Which versions and pairs are worth making: exact, but silly or ambiguous ones are left out, each with a reason."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import combinations

import numpy as np

from .checks import changed
from .group import Pair
from .scene import Scene
from .spec import State, Value, canonical
from .text.boxes import misplaced

_COLORLESS = frozenset(("sketch", "emboss", "duotone"))
_COLOR_SLOTS = frozenset(("photometric/temperature", "photometric/saturation"))
#: Styles that leave too little of a photograph to see a change of tone or of a small thing in.
_FLATTENING = frozenset(("sketch", "emboss", "duotone", "posterize", "cartoon", "pixelate"))
#: Kinds that change the look of the whole picture.
_TONES = frozenset(("photometric", "light", "weather", "pixel"))
#: Kinds whose instructions name things and grounds by color.
_NAMED_BY_COLOR = frozenset(("object", "part", "background", "extract", "text", "box"))
#: Kinds that change a place of the picture.
_LOCAL = frozenset(("object", "part", "text"))
#: Share of the smaller of two footprints that may lie in the other.
MAX_OVERLAP = 0.05


def sensible(state: State) -> bool:
    """Whether anybody would want the picture: no sticker on an extracted thing, no two grounds, no unseen colors."""
    kinds = {slot.partition("/")[0] for slot in state}
    if "extract" in kinds and kinds & {"object", "part", "background"}:
        return False
    if kinds & {"extract", "background"} and kinds & {"weather", "light"}:
        return False  # it rains outdoors, not on a backdrop
    if "background" in kinds and "part" in kinds and (state["part/0"] or {}).get("removed"):
        return False
    if _colorless(state) and (any(s in _COLOR_SLOTS for s in state) or kinds & (_NAMED_BY_COLOR | {"light"})):
        return False  # a color nobody could see
    style = state.get("style/0")
    if style is not None and style["name"] in _FLATTENING and kinds & (_TONES - {"pixel"}):
        return False
    if len([s for s in state if s.partition("/")[0] in _TONES | {"style"}]) > 2:
        return False
    faults = [s for s in state if s.startswith("pixel/")]
    return len(faults) <= 1 and not (faults and "style" in kinds)


def silly(pair: Pair, source: State, target: State) -> str | None:
    """Why a pair teaches nothing worth knowing; None where it does."""
    boxes = misplaced(pair.spec.changes, source, target)
    if boxes:
        return boxes
    # A fault is asked for alone, if at all: it is drawn over whatever else was done.
    # One that both sides have alike is no part of the edit.
    faults = any(c.slot.startswith("pixel/") and c.after is not None for c in pair.spec.changes)
    if faults and (pair.kind == "mixed" or len(pair.spec.changes) > 1):
        return "degraded_target"
    if pair.kind != "mixed":
        return None
    slots = {c.slot for c in pair.spec.changes}
    kinds = {s.partition("/")[0] for s in slots}
    if kinds & _LOCAL and "style/0" not in slots and _flattened(source):
        return "unseen_change"
    if "style/0" in slots and kinds & _TONES:
        return "style_and_tones"
    if (
        _colorless(target)
        and slots & {*_COLOR_SLOTS, "photometric/grey"}
        and "photometric/grey" not in target
    ):
        return "unseen_color"  # colorized, then drawn in pencil
    if len([s for s in slots if s.startswith("photometric/")]) + len(slots & {"style/0", "light/0"}) > 2:
        return "too_many_tones"
    if {"extract/0", "background/0"} <= slots:
        return "two_grounds"
    if any(c.slot == "weather/0" and c.before is not None and c.after is not None for c in pair.spec.changes):
        return "two_weathers"
    geometry = [c for c in pair.spec.changes if c.slot.startswith("geometry/")]
    if geometry and len(pair.spec.changes) > 1:
        # What is named as lying on the left lies elsewhere in the turned or cropped picture.
        return "geometry_and_more"
    if geometry and geometry[0].before is not None and geometry[0].after is not None:
        return "two_geometries"
    if "geometry/0" in source and any(
        c.slot.partition("/")[0] in ("object", "part") for c in pair.spec.changes
    ):
        return "geometry_and_more"
    return None


def near_identical(pictures: list[np.ndarray], share: float) -> list[int]:
    """Positions of pictures that differ from an earlier one in less than a share of their pixels.

    A perceptual hash would not do: it is the same for two versions that differ in one small thing. Every second pixel
    of both axes is compared.
    """
    reduced = [np.ascontiguousarray(p[::2, ::2]) for p in pictures]
    found: list[int] = []
    for i, picture in enumerate(reduced):
        for j in range(i):
            if j in found or reduced[j].shape != picture.shape:
                continue
            if float(changed(reduced[j], picture).mean()) < share:
                found.append(i)
                break
    return found


@dataclass
class Overlaps:
    """Where the local changes of a pair meet. Footprints are worked out once per group."""

    scene: Scene
    _known: dict[str, np.ndarray | None] = field(default_factory=dict)

    def ambiguous(self, pair: Pair) -> bool:
        """Do two changes of things touch the same place? Which one is meant, or lies on top, is not said then."""
        local = [c for c in pair.spec.changes if c.slot.partition("/")[0] in _LOCAL]
        if len(local) < 2:
            return False
        masks = [self._joined(c.slot, (c.before, c.after)) for c in local]
        for a, b in combinations([m for m in masks if m is not None], 2):
            smaller = min(np.count_nonzero(a), np.count_nonzero(b))
            if smaller and np.count_nonzero(a & b) > MAX_OVERLAP * smaller:
                return True
        return False

    def _joined(self, slot: str, values: tuple[Value, ...]) -> np.ndarray | None:
        masks = [self._footprint(slot, v) for v in values if v is not None]
        if any(m is None for m in masks):
            return None
        joined = masks[0]
        for mask in masks[1:]:
            joined = joined | mask
        return joined

    def _footprint(self, slot: str, value: Value) -> np.ndarray | None:
        key = f"{slot}|{canonical(value)}"
        if key not in self._known:
            kind, _, name = slot.partition("/")
            # Every fourth pixel of both axes says enough.
            mask = self.scene.layer(kind).footprint(name, value, self.scene)
            self._known[key] = None if mask is None else mask[::4, ::4].copy()
        return self._known[key]


def _flattened(state: State) -> bool:
    style = state.get("style/0")
    return style is not None and style["name"] in _FLATTENING


def _colorless(state: State) -> bool:
    """Shows no colors of its own."""
    style = state.get("style/0")
    return bool(state.get("photometric/grey")) or (style is not None and style["name"] in _COLORLESS)
