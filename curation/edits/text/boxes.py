"""Colored boxes drawn on sources and absent from targets: `change the text inside the blue box to ...`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..color_names import FOCAL
from ..scene import Scene
from ..spec import State, canonical
from .contrast import against, ground_of
from .items import color_name
from .kit import meet
from .layers import TextLayer

COLORS = ("red", "blue", "green", "yellow", "purple", "orange", "brown", "teal", "pink")
#: Texts boxed at once, at most.
MOST = 2
#: Least contrast of a frame with the ground it is drawn on.
_LEAST = 1.7


def boxed(
    scene: Scene,
    states: Sequence[State],
    layer: TextLayer,
    rng: np.random.Generator,
    share: float,
    most: int = 2,
) -> list[tuple[int, State]]:
    """(number of a state, that state with boxes around what another one changes).

    Args:
        states: versions of one picture. share: of the ordered pairs that change one or two texts, which get boxes.
    """
    # No box bears the color of a text before or after any edit: `make the text in the purple box purple` is no help.
    worn = {color_name(v["color"]) for state in states for k, v in state.items() if k.startswith("text/")}
    found: list[tuple[int, State]] = []
    for i, source in enumerate(states):
        for target in states:
            slots = _changed_texts(source, target)
            if not 0 < len(slots) <= MOST or rng.random() >= share or len(found) >= most:
                continue
            boxes = _around(scene, source, slots, layer, worn, rng)
            if boxes and all(canonical({**source, **boxes}) != canonical(dict(s)) for _, s in found):
                found.append((i, {**source, **boxes}))
    return found


def misplaced(changes: Sequence[Any], source: State, target: State) -> str | None:
    """Why boxes make a pair useless, or None: boxes in the target, or around a text that stays."""
    if any(slot.startswith("box/") for slot in target):
        return "box_in_target"
    boxed_ = {v["around"] for k, v in source.items() if k.startswith("box/")}
    if boxed_ - {c.slot for c in changes}:
        return "idle_box"
    return None


def _changed_texts(source: State, target: State) -> list[str]:
    if any(s.startswith("box/") for s in source):
        return []
    both = [s for s in source if s.startswith("text/") and s in target]
    return [s for s in both if canonical(source[s]) != canonical(target[s])]


def _around(
    scene: Scene,
    state: State,
    slots: Sequence[str],
    layer: TextLayer,
    worn: set[str],
    rng: np.random.Generator,
) -> dict[str, Any] | None:
    """Boxes around some texts; None where one would cut another text or leave the picture."""
    rows, columns = scene.base.shape[:2]
    texts = {k: layer.patch(v, scene).box for k, v in state.items() if k.startswith("text/")}
    result: dict[str, Any] = {}
    for number, slot in enumerate(slots):
        width = max(2, round(min(rows, columns) / 140))
        gap = 2 + width + 0.08 * float(state[slot]["size_px"])
        x0, y0, x1, y1 = texts[slot]
        frame = (int(x0 - gap), int(y0 - gap), int(np.ceil(x1 + gap)), int(np.ceil(y1 + gap)))
        others = [box for k, box in texts.items() if k != slot]
        others += [tuple(b["box"]) for b in result.values()]
        if frame[0] < 0 or frame[1] < 0 or frame[2] > columns or frame[3] > rows:
            return None
        if any(meet(frame, other, 1) for other in others):
            return None
        ground = ground_of(scene.base, frame)
        middle = (sum(ground) / 2,) * 2
        taken = worn | {b["color"] for b in result.values()}
        free = [c for c in COLORS if c not in taken and against(FOCAL[c], middle) >= _LEAST]
        if not free:
            return None
        color = free[int(rng.integers(len(free)))]
        result[f"box/{number}"] = {"color": color, "box": list(frame), "width_px": width, "around": slot}
    return result
