"""Which of many texts name a concept: an index of words, so that a concept costs what it has in common with them."""

from __future__ import annotations

import re
from array import array
from collections.abc import Iterable, Sequence

from .choosing import Concept
from .prompting import folded, language_of, naming

#: A Chinese character, or a run of other letters and digits.
_TOKEN = re.compile(r"[\u4e00-\u9fff]|[^\W\u4e00-\u9fff]+")


class Mentions:
    """Finds concepts in texts.

    Args:
        texts: searched; repeated ones count each time.
        names: of all concepts. Where a longer name stands, its parts are not named: see `naming`.
    """

    def __init__(self, texts: Iterable[str], names: Iterable[str] = ()):
        numbers: dict[str, array] = {}
        for i, text in enumerate(texts):
            numbers.setdefault(text, array("q")).append(i)
        self._texts, self._numbers = list(numbers), list(numbers.values())
        self._by_token = _index(self._texts)
        self._names = list(dict.fromkeys(names))
        self._names_by_token = _index(self._names)

    def of(self, concept: Concept) -> list[int]:
        """Numbers of the texts that name it, ascending."""
        own = (concept.name, *concept.aliases)
        others = [self._names[i] for name in own for i in _holding(self._names_by_token, self._names, name)]
        texts = {i for name in own for i in _holding(self._by_token, self._texts, name)}
        named = set(naming(concept, (self._texts[i] for i in sorted(texts)), others))
        return sorted(n for i in texts if self._texts[i] in named for n in self._numbers[i])


def _index(texts: Sequence[str]) -> dict[str, array]:
    found: dict[str, array] = {}
    for i, text in enumerate(texts):
        for token in {*_TOKEN.findall(folded(text))}:
            found.setdefault(token, array("q")).append(i)
    return found


def _holding(index: dict[str, array], texts: Sequence[str], name: str) -> Iterable[int]:
    """Texts that hold every word of a name; all of them for a name without words, such as `++`."""
    tokens = {*_TOKEN.findall(folded(name))}
    if (
        language_of(name) == "zh"
    ):  # found anywhere, so that Latin letters in it may be the end of a longer word
        tokens = {t for t in tokens if language_of(t) == "zh"}
    if not tokens:
        return range(len(texts))
    return set.intersection(*(set(index.get(t, ())) for t in tokens))
