"""Stage `judge`: does a generated picture show what its prompt asks for? Element by element, unscored where nobody can tell.

The prompt is `prompt` of the sidecar, else the text that came with the picture. `concept` of the sidecar makes it a probe:
then the picture passes when it shows the concept, and `parts` says which parts of its name are looked for as well.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from pydantic import Field

from zcurate.captioner.elements import Decomposition, Element, assemble, elements, score
from zcurate.captioner.elements_rules import VERSION as RULES_VERSION
from zcurate.captioner.packs import PackError
from zcurate.curation.active.judging import Judgement, judge
from zcurate.curation.errors import ConfigError, SampleError
from zcurate.curation.stage import MapStage, Resources, RowMonitor, StageSpec, field_of, map_rows
from zcurate.curation.store.answers import answers_folder

from ..chat_settings import ChatSettings, model_identity, open_chat, prices_of, resources_of
from ..element_checkers import Given, OcrChecker, RewardChecker, verifier_of

if TYPE_CHECKING:
    from zcurate.captioner.element_judge import ElementJudge
    from zcurate.pipelines.context import StageContext
    from zcurate.pipelines.stage_chat import StageChat

VERSION = 2
NAME = "judge"
_LOCATION = ("source", "uri", "container", "member", "offset", "length")
MAX_PROMPT_CHARS = 8_000
#: Element ids of a probe: its concept, and the parts of the concept's name.
CONCEPT = "concept"

ANSWER = pa.struct(
    [
        ("id", pa.string()),
        ("kind", pa.string()),
        ("name", pa.string()),
        ("satisfied", pa.bool_()),
        ("checker", pa.string()),
    ]
)
OUTPUT = pa.schema(
    [
        field_of("prompt", pa.string(), "what the picture was made for"),
        field_of("concept", pa.string(), "what it is a probe of; null for pictures that are none"),
        field_of("elements", pa.list_(ANSWER), "claims of the prompt; satisfied is null where unscored"),
        field_of("passes", pa.bool_(), "the concept, or every element, is shown; null: cannot be told"),
        field_of("literal", pa.bool_(), "of a probe that fails: a part of the name is shown instead"),
        field_of("satisfied_share", pa.float32(), "satisfied over scored elements; null without any", "0..1"),
        field_of("unscored", pa.int32(), "elements nobody could check"),
        field_of("tokens_in", pa.int32(), "of the model, over all attempts"),
        field_of("tokens_out", pa.int32(), "likewise"),
    ]
)


class NoPromptError(SampleError):
    """Nothing says what the picture was made for, or far too much."""


class Config(ChatSettings):
    """Settings of the judge stage. Without `engine`, what only a model can see stays unscored."""

    engine: str | None = Field(
        None, description="`openai:URL#MODEL` or `transformers:DIRECTORY_OR_ID` that looks at pictures"
    )
    ocr: str | None = Field(
        "rapidocr", description="reads quoted text; null: quoted text is left to the model"
    )
    verifier: str | None = Field(None, description="`shapes`: the exact reader of the procedural world")
    reward: str | None = Field(
        None,
        description="file of `zcurate train-reward`: decides where it is sure, before the model is asked",
    )
    encoder: str = Field("embedded", description="model string the reward was trained on")
    tries: int = Field(3, ge=1, description="answers drawn per picture at most")


class JudgeStage:
    """Reads original bytes, because lettering in a thumbnail is often too small to read."""

    def __init__(self, config: Config, ctx: StageContext):
        self._config, self._ctx = config, ctx
        self._blobs: Any = None
        self._checkers: list[Any] = []
        self._chat: StageChat | None = None
        self._model: ElementJudge | None = None
        if config.verifier:
            verifier_of(config.verifier)
        models: dict[str, str] = {}
        settings: dict[str, Any] = {"verifier": config.verifier, "elements": RULES_VERSION}
        if config.ocr:
            models["ocr"] = ctx.identity(config.ocr)
        if config.reward:
            settings["reward"] = _digest(config.reward)
            models["encoder"] = ctx.encoder_identity(config.encoder)
        answers, resources = None, Resources(memory_bytes=3 << 30, row_deadline_s=120.0)
        if config.engine:
            prices_of(config, NAME)
            self._identity = models["vlm"] = model_identity(config, ctx, NAME)
            pack = self._judge_of(ctx.vlm(config.engine)).pack
            settings |= {"tries": config.tries, "image_tokens": config.image_tokens, "prompt": pack.sha}
            answers, resources = answers_folder(NAME, self._identity), resources_of(config)
        self.spec = StageSpec(
            name=NAME,
            version=VERSION,
            reads=(*(f"samples.{c}" for c in _LOCATION), "samples.text", "samples.metadata"),
            outputs={NAME: OUTPUT},
            config=settings,
            models=models,
            where=(),
            resources=resources,
            deterministic=config.engine is None,
            answers=answers,
        )

    def _judge_of(self, chat: Any) -> ElementJudge:
        from zcurate.captioner.element_judge import ElementJudge

        try:
            return ElementJudge(chat, self._config.family, self._config.tries, self._config.prompts)
        except PackError as e:
            raise ConfigError(f"stages.{NAME}: {e}") from e

    def setup_node(self) -> None:
        pass

    def setup(self) -> None:
        self._blobs = self._ctx.blobs()
        self._checkers = [verifier_of(self._config.verifier)] if self._config.verifier else []
        if self._config.ocr:
            ocr = self._ctx.ocr(self._config.ocr)
            ocr.load()
            self._checkers.append(OcrChecker(ocr, self._config.ocr))
        if self._config.reward:
            from ..training_reward import load_reward

            self._checkers.append(RewardChecker(load_reward(self._config.reward, self._config.encoder)))
        if self._config.engine:
            self._chat = open_chat(self._config, self._ctx, NAME, self._identity)
            self._model = self._judge_of(self._chat.chat)

    def __call__(self, table: pa.Table, monitor: RowMonitor) -> pa.Table:
        if self._blobs is None:
            self.setup()
        if self._chat is not None:
            return self._chat.map_rows(table, self._asking_row, self.spec.schema, monitor)
        return map_rows(table, self._row, self.spec.schema, monitor)

    def _row(self, row: Mapping[str, Any]) -> dict[str, Any]:
        asked = asked_of(row["samples.text"], row["samples.metadata"])
        rgb = self._pixels(row)
        return asked.output(judge(rgb, asked.prompt, asked.claims, self._checkers, asked.matters))

    async def _asking_row(self, row: Mapping[str, Any]) -> dict[str, Any]:
        from ..originals import picture

        asked = asked_of(row["samples.text"], row["samples.metadata"])
        data = self._blobs.read(*(row[f"samples.{c}"] for c in _LOCATION))
        rgb = _decoded(data)
        first = judge(rgb, asked.prompt, asked.claims, self._checkers, asked.matters)
        left = [c for c in asked.claims if first.answers[c.id].satisfied is None and c.checker != "human"]
        if not left:
            return asked.output(first)
        answers, cost = await self._model.judge(picture(data), asked.prompt, left)
        known = {i: a.satisfied for i, a in first.answers.items()}
        by_model = Given("vlm", answers)
        both = judge(rgb, asked.prompt, asked.claims, [Given("", known), by_model], asked.matters)
        named = Judgement(
            {i: first.answers[i] if first.answers[i].checker else a for i, a in both.answers.items()},
            both.passes,
        )
        return asked.output(named) | {"tokens_in": cost.tokens_in, "tokens_out": cost.tokens_out}

    def _pixels(self, row: Mapping[str, Any]) -> np.ndarray:
        return _decoded(self._blobs.read(*(row[f"samples.{c}"] for c in _LOCATION)))


class Asked:
    """What a picture was asked for: the prompt, its claims, and those that the verdict is about."""

    def __init__(self, prompt: str, concept: str | None, parts: Sequence[str]):
        self.prompt, self.concept = prompt, concept
        found = _of_concept(prompt, concept, parts) if concept else elements(prompt)
        self.claims = found.elements
        self._found = found
        self.matters = [found.elements[0].id] if concept else None
        self._parts = [e.id for e in found.elements[1:]] if concept else []

    def output(self, judgement: Judgement) -> dict[str, Any]:
        of = [judgement.answers[i].satisfied for i in self._parts]
        literal = None
        if judgement.passes is False and of and (any(of) or None not in of):
            literal = any(of)
        scored = {
            i: v for i, v in judgement.satisfied.items() if self.concept is None or i not in self._parts
        }
        return {
            "prompt": self.prompt,
            "concept": self.concept,
            "elements": [
                {
                    "id": e.id,
                    "kind": e.kind,
                    "name": e.name,
                    "satisfied": judgement.answers[e.id].satisfied,
                    "checker": judgement.answers[e.id].checker or None,
                }
                for e in self.claims
            ],
            "passes": judgement.passes,
            "literal": literal,
            "satisfied_share": score(self._found, scored).overall,
            "unscored": sum(a.satisfied is None for a in judgement.answers.values()),
        }


def asked_of(text: str | None, metadata: str | None) -> Asked:
    """From what came with a picture. Raises NoPromptError: no prompt, or one too long."""
    try:
        found = json.loads(metadata) if metadata else {}
    except ValueError:
        found = {}
    found = found if isinstance(found, dict) else {}
    prompt = found.get("prompt")
    prompt = prompt if isinstance(prompt, str) and prompt.strip() else text
    if not prompt or not prompt.strip():
        raise NoPromptError('no prompt: put NAME.json with "prompt", or NAME.txt, beside the picture')
    if len(prompt) > MAX_PROMPT_CHARS:
        raise NoPromptError(f"prompt of {len(prompt)} characters; at most {MAX_PROMPT_CHARS} are judged")
    concept, parts = found.get("concept"), found.get("parts")
    concept = concept if isinstance(concept, str) and concept.strip() else None
    parts = [p for p in parts if isinstance(p, str) and p.strip()] if isinstance(parts, list) else []
    return Asked(prompt, concept, parts)


def _of_concept(prompt: str, concept: str, parts: Sequence[str]) -> Decomposition:
    """The concept itself, then the parts of its name, as claims without parents."""
    names = [concept, *(p for p in dict.fromkeys(parts) if p != concept)]
    claims = [Element(str(i), "subject", n, n, -1, -1, (), "vlm") for i, n in enumerate(names)]
    return assemble(prompt, "other", CONCEPT, claims)


def _digest(file: str) -> str:
    import hashlib
    from pathlib import Path

    try:
        return hashlib.sha256(Path(file).read_bytes()).hexdigest()
    except OSError as e:
        raise ConfigError(f"stages.{NAME}.reward: {file}: {e.strerror or e}") from e


def _decoded(data: bytes) -> np.ndarray:
    from zcurate.curation.profile.decode import decode

    return decode(data).rgb


def build(config: Config, ctx: StageContext) -> MapStage:
    """The stage; loads nothing. Raises ConfigError."""
    return JudgeStage(config, ctx)
