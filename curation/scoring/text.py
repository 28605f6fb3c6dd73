"""Text that came with an image: its language, and the same word however it was typed."""

from __future__ import annotations

import re
import unicodedata

#: Characters read of one text. Longer ones are no descriptions.
MAX_TEXT_CHARS = 10_000

#: A syllable of Chinese, Japanese or Korean writing says about as much as three Latin letters.
_SYLLABLE_WEIGHT = 3

_HAN = re.compile(r"[㐀-䶿一-鿿豈-﫿\U00020000-\U0003134f]")
#: Syllables alone: the middle dot and the long dash of the same block stand in Chinese texts as well.
_KANA_HANGUL = re.compile(r"[ぁ-ゖァ-ヺㇰ-ㇿｦ-ｯｱ-ﾝᄀ-ᇿㄱ-ㆎ가-힣]")
_LATIN = re.compile(r"[A-Za-zÀ-ÖØ-öø-ɏḀ-ỿＡ-Ｚａ-ｚ]")


def language_of(text: str | None) -> str | None:
    """`zh`, `en` or `other`, by script; None for an empty text.

    Han characters read as Chinese, Latin letters as English (a French caption is `en` too), whichever is more,
    a Han character counting as three letters. With kana or hangul among them, Han characters read as Japanese
    or Korean, and these syllables count as three letters too. Text in another script or without letters is `other`.
    """
    text = (text or "")[:MAX_TEXT_CHARS]
    if not text.strip():
        return None
    han, latin = len(_HAN.findall(text)) * _SYLLABLE_WEIGHT, len(_LATIN.findall(text))
    letters = sum(c.isalpha() for c in text)
    rest = letters - han // _SYLLABLE_WEIGHT - latin
    syllables = len(_KANA_HANGUL.findall(text)) * _SYLLABLE_WEIGHT
    if syllables and han + syllables >= latin:
        return "other"
    if max(han, latin) == 0 or rest > max(han, latin):
        return "other"
    return "zh" if han >= latin else "en"


def folded(text: str) -> str:
    """Compatibility forms unified, lower case, accents of Latin letters removed."""
    decomposed = unicodedata.normalize("NFKD", text[:MAX_TEXT_CHARS]).casefold()
    return unicodedata.normalize("NFKC", "".join(c for c in decomposed if not unicodedata.combining(c)))
