"""Reviewed captions as training conversations: the captioner's own questions, with the answers people stand behind.

Questions are made by `Captioner` itself, and every answer is held against the checks that a model's answer has to pass: what
the captioner would refuse is not taught.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from difflib import SequenceMatcher
from typing import Any

from .. import ocr_pass
from ..answers import AnswerError
from ..captioning import Captioner
from ..chat import ChatRequest, ImagePart
from ..checks_lettering import restored, spans
from ..engines import CaptionRequest
from ..evidence import Evidence
from ..fencing import has_control_token
from ..known_facts import known_facts
from ..ocr_pass import BOX_RANGE, Reading
from ..packs import Prompt
from ..schema import KINDS, LANGUAGES, Captions, Entity, OcrString, PromptPlan
from ..writing import Writing

#: Values that no review shows: names that the picture contradicts are not kept in a caption record.
_UNCHECKED = ("contradicted",)


@dataclass(frozen=True)
class ReviewedCaption:
    """A caption record as people left it.

    Attributes:
        request: what was known of the picture when it was captioned; `image` is what the model is shown.
        captions: language -> final texts. A language with a kind missing is left out beforehand.
        proposed: language -> long caption before the review.
        ocr: strings the model read; None where none did.
        entities, plans: of the record; None where it has none.
    """

    request: CaptionRequest
    captions: Mapping[str, Captions]
    proposed: Mapping[str, str]
    ocr: tuple[OcrString, ...] | None = None
    entities: tuple[Entity, ...] | None = None
    plans: tuple[PromptPlan, ...] | None = None


@dataclass(frozen=True)
class Taught:
    """A question with its answer: `no_loss` names fields of the answer that nobody has checked."""

    task: str
    request: ChatRequest
    answer: str
    no_loss: tuple[str, ...] = ()


def conversations_of(captioner: Captioner, reviewed: ReviewedCaption) -> tuple[list[Taught], list[str]]:
    """What can be learned from one reviewed caption.

    Returns:
        Conversations (`ocr` and `caption`, or `caption` alone where the captioner asks for both at once), and a reason for
        each part that was left out: `WHAT: why`.
    """
    strings, reason = _lettering(reviewed)
    if strings is None:
        return [], [f"ocr: {reason}"]
    if any(has_control_token(s.text) for s in strings):
        return [], ["ocr: control token"]
    taught: list[Taught] = []
    left_out: list[str] = []
    request, image = reviewed.request, ImagePart(reviewed.request.image)
    evidence = Evidence(request.ocr, request.ocr_engine)
    one_call = captioner.options.one_call
    prompt = captioner._prompts["one_call" if one_call else "ocr"]
    read = _ocr_answer(prompt, strings)
    if read is None:
        left_out.append("ocr: no place")
    elif not one_call:
        asked = captioner._ocr_request(image, evidence, request, part=False)
        taught.append(Taught("ocr", asked, dumped({"ocr": read})))
    reading = Reading(tuple(strings))
    languages = []
    for language, captions in reviewed.captions.items():
        why = _refused(language, captions, reviewed, reading, evidence)
        if why:
            left_out.append(f"{language}: {why}")
        else:
            languages.append(language)
    if not languages or (one_call and read is None):
        return taught, left_out
    plans = _plans(reviewed, languages)
    facts = known_facts(request)
    writing = Writing(tuple(languages), facts, plans, None if one_call else reading, evidence)
    asked = captioner._captions_request(writing, image, request)
    answer = _answer(reviewed, languages, strings)
    unchecked = (*_UNCHECKED, *(("entities",) if reviewed.entities is None else ()))
    taught.append(Taught("caption", asked, dumped(({"ocr": read} if one_call else {}) | answer), unchecked))
    return taught, left_out


def dumped(value: Any) -> str:
    """An answer as its JSON text, on one line, with its blanks where the prompts' own examples have them."""
    return json.dumps(value, ensure_ascii=False)


