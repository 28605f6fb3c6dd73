"""Captions by a vision-language model: an OCR pass, captions conditioned on it, and a ladder of what may go wrong.

Per image: transport (the engine's business) -> stop reason -> strict JSON -> object in prose -> punctuation -> checks
-> another try that differs, for the fields at fault only where most are good -> `Rejected` with one of
`answers.REASONS`. The number of answers per image is bounded; nothing is dropped without a reason.

How a stage calls it: `captioner = Captioner(chat, "auto", CaptionOptions())`; `captioner.identity` joins the stage's
fingerprint and the journal; `record = await captioner.caption(request)` for many rows at once on one event loop;
`Rejected` becomes the row's error, `ChatError` with `fatal` stops the stage, any other ChatError is the row's error.
"""

from __future__ import annotations

import asyncio
import hashlib
from dataclasses import asdict, dataclass
from typing import Any

from . import caption_request, ocr_pass, packs
from .answers import AnswerError
from .asking import ask_json, varied
from .chat import Chat, ChatRequest, ImagePart, Sampling
from .engines import CaptionRequest
from .evidence import Evidence
from .known_facts import known_facts
from .ledger import Ledger, Rejected
from .ocr_pass import Reading
from .prompt_plans import draw_plans
from .schema import LANGUAGES, CaptionRecord
from .tiles import cut, join
from .writing import Writing

#: Faults of a reading that less lettering at a time may cure.
_TOO_DENSE = ("repetition", "truncated", "whitespace", "counts")


@dataclass(frozen=True)
class CaptionOptions:
    """Attributes:
    languages: written; each natively.
    one_call: lettering and captions in one answer, `ocr` first; cheaper, and worse for dense text.
    ocr_hint: show the `ocr` stage's reading to the model in the OCR pass.
    user_prompts: simulated prompts per language, 1..8.
    tries: answers drawn at most for the captions, further ones for single fields included.
    ocr_tries: answers drawn at most for the lettering, before the picture is read in parts.
    max_tokens, ocr_max_tokens: ceilings of the answers; the former grows with the lettering to be quoted.
    temperature, top_p: of the captions. The OCR pass starts greedy and never exceeds 0.2; neither uses penalties, which
        would spoil lettering that repeats.
    prompts_directory: folder whose YAML files replace those of the library, by name.
    """

    languages: tuple[str, ...] = LANGUAGES
    one_call: bool = False
    ocr_hint: bool = False
    user_prompts: int = 3
    tries: int = 4
    ocr_tries: int = 3
    max_tokens: int = 4096
    ocr_max_tokens: int = 4096
    temperature: float = 0.7
    top_p: float | None = 0.8
    prompts_directory: str | None = None

    def __post_init__(self) -> None:
        if not self.languages or set(self.languages) - set(LANGUAGES):
            raise ValueError(f"languages is {self.languages}; it must name some of {', '.join(LANGUAGES)}")
        if not 1 <= self.user_prompts <= 8 or self.tries < 1 or self.ocr_tries < 1:
            raise ValueError("user_prompts must be 1 to 8, tries and ocr_tries at least 1")


#: Retries draw hotter, but strings still have to be copied. The OCR pass stays close to greedy.
OCR_MAX_TEMPERATURE, CAPTIONS_MAX_TEMPERATURE = 0.2, 0.9
MAX_TOKENS = 32_768


