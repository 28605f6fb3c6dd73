"""Concepts from tags and alt text: one spelling per concept, and never a string read in the image."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping, Set

MAX_CONCEPT_CHARS = 40
MAX_WORDS = 4

_QUOTED = re.compile(r'^["“‘\'「『《].*["”’\'」』》]$', re.DOTALL)
_HAN_RUN = re.compile(r"[\u4e00-\u9fff\u3400-\u4dbf]+")
_EN_TOKEN = re.compile(r"[a-zà-öø-ÿ]+(?:[-'’][a-zà-öø-ÿ]+)*|[^\sa-zà-öø-ÿ]")

#: Words that are no nouns, or nouns that say nothing of a picture. A phrase never crosses one.
STOPWORDS = frozenset(
    """a an the and or but nor of in on at by for from to with without into onto over under above below between
    behind near beside against along across around through during before after as is are was were be been being am
    has have had do does did done this that these those it its he she they we you i his her their our your my me him
    them us who whom whose which what when where why how not no yes all any both each few more most other some such
    only own same so than too very can will just should could would may might must up down out off again further then
    once here there also about one two three four five six seven eight nine ten first second new old big small large
    little good best great nice beautiful pretty amazing awesome free top high low long short full different various
    many much several vs via per image images picture pictures photo photos photograph photography pic pics stock
    vector background wallpaper wallpapers hd uhd design designs set collection style view views looking look showing
    shows show made make making using use used wearing holding sitting standing lying walking running riding eating
    playing taken taking get got see seen front back left right side top bottom center middle close closeup part piece
    inch cm mm px kg size sizes color colors colour colours black white red green blue yellow orange purple pink brown
    gray grey beige dark light bright""".split()
)

#: Characters that bind or qualify in Chinese: a run is cut at them before short pieces are taken whole.
_ZH_CUTS = re.compile(
    r"[的了在是和与及或而被把将从到向对于之为有这那个只张位名条件座间上下里中外内前后旁边并很最都也还就]"
)


def fold(text: str) -> str:
    """NFKC, lower case, one blank between words, no outer punctuation."""
    text = " ".join(unicodedata.normalize("NFKC", text).lower().replace("_", " ").split())
    return text.strip(" .,;:!?-–—/|·、，。；：！？#*")


def is_quoted(tag: str) -> bool:
    """A tag in quotation marks is lettering, not a concept."""
    return bool(_QUOTED.match(tag.strip()))


def normalize(tag: str, aliases: Mapping[str, str]) -> str | None:
    """The concept a tag stands for, or None if it stands for none.

    Args:
        aliases: folded spelling -> concept, e.g. `帽子` -> `hat`. Looked up for the tag and for its
            singular.

    Returns:
        None for lettering, numbers, single letters, stop words, and anything longer than
        `MAX_CONCEPT_CHARS` or `MAX_WORDS` words (a sentence is no tag).
    """
    if is_quoted(tag):
        return None
    folded = fold(tag)
    if not any(c.isalpha() for c in folded) or len(folded) > MAX_CONCEPT_CHARS or folded in STOPWORDS:
        return None
    if len(folded.split()) > MAX_WORDS or (len(folded) < 2 and not _HAN_RUN.search(folded)):
        return None
    for form in (folded, *singulars(folded)):
        if form in aliases:
            return aliases[form]
    return folded


def singulars(word: str) -> list[str]:
    """Likely singulars of an English word or phrase, likeliest first; [] if it is no plural."""
    if len(word) < 4 or not word.isascii() or not word.endswith("s") or word.endswith(("ss", "us", "is")):
        return []
    if word.endswith("ies"):
        return [word[:-3] + "y", word[:-1]]
    if word.endswith(("ches", "shes", "xes", "sses", "zes")):
        return [word[:-2], word[:-1]]
    return [word[:-1]]


def extract(text: str, aliases: Mapping[str, str], limit: int = 12) -> list[str]:
    """Noun-like concepts of a running text in English or Chinese, in order of appearance.

    Without a tagger this is deliberately modest. English: words known to `aliases` (longest match
    first), and capitalized names of two to four words inside a sentence; other single words are left
    out, because a verb or an adjective among the concepts does more harm than a missing noun.
    Chinese: known words of at least two characters by longest match; of the rest, pieces of two to
    four characters that punctuation or function words set apart.
    """
    text = unicodedata.normalize("NFKC", text[:2000])
    found = [*_english(text, aliases), *_chinese(text, aliases)]
    return list(dict.fromkeys(found))[:limit]


def _english(text: str, aliases: Mapping[str, str]) -> Iterable[str]:
    tokens = _EN_TOKEN.findall(text.lower())
    i = 0
    while i < len(tokens):
        for size in (3, 2, 1):
            phrase = " ".join(tokens[i : i + size])
            known = next((aliases[f] for f in (phrase, *singulars(phrase)) if f in aliases), None)
            if known and phrase.isascii() and phrase not in STOPWORDS:
                yield known
                i += size
                break
        else:
            i += 1
    title_case = sum(w[0].isupper() for w in re.findall(r"[A-Za-z]\w+", text))
    if title_case <= 0.6 * max(1, len(re.findall(r"[A-Za-z]\w+", text))):
        # Only where capitals are the exception do they mark a name.
        for name in re.findall(r"(?:[A-Z][a-zà-öø-ÿ]+)(?: [A-Z][a-zà-öø-ÿ]+){1,3}", text):
            folded = fold(name)
            if folded.split()[0] not in STOPWORDS:
                yield aliases.get(folded, folded)


def _chinese(text: str, aliases: Mapping[str, str]) -> Iterable[str]:
    for match in _HAN_RUN.finditer(text):
        run, rest, i = match.group(), [""], 0
        while i < len(run):
            for size in range(min(6, len(run) - i), 1, -1):
                if run[i : i + size] in aliases:
                    yield aliases[run[i : i + size]]
                    rest.append("")
                    i += size
                    break
            else:
                rest[-1] += run[i]
                i += 1
        for piece in rest:
            yield from (p for p in _ZH_CUTS.split(piece) if 2 <= len(p) <= 4)


def concepts_of(
    tags: Iterable[str],
    sources: Iterable[str],
    aliases: Mapping[str, str],
    lettering: Iterable[str] = (),
    exclude: Set[str] = frozenset(),
    limit: int = 40,
) -> tuple[list[str], list[str]]:
    """Unique concepts of one image and where each came from.

    Args:
        tags, sources: aligned; the source of a tag is, e.g., "caption", "alt" or "label".
        lettering: strings read in the image. A caption tag equal to one of them, folded, is dropped:
            a shirt with `LONDON` on it does not show London.
        exclude: folded tags that name no concept (picture formats, colors).

    Returns:
        (concepts, their first source), at most `limit`, in the order given.
    """
    read = {fold(text) for text in lettering}
    kept: dict[str, str] = {}
    for tag, source in zip(tags, sources, strict=True):
        if fold(tag) in exclude or (source == "caption" and fold(tag) in read):
            continue
        concept = normalize(tag, aliases)
        if concept and concept not in exclude:
            kept.setdefault(concept, source)
    names = list(kept)[:limit]
    return names, [kept[name] for name in names]
