"""Noun phrases of English prompts: where one starts and ends, its head, number, colors and other attributes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from . import elements_words_en as w
from .elements_draft import Piece
from .elements_tokens_en import (
    Token,
    closed,
    color_name,
    is_adjective,
    is_adverb,
    is_plural,
    number,
    relation_at,
    singular,
    verb_form,
)


@dataclass
class NounPhrase:
    """A noun phrase.

    Attributes:
        head: None where only attributes were there (`red and blue` after `is`).
        start, stop: positions of its tokens, `stop` after the last.
        possessive: ends in 's, so that it owns the next phrase.
    """

    start: int
    stop: int
    head: Piece | None = None
    count: Piece | None = None
    colors: list[Piece] = field(default_factory=list)
    traits: list[Piece] = field(default_factory=list)
    negated: bool = False
    definite: bool = False
    possessive: bool = False


def starts_phrase(tokens: Sequence[Token], i: int) -> bool:
    """Can a noun phrase start here?"""
    low = tokens[i].low
    return (low in w.DETERMINERS or not closed(low)) and not (is_adverb(low) and low not in w.ADJECTIVES)


def verb_at(tokens: Sequence[Token], i: int, noun: str | None, counted: bool) -> bool:
    """Is the token a verb, after a phrase whose last word is `noun` (None: no noun before it)?

    Args:
        counted: the phrase has a number or `several`, so its noun must be plural.
    """
    form = verb_form(tokens[i].low)
    if form is None:
        return False
    base, kind = form
    after = tokens[i + 1].low if i + 1 < len(tokens) else "."
    object_follows = after in w.DETERMINERS or after == "\ue000" or number(after) is not None
    if noun is None:
        return kind == "ing" and (closed(after) or object_follows)
    if kind == "ing":
        low = tokens[i].low
        gerund = low in w.PURPOSES and low not in w.THINGS_IN_ING and closed(after)
        return low not in w.NOUNS_IN_ING or object_follows or gerund
    if kind in ("ed", "past"):
        return closed(after) or object_follows or is_adverb(after) or kind == "past"
    if base in w.NOUN_VERBS:
        return object_follows
    follows = object_follows or is_adverb(after) or (closed(after) and after not in ",.;:!?")
    if kind == "s":
        return not is_plural(noun) and not counted and (follows or not closed(after))
    return (is_plural(noun) or counted) and (follows or not closed(after))


def clause_verb(
    tokens: Sequence[Token], i: int, noun: str | None, last: str | None, joined: str, copula: bool
) -> bool:
    """Is a token between phrases the verb of a clause?

    Args:
        noun: the word before it; None at the start of a sentence.
        last: wording of the thing named last in the sentence, None for none.
        joined: `and` or `,` if one was read just before, else "".
        copula: a form of `be` or `have` was read just before.
    """
    low = tokens[i].low
    if closed(low):
        return False
    form = verb_form(low)
    participle = form is not None and form[1] in ("ing", "ed") and low not in w.NOUNS_IN_ING
    if last is not None and tokens[i - 1].low == "," and participle and form[1] == "ing":  # type: ignore[index]
        return True  # ", featuring colorful banners"
    if (copula or (noun and is_adverb(noun))) and participle:
        return True
    if noun is not None and closed(noun) and noun not in w.RELATIVES:
        noun = None
    if noun in w.RELATIVES or joined == "and":
        if last is None:
            return False
        noun = last.lower().split()[-1]
        finite = form is not None and form[1] in ("s", "base", "past")
        if finite and tokens[i - 1].low in w.RELATIVES:
            return True
        if finite and joined == "and" and form[0] in w.NOUN_VERBS:  # type: ignore[index]
            return False
    if last is None and not low.endswith("ing"):
        return False
    return verb_at(tokens, i, noun, counted=noun is not None and is_plural(noun))


def noun_phrase(tokens: Sequence[Token], i: int) -> NounPhrase | None:
    """The phrase that starts at token `i`; None where no noun follows."""
    found = NounPhrase(i, i)
    if tokens[i].low in w.DETERMINERS:
        found.negated = tokens[i].low == "no"
        found.definite = tokens[i].low == "the"
        i += 1
    if i < len(tokens) and tokens[i].low in w.DETERMINERS:  # "all the", "no other"
        i += 1
    words: list[tuple[str, Token]] = []  # (class, token)
    counted = False
    noun: str | None = None
    while i < len(tokens):
        token = tokens[i]
        low = token.low
        value = number(low)
        if value is not None and low not in ("one",) and not words and not counted:
            found.count, counted = Piece(str(value), token.text, token.start, token.end), value > 1
        elif (
            low == "one"
            and not words
            and not counted
            and i + 1 < len(tokens)
            and not closed(tokens[i + 1].low)
        ):
            found.count = Piece("1", token.text, token.start, token.end)
        elif low in w.QUANTIFIERS and noun is None:
            counted = True
            if low in ("several", "many", "few", "numerous", "various", "multiple", "countless"):
                found.count = Piece(low, token.text, token.start, token.end)
        elif (low in w.CONJUNCTIONS or low == ",") and _joins_attributes(tokens, i, noun):
            pass
        elif (
            closed(low) or relation_at(tokens, i) or (noun is not None and verb_at(tokens, i, noun, counted))
        ) or (noun is not None and (is_adverb(low) and low not in w.ADJECTIVES)):
            break
        else:
            kind = _word_class(tokens, i, noun)
            if kind == "verb":
                break
            words.append((kind, token))
            if kind == "noun":
                noun = low
        i += 1
    found.stop = i
    _fill(found, words, tokens)
    if found.stop == found.start or (found.head is None and not found.colors and not found.traits):
        return None
    if i < len(tokens) and tokens[i].low == "'s" and found.head and i + 1 < len(tokens):
        found.possessive, found.stop = True, i + 1
    return found


def _joins_attributes(tokens: Sequence[Token], i: int, noun: str | None) -> bool:
    """`red and blue ball`, `big, red ball`: a joint between attributes of a noun that is still to come."""
    if noun is not None or i == 0 or i + 1 >= len(tokens):
        return False
    k = i + 1
    if color_name(tokens[i - 1].low) and color_name(tokens[k].low):
        return True  # "in blue, yellow and red"
    if tokens[i].low == "," and tokens[k].low in w.CONJUNCTIONS:
        k += 1
    while k < len(tokens) and is_adverb(tokens[k].low):
        k += 1
    return (
        k + 1 < len(tokens)
        and _is_attribute(tokens[i - 1].low)
        and _is_attribute(tokens[k].low)
        and (not closed(tokens[k + 1].low) or tokens[k + 1].low in w.CONJUNCTIONS)
    )


def _is_attribute(low: str) -> bool:
    if low in w.NOUN_ADJECTIVES and color_name(low) is None:
        return False
    return color_name(low) is not None or is_adjective(low) or low in w.COLOR_SHADES


def _word_class(tokens: Sequence[Token], i: int, noun: str | None) -> str:
    """`color`, `shade`, `trait`, `adverb`, `noun` or `verb` of an open word inside a phrase."""
    low = tokens[i].low
    after = tokens[i + 1].low if i + 1 < len(tokens) else "."
    open_after = not closed(after)
    if color_name(low):
        return "color"
    if low in w.COLOR_SHADES and color_name(after):
        return "shade"
    # "pedestal", "music" end like adjectives; one that no noun follows is taken for the noun
    guessed = low not in w.ADJECTIVES and low.endswith(("al", "ic", "ive"))
    if (low in w.NOUN_ADJECTIVES or guessed) and not open_after:
        return "noun"
    if is_adjective(low) or (low.endswith("-") and open_after):
        return "trait"
    if is_adverb(low):
        return "adverb"
    form = verb_form(low)
    if form and noun is None:
        if form[1] == "ing" and low not in w.NOUNS_IN_ING and low not in w.PURPOSES:
            return "trait" if open_after else "verb"
        if form[1] == "ed":
            return "trait"
    if low in w.MATERIALS and open_after and noun is None and not _is_attribute(after):
        return "material"
    return "noun"


def _fill(found: NounPhrase, words: list[tuple[str, Token]], tokens: Sequence[Token]) -> None:
    while words and words[-1][0] == "adverb":
        words.pop()
    if not words:
        return
    kinds = [k for k, _ in words]
    lows = [t.low for _, t in words]
    if kinds[-1] in ("color", "trait", "shade", "material") and "noun" in kinds:
        # What follows the noun ("chair red") is an attribute too; the head is the last noun.
        last = len(kinds) - 1 - kinds[::-1].index("noun")
    elif kinds[-1] == "color" and (found.count or _is_thing(tokens, words[-1][1])):
        last, kinds[-1] = len(kinds) - 1, "noun"  # "an orange": the fruit
    else:
        last = len(kinds) - 1 if kinds[-1] in ("noun", "material") else -1
    name_from = last
    while name_from > 0 and (kinds[name_from - 1] == "noun" or _is_name(words, name_from - 1, last)):
        name_from -= 1
    if last > 0 and name_from == last:
        name_from = last - (f"{lows[last - 1]} {singular(lows[last])}" in w.COMPOUNDS)
    elif (
        0 < name_from < last
        and f"{lows[name_from - 1]} {lows[name_from]} {singular(lows[last])}" in w.COMPOUNDS
    ):
        name_from -= 1
    for k, (kind, token) in enumerate(words):
        if (last >= 0 and name_from <= k <= last) or kinds[k] in ("adverb", "shade"):
            continue
        if kinds[k] == "noun":
            kind = "trait"
        start, text = token.start, token.text
        if k and kinds[k - 1] == "shade":
            start = words[k - 1][1].start
            text = f"{words[k - 1][1].text} {token.text}"
        if kind == "color":
            found.colors.append(Piece(color_name(token.low) or token.low, text, start, token.end))
        else:
            found.traits.append(Piece(token.low, text, start, token.end))
    if last >= 0:
        first, final = words[name_from][1], words[last][1]
        named = name_from < last and final.text[:1].isupper() and words[last - 1][1].text[:1].isupper()
        one = (
            "glass" if lows[last] == "glasses" and (found.count or name_from < last) else singular(lows[last])
        )
        # A title keeps its number: Star Wars is no star war.
        name = " ".join([*lows[name_from:last], lows[last] if named else one])
        text = " ".join(t.text for _, t in words[name_from : last + 1])
        found.head = Piece(name, text, first.start, final.end)


def _is_name(words: list[tuple[str, Token]], k: int, last: int) -> bool:
    """Adjectives belong to a name that is written in capitals: Big Ben, Golden Gate Bridge."""
    return all(t.text[:1].isupper() for _, t in words[k : last + 1]) and words[k][1].start > 0


def _is_thing(tokens: Sequence[Token], color: Token) -> bool:
    """Is a color that no noun follows a thing (`an orange`, `a purple orange`) rather than a look (`in red`)?"""
    k = next(k for k, token in enumerate(tokens) if token is color)
    while k and color_name(tokens[k - 1].low) and tokens[k - 1].low not in w.CONJUNCTIONS:
        k -= 1
    before = tokens[k - 1].low if k else ""
    return before in w.DETERMINERS or before == "of" or is_adjective(before)


def material_phrase(prompt: str, tokens: Sequence[Token], i: int) -> tuple[Piece | None, int, int]:
    """`of wood` after `made`: what a thing is made of, and where that starts and stops; None where no phrase follows."""
    while i < len(tokens) and tokens[i].low in ("of", "from", "out", "entirely", "completely"):
        i += 1
    phrase = noun_phrase(tokens, i) if i < len(tokens) and starts_phrase(tokens, i) else None
    if phrase is None:
        return None, i, i
    first, last = tokens[phrase.start], tokens[phrase.stop - 1]
    text = prompt[first.start : last.end]
    return Piece(f"made of {text.lower()}", text, first.start, last.end), i, phrase.stop
