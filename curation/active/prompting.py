"""Prompts that ask a generator for one concept: templates, and what users asked for themselves."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence

import xxhash

from .choosing import Concept

#: `{}` is the concept. Plain ones: what fails there fails everywhere.
TEMPLATES = {
    "en": (
        "{}",
        "a photo of {}",
        "a picture of {}, the whole of it in view",
        "{} in the middle of the picture",
    ),
    "zh": ("{}", "一张{}的照片", "{}，完整地出现在画面中", "画面中央是{}"),
}


def language_of(name: str) -> str:
    """`zh` for a name with Chinese characters, else `en`."""
    return "zh" if any("\u4e00" <= c <= "\u9fff" for c in name) else "en"


def prompts_for(
    concept: Concept,
    count: int,
    asked: Sequence[str] = (),
    seed: int = 0,
    templates: dict[str, Sequence[str]] | None = None,
) -> list[tuple[str, int]]:
    """(prompt, seed of the generator) of `count` pictures; the first n are those of any smaller count.

    Prompts of users that name the concept come in turn with templates, in the languages of its names. No pair repeats.

    Args:
        asked: prompts that users wrote; those that name the concept, or an alias, as whole words are used.
        seed: of everything.
    """
    templates = templates or TEMPLATES
    names = [concept.name, *(a for a in concept.aliases if language_of(a) != language_of(concept.name))][:2]
    plain = [t.format(n) for t in _turns(templates) for n in names if t in templates[language_of(n)]]
    users = sorted(naming(concept, asked), key=lambda p: xxhash.xxh3_64_intdigest(f"{seed}|{p}".encode()))
    mixed = [p for pair in zip(plain, users, strict=False) for p in pair]
    pool = list(dict.fromkeys([*mixed, *plain, *users[len(plain) :]]))
    found = []
    for i in range(count):
        prompt, turn = pool[i % len(pool)], i // len(pool)
        found.append(
            (prompt, xxhash.xxh3_64_intdigest(f"{seed}|{concept.name}|{prompt}|{turn}".encode()) >> 33)
        )
    return found


def naming(concept: Concept, prompts: Iterable[str], others: Iterable[str] = ()) -> list[str]:
    """Prompts that hold the concept's name or an alias: Chinese anywhere, others as whole words, cases folded.

    Args:
        others: names of other concepts. Where a longer one stands, what it is put together from is not named:
            `a squirrel fish` asks for no squirrel.
    """
    names = [folded(n) for n in (concept.name, *concept.aliases) if n.strip()]
    longer = [o for o in map(folded, others) if o not in names and any(n in o for n in names)]
    hidden = _pattern(longer)
    pattern = _pattern(names)
    return [p for p in dict.fromkeys(prompts) if pattern.search(hidden.sub("\0", folded(p)))]


def _pattern(names: Iterable[str]) -> re.Pattern[str]:
    """Any of the names, longest first; of no names, nothing."""
    found = [
        re.escape(n) if language_of(n) == "zh" else rf"(?<!\w){re.escape(n)}(?!\w)"
        for n in sorted(names, key=len, reverse=True)
    ]
    return re.compile("|".join(found) or r"(?!)")


def folded(text: str) -> str:
    """As names and texts are compared: widths and cases alike."""
    return unicodedata.normalize("NFKC", text).casefold().strip()


def _turns(templates: dict[str, Sequence[str]]) -> list[str]:
    """First of each language, second of each, ..."""
    longest = max(map(len, templates.values()))
    return [of[i] for i in range(longest) for of in templates.values() if i < len(of)]
