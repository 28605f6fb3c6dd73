"""Pictures judged by the stage `judge`, and other stages run on a list of their own: what diagnosis and repair share."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from zcurate.curation.errors import ZcurateError

from .build import BuildOptions, build
from .recipe import build_recipe
from .view import open_view

JUDGE = "judge"
_JUDGED = ("prompt", "concept", "elements", "passes", "literal", "unscored", "tokens_in", "tokens_out")


@dataclass(frozen=True)
class Judged:
    """One picture's row of the stage, with its place."""

    picture: str
    row: Mapping[str, Any]


def judged_pictures(
    folder: Path,
    dataset: Path,
    settings: Mapping[str, Any],
    engine: str,
    address: str | None = None,
    origin: str = "unknown",
) -> list[Judged]:
    """Judge what lies in a folder; what was judged before is not judged again.

    Args:
        dataset: where the verdicts are kept. settings: of the stage `judge`.

    Raises:
        ConfigError: wrong settings. ZcurateError: the stage did not finish.
    """
    source = {"name": "pictures", "root": str(folder), "kind": "folder", "origin": origin}
    run_stages(dataset, source, {JUDGE: dict(settings)}, engine, address)
    return list(judged_rows(dataset))


def run_stages(
    dataset: Path,
    source: Mapping[str, Any],
    stages: Mapping[str, Mapping[str, Any]],
    engine: str,
    address: str | None,
    rows_per_shard: int | None = None,
    redo_errors: bool = False,
) -> None:
    """Bring a dataset of one source up to date. Raises ConfigError, or ZcurateError: a stage did not finish."""
    recipe = build_recipe(
        {
            "name": "diagnosis",
            "dataset": str(dataset),
            "rows_per_shard": rows_per_shard,
            "sources": [dict(source)],
            "stages": {name: dict(settings) for name, settings in stages.items()},
            "report": False,
        },
        f"the run of {', '.join(stages)}",
    )
    options = BuildOptions(engine, address, quiet=True, max_quarantined=1.0, redo_errors=redo_errors)
    outcome = build(recipe, options, "diagnose")
    if outcome.result.failed or not outcome.result.complete:
        raise ZcurateError(
            "; ".join(outcome.result.failed) or "the run was stopped; the same command goes on"
        )


def judged_rows(dataset: Path) -> Iterator[Judged]:
    """Verdicts on the pictures that are still listed and could be judged."""
    view = open_view(str(dataset))
    for _, table in view.tables(["samples.uri", f"{JUDGE}._status", *(f"{JUDGE}.{c}" for c in _JUDGED)]):
        for row in table.to_pylist():
            if row["live"] and row[f"{JUDGE}._status"] == "ok":
                yield Judged(row["samples.uri"], {c: row[f"{JUDGE}.{c}"] for c in _JUDGED})
