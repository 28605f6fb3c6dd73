"""Further texts of samples from a table beside the shards: enhanced prompts, captions of the targets of edits."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from .caption_choice import KIND
from .errors import SchemaError
from .lengths import TextLengths
from .rows import Record, Rows, Source, id_halves
from .scanning import token_counts
from .stage_lists import find_rows

_IDS = ("sample_id", "pair_id")


@dataclass(frozen=True, eq=False)
class WithTexts:
    """A source whose samples have further kinds of text. Those of the table take the place of the shards' own."""

    source: Source
    rows: Rows
    table: pa.Table
    at: np.ndarray  # int64 [n]: row of the table, -1

    @property
    def name(self) -> str:
        return self.source.name

    @property
    def unreadable(self) -> int:
        return self.source.unreadable

    @property
    def first(self) -> str:
        return self.source.first

    @property
    def window_blocks(self) -> int:
        return getattr(self.source, "window_blocks", 64)

    def read(self, row: int, pictures: bool = True) -> Record:
        record = self.source.read(row, pictures)
        if self.at[row] < 0:
            return record
        texts = self.table.slice(int(self.at[row]), 1).to_pylist()[0]
        return replace(record, texts={**record.texts, **{k: v for k, v in texts.items() if v}})


def with_texts(source: Source, path: str | Path, text_lengths: TextLengths) -> WithTexts:
    """Join a Parquet table: `sample_id` or `pair_id` (16 bytes or 32 hex digits), and a column per kind of text
    (`en_enhanced`, `target_zh_long`, ...).

    Raises:
        SchemaError: it cannot be read, has no ids, or no kind of text.
    """
    try:
        table = pq.read_table(path)
    except (OSError, pa.ArrowException) as error:
        raise SchemaError(f"{path}: cannot be read as a table of texts: {error}") from error
    kinds = [name for name in table.column_names if KIND.fullmatch(name)]
    key = next((name for name in _IDS if name in table.column_names), None)
    if key is None or not kinds:
        raise SchemaError(
            f"{path}: wants sample_id or pair_id, and columns such as en_enhanced; it has "
            f"{', '.join(table.column_names)}"
        )
    ids = id_halves([v.hex() if isinstance(v, bytes) else v for v in table[key].to_pylist()], str(path))
    at = find_rows(source.rows.ids, ids) if len(ids) else np.full(len(source.rows), -1)
    rows, there = source.rows, np.flatnonzero(at >= 0)
    tokens, names = [rows.tokens], list(rows.kinds)
    for kind in kinds:
        counts = np.array([token_counts(v, kind, text_lengths) for v in table[kind].to_pylist()], np.uint16)
        if kind not in names:
            names.append(kind)
            tokens.append(np.zeros((len(rows), 1), np.uint16))
        joined = np.concatenate(tokens, axis=1)
        mine = counts[at[there]]
        joined[there, names.index(kind)] = np.where(mine > 0, mine, joined[there, names.index(kind)])
        tokens = [joined]
    joined_rows = replace(rows, kinds=tuple(names), tokens=tokens[0])
    return WithTexts(source, joined_rows, table.select(kinds), at)
