"""The vector and text indexes of a dataset: what they are made of, and where they live."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import xxhash

from zcurate.curation.errors import DatasetError, ZcurateError
from zcurate.curation.store import SAMPLES, BoundStage, Dataset
from zcurate.curation.store.digest import json_digest

from .view import View, open_view

if TYPE_CHECKING:
    from zcurate.curation.retrieval.bm25 import TextIndex
    from zcurate.curation.retrieval.index import VectorIndex

VECTORS = "embedding"
#: Texts searched, group by group, as far as a dataset has them.
TEXT_FIELDS = {
    SAMPLES: ("text",),
    "metadata": ("title", "caption", "keywords"),
    "captions": ("en_long", "en_tags", "zh_long", "zh_tags"),
    "concepts": ("concepts",),
    "scores": ("tags",),
    "ocr": ("text",),
}
Progress = Callable[[str, int, int], None]


def index_root(dataset: Dataset) -> Path:
    """Where a dataset's search indexes are: `_index/search` of a local one that can be written to, otherwise a
    folder of the user's cache, since they are memory-mapped."""
    local = dataset.storage.local
    if local is not None and os.access(local, os.W_OK):
        return local / "_index" / "search"
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return cache / "zcurate" / "search" / xxhash.xxh3_128_hexdigest(dataset.storage.url.encode())


def vector_index(view: View, progress: Progress) -> tuple[VectorIndex, list[str]]:
    """The index of the dataset's image vectors, brought up to date, and what to know about it.

    Raises:
        DatasetError: nothing is embedded yet, with this encoder; or shards were embedded by different ones.
    """
    from zcurate.curation.retrieval.building import update_index

    path = view.plan.path(VECTORS)
    metas = view.index(VECTORS).metas if path else {}
    metas = {s: m for s, m in metas.items() if s in view.selection.bases}
    if not metas:
        raise DatasetError(_not_embedded(view, path))
    bound = _embedding_stage(view)
    for shard, meta in sorted(metas.items()):
        if meta.fingerprint != bound.fingerprint:
            raise DatasetError(
                f"{path}/{shard}: embedded by {_made_by(meta.stage)}, the other shards by "
                f"{_made_by(bound.stage_facts)}: the encoder was changed half-way; delete that file and run "
                "'zcurate build' again"
            )
    stage = bound.stage_facts
    identity = {"encoder": _made_by(stage), "fingerprint": bound.fingerprint}
    home = index_root(view.dataset) / "vectors"
    for folder in home.iterdir() if home.exists() else ():
        if not view.dataset.storage.list(f"{VECTORS}/{folder.name}"):
            shutil.rmtree(folder)  # of an embedding that is gone
    index = update_index(home / bound.folder, _vector_sources(view, path, metas), identity, progress=progress)
    notes = []
    if len(metas) < len(view.selection.shards):
        notes.append(
            f"{len(metas)} of {len(view.selection.shards)} shards are embedded; the others are not found by vector: "
            "run 'zcurate build'"
        )
    if index.unusable:
        shard, count = next(iter(index.unusable.items()))
        more = f" and {len(index.unusable) - 1} more shards" if len(index.unusable) > 1 else ""
        notes.append(
            f"{sum(index.unusable.values())} vectors hold NaN, infinity or only zeros (shard {shard}: {count}{more}) "
            "and are not found by vector; delete these shards of the embedding and run 'zcurate build'"
        )
    return index, notes


