"""Concepts of Chinese culture named in texts: a bundled lexicon, and matching with care for false friends."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache

from .data_files import CULTURE_FILE
from .text import folded

_BLOCK = "not"
_WORD = re.compile(r"[a-z0-9]+(?:'[a-z]+)?")
_HAN_RUN = re.compile(r"[㐀-䶿一-鿿豈-﫿0-9a-z]+")

#: Pinyin written as separate syllables is matched from this many on: two are often English words ("long men").
_MIN_SPACED_SYLLABLES = 3


@dataclass(frozen=True)
class CultureEntry:
    """One concept.

    Attributes:
        id: stable name, e.g. `dragon_boat`.
        category: food, dress, opera, festival, ...
        zh: simplified forms, the main one first; `zh_hant`: traditional forms where they differ.
        en: English names, the main one first.
        pinyin: syllables of the main Chinese form, may be empty.
        visual: can be recognized in a picture, so it serves as a zero-shot tag.
    """

    id: str
    category: str
    zh: tuple[str, ...]
    zh_hant: tuple[str, ...]
    en: tuple[str, ...]
    pinyin: str
    visual: bool


@lru_cache(maxsize=1)
def lexicon() -> tuple[CultureEntry, ...]:
    """The bundled entries in file order."""
    return tuple(entry for entry in _lines() if isinstance(entry, CultureEntry))


def find_culture(texts: Iterable[str | None]) -> list[str]:
    """Ids of the concepts that texts name, in the order of the lexicon, each once.

    Chinese is matched left to right by the longest word that starts at a place, English by whole words
    (hyphens, accents, case and a plural s do not matter). Words under `[not]` take part and stand for nothing:
    `凤凰城` is no phoenix, `red panda` no panda.
    """
    chinese, longest, english = _index()
    found: set[str] = set()
    for text in texts:
        if text:
            normal = folded(text)
            for run in _HAN_RUN.findall(normal):
                found.update(_longest_words(run, chinese, longest))
            found.update(_longest_phrases(_WORD.findall(normal.replace("’", "'")), english))
    found.discard("")
    return [entry.id for entry in lexicon() if entry.id in found]


def _longest_words(run: str, words: dict[str, str], longest: int) -> Iterator[str]:
    at = 0
    while at < len(run):
        for size in range(min(longest, len(run) - at), 0, -1):
            meaning = words.get(run[at : at + size])
            if meaning is not None:
                yield meaning
                at += size
                break
        else:
            at += 1


def _longest_phrases(tokens: list[str], phrases: dict[str, dict[tuple[str, ...], str]]) -> Iterator[str]:
    singular = [_singular(t) for t in tokens]
    at = 0
    while at < len(singular):
        for phrase, meaning in phrases.get(singular[at], {}).items():
            if tuple(singular[at : at + len(phrase)]) == phrase:
                yield meaning
                at += len(phrase)
                break
        else:
            at += 1


def _singular(word: str) -> str:
    word = word.removesuffix("'s").replace("'", "")
    return word[:-1] if len(word) > 3 and word.endswith("s") and not word.endswith("ss") else word


@lru_cache(maxsize=1)
def _index() -> tuple[dict[str, str], int, dict[str, dict[tuple[str, ...], str]]]:
    """Chinese word -> id, the longest one's length, and first English word -> phrases, longest first."""
    chinese: dict[str, str] = {}
    phrases: dict[tuple[str, ...], str] = {}
    for entry in _lines():
        blocked = not isinstance(entry, CultureEntry)
        forms, names = (
            entry if blocked else ((*entry.zh, *entry.zh_hant), (*entry.en, *_romanized(entry.pinyin)))
        )
        meaning = "" if blocked else entry.id
        for form in forms:
            chinese.setdefault(folded(form), meaning)
        for name in names:
            phrases.setdefault(tuple(_singular(t) for t in _WORD.findall(folded(name))), meaning)
    by_first: dict[str, dict[tuple[str, ...], str]] = {}
    for phrase in sorted(phrases, key=len, reverse=True):
        by_first.setdefault(phrase[0], {})[phrase] = phrases[phrase]
    return chinese, max(map(len, chinese)), by_first


def _romanized(pinyin: str) -> Iterator[str]:
    syllables = pinyin.split()
    if len(syllables) > 1:
        yield "".join(syllables)
    if len(syllables) >= _MIN_SPACED_SYLLABLES:
        yield pinyin


def _lines() -> Iterator[CultureEntry | tuple[tuple[str, ...], tuple[str, ...]]]:
    """Entries, and under `[not]` pairs of (Chinese, English) words that stand for nothing."""
    category = ""
    for number, line in enumerate(CULTURE_FILE.read_text(encoding="utf-8").splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        if line.startswith("["):
            category = line.strip("[] ")
            continue
        parts = [p.strip() for p in line.split("|")]
        if category == _BLOCK:
            yield _words(parts[0]), _words(parts[1])
        elif len(parts) == 6:
            name, zh, hant, en, pinyin, flag = parts
            yield CultureEntry(name, category, _words(zh), _words(hant), _words(en), pinyin, flag == "v")
        else:
            raise ValueError(f"{CULTURE_FILE.name}, line {number}: six fields, not {len(parts)}")


def _words(cell: str) -> tuple[str, ...]:
    return tuple(w.strip() for w in cell.split("/") if w.strip())
