"""Takedown across a dataset and everything exported from it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from zcurate.curation.export import remove_from_export
from zcurate.curation.store import Dataset
from zcurate.curation.store.takedown import take_down

from .runlog import all_records


def remove_samples(
    url: str, ids: Sequence[bytes], author: str, reason: str, exports: Sequence[Path] = ()
) -> dict[str, Any]:
    """Remove samples from groups, side tables, recorded exports and the ones given, and the report."""
    dataset = Dataset.open(url)
    report = take_down(dataset, ids, author, reason)
    recorded = {e["out"] for r in all_records(dataset) for e in r.exports}
    cleaned = {}
    for path in sorted(recorded | {str(p.absolute()) for p in exports}):
        if Path(path).is_dir():
            cleaned[path] = remove_from_export(path, set(ids))
    # A report shows thumbnails and texts of single samples; it is made anew by the next build.
    dataset.storage.delete("report.html")
    return {
        "samples": report.samples,
        "unknown": len(set(ids)) - report.samples,
        "shards_rewritten": report.shards_rewritten,
        "table_rows": report.table_rows,
        "content_ids": [c.hex() for c in report.content_ids],
        "exports": cleaned,
    }
