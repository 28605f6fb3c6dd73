"""Tokens and word classes of English prompts, from closed lists and word endings; no tagger, no weights."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from . import elements_words_en as w
from .elements_quotes import Quoted, quoted_spans

#: Stands for a quoted span in the token list.
QUOTE = "\ue000"
_TOKEN = re.compile(
    r"\d+(?:[.,]\d+)*(?:%|[^\W_]+(?:-[^\W_]+)*|(?:-[^\W_]+)+)?|[^\W\d_]+(?:[-'’&][^\W_]+)*|[^\w\s]|\w+",
    re.UNICODE,
)


@dataclass(frozen=True)
class Token:
    """`low`: folded to lower case, with a straight apostrophe; `quoted`: the span where `low` is QUOTE."""

    low: str
    text: str
    start: int
    end: int
    quoted: Quoted | None = None

    @property
    def is_word(self) -> bool:
        return self.low[0].isalnum()


def tokenize(prompt: str) -> list[Token]:
    """Words, numbers and marks; a quoted span is one token. A possessive 's is a token of its own."""
    spans = list(quoted_spans(prompt))
    # Same length, so that positions stay those of the prompt.
    masked = list(prompt)
    for q in spans:
        masked[q.start : q.end] = [QUOTE] + ["\n"] * (q.end - q.start - 1)
    by_start = {q.start: q for q in spans}
    tokens: list[Token] = []
    for m in _TOKEN.finditer("".join(masked)):
        text, start, end = m.group(), m.start(), m.end()
        if text == QUOTE and start in by_start:
            q = by_start[start]
            tokens.append(Token(QUOTE, prompt[q.start : q.end], q.start, q.end, q))
            continue
        low = text.lower().replace("’", "'")
        if len(low) != len(text):
            low = text
        for ending in ("'s", "'re"):
            if low.endswith(ending) and len(low) > len(ending):
                cut = len(low) - len(ending)
                tokens.append(Token(low[:cut], text[:cut], start, start + cut))
                tokens.append(Token(ending, text[cut:], start + cut, end))
                break
        else:
            tokens.append(Token(low, text, start, end))
    return tokens


@lru_cache(maxsize=8192)
def singular(word: str) -> str:
    """Singular of an English noun by rule: `benches` -> `bench`. Unknown words in -s may go wrong."""
    if word in w.IRREGULAR:
        return w.IRREGULAR[word]
    if "-" in word:
        head, _, last = word.rpartition("-")
        return f"{head}-{singular(last)}"
    if word in w.UNCHANGED or len(word) < 3 or not word.endswith("s") or word.endswith(("ss", "us")):
        return word
    if word.endswith("ies"):
        return word[:-3] + "y"
    if word.endswith("ves") and word[:-3] + "f" in ("hoof", "roof", "leaf", "sheaf"):
        return word[:-3] + "f"
    if word.endswith(("ches", "shes", "sses", "xes", "zzes")):
        return word[:-2]
    return word[:-1]


def is_plural(word: str) -> bool:
    return singular(word) != word or word in ("people", "sheep", "fish", "deer", "scissors")


@lru_cache(maxsize=1)
def _inflected() -> dict[str, tuple[str, str]]:
    """Form of a known verb -> (base form, `s`, `ing`, `ed` or `base`)."""
    forms: dict[str, tuple[str, str]] = {}
    for base in w.VERBS:
        stem = base[:-1] if base.endswith("e") and not base.endswith("ee") else base
        vowels = "aeiou"
        double = (
            len(base) >= 3
            and base[-1] not in vowels + "wxy"
            and base[-2] in vowels
            and base[-3] not in vowels
            and (len(base) <= 4 or base.endswith(("mit", "fer")))
        )
        tail = base + base[-1] if double else stem
        consonant_y = base.endswith("y") and base[-2] not in vowels
        forms[base] = (base, "base")
        ing = base[:-2] + "ying" if base.endswith("ie") else tail + "ing"
        forms[ing] = (base, "ing")
        forms[base[:-1] + "ied" if consonant_y else tail + "ed"] = (base, "ed")
        if consonant_y:
            forms[base[:-1] + "ies"] = (base, "s")
        else:
            forms[base + ("es" if base.endswith(("s", "sh", "ch", "x", "o")) else "s")] = (base, "s")
    for form, base in w.PARTICIPLES.items():
        forms[form] = (base, "ed")
    for form, base in w.PAST.items():
        forms.setdefault(form, (base, "past"))
    return forms


