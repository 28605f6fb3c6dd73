"""What the rules of a language find in a prompt, before it becomes elements."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from .elements import Decomposition, Element, assemble
from .elements_quotes import Quoted


@dataclass(frozen=True)
class Piece:
    """A word or phrase: normalized name, wording, and where it stands."""

    name: str
    text: str
    start: int
    end: int


@dataclass
class Thing:
    """Something to be seen.

    Attributes:
        count: number asked for, if the prompt says one that is not just an article.
        colors, traits: what it must look like.
        whole: index of the thing it is a part of or belongs to.
        bond: how it belongs to `whole`: `of`, `with`.
    """

    piece: Piece
    count: Piece | None = None
    colors: list[Piece] = field(default_factory=list)
    traits: list[Piece] = field(default_factory=list)
    negated: bool = False
    whole: int | None = None
    bond: str = ""


@dataclass
class Link:
    """An action or a place. `ends`: indexes of things, the acting or placed one first."""

    kind: str  # "action" or "spatial"
    piece: Piece
    ends: tuple[int, ...]
    negated: bool = False


@dataclass
class Draft:
    """Everything found in one prompt; `texts` with the index of the thing that carries the lettering."""

    things: list[Thing] = field(default_factory=list)
    links: list[Link] = field(default_factory=list)
    styles: list[tuple[str, Piece]] = field(default_factory=list)  # ("style" or "spatial", piece)
    texts: list[tuple[Quoted, int | None]] = field(default_factory=list)

    def named(self, name: str) -> int | None:
        """The thing named so last; None if there is none."""
        for index in range(len(self.things) - 1, -1, -1):
            if self.things[index].piece.name == name and not self.things[index].negated:
                return index
        return None

    def bond(self, part: int, whole: int, how: str) -> None:
        """Make a thing part of another one, unless it is part of something, or that would close a circle."""
        above: int | None = whole
        while above is not None and above != part:
            above = self.things[above].whole
        if above is None and self.things[part].whole is None:
            self.things[part].whole, self.things[part].bond = whole, how

    def bearer(self, index: int | None) -> int | None:
        """What a thing is shown on (`a box with a drawing of a cat`: the box); None where nothing bears it."""
        while index is not None and self.things[index].whole is not None:
            if self.things[index].bond == "with":
                return self.things[index].whole
            index = self.things[index].whole
        return None

    def carry(self, text: int, thing: int) -> None:
        """Say what carries a lettering."""
        self.texts[text] = (self.texts[text][0], thing)


def build(prompt: str, lang: str, engine: str, draft: Draft) -> Decomposition:
    """Elements of a draft, things first, wholes before their parts."""
    claims: list[Element] = []
    said: set[tuple[str, str, tuple[str, ...]]] = set()

    def add(
        key: str, kind: str, piece: Piece, parents: Sequence[str], checker: str, negated: bool = False
    ) -> None:
        content = (kind, piece.name, tuple(parents))
        if kind in ("attribute", "action", "spatial", "style") and content in said:
            return  # said twice, it is still one claim
        said.add(content)
        claims.append(
            Element(
                key, kind, piece.name, piece.text, piece.start, piece.end, tuple(parents), checker, negated
            )
        )

    for index in _wholes_first(draft.things):
        thing = draft.things[index]
        parents = () if thing.whole is None else (f"t{thing.whole}",)
        add(f"t{index}", "subject", thing.piece, parents, "vlm", thing.negated)
    for index, thing in enumerate(draft.things):
        if thing.negated:
            continue  # what must be absent has no looks
        owner = (f"t{index}",)
        if thing.count:
            # A group counted in words that fix no number ("several") takes judgment.
            add(f"n{index}", "count", thing.count, owner, "count" if thing.count.name.isdecimal() else "vlm")
        for k, color in enumerate(thing.colors):
            add(f"c{index}.{k}", "attribute", color, owner, "color")
        for k, trait in enumerate(thing.traits):
            add(f"a{index}.{k}", "attribute", trait, owner, "vlm")
    for index, (quoted, carrier) in enumerate(draft.texts):
        piece = Piece(quoted.text, prompt[quoted.start : quoted.end], quoted.start, quoted.end)
        add(f"q{index}", "text", piece, () if carrier is None else (f"t{carrier}",), "ocr")
    for index, link in enumerate(draft.links):
        parents = tuple(dict.fromkeys(f"t{end}" for end in link.ends))
        add(f"l{index}", link.kind, link.piece, parents, "vlm", link.negated)
    for index, (kind, piece) in enumerate(draft.styles):
        add(f"s{index}", kind, piece, (), "vlm")
    return assemble(prompt, lang, engine, claims)


def _wholes_first(things: Sequence[Thing]) -> list[int]:
    order: list[int] = []
    for start in range(len(things)):
        chain = []
        index: int | None = start
        while index is not None and index not in order and index not in chain:
            chain.append(index)
            index = things[index].whole
        order += reversed(chain)
    return order
