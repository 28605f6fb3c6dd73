"""One call from a spec to a picture, or to a pair of pictures with everything that is known about it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..checks import Measures, Verdict, judge, measure
from ..group import Node, pair_of
from ..phrases import Names, UnspeakableError, instructions
from ..scene import Scene
from ..spec import EditSpec, State, canonical
from .faults import TextSpecError
from .lettering import Lettering
from .specs import complete, vary


@dataclass(frozen=True)
class Change:
    """The other side of a picture.

    Attributes:
        rgb: (H, W, 3) uint8, the target. state: its state. mask: (H, W) bool, where it may differ.
        instructions: `en_short`, `en_long`, `zh_short`, `zh_long`; empty where the change has no words.
        read: slot -> share of its text that was read back; empty without a reader.
    """

    rgb: np.ndarray
    state: State
    spec: EditSpec
    types: tuple[str, ...]
    mask: np.ndarray
    instructions: Mapping[str, str]
    measures: Measures
    verdict: Verdict
    read: Mapping[str, float]


@dataclass(frozen=True)
class Rendering:
    """A picture with texts.

    Attributes:
        rgb: (H, W, 3) uint8. state: complete items in slots text/0, text/1, ...; degradations in slots pixel/NAME.
        boxes: slot -> (x0, y0, x1, y1) px of its block. lines: slot -> its lines as they were broken.
        change: what the spec's `edit` makes of it; None without.
    """

    rgb: np.ndarray
    state: State
    boxes: Mapping[str, tuple[float, float, float, float]]
    lines: Mapping[str, tuple[str, ...]]
    read: Mapping[str, float]
    change: Change | None


def render(
    spec: Mapping[str, Any], lettering: Lettering, seed: int = 0, photo: np.ndarray | None = None
) -> Rendering:
    """Complete a spec by seed and draw it; the same arguments and fonts give the same pixels.

    Args:
        spec: see `specs.py`; {} has everything drawn by the seed.
        photo: (H, W, 3) uint8 to write on instead of a canvas; its path in the spec is the caller's to open.

    Raises:
        TextSpecError, MissingGlyphError, TextOverflowError, PictureTooSmallError: what cannot be drawn, and why.
    """
    base, state = complete(spec, lettering.kit, seed, photo)
    target: State | None = None
    if spec.get("edit"):
        state, target = vary(lettering.kit, base, state, _slots(spec["edit"]), seed)
    key = hashlib.sha256(f"{seed}|{canonical(dict(spec))}".encode()).hexdigest()
    scene = Scene(key, base, lettering.layers)
    rgb = scene.render(state)
    patches = {k: lettering.layer.patch(v, scene) for k, v in state.items() if k.startswith("text/")}
    return Rendering(
        rgb,
        state,
        {k: p.box for k, p in patches.items()},
        {k: p.lines for k, p in patches.items()},
        lettering.read(scene, state, rgb),
        None if target is None else _changed(scene, lettering, state, target, rgb),
    )


def _changed(scene: Scene, lettering: Lettering, source: State, target: State, before: np.ndarray) -> Change:
    pair = pair_of([Node({}), Node(source), Node(target)], 1, 2)
    if not pair.spec.changes:
        raise TextSpecError("edit: it changes nothing; give a field another value, or null to have one drawn")
    rgb, mask = scene.render(target), scene.mask(pair.spec, source)
    found = measure(before, rgb, mask)
    read = lettering.read(scene, target, rgb)
    verdict = lettering.judged(judge(pair.spec, pair.types, found), pair.spec, read)
    names = lettering.names(scene, source, target, Names())

    def choose(label: str, options: Sequence[str]) -> str:
        drawn = hashlib.sha256(f"{scene.key}|{label}".encode()).digest()
        return options[int.from_bytes(drawn[:8], "big") % len(options)]

    try:
        texts = instructions(pair.spec, source, names, choose)
    except UnspeakableError:
        texts = {}
    return Change(rgb, target, pair.spec, pair.types, mask, texts, found, verdict, read)


def _slots(edit: Any) -> dict[str, Any]:
    """`edit` by slot: its keys are numbers of items."""
    if not isinstance(edit, Mapping):
        raise TextSpecError(f"edit: an object of item numbers, not {type(edit).__name__}")
    found: dict[str, Any] = {}
    for number, fields in edit.items():
        if not str(number).isdecimal() or not (fields is None or isinstance(fields, Mapping)):
            raise TextSpecError(
                f"edit: {number!r}: {fields!r}; keys are numbers of items, values objects of fields, or null to remove"
            )
        found[f"text/{int(number)}"] = fields
    return found
