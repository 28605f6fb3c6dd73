"""What a picture shows, gathered from several finders: detectors, zero-shot tags, words in texts."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Protocol


@dataclass(frozen=True)
class Semantics:
    """Findings of one finder; None means that it does not look for that.

    Attributes:
        tags: names of things, scenes, media.
        faces, people: numbers seen.
        culture: ids of the lexicon of Chinese culture.
        nsfw: 0 (safe) .. 1.
    """

    tags: tuple[str, ...] | None = None
    faces: int | None = None
    people: int | None = None
    culture: tuple[str, ...] | None = None
    nsfw: float | None = None


class SemanticTagger(Protocol):
    """A finder that looks at the picture itself, such as a vision-language model with a tagging prompt."""

    name: str

    def load(self) -> None: ...

    def semantics(self, image: bytes, text: str | None) -> Semantics:
        """Findings for one encoded thumbnail and the text that came with it (untrusted)."""


def merged(*findings: Semantics) -> Semantics:
    """All findings together: lists joined without repeats, otherwise the first finder that gives a value."""
    joined = {}
    for name in (f.name for f in fields(Semantics)):
        given = [v for s in findings if (v := getattr(s, name)) is not None]
        if given and isinstance(given[0], tuple):
            joined[name] = tuple(dict.fromkeys(word for words in given for word in words))
        else:
            joined[name] = given[0] if given else None
    return Semantics(**joined)
