"""Queries of a batch: prompts, images or vectors, from a file or a folder."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from zcurate.curation.errors import ConfigError

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".avif", ".heic", ".jxl")
_LONGEST_LINE = 1_000_000


@dataclass(frozen=True)
class Query:
    """One question: a text, an image or a vector. `name` says where it came from."""

    name: str
    text: str | None = None
    image: str | Path | bytes | None = None
    vector: np.ndarray | None = None

    @property
    def kind(self) -> str:
        return "vector" if self.vector is not None else "image" if self.image is not None else "text"


def read_queries(path: Path) -> list[Query]:
    """Queries of a .txt file (a prompt a line), .jsonl, .parquet, or a folder of images.

    Rows of .jsonl and .parquet have `text`, `image` (a path relative to the file, or bytes) or `vector` (a list of
    numbers); `id` or `name` becomes the query's name.

    Raises:
        ConfigError: unreadable, of another type, without queries, or a row that asks nothing; names the line.
    """
    if path.is_dir():
        files = sorted(p for p in path.rglob("*") if p.suffix.lower() in IMAGE_SUFFIXES and p.is_file())
        found = [Query(str(p.relative_to(path)), image=str(p)) for p in files]
        return _some(found, path, f"no images ({', '.join(IMAGE_SUFFIXES)}) in it")
    readers = {".txt": _from_text, ".jsonl": _from_lines, ".parquet": _from_parquet}
    reader = readers.get(path.suffix.lower())
    if reader is None:
        raise ConfigError(
            f"{path}: a batch is .txt (a prompt a line), .jsonl, .parquet or a folder of images"
        )
    try:
        return _some(reader(path), path, "no queries in it")
    except OSError as e:
        raise ConfigError(f"{path}: {e.strerror or e}") from e
    except UnicodeDecodeError as e:
        raise ConfigError(f"{path}: not UTF-8 text ({e})") from e
    except pa.ArrowException as e:
        raise ConfigError(f"{path}: not a Parquet file that can be read ({e})") from e


def _some(queries: list[Query], path: Path, problem: str) -> list[Query]:
    if not queries:
        raise ConfigError(f"{path}: {problem}")
    return queries


def _from_text(path: Path) -> list[Query]:
    lines = path.read_text(encoding="utf-8-sig").splitlines()
    return [
        Query(f"line {n}", text=line.strip()[:_LONGEST_LINE])
        for n, line in enumerate(lines, 1)
        if line.strip()
    ]


def _from_lines(path: Path) -> list[Query]:
    found = []
    for n, line in enumerate(path.read_text(encoding="utf-8-sig").splitlines(), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except ValueError as e:
            raise ConfigError(f"{path}, line {n}: not JSON ({e})") from e
        if not isinstance(row, dict):
            raise ConfigError(f'{path}, line {n}: write an object such as {{"text": "a red bridge"}}')
        found.append(_query(row, f"line {n}", path))
    return found


def _from_parquet(path: Path) -> list[Query]:
    file = pq.ParquetFile(path)
    names = [n for n in ("id", "name", "text", "image", "vector") if n in file.schema_arrow.names]
    if not {"text", "image", "vector"} & set(names):
        raise ConfigError(
            f"{path}: needs a column text, image or vector; has {', '.join(file.schema_arrow.names)}"
        )
    rows = file.read(columns=names, use_threads=False).to_pylist()
    return [_query(row, f"row {n}", path) for n, row in enumerate(rows)]


def _query(row: dict[str, Any], place: str, path: Path) -> Query:
    name = row.get("id", row.get("name"))
    name = place if name is None else (name.hex() if isinstance(name, bytes) else str(name))[:200]
    text, image, vector = row.get("text"), row.get("image"), row.get("vector")
    if isinstance(image, dict):  # the Hugging Face layout
        image = image.get("bytes") or image.get("path")
    if sum(v is not None for v in (text, image, vector)) != 1:
        raise ConfigError(f"{path}, {place}: needs exactly one of text, image and vector")
    if text is not None:
        if not isinstance(text, str):
            raise ConfigError(f"{path}, {place}: text is {type(text).__name__}, not a string")
        return Query(name, text=text[:_LONGEST_LINE])
    if image is not None:
        if not isinstance(image, str | bytes):
            raise ConfigError(f"{path}, {place}: image is a path or bytes")
        # Relative to the list, as in manifests.
        return Query(name, image=str(path.parent / image) if isinstance(image, str) else image)
    try:
        return Query(name, vector=np.asarray(vector, np.float64))
    except (ValueError, TypeError) as e:
        raise ConfigError(f"{path}, {place}: vector is not a list of numbers ({e})") from e
