"""Chinese prompts by rules: numbers with classifiers, attributes before 的, relative clauses, places, lettering."""

from __future__ import annotations

from . import elements_words_zh as z
from .elements_draft import Draft, Link, Piece, Thing
from .elements_nouns_zh import split_material, trusted_noun
from .elements_opening_zh import Opening, piece_of
from .elements_picture_zh import medium, on_framing, on_style, style
from .elements_places_zh import in_place, on_frame, on_place, on_zai, put
from .elements_tokens_zh import Token, tokenize

#: Kinds of token that are read in modules of their own.
_ELSEWHERE = {
    **{"zai": on_zai, "place": on_place, "frame": on_frame},
    **{"style": on_style, "framing": on_framing},
}


class Reader:
    """State of reading: `anchor` is the subject of the clause, `last` the thing named last."""

    def __init__(self, prompt: str):
        self.prompt, self.tokens, self.draft = prompt, tokenize(prompt), Draft()
        self.opening = Opening()
        self.anchor: int | None = None
        self.last: int | None = None
        self.about: int | None = None  # what the sentence before was about
        self.verb: tuple[Piece, int | None, bool] | None = None  # verb, subject, is it in a relative clause
        self.place: tuple[int, int | None] | None = None  # a place begun by 在: (token, subject)
        self.placed: tuple[str, Piece, int | None] | None = None  # "桌子上" waiting for what is there
        self.joined = False
        self.where: int | None = None  # the noun of a place that 在 began
        self.writing: int | None = None  # lettering follows, carried by this thing
        self.written = False
        self.group: list[int] = []

    def read(self) -> Draft:
        for i, token in enumerate(self.tokens):
            if token.kind in _ELSEWHERE:
                _ELSEWHERE[token.kind](self, i, token)
            elif handler := getattr(self, f"_on_{token.kind}", None):
                handler(i, token)
        self.close_verb()
        return self.draft

    def following(self, i: int, skip: tuple[str, ...] = ("fill",)) -> Token | None:
        return next((t for t in self.tokens[i + 1 :] if t.kind not in skip), None)

    # Words before a noun

    def _on_number(self, i: int, token: Token) -> None:
        if token.value == "" or (token.classifier in ("种", "款", "类") and token.value == "1"):
            return
        o = self.opening
        o.classifier, o.open_count = token.classifier, True
        if token.classifier in z.GROUP_CLASSIFIERS and token.value == "1":
            if token.classifier != "对":
                o.traits.append(piece_of(token, z.GROUP_CLASSIFIERS[token.classifier]))
        elif token.value != "1":
            o.count = piece_of(token)

    def _on_color(self, i: int, token: Token) -> None:
        after = self.following(i)
        ends = after is None or after.kind in ("mark", "conj", "have")
        if ends and not self.opening.open_count and self.last is not None and self._copula(i):
            self.draft.things[self.last if self.anchor is None else self.anchor].colors.append(
                piece_of(token)
            )
            return
        self.opening.colors.append(piece_of(token))

    def _on_adj(self, i: int, token: Token) -> None:
        after = self.following(i)
        ends = after is None or after.kind in ("mark", "conj")
        if ends and not self.opening.open_count and self.last is not None:
            self.draft.things[self.last].traits.append(piece_of(token))
            return
        self.opening.traits.append(piece_of(token))

    def _copula(self, i: int) -> bool:
        before = self.tokens[i - 1] if i else None
        return before is not None and before.kind in ("noun", "have", "fill", "conj", "color", "mark")

    def _on_no(self, i: int, token: Token) -> None:
        self.close_verb()
        self.opening = Opening(negated=True)

    # Nouns

    def _on_noun(self, i: int, token: Token) -> None:
        text = token.text.strip()
        after = self.following(i, ())
        before = self.tokens[i - 1] if i else None
        if text.endswith("风格") or (after and after.kind == "noun" and after.text.startswith("风格")):
            style(self, token, text)
            return
        if text in z.TEXT_NOUNS and self._names_lettering(before, after):
            return
        if text in z.FRAME_NOUNS and after and after.kind in ("place", "frame"):
            self.opening = Opening()
            return
        if medium(self, i, token, after):
            return
        if after and after.kind == "de" and text in z.MATERIALS:
            self.opening.traits.append(Piece(text, text, token.start, token.end))
            return
        if after and after.kind == "noun" and not text.endswith(("上", "里", "中")):
            # Two runs side by side are one noun: a word of the list and what goes with it.
            following = after
            if following.start == token.end:
                self.tokens[i + 1] = Token(
                    "noun", self.prompt[token.start : following.end], token.start, following.end
                )
                return
        trusted = trusted_noun(token, self._opened)
        if trusted is None:
            self.opening, self.place, self.verb = Opening(), None, None
            return
        self._thing(i, trusted, after)

    @property
    def _opened(self) -> bool:
        """Did a number, color or adjective come before, so that a noun is due?"""
        return self.opening.open_count or bool(self.opening.colors or self.opening.traits)

    def _names_lettering(self, before: Token | None, after: Token | None) -> bool:
        """`“茶”字`, `文字“茶”`, `“茶”的标语`: the noun is the lettering itself."""
        quoted = before is not None and before.kind in ("quote", "de")
        if not quoted and not (after is None or after.kind in ("quote", "mark", "fill")):
            return False
        if before is not None and before.kind == "quote" and after is not None and after.kind == "de":
            if not self.written:
                self.opening.texts.append(len(self.draft.texts) - 1)  # “茶”字的招牌
            return True
        for k in self.opening.texts:
            if self.draft.texts[k][1] is None:
                self.draft.texts[k] = (self.draft.texts[k][0], self.last)
        self.opening = Opening()
        return True

    def _thing(self, i: int, token: Token, after: Token | None) -> None:
        o = self.opening
        material, token = split_material(token)
        if material:
            self.opening.traits.append(material)
        text = token.text.strip()
        index = len(self.draft.things)
        thing = Thing(Piece(text, text, token.start, token.start + len(token.text)), negated=o.negated)
        inner = after is not None and after.kind == "de" and (self.verb is not None and self.verb[2])
        place_open = self.place is not None
        owning = after is not None and after.kind == "de" and not inner
        if inner or place_open:
            # The noun belongs to a clause or a place; what was opened before that stays open for the later noun.
            thing.colors, thing.traits = self._inner(o, token)
        else:
            thing.count, thing.colors, thing.traits = o.count, o.colors, o.traits
        known = self.draft.named(text) if not (o.count or o.colors or o.traits or o.open_count) else None
        if known is not None:
            index = known
        else:
            self.draft.things.append(thing)
        if place_open:
            in_place(self, i, index, after)
            return
        if inner:
            self._object(index)
            return
        if owning:
            self.opening = Opening(owner=index)
            if known is None and o.owner is not None and o.owner != index:
                thing.whole, thing.bond = o.owner, "of"
            self.last = index
            self._pendings(index, o)
            return
        owned = o.owner is not None and o.owner != index and known is None
        if owned and not self.draft.things[o.owner].negated and thing.whole is None:  # type: ignore[index]
            thing.whole, thing.bond = o.owner, "of"
        self.opening = Opening()
        for kind, piece, other in o.clause:
            self.draft.links.append(
                Link(kind, piece, (index,) if other is None or other == index else (index, other))
            )
        for k in o.texts:
            self.draft.texts[k] = (self.draft.texts[k][0], index)
        self._pendings(index, o)

    def _inner(self, o: Opening, token: Token) -> tuple[list[Piece], list[Piece]]:
        """Colors and traits written after the clause or place began."""
        begin = (
            self.verb[0].end
            if self.verb is not None
            else self.tokens[self.place[0]].start
            if self.place
            else 0
        )
        if self.place is not None:
            begin = max(begin, self.tokens[self.place[0]].start)
        colors = [c for c in o.colors if c.start >= begin]
        traits = [t for t in o.traits if t.start >= begin]
        o.colors = [c for c in o.colors if c.start < begin]
        o.traits = [t for t in o.traits if t.start < begin]
        return colors, traits

    def _object(self, index: int) -> None:
        """The object of a verb in a relative clause."""
        assert self.verb is not None
        piece, _, _ = self.verb
        self.opening.clause.append(("action", piece, index))
        self.verb = None
        self.last = index

    def _pendings(self, index: int, o: Opening) -> None:
        thing = self.draft.things[index]
        if self.placed is not None:
            name, piece, other = self.placed
            self.placed = None
            if not thing.negated:
                self.draft.links.append(Link("spatial", piece, (index,) if other is None else (index, other)))
            self.anchor = self.last = index
            return
        if self.verb is not None:
            piece, subject, _ = self.verb
            self.verb = None
            if not thing.negated:
                for one in self.acting(subject, piece):
                    ends = (index,) if one is None or one == index else (one, index)
                    self.draft.links.append(Link("action", piece, ends))
            self.last, self.joined = index, False
            return
        self.group = [*self.group, index] if self.joined else [index]
        self.joined = False
        self.anchor = self.last = index

    def acting(self, subject: int | None, piece: Piece) -> list[int | None]:
        return list(self.group) if subject is not None and subject in self.group else [subject]

    # Verbs and places

    def _on_verb(self, i: int, token: Token) -> None:
        after = self.following(i)
        name = token.value or token.text
        name = name.rstrip("着了") or token.text
        self.close_verb()
        if self.writing is None and after and after.kind == "quote":
            self.writing, self.written = self.anchor, True
            return
        relative = self._relative(i)
        subject = self.anchor if self.anchor is not None else self.last
        piece = piece_of(token, name)
        opens = relative or self.opening.open_count or self.anchor is None or self._starts_phrase(i)
        if after and after.kind == "de" and opens:
            self.opening.clause.append(("action", piece, None))
            return
        self.verb = (piece, subject, relative)
        if after is not None and after.kind == "zai":
            self.close_verb(relative)

    def _starts_phrase(self, i: int) -> bool:
        before = self.tokens[i - 1] if i else None
        return before is None or before.kind not in ("noun",)

    def _relative(self, i: int) -> bool:
        """Is the verb in a clause before 的 and a noun (`戴着帽子的猫`)?"""
        if not self.opening.open_count and not self._starts_phrase(i):
            return False
        depth = 0
        for k, token in enumerate(self.tokens[i + 1 : i + 9], i + 1):
            if token.kind in ("mark", "have", "writing"):
                return False
            if token.kind == "number":
                depth += 1
            if token.kind == "de":
                follows = self.following(k)
                head = self.tokens[k - 1].kind
                if head in ("adj", "color"):
                    continue  # 穿着红色的衣服
                return follows is not None and follows.kind in ("noun", "adj", "color") and depth == 0
        return False

    def close_verb(self, relative: bool = False) -> None:
        """A verb without an object is an action all the same."""
        if self.verb is None:
            return
        piece, subject, inner = self.verb
        self.verb = None
        if inner or relative:
            self.opening.clause.append(("action", piece, None))
        elif subject is not None:
            for one in self.acting(subject, piece):
                self.draft.links.append(Link("action", piece, () if one is None else (one,)))

    def _on_have(self, i: int, token: Token) -> None:
        before = self.tokens[i - 1] if i else None
        self.close_verb()
        if token.text in ("是", "为", "成为", "变成"):
            return
        if self.placed is None and before is not None and before.kind == "noun" and self.last is not None:
            # 狗有翅膀, 桌上放着: a part of what was named, where no place was
            self.verb = (
                (Piece("have", token.text, token.start, token.end), self.last, False)
                if token.text in ("有", "带有", "设有")
                else None
            )

    def _on_conj(self, i: int, token: Token) -> None:
        self.joined = True
        if self.verb is not None:
            self.close_verb()

    # Lettering

    def _on_writing(self, i: int, token: Token) -> None:
        self.close_verb()
        if self.placed is not None:
            self.writing, self.placed = self.placed[2] if self.placed[2] is not None else self.last, None
        else:
            self.writing = self.last if self.last is not None else self.about
        self.written = True

    def _on_quote(self, i: int, token: Token) -> None:
        assert token.quoted is not None
        carrier = self.writing if self.written else None
        after = self.following(i)
        index = len(self.draft.texts)
        if not self.written and after is not None and after.kind == "de":
            self.opening.texts.append(index)  # “茶”的招牌
        elif not self.written:
            carrier = self.placed[2] if self.placed is not None and self.placed[2] is not None else self.last
        self.draft.texts.append((token.quoted, carrier))

    def _on_mark(self, i: int, token: Token) -> None:
        if token.text in " \t\u3000（）()《》【】[]-—·" and token.text.strip() == "" and token.text != "\n":
            return
        self.close_verb()
        if self.place is not None and self.where is not None:
            piece = Piece("inside", self.prompt[self.tokens[self.place[0]].start : token.start],
                          self.tokens[self.place[0]].start, token.start)  # fmt: skip
            put(self, piece, self.place[1], self.where, None)
        self.place = self.where = None
        self.opening, self.joined, self.written, self.writing = Opening(), False, False, None
        if token.text in "。！？；!?;\n.":
            self.about = self.anchor if self.anchor is not None else self.about
            self.anchor = self.last = self.placed = None
            self.group = []


def read(prompt: str) -> Draft:
    """What Chinese rules find in a prompt."""
    return Reader(prompt).read()
