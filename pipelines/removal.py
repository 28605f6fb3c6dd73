"""Takedown across a dataset and everything exported from it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from zcurate.curation.errors import DatasetError
from zcurate.curation.export import remove_from_export
from zcurate.curation.store import Dataset
from zcurate.curation.store.takedown import take_down

from .reviewing import forget_samples
from .runlog import all_records
from .search_indexes import forget_removed


def remove_samples(
    url: str, ids: Sequence[bytes], author: str, reason: str, exports: Sequence[Path] = ()
) -> dict[str, Any]:
    """Remove samples from the report, groups, side tables, and exports: those recorded, those that lie in
    the dataset's folder, and the ones given. Exports that are not where they were are named."""
    dataset = Dataset.open(url)
    # A report shows thumbnails and texts of single samples; it is made anew by the next build.
    dataset.storage.delete("report.html")
    report = take_down(dataset, ids, author, reason)
    forget_removed(url)
    forget_samples(url, ids)
    cleaned, lost = {}, []
    for path in sorted(_known_exports(dataset) | {str(p.absolute()) for p in exports}):
        try:
            cleaned[path] = remove_from_export(path, set(ids))
        except DatasetError:
            lost.append(path)
    return {
        "samples": report.samples,
        "unknown": report.unknown,
        "shards_rewritten": report.shards_rewritten,
        "table_rows": report.table_rows,
        "content_ids": [c.hex() for c in report.content_ids],
        "exports": cleaned,
        "not_found": lost,
    }


def _known_exports(dataset: Dataset) -> set[str]:
    """Folders of exports. A record made elsewhere (the dataset was copied) speaks of another's exports."""
    found: set[str] = set()
    for record in all_records(dataset):
        here = os.path.abspath(str(record.recipe.get("dataset", ""))) == dataset.storage.url
        found |= {e["out"] for e in record.exports} if here else set()
    if dataset.storage.local:
        found |= {str(p.parent) for p in dataset.storage.local.rglob("export.json")}
    return found
