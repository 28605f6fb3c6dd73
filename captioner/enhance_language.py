"""Which language a prompt is in, well enough to notice that an enhancer changed it. No model.

Other scripts name their language; languages in Latin letters are told apart by their commonest words and letters. A
short prompt may fit several, so candidates are compared, not one guess.
"""

from __future__ import annotations

import re

from .elements_quotes import script_counts, without_quotes

_SCRIPTS = {"CYRILLIC": "cyrillic", "HANGUL": "ko", "ARABIC": "arabic", "HEBREW": "he", "THAI": "th", "DEVANAGARI": "hi",
    "GREEK": "el", "BENGALI": "bn", "TAMIL": "ta", "GEORGIAN": "ka", "ARMENIAN": "hy"}  # fmt: skip

#: Commonest words of prompts. A word of several languages counts for all of them.
_WORDS = {
    "en": "a an the of in on with and at by for from is are to under over near behind his her its that this two",
    "pt": "um uma o os as de do da dos das em no na nos nas com e ao à sobre sob para por pelo pela que seu sua são é "
    "está ao perto dois duas num numa atrás ao lado",
    "es": "un una el los las de del en con y al sobre bajo para por que su sus es son está junto cerca dos detrás lado "
    "unos unas hacia",
    "de": "ein eine einen einem einer der die das den dem des im in auf mit und am an bei unter über für von zum zur ist "
    "sind neben vor hinter zwei aus sich",
    "fr": "un une le la les des du de dans sur avec et au aux sous pour par que son sa ses est sont près deux derrière "
    "devant l d en qui",
    "it": "un una uno il lo la gli le di del della dei delle nel nella su sul sulla con e al alla sotto per che è sono "
    "vicino due dietro",
    "nl": "een de het van in op met en aan bij onder boven voor uit is zijn naast achter twee die dat",
    "pl": "w na z i do pod nad przy jest są się dwa dwie obok za o ze",
    "vi": "một con cái của và trên dưới trong với là ở bên những có",
    "tr": "bir ve ile üzerinde altında içinde bu şu için olan iki",
    "id": "seorang sebuah seekor di dan dengan yang pada dari ke dalam atas bawah dua",
}  # fmt: skip
_VOCABULARY = {code: frozenset(words.split()) for code, words in _WORDS.items()}
_LETTERS = {
    "pt": "ãõç",
    "es": "ñ¿¡",
    "de": "ßäöü",
    "fr": "êèœçàùîô",
    "pl": "łąęśżźćń",
    "tr": "ışğ",
    "vi": "ảạếệộữựđơư",
}
_WORD = re.compile(r"[^\W\d_]+")


def candidates(text: str) -> frozenset[str]:
    """Languages a text may be in by what stands outside its quotes: `zh`, `en`, `ja`, `ru`...

    Empty for a text without letters; all languages in Latin letters for one without a telling word.
    """
    outside = without_quotes(text)
    scripts = script_counts(outside)
    if not scripts:
        return frozenset()
    kana = scripts["HIRAGANA"] + scripts["KATAKANA"]
    # A Chinese character or a Korean syllable weighs as three letters: names in Latin letters decide nothing.
    weights = {
        "han": 3 * (scripts["CJK"] + kana),
        "latin": scripts["LATIN"],
        **{code: (3 if code == "ko" else 1) * scripts[script] for script, code in _SCRIPTS.items()},
    }
    top = max(weights, key=lambda code: weights[code])
    if top == "han":
        return frozenset(("ja",) if kana * 10 > scripts["CJK"] else ("zh",))
    if top == "cyrillic":
        return frozenset(("uk",) if any(c in "іїєґ" for c in outside.lower()) else ("ru",))
    if top != "latin":
        return frozenset((top,))
    return _latin(outside.lower())


def _latin(text: str) -> frozenset[str]:
    words = _WORD.findall(text)
    scores = {
        code: sum(w in known for w in words) + 2 * sum(c in _LETTERS.get(code, "") for c in text)
        for code, known in _VOCABULARY.items()
    }
    best = max(scores.values())
    if best == 0:
        return frozenset(scores)
    # A near tie in a short text settles nothing.
    margin = 0 if best >= 12 else 1 if best >= 3 else 0
    return frozenset(code for code, score in scores.items() if score >= max(1, best - margin))


def pack_language(text: str) -> str:
    """`zh` or `en`: whose instructions a prompt gets. Majority of letters outside quotes; others are asked in English."""
    return "zh" if candidates(text) == {"zh"} else "en"


def language_name(text: str) -> str:
    """How an instruction names the language to keep."""
    names = {"zh": "Chinese", "en": "English", "pt": "Portuguese", "es": "Spanish", "de": "German", "fr": "French",
        "ru": "Russian", "ko": "Korean", "ja": "Japanese", "it": "Italian", "nl": "Dutch", "pl": "Polish",
        "uk": "Ukrainian", "arabic": "Arabic", "vi": "Vietnamese", "tr": "Turkish", "id": "Indonesian",
        "th": "Thai", "he": "Hebrew", "el": "Greek", "hi": "Hindi"}  # fmt: skip
    found = candidates(text)
    if len(found) == 1:
        return names.get(next(iter(found)), "the language of the prompt")
    return "the language of the prompt"
