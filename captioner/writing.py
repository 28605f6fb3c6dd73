"""The captions of one image while they are being written: what is good, what is still wanted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from . import ocr_pass
from .answers import AnswerError
from .checks import Draft, Fault, Known, Mended, entities_of, faults_of, take, tidied
from .checks_lettering import appended, missing
from .coverage import tells_as_much
from .evidence import Evidence
from .known_facts import KnownFacts
from .ocr_pass import Reading
from .schema import KINDS, CaptionRecord, Captions, PromptPlan, Provenance, fold

#: Long captions that lack at most this share of the lettering are completed by a sentence per string; others are not
#: captions of this picture.
MAX_APPENDED_SHARE = 0.5
#: Fields that may be asked for again with the rest kept; with more at fault, all is written anew.
MAX_PART_SHARE = 0.5

_FIRST = ("refusal", "repetition", "language", "quotes", "watermark", "entities", "lettering")


class Writing:
    """Attributes:
    wanted: language -> kinds the next answer must give.
    draft: fields that are good, by language and kind; empty while all are wanted.
    reading: of the OCR pass; with one call, of the answer once it has been accepted.
    mended: repairs and warnings so far.
    """

    def __init__(
        self,
        languages: Sequence[str],
        facts: KnownFacts,
        plans: Sequence[PromptPlan],
        reading: Reading | None,
        evidence: Evidence,
    ):
        self.facts, self.plans, self.evidence = facts, tuple(plans), evidence
        self._all = {language: KINDS for language in languages}
        self.wanted: dict[str, Sequence[str]] = dict(self._all)
        self.draft: Draft = {}
        self.reading = reading
        self.mended = Mended(warnings=set(reading.warnings if reading else ()))
        self._known = Known()
        self._doubted = False
        self._asked_for_lettering = self._asked_for_style = False

    def accept(self, value: dict[str, Any], last: bool) -> AnswerError | None:
        """Take what is good of an answer.

        Args:
            last: no further answer will be drawn, so that soft faults are let pass.

        Returns:
            None when the captions are complete, else what to tell the model in the next try.
        """
        mended = Mended()
        try:
            reading = self.reading or self._read(value, mended)
            known = self._known if self.draft else self._learn(value, reading, mended)
            fresh = tidied(take(value, self.wanted), known, mended)
        except AnswerError as e:
            return e
        self.reading, self._known = reading, known
        draft = {k: {**self.draft.get(k, {}), **fresh.get(k, {})} for k in self._all}
        faults = faults_of(draft, known)
        if last or self._asked_for_lettering:
            faults = self._complete(draft, faults, mended)
        hard = [f for f in faults if not f.soft]
        if hard or (faults and not last and not self._asked_for_style):
            self._asked_for_style |= not hard
            self._keep(draft, faults, mended)
            return _told(hard or faults)
        self._finish(draft, faults, mended)
        return None

    def use(self, reading: Reading) -> None:
        """With one call: take the lettering of an OCR pass after all."""
        self.reading = reading
        self.mended.warnings |= {*reading.warnings, "ocr_apart"}

    def _read(self, value: dict[str, Any], mended: Mended) -> Reading:
        """With one call: the lettering of the answer itself."""
        strings, warnings = ocr_pass.strings_of(value.get("ocr"), self.evidence)
        try:
            warnings += ocr_pass.check_against(strings, self.evidence)
        except AnswerError as e:
            if e.reason == "translated" or not self._doubted:
                self._doubted = True
                raise
            warnings.append(f"ocr_{e.reason}: {e.problem[:160]}")
        mended.warnings |= set(warnings)
        return Reading(tuple(strings), tuple(warnings))

    def _learn(self, value: dict[str, Any], reading: Reading, mended: Mended) -> Known:
        known, dropped = entities_of(value, self.facts.names, mended)
        mended.warnings |= {f"entity_contradicted: {name}" for name in dropped}
        return replace(
            known,
            strings=reading.strings,
            required=reading.required,
            allowed=tuple(v for v in self.facts.fields.values() if len(v) <= 80),
        )

    def _complete(self, draft: Draft, faults: list[Fault], mended: Mended) -> list[Fault]:
        """Lettering that is still missing from a long caption, added as sentences of its own."""
        left = []
        for fault in faults:
            language = fault.field.partition(".")[0]
            absent = (
                missing(draft[language]["long"], self._known.required) if fault.reason == "lettering" else []
            )
            if absent and len(absent) <= max(1, MAX_APPENDED_SHARE * len(self._known.required)):
                draft[language]["long"] = appended(
                    draft[language]["long"], absent, self._known.strings, language
                )
                mended.repaired.add("lettering_appended")
                mended.warnings.add(f"{language}_lettering_appended: {len(absent)}")
            else:
                left.append(fault)
        return left

    def _keep(self, draft: Draft, faults: list[Fault], mended: Mended) -> None:
        """Decide what to ask for next: the fields at fault, or everything when most are."""
        fields = {f.field for f in faults}
        everything = sum(len(kinds) for kinds in self._all.values())
        if len(fields) > MAX_PART_SHARE * everything:
            self.draft, self.wanted = {}, dict(self._all)
            return
        self.draft = draft
        self.wanted = {
            language: [k for k in kinds if f"{language}.{k}" in fields]
            for language, kinds in self._all.items()
        }
        self.wanted = {language: kinds for language, kinds in self.wanted.items() if kinds}
        self._asked_for_lettering |= any(f.reason == "lettering" for f in faults)
        self.mended.repaired |= mended.repaired
        self.mended.warnings |= mended.warnings

    def _finish(self, draft: Draft, faults: list[Fault], mended: Mended) -> None:
        self.draft, self.wanted = draft, {}
        self.mended.repaired |= mended.repaired
        self.mended.warnings |= mended.warnings | {
            f"{f.field} {f.reason}: {f.problem}"[:200] for f in faults if f.reason != "entities"
        }
        kept: list[PromptPlan] = []
        for language, kinds in draft.items():
            plans = [p for p in self.plans if p.language == language]
            pairs = list(zip(kinds["user_prompts"], plans, strict=False))
            good = [p for p in pairs if not tells_as_much(p[0], kinds["short"], kinds["long"])]
            if len(kinds["user_prompts"]) != len(plans):
                self.mended.warnings.add(f"{language}_user_prompts: {len(kinds['user_prompts'])}")
            if good and len(good) < len(pairs):
                self.mended.repaired.add("full_prompts_dropped")
                pairs = good
            kinds["user_prompts"] = tuple(prompt for prompt, _ in pairs)
            kept += [plan for _, plan in pairs]
            self._note_world_knowledge(language, kinds)
        self.plans = tuple(kept)

    def _note_world_knowledge(self, language: str, kinds: dict[str, Any]) -> None:
        """Kinds that use none of the names the metadata gave, though the captions know some."""
        names = self._known.named_by_metadata()
        for kind in KINDS if names else ():
            text = fold(kinds[kind] if isinstance(kinds[kind], str) else "\n".join(kinds[kind]))
            if not any(name in text for name in names):
                self.mended.warnings.add(f"unnamed: {language}.{kind}")

    def record(self, engine: str, model: str, provenance: Provenance) -> CaptionRecord:
        """The finished record."""
        captions = {language: Captions(**kinds) for language, kinds in self.draft.items()}
        return CaptionRecord(
            en=captions.get("en"),
            zh=captions.get("zh"),
            engine=engine,
            model=model,
            placeholder=False,
            ocr=self.reading.strings if self.reading else (),
            entities=self._known.entities,
            plans=self.plans,
            provenance=provenance,
        )


def _told(faults: Sequence[Fault]) -> AnswerError:
    """All faults as one error: its reason is the gravest one's, its problem names every field."""
    order = {reason: i for i, reason in enumerate(_FIRST)}
    gravest = min(faults, key=lambda f: (f.soft, order.get(f.reason, len(order))))
    problem = "; ".join(f"{f.field}: {f.problem}" for f in faults)
    return AnswerError(gravest.reason, problem, gravest.field)
