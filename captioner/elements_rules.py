"""The rule engine: which language's rules read a prompt."""

from __future__ import annotations

from . import elements_en, elements_zh
from .elements import Decomposition
from .elements_draft import Draft, build
from .elements_quotes import quoted_spans, script_counts, without_quotes

VERSION = 2
#: Longest prompt read, in characters; what follows is left out.
MAX_PROMPT_CHARS = 20_000


def decompose(prompt: str) -> Decomposition:
    """Elements of a prompt by the rules of its language; of any other language only the lettering."""
    lang = language_of(prompt)
    text = prompt[:MAX_PROMPT_CHARS]
    if lang == "zh":
        draft = elements_zh.read(text)
    elif lang == "en":
        draft = elements_en.read(text)
    else:
        draft = Draft(texts=[(q, None) for q in quoted_spans(text)])
    return build(prompt, lang, f"rules-{VERSION}", draft)


def language_of(prompt: str) -> str:
    """`zh` or `en` by the majority of letters outside quotes, `other` for other scripts and Latin of other languages."""
    scripts = script_counts(without_quotes(prompt))
    if not scripts:
        scripts = script_counts(prompt)
    if not scripts:
        return "other"
    # A Chinese character says about as much as a word of three letters.
    weights = {
        name: n * (3 if name in ("CJK", "HANGUL", "HIRAGANA", "KATAKANA") else 1)
        for name, n in scripts.items()
    }
    kana = sum(scripts[s] for s in ("HIRAGANA", "KATAKANA"))
    top = max(weights, key=lambda name: weights[name])
    if kana and top in ("CJK", "HIRAGANA", "KATAKANA"):
        return "other"  # Japanese is written with Chinese characters too
    return {"CJK": "zh", "LATIN": "en"}.get(top, "other")
