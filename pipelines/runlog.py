"""Run records: `_runs/<time>-<id>.json`, one per run, with everything needed to know what was done."""

from __future__ import annotations

import json
import os
import platform
import secrets
import time
from dataclasses import asdict, dataclass, field
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from pydantic import ValidationError

from zcurate.curation.errors import DatasetError
from zcurate.curation.store import Dataset, Limit

from .recipe import Recipe

_PACKAGES = (
    "zcurate",
    "ray",
    "pyarrow",
    "numpy",
    "torch",
    "pillow",
    "simplejpeg",
    "faiss-cpu",
    "leidenalg",
    "rapidocr",
)


@dataclass
class RunRecord:
    """One run.

    Attributes:
        run_id: `<UTC time>-<random>`; also the file's name.
        recipe: the recipe after all settings were applied.
        folders: group -> folder in this run.
        until: the run ended behind this stage; the recipe is whole all the same.
        state: running | done | failed | drained.
        stages: stage -> counts, seconds and rates.
        exports: directories written, with counts.
    """

    run_id: str
    recipe: dict[str, Any]
    command: str = ""
    limit: dict[str, Any] = field(default_factory=dict)
    until: str | None = None
    engine: str = "ray"
    folders: dict[str, str] = field(default_factory=dict)
    state: str = "running"
    exit_code: int | None = None
    started: str = ""
    seconds: float = 0.0
    versions: dict[str, str] = field(default_factory=dict)
    machine: str = ""
    ingest: dict[str, Any] = field(default_factory=dict)
    stages: dict[str, Any] = field(default_factory=dict)
    quarantined: list[Any] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    events: list[str] = field(default_factory=list)
    exports: list[dict[str, Any]] = field(default_factory=list)
    peak_worker_rss_bytes: int = 0

    @property
    def path(self) -> str:
        return f"_runs/{self.run_id}.json"


def new_record(recipe: Recipe, command: str, engine: str) -> RunRecord:
    ns = time.time_ns()  # read once: names must order as the runs began
    now = time.gmtime(ns // 10**9)
    run_id = f"{time.strftime('%Y%m%dT%H%M%S', now)}{ns // 1_000_000 % 1000:03d}Z-{secrets.token_hex(3)}"
    return RunRecord(
        run_id=run_id,
        recipe=recipe.model_dump(mode="json"),
        command=command,
        engine=engine,
        started=time.strftime("%Y-%m-%dT%H:%M:%SZ", now),
        versions=_versions(),
        machine=f"{platform.system()} {platform.machine()}, Python {platform.python_version()}",
    )


def write_record(dataset: Dataset, record: RunRecord) -> None:
    dataset.storage.put(
        record.path, (json.dumps(asdict(record), indent=1, ensure_ascii=False) + "\n").encode()
    )


def latest_record(dataset: Dataset) -> RunRecord | None:
    """The newest run that had a recipe, or None."""
    for info in reversed(dataset.storage.list("_runs")):
        try:
            return RunRecord(**json.loads(dataset.storage.get(f"_runs/{info.name}")))
        except (ValueError, TypeError):
            continue
    return None


def all_records(dataset: Dataset) -> list[RunRecord]:
    records = []
    for info in dataset.storage.list("_runs"):
        try:
            records.append(RunRecord(**json.loads(dataset.storage.get(f"_runs/{info.name}"))))
        except (ValueError, TypeError):
            continue
    return records


def recorded_recipe(dataset: Dataset) -> Recipe:
    """The recipe of the newest run, with paths inside the dataset following it when it was moved or copied.

    Raises:
        DatasetError: nothing was ever run here, or its record is of another version.
    """
    record = latest_record(dataset)
    if record is None:
        raise DatasetError(
            f"{dataset.storage.url}: nothing was run here yet; start with 'zcurate build RECIPE'"
        )
    return relocated(parse_recipe(record), dataset)


def recorded_limit(dataset: Dataset) -> Limit:
    """The trial-run limit of the newest run."""
    record = latest_record(dataset)
    return Limit(**record.limit) if record and record.limit else Limit()


def parse_recipe(record: RunRecord) -> Recipe:
    """The recipe of a record. Raises DatasetError."""
    try:
        return Recipe.model_validate(record.recipe)
    except ValidationError as e:
        problems = f"{e.error_count()} problems"
        raise DatasetError(f"{record.path}: its recipe is not one of this version ({problems})") from e


def relocated(recipe: Recipe, dataset: Dataset) -> Recipe:
    """The recipe with exports that lie inside the dataset's old place moved to where it is now."""
    old, new = os.path.abspath(recipe.dataset), dataset.storage.url
    exports = []
    for e in recipe.export:
        inside = os.path.relpath(os.path.abspath(e.out), old)
        moved = dataset.storage.local is not None and not inside.startswith("..") and old != new
        exports.append(e.model_copy(update={"out": os.path.join(new, inside)}) if moved else e)
    return recipe.model_copy(update={"dataset": new, "export": exports})


def _versions() -> dict[str, str]:
    found = {}
    for name in _PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
