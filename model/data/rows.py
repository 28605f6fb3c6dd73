"""What is known of every sample before it is read: held in memory as columns, about 60 bytes a sample."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import pyarrow as pa

from .errors import SchemaError

#: Sources that an edit may have.
MOST_REFERENCES = 4


@dataclass(frozen=True, eq=False)
class Rows:
    """Columns of n samples.

    Attributes:
        ids: uint64 [n, 2], the halves of the 128-bit sample or pair id.
        shard: int32 [n], into `shards`. start, length: int64 [n]: where its record is in the shard: first byte and bytes
            (WebDataset), or row group and row in it (Parquet).
        picture: int64 [n]: bytes of the picture that the record begins with; 0 where it begins with a tar header.
        block: int64 [n]: what a reader must fetch to get one of them: equal numbers are read together.
        sizes_px: int32 [n, 2] (width, height) of the target as displayed; 0 where unknown.
        references_px: int32 [n, 4, 2] of an edit's sources; None for pictures.
        weight: float64 [n], finite and >= 0.
        placeholder: bool [n]: its captions were made by no model. alt_chosen: bool [n]: the text chosen at export is
            the one that came with the picture.
        kinds: names of the kinds of text there are. tokens: uint16 [n, kinds]; 0: the sample has none of the kind
            (of several simulated prompts the longest).
    """

    shards: tuple[str, ...]
    ids: np.ndarray
    shard: np.ndarray
    start: np.ndarray
    length: np.ndarray
    picture: np.ndarray
    block: np.ndarray
    sizes_px: np.ndarray
    references_px: np.ndarray | None
    weight: np.ndarray
    placeholder: np.ndarray
    alt_chosen: np.ndarray
    kinds: tuple[str, ...]
    tokens: np.ndarray

    def __len__(self) -> int:
        return len(self.ids)

    def id_of(self, row: int) -> str:
        return f"{int(self.ids[row, 0]):016x}{int(self.ids[row, 1]):016x}"

    def tokens_of(self, kinds: Sequence[str]) -> np.ndarray:
        """uint16 [n, len(kinds)], 0 for kinds that no sample has."""
        columns = [
            self.tokens[:, self.kinds.index(k)] if k in self.kinds else np.zeros(len(self), np.uint16)
            for k in kinds
        ]
        return np.stack(columns, axis=1)

    def to_arrow(self) -> pa.Table:
        """For the cache of a scan."""
        columns: dict[str, Any] = {
            "id_high": self.ids[:, 0],
            "id_low": self.ids[:, 1],
            "shard": self.shard,
            "start": self.start,
            "length": self.length,
            "picture": self.picture,
            "block": self.block,
            "width_px": self.sizes_px[:, 0],
            "height_px": self.sizes_px[:, 1],
            "weight": self.weight,
            "placeholder": self.placeholder,
            "alt_chosen": self.alt_chosen,
        }
        if self.references_px is not None:
            flat = self.references_px.reshape(len(self), -1)
            columns |= {f"reference_{i}": np.ascontiguousarray(flat[:, i]) for i in range(flat.shape[1])}
        columns |= {f"tokens_{k}": np.ascontiguousarray(self.tokens[:, i]) for i, k in enumerate(self.kinds)}
        facts = {"shards": self.shards, "kinds": self.kinds, "pairs": self.references_px is not None}
        return pa.table({k: np.ascontiguousarray(v) for k, v in columns.items()}).replace_schema_metadata(
            {"rows": json.dumps(facts)}
        )

    @classmethod
    def from_arrow(cls, table: pa.Table) -> Rows:
        facts = json.loads(table.schema.metadata[b"rows"])
        column = {name: table[name].to_numpy() for name in table.column_names}
        references = None
        if facts["pairs"]:
            flat = np.stack([column[f"reference_{i}"] for i in range(2 * MOST_REFERENCES)], axis=1)
            references = flat.reshape(-1, MOST_REFERENCES, 2)
        tokens = [column[f"tokens_{k}"] for k in facts["kinds"]]
        return cls(
            tuple(facts["shards"]),
            np.stack([column["id_high"], column["id_low"]], axis=1),
            *(column[name] for name in ("shard", "start", "length", "picture", "block")),
            np.stack([column["width_px"], column["height_px"]], axis=1),
            references,
            *(column[name] for name in ("weight", "placeholder", "alt_chosen")),
            tuple(facts["kinds"]),
            np.stack(tokens, axis=1) if tokens else np.zeros((len(table), 0), np.uint16),
        )


def id_halves(ids: Sequence[str], where: str) -> np.ndarray:
    """uint64 [n, 2] of ids of 32 hex digits. Raises SchemaError, naming `where`."""
    try:
        raw = bytes.fromhex("".join(ids))
    except (ValueError, TypeError) as error:
        raise SchemaError(f"{where}: ids must be 32 hex digits: {error}") from error
    if len(raw) != 16 * len(ids) or any(len(i) != 32 for i in ids):
        raise SchemaError(f"{where}: ids must be 32 hex digits")
    return np.frombuffer(raw, ">u8").astype(np.uint64).reshape(-1, 2)


@dataclass(frozen=True, eq=False)
class Record:
    """One sample as it is stored.

    Attributes:
        target: bytes of the target picture, references: of the sources of an edit; b"" and () where they were not
            asked for.
        texts: kind -> text, list of texts, or None.
        content: digest of the target's bytes as the export states it; "" where it does not.
    """

    target: bytes
    references: tuple[bytes, ...]
    texts: Mapping[str, Any]
    content: str = ""


class Source(Protocol):
    """An exported data set that is open for training. `unreadable`: samples whose facts could not be read; `first`: why
    the first of them could not."""

    rows: Rows
    name: str
    unreadable: int
    first: str

    def read(self, row: int, pictures: bool = True) -> Record:
        """From any thread. Without `pictures` no more is read than the texts need. Raises BadSampleError where the record is missing, cut short or malformed."""
        ...
