"""Caption tags and texts to nodes of the graph.

A tag is folded (`fold.py`) and looked up among the aliases; an English plural also under its singular. A text is
searched for aliases (`ahocorasick.py`). Nodes that were pruned are no candidates.

A name that stands for several nodes is decided by its neighbors: of its candidates, the one with the most
links to what else the sample shows,

    links(c) = sum over the sample's other names of 1 / candidates of that name,
               if any candidate of it links to c, or c to it, by a hyperlink or is-a, or shares a parent with c

and among equals the first in the graph's own order (concepts and articles before categories, then PageRank).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numba
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from .ahocorasick import Automaton
from .fold import fold
from .store import HYPERLINK, IS_A, Graph
from .tags import STOPWORDS, is_quoted, singulars

#: Shortest alias looked for in running text, in characters: of scripts with blanks, and of others.
MIN_TEXT_CHARS, MIN_TEXT_HAN = 3, 2
#: Categories, lists and the like are no concepts that an image shows, unless nothing else bears the name.
_SHOWN = ("concept", "article", "category")


@dataclass(frozen=True)
class Mapped:
    """The concepts of one sample.

    Attributes:
        nodes: unique, in the order of the names given.
        how: aligned: `exact` (the tag is an alias as written), `fold` (up to case, width, script or plural),
            or `text` (found in running text).
        unmapped: tags without a node, folded.
        ambiguous: names that several nodes bear.
    """

    nodes: tuple[int, ...]
    how: tuple[str, ...]
    unmapped: tuple[str, ...] = ()
    ambiguous: int = 0


class ConceptMap:
    """Aliases of the kept nodes of a graph, ready for lookup.

    Args:
        texts: also build the automaton for running text (about 40 bytes per byte of alias).
    """

    def __init__(self, graph: Graph, texts: bool = False):
        table = graph.aliases
        node = np.asarray(table["node"].to_numpy(), np.int64)
        kinds = graph.nodes["kind"].combine_chunks().dictionary_encode()
        shown = np.isin(np.asarray(kinds.dictionary.to_pylist(), object), _SHOWN)[kinds.indices.to_numpy()]
        use = graph.kept[node] & shown[node]
        table, node = table.filter(pa.array(use)), node[use]
        folded = table["folded"].cast(pa.large_string()).combine_chunks()
        folded = folded if isinstance(folded, pa.Array) else folded.chunk(0)
        self._text = table["text"]
        self._names, self._start = _runs(folded)
        # candidates in the order of Graph.find, each once per name
        rank = np.empty(graph.n, np.int64)
        kind = np.where(np.isin(_strings(graph.nodes["kind"]), ("concept", "article")), 0, 1)
        rank[np.lexsort((np.arange(graph.n), -graph.pagerank, kind))] = np.arange(graph.n)
        owner = np.repeat(np.arange(len(self._names)), np.diff(self._start))
        order = np.lexsort((rank[node], owner))
        self._node, self._row = node[order], order
        self._keys, self._bytes = _offsets(self._names)
        self._links = tuple(_sorted_csr(*graph.csr(kind)) for kind in (HYPERLINK, IS_A))
        self._automaton, self._patterns = None, np.zeros(0, np.int64)
        if texts:
            wanted = [i for i, name in enumerate(self._names.to_pylist()) if _in_texts(name)]
            self._patterns = np.array(wanted, np.int64)
            self._automaton = Automaton(self._names.take(pa.array(wanted, pa.int64())))

    def candidates(self, text: str) -> list[int]:
        """Nodes that a name may stand for, likeliest first; [] where it is unknown."""
        at = self._at(fold(text))
        return [] if at < 0 else self._of(at)

    def map(self, tags: Sequence[str], texts: Sequence[str] = ()) -> Mapped:
        """The concepts of one sample.

        Args:
            tags: in any language; tags in quotation marks are lettering and passed over.
            texts: running texts, if the map was built for them.
        """
        found: dict[int, tuple[str, str]] = {}
        unmapped: dict[str, None] = {}
        for tag in tags:
            key = "" if is_quoted(tag) else fold(tag)
            if not key:
                continue
            forms = [key, *singulars(key)]
            at = next((a for form in forms if (a := self._at(form)) >= 0), -1)
            if at < 0:
                unmapped[key] = None
            else:
                found.setdefault(at, ("exact" if self._written(at, tag) else "fold", key))
        if self._automaton is not None and texts:
            for pattern in self._automaton.find([fold(t) for t in texts]).pattern.tolist():
                found.setdefault(int(self._patterns[pattern]), ("text", ""))
        names = list(found)
        lists = [self._of(at) for at in names]
        chosen = _resolve(lists, self._links)
        nodes = dict(zip(chosen, (found[at][0] for at in names), strict=True))
        return Mapped(
            tuple(nodes), tuple(nodes.values()), tuple(unmapped), sum(len(options) > 1 for options in lists)
        )

    def _at(self, folded: str) -> int:
        return int(
            _lookup(self._bytes, self._keys, np.frombuffer(folded.encode("utf-8", "replace"), np.uint8))
        )

    def _of(self, at: int) -> list[int]:
        return list(dict.fromkeys(self._node[self._start[at] : self._start[at + 1]].tolist()))

    def _written(self, at: int, tag: str) -> bool:
        rows = self._row[self._start[at] : self._start[at + 1]]
        return any(self._text[int(r)].as_py() == tag for r in rows)


def count_unmapped(lists: pa.Array | pa.ChunkedArray) -> pa.Table:
    """Tags without a node and how many samples have them, most frequent first: what augmentation works on.

    Args:
        lists: list<string>, the tags of each sample; repeats within one count once, nulls not at all.
    """
    chunks = lists.chunks if isinstance(lists, pa.ChunkedArray) else [lists]
    parts = []
    for chunk in chunks:
        row = pc.list_parent_indices(chunk).cast(pa.int64())
        pairs = pa.table({"row": row, "tag": pc.list_flatten(chunk).cast(pa.string())})
        pairs = (
            pairs.filter(pc.is_valid(pairs["tag"])).group_by(["row", "tag"], use_threads=False).aggregate([])
        )
        parts.append(pairs.group_by("tag", use_threads=False).aggregate([([], "count_all")]))
    empty = pa.table({"tag": pa.array([], pa.string()), "count_all": pa.array([], pa.int64())})
    table = pa.concat_tables([empty, *(p.select(empty.column_names) for p in parts)])
    table = table.group_by("tag", use_threads=False).aggregate([("count_all", "sum")])
    table = table.select(["tag", "count_all_sum"]).rename_columns(["tag", "samples"])
    return table.sort_by([("samples", "descending"), ("tag", "ascending")])


def _in_texts(name: str) -> bool:
    if name in STOPWORDS or not any(c.isalpha() for c in name):
        return False
    return len(name) >= (MIN_TEXT_CHARS if name.isascii() else MIN_TEXT_HAN)


def _strings(column: pa.ChunkedArray) -> np.ndarray:
    return np.asarray(column.to_pylist(), object)


def _runs(folded: pa.Array) -> tuple[pa.Array, np.ndarray]:
    """(unique names, first row of each and the end) of a sorted column."""
    if not len(folded):
        return folded, np.zeros(1, np.int64)
    same = np.asarray(pc.equal(folded.slice(1), folded.slice(0, len(folded) - 1)))
    first = np.flatnonzero(np.r_[True, ~same.astype(bool)])
    return folded.take(pa.array(first)), np.r_[first, len(folded)].astype(np.int64)


def _offsets(names: pa.Array) -> tuple[np.ndarray, np.ndarray]:
    names = pa.concat_arrays([names]) if names.offset else names
    if not len(names):
        return np.zeros(1, np.int64), np.zeros(0, np.uint8)
    _, offsets, data = names.buffers()
    return np.frombuffer(offsets, np.int64, len(names) + 1, names.offset * 8), np.frombuffer(data, np.uint8)


def _sorted_csr(indptr: np.ndarray, indices: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The same rows with ascending entries (as built graphs have them); copied only where they are not."""
    if len(indices) > 1:
        falls = np.diff(indices) < 0
        inner = np.ones(len(indices) - 1, bool)
        ends = np.asarray(indptr)[1:-1]
        inner[ends[(ends > 0) & (ends < len(indices))] - 1] = False
        if (falls & inner).any():
            row = np.repeat(np.arange(len(indptr) - 1), np.diff(indptr))
            indices = np.asarray(indices)[np.lexsort((indices, row))]
    return indptr, indices


