"""What can be measured of one captioned row without a model and without people."""

from __future__ import annotations

import re
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from .checks_language import subjective_phrases, wrong_language
from .checks_lettering import spans, unsupported
from .coverage import content_words, coverage
from .known_facts import KnownFacts
from .lettering import Agreement, agreement, en_words, leaked, ordered_distance, zh_characters
from .repetition import repetition_in
from .schema import KINDS, LANGUAGES, fold

#: What lettering is held against: another reader's lines, and strings known beforehand.
REFERENCES = ("ocr_stage", "truth")

#: A long caption that was not cut ends with one of these.
_ENDS = re.compile(r"[.!?…。！？；;)）\]】\"”’」』》]\s*$")
_PROSE = ("long", "medium", "short")


@dataclass(frozen=True)
class CaptionedRow:
    """One row of a captioned dataset.

    Attributes:
        captions: columns of `schema.ARROW_SCHEMA` (what an older schema lacks may be absent).
        ocr_stage: strings of the OCR stage, independent of the captioner; None where it did not run.
        truth: strings known to be in the picture; None where nothing is known.
        facts: what came with the picture.
    """

    captions: Mapping[str, Any]
    ocr_stage: Sequence[str] | None = None
    truth: Sequence[str] | None = None
    facts: KnownFacts = field(default_factory=lambda: KnownFacts({}))


@dataclass
class RowMeasures:
    """Counts of one row, to be added up. Shares are (part, whole) pairs; a whole of 0 says nothing.

    Attributes:
        lettering: (reference, where, tokens) -> Agreement; `where` is long_en, long_zh (quoted strings) or model_ocr.
        shares: name -> (part, whole).
        lengths: (language, kind) -> words (en) or characters (zh); items for lists.
        distances: reference -> order-aware distance of the model's own reading, 0..1.
        values: name -> samples of a quantity, such as coverage.
        reasons: what may send the row to review: name -> value, higher is worse.
    """

    lettering: dict[tuple[str, str, str], Agreement] = field(default_factory=dict)
    shares: dict[str, tuple[int, int]] = field(default_factory=dict)
    lengths: dict[tuple[str, str], list[int]] = field(default_factory=dict)
    distances: dict[str, float] = field(default_factory=dict)
    values: dict[str, list[float]] = field(default_factory=dict)
    reasons: dict[str, float] = field(default_factory=dict)

    def share(self, name: str, part: int, whole: int) -> None:
        a, b = self.shares.get(name, (0, 0))
        self.shares[name] = (a + part, b + whole)

    def reason(self, name: str, value: float) -> None:
        self.reasons[name] = max(value, self.reasons.get(name, 0.0))


def measure(row: CaptionedRow) -> RowMeasures:
    """All measures of a row. Reads strings only; cost is linear in their length."""
    m = RowMeasures()
    read = [s["text"] for s in row.captions.get("ocr") or () if s.get("text")]
    references = {"ocr_stage": row.ocr_stage, "truth": row.truth}
    named = [n for e in row.captions.get("entities") or () for n in (e["en"], e["zh"]) if n]
    for name, reference in references.items():
        if reference is not None:
            _lettering(m, name, list(reference), row, read)
    evidence = [s for strings in references.values() for s in strings or ()]
    if all(strings is None for strings in references.values()):
        evidence = read
    for language in LANGUAGES:
        if row.captions.get(f"{language}_long"):
            _language(m, language, row, evidence, named, read)
    _entities(m, row, evidence)
    _finish(m, row)
    return m


def _lettering(m: RowMeasures, name: str, reference: list[str], row: CaptionedRow, read: list[str]) -> None:
    places = {
        f"long_{code}": spans(row.captions[f"{code}_long"])
        for code in LANGUAGES
        if row.captions.get(f"{code}_long")
    }
    if row.captions.get("ocr") is not None:
        places["model_ocr"] = read
        m.distances[name] = ordered_distance("".join(reference), "".join(read))
    for where, strings in places.items():
        counts = agreement(reference, strings)
        for tokens, count in counts.items():
            m.lettering[name, where, tokens] = count
        both = counts["en"] + counts["zh"]
        if where != "model_ocr" and both.reference:
            m.reason(f"missing_lettering_{name}", 1 - (both.recall or 0.0))
        foreign = leaked(reference, strings)
        m.share(f"language_leak_{where}", len(foreign), len(strings))
        m.reason("language_leak", float(len(foreign)))


