"""What became of the pairs of a dataset, by task: proposed, accepted, rejected, negative, skipped, and why."""

from __future__ import annotations

import heapq
import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import xxhash

from zcurate.curation.edits.checks import ACCEPT, NEGATIVE, REJECT
from zcurate.curation.edits.taxonomy import TASKS

from .edit_tables import PairSet, pair_sets

_COLUMNS = ["pair_id", "group_id", "types", "verdict", "reasons", "kind", "split", "target_is_real"]


@dataclass
class TaskFunnel:
    """One task. A pair of several types counts for each of them.

    Attributes:
        verdicts: accept, reject, negative -> pairs. reasons: (verdict, reason) -> pairs.
        skipped: reason -> pairs that were never made.
        unsuited: reason -> pictures on which its expert found nothing to do.
    """

    verdicts: Counter[str] = field(default_factory=Counter)
    reasons: Counter[tuple[str, str]] = field(default_factory=Counter)
    skipped: Counter[str] = field(default_factory=Counter)
    unsuited: Counter[str] = field(default_factory=Counter)

    @property
    def proposed(self) -> int:
        return sum(self.verdicts.values()) + sum(self.skipped.values())


@dataclass
class PairFunnel:
    """Of all pairs. `skipped` also holds what belongs to no task, e.g. versions of equal state. `refused`: kind of fault
    -> pictures and clips that got no group."""

    tasks: dict[str, TaskFunnel] = field(default_factory=dict)
    verdicts: Counter[str] = field(default_factory=Counter)
    kinds: Counter[str] = field(default_factory=Counter)
    splits: Counter[str] = field(default_factory=Counter)
    skipped: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    groups: int = 0
    versions: int = 0
    targets_real: int = 0
    stages: tuple[str, ...] = ()

    @property
    def pairs(self) -> int:
        return sum(self.verdicts.values())

    def lines(self) -> list[tuple[str, TaskFunnel]]:
        """Tasks in the order of the taxonomy; those without a pair last, by name."""
        order = {t: i for i, t in enumerate(TASKS)}
        return sorted(
            self.tasks.items(), key=lambda t: (not t[1].verdicts, order.get(t[0], len(order)), t[0])
        )

    def plain(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "groups": self.groups,
            "versions": self.versions,
            "pairs": self.pairs,
            **{v: self.verdicts[v] for v in (ACCEPT, REJECT, NEGATIVE)},
            "target_is_real": self.targets_real,
            "kinds": dict(sorted(self.kinds.items())),
            "splits": dict(sorted(self.splits.items())),
            "skipped": dict(self.skipped.most_common()),
            "refused": dict(self.refused.most_common()),
            "tasks": {
                name: {
                    "proposed": task.proposed,
                    **{v: task.verdicts[v] for v in (ACCEPT, REJECT, NEGATIVE)},
                    "reasons": {f"{v}: {r}": n for (v, r), n in task.reasons.most_common()},
                    "skipped": dict(task.skipped.most_common()),
                    "unsuited": dict(task.unsuited.most_common()),
                }
                for name, task in self.lines()
            },
        }


@dataclass(frozen=True, order=True)
class Shown:
    """A pair to show, and where it is. Ordered by chance."""

    luck: int
    pair_id: str
    shard: str = field(compare=False)
    set_at: int = field(compare=False)
    verdict: str = field(compare=False)


def funnel_of_pairs(url: str) -> PairFunnel:
    """Raises DatasetError when the dataset has no pairs."""
    return survey(pair_sets(url), 0)[0]


def survey(sets: list[PairSet], samples: int) -> tuple[PairFunnel, dict[str, list[Shown]]]:
    """The funnel, and per task some accepted pairs and as many others at most, drawn by hash of their ids."""
    funnel = PairFunnel(stages=tuple(s.stage for s in sets))
    drawn: dict[tuple[str, bool], list[tuple[int, Shown]]] = {}
    for at, one in enumerate(sets):
        for shard in one.shards():
            funnel.refused.update(one.refused(shard))
            _add_versions(funnel, one.versions(shard, ["number", "skipped"]))
            for pair in one.pairs(shard, _COLUMNS):
                _add_pair(funnel, pair)
                if not pair["types"]:
                    continue  # frames that were refused before anybody knew what they show
                luck = xxhash.xxh3_64_intdigest(f"shown|{pair['pair_id']}".encode())
                shown = Shown(luck, pair["pair_id"], shard, at, pair["verdict"])
                # Of mixed pairs the first type is shown: a row per combination would be endless.
                heap = drawn.setdefault((pair["types"][0], pair["verdict"] == ACCEPT), [])
                if samples:
                    (heapq.heappush if len(heap) < samples else heapq.heappushpop)(heap, (-luck, shown))
    found: dict[str, list[Shown]] = {}
    for (task, _), heap in sorted(drawn.items(), key=lambda d: (d[0][0], not d[0][1])):
        found.setdefault(task, []).extend(s for _, s in sorted(heap, reverse=True))
    return funnel, found


def _add_pair(funnel: PairFunnel, pair: Mapping[str, Any]) -> None:
    funnel.verdicts[pair["verdict"]] += 1
    funnel.kinds[pair["kind"]] += 1
    funnel.splits[pair["split"]] += 1
    funnel.targets_real += bool(pair["target_is_real"])
    for type_ in pair["types"]:
        task = funnel.tasks.setdefault(type_, TaskFunnel())
        task.verdicts[pair["verdict"]] += 1
        task.reasons.update((pair["verdict"], reason) for reason in pair["reasons"] or ())


def _add_versions(funnel: PairFunnel, versions: Mapping[str, Mapping[str, Any]]) -> None:
    funnel.versions += len(versions)
    for row in versions.values():
        if row["number"] != 0:
            continue
        funnel.groups += 1
        left_out = json.loads(row["skipped"] or "{}")
        reasons = left_out.get("by_reason", left_out if "by_task" not in left_out else {})
        funnel.skipped.update(reasons)
        for name, counts in left_out.get("by_task", {}).items():
            task = funnel.tasks.setdefault(name, TaskFunnel())
            for reason, n in counts.items():
                unsuited = reason.startswith("expert: ")
                (task.unsuited if unsuited else task.skipped)[reason.removeprefix("expert: ")] += n
