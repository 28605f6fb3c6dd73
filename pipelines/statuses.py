"""Which rows have values that a condition can be asked about: of a file that could not be read, all columns are null."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from zcurate.curation.stage import OK
from zcurate.curation.store import SAMPLES
from zcurate.curation.store.lineage import split_column


def statuses_of(columns: Iterable[str]) -> list[str]:
    """Qualified status columns of the groups that qualified columns are of; `samples` has none."""
    return sorted({f"{group}._status" for group, _ in map(split_column, columns) if group != SAMPLES})


def all_ok(table: pa.Table, columns: Iterable[str]) -> np.ndarray:
    """Rows for which every group of those columns was made, bool [n]; the table holds `statuses_of` them."""
    mask = np.ones(table.num_rows, bool)
    for name in statuses_of(columns):
        mask &= (
            pc.fill_null(pc.equal(table.column(name), OK), False).to_numpy(zero_copy_only=False).astype(bool)
        )
    return mask
