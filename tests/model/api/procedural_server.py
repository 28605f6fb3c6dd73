"""The server with the procedural engine in a process of its own: prints its URL, ends on SIGTERM."""

from __future__ import annotations

import sys

from zcurate.model.api.running import run
from zcurate.model.api.settings import Settings

from .procedural import ProceduralEngine

if __name__ == "__main__":
    settings = Settings(port=0, store_bytes=int(sys.argv[1]))
    run(ProceduralEngine(), settings, on_start=lambda url: print(url, flush=True))
