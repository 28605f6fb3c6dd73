"""Graphs of several languages to one: nodes of one Wikidata id are one node, with the aliases of all.

The first graph given names a shared node and says what kind it is. Within one language an id stays with the first
page that has it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from . import csr, kinds
from .fold import fold_array
from .store import ALIASES, NODES
from .wiki import ALIAS_SOURCES, Wiki


@dataclass(frozen=True)
class Merged:
    """Tables with the columns of `store`, without PageRank and degrees; CSR arrays, is-a possibly cyclic.

    Attributes:
        kind: int8 index into `kinds.NAMES`. category: bool. shared: nodes that more than one language has.
    """

    nodes: pa.Table
    aliases: pa.Table
    kind: np.ndarray
    category: np.ndarray
    links: tuple[np.ndarray, np.ndarray]
    is_a: tuple[np.ndarray, np.ndarray]
    shared: int


def merge(wikis: Sequence[Wiki]) -> Merged:
    """One graph of all; empties the pair lists of `wikis` as it goes, for memory."""
    numbers, n = _numbers(wikis)
    first = [np.flatnonzero(number >= start) for number, start in numbers]
    kind = np.concatenate([w.kind[f] for w, f in zip(wikis, first, strict=True)])
    category = np.concatenate([w.category[f] for w, f in zip(wikis, first, strict=True)])
    languages: dict[str, np.ndarray] = {}
    image = np.zeros(n, bool)
    image_known = np.zeros(n, bool)
    for w, (number, _) in zip(wikis, numbers, strict=True):
        languages.setdefault(w.lang, np.zeros(n, bool))[number] = True
        image[number] |= w.image
        image_known[number] |= w.image_known
    columns = {
        "name": pa.chunked_array([w.names.take(pa.array(f)) for w, f in zip(wikis, first, strict=True)]),
        "lang": _repeated([w.lang for w in wikis], first),
        "wikidata": _wikidata(np.concatenate([w.wikidata[f] for w, f in zip(wikis, first, strict=True)])),
        "page_id": _nullable(np.concatenate([w.page_id[f] for w, f in zip(wikis, first, strict=True)])),
        "kind": pa.DictionaryArray.from_arrays(kind, list(kinds.NAMES)).cast(pa.string()),
        "has_image": pa.array(image, mask=~image_known),
        "origin": _repeated([w.origin for w in wikis], first),
    }
    aliases = pa.concat_tables([_aliases(w, number) for w, (number, _) in zip(wikis, numbers, strict=True)])
    links = _edges([(w.links, number) for w, (number, _) in zip(wikis, numbers, strict=True)], n)
    is_a = _edges([(w.is_a, number) for w, (number, _) in zip(wikis, numbers, strict=True)], n)
    types = {f.name: f.type for f in NODES}
    nodes = pa.table({name: column.cast(types[name]) for name, column in columns.items()})
    shared = int((np.sum(list(languages.values()), axis=0) > 1).sum())
    return Merged(nodes, aliases, kind, category, links, is_a, shared)


def _numbers(wikis: Sequence[Wiki]) -> tuple[list[tuple[np.ndarray, int]], int]:
    """Per graph (global number of each node int32, first number that is its own), and the number of nodes."""
    ids = np.zeros(0, np.int64)
    owners = np.zeros(0, np.int32)
    out, start = [], 0
    for w in wikis:
        number = np.full(len(w.names), -1, np.int32)
        unique, at = np.unique(w.wikidata, return_index=True)
        unique, at = unique[unique >= 0], at[unique >= 0]
        where = np.searchsorted(ids, unique)
        hit = (
            (where < len(ids)) & (ids[np.minimum(where, len(ids) - 1)] == unique) if len(ids) else unique < 0
        )
        number[at[hit]] = owners[where[hit]]
        if w.joins is not None:
            for which, (numbers, _) in enumerate(out):
                joined = w.joins[:, 0] == which
                number[joined] = numbers[w.joins[joined, 1]]
        own = number < 0
        number[own] = np.arange(start, start + int(own.sum()), dtype=np.int32)
        out.append((number, start))
        start += int(own.sum())
        ids, owners = np.r_[ids, unique[~hit]], np.r_[owners, number[at[~hit]]]
        order = np.argsort(ids)
        ids, owners = ids[order], owners[order]
    return out, start


def _aliases(w: Wiki, number: np.ndarray) -> pa.Table:
    folded = fold_array(w.alias_text)
    source = pa.DictionaryArray.from_arrays(w.alias_source.astype(np.int8), list(ALIAS_SOURCES))
    columns = [
        folded,
        w.alias_text,
        pa.array([w.lang]).take(pa.array(np.zeros(len(w.alias_text), np.int8))),
        pa.array(number[w.alias_node].astype(np.int64)),
        source.cast(pa.string()),
    ]
    table = pa.table(columns, names=ALIASES.names)
    return table.filter(pc.not_equal(table["folded"], ""))


def _edges(parts: list[tuple], n: int) -> tuple[np.ndarray, np.ndarray]:
    if len(parts) == 1 and (parts[0][1] == np.arange(len(parts[0][1]))).all():
        return csr.from_pairs(parts[0][0].source, parts[0][0].target, n)
    source = np.concatenate([number[p.source] for p, number in parts])
    target = np.concatenate([number[p.target] for p, number in parts])
    return csr.from_pairs(source, target, n)


def _wikidata(ids: np.ndarray) -> pa.Array:
    texts = pc.binary_join_element_wise("Q", pa.array(ids).cast(pa.string()), "")
    return pc.if_else(pa.array(ids >= 0), texts, pa.scalar(None, pa.string()))


def _nullable(values: np.ndarray) -> pa.Array:
    return pa.array(values, mask=values < 0)


def _repeated(texts: list[str], parts: list[np.ndarray]) -> pa.Array:
    codes = np.repeat(np.arange(len(texts), dtype=np.int16), [len(p) for p in parts])
    return pa.DictionaryArray.from_arrays(codes, texts).cast(pa.string())
