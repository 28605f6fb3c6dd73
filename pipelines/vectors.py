"""What dedup reads besides its rows: vectors of chosen rows, thumbnails, and samples of other datasets."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from zcurate.curation.embedding.encoder import Encoder
from zcurate.curation.errors import ConfigError, DatasetError
from zcurate.curation.neighbors.group_table import fixed
from zcurate.curation.neighbors.references import References
from zcurate.curation.stage import GlobalInput
from zcurate.curation.store.digest import json_digest

if TYPE_CHECKING:
    from .view import View

VECTOR, THUMB = "embedding.vector", "thumbs.thumb"

#: Thumbnails decoded at a time.
_BATCH = 256


def reference_of(url: str, encoder: str) -> References:
    """The embedded samples of another dataset.

    Raises:
        ConfigError: it was embedded with another encoder, or not at all.
    """
    from .view import open_view

    view = open_view(url)
    if not view.has("embedding"):
        raise ConfigError(f"dedup.against {url}: not embedded; run 'zcurate run embed {url}'")
    theirs = encoder_of(view)
    if theirs != encoder:
        raise ConfigError(
            f"dedup.against {url}: embedded with {theirs}, this dataset with {encoder}; embed both with one encoder"
        )
    ids, blocks = [], []
    for _, table in view.tables([VECTOR]):
        table = table.filter(pc.and_(table["live"], table[VECTOR].is_valid()))
        ids.append(fixed(table["sample_id"])[0])
        blocks.append(_block(table[VECTOR].combine_chunks()))
    return References(url, np.concatenate(ids), np.concatenate(blocks))


def encoder_of(view: View) -> str:
    """Identity of the encoder that made a dataset's embedding."""
    for stage in view.plan.stages:
        if "embedding" in stage.bound.spec.outputs:
            models = stage.bound.spec.models
            return f"{models.get('encoder', '')}@{stage.bound.spec.version}"
    return ""


def reference_digest(url: str) -> str:
    """Of all that a reference's vectors are, so that a changed reference is looked at again."""
    from .view import open_view

    view = open_view(url)
    metas = view.index("embedding").metas if view.has("embedding") else {}
    return json_digest({name: dict(meta.columns) for name, meta in metas.items()})


def read_vectors(
    data: GlobalInput, shards: list[str], lengths: list[int], positions: np.ndarray, dim: int | None
) -> np.ndarray:
    """[m, d] in the dtype stored, of the rows at `positions`; only shards that hold some of them are read.

    Raises:
        DatasetError: a selected row without a vector, or vectors of several lengths.
        ConfigError: not `dim` components.
    """
    out: np.ndarray | None = None
    for shard, places, rows in _shards_of(shards, lengths, positions):
        column = data.read(shard, (VECTOR,))[VECTOR].combine_chunks()
        if column.null_count:
            raise DatasetError(
                f"shard {shard}: {column.null_count} selected rows have no {VECTOR}; run embed again"
            )
        block = _block(column)
        if out is None:
            out = np.empty((len(positions), block.shape[1]), block.dtype)
            if dim not in (None, block.shape[1]):
                raise ConfigError(
                    f"{VECTOR} has {block.shape[1]} dimensions, but the encoder dedup takes it for has {dim}; set "
                    "dedup.encoder to the embedding's own, or dedup.mirror to false"
                )
        if block.shape[1] != out.shape[1]:
            raise DatasetError(
                f"shard {shard}: vectors of {block.shape[1]} dimensions, others have {out.shape[1]}; the encoder "
                "changed half-way: embed all with one"
            )
        out[places] = block[rows]
    if out is None:  # nothing asked for: the shape is that of any shard
        return _block(data.read(shards[0], (VECTOR,))[VECTOR].combine_chunks())[:0]
    return out


def _shards_of(
    shards: list[str], lengths: list[int], positions: np.ndarray
) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    """(shard, places in `positions`, rows in the shard) of every shard that holds some."""
    starts = np.concatenate(([0], np.cumsum(lengths)))
    order = np.argsort(positions, kind="stable")
    ascending = positions[order]
    for shard, start, stop in zip(shards, starts[:-1], starts[1:], strict=True):
        a, b = np.searchsorted(ascending, [start, stop])
        if a < b:
            yield shard, order[a:b], ascending[a:b] - start


def embedded_thumbs(
    encoder: Encoder, data: GlobalInput, shards: list[str], lengths: list[int], positions: np.ndarray
) -> np.ndarray:
    """float32 [m, d]: vectors by another encoder, of the thumbnails of the rows at `positions`."""
    from zcurate.curation.profile.decode import decode

    out = np.empty((len(positions), encoder.dim), np.float32)
    for shard, places, rows in _shards_of(shards, lengths, positions):
        thumbs = data.read(shard, (THUMB,))[THUMB].take(pa.array(rows))
        for at in range(0, len(rows), _BATCH):
            pictures = [decode(t).rgb for t in thumbs[at : at + _BATCH].to_pylist()]
            out[places[at : at + _BATCH]] = encoder.encode_images(pictures)
    return out


def _block(column: pa.FixedSizeListArray) -> np.ndarray:
    return column.flatten().to_numpy(zero_copy_only=False).reshape(-1, column.type.list_size)
