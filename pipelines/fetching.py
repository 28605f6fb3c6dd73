"""`zcurate fetch`: progress and exit code around `zcurate.curation.ingest.fetch`."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict

from zcurate.curation.ingest.fetch import FetchOptions, fetch


def run_fetch(
    manifest: str, out: str, concurrency: int, per_host: int, retry_failed: bool, as_json: bool
) -> int:
    """Fetch and print what came of it. Exit code 0 when every row is ok, 3 when some are errors."""

    def progress(ok: int, failed: int) -> None:
        print(f"  {ok} fetched, {failed} failed", file=sys.stderr, flush=True)

    options = FetchOptions(concurrency=concurrency, per_host=per_host)
    report = fetch(manifest, out, retry=retry_failed, options=options, progress=progress)
    if as_json:
        print(json.dumps(asdict(report)))
    else:
        print(f"{out}: {report.ok} of {report.rows} images in {report.seconds:.1f} s")
        for name, count in sorted(report.errors.items(), key=lambda e: -e[1]):
            print(f"{count:>8}  {name}")
        if report.retryable:
            print(f"{report.retryable} may work later: repeat with --retry")
    return 0 if report.ok == report.rows else 3
