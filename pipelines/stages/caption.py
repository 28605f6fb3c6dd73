"""Stage `captions`: five kinds of caption in two languages, by the engine the recipe names.

`template` writes them row by row from what was measured. A model behind a server or in this process is asked about
many rows at once; its answers are journaled in the dataset, so that no question is asked twice: not after a kill, not
with a wider selection, and not when another of the two prompts changes.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

import pyarrow as pa
from pydantic import Field

from zcurate.captioner.engines import CaptionRequest
from zcurate.captioner.ocr.lines import OcrLine
from zcurate.captioner.schema import ARROW_SCHEMA, LANGUAGES
from zcurate.curation.errors import ConfigError
from zcurate.curation.stage import MapStage, Resources, RowMonitor, StageSpec, map_rows
from zcurate.curation.store.answers import answers_folder

from ..asking_cost import AskingCost, cost_of, family_of
from ..chat_settings import ChatSettings, model_identity, open_chat, prices_of, resources_of
from ..decisions import deciding

if TYPE_CHECKING:
    from zcurate.captioner.captioning import Captioner
    from zcurate.pipelines.context import StageContext
    from zcurate.pipelines.stage_chat import StageChat

VERSION = 3
NAME = "captions"
_LOCATION = ("source", "uri", "container", "member", "offset", "length")
_EMBEDDED = ("title", "caption", "keywords", "place", "taken_at", "creator")
#: Tokens a model writes about a picture, as seen with 7-8 B models: strings of lettering, then two languages.
_TYPICAL_OUT = {"ocr": 120, "captions": 1500}


class Config(ChatSettings):
    """Settings of the caption stage. Those from `requests` on change nothing that is written."""

    engine: str = Field(
        "template",
        description="`openai:URL#MODEL`, `transformers:DIRECTORY_OR_ID`, or `template`, which needs no model",
    )
    languages: list[Literal["en", "zh"]] = Field(
        ["en", "zh"], min_length=1, description="languages written; the columns of the other stay null"
    )
    seed: int = Field(0, ge=0, description="decides phrasings and simulated prompts, with the sample id")
    one_call: bool = Field(False, description="lettering and captions in one question; default: two")
    ocr_hint: bool = Field(
        False, description="show the model what the OCR engine read; default: it reads alone"
    )
    user_prompts: int = Field(3, ge=1, le=8, description="simulated user prompts per language")


class CaptionStage:
    """Builds a request per row and asks the engine."""

    def __init__(self, config: Config, ctx: StageContext):
        self._config, self._ctx = config, ctx
        self._by_model = config.engine.partition(":")[0] != "template"
        self._template: Any = None
        self._chat: StageChat | None = None
        self._captioner: Captioner | None = None
        self._originals: Any = None
        self._room: Any = None
        reads = [
            *("samples.text", "samples.metadata", "samples.key", "samples.origin"),
            *("profile.width_px", "profile.height_px", "profile.frames", "profile.sharpness", "thumbs.thumb"),
        ]
        given: dict[str, Any] = config.model_dump(include={"engine", "languages", "seed"})
        identity = (
            ctx.vlm(config.engine).model if not self._by_model else model_identity(config, ctx, "caption")
        )
        if not self._by_model or ctx.has("ocr"):
            reads.append("ocr.lines")
        if self._by_model:
            reads += [*(f"samples.{c}" for c in _LOCATION), "profile.content_id"]
            reads += ["ocr.engine"] if ctx.has("ocr") else []
            reads += [f"metadata.{c}" for c in _EMBEDDED] if ctx.has("metadata") else []
            given = {"seed": config.seed, "image_tokens": config.image_tokens}
            given |= _captioner(config, ctx.vlm(config.engine)).identity
            prices_of(config, "caption")
        self._identity = identity
        self.spec = StageSpec(
            name=NAME,
            version=VERSION,
            reads=tuple(reads),
            outputs={NAME: ARROW_SCHEMA},
            config=given,
            models={"vlm": identity},
            where=deciding(ctx.groups),
            resources=resources_of(config) if self._by_model else Resources(memory_bytes=1 << 30),
            deterministic=not self._by_model,
            answers=answers_folder(NAME, identity) if self._by_model else None,
        )

    def setup_node(self) -> None:
        pass

    def setup(self) -> None:
        if not self._by_model:
            self._template = self._ctx.vlm(self._config.engine)
            self._template.load()
            return
        from ..originals import Originals, Room

        self._chat = open_chat(self._config, self._ctx, NAME, self._identity)
        self._originals, self._room = Originals(self._ctx.blobs), Room()
        self._captioner = _captioner(self._config, self._chat.chat)

    def __call__(self, table: pa.Table, monitor: RowMonitor) -> pa.Table:
        if self._template is None and self._captioner is None:
            self.setup()
        if not self._by_model:
            return map_rows(table, self._by_template, self.spec.schema, monitor)
        return self._chat.map_rows(table, self._ask, self.spec.schema, monitor)

    def _by_template(self, row: Mapping[str, Any]) -> dict[str, Any]:
        values = self._template.caption(self._request(row)).row()
        left_out = tuple(f"{code}_" for code in LANGUAGES if code not in self._config.languages)
        return {name: None if name.startswith(left_out) else value for name, value in values.items()}

    async def _ask(self, row: Mapping[str, Any]) -> dict[str, Any]:
        original = partial(self._originals.picture, [row[f"samples.{c}"] for c in _LOCATION])
        async with self._room.hold(row["profile.width_px"], row["profile.height_px"]):
            record = await self._captioner.caption(self._request(row, original))
        return record.row() | {"model": self._identity}

    def _request(self, row: Mapping[str, Any], original: Callable[[], bytes] | None = None) -> CaptionRequest:
        embedded = {c: row.get(f"metadata.{c}") for c in _EMBEDDED}
        return CaptionRequest(
            sample_id=row["sample_id"],
            image=row["thumbs.thumb"],
            width_px=row["profile.width_px"],
            height_px=row["profile.height_px"],
            ocr=tuple(
                OcrLine(s["text"], s["script"], s["score"], tuple(s["box"]), s["kind"])
                for s in row.get("ocr.lines") or ()
            ),
            text=row["samples.text"],
            metadata=metadata_of(row["samples.metadata"]),
            key=row["samples.key"] or "",
            origin=row["samples.origin"] or "unknown",
            sharpness=row["profile.sharpness"],
            frames=row["profile.frames"] or 1,
            seed=self._config.seed,
            original=original,
            ocr_engine=row.get("ocr.engine"),
            embedded=embedded if any(embedded.values()) else None,
        )


def metadata_of(text: str | None) -> dict[str, Any] | None:
    """The JSON object in samples.metadata; None where it is absent, broken or no object."""
    if not text:
        return None
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _captioner(config: Config, chat: Any) -> Captioner:
    """Raises ConfigError for prompt packs that cannot be used."""
    from zcurate.captioner.captioning import Captioner, CaptionOptions
    from zcurate.captioner.packs import PackError

    options = CaptionOptions(
        languages=tuple(code for code in LANGUAGES if code in config.languages),
        one_call=config.one_call,
        ocr_hint=config.ocr_hint,
        user_prompts=config.user_prompts,
        prompts_directory=config.prompts,
    )
    try:
        return Captioner(chat, config.family, options)
    except PackError as e:
        raise ConfigError(f"stages.caption: {e}") from e


def asking_cost(config: Config, rows: int, done: Iterable[pa.Table]) -> AskingCost | None:
    """What captions of so many rows will cost; None for an engine that asks nobody.

    Args:
        done: shards of the group, for figures of this dataset.
    """
    from zcurate.captioner import packs

    if config.engine.partition(":")[0] == "template":
        return None
    names = ["one_call"] if config.one_call else ["ocr", "captions"]
    prompts = [packs.load(name, family_of(config), config.prompts) for name in names]
    share = len(config.languages) / len(LANGUAGES)
    typical_out = _TYPICAL_OUT["ocr"] + share * _TYPICAL_OUT["captions"]
    return cost_of(config, "caption", rows, done, prompts, len(names), typical_out)


def build(config: Config, ctx: StageContext) -> MapStage:
    """The stage; loads nothing."""
    return CaptionStage(config, ctx)
