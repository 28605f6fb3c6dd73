"""Sample lists of training stages: which samples a stage trains on, how often, and on which caption. Plain files: the trainer
knows nothing of how they were made."""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from .errors import SchemaError
from .rows import id_halves
from .storage import Folder


@dataclass(frozen=True, eq=False)
class StageList:
    """Attributes:
    ids: uint64 [n, 2]. A sample that is listed k times comes k times.
    weight: float64 [n], or None: all alike.
    kind: caption kinds by row (None where the stage's own mix decides), or None.
    """

    ids: np.ndarray
    weight: np.ndarray | None = None
    kind: tuple[str | None, ...] | None = None


def read_list(
    path: str | Path, stage: str | None = None, options: Mapping[str, Any] | None = None
) -> StageList:
    """Read a list.

    `.parquet`: columns `sample_id` (16 bytes or 32 hex digits) and, if there, `stage`, `weight`, `caption`: the plan
    that the balance stage leaves in `DATASET/_tables/plan_samples/*/all.parquet`, or one of your own. `.npy`: pairs of
    uint64, as `uids.npy` of an export. Else text: one id of 32 hex digits a line.

    Args:
        path: of a file, or URL. options: of fsspec.
        stage: only rows of this stage, of lists that hold several.

    Raises:
        SchemaError: it cannot be read, lacks `sample_id`, or holds several stages and none is named.
    """
    try:
        data = _read(str(path), options)
        if str(path).endswith(".parquet"):
            return _from_table(pq.read_table(data), path, stage)
        if str(path).endswith(".npy"):
            pairs = np.load(data, allow_pickle=False)
            if pairs.dtype.names and len(pairs.dtype.names) == 2:
                pairs = np.stack([pairs[n] for n in pairs.dtype.names], axis=1)
            if pairs.ndim != 2 or pairs.shape[1] != 2 or pairs.dtype.kind != "u":
                raise SchemaError(f"{path}: {pairs.dtype} {list(pairs.shape)}; pairs of uint64 are wanted")
            return StageList(pairs.astype(np.uint64))
        lines = [line.strip() for line in data.read().decode("utf-8").splitlines() if line.strip()]
        return StageList(id_halves(lines, str(path)))
    except (OSError, ValueError, pa.ArrowException) as error:
        raise SchemaError(f"{path}: cannot be read as a list of samples: {error}") from error


def _read(path: str, options: Mapping[str, Any] | None) -> io.BytesIO:
    folder, _, name = path.rpartition("/")
    here = "." if not path.startswith("/") else ""
    return io.BytesIO(Folder(folder or here, options).read(name))


def _from_table(table: pa.Table, path: str | Path, stage: str | None) -> StageList:
    if "sample_id" not in table.column_names:
        raise SchemaError(f"{path}: lacks the column sample_id; it has {', '.join(table.column_names)}")
    if "stage" in table.column_names:
        stages = sorted(set(table["stage"].to_pylist()), key=str)
        if stage is None and len(stages) > 1:
            raise SchemaError(f"{path}: holds the stages {', '.join(map(str, stages))}; name one")
        if stage is not None:
            table = table.filter(pa.array([s == stage for s in table["stage"].to_pylist()], pa.bool_()))
            if not len(table):
                raise SchemaError(f"{path}: has no stage {stage!r}; it has {', '.join(map(str, stages))}")
    values = table["sample_id"].to_pylist()
    ids = id_halves([v.hex() if isinstance(v, bytes) else v for v in values], str(path))
    weight = None
    if "weight" in table.column_names:
        weight = table["weight"].cast(pa.float64()).fill_null(1.0).to_numpy()
    kind = None
    if "caption" in table.column_names:
        kind = tuple(k.removeprefix("captions.") if k else None for k in table["caption"].to_pylist())
    return StageList(ids, weight, kind)


def find_rows(listed: np.ndarray, ids: np.ndarray) -> np.ndarray:
    """int64: row of each listed id, -1 where there is none. Both uint64 [., 2]."""
    kind = np.dtype([("high", "u8"), ("low", "u8")])
    have = np.ascontiguousarray(ids, np.uint64).view(kind).reshape(-1)
    want = np.ascontiguousarray(listed, np.uint64).view(kind).reshape(-1)
    order = np.lexsort((ids[:, 1], ids[:, 0]))
    at = np.minimum(np.searchsorted(have[order], want), len(have) - 1)
    rows = order[at]
    return np.where(have[rows] == want, rows, -1)
