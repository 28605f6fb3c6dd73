"""Places in Chinese prompts: `在桌上`, `桌子左边的猫`, and places of the picture itself: `背景是雪山`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from . import elements_words_zh as z
from .elements_draft import Link, Piece
from .elements_opening_zh import Opening
from .elements_tokens_zh import Token

if TYPE_CHECKING:
    from .elements_zh import Reader


def on_zai(r: Reader, i: int, token: Token) -> None:
    inner = r.opening.open_count or bool(r.opening.clause)
    r.close_verb(inner)
    r.place = (i, None if inner else r.anchor)


def in_place(r: Reader, i: int, index: int, after: Token | None) -> None:
    """`在X上`: X is where something is."""
    assert r.place is not None
    begin, subject = r.place
    after = r.following(i, ("de", "fill")) if after is not None and after.kind == "de" else after
    if after is not None and after.kind in ("place", "frame", "conj"):
        if after.kind == "conj":
            r.joined = True
        r.last = index
        r.where = index
        return
    piece = Piece("inside", r.prompt[r.tokens[begin].start : r.tokens[i].end],
                  r.tokens[begin].start, r.tokens[i].end)  # fmt: skip
    r.place = None
    put(r, piece, subject, index, after)


def put(r: Reader, piece: Piece, subject: int | None, where: int | None, after: Token | None) -> None:
    """What stands at a place: the subject, the noun after 的, or what 有 or a verb brings."""
    if r.opening.open_count or (after is not None and after.kind == "de"):
        r.opening.clause.append(("spatial", piece, where))
    elif subject is not None and subject != where:
        for one in r.acting(subject, piece):
            if one is not None:
                r.draft.links.append(Link("spatial", piece, (one,) if where is None else (one, where)))
        r.last = subject
    else:
        r.placed = (piece.name, piece, where)


def on_place(r: Reader, i: int, token: Token) -> None:
    after = r.following(i, ("fill",))
    begins = r.tokens[r.place[0]].start if r.place else token.start
    piece = Piece(token.value, r.prompt[begins : token.end], begins, token.end)
    if r.place is not None:
        _, subject = r.place
        r.place = None
        where, r.where = r.where, None
        if where is None and token.text in z.FRAME_PLACES:
            piece = Piece(z.FRAME_PLACES[token.text], piece.text, piece.start, piece.end)
        put(r, piece, subject, where, after)
        return
    r.close_verb()
    before = r.tokens[i - 1] if i else None
    noun_before = before is not None and before.kind in ("noun", "de") and r.last is not None
    if not noun_before:
        _frame(r, token, after)
        return
    where = r.last
    start = r.draft.things[where].piece.start if where is not None else token.start
    piece = Piece(token.value, r.prompt[start : token.end], start, token.end)
    if after is not None and after.kind == "de":
        r.opening = Opening(clause=[("spatial", piece, where)])
        r.anchor = None
    elif after is not None and after.kind == "writing":
        r.anchor = where
    else:
        r.placed = (piece.name, piece, where)
        r.opening.owner = None


def on_frame(r: Reader, i: int, token: Token) -> None:
    if r.place is not None or (i and r.tokens[i - 1].kind in ("noun", "de") and token.text in z.PLACES
                                  and r.last is not None and not _frame_noun_before(r, i)):  # fmt: skip
        on_place(
            r, i, Token("place", token.text, token.start, token.end, z.PLACES.get(token.text, token.value))
        )
        return
    _frame(r, token, r.following(i))


def _frame_noun_before(r: Reader, i: int) -> bool:
    k = i - 1
    while k >= 0 and r.tokens[k].kind in ("de", "fill"):
        k -= 1
    return k >= 0 and r.tokens[k].text in z.FRAME_NOUNS


def _frame(r: Reader, token: Token, after: Token | None) -> None:
    """A place in the picture itself: `左边是一只猫`, `背景是雪山`."""
    r.close_verb()
    name = z.FRAME_PLACES.get(token.text)
    if name is None:
        return
    r.opening = Opening()
    r.placed = (name, Piece(name, token.text, token.start, token.end), None)
