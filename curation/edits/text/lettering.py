"""Everything a maker of groups needs to set texts: layers, experts, names, boxes, reading back."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import xxhash

from ..checks import ACCEPT, REJECT, Verdict
from ..experts import Expert
from ..group import Node
from ..phrases import Names, Referent
from ..scene import Scene
from ..spec import EditSpec, State
from . import boxes, experts, referring
from .degrading import degraded
from .kit import Kit
from .layers import BoxLayer, TextLayer
from .readback import Reader, of_new, read_back
from .referring import OWN_TEXT


@dataclass(frozen=True)
class Lettering:
    """Texts on the pictures of a run.

    Attributes:
        kit: fonts and phrases.
        degraded_share: share of pairs that change nothing but texts which get a twin with the same fault (blur, noise,
            compression) on both sides.
        box_share: share of ordered pairs that change one or two texts which get a source with boxes around them.
        reader: reads new texts back; None to trust the drawing.
        least_read: least share of a new text's characters the reader must find.
    """

    kit: Kit
    box_share: float = 0.3
    reader: Reader | None = None
    least_read: float = 0.8
    degraded_share: float = 0.1
    layer: TextLayer = field(init=False, repr=False)
    _named: deque[tuple[Scene, State, dict[str, Referent]]] = field(
        init=False, repr=False, default_factory=lambda: deque(maxlen=16)
    )

    def __post_init__(self) -> None:
        object.__setattr__(self, "layer", TextLayer(self.kit.book))

    @property
    def layers(self) -> dict[str, Any]:
        """Of every scene that holds texts."""
        return {"text": self.layer, "box": BoxLayer()}

    def assets(self, photo: np.ndarray) -> dict[str, Any]:
        """What the reader finds on the photograph itself, so that no name may mean it."""
        return {} if self.reader is None else {OWN_TEXT: tuple(x.text for x in self.reader.read(photo))}

    def experts(self) -> list[Expert]:
        return experts.text_experts(self.kit, self.layer)

    def opened(self, expert: Expert, order: list[Expert], states: Sequence[State]) -> bool:
        """Whether `expert` had to be put back behind one that first sets the texts it is to change."""
        opener = next((e for e in order if e.name == experts.OPENER), None)
        if expert.name not in experts.NEED_TEXTS or opener is None or any(map(_has_text, states)):
            return False
        order.remove(opener)
        order[:0] = [opener, expert]
        return True

    def start(self, expert: Expert, states: Sequence[State], start: int, rng: np.random.Generator) -> int:
        """Number of the state that `expert` starts from: one that holds texts, if it needs them."""
        holding = [i for i, state in enumerate(states) if _has_text(state)]
        if expert.name not in experts.NEED_TEXTS or not holding:
            return start
        return holding[int(rng.integers(len(holding)))]

    def clear(self, scene: Scene, state: State) -> bool:
        """Whether every text lies free."""
        return experts.clear(scene, state, self.layer)

    def names(self, scene: Scene, source: State, target: State, others: Names) -> Names:
        """Names of texts beside those of other things."""
        return Names(
            {**others.source, **self._names_in(scene, source)},
            {**others.target, **self._names_in(scene, target)},
        )

    def _names_in(self, scene: Scene, state: State) -> dict[str, Referent]:
        """Names in one state, worked out once per version: every version is an end of many pairs."""
        for known_scene, known, names in self._named:
            if known_scene is scene and known is state:
                return names
        names = referring.names_of(scene, state, self.layer)
        self._named.append((scene, state, names))
        return names

    def boxed(self, scene: Scene, nodes: Sequence[Node], seed: int) -> list[tuple[int, Node]]:
        """(number of a node, that node with boxes around texts that another one changes, or with a fault)."""
        rng = np.random.default_rng(xxhash.xxh3_64_intdigest(f"boxes|{seed}|{scene.key}".encode()))
        states = [n.state for n in nodes]
        found = boxes.boxed(scene, states, self.layer, rng, self.box_share)
        found += degraded(states, rng, self.degraded_share)
        return [(i, Node(state, nodes[i].order)) for i, state in found]

    def read(self, scene: Scene, state: State, picture: np.ndarray) -> dict[str, float]:
        """Slot -> share of its text that the reader finds."""
        if self.reader is None:
            return {}
        where = {k: self.layer.patch(v, scene).box for k, v in state.items() if k.startswith("text/")}
        return read_back(self.reader, picture, state, where) if where else {}

    def judged(self, verdict: Verdict, spec: EditSpec, read: Mapping[str, float]) -> Verdict:
        """The verdict with the worst reading of a new text, `read_back`; what cannot be read is rejected."""
        found = of_new(spec, read)
        if not found:
            return verdict
        worst = min(found.values())
        verdict = replace(verdict, scores={**verdict.scores, "read_back": round(worst, 4)})
        if worst < self.least_read and verdict.status == ACCEPT:
            return replace(verdict, status=REJECT, reasons=("unreadable_text",))
        return verdict


def _has_text(state: State) -> bool:
    return any(slot.startswith("text/") for slot in state)