def corrected_lettering(strings: Sequence[OcrString], before: str, after: str) -> list[OcrString] | None:
    """Lettering after a person changed a long caption: a quotation changed changes the string, one removed removes it.

    Returns:
        None where it cannot be told which string became which, or one was added whose place nobody knows.
    """
    old, new = spans(before), spans(after)
    changed: dict[str, str | None] = {}
    for kind, i, j, k, m in SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        if kind == "insert" or (kind == "replace" and j - i != m - k):
            return None
        if kind == "replace":
            changed |= dict(zip(old[i:j], new[k:m], strict=True))
        elif kind == "delete":
            changed |= dict.fromkeys(old[i:j])
    kept = set(new)
    found = []
    for s in strings:
        text = s.text if s.text in kept else changed.get(s.text, s.text)
        if text is not None:
            found.append(s if text == s.text else replace(s, text=text, legible=True))
    return found


def _lettering(reviewed: ReviewedCaption) -> tuple[list[OcrString] | None, str]:
    if reviewed.ocr is None:
        return None, "not read by a model"
    strings: list[OcrString] | None = list(reviewed.ocr)
    for language, captions in reviewed.captions.items():
        before = reviewed.proposed.get(language)
        if before is not None and before != captions.long and strings is not None:
            strings = corrected_lettering(strings, before, captions.long)
    return strings, "" if strings is not None else "lettering changed beyond its strings"


def _ocr_answer(prompt: Prompt, strings: Sequence[OcrString]) -> list[dict[str, Any]] | None:
    """Strings in the form that the pack asks for; None where one has no place in that form."""
    wanted = ocr_pass.strings_schema(prompt)["items"]["required"]
    found = []
    for s in strings:
        box = None if s.box is None else [round(v * BOX_RANGE) for v in s.box]
        item = {"text": s.text, "lang": s.lang, "carrier": s.carrier or "", "cell": s.cell, "box": box}
        item |= {"kind": s.kind, "legible": s.legible}
        if any(item[name] is None for name in wanted):
            return None
        found.append({name: item[name] for name in wanted})
    return found


def _plans(reviewed: ReviewedCaption, languages: Sequence[str]) -> tuple[PromptPlan, ...]:
    return tuple(p for p in reviewed.plans or () if p.language in languages)


def _answer(
    reviewed: ReviewedCaption, languages: Sequence[str], strings: Sequence[OcrString]
) -> dict[str, Any]:
    texts = [s.text for s in strings]

    def marked(text: str) -> str:
        # Records quote English lettering in straight marks; the prompts ask for “ ” in both languages.
        return restored(text, texts, "zh")[0]

    def tag(text: str) -> str:
        quoted = len(text) > 2 and text[0] == text[-1] == '"'
        return f"“{text[1:-1]}”" if quoted else text

    answer: dict[str, Any] = {"contradicted": []}
    answer["entities"] = [
        {"en": e.en, "zh": e.zh, "kind": e.kind, "source": e.source} for e in reviewed.entities or ()
    ]
    for language in LANGUAGES:
        if language in languages:
            c = reviewed.captions[language]
            values = (marked(c.long), marked(c.medium), marked(c.short))
            values += ([tag(t) for t in c.tags], [marked(p) for p in c.user_prompts])
            answer[language] = dict(zip(KINDS, values, strict=True))
    return answer


def _refused(
    language: str, captions: Captions, reviewed: ReviewedCaption, reading: Reading, evidence: Evidence
) -> str:
    """Why the captioner would not take these captions; "" if it would."""
    plans = _plans(reviewed, (language,))
    if len(plans) != len(captions.user_prompts):
        return "plans"
    texts = (captions.long, captions.medium, captions.short, *captions.tags, *captions.user_prompts)
    if any(has_control_token(t) for t in texts):
        return "control token"
    writing = Writing((language,), known_facts(reviewed.request), plans, reading, evidence)
    try:
        error = writing.accept(_answer(reviewed, (language,), reading.strings), last=True)
    except AnswerError as e:
        return e.reason
    if error is not None:
        return error.reason
    return "lettering" if "lettering_appended" in writing.mended.repaired else ""
