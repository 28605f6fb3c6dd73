"""The server with the procedural engine in a process of its own: prints its URL, ends on SIGTERM.

Arguments: bytes of the store, and the port (default: a free one).
"""

from __future__ import annotations

import sys

from zcurate.model.api.running import run
from zcurate.model.api.settings import Settings

from .procedural import ProceduralEngine

if __name__ == "__main__":
    port = int(sys.argv[2]) if len(sys.argv) > 2 else 0
    settings = Settings(port=port, store_bytes=int(sys.argv[1]))
    run(ProceduralEngine(), settings, on_start=lambda url: print(url, flush=True))
