"""The prompt enhancer of section 4.8 of the Z-Image report: a fixed model reasons, then writes the prompt to be drawn.

The reasoning is kept apart from the prompt. What the model writes is checked (`enhance_checks`); an answer that loses
quoted text, counts or colors, changes the language or pushes negations in is asked for again, and after the last try the
original prompt is returned with the reason in `pe_status`. Nothing here waits without end.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from . import packs
from .answers import REASONS, AnswerError
from .asking import Asked, ask_json
from .chat import Chat, ChatError, ChatRequest, ImagePart, Sampling
from .elements_quotes import quoted_spans
from .enhance_checks import Drift, check_prompt, drift
from .enhance_language import candidates, language_name, pack_language
from .fencing import fence, plain

ENHANCED = "enhanced"
#: Values of `Enhanced.pe_status`: `enhanced`, else why the original prompt is returned.
PE_STATUSES = (ENHANCED, "empty_prompt", "too_long", *REASONS, *ChatError.REASONS)

PACKS = ("auto", "photo")
MAX_PROMPT_CHARS = 8_000
MAX_IMAGES = 8
_STEPS = ("core_subject", "knowledge", "aesthetics", "description")
_EDIT_STEPS = ("source_analysis", "knowledge", "changes", "preserved")
_PHOTO_STEPS = ("intent", "subject", "setting", "camera", "lighting", "mood", "negative")
_LISTS = ("changes", "preserved", "negative")


@dataclass(frozen=True)
class Options:
    """How to enhance.

    Attributes:
        pack: `auto`: `enhance_zh` or `enhance_en` by the prompt's language, `enhance_edit` with images; `photo`.
        tries: answers drawn at most.
        deadline_s: of one prompt over all tries, waiting for the backend included.
        max_tokens: of one answer.
        temperature: of the first try.
        locked: strings that every enhanced prompt must hold.
        packs_dir: folder whose packs replace those of the library.
        keep_on_silence: return the original prompt where the backend does not answer; False raises ChatError, for
            callers that try again later.
        family: of the model, for the variant of a pack; auto: by its name.
    """

    pack: str = "auto"
    tries: int = 3
    deadline_s: float = 120.0
    max_tokens: int = 3072
    temperature: float = 0.3
    seed: int = 0
    locked: tuple[str, ...] = ()
    packs_dir: str | None = None
    family: str = "auto"
    keep_on_silence: bool = True

    def __post_init__(self) -> None:
        if self.pack not in PACKS:
            raise ValueError(f"pack is {self.pack!r}; there are {', '.join(PACKS)}")
        if self.tries < 1 or self.deadline_s <= 0:
            raise ValueError("tries must be at least 1 and deadline_s above 0")


@dataclass(frozen=True)
class Enhanced:
    """A prompt to draw, and how it came about.

    Attributes:
        prompt: the enhanced prompt, or the original where `pe_status` is not `enhanced`.
        reasoning: field -> text or list of texts, in the order of thought; empty without reasoning.
        invented_text: lettering the model made up; quoted in `prompt`.
        negative: faults for a negative prompt (pack `photo`); never part of `prompt`.
        pe_status: one of PE_STATUSES.
        message: what was wrong, for people; "" if nothing.
        lang: of the prompt, as `enhance_language.candidates` has it, sorted and joined by `|`.
        drift: None where nothing was changed.
        asked: None where no answer came.
        pack, pack_sha: of the instructions; "" where nothing was asked.
    """

    original: str
    prompt: str
    pe_status: str
    lang: str
    message: str = ""
    reasoning: Mapping[str, Any] = field(default_factory=dict)
    invented_text: tuple[str, ...] = ()
    negative: tuple[str, ...] = ()
    drift: Drift | None = None
    asked: Asked | None = None
    pack: str = ""
    pack_sha: str = ""
    engine: str = ""
    model: str = ""
    seconds: float = 0.0

    def facts(self) -> dict[str, Any]:
        """JSON-able."""
        return {
            **vars(self),
            "reasoning": dict(self.reasoning),
            "drift": dict(vars(self.drift)) if self.drift else None,
            "asked": dict(vars(self.asked)) if self.asked else None,
        }


class Enhancer:
    """Asks a Chat. May be used by many tasks of one event loop at once."""

    def __init__(self, chat: Chat, options: Options | None = None):
        self._chat, self._options = chat, options or Options()
        family = self._options.family
        self._family = packs.family_of(chat.model) if family == "auto" else family

    async def enhance(
        self, prompt: str, images: Sequence[bytes] = (), reasoning: bool = True, locked: Sequence[str] = ()
    ) -> Enhanced:
        """Enhance one prompt; with images, turn it into an editing instruction.

        Args:
            images: encoded (JPEG, PNG or WebP), at most MAX_IMAGES.
            reasoning: False asks for the prompt alone.
            locked: strings that the enhanced prompt must hold, beside those of the options.

        Returns:
            The original prompt with a reason wherever nothing acceptable came in time.

        Raises:
            ChatError: what no other prompt could do better (wrong key, unknown model, spend cap); any without
            `keep_on_silence`. ValueError: too many
            images.
        """
        if len(images) > MAX_IMAGES:
            raise ValueError(f"{len(images)} images; at most {MAX_IMAGES}")
        start = time.monotonic()
        o = self._options
        lang = "|".join(sorted(candidates(prompt))) if len(candidates(prompt)) <= 3 else "unknown"
        same = {
            "original": prompt,
            "prompt": prompt,
            "lang": lang,
            "engine": self._chat.engine,
            "model": self._chat.model,
        }
        if not prompt.strip():
            return Enhanced(**same, pe_status="empty_prompt", message="the prompt is empty")
        if len(prompt) > MAX_PROMPT_CHARS:
            return Enhanced(
                **same, pe_status="too_long", message=f"longer than {MAX_PROMPT_CHARS} characters"
            )
        pack = self._pack(prompt, bool(images))
        same |= {"pack": pack.name, "pack_sha": pack.sha}
        held = (*o.locked, *locked)
        request = self._request(pack, prompt, images, reasoning, held)
        try:
            async with asyncio.timeout(o.deadline_s):
                value, asked = await ask_json(
                    self._chat,
                    request,
                    lambda found: _checked(found, prompt, held, pack.name, reasoning),
                    o.tries,
                )
        except AnswerError as e:
            asked = getattr(e, "asked", None)
            spent = time.monotonic() - start
            return Enhanced(**same, pe_status=e.reason, message=e.problem, asked=asked, seconds=spent)
        except ChatError as e:
            if e.fatal or not o.keep_on_silence:
                raise
            return Enhanced(**same, pe_status=e.reason, message=str(e), seconds=time.monotonic() - start)
        except TimeoutError:
            message = f"no acceptable answer within {o.deadline_s:g} s"
            if not o.keep_on_silence:
                raise ChatError("timeout", message) from None
            return Enhanced(**same, pe_status="timeout", message=message, seconds=time.monotonic() - start)
        final = value.pop("prompt")
        return Enhanced(
            **{**same, "prompt": final},
            pe_status=ENHANCED,
            invented_text=tuple(value.pop("invented_text")),
            negative=tuple(value.get("negative", ())),
            reasoning=value,
            drift=drift(prompt, final),
            asked=asked,
            seconds=time.monotonic() - start,
        )

    def _pack(self, prompt: str, edit: bool) -> packs.Prompt:
        name = (
            "edit" if edit else self._options.pack if self._options.pack != "auto" else pack_language(prompt)
        )
        return packs.load(f"enhance_{name}", self._family, self._options.packs_dir)

    def _request(
        self, pack: packs.Prompt, prompt: str, images: Sequence[bytes], reasoning: bool, locked: Sequence[str]
    ) -> ChatRequest:
        o = self._options
        quoted = json.dumps([q.text for q in quoted_spans(prompt)], ensure_ascii=False)
        user = pack.fill(
            language=language_name(prompt),
            prompt=fence("request", prompt, MAX_PROMPT_CHARS),
            quoted=fence("quoted", quoted, MAX_PROMPT_CHARS),
            locked=plain("; ".join(locked), 1_000) or "-",
        )
        direct = not reasoning and "direct_system" in pack.sections
        return ChatRequest(
            pack.section("direct_system") if direct else pack.system,
            (*(ImagePart(data) for data in images), user),
            schema=answer_schema(pack.name, reasoning),
            schema_name="enhanced_prompt",
            max_tokens=o.max_tokens,
            sampling=Sampling(temperature=o.temperature, seed=o.seed),
        )


def steps_of(pack: str, reasoning: bool) -> tuple[str, ...]:
    """Fields a model fills in before the prompt, in order."""
    if pack == "enhance_photo":
        return _PHOTO_STEPS
    if not reasoning:
        return ()
    return _EDIT_STEPS if pack == "enhance_edit" else _STEPS


def answer_schema(pack: str, reasoning: bool) -> dict[str, Any]:
    """JSON schema of an answer; thought comes before the prompt, because decoders write in this order."""
    texts = {"type": "array", "items": {"type": "string", "maxLength": 600}, "maxItems": 24}
    properties: dict[str, Any] = {
        step: texts if step in _LISTS else {"type": "string", "maxLength": 3000}
        for step in steps_of(pack, reasoning)
    }
    properties["invented_text"] = texts
    properties["prompt"] = {"type": "string", "minLength": 1, "maxLength": 6000}
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def _checked(
    found: dict[str, Any], original: str, locked: Sequence[str], pack: str, reasoning: bool
) -> dict[str, Any]:
    value: dict[str, Any] = {}
    for step in (*steps_of(pack, reasoning), "invented_text", "prompt"):
        entry = found.get(step)
        if step in _LISTS or step == "invented_text":
            if not isinstance(entry, list) or not all(isinstance(x, str) for x in entry):
                raise AnswerError("schema", f"{step} must be a list of texts.", step)
        elif not isinstance(entry, str):
            raise AnswerError("schema", f"{step} must be a text.", step)
        value[step] = entry
    for step in ("core_subject", "source_analysis", "description"):
        if step in value and not value[step].strip():
            raise AnswerError("empty", f"{step} is empty; think before writing the prompt.", step)
    if pack == "enhance_edit" and reasoning and not value["changes"]:
        raise AnswerError("counts", "changes is empty; list what is changed.", "changes")
    value["prompt"] = value["prompt"].strip()
    check_prompt(original, value["prompt"], value["invented_text"], locked)
    return value


def enhance(
    prompt: str,
    images: Sequence[bytes] = (),
    reasoning: bool = True,
    *,
    chat: Chat,
    options: Options | None = None,
) -> Enhanced:
    """`Enhancer.enhance` for one prompt, outside an event loop. `chat` is loaded and closed here."""

    async def work() -> Enhanced:
        try:
            return await Enhancer(chat, options).enhance(prompt, images, reasoning)
        finally:
            await chat.close()

    chat.load()
    return asyncio.run(work())
