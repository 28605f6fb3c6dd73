"""Pairs as training data: WebDataset shards or Parquet files that hold all bytes, and a record of how they were chosen.

The same pairs give the same bytes. Memory holds one sample (WebDataset) or one row group of bounded size (Parquet).
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from ..export.record import RECORD_KIND, RECORD_NAME, RECORD_VERSION, describe, dump_json
from ..export.target import replacing
from ..export.tarshard import TarShard, member_bytes
from .balancing import Sampling
from .export_card import CARD_NAME, card

#: Bytes of pictures in a Parquet row group; a larger single pair has its own.
ROW_GROUP_BYTES = 64 << 20

_TEXT, _TEXTS = pa.string(), pa.list_(pa.string())
_IMAGE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
#: What is written of a pair beside its pictures.
FACTS: tuple[tuple[str, pa.DataType], ...] = (
    *((name, _TEXT) for name in ("pair_id", "group_id", "split", "kind")),
    *((name, _TEXT) for name in ("en_short", "en_long", "zh_short", "zh_long", "instructed_by")),
    ("types", _TEXTS),
    ("imgedit", _TEXTS),
    ("spec", _TEXT),
    ("target_is_real", pa.bool_()),
    ("invents", pa.bool_()),
    ("verdict", _TEXT),
    ("reasons", _TEXTS),
    *((name, pa.float32()) for name in ("changed_share", "outside_psnr_db", "outside_ssim", "shift_px")),
    ("scores", _TEXT),
    ("license", _TEXT),
    ("weight", pa.float64()),
    ("source_sha256", _TEXTS),
    ("target_sha256", _TEXT),
    ("mask_sha256", _TEXT),
)


@dataclass(frozen=True)
class PairRecord:
    """One pair with all its bytes.

    Attributes:
        facts: columns of `FACTS` but for the digests.
        sources: 1 to 4 encoded pictures, in the order of the instruction. target: encoded.
        mask: PNG, white where the edit may change pixels; None: anywhere.
    """

    facts: Mapping[str, Any]
    sources: tuple[bytes, ...]
    target: bytes
    mask: bytes | None

    def row(self) -> dict[str, Any]:
        """All of `FACTS`."""
        digests = {
            "source_sha256": [_sha256(s) for s in self.sources],
            "target_sha256": _sha256(self.target),
            "mask_sha256": None if self.mask is None else _sha256(self.mask),
        }
        return {name: {**self.facts, **digests}.get(name) for name, _ in FACTS}

    def pictures(self) -> Iterator[tuple[str, bytes]]:
        """(name with extension, bytes): source0 (to source3), target, mask."""
        for i, data in enumerate(self.sources):
            yield f"source{i}.{_extension(data)}", data
        yield f"target.{_extension(self.target)}", self.target
        if self.mask is not None:
            yield "mask.png", self.mask


@dataclass
class Written:
    """What an export holds."""

    pairs: int = 0
    data_bytes: int = 0
    files: dict[str, dict[str, Any]] = field(default_factory=dict)
    by: dict[str, Counter[str]] = field(
        default_factory=lambda: {n: Counter() for n in ("type", "kind", "split", "verdict", "license")}
    )
    weight_by_type: Counter[str] = field(default_factory=Counter)

    def add(self, facts: Mapping[str, Any]) -> None:
        self.pairs += 1
        for type_ in facts["types"]:
            self.by["type"][type_] += 1
            self.weight_by_type[type_] += facts["weight"] / len(facts["types"])
        for name in ("kind", "split", "verdict", "license"):
            self.by[name][facts.get(name) or "unstated"] += 1


def write_webdataset(
    pairs: Iterable[PairRecord], out: Path, sampling: Sampling, about: Mapping[str, Any],
    most_pairs: int = 1000, most_bytes: int = 1 << 30,
) -> Written:  # fmt: skip
    """Write `00000.tar`, ...: per pair `KEY.source0.png` (to `source3`), `KEY.target.png`, `KEY.mask.png`, `KEY.json`.

    Args:
        out: absent, empty, or an earlier export, which is replaced once the new one is complete.
        about: name, dataset_url and settings, for the record.
        most_pairs, most_bytes: of a shard.

    Raises:
        DatasetError: `out` is not ours to replace.
    """
    written = Written()
    with replacing(out) as work:
        shard: TarShard | None = None
        inside = 0
        try:
            for pair in pairs:
                row, key = pair.row(), pair.facts["pair_id"]
                members = [(f"{key}.{name}", data) for name, data in pair.pictures()]
                members.append((f"{key}.json", json.dumps(row, ensure_ascii=False).encode()))
                size = sum(member_bytes(name, len(data)) for name, data in members)
                if shard is not None and (inside == most_pairs or shard.closed_bytes(size) > most_bytes):
                    shard.close()
                    written.files[shard.name] = shard.facts
                    shard = None
                if shard is None:
                    shard, inside = TarShard(work / f"{len(written.files):05d}.tar"), 0
                for name, data in members:
                    shard.add(name, data)
                inside += 1
                written.add(row)
        finally:
            if shard is not None:
                shard.close()
        if shard is not None:
            written.files[shard.name] = shard.facts
        _finish(work, "webdataset", written, sampling, about)
    return written


def write_parquet(
    pairs: Iterable[PairRecord], out: Path, sampling: Sampling, about: Mapping[str, Any],
    most_pairs: int = 1000, most_bytes: int = 1 << 30,
) -> Written:  # fmt: skip
    """Write `pairs-00000.parquet`, ...: `sources` (list of images), `target`, `mask`, and `FACTS`; see `write_webdataset`."""
    written, schema = Written(), parquet_schema()
    with replacing(out) as work:
        names: list[str] = []
        writer: pq.ParquetWriter | None = None
        inside = inside_bytes = pending_bytes = 0
        pending: list[dict[str, Any]] = []

        def flush() -> None:
            nonlocal pending, pending_bytes
            if writer is not None and pending:
                writer.write_table(pa.Table.from_pylist(pending, schema=schema))
            pending, pending_bytes = [], 0

        try:
            for pair in pairs:
                row = pair.row()
                size = sum(len(data) for _, data in pair.pictures())
                if writer is not None and (inside == most_pairs or inside_bytes + size > most_bytes):
                    flush()
                    writer.close()
                    writer = None
                if writer is None:
                    names.append(f"pairs-{len(names):05d}.parquet")
                    # Pictures are compressed already; the rest is small.
                    writer = pq.ParquetWriter(
                        work / names[-1],
                        schema,
                        compression="zstd",
                        use_dictionary=["split", "kind", "verdict"],
                    )
                    inside = inside_bytes = 0
                if pending and pending_bytes + size > ROW_GROUP_BYTES:
                    flush()
                pending.append({**_images(pair), **row})
                pending_bytes, inside_bytes, inside = pending_bytes + size, inside_bytes + size, inside + 1
                written.add(row)
            flush()
        finally:
            if writer is not None:
                writer.close()
        written.files = {name: describe(work / name) for name in names}
        _finish(work, "parquet", written, sampling, about)
    return written


def parquet_schema() -> pa.Schema:
    """The columns of a Parquet export, with the feature description that `datasets` reads."""
    fields = [("sources", pa.list_(_IMAGE)), ("target", _IMAGE), ("mask", _IMAGE), *FACTS]
    features = {name: _feature(type_) for name, type_ in fields}
    return pa.schema(fields, metadata={"huggingface": json.dumps({"info": {"features": features}})})


def _feature(type_: pa.DataType) -> dict[str, Any]:
    if type_ == _IMAGE:
        return {"_type": "Image"}
    if pa.types.is_list(type_):
        return {"feature": _feature(type_.value_type), "_type": "List"}
    names = {_TEXT: "string", pa.float32(): "float32", pa.float64(): "float64", pa.bool_(): "bool"}
    return {"dtype": names[type_], "_type": "Value"}


def _images(pair: PairRecord) -> dict[str, Any]:
    key = pair.facts["pair_id"]
    named = {n.partition(".")[0]: {"bytes": data, "path": f"{key}.{n}"} for n, data in pair.pictures()}
    sources = [named[f"source{i}"] for i in range(len(pair.sources))]
    return {"sources": sources, "target": named["target"], "mask": named.get("mask")}


def _finish(work: Path, form: str, written: Written, sampling: Sampling, about: Mapping[str, Any]) -> None:
    """The card, then the record that makes the export complete. No clock is read."""
    written.data_bytes = sum(f["bytes"] for f in written.files.values())
    weights = {t: round(w, 6) for t, w in sorted(written.weight_by_type.items())}
    record = {
        "kind": RECORD_KIND,
        "version": RECORD_VERSION,
        "format": f"edit_pairs_{form}",
        **about,
        "sampling": {
            "task_balance": sampling.balance,
            "text_share": sampling.text_share,
            "most": sampling.most,
            "seed": sampling.seed,
            "text_to_image_per_image_to_image": dict(sampling.ratios),
            "shares": sampling.shares(),
        },
        "exported": {
            "pairs": written.pairs,
            **{f"by_{name}": dict(sorted(counts.items())) for name, counts in written.by.items()},
            "weight_by_type": weights,
        },
        "files": dict(written.files),
    }
    (work / CARD_NAME).write_text(card(record), encoding="utf-8")
    record["files"][CARD_NAME] = describe(work / CARD_NAME)
    (work / RECORD_NAME).write_bytes(dump_json(record))


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _extension(data: bytes) -> str:
    if data[:3] == b"\xff\xd8\xff":
        return "jpg"
    return "webp" if data[:4] == b"RIFF" and data[8:12] == b"WEBP" else "png"
