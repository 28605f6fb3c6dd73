"""The bundled lists."""

from __future__ import annotations

import hashlib
from functools import lru_cache
from pathlib import Path

_FOLDER = Path(__file__).with_name("data")
CULTURE_FILE = _FOLDER / "culture.txt"
TAGS_FILE = _FOLDER / "tags.txt"


@lru_cache(maxsize=1)
def data_digest() -> str:
    """sha256 of the lists, so that an edited list is not taken for the old one."""
    return hashlib.sha256(CULTURE_FILE.read_bytes() + b"\0" + TAGS_FILE.read_bytes()).hexdigest()
