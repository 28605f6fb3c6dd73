"""What came with a picture, as a block of untrusted text for a prompt, and as evidence for names."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .alt_text import clean
from .engines import CaptionRequest
from .fencing import fence, plain
from .subject import class_label

MAX_VALUE_CHARS = 600
MAX_ITEMS = 30
MAX_FIELDS = 24
MAX_BLOCK_CHARS = 4_000
#: Fields of the samples' own metadata that say nothing about what is shown.
_IGNORED = re.compile(
    r"(?:^|_)(?:url|uri|href|src|link|path|file|filename|hash|sha\d*|md5|id|uuid|key|width|height|size|bytes|format|mime"
    r"|score|license|nsfw|punsafe|pwatermark|similarity|status|error|exif|index|split|count)(?:$|_)|^_",
    re.I,
)
_EMBEDDED = ("title", "caption", "keywords", "place", "taken_at", "creator")


@dataclass(frozen=True)
class KnownFacts:
    """Attributes:
    fields: name of the field -> text, cleaned and bounded.
    """

    fields: Mapping[str, str]

    def block(self, none: str) -> str:
        """Fenced text for a prompt; `none` where nothing is known."""
        if not self.fields:
            return none
        lines = "\n".join(f"{name}: {value}" for name, value in self.fields.items())
        return fence("metadata", lines, MAX_BLOCK_CHARS)

    def names(self, name: str) -> bool:
        """Whether a name is in the metadata: its words, in any order of fields, case and width apart."""
        words = _words(name)
        return bool(words) and all(w in self._folded for w in words)

    @property
    def _folded(self) -> str:
        return _fold(" ".join(self.fields.values()))


def known_facts(request: CaptionRequest) -> KnownFacts:
    """Alt text, the sample's metadata and what the file says about itself, each value once."""
    found: dict[str, str] = {}
    _add(found, "text", request.text)
    for name, value in (request.metadata or {}).items():
        if isinstance(name, str) and len(name) <= 40 and not _IGNORED.search(name):
            _add(found, name, value)
    for name in _EMBEDDED:
        if name == "creator" and request.origin == "camera":
            continue  # whoever took a photo is not in it
        _add(found, f"file {name}", (request.embedded or {}).get(name))
    _add(found, "label", class_label(None, request.key))
    return KnownFacts(dict(list(found.items())[:MAX_FIELDS]))


def _add(found: dict[str, str], name: str, value: Any) -> None:
    if isinstance(value, list):
        value = ", ".join(str(v) for v in value[:MAX_ITEMS] if isinstance(v, str | int | float))
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return
    text = " ".join(plain(str(value), MAX_VALUE_CHARS).split())
    dated = re.fullmatch(r"\d{4}(?:[-/.:]\d\d?){0,2}(?:[T ][\d:.+Z-]*)?", text)
    if text and (dated or clean(text)) and text not in found.values():
        found[" ".join(plain(name, 40).split())] = text


def _fold(text: str) -> str:
    return unicodedata.normalize("NFKC", text).casefold()


def _words(name: str) -> list[str]:
    return re.findall(r"\w+", _fold(name))
