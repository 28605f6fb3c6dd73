"""Stage `probe_prompts`: for each concept of a list, prompts written by a model, by which a generator is tested.

Rows are concepts: `name` and `aliases` in their metadata.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import pyarrow as pa
from pydantic import Field

from zcurate.captioner.packs import PackError
from zcurate.captioner.probe_prompts import MAX_PROMPTS, ProbeWriter
from zcurate.curation.active.choosing import Concept
from zcurate.curation.active.prompting import naming
from zcurate.curation.errors import ConfigError
from zcurate.curation.stage import MapStage, RowMonitor, StageSpec, field_of
from zcurate.curation.store.answers import answers_folder

from ..chat_settings import ChatSettings, model_identity, open_chat, prices_of, resources_of

if TYPE_CHECKING:
    from zcurate.pipelines.context import StageContext
    from zcurate.pipelines.stage_chat import StageChat

VERSION = 1
NAME = "probe_prompts"
OUTPUT = pa.schema(
    [
        field_of("concept", pa.string(), "what is tested"),
        field_of("prompts", pa.list_(pa.string()), "each names the concept"),
        field_of("tokens_in", pa.int32(), "of the model, over all attempts"),
        field_of("tokens_out", pa.int32(), "likewise"),
    ]
)


class Config(ChatSettings):
    """Settings of the probe_prompts stage."""

    count: int = Field(8, ge=1, le=MAX_PROMPTS, description="prompts of each concept")
    tries: int = Field(3, ge=1, description="answers drawn per concept at most")


class ProbePromptsStage:
    """Asks one question per concept."""

    def __init__(self, config: Config, ctx: StageContext):
        self._config, self._ctx = config, ctx
        self._identity = model_identity(config, ctx, NAME)
        prices_of(config, NAME)
        self._chat: StageChat | None = None
        self.spec = StageSpec(
            name=NAME,
            version=VERSION,
            reads=("samples.metadata",),
            outputs={NAME: OUTPUT},
            config={**config.model_dump(include={"count", "tries"}), "prompt": self._writer(ctx.vlm(config.engine)).pack.sha},
            models={"vlm": self._identity},
            resources=resources_of(config),
            deterministic=False,
            answers=answers_folder(NAME, self._identity),
        )  # fmt: skip

    def _writer(self, chat: Any) -> ProbeWriter:
        try:
            return ProbeWriter(chat, self._config.family, self._config.tries, self._config.prompts)
        except PackError as e:
            raise ConfigError(f"stages.{NAME}: {e}") from e

    def setup_node(self) -> None:
        pass

    def setup(self) -> None:
        self._chat = open_chat(self._config, self._ctx, NAME, self._identity)
        self._asked = self._writer(self._chat.chat)

    def __call__(self, table: pa.Table, monitor: RowMonitor) -> pa.Table:
        if self._chat is None:
            self.setup()
        return self._chat.map_rows(table, self._row, self.spec.schema, monitor)

    async def _row(self, row: Mapping[str, Any]) -> dict[str, Any]:
        asked = json.loads(row["samples.metadata"])
        concept = Concept(asked["name"], aliases=tuple(asked["aliases"]))
        prompts, cost = await self._asked.write(
            (concept.name, *concept.aliases), self._config.count, lambda p: bool(naming(concept, [p]))
        )
        return {
            "concept": concept.name,
            "prompts": prompts,
            "tokens_in": cost.tokens_in,
            "tokens_out": cost.tokens_out,
        }


def build(config: Config, ctx: StageContext) -> MapStage:
    """The stage; loads nothing. Raises ConfigError."""
    return ProbePromptsStage(config, ctx)
