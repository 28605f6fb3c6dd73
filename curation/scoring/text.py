"""Text that came with an image: its language, and the same word however it was typed."""

from __future__ import annotations

import re
import unicodedata

#: Characters read of one text. Longer ones are no descriptions.
MAX_TEXT_CHARS = 10_000

#: A Chinese character says about as much as three Latin letters.
_HAN_WEIGHT = 3

_HAN = re.compile(r"[㐀-䶿一-鿿豈-﫿\U00020000-\U0003134f]")
_KANA_HANGUL = re.compile(r"[぀-ヿㇰ-ㇿｦ-ﾝᄀ-ᇿ㄰-㆏가-힯]")
_LATIN = re.compile(r"[A-Za-zÀ-ÖØ-öø-ɏḀ-ỿＡ-Ｚａ-ｚ]")


def language_of(text: str | None) -> str | None:
    """`zh`, `en` or `other`, by script; None for an empty text.

    Han characters without kana or hangul read as Chinese, Latin letters as English (a French caption is
    `en` too), whichever is more, a Han character counting as three letters. Text with kana or hangul,
    in another script, or without letters is `other`.
    """
    text = (text or "")[:MAX_TEXT_CHARS]
    if not text.strip():
        return None
    han, latin = len(_HAN.findall(text)) * _HAN_WEIGHT, len(_LATIN.findall(text))
    letters = sum(c.isalpha() for c in text)
    rest = letters - han // _HAN_WEIGHT - latin
    if _KANA_HANGUL.search(text) and han >= latin:
        return "other"
    if max(han, latin) == 0 or rest > max(han, latin):
        return "other"
    return "zh" if han >= latin else "en"


def folded(text: str) -> str:
    """Compatibility forms unified, lower case, accents of Latin letters removed."""
    decomposed = unicodedata.normalize("NFKD", text[:MAX_TEXT_CHARS]).casefold()
    return unicodedata.normalize("NFKC", "".join(c for c in decomposed if not unicodedata.combining(c)))
