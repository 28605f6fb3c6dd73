"""What `isolated.py` and `decode_worker.py` say to each other through two pipes.

A request is `REQUEST`, then the file. An answer is a row of frames, each `FRAME` (kind, length) and
that many bytes: HEADER (JSON), PIXELS any number of times, DONE; or ERROR (JSON) at any point. The
worker says READY once, when it has started. No object ever travels, only numbers, text and pixels.
"""

from __future__ import annotations

import struct

#: Bytes of the file, `max_pixels`, `decode_s`, `memory_bytes`.
REQUEST = struct.Struct("<QQdQ")
#: Kind, bytes that follow.
FRAME = struct.Struct("<BQ")

READY, HEADER, PIXELS, DONE, ERROR = range(5)

#: Bytes of JSON accepted. The ICC profile is in it.
MAX_JSON_BYTES = 16 << 20