class Captioner:
    """Captions images through a `Chat`. Keeps no state between images; many may be under way at once.

    Args:
        chat: the engine.
        pack: family of prompts (`packs.FAMILIES`), or "auto": by the name of the chat's model.

    Raises:
        packs.PackError: a prompt pack is missing or malformed.
    """

    def __init__(self, chat: Chat, pack: str = "auto", options: CaptionOptions | None = None):
        self.chat, self.options = chat, options or CaptionOptions()
        self.family = packs.family_of(chat.model) if pack == "auto" else pack
        directory = self.options.prompts_directory
        names = ("ocr", "captions", *(("one_call",) if self.options.one_call else ()))
        self._prompts = {name: packs.load(name, self.family, directory) for name in names}
        shas = "".join(p.sha for p in self._prompts.values())
        self.prompt_sha = hashlib.sha256(shas.encode()).hexdigest()
        told = " ".join(f"{p.name}@{p.version}" for p in self._prompts.values())
        self.pack = f"{self.family}: {told}" + (" +ocr_hint" if self.options.ocr_hint else "")

    @property
    def identity(self) -> dict[str, Any]:
        """What decides the captions besides model and image: for fingerprints. JSON-able."""
        options = {k: v for k, v in asdict(self.options).items() if k != "prompts_directory"}
        return {"prompt_sha": self.prompt_sha, "pack": self.pack, **options}

    async def caption(self, request: CaptionRequest) -> CaptionRecord:
        """The record of one image.

        Raises:
            Rejected: no try gave usable captions; `reason` says why.
            CaptionError: the picture cannot be decoded where it has to be cut.
            ChatError: of the engine.
        """
        ledger = Ledger()
        image = ImagePart(await _pixels(request))
        evidence = Evidence(request.ocr, request.ocr_engine)
        facts = known_facts(request)
        reading = None if self.options.one_call else await self._read(image, evidence, request, ledger)
        plans = draw_plans(
            request.sample_id,
            request.seed,
            self.options.languages,
            self.options.user_prompts,
            bool(reading.required if reading else True),
        )
        writing = Writing(self.options.languages, facts, plans, reading, evidence)
        await self._write(writing, image, request, ledger)
        return writing.record(
            self.chat.engine, self.chat.model, ledger.provenance(self.pack, self.prompt_sha, writing.mended)
        )

    async def read(self, request: CaptionRequest) -> Reading:
        """The OCR pass alone. Raises like `caption`."""
        image = ImagePart(await _pixels(request))
        return await self._read(image, Evidence(request.ocr, request.ocr_engine), request, Ledger())

    async def _read(
        self, image: ImagePart, evidence: Evidence, request: CaptionRequest, ledger: Ledger
    ) -> Reading:
        asked = self._ocr_request(image, evidence, request, part=False)
        current, doubted = asked, False
        for attempt in range(1, self.options.ocr_tries + 1):
            error = None
            try:
                value, facts = await ask_json(self.chat, current, lambda v: v, tries=1)
            except AnswerError as e:
                error = ledger.failed(e)
            else:
                ledger.add(facts)
                try:
                    strings, warnings = ocr_pass.strings_of(value.get("ocr"), evidence)
                    return Reading(tuple(strings), (*warnings, *ocr_pass.check_against(strings, evidence)))
                except AnswerError as e:
                    if doubted and e.reason in ("watermark", "lettering"):
                        # Two answers agree against the other reader, which is no judge either.
                        return Reading(tuple(strings), (*warnings, f"ocr_{e.reason}: {e.problem[:160]}"))
                    doubted = True
                    error = ledger.failed(e)
            dense = error.reason in _TOO_DENSE
            if dense and (attempt >= 2 or error.reason == "repetition"):
                return await self._read_in_parts(image, evidence, request, ledger)
            current = varied(asked, error, attempt, OCR_MAX_TEMPERATURE)
        raise Rejected(error, "ocr", ledger)

    async def _read_in_parts(
        self, image: ImagePart, evidence: Evidence, request: CaptionRequest, ledger: Ledger
    ) -> Reading:
        """Each part with fewer strings, so that no loop starts and no answer is cut."""
        readings, warnings = [], ["ocr_in_parts"]
        for data, box in await asyncio.to_thread(cut, image.data):
            asked = self._ocr_request(ImagePart(data), evidence, request, part=True)
            try:
                (strings, told), facts = await ask_json(
                    self.chat,
                    asked,
                    lambda v: ocr_pass.strings_of(v.get("ocr"), evidence),
                    tries=2,
                    max_temperature=OCR_MAX_TEMPERATURE,
                )
            except AnswerError as e:
                raise Rejected(ledger.failed(e), "ocr", ledger) from e
            ledger.add(facts)
            readings.append((strings, box))
            warnings += told
        strings = join(readings)
        try:
            warnings += ocr_pass.check_against(strings, evidence)
        except AnswerError as e:
            if e.reason == "translated":
                raise Rejected(ledger.failed(e), "ocr", ledger) from e
            warnings.append(f"ocr_{e.reason}: {e.problem[:160]}")
        return Reading(tuple(strings), tuple(dict.fromkeys(warnings)))

    def _ocr_request(
        self, image: ImagePart, evidence: Evidence, request: CaptionRequest, part: bool
    ) -> ChatRequest:
        prompt = self._prompts["ocr"]
        hint = evidence if self.options.ocr_hint and not part else None
        # A page that the other reader found full of text gets room from the start: an entry is about 50 tokens.
        expected = 0 if part else sum(64 + len(line.text) for line in evidence.lines)
        return ChatRequest(
            system=prompt.system,
            parts=(image, ocr_pass.user_text(prompt, hint, part)),
            schema=ocr_pass.json_schema(prompt),
            schema_name="lettering",
            max_tokens=max(self.options.ocr_max_tokens, min(MAX_TOKENS // 2, expected)),
            # Not of the sample: the same picture twice is the same question, which a journal answers.
            sampling=Sampling(temperature=0.0, seed=request.seed),
        )

    async def _write(
        self, writing: Writing, image: ImagePart, request: CaptionRequest, ledger: Ledger
    ) -> None:
        """Fill the writing until nothing is at fault or no try is left. Raises Rejected."""
        error = None
        for attempt in range(self.options.tries):
            last = attempt == self.options.tries - 1
            asked = self._captions_request(writing, image, request)
            if error is not None:
                asked = varied(
                    asked,
                    error,
                    attempt,
                    OCR_MAX_TEMPERATURE if writing.reading is None else CAPTIONS_MAX_TEMPERATURE,
                )
            try:
                value, facts = await ask_json(self.chat, asked, lambda v: v, tries=1)
            except AnswerError as e:
                error = ledger.failed(e)
                if writing.reading is None and error.reason in _TOO_DENSE:
                    # One answer is too small for this picture's lettering: read it apart, then go on with that.
                    writing.use(await self._read(image, writing.evidence, request, ledger))
                continue
            ledger.add(facts)
            error = writing.accept(value, last)
            if error is None:
                return
            ledger.failed(error)
        raise Rejected(error, "captions", ledger)

    def _captions_request(self, writing: Writing, image: ImagePart, request: CaptionRequest) -> ChatRequest:
        options, strings = self.options, writing.reading.strings if writing.reading else ()
        if writing.reading is None:
            return self._one_call_request(writing, image, request)
        prompt = self._prompts["captions"]
        lettering = caption_request.lettering_text(prompt, strings)
        text = caption_request.user_text(prompt, lettering, writing.facts, writing.plans, options.languages)
        if writing.draft:
            text += "\n\n" + caption_request.rest_text(prompt, writing.draft, writing.wanted)
        # Every language quotes all of it once in long; a token is at least one character.
        room = options.max_tokens + len(options.languages) * sum(len(s.text) + 16 for s in strings)
        return ChatRequest(
            system=prompt.system,
            parts=(image, text),
            schema=caption_request.json_schema(writing.wanted, facts=not writing.draft),
            schema_name="captions",
            max_tokens=min(MAX_TOKENS, room),
            sampling=Sampling(options.temperature, options.top_p, seed=_seed(request)),
        )

    def _one_call_request(self, writing: Writing, image: ImagePart, request: CaptionRequest) -> ChatRequest:
        prompt = self._prompts["one_call"]
        options = self.options
        text = caption_request.user_text(prompt, None, writing.facts, writing.plans, options.languages)
        if options.ocr_hint:
            text += ocr_pass.hint_text(prompt, writing.evidence)
        return ChatRequest(
            system=prompt.system,
            parts=(image, text),
            schema=caption_request.json_schema(writing.wanted, ocr=prompt),
            schema_name="captions",
            max_tokens=min(MAX_TOKENS, options.max_tokens + options.ocr_max_tokens),
            sampling=Sampling(temperature=0.0, seed=_seed(request)),
        )


async def _pixels(request: CaptionRequest) -> bytes:
    """The original where there is one, else the thumbnail. A function is called in a thread: it reads and encodes."""
    if callable(request.original):
        return await asyncio.to_thread(request.original)
    return request.original or request.image


def _seed(request: CaptionRequest) -> int:
    key = request.sample_id + f"|{request.seed}".encode()
    return int.from_bytes(hashlib.blake2b(key, digest_size=4).digest(), "big") >> 1