def _resolve(lists: Sequence[Sequence[int]], links: Sequence[tuple[np.ndarray, np.ndarray]]) -> list[int]:
    """One node for each name."""
    result = []
    for i, options in enumerate(lists):
        if len(options) == 1:
            result.append(options[0])
            continue
        best, most = options[0], 0.0
        for c in options:
            score = sum(
                1 / len(other)
                for j, other in enumerate(lists)
                if j != i and any(d != c and _related(c, d, links) for d in other)
            )
            if score > most + 1e-12:
                best, most = c, score
        result.append(best)
    return result


def _related(a: int, b: int, links: Sequence[tuple[np.ndarray, np.ndarray]]) -> bool:
    if any(_linked(p, i, a, b) or _linked(p, i, b, a) for p, i in links):
        return True
    return bool(_share(*links[1], a, b))


@numba.njit(nogil=True, cache=True)
def _linked(indptr, indices, a, b):
    low, high = indptr[a], indptr[a + 1]
    while low < high:
        middle = (low + high) // 2
        if indices[middle] == b:
            return True
        if indices[middle] < b:
            low = middle + 1
        else:
            high = middle
    return False


@numba.njit(nogil=True, cache=True)
def _share(indptr, indices, a, b):
    """Do two sorted rows have an entry in common?"""
    i, j = indptr[a], indptr[b]
    while i < indptr[a + 1] and j < indptr[b + 1]:
        if indices[i] == indices[j]:
            return True
        if indices[i] < indices[j]:
            i += 1
        else:
            j += 1
    return False


@numba.njit(nogil=True, cache=True)
def _lookup(data, offsets, key):
    """Place of a key among sorted names (bytes of UTF-8 sort as code points do), or -1."""
    low, high = 0, len(offsets) - 1
    while low < high:
        middle = (low + high) // 2
        start, size = offsets[middle], offsets[middle + 1] - offsets[middle]
        order = 0
        for k in range(min(size, len(key))):
            if data[start + k] != key[k]:
                order = -1 if data[start + k] < key[k] else 1
                break
        if order == 0:
            order = (size > len(key)) - (size < len(key))
        if order == 0:
            return middle
        if order < 0:
            low = middle + 1
        else:
            high = middle
    return -1