def _vector_sources(view: View, path: str, metas: dict[str, Any]) -> list[Any]:
    from zcurate.curation.retrieval.index import Source

    def load(shard: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        ids = view.dataset.read(SAMPLES, shard, ["sample_id"]).column(0).combine_chunks()
        column = view.dataset.read(path, shard, ["vector"]).column(0).combine_chunks()
        t = column.type
        if not (pa.types.is_fixed_size_list(t) and pa.types.is_floating(t.value_type)):
            raise DatasetError(
                f"{path}/{shard}: column 'vector' is {t}, not a list of a fixed number of floats"
            )
        at = np.flatnonzero(pc.and_(column.is_valid(), ids.is_valid()).to_numpy(zero_copy_only=False))
        some = pa.array(at, pa.int64())
        flat = pc.take(column, some).flatten()
        vectors = flat.to_numpy(zero_copy_only=False).reshape(len(at), t.list_size)
        if vectors.dtype not in (np.float16, np.float32):
            vectors = vectors.astype(np.float32)
        names = np.frombuffer(b"".join(pc.take(ids, some).to_pylist()), np.uint8).reshape(-1, 16)
        return at, names, vectors

    def source(shard: str) -> Source:
        ids = view.index(SAMPLES).metas[shard].columns["sample_id"]
        digest = json_digest([ids, metas[shard].columns["vector"]])
        return Source(shard, digest, lambda: load(shard))

    return [source(s) for s in sorted(metas)]


def _embedding_stage(view: View) -> BoundStage:
    return next(s.bound for s in view.plan.stages if VECTORS in s.bound.spec.outputs)


def _made_by(stage: Any) -> str:
    """`embedded (version 2)` of a stage's facts."""
    encoder = dict(stage.get("models", {})).get("encoder", stage.get("config", {}).get("model", "?"))
    return f"{encoder} (stage version {stage.get('version')})"


def _not_embedded(view: View, path: str | None) -> str:
    """Why there are no vectors: never made, or made by another encoder."""
    url = view.dataset.storage.url
    if not len(view.selection.shards):
        return (
            f"{url}: the dataset is empty, there is nothing to search; 'zcurate ingest' or 'build' fills it"
        )
    others = []
    for folder in view.dataset.groups().get(VECTORS, []):
        metas = view.dataset.index(folder).metas
        if metas:
            others.append(_made_by(next(iter(metas.values())).stage))
    if path is None:
        return f"{url}: its recipe has no embed stage; add one and run 'zcurate build', or search with --text-only"
    wanted = _made_by(_embedding_stage(view).stage_facts)
    if others:
        return (
            f"{url}: embedded by {', '.join(sorted(set(others)))}; the newest run, in this version of zcurate, is for "
            f"{wanted}, perhaps with other settings, and has embedded nothing yet: run 'zcurate build' to the end first"
        )
    return f"{url}: nothing is embedded yet; run 'zcurate build' with the recipe"


def text_index(view: View, progress: Progress) -> TextIndex:
    """The index of all texts of the dataset, brought up to date; every row has a position, in `Rows`' order."""
    from zcurate.curation.retrieval.bm25 import TextSource, update_text_index

    fields: dict[str, list[str]] = {}
    for group, names in TEXT_FIELDS.items():
        if group == SAMPLES or view.has(group):
            known = names if group == SAMPLES else [n for n in names if n in view.schema(group).names]
            fields[group] = list(known)
    names = [f"{g}.{f}" for g, fs in fields.items() for f in fs]

    def digest(shard: str) -> str:
        parts: list[Any] = [view.selection.rows[shard]]
        for group, wanted in fields.items():
            meta = view.index(group).metas.get(shard)
            parts.append([meta.columns.get(f) for f in wanted] if meta else None)
        return json_digest(parts)

    def load(shard: str) -> list[str]:
        table = view.table(shard, names)
        columns = [table.column(n).to_pylist() for n in names]
        return ["\n".join(_flat(values)) for values in zip(*columns, strict=True)]

    sources = [TextSource(s, digest(s), lambda s=s: load(s)) for s in view.selection.shards]
    paths = {g: SAMPLES if g == SAMPLES else view.plan.path(g) for g in fields}
    folder = index_root(view.dataset) / "text" / json_digest([paths, names])[:16]
    return update_text_index(folder, sources, names, progress)


def _flat(values: tuple[Any, ...]) -> list[str]:
    """The strings among strings, lists of strings and nulls."""
    out: list[str] = []
    for value in values:
        if isinstance(value, list):
            out += [v for v in value if v]
        elif value:
            out.append(value)
    return out


def forget_removed(url: str) -> None:
    """Bring the indexes that exist up to date and delete all others: after a takedown nothing may keep the rows."""
    root = index_root(Dataset.open(url))
    if not root.exists():
        return
    kept: set[Path] = set()
    try:
        view = open_view(url)
        quiet: Progress = lambda what, done, total: None  # noqa: E731
        if (root / "vectors").exists() and view.plan.path(VECTORS) and view.has(VECTORS):
            kept.add(vector_index(view, quiet)[0].folder)
        if (root / "text").exists():
            kept.add(text_index(view, quiet).folder)
    except ZcurateError:
        kept = set()  # they are made anew by the next search
    for kind in ("vectors", "text"):
        for folder in (root / kind).iterdir() if (root / kind).exists() else ():
            if folder not in kept:
                shutil.rmtree(folder)
