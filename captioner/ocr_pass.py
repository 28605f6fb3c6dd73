"""The first call: what a vision-language model reads in a picture, checked as far as it can be.

Captions are conditioned on this reading. The reading of the `ocr` stage is independent evidence: it never replaces what
the model reads, but where the two contradict each other the model is asked again, once.
"""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .answers import AnswerError
from .evidence import Evidence
from .fencing import fence, has_control_token, without_controls
from .ocr.lines import script_of
from .packs import Prompt
from .refusals import is_illegible_note, is_invented_lettering
from .repetition import looping_tail
from .schema import OcrString
from .shapes import closed_object

CELLS = (
    *("top-left", "top", "top-right", "left", "center", "right"),
    *("bottom-left", "bottom", "bottom-right"),
)
MAX_STRINGS = 400
MAX_TEXT_CHARS = 4_000
#: Boxes are asked for in this range, whatever the size of the picture.
BOX_RANGE = 1000
MAX_HINT_CHARS = 8_000
#: As many items, in a cycle of at most this many, are a loop unless the evidence has them too.
LOOP_ITEMS, LOOP_CYCLE = 8, 6

_LANGUAGES = {
    "han": "zh", "latin": "en", "kana": "ja", "hangul": "ko", "cyrillic": "ru", "digits": "und", "other": "und"
}  # fmt: skip


@dataclass(frozen=True)
class Reading:
    """Attributes:
    strings: in reading order; empty where there is no lettering.
    warnings: doubts that remain, as `name` or `name: detail`.
    """

    strings: tuple[OcrString, ...]
    warnings: tuple[str, ...] = ()

    @property
    def required(self) -> tuple[str, ...]:
        """Texts that captions must hold, watermarks included: each once, legible, without chat template tokens."""
        texts = (s.text for s in self.strings if s.legible and not has_control_token(s.text))
        return tuple(dict.fromkeys(texts))


def json_schema(prompt: Prompt) -> dict[str, Any]:
    """JSON schema of the answer, as the pack asks for places: by cell or by box."""
    return closed_object({"ocr": strings_schema(prompt)})


def strings_schema(prompt: Prompt) -> dict[str, Any]:
    if prompt.sections.get("location") == "box":
        place = {"box": {"type": "array", "items": {"type": "integer"}, "minItems": 4, "maxItems": 4}}
    else:
        place = {"cell": {"type": "string", "enum": list(CELLS)}}
    item = {
        "text": {"type": "string"},
        "lang": {"type": "string"},
        "carrier": {"type": "string"},
        **place,
        "kind": {"type": "string", "enum": ["content", "watermark"]},
        "legible": {"type": "boolean"},
    }
    return {"type": "array", "items": closed_object(item), "maxItems": MAX_STRINGS}


def user_text(prompt: Prompt, evidence: Evidence | None = None, part: bool = False) -> str:
    """The user's turn beside the picture. `evidence` is shown as a hint; `part` says that this is a tile."""
    text = prompt.fill(place=prompt.section("place"))
    text += hint_text(prompt, evidence) if evidence else ""
    return text + ("\n\n" + prompt.section("part") if part else "")


def hint_text(prompt: Prompt, evidence: Evidence) -> str:
    """The `ocr` stage's reading as a section of its own; "" where there is none."""
    if not evidence.lines:
        return ""
    lines = json.dumps([line.text for line in evidence.lines[:MAX_STRINGS]], ensure_ascii=False)
    return "\n\n" + prompt.section("hint", lines=fence("other reading", lines, MAX_HINT_CHARS))


def strings_of(items: Any, evidence: Evidence) -> tuple[list[OcrString], list[str]]:
    """The model's list as typed strings, without notes and known inventions, and warnings.

    Raises:
        AnswerError: schema, when it is no list of strings; repetition, when it loops.
    """
    if not isinstance(items, list):
        raise AnswerError("schema", '"ocr" must be a list, empty where there is no lettering', "ocr")
    found, warnings = [], []
    for number, item in enumerate(items):
        if isinstance(item, str):
            item = {"text": item}
        if not isinstance(item, dict) or not isinstance(item.get("text"), str):
            raise AnswerError("schema", f'item {number} must be an object with a string "text"', "ocr")
        text = without_controls(item["text"]).strip()
        if len(text) > MAX_TEXT_CHARS:
            raise AnswerError("length", f"item {number} has {len(text)} characters", "ocr")
        if text and not evidence.has(text) and (is_illegible_note(text) or _invented(text, len(items))):
            warnings.append(f"ocr_note_removed: {text[:60]}")
        elif text:
            found.append(_string(text, item, warnings))
    if len(found) > MAX_STRINGS:
        raise AnswerError("counts", f"{len(found)} strings; at most {MAX_STRINGS} are taken", "ocr")
    _check_loop(found, evidence)
    return found, sorted(set(warnings))


