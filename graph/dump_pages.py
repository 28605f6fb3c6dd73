"""Pages of one wiki: articles, categories, redirects resolved, properties. Rows are pages in the order of the dump."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from .dump_files import DumpFiles, offset_of, repeated_id
from .errors import DumpError
from .sql_table import SqlTable
from .titles import IdMap, TitleIndex, Titles

ARTICLE, CATEGORY = 0, 14
#: What a redirect that leads nowhere is counted as.
NOWHERE, LOOP = -1, -2

_IMAGE_PROPS = ("page_image_free", "page_image")
_PROPS = (b"wikibase_item", b"disambiguation", b"hiddencat", *(p.encode() for p in _IMAGE_PROPS))


@dataclass
class Pages:
    """All pages of namespaces 0 and 14.

    Attributes:
        page_id: int64. namespace: int32. is_redirect: bool. titles: with underscores.
        final: int32, the row a page stands for: itself, the end of its redirect chain, or NOWHERE / LOOP.
        section: bool, a redirect (anywhere in its chain's first step) into a part of a page.
        index: (namespace, title) -> row. by_id: page id -> row, -1 for pages of other namespaces.
        counts: figures of the tables read.
    """

    page_id: np.ndarray
    namespace: np.ndarray
    is_redirect: np.ndarray
    titles: Titles
    index: TitleIndex
    by_id: IdMap
    counts: Counter[str]
    final: np.ndarray
    section: np.ndarray


def read_pages(files: DumpFiles) -> Pages:
    """The page table, with redirects resolved. Raises DumpError."""
    table = files.tables["page"]
    ids, spaces, redirects, titles, every = [], [], [], [], []
    counts: Counter[str] = Counter()
    for batch in table.batches(["page_id", "page_namespace", "page_is_redirect"], ["page_title"]):
        page_id, space, redirect = (required(table, batch, i) for i in range(3))
        counts["pages"] += len(page_id)
        counts["pages_ns0"] += int((space == ARTICLE).sum())
        counts["pages_ns0_redirects"] += int(((space == ARTICLE) & (redirect != 0)).sum())
        counts["pages_ns14"] += int((space == CATEGORY).sum())
        use = (space == ARTICLE) | (space == CATEGORY)
        every.append(page_id[~use])
        ids.append(page_id[use])
        spaces.append(space[use].astype(np.int32))
        redirects.append(redirect[use] != 0)
        titles.append(batch.column(3).filter(pa.array(use)))
    counts["articles"] = counts["pages_ns0"] - counts["pages_ns0_redirects"]
    page_id, namespace = _join(ids, np.int64), _join(spaces, np.int32)
    is_redirect, other = _join(redirects, np.bool_), _join(every, np.int64)
    all_titles = Titles.of(titles)
    rows = np.r_[np.arange(len(page_id), dtype=np.int32), np.full(len(other), -1, np.int32)]
    by_id = IdMap(np.r_[page_id, other], rows, -2)
    if by_id.repeated is not None:
        raise repeated_id(table, "page_id", by_id.repeated)
    index = TitleIndex(namespace, all_titles)
    if index.repeated >= 0:
        title = all_titles.array()[index.repeated].as_py().decode("utf-8", "replace")
        problem = f"title {title!r} occurs twice in namespace {namespace[index.repeated]}"
        offset = offset_of(table, "page_id", int(page_id[index.repeated]))
        fix = "two dumps were joined or the file is damaged: download it again"
        raise DumpError(str(table.path), offset, problem, fix)
    final = np.arange(len(page_id), dtype=np.int32)
    section = np.zeros(len(page_id), np.bool_)
    pages = Pages(page_id, namespace, is_redirect, all_titles, index, by_id, counts, final, section)
    _resolve_redirects(files, pages)
    return pages


def _resolve_redirects(files: DumpFiles, pages: Pages) -> None:
    from .title_kernels import follow

    following = np.full(len(pages.page_id), -1, np.int32)
    entered = np.zeros(len(pages.page_id), np.bool_)
    counts, table = pages.counts, files.tables.get("redirect")
    all_ids = []
    if table is not None:
        # Both columns came to the table later than the others; dumps of old wikis lack them.
        later = [c for c in ("rd_interwiki", "rd_fragment") if c in table.columns()]
        texts = ["rd_title", *later]
        for batch in table.batches(["rd_from", "rd_namespace"], texts):
            source, space = required(table, batch, 0), required(table, batch, 1)
            all_ids.append(source)
            counts["redirects"] += len(source)
            row = pages.by_id.get(source)
            here = row >= 0
            counts["redirects_without_page"] += int((row == -2).sum())
            interwiki, fragment = (
                _given(batch.column(c)) if c in later else np.zeros(len(row), bool)
                for c in ("rd_interwiki", "rd_fragment")
            )
            counts["redirects_interwiki"] += int(interwiki.sum())
            counts["redirects_to_sections"] += int((fragment & ~interwiki).sum())
            target = pages.index.rows(space, Titles.of(batch.column("rd_title")))
            use = here & ~interwiki
            following[row[use]] = target[use]
            pages.section[row[use]] = fragment[use]
            entered[row[here]] = True
        ids = _join(all_ids, np.int64)
        repeated = IdMap(ids, np.zeros(len(ids), np.int32), 0).repeated
        if repeated is not None:
            raise repeated_id(table, "rd_from", repeated)
    hops = np.empty_like(following)
    follow(following, pages.is_redirect, pages.final, hops)
    redirects = pages.is_redirect
    counts["redirects_without_entry"] = int((redirects & ~entered).sum())
    counts["redirects_chained"] = int((redirects & (hops > 1) & (pages.final >= 0)).sum())
    counts["redirects_in_loops"] = int((redirects & (pages.final == LOOP)).sum())
    counts["redirects_resolved"] = int((redirects & (pages.final >= 0)).sum())
    counts["redirects_to_nothing"] = int((redirects & (pages.final == NOWHERE)).sum())


@dataclass(frozen=True)
class Props:
    """What page_props says of each page. `wikidata`: int64 Q number, -1 for none. `known`: the table was given."""

    wikidata: np.ndarray
    disambiguation: np.ndarray
    hidden: np.ndarray
    image: np.ndarray
    known: bool


def read_props(files: DumpFiles, pages: Pages) -> Props:
    """Raises DumpError."""
    rows = len(pages.page_id)
    wikidata = np.full(rows, -1, np.int64)
    flags = {name: np.zeros(rows, np.bool_) for name in ("disambiguation", "hiddencat", "image")}
    table, counts = files.tables.get("page_props"), pages.counts
    if table is None:
        return Props(wikidata, *flags.values(), known=False)
    wanted = pa.array(_PROPS, pa.binary())
    for batch in table.batches(["pp_page"], ["pp_propname", "pp_value"]):
        counts["page_props"] += batch.num_rows
        which = pc.index_in(batch.column("pp_propname"), value_set=wanted)
        batch = batch.filter(pc.is_valid(which))
        which = which.drop_null().to_numpy(zero_copy_only=False)
        row = pages.by_id.get(required(table, batch, 0))
        items = which == 0
        counts["wikidata_ids"] += int(items.sum())
        counts["wikidata_ids_ns0"] += int((items & (row >= 0) & (pages.namespace[row] == ARTICLE)).sum())
        values = batch.column("pp_value").filter(pa.array(items & (row >= 0))).cast(pa.string())
        good = pc.match_substring_regex(values, r"^Q[0-9]{1,17}$")
        at = row[items & (row >= 0)][good.to_numpy(zero_copy_only=False)]
        wikidata[at] = pc.utf8_slice_codeunits(values.filter(good), 1).cast(pa.int64()).to_numpy()
        for name, mask in (
            ("disambiguation", which == 1),
            ("hiddencat", which == 2),
            ("image", which >= 3),
        ):
            flags[name][row[mask & (row >= 0)]] = True
    return Props(wikidata, flags["disambiguation"], flags["hiddencat"], flags["image"], known=True)


def required(table: SqlTable, batch: pa.RecordBatch, column: int) -> np.ndarray:
    """An int64 column without nulls. Raises DumpError where there is one."""
    array = batch.column(column)
    if array.null_count:
        name = batch.schema.field(column).name
        raise DumpError(
            str(table.path), None, f"column {name} holds NULL", "the dump is damaged: download it again"
        )
    return array.to_numpy(zero_copy_only=False)


def _given(column: pa.Array) -> np.ndarray:
    """bool: neither NULL nor empty."""
    length = pc.fill_null(pc.binary_length(column), 0)
    return length.to_numpy(zero_copy_only=False) > 0


def _join(parts: list[np.ndarray], dtype: type) -> np.ndarray:
    return np.concatenate(parts) if parts else np.zeros(0, dtype)
