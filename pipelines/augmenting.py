"""`zcurate graph-augment`: tags that no node bears become a tree of new concepts in the graph."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from zcurate.curation.errors import ConfigError, DatasetError
from zcurate.curation.store.dataset import Dataset
from zcurate.curation.store.tables import WHOLE, read_parts
from zcurate.graph.cluster_tree import Settings, attach, build_tree, ngram_vectors
from zcurate.graph.errors import GraphError
from zcurate.graph.journal import Author
from zcurate.graph.mapping import ConceptMap
from zcurate.graph.store import Graph

from .registry import resolve
from .review_tags import read_tags
from .stages.concepts import open_graph
from .view import open_view

NGRAMS = "ngrams"
UNMAPPED = "_tables/unmapped"


def augment_graph(
    url: str,
    graph_path: str,
    author: str,
    min_samples: int,
    encoder: str,
    under: str | None,
    dry_run: bool,
    tags_file: Path | None = None,
) -> dict[str, Any]:
    """Cluster the unmapped tags of a dataset's last balance run, or of a file, and attach them to a graph.

    Tags that the graph knows by now are passed over, so that running it twice adds nothing, and running it after more data
    adds what is new.

    Args:
        min_samples: rarer tags are left out. encoder: model string of an encoder with a text tower, or `ngrams`.
        under: concept that becomes the parent of the new roots.
        tags_file: lines of `tag <tab> samples`, e.g. of `zcurate review-apply --graph`, in place of the dataset's list.

    Raises:
        DatasetError: the dataset has no such list. ConfigError: an encoder without texts, an unknown concept.
    """
    graph = open_graph(graph_path, "--graph")
    names = ConceptMap(graph)
    if tags_file is not None:
        given = [{"tag": tag, "samples": samples} for tag, samples in read_tags(tags_file)]
    else:
        given = _unmapped(open_view(url).dataset, graph, url).to_pylist()
    listed = [r for r in given if r["samples"] >= min_samples]
    rows = [r for r in listed if not names.candidates(r["tag"])]
    tags = [r["tag"] for r in rows]
    tree = build_tree(
        tags, _vectors(tags, encoder), Settings(), np.array([r["samples"] for r in rows], np.float64)
    )
    known = len(listed) - len(rows)
    facts = {**tree.report(), "encoder": encoder, "known": known, "attached": 0}
    if dry_run or not tags:
        return facts
    try:
        parent = graph.resolve(under) if under else None
        who = Author(author, f"unmapped tags of {tags_file or url}, by {encoder}")
        return {**facts, "attached": len(attach(graph, tree, who, parent))}
    except GraphError as e:
        raise ConfigError(str(e)) from e


def _unmapped(dataset: Dataset, graph: Graph, url: str) -> pa.Table:
    """The newest list of tags that this graph, as it was then, lacks. The list of a graph that grew since still serves."""
    newest, version = None, -1
    for folder in dataset.storage.folders(UNMAPPED):
        path = f"{UNMAPPED}/{folder}"
        meta = dataset.index(path).metas.get(WHOLE)
        build, _, then = str((meta.stage.get("models") or {}).get("graph", "") if meta else "").partition("@")
        if build == f"graph:{graph.build}" and then.isdigit() and int(then) > version:
            newest, version = path, int(then)
    if newest is None:
        raise DatasetError(
            f"{url}: no list of tags that {graph.path} lacks; run balance with that graph and a sampling plan"
        )
    return pa.concat_tables(list(read_parts(dataset, newest)))


def _vectors(tags: list[str], encoder: str) -> np.ndarray:
    if encoder == NGRAMS:
        return ngram_vectors(tags)
    engine = resolve("encoder", encoder)
    engine.load()
    vectors = engine.encode_texts(tags) if engine.has_text else None
    if vectors is None:
        raise ConfigError(f"--encoder {encoder!r} has no text tower; use an openclip, cnclip or siglip model")
    return np.asarray(vectors, np.float32)
