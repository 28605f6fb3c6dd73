"""The `template` engine: captions from measurements, lettering and what the source says, by rule.

No model looks at the picture, so nothing is said about what it shows beyond the names its source
gave; those are attributed ("titled", "labeled"), never asserted. The record is a placeholder.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from types import ModuleType

from . import chinese, english
from .engines import CaptionRequest
from .facts import PictureFacts, measure
from .lexicon import english_to_chinese
from .ocr.lines import WATERMARK, OcrLine
from .schema import CaptionRecord, Captions, fold, validate
from .subject import Subject, subject_of

#: Raised whenever the captions of some image change.
VERSION = 1

#: Longest lettering quoted in captions, in characters over all lines; what follows is left out.
MAX_LETTERING_CHARS = 4_000
#: Longest single line quoted in medium and short captions, in characters.
MAX_SHORT_LETTERING_CHARS = 120
PROMPTS = 3
REGISTERS = ("phrase", "keywords", "command")


class TemplateEngine:
    """A `Vlm` that needs no weights. Same request, same record."""

    engine = "template"
    model = f"template-{VERSION}"
    placeholder = True

    def load(self) -> None:
        """Nothing to load."""

    def caption(self, request: CaptionRequest) -> CaptionRecord:
        """Captions in both languages.

        Raises:
            CaptionError: the thumbnail cannot be decoded, or a rule of the record is broken.
        """
        facts = measure(request.image, request.width_px, request.height_px, request.sharpness)
        content = _bounded([line for line in request.ocr if line.kind != WATERMARK])
        marks = _bounded([line for line in request.ocr if line.kind == WATERMARK])
        subject = subject_of(request)
        record = CaptionRecord(
            en=_captions("en", english, request, facts, subject, content, marks),
            zh=_captions("zh", chinese, request, facts, subject, content, marks),
            engine=self.engine,
            model=self.model,
            placeholder=self.placeholder,
        )
        validate(record, [line.text for line in content], subject.texts)
        return record


def _captions(
    language: str,
    words: ModuleType,
    request: CaptionRequest,
    facts: PictureFacts,
    subject: Subject,
    content: Sequence[OcrLine],
    marks: Sequence[OcrLine],
) -> Captions:
    def choose(slot: str, options: Sequence[str]) -> str:
        return options[_draw(request, slot) % len(options)]

    origin = request.origin if request.origin in words.KINDS else "unknown"
    head = (facts, origin, request.frames > 1, subject.name(language), subject.foreign(language))
    quotable = [line for line in content if len(line.text) <= MAX_SHORT_LETTERING_CHARS]
    largest = sorted(quotable, key=lambda line: (line.box[1] - line.box[3], line.box[1], line.box[0]))[:5]
    some = [line for line in content if line in largest]
    long = [
        words.intro(*head, choose),
        words.colors(facts, choose),
        words.layout(facts),
        words.light(facts),
        words.focus(facts),
        words.lettering(content),
        words.watermarks(marks),
    ]
    told = words.some_lettering(some) if 0 < len(some) < len(content) else words.lettering(some)
    medium = [words.intro(*head, choose), words.colors(facts, choose), told or words.light(facts)]
    glue = " " if language == "en" else ""
    return Captions(
        long=glue.join(s for s in long if s),
        medium=glue.join(s for s in medium if s),
        short=words.short(*head, quotable),
        tags=_tags(language, words, origin, facts, subject, content),
        user_prompts=_prompts(language, words, request, facts, subject, content),
    )


def _draw(request: CaptionRequest, slot: str) -> int:
    """A number that depends on sample, seed and slot only: the same on any machine, in any order."""
    key = request.sample_id + f"|{request.seed}|{slot}".encode()
    return int.from_bytes(hashlib.blake2b(key, digest_size=8).digest(), "big")


def _bounded(lines: list[OcrLine]) -> list[OcrLine]:
    """Lines in order up to `MAX_LETTERING_CHARS` characters in all."""
    kept, used = [], 0
    for line in lines:
        used += len(line.text) + 4
        if used > MAX_LETTERING_CHARS:
            break
        kept.append(line)
    return kept


def measured_tags() -> frozenset[str]:
    """All tags that tell of form, not of content, folded: not worth a concept."""
    tags = set()
    for words in (english, chinese):
        tags |= {*words.SHAPES.values(), *words.KINDS.values()}
    tags |= {
        "black-and-white",
        "黑白",
        "dark",
        "bright",
        "暗调",
        "明亮",
        "warm colors",
        "cool colors",
        "暖色",
        "冷色",
    }
    tags |= {name for name in chinese.COLORS} | {zh for zh, _ in chinese.COLORS.values()}
    return frozenset(fold(tag) for tag in tags)


def _tags(
    language: str,
    words: ModuleType,
    origin: str,
    facts: PictureFacts,
    subject: Subject,
    content: Sequence[OcrLine],
) -> tuple[str, ...]:
    en = language == "en"
    tags = [thing if en else english_to_chinese()[thing] for thing in subject.things]
    tags += [word.lower() for word in subject.keywords if all(ord(c) < 0x250 for c in word) == en]
    name = subject.name(language)
    if name and name.role != "description" and len(name.text) <= 40:
        tags.append(name.text.lower() if en else name.text)
    tags += [words.KINDS[origin], words.SHAPES[facts.shape]]
    if facts.saturation == "gray":
        tags.append("black-and-white" if en else "黑白")
    else:
        tags += [c if en else chinese.color(c) for c, share in facts.colors if share >= 0.15]
        if facts.temperature:
            warm = facts.temperature == "warm"
            tags.append(f"{facts.temperature} colors" if en else "暖色" if warm else "冷色")
    if facts.brightness:
        dark = facts.brightness.endswith("dark")
        tags.append(("dark" if dark else "bright") if en else ("暗调" if dark else "明亮"))
    tags += [f'"{line.text}"' for line in content if len(line.text) <= 60][:20]
    unique: dict[str, str] = {}
    for tag in tags:
        unique.setdefault(fold(tag), tag)
    return tuple(unique.values())[:60]


def _prompts(
    language: str,
    words: ModuleType,
    request: CaptionRequest,
    facts: PictureFacts,
    subject: Subject,
    content: Sequence[OcrLine],
) -> tuple[str, ...]:
    """Prompts drawn from a plan: which one or two elements are kept, and in which register.

    The plan is the same in both languages. Almost always something is left out, as people do.
    """
    elements = _elements(language, facts, subject, content)
    names = list(elements)
    prompts: dict[str, None] = {}
    for attempt in range(4 * PROMPTS):
        draw = _draw(request, f"prompt {attempt}")
        register = REGISTERS[draw % len(REGISTERS)]
        # The first element is the subject if there is one, else any; a second joins in half of them.
        first = "subject" if "subject" in elements and draw // 3 % 4 else names[draw // 12 % len(names)]
        kept = {first, names[draw // 97 % len(names)]} if draw // 7 % 2 else {first}
        prompts[words.prompt(register, {name: elements[name] for name in names if name in kept})] = None
        if len(prompts) == PROMPTS:
            break
    return tuple(prompts)


def _elements(
    language: str, facts: PictureFacts, subject: Subject, content: Sequence[OcrLine]
) -> dict[str, str]:
    en = language == "en"
    words: Callable[[str], str] = (lambda c: c) if en else chinese.color
    found: dict[str, str] = {}
    name = subject.name(language)
    if name and name.role == "title" and len(name.text) <= 40:
        found["subject"] = name.text
    elif subject.things:
        found["subject"] = subject.things[0] if en else english_to_chinese()[subject.things[0]]
    elif name:
        found["subject"] = name.text[:60]
    elif subject.foreign(language):
        foreign = subject.foreign(language)
        found["subject"] = f"‘{foreign.text[:60]}’" if en else f"《{foreign.text[:60]}》"
    if facts.saturation == "gray":
        found["color"] = "black and white" if en else "黑白"
    elif facts.colors:
        found["color"] = words(facts.colors[0][0])
    if content:
        biggest = max(content, key=lambda line: line.box[3] - line.box[1])
        if len(biggest.text) <= 60:
            found["text"] = biggest.text
    found["shape"] = (english if en else chinese).SHAPES[facts.shape]
    return found
