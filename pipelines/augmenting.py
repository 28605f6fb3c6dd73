"""`zcurate graph-augment`: tags that no node bears become a tree of new concepts in the graph."""

from __future__ import annotations

from typing import Any

import numpy as np

from zcurate.curation.errors import ConfigError, DatasetError
from zcurate.graph.cluster_tree import Settings, attach, build_tree, ngram_vectors
from zcurate.graph.errors import GraphError
from zcurate.graph.journal import Author
from zcurate.graph.mapping import ConceptMap

from .registry import resolve
from .stages.concepts import open_graph
from .view import open_view

NGRAMS = "ngrams"


def augment_graph(
    url: str, graph_path: str, author: str, min_samples: int, encoder: str, under: str | None, dry_run: bool
) -> dict[str, Any]:
    """Cluster the unmapped tags of a dataset's last balance run and attach them to a graph.

    Args:
        min_samples: rarer tags are left out. encoder: model string of an encoder with a text tower, or `ngrams`.
        under: concept that becomes the parent of the new roots.

    Raises:
        DatasetError: the dataset has no such list. ConfigError: an encoder without texts, an unknown concept.
    """
    view = open_view(url)
    stage = next((s for s in view.plan.stages if "unmapped" in s.bound.spec.side_tables), None)
    path = stage.bound.table_path("unmapped") if stage else None
    if path is None or "all" not in view.dataset.index(path).metas:
        raise DatasetError(f"{url}: no list of unmapped tags; run balance with a graph and a sampling plan")
    graph = open_graph(graph_path, "--graph")
    names = ConceptMap(graph)
    rows = [
        r
        for r in view.dataset.read(path, "all").to_pylist()
        if r["samples"] >= min_samples and not names.candidates(r["tag"])
    ]
    tags = [r["tag"] for r in rows]
    tree = build_tree(
        tags, _vectors(tags, encoder), Settings(), np.array([r["samples"] for r in rows], np.float64)
    )
    facts = {**tree.report(), "encoder": encoder, "attached": 0}
    if dry_run or not tags:
        return facts
    try:
        parent = graph.resolve(under) if under else None
        who = Author(author, f"unmapped tags of {url}, by {encoder}")
        return {**facts, "attached": len(attach(graph, tree, who, parent))}
    except GraphError as e:
        raise ConfigError(str(e)) from e


def _vectors(tags: list[str], encoder: str) -> np.ndarray:
    if encoder == NGRAMS:
        return ngram_vectors(tags)
    engine = resolve("encoder", encoder)
    engine.load()
    vectors = engine.encode_texts(tags) if engine.has_text else None
    if vectors is None:
        raise ConfigError(f"--encoder {encoder!r} has no text tower; use an openclip, cnclip or siglip model")
    return np.asarray(vectors, np.float32)
