"""The subset format of DataComp: which samples of a pool are selected."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np

UIDS_NAME = "uids.npy"
UID_DTYPE = np.dtype([("f0", "<u8"), ("f1", "<u8")])


def uids_of(sample_ids: Iterable[bytes]) -> np.ndarray:
    """Sorted unique ids as pairs of 64-bit integers.

    DataComp's convention for a 128-bit uid of 32 hex digits: the first 16 digits are `f0`, the last
    16 `f1`; the array is sorted by (f0, f1).

    Args:
        sample_ids: 16 bytes each; the uid is their hex form.

    Returns:
        Shape [n], dtype `UID_DTYPE`.
    """
    ids = list(sample_ids)
    if any(len(i) != 16 for i in ids):
        raise ValueError("sample ids must be 16 bytes long")
    pairs = np.frombuffer(b"".join(ids), dtype=">u8").reshape(-1, 2)
    out = np.empty(len(pairs), dtype=UID_DTYPE)
    out["f0"], out["f1"] = pairs[:, 0], pairs[:, 1]
    return np.unique(out)


def sample_ids_of(uids: np.ndarray) -> list[bytes]:
    """The inverse of `uids_of`."""
    pairs = np.stack([uids["f0"], uids["f1"]], axis=1).astype(">u8")
    return [row.tobytes() for row in pairs]


def write_uids(path: Path, sample_ids: Iterable[bytes]) -> None:
    """Write or replace a DataComp subset file (`numpy.load` reads it without pickle)."""
    temp = path.with_name(f".{path.name}.partial")
    with temp.open("wb") as f:
        np.save(f, uids_of(sample_ids), allow_pickle=False)
    temp.replace(path)


def remove_uids(path: Path, sample_ids: set[bytes]) -> int:
    """Take ids out of a subset file; returns how many it held."""
    ids = sample_ids_of(np.load(path, allow_pickle=False))
    left = [i for i in ids if i not in sample_ids]
    if len(left) < len(ids):
        write_uids(path, left)
    return len(ids) - len(left)
