"""The identity of a sample: where it is, hashed without opening it."""

from __future__ import annotations

import re
import struct
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import pyarrow as pa
import xxhash

ID_TYPE = pa.binary(16)

_ABSENT = 0xFFFFFFFF
_length = struct.Struct("<I").pack
_offset = struct.Struct("<q").pack


def _field(value: str | None) -> bytes:
    if value is None:
        return _length(_ABSENT)
    data = value.encode("utf-8")
    return _length(len(data)) + data


def sample_id(source: str, uri: str, member: str | None, offset: int | None) -> bytes:
    """xxh3-128 (16 bytes, canonical big-endian) of a sample's place.

    The hashed bytes are unambiguous: each text is its UTF-8 length (4 bytes little-endian, FFFFFFFF
    for null) and its UTF-8 bytes; the offset is 8 bytes little-endian, left out when null.
    """
    tail = b"" if offset is None else _offset(offset)
    return xxhash.xxh3_128_digest(_field(source) + _field(uri) + _field(member) + tail)


def sample_ids(
    source: str,
    uris: Sequence[str],
    members: Iterable[str | None] | None = None,
    offsets: Iterable[int | None] | None = None,
) -> list[bytes]:
    """`sample_id` of many rows of one source; absent columns are null in every row."""
    prefix, digest = _field(source), xxhash.xxh3_128_digest
    if members is None and offsets is None:
        tail, length = _field(None), _length
        encoded = [u.encode("utf-8") for u in uris]
        return [digest(b"".join((prefix, length(len(u)), u, tail))) for u in encoded]
    member_list = [None] * len(uris) if members is None else members
    offset_list = [None] * len(uris) if offsets is None else offsets
    return [sample_id(source, u, m, o) for u, m, o in zip(uris, member_list, offset_list, strict=True)]


class OccurrenceCounter:
    """How often each id came before, in 8 bytes of memory per distinct id.

    Used where one listing may name a file twice (two captions of one image are two samples).
    Sorted runs of 64-bit id prefixes are merged like a log-structured tree; only ids that repeat
    are kept as Python objects. A 64-bit collision merely numbers a row 2 that could have been 1.
    """

    def __init__(self) -> None:
        self._runs: list[np.ndarray] = []
        self._repeated: dict[int, int] = {}

    def count(self, ids: Sequence[bytes]) -> Iterator[tuple[int, int]]:
        """(position, occurrence number >= 2) of the rows of this batch that came before."""
        if not ids:
            return
        heads = np.frombuffer(b"".join(ids), dtype=">u8")[::2].astype(np.uint64)
        ordered = np.sort(heads)
        fresh = np.unique(ordered)
        repeated = np.zeros(len(heads), dtype=bool)
        if len(fresh) != len(heads):
            twice = ordered[1:][ordered[1:] == ordered[:-1]]
            repeated |= np.isin(heads, twice)
        known = np.zeros(len(heads), dtype=bool)
        for run in self._runs:
            known |= _contains(run, heads)
        self._add(fresh)
        for position in np.flatnonzero(repeated | known):
            head = int(heads[position])
            number = self._repeated.get(head, int(known[position])) + 1
            self._repeated[head] = number
            if number > 1:
                yield int(position), number

    def _add(self, run: np.ndarray) -> None:
        self._runs.append(run)
        while len(self._runs) > 1 and len(self._runs[-2]) <= 2 * len(self._runs[-1]):
            last = self._runs.pop()
            self._runs[-1] = np.union1d(self._runs[-1], last)


def _contains(run: np.ndarray, values: np.ndarray) -> np.ndarray:
    at = np.minimum(np.searchsorted(run, values), len(run) - 1)
    return run[at] == values


_UNSAFE_IN_KEY = re.compile(r"[^A-Za-z0-9_/=@+~ \-\u0080-\U0010ffff]")


def tar_safe_key(key: str) -> str:
    """A key as the stem of a WebDataset member: no dots (they end the key), no '..', no odd ASCII.

    Not injective: an exporter adds a number when two keys of one shard become equal.
    """
    parts = [_UNSAFE_IN_KEY.sub("_", p) for p in key.split("/") if p not in {"", ".", ".."}]
    return "/".join(parts) or "_"
