"""Latents and text features computed before training, as optional column groups beside the shards.

A group is a folder: `features.json` (what made it), `index.parquet` (sample, variant, place, shape), `00000.bin`, ... (raw values).
A latent's variant is the size it was encoded at and the digest of its picture, a text feature's the digest of its text: a
picture or caption that has changed since has no features rather than old ones. A group made by another encoder
is refused.
"""

from __future__ import annotations

import json
import os
import shutil
import uuid
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
import xxhash

from .errors import BadSampleError, DataError, SchemaError, StaleFeaturesError
from .storage import Folder

RECORD_NAME, INDEX_NAME, FORMAT = "features.json", "index.parquet", "zcurate-features"
KINDS = ("latents", "text")
_DTYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}
_SCHEMA = pa.schema(
    [
        ("sample_id", pa.string()),
        ("variant", pa.string()),
        ("file", pa.int32()),
        ("offset", pa.int64()),
        ("shape", pa.list_(pa.int32())),
        ("digest", pa.uint64()),
    ]
)


def fingerprint(facts: Mapping[str, Any]) -> str:
    """Of whatever changes what an encoder gives. 32 hex digits."""
    text = json.dumps(facts, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return xxhash.xxh3_128_hexdigest(text.encode())


def latent_variant(width_px: int, height_px: int, content: str) -> str:
    return f"{width_px}x{height_px}:{content}"


def text_variant(text: str) -> str:
    return xxhash.xxh3_128_hexdigest(text.encode("utf-8", "replace"))


def _key(sample_id: str, variant: str) -> bytes:
    return xxhash.xxh3_128_digest(f"{sample_id}\0{variant}".encode("utf-8", "replace"))


class FeatureWriter:
    """Writes a group; it exists once the writer closes without an error.

    Args:
        kind: latents or text. encoder: its fingerprint. dtype: float32, float16 or bfloat16.
    """

    def __init__(
        self, folder: str | Path, kind: str, encoder: str, dtype: str = "bfloat16", file_bytes: int = 1 << 30
    ) -> None:
        if kind not in KINDS or dtype not in _DTYPES:
            raise DataError(
                f"features of kind {kind!r} and dtype {dtype!r}: {KINDS} and {tuple(_DTYPES)} are known"
            )
        self._folder, self._file_bytes = Path(folder), file_bytes
        if self._folder.exists() and any(self._folder.iterdir()):
            raise DataError(f"{folder}: is not empty; features are written into a new folder")
        self._work = self._folder.with_name(f".{self._folder.name}.{uuid.uuid4().hex[:8]}")
        self._work.mkdir(parents=True)
        self._facts = {"format": FORMAT, "version": 1, "kind": kind, "encoder": encoder, "dtype": dtype}
        self._dtype, self._rows = _DTYPES[dtype], []
        self._files, self._out, self._at = 0, None, 0  # type: int, BinaryIO | None, int

    def __enter__(self) -> FeatureWriter:
        return self

    def add(self, sample_id: str, variant: str, values: torch.Tensor) -> None:
        """Values of a sample's variant, once."""
        values = values.detach().to("cpu", self._dtype).contiguous()
        data = values.view(torch.uint8).numpy().tobytes() if values.numel() else b""
        if self._out is None or self._at + len(data) > self._file_bytes:
            if self._out is not None:
                self._out.close()
            self._out, self._at = (self._work / f"{self._files:05d}.bin").open("wb"), 0
            self._files += 1
        self._out.write(data)
        place = {"file": self._files - 1, "offset": self._at, "shape": list(values.shape)}
        self._rows.append(
            {"sample_id": sample_id, "variant": variant, **place, "digest": xxhash.xxh3_64_intdigest(data)}
        )
        self._at += len(data)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._out is not None:
            self._out.close()
        if error is not None:
            shutil.rmtree(self._work, ignore_errors=True)
            return
        pq.write_table(pa.Table.from_pylist(self._rows, _SCHEMA), self._work / INDEX_NAME, compression="zstd")
        record = json.dumps({**self._facts, "samples": len(self._rows)}, indent=1)
        (self._work / RECORD_NAME).write_text(record, encoding="utf-8")
        if self._folder.exists():
            self._folder.rmdir()
        os.replace(self._work, self._folder)


class FeatureStore:
    """A group that is open. Safe from several threads."""

    def __init__(self, folder: Folder, dtype: torch.dtype, index: pa.Table) -> None:
        self._folder, self._dtype = folder, dtype
        ids, variants = (index[name].to_pylist() for name in ("sample_id", "variant"))
        keys = np.frombuffer(b"".join(map(_key, ids, variants)), "S16")
        # Sorted keys take a tenth of the memory of a dict.
        self._order = np.argsort(keys, kind="stable")
        self._keys = keys[self._order]
        self._file, self._offset = (index[n].to_numpy() for n in ("file", "offset"))
        self._shape, self._digest = index["shape"].combine_chunks(), index["digest"].to_numpy()

    def __len__(self) -> int:
        return len(self._keys)

    @classmethod
    def open(
        cls, url: str | Path, kind: str, encoder: str, options: Mapping[str, Any] | None = None
    ) -> FeatureStore:
        """Open a group for the encoder in use.

        Raises:
            StaleFeaturesError: another encoder made it.
            SchemaError: it is no group of this kind.
        """
        folder = Folder(url, options)
        try:
            facts = json.loads(folder.read(RECORD_NAME))
            found = (facts["format"], facts["kind"], facts["dtype"] in _DTYPES)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise SchemaError(f"{url}/{RECORD_NAME}: no stored features: {error!r}") from error
        if found != (FORMAT, kind, True):
            raise SchemaError(
                f"{url}/{RECORD_NAME}: {facts['format']} of {facts['kind']} as {facts['dtype']}; "
                f"{FORMAT} of {kind} is wanted"
            )
        if facts.get("encoder") != encoder:
            raise StaleFeaturesError(
                f"{url}: these {kind} were made by encoder {facts.get('encoder')}, the one in use is {encoder}: "
                "compute them anew, or train with the encoder that made them"
            )
        try:
            with folder.open(INDEX_NAME) as f:
                index = pq.read_table(f, schema=_SCHEMA)
        except (OSError, ValueError, pa.ArrowException) as error:
            raise SchemaError(f"{url}/{INDEX_NAME}: cannot be read: {error}") from error
        return cls(folder, _DTYPES[facts["dtype"]], index)

    def get(self, sample_id: str, variant: str) -> torch.Tensor | None:
        """None where there are none of the sample at this variant. Raises BadSampleError for damaged values."""
        key = np.frombuffer(_key(sample_id, variant), "S16")[0]
        place = int(np.searchsorted(self._keys, key))
        if place == len(self._keys) or self._keys[place] != key:
            return None
        at = int(self._order[place])
        shape = self._shape[at].as_py()
        length = int(np.prod(shape, dtype=np.int64)) * self._dtype.itemsize
        name = f"{int(self._file[at]):05d}.bin"
        data = self._folder.read_range(name, int(self._offset[at]), length)
        if xxhash.xxh3_64_intdigest(data) != int(self._digest[at]):
            raise BadSampleError(
                f"{self._folder.url}/{name}: features of {sample_id} are damaged: compute them anew"
            )
        if not data:
            return torch.empty(shape, dtype=self._dtype)
        return torch.frombuffer(bytearray(data), dtype=self._dtype).reshape(shape)
