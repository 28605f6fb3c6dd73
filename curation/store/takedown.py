"""Removing samples for good: from groups, side tables and the sample list itself."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from ..stage import NOT_SELECTED
from .answers import forget_answers
from .dataset import Dataset
from .digest import ID_TYPE
from .lineage import SAMPLES
from .maintenance import group_paths
from .overlay import add_decisions
from .shard import read_table


@dataclass
class TakedownReport:
    """What was removed; `unknown` ids are not in the dataset. `content_ids` may go on a block list, so that copies are refused later."""

    samples: int = 0
    unknown: int = 0
    shards_rewritten: int = 0
    table_rows: int = 0
    content_ids: tuple[bytes, ...] = ()


def take_down(dataset: Dataset, ids: Iterable[bytes], author: str, reason: str) -> TakedownReport:
    """Remove samples from every group folder and side table, and record the decision.

    The rows stay as empty rows without an id, so that no other row moves; the ids themselves
    remain in the decision file alone, which keeps a later ingest from bringing them back. Rows
    whose values name a removed id in an id column
    (`keeper_id`, `group_id`) lose that value until the stage runs again, which it will:
    its inputs have changed.
    """
    wanted = set(ids)
    report = TakedownReport()
    # First the decision: if the rewriting is cut short, the rows are already out of every selection.
    add_decisions(dataset, "takedown", wanted, author, reason)
    content: set[bytes] = set()
    affected: set[str] = set()
    found: set[bytes] = set()
    for path in group_paths(dataset):
        index = dataset.index(path)
        for shard, meta in sorted(index.metas.items()):
            name = f"{path}/{shard}.parquet"
            table = read_table(dataset.storage.get(name), name)[0]
            if path == SAMPLES:
                found.update(wanted.intersection(table.column("sample_id").to_pylist()))
            if path.startswith("_tables/"):
                new, hits = _without_rows(table, wanted)
                report.table_rows += hits
            else:
                new, rows = _blanked(table, wanted, path == SAMPLES)
                hits = len(rows)
                if "content_id" in table.column_names:
                    content.update(
                        c
                        for c in table.column("content_id").take(pa.array(rows, pa.int64())).to_pylist()
                        if c
                    )
                if path == SAMPLES:
                    affected.update([shard] if hits else [])
            if new is not None:
                facts = dict(meta.facts)
                if path == SAMPLES:
                    facts["supersedes"] = max(1, int(facts.get("supersedes", 0)))
                fields = {**meta.__dict__, "facts": facts}
                info, meta = dataset.commit(path, new, type(meta)(**fields))
                index.add(shard, info, meta)
                report.shards_rewritten += 1
        index.save()
    dataset.drop_stage_caches()
    forget_answers(dataset.storage, wanted)
    for path in dataset.storage.temp_files():  # what killed writers left may hold the rows too
        path.unlink(missing_ok=True)
    # Children of a shard are made anew as a whole: what shows a removed parent goes at once.
    for path in list(dataset.storage.walk("_children")):
        if path.rsplit("/", 1)[-1].split(".")[0] in affected or "/_index/" in path:
            dataset.storage.delete(path)
    report.samples, report.unknown = len(found), len(wanted - found)
    report.content_ids = tuple(sorted(content))
    return report


def _blanked(table: pa.Table, wanted: set[bytes], is_samples: bool) -> tuple[pa.Table | None, list[int]]:
    """The table with the wanted rows emptied and mentions of their ids removed; None when untouched."""
    ids = table.column("sample_id").to_pylist()
    rows = [i for i, s in enumerate(ids) if s in wanted]
    blank = np.zeros(len(table), bool)
    blank[rows] = True
    arrays, touched = [], bool(rows)
    for field in table.schema:
        column = table.column(field.name).combine_chunks()
        mask = blank.copy()
        if field.type == ID_TYPE and field.name not in ("_key", "sample_id"):
            mentions = np.array([v in wanted for v in column.to_pylist()], bool)
            touched |= bool(mentions.any())
            mask |= mentions
        value = {"_status": NOT_SELECTED, "op": "tombstone", "supersedes": True}.get(field.name)
        if is_samples and field.name == "origin":
            value = "unknown"
        picked = pa.concat_arrays([column, pa.array([value], field.type)])
        arrays.append(picked.take(pa.array(np.where(mask, len(column), np.arange(len(column))))))
    return (pa.table(arrays, schema=table.schema) if touched else None), rows


def _without_rows(table: pa.Table, wanted: set[bytes]) -> tuple[pa.Table | None, int]:
    """A side table without the rows that name a wanted id."""
    mask = np.zeros(len(table), bool)
    for field in table.schema:
        if field.type == ID_TYPE:
            mask |= np.array([v in wanted for v in table.column(field.name).to_pylist()], bool)
    if not mask.any():
        return None, 0
    return table.filter(pa.array(~mask)), int(mask.sum())
