"""What an enhanced prompt must keep of the original, checked without a model."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from .answers import AnswerError
from .elements import Decomposition, elements
from .elements_quotes import quoted_multiset, quoted_spans, without_quotes
from .elements_rules import language_of
from .enhance_language import candidates
from .fencing import has_control_token
from .repetition import repetition_in

#: Negations by language, as whole words where the language has blanks. A model without guidance cannot subtract:
#: "no cars" brings cars in.
_NEGATIONS = {
    "latin": re.compile(
        r"\b(?:no|not|without|never|none|neither|nor|avoid(?:ing)?|absent|exclud(?:e|ing)|sem|não|nenhum|sin|ningún|ninguna|"
        r"ohne|kein(?:e[nrms]?)?|nicht|sans|pas|aucune?)\b|n['’]t\b",
        re.I,
    ),
    "zh": re.compile("没有|不要|不含|不带|避免|禁止|切勿|不得|不出现|不能有|不应"),
    "ru": re.compile(r"\b(?:без|не|нет|ни|никак\w+)\b", re.I),
    "ko": re.compile("없[이는다음]|않|말고|제외|금지"),
    "ja": re.compile("ない|なし|避け|除く"),
}
#: Words that praise the picture instead of saying what is in it.
_PRAISE = re.compile(
    r"\b(?:masterpiece|best quality|award[- ]winning|high[- ]quality|ultra[- ]detailed|8k|4k|16k|trending on \w+)\b|杰作|最高质量|超高清|大师级",
    re.I,
)
#: Phrases that announce lettering; what follows must be in quotes.
_ANNOUNCES = re.compile(
    r"\b(?:that|which) (?:reads?|says?)\b|\bwith the (?:text|words?|slogan|inscription|lettering|caption)\b(?! (?:is|in|at|on|of|and))"
    r"|(?:写着|写有|印着|印有|刻着|刻有|标题为|题为|标语为|文字为|字样为)",
    re.I,
)
_OPENING = re.compile(r"""^\s*(?:[^\s"“”「『«„‘'《]+\s+){0,4}?[:：,，]?\s*["“”「『«„‘'《]""")
MAX_GROWTH_CHARS = 6_000


@dataclass(frozen=True)
class Drift:
    """How far an enhanced prompt is from the original, shares 0..1 (None where there is nothing to compare).

    Attributes:
        kept_share: of the original's words (Chinese: pairs of characters) that are still there.
        new_share: of the enhanced prompt's words that the original does not have.
        kept_elements_share: of the original's elements, by the rule engine, that are found again by kind and name.
        growth: length over length, in characters.
    """

    kept_share: float | None
    new_share: float | None
    kept_elements_share: float | None
    growth: float


def check_prompt(original: str, final: str, invented: Sequence[str], locked: Iterable[str] = ()) -> None:
    """Raise AnswerError unless `final` may replace `original`.

    Args:
        invented: lettering that the model says it made up; it must be quoted in `final`, and nothing else may be new.
        locked: strings that must occur in `final` (NFKC, case ignored).
    """
    if not final.strip():
        raise AnswerError("empty", "The final prompt is empty.", "prompt")
    if has_control_token(final):
        raise AnswerError("other", "The final prompt holds control tokens.", "prompt")
    if len(final) > max(MAX_GROWTH_CHARS, 2 * len(original)):
        raise AnswerError(
            "length", f"The final prompt is longer than {MAX_GROWTH_CHARS} characters.", "prompt"
        )
    loop = repetition_in(final, original)
    if loop:
        raise AnswerError("repetition", f"The final prompt repeats itself: {loop[:80]}", "prompt")
    _check_quotes(original, final, invented)
    _check_language(original, final)
    _check_locked(original, final, locked)
    _check_words(original, final)


def _check_quotes(original: str, final: str, invented: Sequence[str]) -> None:
    given, kept = quoted_multiset(original), quoted_multiset(final)
    lost = given - kept
    if lost:
        text = next(iter(lost))
        raise AnswerError(
            "quotes",
            f"The quoted text {text!r} must stand in quotes, unchanged, in the final prompt.",
            "prompt",
        )
    made_up = Counter(invented)
    new = kept - given
    unsaid = new - made_up
    if unsaid:
        text = next(iter(unsaid))
        what = "more often than in the original" if text in given else "which the original does not have"
        raise AnswerError(
            "quotes",
            f"The final prompt quotes {text!r}, {what}; new lettering must be listed in invented_text.",
            "prompt",
        )
    unquoted = [t for t in made_up if t not in kept]
    if unquoted:
        raise AnswerError(
            "quotes", f"The invented text {unquoted[0]!r} must stand in quotes in the final prompt.", "prompt"
        )
    bare = announced_lettering(final) - announced_lettering(original)
    if bare:
        raise AnswerError(
            "quotes", f"Lettering is announced by {next(iter(bare))!r} and not put in quotes.", "prompt"
        )


def announced_lettering(text: str) -> set[str]:
    """Phrases that announce lettering (`that reads`, `写着`) and are followed by no quote."""
    spans = [(q.start, q.end) for q in quoted_spans(text)]
    found = set()
    for m in _ANNOUNCES.finditer(text):
        inside = any(start <= m.start() < end for start, end in spans)
        if not inside and not _OPENING.match(text[m.end() : m.end() + 120]):
            found.add(m.group().lower())
    return found


def _check_language(original: str, final: str) -> None:
    before, after = candidates(original), candidates(final)
    if before and after and not before & after:
        raise AnswerError(
            "language", "The final prompt must be in the language of the original prompt.", "prompt"
        )


def _check_locked(original: str, final: str, locked: Iterable[str]) -> None:
    folded = _fold(final)
    for item in locked:
        if _fold(item) not in folded:
            raise AnswerError("other", f"The final prompt must keep {item!r}.", "prompt")
    if language_of(original) not in ("en", "zh"):
        return
    before, after = elements(original), elements(final)
    for kind in ("count", "color"):
        lost = _claims(before, kind) - _claims(after, kind)
        if lost:
            name = sorted(lost)[0]
            raise AnswerError("other", f"The {kind} {name!r} of the original prompt must be kept.", "prompt")


def _claims(found: Decomposition, checker: str) -> set[str]:
    """Counts or colors a prompt asks for, of whatever thing: the thing may be worded otherwise."""
    return {e.name for e in found.elements if e.checker == checker and e.name.isascii()}


def _check_words(original: str, final: str) -> None:
    more = negations(final) - negations(original)
    if more > 0:
        raise AnswerError(
            "style", "The final prompt says what must not be there; say what is there instead.", "prompt"
        )
    praise = {m.group().lower() for m in _PRAISE.finditer(without_quotes(final))}
    praise -= {m.group().lower() for m in _PRAISE.finditer(original)}
    if praise:
        raise AnswerError(
            "style",
            f"The final prompt praises the picture ({sorted(praise)[0]}); describe it instead.",
            "prompt",
        )


def negations(text: str) -> int:
    """Negations outside quotes."""
    outside = without_quotes(text)
    langs = candidates(text)
    found = sum(len(_NEGATIONS[code].findall(outside)) for code in ("zh", "ru", "ko", "ja") if code in langs)
    return found + (len(_NEGATIONS["latin"].findall(outside)) if not langs & {"zh", "ru", "ko", "ja"} else 0)


def drift(original: str, final: str) -> Drift:
    """Distance of two prompts, by words and by elements; no model."""
    before, after = Counter(_units(original)), Counter(_units(final))
    shared = len(set(before) & set(after))
    claims = Counter((e.kind, e.name) for e in elements(original).elements)
    found = Counter((e.kind, e.name) for e in elements(final).elements)
    return Drift(
        kept_share=shared / len(before) if before else None,
        new_share=1 - shared / len(after) if after else None,
        kept_elements_share=sum((claims & found).values()) / sum(claims.values()) if claims else None,
        growth=len(final) / max(1, len(original)),
    )


def _units(text: str) -> list[str]:
    folded = _fold(text)
    han = re.findall(r"[\u3400-\u9fff]+", folded)
    pairs = [run[i : i + 2] for run in han for i in range(max(1, len(run) - 1))]
    return pairs + re.findall(r"[^\W\d_\u3400-\u9fff]{2,}|\d+", folded)


def _fold(text: str) -> str:
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())
