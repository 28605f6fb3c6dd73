"""Sample keys that are safe as archive member names, unique, and reversible.

WebDataset readers group members by the name up to the first dot of the file name, skip names that
start with `__`, and Hugging Face `datasets` also skips names that start with a dot. Keys come from
untrusted file names, so they must neither escape a folder on extraction nor break that grouping.
"""

from __future__ import annotations

import unicodedata
from itertools import pairwise
from urllib.parse import unquote_to_bytes

import xxhash

#: Longest folder or file name of a key, in UTF-8 bytes. File systems allow 255: the rest is for
#: suffix and extension.
MAX_COMPONENT_BYTES = 180
#: Longest key, in UTF-8 bytes.
MAX_KEY_BYTES = 700

# `~` is escaped in keys so that the marks added here (`~digest`) can never be mistaken for a user's key.
_ESCAPED = frozenset('%~.\\:*?"<>|')


def _escape(char: str) -> str:
    return "".join(f"%{b:02X}" for b in char.encode("utf-8", "surrogatepass"))


def _component(name: str) -> str:
    """One folder or file name, escaped."""
    last = len(name) - 1
    out = []
    for i, char in enumerate(name):
        skipped_by_readers = i == 0 and name.startswith("__")
        trimmed_by_windows = char == " " and i in (0, last)
        # Not printable: control, right-to-left override, surrogate, unassigned, odd spaces.
        special = char in _ESCAPED or not char.isprintable()
        out.append(_escape(char) if special or skipped_by_readers or trimmed_by_windows else char)
    return "".join(out)


def safe_key(key: str) -> str:
    """A member name stem for any string. Different keys give different stems.

    Folders are kept as far as they are harmless; everything else that a reader, a file system or a
    path parser could misread is percent-encoded (`a.b/c` -> `a%2Eb/c`, `../x` -> `%2E%2E/x`,
    `/x` -> `%2Fx`). A key too long for a file name ends in `~` and 32 hex digits of its hash instead.

    Returns:
        A non-empty relative path without dots, at most `MAX_KEY_BYTES` long in UTF-8.
    """
    if not key:
        return "~"
    parts = [_component(part) for part in key.split("/")]
    stem = parts[0]
    for before, part in pairwise(parts):
        # A slash next to an empty name is a doubled, leading or trailing one.
        stem += ("/" if before and part else "%2F") + part
    too_long = any(len(p.encode("utf-8")) > MAX_COMPONENT_BYTES for p in stem.split("/"))
    if too_long or len(stem.encode("utf-8")) > MAX_KEY_BYTES:
        digest = xxhash.xxh3_128_hexdigest(key.encode("utf-8", "surrogatepass"))
        head = stem.replace("/", "%2F").encode("utf-8")[:96].decode("utf-8", "ignore")
        stem = f"{head}~{digest}"
    return stem


def original_key(stem: str) -> str | None:
    """The key that `safe_key` was given, or None where the stem only holds its hash or a suffix."""
    if stem == "~":
        return ""
    if "~" in stem:
        return None
    return unquote_to_bytes(stem).decode("utf-8", "surrogatepass")


class KeyAllocator:
    """Gives every sample of one export its own stem.

    The first sample with a key keeps it; later ones (other sources, or keys that differ only by
    case or Unicode normalization, which some file systems fold) get `~` and digits of their sample_id.
    Memory: one 8-byte hash per sample; a hash collision only costs an unneeded suffix.
    """

    def __init__(self) -> None:
        self._seen: set[int] = set()

    def _claim(self, stem: str) -> bool:
        folded = unicodedata.normalize("NFC", unicodedata.normalize("NFC", stem).casefold())
        mark = xxhash.xxh3_64_intdigest(folded.encode("utf-8"))
        if mark in self._seen:
            return False
        self._seen.add(mark)
        return True

    def allocate(self, key: str, sample_id: bytes) -> str:
        """The stem of a sample.

        Raises:
            ValueError: the same sample was given twice.
        """
        stem = safe_key(key)
        if self._claim(stem):
            return stem
        digits = sample_id.hex()
        for length in (8, len(digits)):
            candidate = f"{stem}~{digits[:length]}"
            if self._claim(candidate):
                return candidate
        raise ValueError(f"sample {digits} is in the export twice; give each sample_id once")
