"""All pairs of one picture and its edited versions, with their exact specs.

N edited versions of one real picture give N(N+1) ordered pairs: N forward, N inverse (whose target is the real,
undistorted picture) and N(N-1) from one version to another, which perform several edits at once.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import xxhash

from .spec import EditSpec, State, between, state_key
from .taxonomy import types_of

FORWARD, INVERSE, MIXED = "forward", "inverse", "mixed"


@dataclass(frozen=True)
class Node:
    """A version of the picture. `order`: slots in the order in which its instruction names them."""

    state: State
    order: tuple[str, ...] = ()


@dataclass(frozen=True)
class Pair:
    """One ordered pair of nodes.

    Attributes:
        source, target: positions in the group's nodes; 0 is the real picture.
        kind: forward, inverse or mixed (between two versions).
        target_is_real: the target is the picture as it came.
    """

    source: int
    target: int
    spec: EditSpec
    kind: str
    types: tuple[str, ...]

    @property
    def target_is_real(self) -> bool:
        return self.target == 0


@dataclass
class Counted:
    """What a group left out: by reason, and by task and reason where the task is known."""

    skipped: Counter[str] = field(default_factory=Counter)
    by_task: dict[str, Counter[str]] = field(default_factory=dict)

    def add(self, reason: str, types: Sequence[str] = (), times: int = 1) -> None:
        self.skipped[reason] += times
        for type_ in types:
            self.by_task.setdefault(type_, Counter())[reason] += times


def expand(
    nodes: Sequence[Node], counted: Counted, most_changes: int = 4, cap: int | None = None, seed: str = ""
) -> Iterator[Pair]:
    """Ordered pairs of a group, forward ones first, then inverse, then mixed.

    Args:
        nodes: the real picture (neutral state) first. Versions of equal state count once; the rest is skipped.
        counted: receives the number of pairs left out by reason: `same_state`, `too_many_changes`, `capped`.
        most_changes: slots a pair may change, boxes that only point at them aside; what changes more could not be said in one instruction.
        cap: pairs of a group at most; mixed pairs give way first, chosen by hash of `seed` and the pair's states.

    Raises:
        ValueError: the first node is not the neutral state, or there are no others.
    """
    if not nodes or any(v is not None for v in nodes[0].state.values()):
        raise ValueError("the first node of a group is the real picture, in its neutral state {}")
    first: dict[str, int] = {}
    for i, node in enumerate(nodes):
        first.setdefault(state_key(node.state), i)
    kept = sorted(first.values())
    whole, left = len(nodes) * (len(nodes) - 1), len(kept) * (len(kept) - 1)
    if whole > left:
        counted.add("same_state", times=whole - left)
    wanted = [(0, i) for i in kept[1:]] + [(i, 0) for i in kept[1:]]
    mixed = [(i, j) for i in kept[1:] for j in kept[1:] if i != j]
    found: list[Pair] = []
    for source, target in [*wanted, *mixed]:
        pair = pair_of(nodes, source, target)
        if sum(not c.slot.startswith("box/") for c in pair.spec.changes) > most_changes:
            counted.add("too_many_changes", pair.types)
        else:
            found.append(pair)
    if cap is not None and len(found) > cap:
        rank = {FORWARD: 0, INVERSE: 1, MIXED: 2}
        found.sort(key=lambda p: (rank[p.kind], _draw(nodes, p, seed)))
        for pair in found[cap:]:
            counted.add("capped", pair.types)
        found = sorted(found[:cap], key=lambda p: (rank[p.kind], p.source, p.target))
    yield from found


def pair_of(nodes: Sequence[Node], source: int, target: int) -> Pair:
    """The pair from one node to another; the target's own order decides how its changes are named."""
    start, end = nodes[source], nodes[target]
    spec = between(start.state, end.state, (*reversed(start.order), *end.order))
    kind = FORWARD if source == 0 else INVERSE if target == 0 else MIXED
    return Pair(source, target, spec, kind, types_of(spec, start.state))


def _draw(nodes: Sequence[Node], pair: Pair, seed: str) -> int:
    keys = f"{seed}|{state_key(nodes[pair.source].state)}|{state_key(nodes[pair.target].state)}"
    return xxhash.xxh3_64_intdigest(keys.encode())
