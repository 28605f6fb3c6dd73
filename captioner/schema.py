"""The caption record: five kinds of caption in two languages, its rules and its Arrow schema."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from typing import Any

import pyarrow as pa

SCHEMA_VERSION = 2
LANGUAGES = ("en", "zh")
KINDS = ("long", "medium", "short", "tags", "user_prompts")

#: Spans whose language is not the caption's: quoted lettering, and names kept as they came.
_FOREIGN = re.compile(r'"[^"]*"|“[^”]*”|‘[^’]*’|《[^》]*》')


class CaptionError(ValueError):
    """A caption breaks a rule of the record; the message names language, kind and rule."""


@dataclass(frozen=True)
class Limits:
    """Bounds of a valid record, in characters (Unicode code points) and items.

    `min_language_share` is the least share of letters outside quoted spans that belong to the
    caption's own script (Latin for en, Han for zh), asked of texts with at least `min_letters` letters.
    Lower bounds are for Chinese, which says the same in about a third of the characters of English.
    """

    long_chars: tuple[int, int] = (10, 12_000)
    medium_chars: tuple[int, int] = (6, 2_000)
    short_chars: tuple[int, int] = (4, 500)
    prompt_chars: tuple[int, int] = (1, 500)
    tag_chars: tuple[int, int] = (1, 200)
    tags: tuple[int, int] = (1, 80)
    user_prompts: tuple[int, int] = (1, 8)
    min_language_share: float = 0.6
    min_letters: int = 8


@dataclass(frozen=True)
class Captions:
    """The five kinds in one language.

    Attributes:
        long: everything known, with all lettering quoted exactly.
        medium, short: less of it; `short` still describes the whole picture.
        tags: unique; lettering is a tag in double quotes, so that it is never taken for a concept.
        user_prompts: as people type them: short, mostly about a part of the picture only.
    """

    long: str
    medium: str
    short: str
    tags: tuple[str, ...]
    user_prompts: tuple[str, ...]


@dataclass(frozen=True)
class OcrString:
    """One string of lettering as the captioning model read it; independent of the `ocr` stage's reading.

    Attributes:
        text: characters as they stand in the picture, never translated or corrected.
        lang: of the lettering, as a BCP 47 code (`zh`, `en`, `ja`...); `und` where the model does not say.
        kind: "content", or "watermark" for marks laid over the picture.
        legible: False for a string that the model could read in part only; it need not stand in captions.
        carrier: what it is written on (sign, shirt, screen, page...), in English.
        cell: place in a 3 x 3 grid, such as `top-left`; None where the model does not say.
        box: (x0, y0, x1, y1) as fractions of width and height, where the model family gives usable boxes.
    """

    text: str
    lang: str = "und"
    kind: str = "content"
    legible: bool = True
    carrier: str | None = None
    cell: str | None = None
    box: tuple[float, float, float, float] | None = None


@dataclass(frozen=True)
class Entity:
    """Something with a name of its own. `source`: visual (recognized), metadata (named there only), both.

    Attributes:
        en, zh: its name in each language; "" where the model gave none.
        kind: person, place, organization, brand, product, work, character, event, species, food or other.
    """

    en: str
    zh: str
    kind: str
    source: str


@dataclass(frozen=True)
class PromptPlan:
    """What one simulated user prompt was told to be, drawn before the model wrote it.

    Attributes:
        language: en or zh.
        keep: elements it may mention, from subject, attribute, place, style, text.
        register: how it is put: keywords, phrase, sentence, command or casual.
    """

    language: str
    keep: tuple[str, ...]
    register: str


@dataclass(frozen=True)
class Provenance:
    """How a model's captions came about.

    Attributes:
        pack: prompts used, as `family: name@version ...`.
        prompt_sha: sha256 (hex) over the hashes of these prompts.
        seed: of the last answer, as given to the engine.
        finish_reason: of the last answer.
        tokens_in, tokens_out: over all answers for this image; None where the engine does not say.
        attempts: answers drawn for this image, over all calls.
        failures: reason of each answer that could not be used (`captioner.answers.REASONS`), in order.
        repaired: what was put right without asking again, sorted.
        warnings: what a reader should know, as `name` or `name: detail`.
    """

    pack: str
    prompt_sha: str
    seed: int | None
    finish_reason: str
    tokens_in: int | None
    tokens_out: int | None
    attempts: int
    failures: tuple[str, ...] = ()
    repaired: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class CaptionRecord:
    """What was written about one image, and who wrote it. A `placeholder` was not written by a model.

    A language that was not asked for is None. `ocr`, `entities`, `plans` and `provenance` are None where the
    engine has none (`template`); an empty `ocr` says that the model found no lettering.
    """

    en: Captions | None
    zh: Captions | None
    engine: str
    model: str
    placeholder: bool
    schema_version: int = SCHEMA_VERSION
    ocr: tuple[OcrString, ...] | None = None
    entities: tuple[Entity, ...] | None = None
    plans: tuple[PromptPlan, ...] | None = None
    provenance: Provenance | None = None

    def row(self) -> dict[str, Any]:
        """Values of `ARROW_SCHEMA`."""
        values: dict[str, Any] = {}
        for language, captions in (("en", self.en), ("zh", self.zh)):
            for kind in KINDS:
                value = getattr(captions, kind, None)
                values[f"{language}_{kind}"] = list(value) if isinstance(value, tuple) else value
        values |= {
            "engine": self.engine,
            "model": self.model,
            "placeholder": self.placeholder,
            "schema_version": self.schema_version,
        }
        for name in ("ocr", "entities", "plans"):
            items = getattr(self, name)
            values[name] = None if items is None else [asdict(item) for item in items]
        told = asdict(self.provenance) if self.provenance else {}
        return values | {f.name: told.get(f.name) for f in fields(Provenance)}


def _field(name: str, type_: pa.DataType, meaning: str) -> pa.Field:
    return pa.field(name, type_, metadata={"meaning": meaning})


def _caption_fields(language: str) -> list[pa.Field]:
    name = {"en": "English", "zh": "Chinese"}[language]
    many = pa.list_(pa.string())
    return [
        _field(f"{language}_long", pa.string(), f"{name} caption with everything known"),
        _field(f"{language}_medium", pa.string(), f"{name} caption of a few sentences"),
        _field(f"{language}_short", pa.string(), f"{name} caption of one sentence"),
        _field(f"{language}_tags", many, f"{name} tags, unique; lettering in double quotes"),
        _field(f"{language}_user_prompts", many, f"{name} prompts as users type them, mostly incomplete"),
    ]


_STRING, _STRINGS = pa.string(), pa.list_(pa.string())
_OCR = pa.struct(
    [
        pa.field("text", _STRING),
        pa.field("lang", _STRING),
        pa.field("kind", _STRING),
        pa.field("legible", pa.bool_()),
        pa.field("carrier", _STRING),
        pa.field("cell", _STRING),
        pa.field("box", pa.list_(pa.float32())),
    ]
)
_ENTITY = pa.struct([pa.field(name, _STRING) for name in ("en", "zh", "kind", "source")])
_PLAN = pa.struct([pa.field("language", _STRING), pa.field("keep", _STRINGS), pa.field("register", _STRING)])

ARROW_SCHEMA = pa.schema(
    [
        *_caption_fields("en"),
        *_caption_fields("zh"),
        _field("engine", pa.string(), "caption engine"),
        _field("model", pa.string(), "model behind the engine, with revision"),
        _field("placeholder", pa.bool_(), "not written by a model; left out of exports unless asked for"),
        _field("schema_version", pa.int32(), "version of this record"),
        _field("ocr", pa.list_(_OCR), "lettering as the captioning model read it; box in fractions of side"),
        _field("entities", pa.list_(_ENTITY), "named things; source is visual, metadata or both"),
        _field(
            "plans", pa.list_(_PLAN), "what the simulated user prompts were told to mention, in their order"
        ),
        _field("pack", _STRING, "prompts used: family, names and versions"),
        _field("prompt_sha", _STRING, "sha256 over the texts of the prompts used"),
        _field("seed", pa.int64(), "seed of the last answer"),
        _field("finish_reason", _STRING, "stop reason of the last answer"),
        _field("tokens_in", pa.int64(), "tokens read by the model, over all answers"),
        _field("tokens_out", pa.int64(), "tokens written by the model, over all answers"),
        _field("attempts", pa.int32(), "answers drawn for this image, over all calls"),
        _field("failures", _STRINGS, "reasons of the answers that could not be used"),
        _field("repaired", _STRINGS, "what was put right without asking again"),
        _field("warnings", _STRINGS, "what remains doubtful"),
    ]
)


def validate(
    record: CaptionRecord,
    lettering: Iterable[str] = (),
    names: Iterable[str] = (),
    limits: Limits | None = None,
) -> None:
    """Check a record against the rules.

    Args:
        lettering: strings read in the image that both long captions must quote exactly.
        names: strings taken over from the source, whose language is not the caption's to choose.

    Raises:
        CaptionError: naming language, kind and the broken rule.
    """
    limits = limits or Limits()
    names = sorted(names, key=len, reverse=True)
    for language, captions in (("en", record.en), ("zh", record.zh)):
        if captions is None:
            continue
        _check_language(language, captions, names, limits)
        opening, closing = QUOTES[language]
        for text in lettering:
            if f"{opening}{text}{closing}" not in captions.long:
                raise CaptionError(f"{language}_long does not quote the lettering {text!r} exactly")


#: How lettering is quoted in each language. The string between the marks is never altered.
QUOTES = {"en": ('"', '"'), "zh": ("“", "”")}


def _check_language(language: str, captions: Captions, names: list[str], limits: Limits) -> None:
    for kind in ("long", "medium", "short"):
        text = getattr(captions, kind)
        _check_length(f"{language}_{kind}", text, getattr(limits, f"{kind}_chars"))
        for name in names:
            text = re.sub(re.escape(name), " ", text, flags=re.IGNORECASE)
        share = language_share(text, language, limits.min_letters)
        if share is not None and share < limits.min_language_share:
            raise CaptionError(
                f"{language}_{kind}: only {share:.0%} of its letters outside quotes are {language}; "
                f"at least {limits.min_language_share:.0%} must be"
            )
    for kind, bounds in (("tags", limits.tag_chars), ("user_prompts", limits.prompt_chars)):
        items = getattr(captions, kind)
        low, high = getattr(limits, kind)
        if not low <= len(items) <= high:
            raise CaptionError(f"{language}_{kind}: {len(items)} items, must be {low} to {high}")
        if len({fold(item) for item in items}) < len(items):
            raise CaptionError(f"{language}_{kind}: items repeat; every one must be unique")
        for item in items:
            _check_length(f"{language}_{kind} item", item, bounds)


def _check_length(name: str, text: str, bounds: tuple[int, int]) -> None:
    if text != text.strip() or not bounds[0] <= len(text) <= bounds[1]:
        raise CaptionError(
            f"{name}: {len(text)} characters, must be {bounds[0]} to {bounds[1]} without outer blanks"
        )


def fold(text: str) -> str:
    """The form in which two tags count as the same: NFKC, case-folded, blanks collapsed."""
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


def language_share(text: str, language: str, min_letters: int = 1) -> float | None:
    """Share of letters outside quoted spans in the script of a language; None below `min_letters`."""
    letters = [c for c in _FOREIGN.sub(" ", text) if c.isalpha()]
    if len(letters) < min_letters:
        return None
    latin = sum("LATIN" in unicodedata.name(c, "") for c in letters)
    han = sum(unicodedata.name(c, "").startswith("CJK") for c in letters)
    return (latin if language == "en" else han) / len(letters)
