"""Zero-shot tags: which phrases of a bundled list an image embedding is nearest to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, Protocol

import numpy as np

from .culture import lexicon
from .data_files import TAGS_FILE

_NEUTRAL = "-"
CULTURE_FACET = "culture"

Language = Literal["en", "zh"]

#: Sentences a phrase is put into; their vectors are averaged, as in Radford et al., arXiv:2103.00020, 3.1.4.
#: Two of them: with about 370 phrases, more would make every CPU worker start minutes later.
_TEMPLATES: dict[str, tuple[str, ...]] = {"en": ("{}.", "an image of {}."), "zh": ("{}", "图中是{}")}


class TextEncoder(Protocol):
    """The part of an encoder that is needed here."""

    def encode_texts(self, texts: list[str]) -> np.ndarray | None: ...


@dataclass(frozen=True)
class Tag:
    """A tag with its phrases; `name` is None for a facet's neutral line."""

    facet: str
    name: str | None
    en: str
    zh: str


@lru_cache(maxsize=1)
def tag_list() -> tuple[Tag, ...]:
    """The bundled tags, and a facet `culture` of the lexicon's visible entries, named by their ids."""
    tags, facet = [], ""
    for line in TAGS_FILE.read_text(encoding="utf-8").splitlines():
        if not line.strip() or line.startswith("#"):
            continue
        if line.startswith("["):
            facet = line.strip("[] ")
            continue
        name, en, zh = (p.strip() for p in line.split("|"))
        tags.append(Tag(facet, None if name == _NEUTRAL else name, en, zh))
    tags += [Tag(CULTURE_FACET, e.id, e.en[0], e.zh[0]) for e in lexicon() if e.visual]
    tags += [
        Tag(CULTURE_FACET, None, en, zh) for en, zh in (("something", "某个东西"), ("a picture", "一张图片"))
    ]
    return tuple(tags)


class ZeroShotTagger:
    """Scores the tags of each facet against each other.

    The probability of a tag is the softmax over its facet, neutral lines included, of cosine divided by
    `temperature`. A facet therefore says nothing where no tag stands out: with n equal cosines each gets 1/n.

    Args:
        encoder: loaded encoder with a text tower.
        languages: languages of the phrases; the vectors of several are averaged.
        temperature: 0.01 is the inverse of CLIP's logit scale of 100.
        threshold: least probability of a tag that is given.
    """

    def __init__(
        self, encoder: TextEncoder, languages: Sequence[Language], temperature: float, threshold: float
    ) -> None:
        self._tags = tag_list()
        self._temperature, self._threshold = temperature, threshold
        prompts = [
            template.format(getattr(tag, language))
            for tag in self._tags
            for language in languages
            for template in _TEMPLATES[language]
        ]
        vectors = encoder.encode_texts(prompts)
        if vectors is None:
            raise ValueError("the encoder has no text tower")
        mean = vectors.reshape(len(self._tags), -1, vectors.shape[1]).mean(axis=1, dtype=np.float64)
        self._vectors = mean / np.maximum(np.linalg.norm(mean, axis=1, keepdims=True), 1e-12)
        facets = [tag.facet for tag in self._tags]
        self._facets = [(facets.index(f), facets.index(f) + facets.count(f)) for f in dict.fromkeys(facets)]

    def probabilities(self, vectors: np.ndarray) -> np.ndarray:
        """Unit image vectors [n, dim] to float64 [n, tags], summing to 1 within each facet."""
        logits = np.asarray(vectors, np.float64) @ self._vectors.T / self._temperature
        for first, end in self._facets:
            part = np.exp(logits[:, first:end] - logits[:, first:end].max(axis=1, keepdims=True))
            logits[:, first:end] = part / part.sum(axis=1, keepdims=True)
        return logits

    def tags(self, vectors: np.ndarray) -> list[list[str]]:
        """Names above the threshold per image, the most probable first."""
        found = []
        for row in self.probabilities(vectors):
            at = [i for i in np.argsort(-row, kind="stable") if row[i] >= self._threshold]
            found.append([name for i in at if (name := self._tags[i].name) is not None])
        return found
