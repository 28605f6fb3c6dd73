"""Texts that people corrected, put into the rows that stages and exports read."""

from __future__ import annotations

from collections.abc import Mapping

import pyarrow as pa

Text = str | tuple[str, ...]


def with_corrections(table: pa.Table, rows: Mapping[int, Mapping[str, Text]], prefix: str = "") -> pa.Table:
    """A table with people's texts in place of the proposed ones.

    A corrected row was written by a person: its `engine` says `human`, and `placeholder` is false; where that column is
    read at all, only what the person wrote is left of a placeholder.

    Args:
        rows: row of the table -> caption column (`en_long`, ..., `zh_tags`) -> text.
        prefix: of the caption columns' names in this table, e.g. `captions.`.
    """
    if not rows:
        return table
    names = table.column_names
    marked = (
        table[f"{prefix}placeholder"].to_pylist() if f"{prefix}placeholder" in names else [False] * len(table)
    )
    for at, full in enumerate(names):
        name = full.removeprefix(prefix)
        caption = name.startswith(("en_", "zh_"))
        if not full.startswith(prefix) or not (caption or name in ("engine", "placeholder")):
            continue
        values, kind = table[full].to_pylist(), table.schema.field(full).type
        for row, fields in rows.items():
            if name == "engine":
                values[row] = "human"
            elif name == "placeholder":
                values[row] = False
            elif name in fields:
                values[row] = fields[name] if isinstance(fields[name], str) else list(fields[name])
            elif marked[row]:
                values[row] = None
        table = table.set_column(at, table.schema.field(full), pa.array(values, kind))
    return table
