"""Reviewed edit pairs of a dataset, as lessons for its captioner: the differences a model told, and the instruction.

Pairs made by an edit specification are no lessons: their differences are exact values, not words a model should write.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from zcurate.captioner.difference import Difference, Instruction, Side
from zcurate.captioner.difference_asking import PairPack
from zcurate.captioner.packs import load
from zcurate.captioner.training.pairs import pair_conversations
from zcurate.curation.active.review.states import ACCEPTED, State
from zcurate.curation.active.review.tasks import PAIR, Task
from zcurate.curation.errors import DatasetError, SampleError
from zcurate.curation.stage import iter_rows
from zcurate.curation.store import SAMPLES
from zcurate.curation.store.overlay import read_overlay

from .edit_tables import PairSet, Reader, pair_sets
from .lessons import Asking, Lesson
from .originals import picture
from .pair_captions import turned


def pair_lessons(
    url: str, asking: Asking, settled: Mapping[tuple[str, str], tuple[Task, State]]
) -> Iterator[Lesson]:
    """A lesson per pair that was accepted or corrected and that a model described; none where there are no pairs."""
    wanted = {subject for kind, subject in settled if kind == PAIR}
    if not wanted:
        return
    try:
        sets = pair_sets(url)
    except DatasetError:
        return
    directory, family = asking.config.prompts, asking.captioner.family
    pack = PairPack(*(load(name, family, directory) for name in ("pair_analysis", "pair_instruction")))
    for one in sets:
        for shard in one.shards():
            yield from _of_shard(one, shard, wanted, settled, pack)


def _of_shard(
    one: PairSet,
    shard: str,
    wanted: set[str],
    settled: Mapping[tuple[str, str], tuple[Task, State]],
    pack: PairPack,
) -> Iterator[Lesson]:
    told: dict[str, dict[str, Any]] = {}
    for row in one.descriptions(shard):
        told[row["pair_id"]] = row
        told[row["back_id"]] = turned(row)
    reader, parents, contents = one.reader(shard), _parents(one, shard), _contents(one, shard)
    forced = read_overlay((one.parents or one).dataset).forced
    dropped = {i.hex() for i, keep in forced.items() if not keep}
    for row in one.pairs(shard):
        if row["pair_id"] not in wanted:
            continue
        task, state = settled[PAIR, row["pair_id"]]
        keys = (*row["source_keys"], row["target_key"])
        made_from = tuple(sorted({i for key in keys for i in parents.get(key, ())}))
        ids = (tuple(sorted({contents.get(i, i) for i in made_from})), made_from)
        if not made_from:
            yield Lesson(*ids, (), ["difference: picture of unknown origin"])
        elif dropped & set(made_from):
            yield Lesson(*ids, (), ["difference: of a picture that was thrown out"])
        elif row["pair_id"] not in told or len(row["source_keys"]) != 1:
            yield Lesson(*ids, (), ["difference: not described by a model"])
        else:
            yield _lesson(ids, row, told[row["pair_id"]], reader, task, state, pack)


def _lesson(
    ids: tuple[tuple[str, ...], tuple[str, ...]],
    row: Mapping[str, Any],
    told: Mapping[str, Any],
    reader: Reader,
    task: Task,
    state: State,
    pack: PairPack,
) -> Lesson:
    final = {**task.fields, **state.fields}
    if not (final.get("en_short") and final.get("zh_short")):
        return Lesson(*ids, (), ["difference: instruction in one language only"])
    try:
        pictures = [picture(reader.read(key)) for key in (row["source_keys"][0], row["target_key"])]
    except SampleError:
        return Lesson(*ids, (), ["picture cannot be read"])
    source, target = (
        Side(data, told[end]["en"] or "", told[end]["zh"] or "", tuple(told[end]["lettering"]))
        for data, end in zip(pictures, ("source", "target"), strict=True)
    )
    taught, left_out = pair_conversations(
        pack,
        source,
        target,
        told["unchanged"],
        tuple(Difference(**d) for d in told["differences"]),
        Instruction(final["en_short"], final["zh_short"]),
        confirmed=state.outcome == ACCEPTED,
    )
    return Lesson(*ids, taught, left_out, task, state)


def _parents(one: PairSet, shard: str) -> dict[str, tuple[str, ...]]:
    """Key of a picture -> ids (hex) of the samples it was made from."""
    rows = iter_rows(one.dataset.read(SAMPLES, shard, ["key", "parent_ids"]))
    return {row["key"]: tuple(i.hex() for i in row["parent_ids"] or ()) for row in rows}


def _contents(one: PairSet, shard: str) -> dict[str, str]:
    """Sample id -> hash of its bytes, both hex, of the parents; empty where the parents are not at hand."""
    if one.parents is None:
        return {}
    table = one.parents.table(shard, ["profile.content_id"])
    pairs = zip(table["sample_id"].to_pylist(), table["profile.content_id"].to_pylist(), strict=True)
    return {i.hex(): content.hex() for i, content in pairs if content is not None}
