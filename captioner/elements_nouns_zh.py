"""Which runs of Chinese characters are trusted to be a noun."""

from __future__ import annotations

from . import elements_words_zh as z
from .elements_draft import Piece
from .elements_tokens_zh import Token

_MATERIALS = sorted((m for m in z.MATERIALS if len(m) > 1), key=lambda m: (-len(m), m))


def trusted_noun(token: Token, opened: bool) -> Token | None:
    """The noun of a run of characters, or None for a run that may be anything: nothing is guessed.

    Args:
        opened: a number, color or adjective came before, so that a noun is due.
    """
    text = token.text.strip()
    if text in z.ABSTRACT or text[-2:] in z.ABSTRACT or (len(text) == 1 and text not in z.NOUNS):
        return None
    clause = any(c in z.CLAUSE_CHARACTERS for c in text) and not (opened and len(text) <= 4)
    if not clause and len(text) <= 6 and any(text[:size] in z.NOUNS for size in (4, 3, 2)):
        return token
    if text in z.NOUNS or text.isascii() or (len(text) <= (6 if opened else 4) and not clause):
        return token
    for size in range(min(4, len(text) - 1), 1, -1):
        if text[-size:] in z.NOUNS:
            return Token("noun", text[-size:], token.end - size, token.end)
    return None


def split_material(token: Token) -> tuple[Piece | None, Token]:
    """(material, noun) of `木头桌子`: a material right before the noun is an attribute; None where there is none."""
    for material in _MATERIALS:
        if token.text.startswith(material) and len(token.text) > len(material):
            cut = token.start + len(material)
            noun = Token("noun", token.text[len(material) :], cut, token.end)
            return Piece(material, material, token.start, cut), noun
    return None, token
