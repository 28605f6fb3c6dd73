"""Pairs of several sources: things from other pictures set into a photograph, and pictures joined into one panel.

Both are exact: a composed target is a version of the group that holds the very sprites its other sources show, and a
panel holds its sources pixel for pixel.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import xxhash

from . import phrases_reference
from .checks import ACCEPT, Measures, Verdict
from .library import Library
from .phrases import Choose, Names, place_of
from .rendering.sprites import GROUNDS, shaped
from .spec import EditSpec, State

#: Pictures of a panel lie so far apart, px; a multiple of the model grid.
GAP_PX = 16
#: Pixels of a panel at most.
MAX_PANEL_PX = 2_400_000
#: Height of a picture that shows a sprite alone, px.
SHOWN_PX = 320


@dataclass(frozen=True)
class Reference:
    """One pair of several sources.

    Attributes:
        sources: pictures, in the order of the instruction: numbers of the group's versions, or new pictures.
        target: likewise. base: version whose mask holds what may change in the first source; None: no such.
        spec: JSON of what was done.
    """

    sources: tuple[int | np.ndarray, ...]
    target: int | np.ndarray
    base: int | None
    spec: str
    types: tuple[str, ...]
    instructions: Mapping[str, str]
    measures: Measures
    verdict: Verdict


def references(
    library: Library,
    states: Sequence[State],
    names: Sequence[Names],
    pictures: Sequence[np.ndarray],
    forward: Sequence[tuple[EditSpec, Measures, Verdict] | None],
    seed: str,
    share: float,
) -> list[Reference]:
    """At most one composed picture and one panel of a group.

    Args:
        states, pictures: of the group's versions, the real picture first. names: from the real picture to each.
        forward: spec, measures and verdict of the pair from the real picture to each; None where there is no such pair.
        seed: of all choices. share: of groups that get each of both.
    """

    def choose(label: str, options: Sequence[Any]) -> Any:
        return options[xxhash.xxh3_64_intdigest(f"{seed}|{label}".encode()) % len(options)]

    def wanted(label: str) -> bool:
        return xxhash.xxh3_64_intdigest(f"{seed}|{label}|wanted".encode()) / 2**64 < share

    found: list[Reference] = []
    able = [i for i, pair in enumerate(forward) if pair is not None and _only_sets(states[i])]
    if able and wanted("compose"):
        found.append(_composed(library, choose("compose", able), states, names, forward, choose))
    alike = [i for i, p in enumerate(pictures) if p.shape == pictures[0].shape and not _faulty(states[i])]
    if len(alike) > 1 and wanted("panel"):
        panel = _panel(alike, pictures, choose)
        found += [] if panel is None else [panel]
    return found


def shown(rgba: np.ndarray, ground: str) -> np.ndarray:
    """A sprite alone in the middle of a plain ground: (H, W, 3) uint8, sides multiples of 16 px."""
    sprite = shaped(rgba, {}, min(0.8 * SHOWN_PX, 0.8 * SHOWN_PX * 1.4 * rgba.shape[0] / rgba.shape[1]))
    height, width = sprite.shape[:2]
    columns = max(SHOWN_PX, -(-round(width / 0.8) // 16) * 16)
    canvas = np.broadcast_to(np.array(GROUNDS[ground], np.uint8), (SHOWN_PX, columns, 3)).copy()
    top, left = (SHOWN_PX - height) // 2, (columns - width) // 2
    at = canvas[top : top + height, left : left + width]
    alpha = sprite[..., 3:].astype(np.float32) / 255
    at[:] = np.clip(np.rint(at * (1 - alpha) + sprite[..., :3] * alpha), 0, 255).astype(np.uint8)
    return canvas


def joined(pictures: Sequence[np.ndarray], rows: int, columns: int) -> np.ndarray:
    """Pictures of one size in a grid, row by row, with white between them."""
    white = (0, 0, 0, GAP_PX)
    lines = []
    for r in range(rows):
        line = [
            cv2.copyMakeBorder(
                p, *(white if c + 1 < columns else (0, 0, 0, 0)), cv2.BORDER_CONSTANT, value=(255, 255, 255)
            )
            for c, p in enumerate(pictures[r * columns : (r + 1) * columns])
        ]
        joined_line = np.hstack(line)
        if r + 1 < rows:
            joined_line = cv2.copyMakeBorder(
                joined_line, 0, GAP_PX, 0, 0, cv2.BORDER_CONSTANT, value=(255, 255, 255)
            )
        lines.append(joined_line)
    return np.vstack(lines)


def _composed(
    library: Library,
    number: int,
    states: Sequence[State],
    names: Sequence[Names],
    forward: Sequence[tuple[EditSpec, Measures, Verdict] | None],
    choose: Choose,
) -> Reference:
    spec, measures, verdict = forward[number]  # type: ignore[misc]
    sprites = {item.id: item.sprite.rgba for item in library.items}
    slots = [c.slot for c in spec.changes]
    ground = choose("ground", ("white", "gray", "white"))
    pictures = tuple(shown(sprites[states[number][s]["sprite"]], ground) for s in slots)
    things = [(names[number].target[s], place_of(states[number][s]) or "center") for s in slots]
    return Reference(
        (0, *pictures), number, number, spec.to_json(), ("reference.compose",),
        phrases_reference.compose(things, choose), measures, verdict,
    )  # fmt: skip


def _panel(alike: Sequence[int], pictures: Sequence[np.ndarray], choose: Any) -> Reference | None:
    height, width = pictures[0].shape[:2]
    layouts = [(1, 2), (2, 1), (1, 3), (2, 2)]
    fits = [
        (r, c)
        for r, c in layouts
        if r * c <= len(alike)
        and r * c * height * width <= MAX_PANEL_PX
        and max(r * height, c * width) < 4096
    ]
    if not fits:
        return None
    rows, columns = choose("layout", fits)
    order = sorted(alike, key=lambda i: choose(f"order{i}", range(1 << 16)))[: rows * columns]
    target = joined([pictures[i] for i in order], rows, columns)
    spec = json.dumps({"panel": {"rows": rows, "columns": columns, "gap_px": GAP_PX}}, separators=(",", ":"))
    return Reference(
        tuple(order), target, None, spec, ("reference.panel",),
        phrases_reference.panel(rows, columns, choose),
        Measures(1.0, 255.0, 1.0, None, None, None), Verdict(ACCEPT),
    )  # fmt: skip


def _only_sets(state: State) -> bool:
    """One or two things set in as they are, and nothing else done."""
    values = [v for v in state.values() if v is not None]
    plain = all(s.startswith("object/") for s in state) and not any("hue" in v or "flip" in v for v in values)
    return plain and 1 <= len(values) <= 2 and len({v["sprite"] for v in values}) == len(values)


def _faulty(state: State) -> bool:
    return any(s.startswith(("pixel/", "box/")) for s in state)
