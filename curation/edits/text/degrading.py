"""The same fault on both sides: pairs of texts on pictures that are blurred, noisy or compressed alike."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..spec import State, between

#: Slot of the fault -> (least, largest) strength: mild ones, in which 24 px letters are still read.
MILD = {
    "pixel/blur": (0.6, 1.4),
    "pixel/noise": (3.0, 10.0),
    "pixel/jpeg": (0.1, 0.55),
    "pixel/downscale": (1.2, 1.7),
}
#: Kinds that come after or instead of such faults.
_NOT_WITH = ("pixel/", "style/", "box/", "geometry/", "extract/")


def degraded(
    states: Sequence[State], rng: np.random.Generator, share: float, most: int = 1
) -> list[tuple[int, State]]:
    """(number of a state, that state with a fault), two and two: both sides of a pair that changes nothing but texts.

    Args:
        states: versions of one picture. share: of the pairs that could get such a twin, which do; at most `most`.
    """
    found: list[tuple[int, State]] = []
    plain = [i for i, s in enumerate(states) if not any(k.startswith(_NOT_WITH) for k in s)]
    for i in plain:
        for j in plain:
            if i >= j or not _texts_only(states[i], states[j]) or rng.random() >= share:
                continue
            if len(found) >= 2 * most:
                return found
            slot = list(MILD)[int(rng.integers(len(MILD)))]
            strength = round(float(rng.uniform(*MILD[slot])), 2)
            # One seed: the grain of both sides is the same.
            seeded = {"strength": strength, "seed": int(rng.integers(2**31))}
            value: Any = seeded if slot == "pixel/noise" else strength
            found += [(n, {**states[n], slot: value}) for n in (i, j)]
    return found


def _texts_only(source: State, target: State) -> bool:
    changes = between(source, target).changes
    return bool(changes) and all(
        c.slot.startswith("text/") and c.before is not None and c.after is not None for c in changes
    )
