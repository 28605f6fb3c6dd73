"""One wiki's dump as a graph of its own: nodes, aliases, links and memberships, ready to be merged with others."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from . import kinds
from .dump_files import DumpFiles, find_dumps
from .dump_links import Pairs, read_links, read_memberships, read_targets
from .dump_pages import CATEGORY, Pages, read_pages, read_props
from .titles import names_of


@dataclass
class Wiki:
    """A graph in one language, whatever it was made from.

    Attributes:
        names: display names, string. kind: int8 index into `kinds.NAMES`. category: bool, whatever its kind. wikidata, page_id: int64, -1 for none.
        image: bool; image_known: does `image` mean anything. origin: name of the dump or file.
        alias_text, alias_node, alias_source: aligned; source indexes `ALIAS_SOURCES`.
        links, is_a: pairs of node numbers, repeats allowed, is-a cycles allowed.
        counts: figures. notes: sentences for people. sources: files read.
        joins: int64 [n, 2], (graph, node) given earlier that a node is, or -1; None for none.
    """

    lang: str
    origin: str
    names: pa.Array
    kind: np.ndarray
    category: np.ndarray
    wikidata: np.ndarray
    page_id: np.ndarray
    image: np.ndarray
    image_known: bool
    alias_text: pa.Array
    alias_node: np.ndarray
    alias_source: np.ndarray
    links: Pairs
    is_a: Pairs
    counts: Counter[str]
    notes: list[str]
    sources: list[dict[str, Any]]
    joins: np.ndarray | None = None


ALIAS_SOURCES = ("title", "redirect", "section", "label", "tag")


def read_wiki(folder: str | Path, lang: str) -> Wiki:
    """Read the dumps of one wiki in a folder.

    Raises:
        DumpError: names the file, the byte offset where there is one, and what to do.
    """
    files = find_dumps(Path(folder))
    pages = read_pages(files)
    props = read_props(files, pages)
    targets = read_targets(files, pages)
    links = read_links(files, pages, targets)
    is_a = read_memberships(files, pages, targets)
    del targets
    real = ~pages.is_redirect
    node = np.where(real, np.cumsum(real) - 1, -1).astype(np.int32)
    titles = names_of(pages.titles.array())
    names = titles.filter(pa.array(real))
    is_category = pages.namespace[real] == CATEGORY
    flags = props.disambiguation[real], props.hidden[real]
    kind = kinds.kinds_of(names, lang, is_category, *flags, props.wikidata[real])
    alias_text, alias_node, alias_source = _aliases(pages, titles, node)
    return Wiki(
        lang=lang,
        origin="-".join(p for p in (files.wiki, files.date) if p) or str(folder),
        names=names,
        kind=kind,
        category=is_category,
        wikidata=props.wikidata[real],
        page_id=pages.page_id[real],
        image=props.image[real],
        image_known=props.known,
        alias_text=alias_text,
        alias_node=alias_node,
        alias_source=alias_source,
        links=Pairs(node[links.source], node[links.target]),
        is_a=Pairs(node[is_a.source], node[is_a.target]),
        counts=pages.counts,
        notes=_notes(files, pages),
        sources=files.sources(),
    )


def _aliases(pages: Pages, titles: pa.Array, node: np.ndarray) -> tuple[pa.Array, np.ndarray, np.ndarray]:
    """Titles of pages and of the redirects that lead to them."""
    leads = pages.final >= 0
    source = np.where(pages.is_redirect, np.where(pages.section, 2, 1), 0).astype(np.int8)
    return titles.filter(pa.array(leads)), node[pages.final[leads]], source[leads]


def _notes(files: DumpFiles, pages: Pages) -> list[str]:
    without = {
        "redirect": "links to redirects are lost",
        "page_props": "no Wikidata ids, disambiguation marks or page images",
        "categorylinks": "no is-a edges",
    }
    notes = [f"{files.folder}: no {t} dump: {what}" for t, what in without.items() if t not in files.tables]
    for table in files.tables.values():
        if table.stats.complete is False:
            notes.append(f"{table.path}: no closing line of mysqldump: the file may be cut off")
    unknown = pages.counts["links_with_unknown_target_id"]
    if unknown:
        notes.append(f"{files.folder}: {unknown} links point at ids that linktarget lacks")
    return notes
