"""A graph from lists: titles, links between them, and categories.

Categories come as child and parent, one pair per line. Where all parents are paths from one common root
(`subject.Science.Biology`), each step of a path is a category under the step before it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from . import kinds
from .dump_links import Pairs
from .fold import fold_array
from .list_files import Listing, read_listing
from .wiki import Wiki

_SEPARATORS = (".", "/", ">", "|", ":")


class _Names:
    """Names given numbers in order of first sight."""

    def __init__(self) -> None:
        self.number: dict[str, int] = {}

    def of(self, column: pa.DictionaryArray, add: bool) -> np.ndarray:
        """int64 number of every entry; -1 for unknown ones unless they are added."""
        codes = np.empty(len(column.dictionary), np.int64)
        for i, name in enumerate(column.dictionary.to_pylist()):
            codes[i] = self.number.setdefault(name, len(self.number)) if add else self.number.get(name, -1)
        return codes[column.indices.to_numpy(zero_copy_only=False)]


def read_edge_lists(
    lists: Sequence[Path], taxonomies: Sequence[Path], lang: str, earlier: Sequence[Wiki] = ()
) -> Wiki:
    """Nodes and edges of lists.

    Args:
        lists: title lists (one name per line) and link lists (two). With a title list, links to names that
            are not in it count as red and are left out; without one, every name is a node.
        taxonomies: child and parent per line.
        earlier: graphs from dumps; names that are aliases there are those nodes.

    Raises:
        GraphError: a file that cannot be read as such a list; names file and line.
    """
    listings = [read_listing(path) for path in lists]
    trees = [read_listing(path, fields=2) for path in taxonomies]
    counts: Counter[str] = Counter()
    names = _Names()
    titles = [x for x in listings if x.second is None]
    for x in titles:
        names.of(x.first, add=True)
    paths = [x for x in listings if titles and _are_category_paths(x, names)]
    listings, trees = [x for x in listings if x not in paths], trees + paths
    counts["pages"] = counts["titles"] = len(names.number)
    sources, targets = [], []
    for x in (x for x in listings if x.second is not None):
        s, t = names.of(x.first, add=not titles), names.of(x.second, add=not titles)
        good = (s >= 0) & (t >= 0)
        counts["links"] += len(s)
        counts["links_from_unknown_titles"] += int((s < 0).sum())
        counts["links_red"] += int(((s >= 0) & (t < 0)).sum())
        sources.append(s[good])
        targets.append(t[good])
    links = _pairs(sources, targets)
    counts["links_resolved"] = counts["links_direct"] = len(links.source)
    counts["links_between_articles"] = counts["links_resolved"] + counts["links_red"]
    articles = len(names.number)
    tree = _Tree(names)
    for x in trees:
        tree.add(x)
    counts["memberships"] = len(tree.child)
    counts["memberships_of_unlisted_names"] = tree.unlisted if listings else 0
    shown = tree.shown()
    is_category = np.zeros(len(shown), bool)
    is_category[sorted(tree.parents)] = True
    is_category[:articles] = False
    counts["articles"] = int((~is_category).sum())
    counts["pages"] = len(shown)
    table = pa.array(shown, pa.string())
    none = np.zeros(len(shown), bool)
    return Wiki(
        lang=lang,
        origin=", ".join(p.name for p in (*lists, *taxonomies)),
        names=table,
        kind=kinds.kinds_of(table, lang, is_category, none, none),
        category=is_category,
        wikidata=np.full(len(shown), -1, np.int64),
        page_id=np.full(len(shown), -1, np.int64),
        image=none,
        image_known=False,
        alias_text=table,
        alias_node=np.arange(len(shown)),
        alias_source=np.zeros(len(shown), np.int8),
        links=links,
        is_a=_pairs([np.array(tree.child, np.int64)], [np.array(tree.parent, np.int64)]),
        counts=counts,
        notes=_notes(counts),
        sources=[x.source for x in (*listings, *trees)],
        joins=_joins(table, is_category, earlier),
    )


def _are_category_paths(listing: Listing, names: _Names) -> bool:
    """Is a list given among the links one of categories: paths from one root, none of them a title?"""
    if listing.second is None:
        return False
    parents = listing.second.dictionary.to_pylist()
    return _separator(parents) is not None and not any(p in names.number for p in parents)


class _Tree:
    """Child -> parent pairs as numbers. Steps of paths are keyed by the whole path, so that homonyms stay apart."""

    def __init__(self, names: _Names):
        self._names, self._listed = names, len(names.number)
        self._shown: dict[int, str] = {}
        self.child: list[int] = []
        self.parent: list[int] = []
        self.parents: set[int] = set()
        self.unlisted = 0

    def add(self, listing: Listing) -> None:
        number = self._names.number
        children = self._names.of(listing.first, add=True)
        self.unlisted += int((np.unique(children) >= self._listed).sum())
        raw = listing.second.dictionary.to_pylist()
        separator = _separator(raw)
        codes = np.empty(len(raw), np.int64)
        for i, name in enumerate(raw):
            codes[i] = self._path(name, separator) if separator else number.setdefault(name, len(number))
        parents = codes[listing.second.indices.to_numpy(zero_copy_only=False)]
        self.parents |= set(codes.tolist())
        self.child += children.tolist()
        self.parent += parents.tolist()

    def _path(self, path: str, separator: str) -> int:
        number, above = self._names.number, -1
        steps = [s.strip() for s in path.split(separator) if s.strip()]
        for depth in range(1, len(steps) + 1):
            key = "\0" + "\0".join(steps[:depth])  # no name holds a zero byte
            new = key not in number
            here = number.setdefault(key, len(number))
            self._shown[here] = steps[depth - 1]
            if new and above >= 0:
                self.child.append(here)
                self.parent.append(above)
            self.parents.add(here)
            above = here
        return above

    def shown(self) -> list[str]:
        return [self._shown.get(i, name) for i, name in enumerate(self._names.number)]


def _separator(parents: list[str]) -> str | None:
    """What parts the steps of paths, if all parents are paths from one root. `St. Louis` is no path."""
    for separator in _SEPARATORS:
        if separator in ".:" and any(f"{separator} " in p for p in parents):
            continue
        roots = {p.split(separator, 1)[0] for p in parents}
        if len(roots) == 1 and sum(separator in p for p in parents) >= 0.5 * len(parents):
            return separator
    return None


def _pairs(sources: list[np.ndarray], targets: list[np.ndarray]) -> Pairs:
    empty = [np.zeros(0, np.int64)]
    return Pairs(
        np.concatenate(sources or empty).astype(np.int32), np.concatenate(targets or empty).astype(np.int32)
    )


def _joins(names: pa.Array, is_category: np.ndarray, earlier: Sequence[Wiki]) -> np.ndarray | None:
    """int64 [n, 2]: (graph, node) that a name is an alias of, or -1; categories and articles among their own first."""
    if not earlier:
        return None
    joins = np.full((len(names), 2), -1, np.int64)
    folded = fold_array(names)
    for which, wiki in reversed(list(enumerate(earlier))):
        known = fold_array(wiki.alias_text).combine_chunks()
        category = wiki.category[wiki.alias_node]
        for own_kind in (False, True):  # the last match stays: one of the name's own kind
            for flag in (False, True):
                use = np.flatnonzero(category == flag)
                at = pc.index_in(folded, value_set=known.take(pa.array(use)))
                hit = pc.is_valid(at).to_numpy() & ((is_category == flag) == own_kind)
                node = wiki.alias_node[use[pc.fill_null(at, 0).to_numpy()[hit]]]
                joins[hit] = np.stack([np.full(len(node), which), node], axis=1)
    return joins


def _notes(counts: Counter[str]) -> list[str]:
    notes = []
    for key, text in (
        ("links_red", "links lead to titles that are not in the title list"),
        ("links_from_unknown_titles", "links come from titles that are not in the title list"),
        ("memberships_of_unlisted_names", "names of the taxonomy are in no other list: they were added"),
    ):
        if counts[key]:
            notes.append(f"{counts[key]} {text}")
    return notes