def _language(
    m: RowMeasures, language: str, row: CaptionedRow, evidence: list[str], named: list[str], read: list[str]
) -> None:
    texts = {kind: row.captions.get(f"{language}_{kind}") for kind in KINDS}
    long, short = texts["long"], texts["short"] or ""
    allowed = [*named, *row.facts.fields.values()]
    quoted = spans(long)
    invented = unsupported(long, evidence, allowed)
    m.share("invented_quotes", len(invented), len(quoted))
    m.reason("invented_quotes", float(len(invented)))
    for kind in _PROSE:
        text = texts[kind]
        if not text:
            continue
        wrong = bool(wrong_language(text, language, [*named, *evidence, *read]))
        m.share(f"wrong_language_{kind}", wrong, 1)
        m.reason("wrong_language", float(wrong))
        m.share(f"subjective_{kind}", bool(subjective_phrases(text)), 1)
        m.lengths[language, kind] = [_length(text, language)]
    m.reason("subjective", float(len(subjective_phrases(long))))
    repeats = bool(repetition_in(long, "\n".join([*evidence, *read])))
    m.share("repetition", repeats, 1)
    m.reason("repetition", float(repeats))
    cut = not _ENDS.search(long)
    m.share("no_end", cut, 1)
    _tags(m, language, texts["tags"] or (), long)
    prompts = list(texts["user_prompts"] or ())
    for text in prompts:
        told, short_told = coverage(text, long), coverage(short, long)
        m.values.setdefault(f"prompt_coverage_{language}", []).append(told)
        m.share("prompts_below_short", told < short_told, 1)
    m.values.setdefault(f"short_coverage_{language}", []).append(coverage(short, long))
    m.lengths[language, "tags"] = [len(texts["tags"] or ())]
    m.lengths[language, "user_prompts"] = [_length(p, language) for p in prompts]


def _length(text: str, language: str) -> int:
    """Words of English; of Chinese, characters without blanks."""
    return len(text.split()) if language == "en" else len("".join(text.split()))


def _tags(m: RowMeasures, language: str, tags: Sequence[str], long: str) -> None:
    words, folded = content_words(long), fold(long)
    concepts = [t for t in tags if not t.startswith('"')]
    held = 0
    for tag in concepts:
        told = content_words(tag)
        # A single Han character is no pair, and is looked up as it is.
        held += told <= words if told else fold(tag) in folded
    m.share(f"tags_in_long_{language}", held, len(concepts))
    if concepts:
        m.reason("tags_not_in_long", 1 - held / len(concepts))


def _entities(m: RowMeasures, row: CaptionedRow, evidence: list[str]) -> None:
    entities = row.captions.get("entities")
    if entities is None:
        return
    tags = {fold(t.strip('"')) for code in LANGUAGES for t in row.captions.get(f"{code}_tags") or ()}
    read = fold(" ".join(evidence))
    invented = 0
    for e in entities:
        names = [n for n in (e["en"], e["zh"]) if n]
        known = any(row.facts.names(n) or fold(n) in tags or fold(n) in read for n in names)
        invented += not known
        places = []
        for code in LANGUAGES:
            text = fold(row.captions.get(f"{code}_long") or "")
            places += [code] if any(fold(n) in text for n in names) else []
        written = [code for code in LANGUAGES if row.captions.get(f"{code}_long")]
        if places and len(written) == len(LANGUAGES):
            m.share("entity_agreement", len(places) == len(LANGUAGES), 1)
    m.share("invented_entities", invented, len(entities))
    m.reason("invented_entities", float(invented))
    known_only = [e for e in entities if e["source"] in ("metadata", "both")]
    if known_only:
        names = [fold(n) for e in known_only for n in (e["en"], e["zh"]) if n]
        for code in LANGUAGES:
            for kind in KINDS:
                value = row.captions.get(f"{code}_{kind}")
                if value:
                    text = fold(value if isinstance(value, str) else "\n".join(value))
                    m.share(f"world_knowledge_{code}_{kind}", any(n in text for n in names), 1)


def _finish(m: RowMeasures, row: CaptionedRow) -> None:
    reason = row.captions.get("finish_reason")
    if reason is not None:
        m.share("cut_at_last", reason == "length", 1)
    failures = row.captions.get("failures") or ()
    if row.captions.get("attempts") is not None:
        m.share("needed_another_try", bool(failures), 1)
        m.share("repaired", bool(row.captions.get("repaired")), 1)
        m.reason("attempts", float(row.captions["attempts"]))


def clip_sentences(text: str, limit: int = 12) -> list[str]:
    """Sentences of a caption, at most `limit`: CLIP reads 77 tokens, a long caption has more."""
    parts = [s.strip() for s in re.split(r"(?<=[.!?])\s+|(?<=[。！？；])", text) if s.strip()]
    return [p for p in parts if len(en_words(p)) + len(zh_characters(p)) >= 3][:limit]


def clip_scores(cosines: Sequence[float]) -> tuple[float, float]:
    """(max, mean) over sentences of CLIPScore = 2.5 max(cos, 0) (Hessel et al. 2021, arXiv 2104.08718, eq. 1)."""
    scores = [2.5 * max(c, 0.0) for c in cosines]
    return max(scores), statistics.fmean(scores)
