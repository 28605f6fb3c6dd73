"""Difference captions by a vision-language model: captions of both pictures, analysis, instructions both ways."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from .asking import Asked, ask_json
from .chat import Chat, ChatRequest, ImagePart, Sampling
from .difference import Difference, Instruction, PairCaption, Side, inverse
from .difference_checks import ANALYSIS_SCHEMA, INSTRUCTION_SCHEMA, check_analysis, check_instruction
from .engines import CaptionRequest
from .fencing import fence
from .packs import Prompt, family_of, load

if TYPE_CHECKING:
    from .captioning import Captioner

#: Longest caption and lettering shown to the model, in characters.
MAX_CAPTION_CHARS = 4_000
MAX_LETTERING_CHARS = 3_000

#: Captions a picture that has none: returns the side with `en` or `zh` set.
CaptionSide = Callable[[Side], Awaitable[Side]]


@dataclass(frozen=True)
class PairPack:
    """The prompts of steps 2 and 3."""

    analysis: Prompt
    instruction: Prompt

    @property
    def shas(self) -> dict[str, str]:
        return {p.name: p.sha for p in (self.analysis, self.instruction)}


def load_pack(model: str = "", directory: str | None = None) -> PairPack:
    """The prompts for a model's family (`family_of`). Raises PackError."""
    family = family_of(model)
    return PairPack(load("pair_analysis", family, directory), load("pair_instruction", family, directory))


async def describe_pair(
    chat: Chat,
    pack: PairPack,
    source: Side,
    target: Side,
    caption: CaptionSide | None = None,
    tries: int = 3,
    seed: int = 0,
) -> PairCaption:
    """Describe how to get from one picture to another, and back.

    Stored captions are used as they are. The list of differences is asked for once; its inverse serves the way
    back, so that what is added one way is removed the other.

    Args:
        caption: captions a side that has no caption; None leaves such a side to the picture alone.
        tries: answers drawn at most per step.

    Raises:
        AnswerError: no usable answer in `tries` (`.reason` tells why).
        ChatError: the engine failed.
    """
    if source.image == target.image:
        return _same(chat, pack, source, target)
    source, target = [
        side if side.captioned or caption is None else replace(await caption(side), reused=False)
        for side in (source, target)
    ]
    (unchanged, differences), spent = await ask_json(
        chat, _analysis_request(pack.analysis, source, target, seed), check_analysis, tries
    )
    if not differences:
        return replace(_same(chat, pack, source, target, [spent]), unchanged=unchanged)
    costs, said = [spent], []
    lettering = (*source.lettering, *target.lettering)
    for direction in (differences, inverse(differences)):
        instruction, spent = await _instruct(
            chat, pack.instruction, direction, unchanged, lettering, tries, seed
        )
        said.append(instruction)
        costs.append(spent)
    return PairCaption(
        source=source,
        target=target,
        unchanged=unchanged,
        differences=differences,
        forward=said[0],
        backward=said[1],
        engine=chat.engine,
        model=chat.model,
        prompts=pack.shas,
        warnings=_warnings(differences, source, target),
        **_spent(costs),
    )


def _analysis_request(prompt: Prompt, source: Side, target: Side, seed: int) -> ChatRequest:
    text = prompt.fill(
        source_caption=_caption(source),
        source_lettering=_lettering(source),
        target_caption=_caption(target),
        target_lettering=_lettering(target),
    )
    return ChatRequest(
        system=prompt.system,
        parts=(ImagePart(source.image), ImagePart(target.image), text),
        schema=ANALYSIS_SCHEMA,
        schema_name="pair_analysis",
        max_tokens=2048,
        sampling=Sampling(temperature=0.2, seed=seed),
    )


async def _instruct(
    chat: Chat,
    prompt: Prompt,
    differences: Sequence[Difference],
    unchanged: str,
    lettering: Sequence[str],
    tries: int,
    seed: int,
) -> tuple[Instruction, Asked]:
    # The analysis repeats what captions and pictures say, so it is no more trusted than they are.
    listed = "\n".join(json.dumps(d.row(), ensure_ascii=False) for d in differences)
    text = prompt.fill(
        differences=fence("differences", listed, 8_000), unchanged=fence("unchanged", unchanged)
    )
    request = ChatRequest(
        system=prompt.system,
        parts=(text,),
        schema=INSTRUCTION_SCHEMA,
        schema_name="pair_instruction",
        max_tokens=1024,
        sampling=Sampling(temperature=0.4, seed=seed),
    )
    return await ask_json(chat, request, lambda v: check_instruction(v, differences, lettering), tries)


def _caption(side: Side) -> str:
    return fence("caption", side.en or side.zh or "(none)", MAX_CAPTION_CHARS)


def _lettering(side: Side) -> str:
    return fence("lettering", "\n".join(side.lettering) or "(none read)", MAX_LETTERING_CHARS)


def _same(chat: Chat, pack: PairPack, source: Side, target: Side, costs: Sequence[Asked] = ()) -> PairCaption:
    return PairCaption(
        source=source,
        target=target,
        unchanged="",
        differences=(),
        forward=None,
        backward=None,
        engine=chat.engine,
        model=chat.model,
        prompts=pack.shas if costs else None,
        **_spent(costs),
    )


def _warnings(differences: Sequence[Difference], source: Side, target: Side) -> tuple[str, ...]:
    """Lettering the model claims that nobody else read; it may be right, readers miss some."""
    found = []
    for d in differences:
        for claimed, side, name in ((d.before, source, "source"), (d.after, target, "target")):
            read = "".join("".join(side.lettering).split())
            if d.kind == "text" and claimed and read and "".join(claimed.split()) not in read:
                found.append(f"lettering {claimed!r} was not read in the {name}")
    return tuple(found)


def _spent(costs: Sequence[Asked]) -> dict[str, int | None]:
    read = [c.tokens_in for c in costs if c.tokens_in is not None]
    written = [c.tokens_out for c in costs if c.tokens_out is not None]
    return {
        "attempts": sum(c.attempts for c in costs),
        "tokens_in": sum(read) if read else None,
        "tokens_out": sum(written) if written else None,
    }


def captions_by(captioner: Captioner) -> CaptionSide:
    """Captions sides with the captioner: both long captions, and the lettering its OCR pass found."""

    async def caption(side: Side) -> Side:
        from PIL import Image

        with Image.open(io.BytesIO(side.image)) as picture:
            width, height = picture.size
        record = await captioner.caption(
            CaptionRequest(
                sample_id=hashlib.sha256(side.image).digest()[:16],
                image=side.image,
                width_px=width,
                height_px=height,
                original=side.image,
            )
        )
        read = tuple(s.text for s in record.ocr or () if s.legible)
        return replace(
            side,
            en=record.en.long if record.en else "",
            zh=record.zh.long if record.zh else "",
            lettering=side.lettering or read,
        )

    return caption
