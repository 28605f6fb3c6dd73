"""A stage run on a list of concepts, a row and a shard each: what diagnosis and repair ask about many of them at once."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from .judging import run_stages
from .probe_pictures import slug
from .view import open_view


def about_concepts(
    home: Path,
    stage: str,
    settings: Mapping[str, Any],
    rows: Sequence[Mapping[str, Any]],
    engine: str,
    address: str | None,
) -> tuple[dict[str, dict[str, Any]], dict[str, str]]:
    """Run a stage whose output has a column `concept`; concepts that were done before, with equal rows and no error, are not done again.

    Args:
        home: folder of the list and of its dataset. rows: JSON-able, with `name`; the stage finds them in `samples.metadata`.

    Returns:
        concept -> columns of the stage; and concept -> what was wrong, of those that ended in an error.

    Raises:
        ConfigError, ZcurateError: see `run_stages`.
    """
    listed = home / "concepts" / "concepts.jsonl"
    listed.parent.mkdir(parents=True, exist_ok=True)
    part = listed.with_name(".concepts.part")
    lines = [json.dumps({"path": slug(row["name"]), **row}, ensure_ascii=False) + "\n" for row in rows]
    part.write_text("".join(lines), encoding="utf-8")
    os.replace(part, listed)
    source = {"name": "concepts", "root": str(listed), "kind": "manifest"}
    run_stages(
        home / "dataset", source, {stage: settings}, engine, address, rows_per_shard=1, redo_errors=True
    )
    view = open_view(str(home / "dataset"))
    names = view.schema(stage).names
    columns = ["samples.metadata", f"{stage}._error_message", *(f"{stage}.{n}" for n in names)]
    wanted = {row["name"] for row in rows}
    found: dict[str, dict[str, Any]] = {}
    wrong: dict[str, str] = {}
    for _, table in view.tables(columns):
        for row in table.to_pylist():
            name = json.loads(row["samples.metadata"])["name"]
            if not row["live"] or name not in wanted:
                continue
            if row[f"{stage}._error_message"]:
                wrong[name] = row[f"{stage}._error_message"]
            else:
                found[name] = {n: row[f"{stage}.{n}"] for n in names}
    return found, wrong
