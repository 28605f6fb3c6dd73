"""Side tables: tables of a global stage about the whole dataset, as one object, or in parts with names.

Parts are objects beside the one that lists them, which is put last: a table is what that one says it is.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import pyarrow as pa

from .dataset import Dataset
from .lineage import BoundStage
from .shard import ShardMeta

#: Name of the object that is the table, or lists its parts.
WHOLE = "all"


def commit_table(
    dataset: Dataset,
    bound: BoundStage,
    name: str,
    table: pa.Table | Iterable[tuple[str, pa.Table]],
    inputs: str,
    facts: Mapping[str, Any],
) -> None:
    """Put a side table. Parts are written one at a time, as they come; those of an earlier run go.

    Args:
        table: all rows, or (name of the part, rows).
        inputs: digest of what was read; facts: JSON-able, kept with the whole.
    """
    path, schema = bound.table_path(name), bound.spec.side_tables[name]

    def put(shard: str, rows: pa.Table, facts: Mapping[str, Any]) -> None:
        stage = (bound.stage_facts, bound.fingerprint, bound.lineage)
        meta = ShardMeta(name, shard, *stage, {WHOLE: inputs}, facts=facts)
        dataset.commit(path, rows.cast(schema), meta)

    parts: list[str] = []
    if isinstance(table, pa.Table):
        put(WHOLE, table, dict(facts))
    else:
        for part, rows in table:
            put(part, rows, {})
            parts.append(part)
        put(WHOLE, schema.empty_table(), {**facts, "parts": parts})
    index = dataset.index(path)
    for shard in set(index.metas) - {WHOLE, *parts}:
        dataset.storage.delete(index.shard_path(shard))


def table_is_current(dataset: Dataset, path: str, inputs: Mapping[str, str]) -> bool:
    """Is every part of a side table there, and made from these inputs?"""
    metas = dataset.index(path).metas
    whole = metas.get(WHOLE)
    parts = [WHOLE, *(whole.facts.get("parts", ()) if whole else ())]
    return all(p in metas and dict(metas[p].inputs) == dict(inputs) for p in parts)


def read_parts(dataset: Dataset, path: str, columns: Sequence[str] | None = None) -> Iterator[pa.Table]:
    """The parts of a side table, one at a time; none where it was never made.

    Raises:
        ShardInvalidError: a part is absent or damaged.
    """
    whole = dataset.index(path).metas.get(WHOLE)
    if whole is not None:
        for part in whole.facts.get("parts", [WHOLE]):
            yield dataset.read(path, part, columns)
