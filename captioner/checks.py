"""The rules a model's captions must keep, field by field, so that only what is wrong is asked for again."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from .answers import AnswerError
from .checks_language import subjective_phrases, without_opening, wrong_language
from .checks_lettering import claims_watermark, missing, restored, tags_with_lettering, unsupported
from .coverage import tells_as_much
from .fencing import without_controls
from .refusals import refusal_in
from .repetition import repetition_in
from .schema import KINDS, Entity, Limits, OcrString, fold

ENTITY_KINDS = (
    *("person", "place", "organization", "brand", "product", "work", "character"),
    *("event", "species", "food", "other"),
)
SOURCES = ("visual", "metadata", "both")
#: Bounds for a model; shorter than these it has not described anything. The upper ones leave room for dense lettering.
LIMITS = Limits(
    long_chars=(40, 30_000),
    medium_chars=(16, 3_000),
    short_chars=(4, 500),
    prompt_chars=(2, 400),
    tags=(3, 120),
)
#: From this many on, phrases of mood in one text are told to the model.
MANY_SUBJECTIVE = 2

_PLACEHOLDER = re.compile(
    r"\W*(?:\.{2,}|…+|string|text|n/?a|none|null|todo|caption|placeholder|暂无|略)?\W*", re.I
)

#: Captions of one image before they become a record: language -> kind -> text or tuple of texts.
Draft = dict[str, dict[str, Any]]


@dataclass(frozen=True)
class Fault:
    """Attributes:
    field: such as `zh.long`.
    reason: one of `answers.REASONS`.
    problem: told to the model.
    soft: worth another try, not worth losing the row.
    """

    field: str
    reason: str
    problem: str
    soft: bool = False


@dataclass(frozen=True)
class Known:
    """What captions are checked against.

    Attributes:
        strings: lettering of the picture, from the OCR pass.
        required: texts the long captions must hold.
        entities: as the answer gave them, checked.
        contradicted: names of the metadata that the picture contradicts.
        allowed: further texts that may be quoted without being lettering (titles in the metadata).
    """

    strings: tuple[OcrString, ...] = ()
    required: tuple[str, ...] = ()
    entities: tuple[Entity, ...] = ()
    contradicted: tuple[str, ...] = ()
    allowed: tuple[str, ...] = ()

    @cached_property
    def texts(self) -> list[str]:
        return [s.text for s in self.strings]

    def named_by_metadata(self) -> list[str]:
        """Names that the metadata gave or confirmed, folded, in both languages."""
        return [fold(n) for e in self.entities if e.source != "visual" for n in (e.en, e.zh) if n]

    @cached_property
    def names(self) -> list[str]:
        """Spellings that belong to no language."""
        named = [n for e in self.entities for n in (e.en, e.zh) if n]
        return named + [t for t in self.texts if sum(c.isalnum() for c in t) >= 4]


@dataclass
class Mended:
    """What was put right while a draft was taken, and what remains doubtful."""

    repaired: set[str] = field(default_factory=set)
    warnings: set[str] = field(default_factory=set)


def take(value: Any, wanted: Mapping[str, Sequence[str]]) -> Draft:
    """The fields wanted of an answer, with the right types and without outer blanks.

    Raises:
        AnswerError: schema, naming the field.
    """
    draft: Draft = {}
    for language, kinds in wanted.items():
        part = value.get(language)
        if not isinstance(part, dict):
            raise AnswerError("schema", f'"{language}" must be an object with {", ".join(kinds)}', language)
        draft[language] = {kind: _typed(part.get(kind), f"{language}.{kind}", kind) for kind in kinds}
    return draft


def _typed(value: Any, name: str, kind: str) -> Any:
    if kind in ("tags", "user_prompts"):
        if isinstance(value, str) and kind == "tags":  # one string with commas: what tag models write
            value = re.split(r"[,，、;；\n]", value)
        if not isinstance(value, list) or not all(isinstance(v, str) for v in value):
            raise AnswerError("schema", "must be a list of strings", name)
        return tuple(v for v in (without_controls(v).strip() for v in value) if v)
    if not isinstance(value, str):
        raise AnswerError("schema", "must be a string", name)
    return re.sub(r"[ \t\u3000]*\n\s*", "\n", without_controls(value).strip())


def entities_of(value: Mapping[str, Any], in_metadata: Any, mended: Mended) -> tuple[Known, list[str]]:
    """Entities and contradicted names of an answer, with sources that the metadata bears out.

    Args:
        in_metadata: whether a name is in the metadata (`KnownFacts.names`).

    Returns:
        Known with these two filled in, and names of entities dropped because the answer contradicts itself.
    """
    # Only what the metadata says can be contradicted; models also put remarks here.
    contradicted = tuple(
        n.strip()
        for n in _list(value, "contradicted")
        if isinstance(n, str) and len(n.strip()) > 1 and in_metadata(n.strip())
    )
    folded = {fold(n) for n in contradicted}
    kept, dropped = [], []
    for item in _list(value, "entities"):
        if not isinstance(item, dict):
            raise AnswerError("schema", "every entity must be an object", "entities")
        en, zh = (without_controls(str(item.get(k) or "")).strip()[:120] for k in ("en", "zh"))
        if not en and not zh:
            continue
        source = item.get("source") if item.get("source") in SOURCES else "visual"
        named = in_metadata(en) or in_metadata(zh)
        if source != "metadata" and {fold(en), fold(zh)} & folded - {""}:
            contradicted = tuple(n for n in contradicted if fold(n) not in (fold(en), fold(zh)))
        elif {fold(en), fold(zh)} & folded - {""}:
            dropped.append(en or zh)
            continue
        if source != "visual" and not named:
            mended.warnings.add(f"entity_source: {en or zh}")
            source = "visual"
        kind = item.get("kind") if item.get("kind") in ENTITY_KINDS else "other"
        kept.append(Entity(en, zh, kind, "both" if source == "visual" and named else source))
    return Known(entities=tuple(dict.fromkeys(kept)), contradicted=contradicted), dropped


def _list(value: Mapping[str, Any], name: str) -> list[Any]:
    items = value.get(name)
    if items is not None and not isinstance(items, list):
        raise AnswerError("schema", f'"{name}" must be a list', name)
    return (items or [])[:60]


def tidied(draft: Draft, known: Known, mended: Mended) -> Draft:
    """A draft with what can be put right without the model: quotation marks, copied characters, openings, tags."""
    done: Draft = {}
    for language, kinds in draft.items():
        done[language] = {}
        for kind, value in kinds.items():
            if kind == "tags":
                value = (*value, *_unnamed(value, language, known))
                value, changed = tags_with_lettering(value, known.strings)
                if changed:
                    mended.repaired.add("tags_lettering")
                unique: dict[str, str] = {}
                for tag in value:
                    tag = tag.lower() if language == "en" and tag[0] != '"' else tag
                    unique.setdefault(fold(tag), tag)
                value = tuple(unique.values())[: LIMITS.tags[1]]
            elif kind == "user_prompts":
                texts = [restored(v, known.texts, language)[0] for v in value]
                value = tuple({fold(t): t for t in reversed(texts)}.values())[::-1]
            else:
                value, copied = restored(value, known.texts, language)
                plain = without_opening(value, language)
                if copied:
                    mended.repaired.add("lettering_copied")
                if plain != value:
                    mended.repaired.add("opening")
                value = plain
            done[language][kind] = value
    return done


def _unnamed(tags: Sequence[str], language: str, known: Known) -> list[str]:
    """Names known from the metadata that no tag has: concepts are found by their tags."""
    text = fold("\n".join(tags))
    named = [e for e in known.entities if e.source != "visual"]
    missing = [e for e in named if not any(n and fold(n) in text for n in (e.en, e.zh))]
    return [n for e in missing for n in [getattr(e, language) or e.en or e.zh] if len(n) <= 60][:8]


def faults_of(draft: Draft, known: Known) -> list[Fault]:
    """Everything wrong with a tidied draft, hard faults and soft ones."""
    found: list[Fault] = []
    for language, kinds in draft.items():
        for kind in KINDS:
            if kind in kinds:
                found += _field_faults(language, kind, kinds[kind], known)
        found += _order_faults(language, kinds)
    return found


def _field_faults(language: str, kind: str, value: Any, known: Known) -> list[Fault]:
    name = f"{language}.{kind}"
    items = value if isinstance(value, tuple) else (value,)
    text = "\n".join(items)
    found = _size_faults(name, kind, items)
    refusal = refusal_in(text) if kind != "tags" else ""
    if refusal:
        found.append(Fault(name, "refusal", f"it declines or speaks of the assistant ({refusal[:60]!r})"))
    strange = wrong_language(text, language, known.names)
    if strange:
        found.append(Fault(name, "language", strange))
    quoted = unsupported(text, known.texts, (*known.allowed, *known.names)) if kind != "tags" else []
    if quoted:
        problem = f"it quotes what is not in the lettering: {quoted[0][:80]!r}; quote only given lettering, untranslated"
        found.append(Fault(name, "quotes", problem))
    if claims_watermark(text) and not any(s.kind == "watermark" for s in known.strings):
        found.append(Fault(name, "watermark", "it speaks of a watermark, but the lettering has none"))
    for wrong in known.contradicted:
        if len(fold(wrong)) > 2 and _says(text, wrong) and not any(_says(t, wrong) for t in known.texts):
            found.append(Fault(name, "entities", f"it uses the contradicted name {wrong[:60]!r}"))
            break
    if kind == "long":
        absent = missing(text, known.required)
        if absent:
            told = ", ".join(f"“{a[:120]}”" for a in absent[:20])
            problem = f"{len(absent)} strings of lettering are not quoted in it: {told}"
            found.append(Fault(name, "lettering", problem))
    given = known.named_by_metadata() if kind in ("long", "medium", "short") else []
    if given and not any(n in fold(text) for n in given):
        told = ", ".join(e.en or e.zh for e in known.entities if e.source != "visual")[:160]
        found.append(Fault(name, "entities", f"it names none of what is known: {told}", soft=True))
    if kind in ("long", "medium"):
        loop = repetition_in(text, known.texts)
        if loop:
            found.append(Fault(name, "repetition", loop))
        mood = subjective_phrases(text)
        if len(mood) >= MANY_SUBJECTIVE:
            found.append(Fault(name, "style", f"say what can be seen, without {mood[:4]!r}", soft=True))
    return found


def _size_faults(name: str, kind: str, items: Sequence[str]) -> list[Fault]:
    if kind in ("tags", "user_prompts"):
        low, high = getattr(LIMITS, kind)
        # Lettering is added to the tags by rule: what the model has to give is the others.
        count = sum(not (kind == "tags" and item.startswith('"')) for item in items)
        if count < low or len(items) > high:
            return [Fault(name, "counts", f"{count} items; {low} to {high} are asked for")]
        bounds = LIMITS.tag_chars if kind == "tags" else LIMITS.prompt_chars
    else:
        bounds = getattr(LIMITS, f"{kind}_chars")
    for item in items:
        if len(item) <= 40 and _PLACEHOLDER.fullmatch(item) and not (kind == "tags" and item.startswith('"')):
            return [Fault(name, "schema", f"{item[:40]!r} is no {kind}")]
        if not bounds[0] <= len(item) <= bounds[1]:
            problem = f"{len(item)} characters; it must have {bounds[0]} to {bounds[1]}"
            return [Fault(name, "length", problem)]
    return []


def _order_faults(language: str, kinds: Mapping[str, Any]) -> list[Fault]:
    """Short is shorter than long, and simulated prompts tell less than short."""
    found = []
    if "short" in kinds and "long" in kinds and len(kinds["short"]) >= len(kinds["long"]):
        found.append(Fault(f"{language}.long", "length", "it is no longer than the short caption"))
    if "medium" in kinds and "long" in kinds and len(kinds["medium"]) > 1.25 * len(kinds["long"]):
        found.append(Fault(f"{language}.medium", "length", "it is longer than the long caption"))
    if {"short", "long", "user_prompts"} <= set(kinds):
        prompts = kinds["user_prompts"]
        full = [p for p in prompts if tells_as_much(p, kinds["short"], kinds["long"])]
        if prompts and len(full) > len(prompts) / 2:
            problem = (
                "prompts must tell less than the short caption: keep to their plans and leave the rest out"
            )
            found.append(Fault(f"{language}.user_prompts", "coverage", problem))
    return found


def _says(text: str, name: str) -> bool:
    pattern = re.escape(fold(name))
    if name.isascii():
        pattern = rf"(?<![a-z0-9]){pattern}(?![a-z0-9])"
    return bool(re.search(pattern, fold(text)))
