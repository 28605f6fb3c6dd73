"""What a Chinese prompt says of the picture itself: its style, its framing, its medium."""

from __future__ import annotations

from typing import TYPE_CHECKING

from . import elements_words_zh as z
from .elements_draft import Link, Piece
from .elements_opening_zh import Opening, piece_of
from .elements_tokens_zh import Token

if TYPE_CHECKING:
    from .elements_zh import Reader


def on_style(r: Reader, i: int, token: Token) -> None:
    after = r.following(i, ())
    name = token.text
    end = token.end
    if after is not None and after.start == end and after.text.startswith(("风格", "风", "质感", "效果")):
        size = next(n for n in (2, 1) if after.text[:n] in ("风格", "质感", "效果", "风"))
        end, name = end + size, token.text
        if after.text in ("风格", "风", "质感", "效果"):
            r.tokens[i + 1] = Token("fill", after.text, after.start, after.end)
    if after is not None and after.kind in ("verb",):
        return
    r.draft.styles.append(("style", Piece(name, r.prompt[token.start : end], token.start, end)))
    if r.opening.classifier in z.PICTURE_CLASSIFIERS:
        _unpicture(r)


def on_framing(r: Reader, i: int, token: Token) -> None:
    r.draft.styles.append(("spatial", piece_of(token)))
    if r.opening.classifier in z.PICTURE_CLASSIFIERS:
        _unpicture(r)


def style(r: Reader, token: Token, text: str) -> None:
    name = text.removesuffix("风格") or text
    colors = [c.text for c in r.opening.colors]
    r.draft.styles.append(("style", Piece("".join(colors) + name, text, token.start, token.end)))
    r.opening = Opening()
    if text == token.text and not text.endswith("风格"):
        r.tokens = [t if t.start != token.end else Token("fill", t.text, t.start, t.end) for t in r.tokens]


def medium(r: Reader, i: int, token: Token, after: Token | None) -> bool:
    """`一张…的照片`: a noun for the picture itr."""
    text = token.text.strip()
    framed = r.opening.classifier in z.PICTURE_CLASSIFIERS
    ends = framed and text.endswith(tuple(m for m in z.MEDIA if len(m) > 1))
    if text not in z.MEDIA and not ends:
        return False
    owned = r.opening.owner is not None or bool(r.opening.clause)
    first = not r.draft.things
    if not (framed or first or owned or (r.place is None and (after is None or after.kind == "mark"))):
        return False
    if r.placed is not None or r.verb is not None:
        return False
    r.draft.styles.append(("style", Piece(text, text, token.start, token.start + len(text))))
    _unpicture(r)
    return True


def _unpicture(r: Reader) -> None:
    """What was opened for the picture belongs to what it shows."""
    owner = r.opening.owner
    for kind, piece, other in r.opening.clause:
        ends = tuple(e for e in (owner, other) if e is not None)
        if ends:
            r.draft.links.append(Link(kind, piece, ends))
    r.opening = Opening()
    r.anchor = owner if owner is not None else r.anchor
