"""Stage `tags`: objects, number of people, concepts of particular cultures and NSFW, by a model that looks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from zcurate.captioner.packs import PackError, load
from zcurate.captioner.tagging import ARROW_SCHEMA, Tagger
from zcurate.curation.errors import ConfigError
from zcurate.curation.stage import MapStage, RowMonitor, StageSpec, field_of
from zcurate.curation.store.answers import answers_folder

from ..asking_cost import AskingCost, cost_of, family_of
from ..chat_settings import ChatSettings, model_identity, open_chat, prices_of, resources_of
from ..decisions import deciding

if TYPE_CHECKING:
    from zcurate.pipelines.context import StageContext
    from zcurate.pipelines.stage_chat import StageChat

VERSION = 3
NAME = "tags"
OUTPUT = pa.schema(
    [
        *ARROW_SCHEMA,
        field_of(
            *("culture_ids", pa.list_(pa.string())),
            "ids of the Chinese culture lexicon, from what the model named",
        ),
        field_of("tokens_in", pa.int32(), "over all attempts"),
        field_of("tokens_out", pa.int32(), "over all attempts"),
    ]
)
#: Tokens a model writes about a picture.
_TYPICAL_OUT = 120


class Config(ChatSettings):
    """Settings of the tags stage."""

    tries: int = 3


class TagsStage:
    """Asks one question per picture."""

    def __init__(self, config: Config, ctx: StageContext):
        self._config, self._ctx = config, ctx
        self._identity = model_identity(config, ctx, NAME)
        self._chat: StageChat | None = None
        self._tagger: Tagger | None = None
        prices_of(config, NAME)
        pack = self._make(ctx.vlm(config.engine)).pack
        self.spec = StageSpec(
            name=NAME,
            version=VERSION,
            reads=("thumbs.thumb",),
            outputs={NAME: OUTPUT},
            config={"tries": config.tries, "image_tokens": config.image_tokens, "prompt": pack.sha},
            models={"vlm": self._identity},
            where=deciding(ctx.groups),
            resources=resources_of(config),
            deterministic=False,
            answers=answers_folder(NAME, self._identity),
        )

    def _make(self, chat: Any) -> Tagger:
        try:
            return Tagger(chat, self._config.family, self._config.tries, self._config.prompts)
        except PackError as e:
            raise ConfigError(f"stages.{NAME}: {e}") from e

    def setup_node(self) -> None:
        pass

    def setup(self) -> None:
        self._chat = open_chat(self._config, self._ctx, NAME, self._identity)
        self._tagger = self._make(self._chat.chat)

    def __call__(self, table: pa.Table, monitor: RowMonitor) -> pa.Table:
        if self._chat is None:
            self.setup()
        return self._chat.map_rows(table, self._row, self.spec.schema, monitor)

    async def _row(self, row: Mapping[str, Any]) -> dict[str, Any]:
        from zcurate.curation.scoring.culture import find_culture

        found, asked = await self._tagger.tags(row["thumbs.thumb"])
        named = [name for c in found.culture for name in (c.name, c.english)]
        return found.row() | {
            "engine": self._config.engine.partition(":")[0],
            "model": self._identity,
            "prompt_sha": self._tagger.pack.sha,
            "attempts": asked.attempts,
            "tokens_in": asked.tokens_in,
            "tokens_out": asked.tokens_out,
            "culture_ids": find_culture([*named, *found.objects]),
        }


def asking_cost(config: Config, rows: int, done: Iterable[pa.Table]) -> AskingCost:
    """What tags of so many rows will cost. `done`: shards of the group."""
    prompts = [load("tagging", family_of(config), config.prompts)]
    return cost_of(config, NAME, rows, done, prompts, 1, _TYPICAL_OUT)


def build(config: Config, ctx: StageContext) -> MapStage:
    """The stage; loads nothing. Raises ConfigError."""
    return TagsStage(config, ctx)
