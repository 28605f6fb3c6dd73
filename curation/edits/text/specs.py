"""Whole specs: pictures with texts from partial items, and pairs that are the same but for what is said.

A spec is {canvas: {width_px, height_px, color, to} or photo: path, items: [item, ...], edit: {number: item or null},
degrade: {blur | noise | jpeg | downscale: strength}}. Every part and every field of an item may be missing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ..spec import State
from .canvases import canvas
from .faults import TextError, TextOverflowError, TextSpecError
from .items import checked
from .kit import LEAST_PX, Box, Kit
from .phrase_lists import language_of
from .sampling import dressed, item, unplaced

#: Attempts at drawing other values.
_REDRAWN = 12
PARTS = frozenset(("canvas", "photo", "items", "edit", "degrade"))
#: Degradations of both sides alike: name -> (least, largest) strength of the slot `pixel/NAME`.
DEGRADE = {"blur": (0.3, 12.0), "noise": (0.5, 60.0), "jpeg": (0.01, 1.0), "downscale": (1.1, 8.0)}
#: Texts of one picture, at most.
MOST_ITEMS = 24


def complete(
    spec: Mapping[str, Any], kit: Kit, seed: int, photo: np.ndarray | None = None
) -> tuple[np.ndarray, State]:
    """(photo or canvas as (H, W, 3) uint8, state with slots text/0, text/1, ...) of a partial spec.

    Raises:
        TextSpecError, MissingGlyphError, TextOverflowError, PictureTooSmallError: what cannot be drawn, and why.
    """
    if not isinstance(spec, Mapping):
        raise TextSpecError(f"a spec is an object, not {type(spec).__name__}")
    if set(spec) - PARTS:
        raise TextSpecError(
            f"spec: unknown fields {sorted(set(spec) - PARTS)}; there are {', '.join(sorted(PARTS))}"
        )
    if photo is not None and "canvas" in spec:
        raise TextSpecError("spec: a canvas and a photograph; give one of both")
    faults = _degraded(spec.get("degrade") or {}, seed)
    partials = spec.get("items")
    if partials is not None and (not isinstance(partials, list) or len(partials) > MOST_ITEMS):
        raise TextSpecError(f"spec: items is a list of at most {MOST_ITEMS} objects")
    base = canvas(spec.get("canvas"), seed) if photo is None else photo
    state: dict[str, Any] = {}
    some = [{}] * int(np.random.default_rng((seed, 2)).integers(1, 4))
    for number, partial in enumerate(some if partials is None else partials):
        if not isinstance(partial, Mapping):
            raise TextSpecError(f"spec: item {number} is an object, not {type(partial).__name__}")
        taken = [kit.box(v, base) for v in state.values()]
        try:
            state[f"text/{number}"] = _completed(partial, kit, base, (seed, 3, number), taken)
        except TextOverflowError:
            if partials is not None or not state:
                raise
            break  # nobody said how many
    return base, state | faults


def _completed(
    partial: Mapping[str, Any], kit: Kit, base: np.ndarray, seed: tuple[int, ...], taken: list[Box]
) -> dict[str, Any]:
    """A complete item; where its text is for the seed to choose, one that fits."""
    # A text at a given place may lie on others: somebody wants it so.
    free = () if "position" in partial else taken
    for attempt in range(1 if "text" in partial else _REDRAWN):
        try:
            return item(partial, kit, base, np.random.default_rng((*seed, attempt)), free)
        except TextOverflowError as e:
            last = e
    raise last


def vary(
    kit: Kit, photo: np.ndarray, state: State, fields: Mapping[str, Mapping[str, Any] | None], seed: int = 0
) -> tuple[State, State]:
    """(source, target): the same but for some fields of some slots.

    Where a text no longer fits, both sides get the largest size at which both do, before either is drawn; where the
    font lacks its characters, both get one that has them.

    Args:
        fields: slot -> fields that are other on the target; `text`, `font`, `color`, `size_px`, `position` and others
            given as None are drawn anew. None for a slot removes its text; a slot that holds none gets one.

    Raises:
        as `complete`.
    """
    source, target = dict(state), dict(state)
    for number, (slot, asked) in enumerate(fields.items()):
        if not slot.startswith("text/"):
            raise TextSpecError(f"slot {slot!r} holds no text; there are {sorted(state)}")
        rng = np.random.default_rng((seed, 4, number))
        if asked is None:
            if slot not in target:
                raise TextSpecError(
                    f"slot {slot!r} holds no text that could be removed; there are {sorted(state)}"
                )
            del target[slot]
            continue
        others = [kit.box(v, photo) for k, v in target.items() if k.startswith("text/") and k != slot]
        if slot not in state:
            drawn = {k: v for k, v in asked.items() if v is not None or k in _NULLABLE}
            target[slot] = item(drawn, kit, photo, rng, others)
        else:
            source[slot], target[slot] = _varied(kit, photo, checked(state[slot]), asked, rng, others)
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
                f"{after['text']!r} does not fit where {before['text']!r} stands, not even at {LEAST_PX:g} px"
            )
        if all(kit.fits(v, photo) for v in pair):
            return pair[0], pair[1]
        factor *= 0.92


#: Fields whose None is a value.
_NULLABLE = frozenset(("stroke", "shadow", "surface"))


def _varied(
    kit: Kit,
    photo: np.ndarray,
    before: dict[str, Any],
    asked: Mapping[str, Any],
    rng: np.random.Generator,
    others: list[Any],
) -> tuple[dict[str, Any], dict[str, Any]]:
    """(before, after) of one text: what is asked and not None is taken, what is asked and None is drawn."""
    drawn = {k for k, v in asked.items() if v is None and k not in _NULLABLE}
    wanted = {k: v for k, v in before.items() if k not in drawn} | {
        k: v for k, v in asked.items() if k not in drawn
    }
    if "text" in asked and "lang" not in asked:
        wanted["lang"] = before["lang"] if asked["text"] is None else language_of(asked["text"])
    lacks = kit.book.face(before["font"]["id"]).missing(wanted.get("text", ""))
    if lacks and "font" not in asked:
        both = kit.book.covering(wanted["text"], before["text"])
        wanted["font"] = before["font"] = both[int(rng.integers(len(both)))].value(before["text"])
    for _ in range(_REDRAWN):
        after = unplaced(wanted, kit, photo, rng)
        if "position" in drawn:
            after = item(wanted, kit, photo, rng, others)
        if drawn and any(after[k] == before[k] for k in drawn - {"color"}):
            continue  # what is drawn anew must be another
        if "size_px" not in asked:
            before, after = refit_both(kit, photo, before, after)
        elif not kit.fits(after, photo):
            if "size_px" in drawn:
                continue
            raise TextOverflowError(f"{after['text']!r} does not fit at {after['size_px']} px")
        if "position" not in drawn:
            after = dressed({**wanted, "stroke": after["stroke"]}, after, kit, photo, rng)
        if "color" not in drawn or after["color"] != before["color"]:
            return before, after
    raise TextError(f"{before['text']!r}: no other {', '.join(sorted(drawn))} was found that fits")


def _degraded(wanted: Mapping[str, Any], seed: int) -> dict[str, Any]:
    """Slots `pixel/NAME` of a picture's degradations; the noise is the same wherever the state is."""
    if not isinstance(wanted, Mapping) or set(wanted) - set(DEGRADE):
        raise TextSpecError(f"degrade = {wanted!r}; an object with some of {', '.join(DEGRADE)}")
    slots: dict[str, Any] = {}
    for name, strength in wanted.items():
        low, high = DEGRADE[name]
        if isinstance(strength, bool) or not isinstance(strength, int | float) or not low <= strength <= high:
            raise TextSpecError(f"degrade: {name} = {strength!r}; {low:g} to {high:g}")
        slots[f"pixel/{name}"] = {"strength": strength, "seed": seed} if name == "noise" else strength
    return slots
