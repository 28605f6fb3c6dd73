"""What English prompts say about the picture itself: medium, style, framing, places in the frame."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from . import elements_words_en as w
from .elements_draft import Piece
from .elements_phrases_en import NounPhrase
from .elements_tokens_en import Token, closed, verb_form

_MAX_PHRASE_WORDS = 6
_MAX_STYLE_WORDS = 6
_SHOWING = frozenset(("show", "depict", "feature", "capture", "portray", "illustrate"))
_FRAME = frozenset(("image", "picture", "photo", "frame", "scene", "composition", "background", "foreground"))


def match(tokens: Sequence[Token], i: int, table: Mapping[str, str]) -> tuple[str, int] | None:
    """(name, token after it) of the longest phrase of a table that starts at token `i`."""
    for size in range(min(_MAX_PHRASE_WORDS, len(tokens) - i), 0, -1):
        phrase = " ".join(t.low for t in tokens[i : i + size])
        for spelled in (phrase, phrase.replace(" 's", "'s").replace(" - ", "-")):
            if spelled in table:
                return table[spelled], i + size
    return None


def piece_of(prompt: str, tokens: Sequence[Token], i: int, stop: int, name: str | None = None) -> Piece:
    """Tokens `i` to `stop` (exclusive) as they stand."""
    start, end = tokens[i].start, tokens[stop - 1].end
    text = prompt[start:end]
    return Piece(text.lower() if name is None else name, text, start, end)


def style_phrase(prompt: str, tokens: Sequence[Token], i: int, first: bool) -> tuple[str, Piece, int] | None:
    """(`style` or `spatial`, piece, token after it) of a known style or framing that starts at token `i`.

    Args:
        first: nothing was named yet, so that `of` after it leads to what is shown.
    """
    found = match(tokens, i, w.STYLE_NAMES) or match(tokens, i, w.FRAMING_PHRASES)
    if not found:
        return None
    name, stop = found
    piece = piece_of(prompt, tokens, i, stop, name)
    while stop < len(tokens) and tokens[stop].low in ("style", "shot", "view", "of", "styled"):
        if tokens[stop].low == "of" and not first:
            break
        stop += 1
    return "spatial" if name in w.FRAMING_PHRASES.values() else "style", piece, stop


def style_of(prompt: str, tokens: Sequence[Token], i: int) -> tuple[Piece, int] | None:
    """(piece, token after it) of `in the style of X` or `in X style`; `i` is at `in`."""
    k, most = i + 1, min(len(tokens), i + 1 + _MAX_STYLE_WORDS)
    while k < most and tokens[k].is_word and tokens[k].low not in ("style", "styles"):
        k += 1
    if k >= most or not tokens[k].is_word:
        return None
    stop = k + 1
    if stop < len(tokens) and tokens[stop].low == "of":
        stop += 1
        while stop < len(tokens) and (tokens[stop].is_word or tokens[stop].low in ("'s", "-")):
            stop += 1
    return piece_of(prompt, tokens, i + 1, stop), stop


def frame_place(prompt: str, tokens: Sequence[Token], i: int) -> tuple[Piece, int] | None:
    """(piece, token after it) of a place in the picture: `in the background`, `on the left of the image`."""
    found = match(tokens, i, w.FRAME_PLACES)
    if not found:
        return None
    name, stop = found
    if stop < len(tokens) and tokens[stop].low == "of":
        noun = next((t.low for t in tokens[stop + 1 : stop + 4] if t.low not in w.DETERMINERS), "")
        if noun not in w.FRAME_NOUNS:
            return None
        stop += 2 + (tokens[stop + 1].low in w.DETERMINERS)
    return piece_of(prompt, tokens, i, stop, name), stop


def medium(
    prompt: str, tokens: Sequence[Token], phrase: NounPhrase, first: bool
) -> tuple[str, Piece, int] | None:
    """(`style` or `spatial`, piece, token after it) where a phrase names the picture: `a photo of`, `oil painting,`.

    Args:
        phrase: with a head, at the start of a sentence or fragment.
        first: nothing was named yet.
    """
    assert phrase.head is not None
    head = phrase.head.name.split()[-1]
    after = tokens[phrase.stop].low if phrase.stop < len(tokens) else "."
    if head in w.RENDERING and not first and (not after[0].isalnum() or after == "from"):
        stop = phrase.stop
        while stop < len(tokens) and tokens[stop].is_word:  # "soft light from the left"
            stop += 1
        return "style", piece_of(prompt, tokens, phrase.start, stop), stop
    if head not in w.MEDIA:
        return None
    form = verb_form(after)
    shows = form is not None and form[0] in _SHOWING
    ends = closed(after) and not after[0].isalnum()
    if not (after in ("of", "in", "with") or shows or ends):
        return None
    if after in ("in", "with") and not first and head not in w.FRAMINGS:
        return None
    start = phrase.start + (tokens[phrase.start].low in w.DETERMINERS)
    end = phrase.head.end
    text = prompt[tokens[start].start : end]
    kind = "spatial" if head in w.FRAMINGS and head not in ("portrait", "scene") else "style"
    piece = Piece(" ".join(text.lower().split()), text, tokens[start].start, end)
    return kind, piece, phrase.stop + (after == "of" or shows)


def names_frame(phrase: NounPhrase) -> bool:
    """`the image`, `the scene` inside a prompt is no thing in the picture."""
    return phrase.definite and phrase.head is not None and phrase.head.name in _FRAME
