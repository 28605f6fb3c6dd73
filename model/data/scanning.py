"""Scans as columns: lengths of all texts, sizes and places of samples, cached by the digest of the export."""

from __future__ import annotations

import hashlib
import math
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from .caption_choice import ALT_TEXT, CHOSEN, text_of
from .errors import BadSampleError, SchemaError
from .lengths import TextLengths
from .rows import MOST_REFERENCES, Rows, id_halves
from .webdataset_index import Found

#: Kinds of text besides those that an export names; raised with the form of the cache.
_FORM = 2
_MOST_TOKENS = 2**16 - 1


def texts_of(facts: Mapping[str, Any]) -> dict[str, Any]:
    """kind -> text or list of texts, of a sample's facts: of a picture `captions`, the alt text and the chosen caption; of
    a pair its instructions, and captions of the target (`target_en_long`, ...) where it has them."""
    captions = facts.get("captions")
    found = dict(captions) if isinstance(captions, dict) else {}
    found |= {k: v for k, v in facts.items() if k.startswith(("en_", "zh_", "target_en_", "target_zh_"))}
    found |= {ALT_TEXT: facts.get("text"), CHOSEN: facts.get("caption")}
    return {k: v for k, v in found.items() if isinstance(v, str | list) and v}


def token_counts(value: Any, kind: str, lengths: TextLengths) -> int:
    """Tokens of a kind's text; of several simulated prompts those of the longest. 0: there is none."""
    texts = value if isinstance(value, list) and kind.endswith("prompts") else [text_of(value, kind, 0.0)]
    texts = [t for t in texts if isinstance(t, str) and t.strip()]
    return min(int(lengths(texts).max()), _MOST_TOKENS) if texts else 0


@dataclass(frozen=True, eq=False)
class Scan:
    """Rows of all samples that could be read, how many could not, and why the first of them could not."""

    rows: Rows
    unreadable: int = 0
    first: str = ""


def collect(samples: Iterable[Found | BadSampleError], lengths: TextLengths, where: str, pairs: bool) -> Scan:
    """Columns of a scan. Raises SchemaError for ids that are none, and where no sample at all could be read."""
    shards: dict[str, int] = {}
    kinds: dict[str, int] = {}
    ids: list[str] = []
    places, sizes, weights, marks, counts, references = [], [], [], [], [], []
    bad, first = 0, ""
    for sample in samples:
        if isinstance(sample, BadSampleError):
            bad, first = bad + 1, first or str(sample)
            continue
        try:
            weight = 1.0 if sample.weight is None else float(sample.weight)
        except (TypeError, ValueError):
            weight = -1.0
        if not 0 <= weight < math.inf:
            bad += 1
            first = first or f"{where}: sample {sample.id}: weight {sample.weight!r} is no number from 0"
            continue
        ids.append(sample.id)
        shard = shards.setdefault(sample.shard, len(shards))
        places.append((shard, sample.start, sample.length, sample.picture))
        sizes.append(sample.size_px or _size(sample.facts))
        weights.append(weight)
        marks.append((sample.facts.get("placeholder") is True, sample.caption_kind == ALT_TEXT))
        row: dict[int, int] = {}
        for kind, value in texts_of(sample.facts).items():
            row[kinds.setdefault(kind, len(kinds))] = token_counts(value, kind, lengths)
        counts.append(row)
        sources = list(sample.references_px)
        references.append(sources + [(0, 0)] * (MOST_REFERENCES - len(sources)))
    if not ids:
        raise SchemaError(
            f"{where}: no sample could be read{f'; the first: {first}' if first else ': it is empty'}"
        )
    tokens = np.zeros((len(ids), len(kinds)), np.uint16)
    for i, row in enumerate(counts):
        tokens[i, list(row)] = list(row.values())
    place = np.array(places, np.int64)
    rows = Rows(
        shards=tuple(shards),
        ids=id_halves(ids, where),
        shard=place[:, 0].astype(np.int32),
        start=place[:, 1],
        length=place[:, 2],
        picture=place[:, 3],
        block=np.arange(len(ids)),
        sizes_px=np.array(sizes, np.int32),
        references_px=np.array(references, np.int32) if pairs else None,
        weight=np.array(weights, np.float64),
        placeholder=np.array([m[0] for m in marks], bool),
        alt_chosen=np.array([m[1] for m in marks], bool),
        kinds=tuple(kinds),
        tokens=tokens,
    )
    return Scan(rows, bad, first)


def _size(facts: Mapping[str, Any]) -> tuple[int, int]:
    sides = [facts.get("width_px"), facts.get("height_px")]
    if all(isinstance(s, int) and 0 < s < 2**31 for s in sides):
        return sides[0], sides[1]
    return 0, 0


def cache_path(
    cache_dir: str | Path, record: bytes, url: str, lengths: TextLengths, split: str | None
) -> Path:
    """Where the scan of an export is kept. `record`: its export.json, which holds the digests of all files."""
    parts = [str(_FORM), url, getattr(lengths, "__name__", repr(lengths)), str(split)]
    digest = hashlib.sha256("\0".join(parts).encode() + record).hexdigest()
    return Path(cache_dir) / f"rows-{digest[:32]}.parquet"


def load_rows(path: Path) -> Rows | None:
    """A cached scan, or None where there is none that can be read."""
    try:
        return Rows.from_arrow(pq.read_table(path))
    except (OSError, pa.ArrowException, KeyError, ValueError, TypeError):
        return None


def save_rows(path: Path, rows: Rows) -> None:
    """Atomic: several ranks may write the same at once."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    pq.write_table(rows.to_arrow(), temporary, compression="zstd")
    os.replace(temporary, path)
