"""Stage `enhanced`: prompts of fine-tuning data through the prompt enhancer, reasoning kept apart.

A row whose answer was not acceptable keeps its original prompt, with the reason in `status`: it is not an error, and
rules and exports may look at the column.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Literal

import pyarrow as pa
from pydantic import Field

from zcurate.captioner.enhancer import Enhancer, Options
from zcurate.captioner.packs import PackError, Prompt, load
from zcurate.curation.errors import ConfigError, SampleError
from zcurate.curation.stage import MapStage, RowMonitor, StageSpec, field_of
from zcurate.curation.store.answers import answers_folder

from ..asking_cost import AskingCost, cost_of, family_of
from ..chat_settings import ChatSettings, model_identity, open_chat, prices_of, resources_of
from ..decisions import deciding

if TYPE_CHECKING:
    from zcurate.pipelines.context import StageContext
    from zcurate.pipelines.stage_chat import StageChat

VERSION = 1
NAME = "enhanced"
_CAPTIONS = Literal["en_long", "en_medium", "en_short", "zh_long", "zh_medium", "zh_short"]
_SHARE = "0..1"
#: Tokens a model writes about a prompt, its thoughts included.
_TYPICAL_OUT = 700
OUTPUT = pa.schema(
    [
        field_of(
            "prompt", pa.string(), "prompt to train on: enhanced, or the original where status is another"
        ),
        field_of("original", pa.string(), "prompt before the enhancer"),
        field_of("reasoning", pa.string(), "JSON object of the steps of thought, in order; null without"),
        field_of("status", pa.string(), "`enhanced`, or why the original prompt was kept"),
        field_of("message", pa.string(), "what was wrong, for people; null if nothing"),
        field_of("lang", pa.string(), "language of the original, by script and common words"),
        field_of("invented_text", pa.list_(pa.string()), "lettering the model made up; quoted in prompt"),
        field_of("kept_share", pa.float32(), "of the original's words that are still there", _SHARE),
        field_of("new_share", pa.float32(), "of the prompt's words that the original does not have", _SHARE),
        field_of(
            "kept_elements_share", pa.float32(), "of the original's elements found again by rules", _SHARE
        ),
        field_of("growth", pa.float32(), "characters over characters of the original"),
        field_of("engine", pa.string(), "what was asked"),
        field_of("model", pa.string(), "model behind the engine, with revision"),
        field_of("prompt_sha", pa.string(), "sha256 of the prompt pack; null where nothing was asked"),
        field_of("attempts", pa.int16(), "answers drawn; null where none came"),
        field_of("tokens_in", pa.int32(), "over all attempts"),
        field_of("tokens_out", pa.int32(), "over all attempts"),
    ]
)


class Config(ChatSettings):
    """Settings of the enhance stage."""

    of: _CAPTIONS | Literal["en_user_prompts", "zh_user_prompts", "text"] = Field(
        "en_short", description="which caption is the prompt; of user prompts the first; `text`: samples.text"
    )
    with_image: bool = Field(
        False, description="show the picture as the source of an edit (the prompt is then an instruction)"
    )
    reasoning: bool = Field(True, description="think before writing, and keep the thought")
    pack: Literal["auto", "photo"] = Field("auto", description="instructions: by language, or photographic")
    tries: int = Field(3, ge=1, le=10, description="answers drawn at most")
    deadline_s: float = Field(
        900.0, gt=0, description="of one prompt over all tries; then the original is kept"
    )


class EnhanceStage:
    """Asks one question per prompt."""

    def __init__(self, config: Config, ctx: StageContext):
        self._config, self._ctx = config, ctx
        self._identity = model_identity(config, ctx, "enhance")
        self._chat: StageChat | None = None
        self._enhancer: Enhancer | None = None
        prices_of(config, "enhance")
        self._column = "samples.text" if config.of == "text" else f"captions.{config.of}"
        self.spec = StageSpec(
            name=NAME,
            version=VERSION,
            reads=(self._column, *(("thumbs.thumb",) if config.with_image else ())),
            outputs={NAME: OUTPUT},
            config={
                **config.model_dump(include={"of", "with_image", "reasoning", "pack", "tries"}),
                "image_tokens": config.image_tokens if config.with_image else None,
                "prompts": [p.sha for p in _packs(config)],
            },
            models={"vlm": self._identity},
            where=deciding(ctx.groups),
            corrected=("captions",),
            resources=resources_of(config),
            deterministic=False,
            answers=answers_folder(NAME, self._identity),
        )

    def setup_node(self) -> None:
        pass

    def setup(self) -> None:
        c = self._config
        self._chat = open_chat(c, self._ctx, NAME, self._identity)
        options = Options(
            pack=c.pack,
            tries=c.tries,
            deadline_s=min(c.deadline_s, c.row_timeout_s),
            packs_dir=c.prompts,
            family=c.family,
            # A server that is down must not turn into a dataset of prompts that nobody enhanced.
            keep_on_silence=False,
        )
        self._enhancer = Enhancer(self._chat.chat, options)

    def __call__(self, table: pa.Table, monitor: RowMonitor) -> pa.Table:
        if self._chat is None:
            self.setup()
        return self._chat.map_rows(table, self._row, self.spec.schema, monitor)

    async def _row(self, row: Mapping[str, Any]) -> dict[str, Any]:
        prompt = row[self._column]
        if isinstance(prompt, list):
            prompt = prompt[0] if prompt else None
        if not prompt:
            raise SampleError(f"no prompt: {self._column} is empty")
        images = (row["thumbs.thumb"],) if self._config.with_image else ()
        done = await self._enhancer.enhance(prompt, images, self._config.reasoning)
        moved, asked = done.drift, done.asked
        return {
            "prompt": done.prompt,
            "original": done.original,
            "reasoning": json.dumps(dict(done.reasoning), ensure_ascii=False) if done.reasoning else None,
            "status": done.pe_status,
            "message": done.message[:500] or None,
            "lang": done.lang,
            "invented_text": list(done.invented_text),
            **(vars(moved) if moved else {}),
            "engine": self._config.engine.partition(":")[0],
            "model": self._identity,
            "prompt_sha": done.pack_sha or None,
            "attempts": asked.attempts if asked else None,
            "tokens_in": asked.tokens_in if asked else None,
            "tokens_out": asked.tokens_out if asked else None,
        }


def _packs(config: Config) -> list[Prompt]:
    """Those this configuration can use: another wording of one enhances anew. Raises ConfigError."""
    names = ("edit",) if config.with_image else (config.pack,) if config.pack != "auto" else ("en", "zh")
    try:
        return [load(f"enhance_{n}", family_of(config), config.prompts) for n in names]
    except PackError as e:
        raise ConfigError(f"stages.enhance: {e}") from e


def asking_cost(config: Config, rows: int, done: Iterable[pa.Table]) -> AskingCost:
    """What enhancing so many prompts will cost. `done`: shards of the group."""
    prompts = _packs(config)[:1]
    return cost_of(config, "enhance", rows, done, prompts, int(config.with_image), _TYPICAL_OUT)


def build(config: Config, ctx: StageContext) -> MapStage:
    """The stage; loads nothing. Raises ConfigError."""
    return EnhanceStage(config, ctx)
