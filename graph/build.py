"""From dumps or edge lists to a graph on disk."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from . import kinds
from .categories import MAX_DEPTH, taxonomy
from .edge_lists import read_edge_lists
from .errors import GraphError
from .merging import Merged, merge
from .pagerank import DAMPING, pagerank
from .store import Graph
from .wiki import Wiki, read_wiki
from .writing import check_target, write_graph


@dataclass(frozen=True)
class Sources:
    """What a graph is made from.

    Attributes:
        dumps: (folder, language) pairs. lists: title and link lists of one more graph.
        taxonomies: child -> parent lists; added to `lists`, or by name to the dumps' nodes. lang: of the lists.
    """

    dumps: tuple[tuple[Path, str], ...] = ()
    lists: tuple[Path, ...] = ()
    taxonomies: tuple[Path, ...] = ()
    lang: str = "en"


def build(
    sources: Sources,
    out: str | Path,
    update: bool = False,
    max_depth: int = MAX_DEPTH,
    damping: float = DAMPING,
    tell: Callable[[str], None] = lambda _: None,
) -> Graph:
    """Read, merge, rank and write. Nothing is at `out` until all of it is.

    Args:
        max_depth: longest way up the is-a edges. tell: is given a sentence after each step.

    Raises:
        DumpError, GraphError: what is wrong with which file, and what to do.
    """
    out = Path(out)
    check_target(out, update)
    languages = [lang for _, lang in sources.dumps]
    if len(set(languages)) != len(languages):
        raise GraphError(f"languages {', '.join(languages)}: each may be given once")
    wikis: list[Wiki] = []
    for folder, lang in sources.dumps:
        started = time.perf_counter()
        wikis.append(read_wiki(folder, lang))
        tell(_summary(wikis[-1], time.perf_counter() - started))
    if sources.lists or sources.taxonomies:
        wikis.append(read_edge_lists(sources.lists, sources.taxonomies, sources.lang, wikis))
        tell(_summary(wikis[-1], 0.0))
    if not wikis:
        raise GraphError("nothing to build from; give --dumps DIR --lang CODE, or --from links.tsv")
    merged = merge(wikis)
    tree = taxonomy(*_housekeeping_left_out(merged), max_depth)
    # Categories have no hyperlinks of their own, whatever else they are: they take no part in PageRank.
    rank = pagerank(*merged.links, ~merged.category, damping)
    nodes = _ranked(merged, rank.scores)
    counts = _counts(wikis, merged)
    counts |= {
        "is_a_cycle_edges": tree.cycle_edges,
        "is_a_sideways_edges": tree.sideways_edges,
        "is_a_lifted": tree.lifted,
        "is_a_depth": tree.depth,
        "pagerank_iterations": rank.iterations,
        "pagerank_change": rank.change,
        "damping": damping,
    }
    edges = {"hyperlink": merged.links, "is_a": tree.csr}
    files = [s for w in wikis for s in w.sources]
    graph = write_graph(out, nodes, merged.aliases, edges, _languages(wikis), files, counts, update)
    for w in wikis:
        for note in w.notes:
            tell(f"note: {note}")
    return graph


def _housekeeping_left_out(merged: Merged) -> tuple[np.ndarray, np.ndarray]:
    """is-a edges without those to maintenance categories: they say nothing of what a thing is."""
    indptr, indices = merged.is_a
    good = merged.kind[indices] != kinds.MAINTENANCE
    kept = np.r_[0, np.cumsum(good)][indptr]
    return kept.astype(np.int64), indices[good]


def _ranked(merged: Merged, scores: np.ndarray) -> pa.Table:
    indptr, indices = merged.links
    links_in = np.bincount(indices, minlength=len(scores)).astype(np.int32)
    table = merged.nodes.append_column("pagerank", pa.array(scores))
    table = table.append_column("links_in", pa.array(links_in))
    return table.append_column("links_out", pa.array(np.diff(indptr).astype(np.int32)))


def _counts(wikis: Sequence[Wiki], merged: Merged) -> dict[str, object]:
    by_kind = np.bincount(merged.kind, minlength=len(kinds.NAMES)).tolist()
    return {
        "by_source": {w.origin: {"lang": w.lang, **w.counts} for w in wikis},
        "by_kind": dict(zip(kinds.NAMES, by_kind, strict=True)),
        "shared_by_languages": merged.shared,
    }


def _languages(wikis: Sequence[Wiki]) -> list[str]:
    return list(dict.fromkeys(w.lang for w in wikis))


def _summary(w: Wiki, seconds: float) -> str:
    c = w.counts
    parts = [f"{w.origin} ({w.lang}): {c['pages']:,} pages, {c['articles']:,} articles"]
    if c["links_red"] or c["links_through_redirects"] or c["links"]:
        parts.append(
            f"{c['links_resolved']:,} of {c['links_between_articles']:,} links between articles resolved "
            f"({c['links_through_redirects']:,} through redirects), {c['links_red']:,} red"
        )
    parts.append(f"{c['wikidata_ids']:,} Wikidata ids")
    return "; ".join(parts) + (f"; {seconds:.1f} s" if seconds else "")
