"""English prompts by rules: phrases joined by relations, verbs and copulas, read from left to right."""

from __future__ import annotations

from dataclasses import dataclass

from . import elements_words_en as w
from .elements_draft import Draft, Link, Piece, Thing
from .elements_phrases_en import NounPhrase, clause_verb, material_phrase, noun_phrase, starts_phrase
from .elements_picture_en import frame_place, match, medium, names_frame, piece_of, style_of, style_phrase
from .elements_tokens_en import QUOTE, tokenize, verb_form

#: Verbs whose objects do nothing themselves.
_WORN = frozenset(("wear", "hold", "carry", "use", "don", "have", "show", "feature"))


@dataclass
class _Pending:
    """A relation or verb that waits for its object."""

    kind: str  # "spatial", "action", "of", "with"
    piece: Piece
    subject: int | None
    negated: bool = False


class _Reader:
    """State of reading one prompt: `anchor` is the subject of the clause, `last` the thing named last."""

    def __init__(self, prompt: str):
        self.prompt, self.tokens, self.draft = prompt, tokenize(prompt), Draft()
        self.anchor: int | None = None
        self.last: int | None = None
        self.first: int | None = None  # of this sentence
        self.before: int | None = None  # what the sentence before was about
        self.pending: _Pending | None = None
        self.last_verb = ""
        self.bearer: int | None = None  # what reads or says the lettering that follows
        self.last_role = ""  # how `last` came in: "", "action", "spatial", "of", "with"
        self.joined = ""  # "and" or "," read just before
        self.copula = False
        self.negated = False
        self.fragment = 0  # token the sentence or comma fragment starts at
        self.open_texts: list[int] = []  # lettering that has no carrier yet
        self.owner: int | None = None
        self.group: list[int] = []  # coordinated subjects: "two dogs and a cat"
        self.shared: _Pending | None = None  # what the last phrase was the object of; "and" shares it

    def read(self) -> Draft:
        i = 0
        while i < len(self.tokens):
            i = self._step(i)
        self._close()
        return self.draft

    def _step(self, i: int) -> int:
        token = self.tokens[i]
        low = token.low
        if low == QUOTE:
            return self._lettering(i)
        if low in ".;!?\n:":
            self._sentence(i)
            return i + 1
        if low in (",", "(", ")") or low in ("-", "–", "—"):
            self.joined, self.fragment = ",", i + 1
            if self.pending and self.pending.kind == "action":
                self._close()
            return i + 1
        for reader in (self._style, self._frame, self._relation):
            after = reader(i)
            if after > i:
                return after
        if low in w.CONJUNCTIONS:
            self.joined = "and"
            return i + 1
        if low in ("not", "without", "never", "lacking"):
            return self._negation(i)
        if low == "of":
            self._wait("of", Piece("of", token.text, token.start, token.end), self.last)
            return i + 1
        if low in w.RELATIVES and self.last is not None:
            self.anchor, self.copula = self.last, False
            return i + 1
        if low in w.AUXILIARIES:
            self.copula = True
            self._close()
            return i + 1
        if low == "one" and [t.low for t in self.tokens[i + 1 : i + 3]] in (["of", "them"], ["of", "these"]):
            return self._pronoun(i + 2)
        if low in ("it", "them", "him", "itself", "each", "he", "she", "they"):
            return self._pronoun(i)
        if i and self.tokens[i - 1].low == QUOTE and (verb_form(low) or ("", ""))[1] in ("ed", "past"):
            return i + 1  # "SALE" written on
        noun = self.tokens[i - 1].low if i and self.last is not None and self.tokens[i - 1].is_word else None
        last = self.draft.things[self.last].piece.text if self.last is not None else None
        if clause_verb(self.tokens, i, noun, last, self.joined, self.copula):
            return self._verb(i)
        if starts_phrase(self.tokens, i):
            phrase = noun_phrase(self.tokens, i)
            if phrase:
                return self._phrase(phrase)
        return i + 1

    # Things

    def _phrase(self, phrase: NounPhrase) -> int:
        if phrase.head is None:
            self._attributes(phrase)
            return phrase.stop
        if self._medium(phrase) or self._frame_noun(phrase):
            return phrase.stop
        words = phrase.head.name.split()
        nearby = self.tokens[phrase.stop].low if phrase.stop < len(self.tokens) else ""
        if words[-1] in w.TEXT_NOUNS and nearby == QUOTE:
            return phrase.stop
        if (nearby == "of" and words[-1] in w.MEASURES) or (
            phrase.head.text.lower() in w.MEASURES and nearby == "of"
        ):
            return self._measure(phrase)
        self._thing(phrase)
        return phrase.stop

    def _thing(self, phrase: NounPhrase) -> None:
        assert phrase.head is not None
        negated = phrase.negated or self.negated
        # "a dog ... the dog"
        known = self.draft.named(phrase.head.name) if phrase.definite else None
        if known is not None:
            index = known
            self.draft.things[index].colors += phrase.colors
            self.draft.things[index].traits += phrase.traits
        else:
            index = len(self.draft.things)
            self.draft.things.append(Thing(phrase.head, phrase.count, phrase.colors, phrase.traits, negated))
        self.negated, self.bearer = False, None
        if self.owner is not None and self.owner != index and known is None:
            self.draft.bond(index, self.owner, "of")
            self.owner = None
        pending = self.pending
        if pending is None and self.joined == "and" and self.shared and self.shared.subject != index:
            pending = self.shared
        self.pending = self.shared = None
        if pending:
            self._join(pending, index)
            self.shared = (
                pending
                if pending.kind == "with" or pending.piece.name in ("between", "wear", "hold")
                else None
            )
            self.last_role, self.last_verb = pending.kind, pending.piece.name
        else:
            together = self.joined == "and" and self.last is not None and self.last_role == ""
            self.group = [*self.group, index] if together else [index]
            self.anchor, self.last_role = index, ""
        self.last = index
        if self.first is None:
            self.first = index
        for k in self.open_texts:
            self.draft.carry(k, index)
        self.open_texts, self.joined, self.copula = [], "", False
        if phrase.possessive:
            self.owner = index

    def _join(self, pending: _Pending, index: int) -> None:
        subject = pending.subject
        if pending.negated:
            self.draft.things[index].negated = True
            return
        if pending.kind in ("of", "with"):
            if subject is not None and subject != index:
                self.draft.bond(index, subject, pending.kind)
            return
        if subject is None and self.open_texts:
            return  # where lettering stands is its carrier
        if pending.piece.name == "between":
            same = [link for link in self.draft.links if link.piece == pending.piece]
            if same:
                same[0].ends = (*same[0].ends, index)
                return
        for one in self._acting(pending):
            ends = (index,) if one is None or one == index else (one, index)
            self.draft.links.append(Link(pending.kind, pending.piece, ends))

    def _acting(self, pending: _Pending) -> list[int | None]:
        """Who does it: all of `two dogs and a cat` sit."""
        if pending.kind == "action" and pending.subject is not None and pending.subject in self.group:
            return list(self.group)
        return [pending.subject]

    def _measure(self, phrase: NounPhrase) -> int:
        """`a pair of glasses`, `a couple of dogs`: the next noun is what is seen."""
        assert phrase.head is not None
        follows = noun_phrase(self.tokens, phrase.stop + 1) if phrase.stop + 1 < len(self.tokens) else None
        if follows is None or follows.head is None:
            self._thing(phrase)
            return phrase.stop
        fixed = w.MEASURES.get(phrase.head.name.split()[-1])
        if follows.count is None:
            if fixed:
                follows.count = Piece(str(fixed), phrase.head.text, phrase.head.start, phrase.head.end)
            elif phrase.count is not None:
                follows.count = phrase.count
            elif phrase.head.name not in ("kind", "type", "piece", "pair", "slice"):
                follows.traits.append(phrase.head)
        follows.colors[:0], follows.traits[:0] = phrase.colors, phrase.traits
        follows.negated |= phrase.negated
        self._thing(follows)
        return follows.stop

    def _attributes(self, phrase: NounPhrase) -> None:
        """Colors and adjectives without a noun: of what was named last, or of the clause after `is`."""
        target = self.anchor if self.copula else self.last
        if target is None:
            return
        if self.pending and self.pending.piece.name == "inside":
            self.pending = None  # "in blue, yellow and red"
        elif self.pending:
            return
        thing = self.draft.things[target]
        if not self.negated:
            thing.colors += phrase.colors
            thing.traits += phrase.traits
        self.negated, self.copula = False, False

    def _pronoun(self, i: int) -> int:
        """`on it`: what the prompt named first in this sentence, unless that is what is placed."""
        pending, self.pending = self.pending, None
        subject = pending.subject if pending else None
        first = self.first if self.first is not None and self.first != subject else self.before
        quoted = any(t.low == QUOTE for t in self.tokens[max(0, i - 4) : i])
        if first is not None and quoted:  # "SALE" written on it
            if self.draft.texts[-1][1] is None:
                self.draft.carry(len(self.draft.texts) - 1, first)
            self.open_texts = []
            return i + 1
        bearer = self.draft.bearer(subject)
        if pending and bearer is not None:
            self._join(pending, bearer)  # "a box with a drawing on it"
            return i + 1
        others = [t for t in (self.first, self.anchor, self.before) if t is not None and t != subject]
        if pending and others and pending.kind != "of":
            self._join(pending, others[0])
        elif pending is None and first is not None:
            self.anchor = self.last = first
        return i + 1

    # Texts

    def _lettering(self, i: int) -> int:
        quoted = self.tokens[i].quoted
        assert quoted is not None
        carrier = self.last
        after = self.tokens[i + 1].low if i + 1 < len(self.tokens) else ""
        if self.bearer is not None:
            carrier = self.bearer
        elif self.pending and self.pending.kind in ("action", "with"):
            carrier = self.pending.subject if self.pending.subject is not None else self.last
            self.pending = None
        elif after in ("on", "in", "above", "across", "written", "printed", "painted", "at", "inside"):
            carrier = None
        self.draft.texts.append((quoted, carrier))
        if carrier is None:
            self.open_texts.append(len(self.draft.texts) - 1)
        self.pending = None
        self.joined = ""
        return i + 1

    # Relations and verbs

    def _wait(self, kind: str, piece: Piece, subject: int | None, negated: bool = False) -> None:
        self._close()
        self.pending = _Pending(kind, piece, subject, negated or self.negated)
        self.negated = False
        self.shared = None

    def _close(self) -> None:
        """A verb without an object is an action all the same; a relation without one says nothing."""
        pending, self.pending = self.pending, None
        if pending and pending.kind == "action" and pending.subject is not None and not pending.negated:
            for one in self._acting(pending):
                self.draft.links.append(Link("action", pending.piece, (one,) if one is not None else ()))

    def _sentence(self, i: int) -> None:
        self._close()
        self.before = self.first if self.first is not None else self.before
        self.anchor = self.last = self.first = self.shared = self.owner = None
        self.joined, self.copula, self.negated, self.fragment = "", False, False, i + 1
        self.last_role, self.open_texts, self.group, self.bearer = "", [], [], None

    def _negation(self, i: int) -> int:
        token = self.tokens[i]
        if token.low in ("without", "lacking"):
            self._wait("with", Piece("without", token.text, token.start, token.end), self.last, negated=True)
        else:
            self.negated = True
        return i + 1

    def _verb(self, i: int) -> int:
        token = self.tokens[i]
        base, kind = verb_form(token.low) or (token.low, "base")
        # "a man riding a horse wearing a hat" against "wearing a hat holding a cane", "riding a horse and waving"
        nearest = self.last_role == "action" and not self.joined and self.last_verb not in _WORN
        subject = self.last if nearest else self.anchor
        subject = self.last if subject is None else subject
        after = self.tokens[i + 1].low if i + 1 < len(self.tokens) else ""
        if base == "make" and after in ("of", "from", "out"):
            made, start, stop = material_phrase(self.prompt, self.tokens, i + 1)
            if made is None or subject is None:
                return start
            self.draft.things[subject].traits.append(made)
            self.joined = ""
            return stop
        if (kind == "ed" and after == QUOTE) or base in ("read", "say", "spell", "state") or base == "label":
            piece = Piece(base, token.text, token.start, token.end)
            self._wait("action", piece, subject)
            if not any(t.low == QUOTE for t in self.tokens[i + 1 : i + 9]):
                return i + 1
            self.pending = None
            self.last = subject if subject is not None else self.last
            self.bearer = self.last
            return i + 1
        self._wait("action", Piece(base, token.text, token.start, token.end), subject)
        self.copula = False
        self.joined = ""
        return i + 1

    def _relation(self, i: int) -> int:
        found = match(self.tokens, i, w.RELATIONS)
        if not found:
            return i
        name, stop = found
        styled = style_of(self.prompt, self.tokens, i) if self.tokens[i].low == "in" else None
        if styled:
            self.draft.styles.append(("style", styled[0]))
            return styled[1]
        piece = piece_of(self.prompt, self.tokens, i, stop, name)
        pending = self.pending
        subject = self.last
        if pending and pending.kind == "action":
            subject = pending.subject
        elif self.last_role == "action" and name not in ("with", "inside_of"):
            subject = self.anchor if self.anchor is not None else self.last
        if name == "with":
            self._wait("with", piece, subject)
        else:
            self._wait("spatial", piece, subject)
        return stop

    # The picture itself

    def _style(self, i: int) -> int:
        found = style_phrase(self.prompt, self.tokens, i, not self.draft.things)
        if not found:
            return i
        self.draft.styles.append(found[:2])
        if self.pending and self.pending.kind in ("spatial", "with"):
            self.pending = None
        return found[2]

    def _frame(self, i: int) -> int:
        found = frame_place(self.prompt, self.tokens, i)
        if not found:
            return i
        piece, stop = found
        subject = self.last if self.last_role != "action" or self.anchor is None else self.anchor
        self._close()
        if subject is not None:
            self.draft.links.append(Link("spatial", piece, (subject,)))
        else:
            self.draft.styles.append(("spatial", piece))
        return stop

    def _medium(self, phrase: NounPhrase) -> bool:
        if phrase.start != self.fragment or self.pending:
            return False
        found = medium(self.prompt, self.tokens, phrase, not self.draft.things)
        if not found:
            return False
        self.draft.styles.append(found[:2])
        phrase.stop = found[2]
        return True

    def _frame_noun(self, phrase: NounPhrase) -> bool:
        if not names_frame(phrase):
            return False
        pending, self.pending = self.pending, None
        if pending and pending.subject is not None and pending.kind == "spatial":
            self.draft.links.append(Link("spatial", pending.piece, (pending.subject,)))
        return True


def read(prompt: str) -> Draft:
    """What English rules find in a prompt."""
    return _Reader(prompt).read()