def _invented(text: str, items: int) -> bool:
    """Known phrases for "nothing there". Short words among other strings may be lettering: a sign may say NONE."""
    return is_invented_lettering(text) and (items == 1 or len(text) > 4)


def _string(text: str, item: Mapping[str, Any], warnings: list[str]) -> OcrString:
    lang = item.get("lang")
    if not isinstance(lang, str) or not 2 <= len(lang.strip()) <= 12:
        lang = _LANGUAGES[script_of(text)]
    carrier = item.get("carrier")
    box, cell = _box(item.get("box")), item.get("cell")
    if item.get("box") is not None and box is None:
        warnings.append("ocr_box_unusable")
    if box is not None:
        cell = cell_of((box[0] + box[2]) / 2, (box[1] + box[3]) / 2)
    return OcrString(
        text=text,
        lang=lang.strip().lower(),
        kind="watermark" if item.get("kind") == "watermark" else "content",
        legible=item.get("legible") is not False,
        carrier=carrier.strip()[:60] or None if isinstance(carrier, str) else None,
        cell=cell if cell in CELLS else None,
        box=box,
    )


def _box(value: Any) -> tuple[float, float, float, float] | None:
    """Corners as fractions, or None for anything that is no box in 0..1000."""
    if not isinstance(value, list) or len(value) != 4:
        return None
    if not all(isinstance(v, int | float) and 0 <= v <= BOX_RANGE for v in value):
        return None
    x0, y0, x1, y1 = (v / BOX_RANGE for v in value)
    return (x0, y0, x1, y1) if x0 < x1 and y0 < y1 else None


def cell_of(x: float, y: float) -> str:
    return CELLS[3 * min(2, int(3 * y)) + min(2, int(3 * x))]


def _check_loop(strings: Sequence[OcrString], evidence: Evidence) -> None:
    """A list that ends in a cycle of few strings, more often than the evidence has them."""
    texts = [fold_lettering(s.text) for s in strings]
    for cycle in range(1, LOOP_CYCLE + 1):
        run = 0
        while run + cycle < len(texts) and texts[-1 - run] == texts[-1 - run - cycle]:
            run += 1
        if run + cycle >= max(LOOP_ITEMS, 4 * cycle) and run + cycle > 2 * evidence.count(texts[-1]):
            raise AnswerError("repetition", f"the list ends in repeats of {texts[-cycle:]!r}"[:300], "ocr")
    for text in texts:
        if looping_tail(text) and not evidence.has(text):
            raise AnswerError("repetition", f"a string repeats {looping_tail(text)}", "ocr")


def check_against(strings: Sequence[OcrString], evidence: Evidence) -> tuple[str, ...]:
    """What the independent reading has against the model's.

    Returns:
        Warnings for what remains a doubt.

    Raises:
        AnswerError: translated, watermark or lettering, where asking again is worth a call.
    """
    texts = [s.text for s in strings]
    translated = evidence.translated(texts)
    if translated:
        raise AnswerError("translated", translated, "ocr")
    for s in strings:
        if s.kind == "watermark" and evidence.engine and not evidence.resembles(s.text):
            problem = f"nothing confirms the watermark {s.text[:80]!r}; list it only if you see its letters"
            raise AnswerError("watermark", problem, "ocr")
    missed = evidence.missed(texts)
    if len(missed) >= 3 and len(missed) > 0.5 * len(evidence.sure):
        problem = f"{len(missed)} strings of lettering are missing from the list; look at the whole picture"
        raise AnswerError("lettering", problem, "ocr")
    return (f"ocr_missed: {len(missed)}",) if missed else ()


def fold_lettering(text: str) -> str:
    """Form in which two readings of one string count as the same: NFKC, case and blanks apart."""
    return "".join(unicodedata.normalize("NFKC", text).casefold().split())