@lru_cache(maxsize=8192)
def verb_form(word: str) -> tuple[str, str] | None:
    """(base, form) of a verb form, None for what is none; unknown words in -ing and -ed count by their ending."""
    known = _inflected().get(word)
    if known:
        return known
    if word.endswith("ing") and len(word) > 5 and word not in w.NOUNS_IN_ING:
        return _stem(word[:-3]), "ing"
    if word.endswith("ed") and len(word) > 4 and not word.endswith("eed"):
        return _stem(word[:-2]), "ed"
    return None


def _stem(cut: str) -> str:
    """Base form of an unknown verb without its ending: `trimm` -> `trim`, `sculpt` as it is, `carv` -> `carve`."""
    if cut[-1] == cut[-2] and cut[-1] not in "lszf":
        return cut[:-1]
    if (
        cut[-1] in "vczu"
        or cut.endswith(("at", "ag", "ur", "iz", "ir", "id"))
        or (cut[-1] in "lr" and cut[-2] not in "aeiourl")
    ):
        return cut + "e"
    return cut


@lru_cache(maxsize=8192)
def closed(word: str) -> bool:
    """Does the word end a noun phrase by itself?"""
    return (
        not word[0].isalnum()
        or word in w.PREPOSITIONS
        or word in w.CONJUNCTIONS
        or word in w.RELATIVES
        or word in w.AUXILIARIES
        or word in w.RELATIONS
        or (word in w.PRONOUNS and word not in ("one", "each"))
        or word in ("not", "without", "never")
    )


@lru_cache(maxsize=8192)
def is_adjective(word: str) -> bool:
    if word in w.ADJECTIVES or word in w.MULTICOLOR:
        return True
    return len(word) > 5 and word.endswith(w.ADJECTIVE_ENDINGS) and word not in w.NOT_ADJECTIVES


@lru_cache(maxsize=8192)
def is_adverb(word: str) -> bool:
    return word in w.ADVERBS or (word.endswith("ly") and len(word) > 4 and word not in _NOUNS_IN_LY)


_NOUNS_IN_LY = frozenset("family butterfly dragonfly jelly belly lily lovely friendly lonely ugly fly silly assembly "
                         "holly elderly curly woolly hilly bubbly smelly lively cuddly chilly".split())  # fmt: skip


def color_name(word: str) -> str | None:
    """English name of a color word, of compounds too (`reddish`, `sky-blue`, `orange-colored`)."""
    if word in w.COLORS:
        return w.COLORS[word]
    parts = word.removesuffix("-colored").removesuffix("-coloured").split("-")
    if len(parts) > 1 or parts[0] != word:
        return w.COLORS.get(parts[-1]) if all(p in w.COLORS or p in w.COLOR_SHADES for p in parts) else None
    return w.COLORS.get(word[:-3]) if word.endswith("ish") else None


def number(word: str) -> int | None:
    """Value of a number word or of digits; None for others and for numbers no picture counts."""
    if word in w.NUMBERS:
        return w.NUMBERS[word]
    if "-" in word:
        parts = [w.NUMBERS.get(p) for p in word.split("-")]
        if len(parts) == 2 and None not in parts and parts[0] in range(20, 100) and parts[1] in range(1, 10):
            return parts[0] + parts[1]  # type: ignore[operator]
        return None
    return int(word) if word.isascii() and word.isdigit() and len(word) <= 3 else None


@lru_cache(maxsize=1)
def _relation_starts() -> frozenset[str]:
    return frozenset(phrase.split()[0] for phrase in w.RELATIONS if " " in phrase)


def relation_at(tokens: Sequence[Token], i: int) -> bool:
    """Does a relation of several words (`right of`, `next to`) start here?"""
    if tokens[i].low not in _relation_starts():
        return False
    lows = [t.low for t in tokens[i : i + 5]]
    return any(" ".join(lows[:n]) in w.RELATIONS for n in range(2, len(lows) + 1))
