"""Looking after a dataset: verify, errors, garbage, comparison."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ..errors import DatasetError, ShardInvalidError
from ..stage import ERROR
from .answers import unused_answers
from .dataset import STAGE_CACHES, Dataset
from .index import SUFFIX, GroupIndex
from .lineage import SAMPLES
from .shard import read_table


@dataclass
class VerifyReport:
    """Outcome of reading every shard: `damaged` maps a path to what is wrong with it."""

    shards: int = 0
    rows: int = 0
    bytes: int = 0
    damaged: dict[str, str] = field(default_factory=dict)


def verify(dataset: Dataset) -> VerifyReport:
    """Read every shard in full, past all caches: file digest, pages, row alignment with `samples`."""
    report = VerifyReport()
    rows: dict[str, int] = {}
    for path in group_paths(dataset):
        for info in dataset.storage.list(path):
            if not info.name.endswith(SUFFIX):
                continue
            name = f"{path}/{info.name}"
            report.shards += 1
            report.bytes += info.size_bytes
            try:
                table, meta = read_table(dataset.storage.get(name), name)
            except ShardInvalidError as e:
                report.damaged[name] = str(e)
                dataset.storage.delete(GroupIndex(dataset.storage, path).cache_path)
                continue
            report.rows += len(table)
            if path == SAMPLES:
                rows[meta.shard] = len(table)
            elif not path.startswith("_tables/") and rows.get(meta.shard, len(table)) != len(table):
                report.damaged[name] = (
                    f"{name}: {len(table)} rows, but samples/{meta.shard} has {rows[meta.shard]}; it counts as absent"
                )
    return report


def group_paths(dataset: Dataset) -> list[str]:
    """Every folder that holds shards: samples first, then groups, then side tables."""
    paths = [SAMPLES, *(p for folders in sorted(dataset.groups().items()) for p in folders[1])]
    for name in dataset.storage.folders("_tables"):
        paths += [f"_tables/{name}/{f}" for f in dataset.storage.folders(f"_tables/{name}")]
    return paths


def errors(dataset: Dataset, paths: Iterable[str], shards: Iterable[str]) -> Iterator[pa.Table]:
    """Rows of these shards that ended in an error: group, shard, row, sample_id, error_class, error_message."""
    wanted = set(shards)
    for path in paths:
        metas = dataset.index(path).metas
        for shard in sorted(s for s, m in metas.items() if s in wanted and m.counts.get(ERROR)):
            columns = ["sample_id", "_status", "_error_class", "_error_message"]
            table = dataset.read(path, shard, columns)
            at = np.flatnonzero(pc.equal(table.column("_status"), ERROR).to_numpy())
            if not len(at):
                continue
            bad = table.take(at)
            yield pa.table(
                {
                    "group": pa.array([path.rsplit("/", 1)[0]] * len(at)),
                    "shard": pa.array([shard] * len(at)),
                    "row": pa.array(at),
                    "sample_id": bad.column("sample_id"),
                    "error_class": bad.column("_error_class"),
                    "error_message": bad.column("_error_message"),
                }
            )


def garbage(dataset: Dataset, used_paths: Iterable[str]) -> list[str]:
    """Objects that no recipe in `used_paths` needs: other lineage folders, their caches, answers of other models, dead temp files.

    Args:
        used_paths: group and table folders to keep, as `BoundStage.paths` and `table_path` give them, and
            folders of answers, as `StageSpec.answers` names them.

    Raises:
        DatasetError: nothing is marked as used; collecting then would empty the dataset.
    """
    used = set(used_paths)
    if not used:
        raise DatasetError("gc needs the recipes to keep: without any, everything would be garbage")
    found = []
    for path in group_paths(dataset):
        if path != SAMPLES and path not in used:
            found += [f"{path}/{o.name}" for o in dataset.storage.list(path)]
    live = {GroupIndex(dataset.storage, p).cache_path for p in used | {SAMPLES}}
    found += [f"_index/{o.name}" for o in dataset.storage.list("_index") if f"_index/{o.name}" not in live]
    folders = {p.rsplit("/", 1)[-1] for p in used}
    found += [o for o in dataset.storage.walk(STAGE_CACHES) if o.split("/")[3] not in folders]
    found += unused_answers(dataset.storage, used)
    local = dataset.storage.local
    found += [str(p.relative_to(local)) for p in dataset.storage.temp_files()]
    return found


@dataclass
class GroupDiff:
    """Difference of one column of one group between two datasets."""

    group: str
    column: str
    rows: int
    different: int
    largest: float | None = None


def diff(
    a: Dataset, b: Dataset, pairs: Sequence[tuple[str, str, str]], rtol: float = 1e-5, atol: float = 1e-6
) -> tuple[list[str], list[GroupDiff]]:
    """Compare groups of two datasets, row by row: ids and other values exactly, floats within tolerance.

    Args:
        pairs: (group name, path in `a`, path in `b`).

    Returns:
        Structural differences as sentences, and columns that differ in values.
    """
    notes: list[str] = []
    found: list[GroupDiff] = []
    for group, path_a, path_b in pairs:
        shards_a, shards_b = set(a.index(path_a).metas), set(b.index(path_b).metas)
        if shards_a != shards_b:
            notes.append(f"{group}: shards differ: {', '.join(sorted(shards_a ^ shards_b)[:5])}")
        columns: dict[str, GroupDiff] = {}
        for shard in sorted(shards_a & shards_b):
            ta, tb = a.read(path_a, shard), b.read(path_b, shard)
            if set(ta.column_names) != set(tb.column_names) or len(ta) != len(tb):
                notes.append(f"{group}/{shard}: columns or number of rows differ")
                continue
            for name in ta.column_names:
                if name == "_key":
                    continue
                if ta.column(name).type != tb.column(name).type:
                    types = f"{ta.column(name).type} and {tb.column(name).type}"
                    notes.append(f"{group}/{shard}: column {name!r} is of two types, {types}")
                    continue
                d = columns.setdefault(name, GroupDiff(group, name, 0, 0))
                d.rows += len(ta)
                different, largest = _compare(ta.column(name), tb.column(name), rtol, atol)
                d.different += different
                if largest is not None:
                    d.largest = max(d.largest or 0.0, largest)
        found += [d for d in columns.values() if d.different]
    return notes, found


def _compare(x: pa.ChunkedArray, y: pa.ChunkedArray, rtol: float, atol: float) -> tuple[int, float | None]:
    if x.equals(y):
        return 0, None
    t = x.type
    if pa.types.is_fixed_size_list(t) and pa.types.is_floating(t.value_type):
        vx, vy = (
            np.stack(
                [np.asarray(v if v is not None else [np.nan] * t.list_size, float) for v in c.to_pylist()]
            )
            for c in (x, y)
        )
    elif pa.types.is_floating(t):
        vx, vy = (c.cast(pa.float64()).to_numpy()[:, None] for c in (x, y))
    else:
        return sum(p != q for p, q in zip(x.to_pylist(), y.to_pylist(), strict=True)), None
    gap = np.abs(vx - vy)
    gap[np.isnan(vx) & np.isnan(vy)] = 0
    bad = ~(gap <= atol + rtol * np.abs(vy))
    return int(bad.any(axis=1).sum()), float(np.nanmax(gap))
