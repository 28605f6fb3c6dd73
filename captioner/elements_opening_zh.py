"""What came before a Chinese noun and waits for it."""

from __future__ import annotations

from dataclasses import dataclass, field

from .elements_draft import Piece
from .elements_tokens_zh import Token


@dataclass
class Opening:
    """What came before a noun and belongs to it."""

    count: Piece | None = None
    classifier: str = ""
    colors: list[Piece] = field(default_factory=list)
    traits: list[Piece] = field(default_factory=list)
    owner: int | None = None
    #: Actions and places of a relative clause, which get the noun as subject: (kind, piece, other end).
    clause: list[tuple[str, Piece, int | None]] = field(default_factory=list)
    texts: list[int] = field(default_factory=list)
    negated: bool = False
    open_count: bool = False


def piece_of(token: Token, name: str | None = None) -> Piece:
    return Piece(name if name is not None else token.value or token.text, token.text, token.start, token.end)
