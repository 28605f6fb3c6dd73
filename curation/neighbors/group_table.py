"""The two tables of deduplication: one line a row with its keeper, and the edges."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from ..stage import field_of

UNIQUE, KEEPER = "unique", "keeper"
IDENTICAL_BYTES, IDENTICAL_PIXELS = "identical_bytes", "identical_pixels"
NEAR_DUPLICATE, MIRRORED, ROTATED = "near_duplicate", "mirrored", "rotated"
IN_REFERENCE = "in_reference"
REASONS = (UNIQUE, KEEPER, IDENTICAL_BYTES, IDENTICAL_PIXELS, NEAR_DUPLICATE, MIRRORED, ROTATED, IN_REFERENCE)

GROUPS_SCHEMA = pa.schema(
    [
        field_of("group_id", pa.binary(16), "sample_id of the group's keeper"),
        field_of(
            "keeper_id",
            pa.binary(16),
            "sample the row would be dropped for; itself when kept; of a reference where in_reference",
        ),
        field_of("keep", pa.bool_(), "false when the row repeats its keeper"),
        field_of(
            "sim_to_keeper",
            pa.float32(),
            "cosine to the keeper, one of the two turned or mirrored where the reason says so; 1 for identical samples",
            "cosine",
        ),
        field_of(
            "reason",
            pa.string(),
            f"{', '.join(REASONS)}; mirrored and rotated where only the picture so turned is near",
        ),
        field_of("group_size", pa.int32(), "rows in the group", "samples"),
    ]
)
NEIGHBORS_SCHEMA = pa.schema(
    [
        field_of("src_id", pa.binary(16), "smaller sample_id; of identical samples, the smallest"),
        field_of("dst_id", pa.binary(16), "larger sample_id"),
        field_of("cos", pa.float32(), "cosine of the embeddings, one mirrored where `mirrored`", "cosine"),
        field_of("mirrored", pa.bool_(), "one picture is nearer to the other's mirror image"),
        field_of(
            "orientation",
            pa.int8(),
            "Exif orientation in which the second picture is near the first; 1 as it is, 2 mirrored, 3..8 turned",
        ),
    ]
)


def fixed(column: pa.ChunkedArray) -> tuple[np.ndarray, np.ndarray]:
    """A fixed_size_binary(16) column as bytes S16 (compares as bytes do), and which are valid; null as zeros."""
    chunks, valid = [], []
    for chunk in column.chunks if isinstance(column, pa.ChunkedArray) else [column]:
        data = np.frombuffer(chunk.buffers()[1] or b"", np.uint8)
        data = data[16 * chunk.offset : 16 * (chunk.offset + len(chunk))].reshape(-1, 16).copy()
        ok = chunk.is_valid().to_numpy(zero_copy_only=False)
        data[~ok] = 0
        chunks.append(data)
        valid.append(ok)
    if not chunks:
        return np.zeros(0, "S16"), np.zeros(0, bool)
    return np.concatenate(chunks).reshape(-1).view("S16"), np.concatenate(valid)


def to_fixed(ids: np.ndarray) -> pa.Array:
    """fixed_size_binary(16) of S16 ids."""
    data = np.ascontiguousarray(ids).tobytes()
    return pa.Array.from_buffers(pa.binary(16), len(ids), [None, pa.py_buffer(data)])


def group_table(
    ids: np.ndarray,
    keeper_row: np.ndarray,
    sim: np.ndarray,
    content: tuple[np.ndarray, np.ndarray],
    node_of: np.ndarray,
    facing: np.ndarray,
    reference_ids: np.ndarray,
    in_reference: np.ndarray,
) -> pa.Table:
    """The groups table, rows in the order of `ids`.

    Args:
        ids: S16 [n]; keeper_row: int64 [n], position of each row's keeper; sim: float32 [n].
        content: (S16 [n], bool [n] valid), hashes of the bytes.
        node_of: int64 [n], equal for rows identical in bytes or pixels.
        facing: int8 [n], Exif orientation in which a row is near its keeper; 1 as it is, 2 mirrored.
        reference_ids, in_reference: S16 [n], bool [n]: rows that repeat a sample of a reference, and which.
    """
    values, valid = content
    n = len(ids)
    keep = (keeper_row == np.arange(n)) & ~in_reference
    # A group is a keeper and the rows it stands for: a reference's rows are grouped by the reference.
    keeper_ids = np.where(in_reference, reference_ids, ids[keeper_row]) if n else ids
    counts = np.bincount(keeper_row[~in_reference], minlength=n)
    size = counts[keeper_row]
    if in_reference.any():
        repeated = reference_ids[in_reference]
        _, inverse, counts = np.unique(repeated, return_inverse=True, return_counts=True)
        size[in_reference] = counts[inverse]
    same_node = node_of == node_of[keeper_row]
    same_bytes = np.zeros(n, bool)
    dropped = np.flatnonzero(~keep)
    to = keeper_row[dropped]
    same_bytes[dropped] = valid[dropped] & valid[to] & (values[dropped] == values[to])
    reason = np.select(
        [in_reference, keep & (size == 1), keep, same_bytes, same_node, facing > 2, facing == 2],
        [
            REASONS.index(r)
            for r in (IN_REFERENCE, UNIQUE, KEEPER, IDENTICAL_BYTES, IDENTICAL_PIXELS, ROTATED, MIRRORED)
        ],
        REASONS.index(NEAR_DUPLICATE),
    ).astype(np.int8)
    reasons = pa.DictionaryArray.from_arrays(pa.array(reason), pa.array(REASONS))
    stored = to_fixed(keeper_ids)
    return pa.table(
        [stored, stored, pa.array(keep), pa.array(sim), reasons.cast(pa.string()),
         pa.array(size.astype(np.int32))],
        schema=GROUPS_SCHEMA,
    )  # fmt: skip
