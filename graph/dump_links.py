"""Links and category memberships of one wiki as pairs of page rows.

Targets are named by `linktarget.lt_id` (which is no page id), by title, or by both, whichever the dump has.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from .dump_files import DumpFiles, repeated_id
from .dump_pages import ARTICLE, CATEGORY, Pages, required
from .errors import DumpError
from .sql_table import SqlTable
from .titles import IdMap, Titles

#: What a link target is when it is no page row: no such article, another namespace, an id that linktarget
#: lacks, no such category page.
RED, ELSEWHERE, UNKNOWN, RED_CATEGORY = -1, -2, -3, -4


@dataclass(frozen=True)
class Pairs:
    """Page rows, int32 [edges], repeats included."""

    source: np.ndarray
    target: np.ndarray


def read_targets(files: DumpFiles, pages: Pages) -> IdMap | None:
    """lt_id -> page row, RED or ELSEWHERE; UNKNOWN for other ids. None without a linktarget dump."""
    table = files.tables.get("linktarget")
    if table is None:
        return None
    ids, rows = [], []
    for batch in table.batches(["lt_id", "lt_namespace"], ["lt_title"]):
        lt_id, space = required(table, batch, 0), required(table, batch, 1)
        pages.counts["linktargets"] += len(lt_id)
        ids.append(lt_id)
        rows.append(_rows_of(pages, space, batch.column(2)))
    all_ids = np.concatenate(ids) if ids else np.zeros(0, np.int64)
    targets = IdMap(all_ids, np.concatenate(rows) if rows else np.zeros(0, np.int32), UNKNOWN)
    if targets.repeated is not None:
        raise repeated_id(table, "lt_id", targets.repeated)
    return targets


def _rows_of(pages: Pages, space: np.ndarray, titles: pa.Array) -> np.ndarray:
    """int32 page row of each (namespace, title), or RED, RED_CATEGORY, ELSEWHERE."""
    row = pages.index.rows(space, Titles.of(titles))
    row[(row < 0) & (space == CATEGORY)] = RED_CATEGORY
    row[(space != ARTICLE) & (space != CATEGORY)] = ELSEWHERE
    return row


class _Targets:
    """Which columns of a link table name its target, and the page row a batch's rows point at."""

    def __init__(self, table: SqlTable, by_id: IdMap | None, id_column: str, title: str, space: str | None):
        columns = table.columns()
        self._by_id, self._space = by_id, space
        self._use_id = id_column in columns and by_id is not None
        self._use_title = title in columns
        if not self._use_id and not self._use_title:
            fix = (
                "it names its targets by id only: download the linktarget dump of the same wiki and date "
                "into the same folder"
                if id_column in columns
                else f"it has neither {id_column} nor {title}; its columns are {', '.join(columns)}"
            )
            raise DumpError(str(table.path), None, "link targets cannot be resolved", fix)
        self.integers = [id_column] * self._use_id + [space] * bool(self._use_title and space)
        self.texts = [title] * self._use_title
        self._id, self._title = id_column, title

    def rows(self, batch: pa.RecordBatch, pages: Pages) -> np.ndarray:
        """int32 page row, or what else the target is. Titles stand in for ids that are NULL or unknown."""
        row = None
        if self._use_id:
            ids = pc.fill_null(batch.column(self._id), -1).to_numpy(zero_copy_only=False)
            row = self._by_id.get(ids)
            if not self._use_title or not (row == UNKNOWN).any():
                return row
        if self._space is None:
            space = np.full(batch.num_rows, CATEGORY)
        else:
            space = pc.fill_null(batch.column(self._space), -1).to_numpy(zero_copy_only=False)
        by_title = _rows_of(pages, space, batch.column(self._title))
        return by_title if row is None else np.where(row == UNKNOWN, by_title, row)


def read_links(files: DumpFiles, pages: Pages, targets: IdMap | None) -> Pairs:
    """Links from articles to articles, through redirects. What else there was is in `pages.counts`."""
    table, counts = files.tables["pagelinks"], pages.counts
    ends = _Targets(table, targets, "pl_target_id", "pl_title", "pl_namespace")
    if ends.texts and "pl_namespace" not in table.columns():
        raise DumpError(str(table.path), None, "no column pl_namespace", "download the dump again")
    sources, finals = [], []
    for batch in table.batches(["pl_from", *ends.integers], ends.texts):
        counts["links"] += batch.num_rows
        source = pages.by_id.get(required(table, batch, 0))
        article = (source >= 0) & (pages.namespace[source] == ARTICLE)
        redirect = article & pages.is_redirect[source]
        counts["links_from_missing_pages"] += int((source == -2).sum())
        counts["links_from_redirects"] += int(redirect.sum())
        use = article & ~redirect
        target, source = ends.rows(batch, pages)[use], source[use]
        counts["links_from_articles"] += len(source)
        counts["links_with_unknown_target_id"] += int((target == UNKNOWN).sum())
        page = target >= 0
        page[page] = pages.namespace[target[page]] == ARTICLE
        counts["links_red"] += int((target == RED).sum())
        counts["links_between_articles"] += int((page | (target == RED)).sum())
        counts["links_to_other_namespaces"] += int((~page & (target != RED) & (target != UNKNOWN)).sum())
        source, target = source[page], target[page]
        via = pages.is_redirect[target]
        final = pages.final[target]
        good = (final >= 0) & (pages.namespace[final] == ARTICLE)
        counts["links_direct"] += int((~via).sum())
        counts["links_through_redirects"] += int((via & good).sum())
        counts["links_to_broken_redirects"] += int((via & ~good).sum())
        sources.append(source[good])
        finals.append(final[good])
    counts["links_resolved"] = counts["links_direct"] + counts["links_through_redirects"]
    return _joined(sources, finals)


def read_memberships(files: DumpFiles, pages: Pages, targets: IdMap | None) -> Pairs:
    """Articles and categories with the categories they are in; none without a categorylinks dump."""
    table, counts = files.tables.get("categorylinks"), pages.counts
    if table is None:
        return _joined([], [])
    ends = _Targets(table, targets, "cl_target_id", "cl_to", None)
    sources, finals = [], []
    for batch in table.batches(["cl_from", *ends.integers], ends.texts):
        counts["memberships"] += batch.num_rows
        source = pages.by_id.get(required(table, batch, 0))
        known = source >= 0
        target = ends.rows(batch, pages)
        known[known] = ~pages.is_redirect[source[known]]
        source, target = source[known], target[known]
        counts["memberships_of_articles_and_categories"] += len(source)
        counts["memberships_in_missing_categories"] += int((target == RED_CATEGORY).sum())
        counts["memberships_with_unknown_target_id"] += int((target == UNKNOWN).sum())
        source, target = source[target >= 0], target[target >= 0]
        final = pages.final[target]
        good = final >= 0
        good[good] = pages.namespace[final[good]] == CATEGORY
        counts["memberships_resolved"] += int(good.sum())
        sources.append(source[good])
        finals.append(final[good])
    return _joined(sources, finals)


def _joined(sources: list[np.ndarray], targets: list[np.ndarray]) -> Pairs:
    empty = [np.zeros(0, np.int32)]
    return Pairs(np.concatenate(sources or empty), np.concatenate(targets or empty))
