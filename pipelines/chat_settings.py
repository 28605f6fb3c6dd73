"""Settings every stage has that asks a model, and the model opened with them."""

from __future__ import annotations

import os
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from zcurate.captioner.vlm.spending import Prices
from zcurate.curation.errors import ConfigError
from zcurate.curation.stage import Resources
from zcurate.curation.store.answers import answers_folder

from . import registry
from .context import StageContext
from .stage_chat import StageChat


class ChatSettings(BaseModel):
    """Which model, and how it is asked. Those from `requests` on change nothing that is written."""

    model_config = ConfigDict(extra="forbid")

    engine: str = Field(description="`openai:URL#MODEL` or `transformers:DIRECTORY_OR_ID`")
    revision: str | None = Field(
        None,
        min_length=1,
        description="which weights the server (or hub id) has, in your own words; another one is asked anew",
    )
    family: str = Field("auto", description="prompts for which model family; auto: by the model's name")
    prompts: str | None = Field(None, description="folder with prompt packs of your own, used file by file")
    image_tokens: int = Field(
        1280, ge=64, le=16384, description="budget of a picture, in tokens of 28 x 28 px"
    )
    requests: int = Field(1024, ge=1, description="requests under way at most, per worker")
    rows_at_once: int = Field(
        512, ge=1, le=4096, description="rows under way, per worker, as far as their pictures fit into memory"
    )
    batch: int = Field(8, ge=1, description="transformers: questions answered at once")
    timeout_s: float = Field(600.0, gt=0, description="of one request")
    row_timeout_s: float = Field(3600.0, gt=0, description="of one row, with all tries")
    patience_s: float = Field(
        120.0, ge=0, description="wait for a model that answers nobody, before the stage stops"
    )
    price_in: float = Field(0.0, ge=0, description="price of a million tokens read")
    price_out: float = Field(0.0, ge=0, description="price of a million tokens written")
    max_cost: float | None = Field(
        None, ge=0, description="stop before more is spent, over all runs on the dataset"
    )
    max_tokens: int | None = Field(None, ge=0, description="stop before more tokens are used, likewise")


def model_identity(settings: ChatSettings, ctx: StageContext, stage: str) -> str:
    """Which model it is. Raises ConfigError where only the user can say, and has not, and for one that is no chat."""
    if settings.engine.partition(":")[0] == "template":
        raise ConfigError(f"stages.{stage}: engine 'template' answers no questions; give openai:URL#MODEL")
    ctx.vlm(settings.engine)
    revision = settings.revision or ctx.revisions.get(settings.engine)
    identity = registry.identity(settings.engine, revision)
    if revision is None and "(unverified)" in identity:
        raise ConfigError(
            f"stages.{stage}: nothing here can check which weights {settings.engine!r} has: name them in your own "
            f"words with revision (e.g. --set stages.{stage}.revision=2026-01); another revision is asked anew"
        )
    return identity


def prices_of(settings: ChatSettings, stage: str) -> Prices:
    """Raises ConfigError for a cap without prices."""
    s = settings
    try:
        return Prices(s.price_in, s.price_out, s.max_cost, s.max_tokens, s.image_tokens)
    except ValueError as e:
        message = str(e).replace("per_million_in", "price_in").replace("per_million_out", "price_out")
        raise ConfigError(f"stages.{stage}: {message}") from e


def open_chat(settings: ChatSettings, ctx: StageContext, stage: str, identity: str) -> StageChat:
    """The model as the stage talks to it; answers are kept under the stage's name."""
    return StageChat(
        engine_of(settings),
        # what the model is shown of a picture is no part of the request
        f"{identity} image_tokens={settings.image_tokens}",
        answers_folder(stage, identity),
        ctx,
        stage,
        prices_of(settings, stage),
        settings.rows_at_once,
        settings.row_timeout_s,
        settings.patience_s,
    )


def engine_of(settings: ChatSettings) -> Any:
    """The engine with these settings. Raises ConfigError as the registry does."""
    prefix, argument = registry.split_model("vlm", settings.engine)
    if prefix == "openai":
        from zcurate.captioner.vlm.openai_chat import OpenAiChat, Settings

        return OpenAiChat(argument, Settings(
            image_tokens=settings.image_tokens, timeout_s=settings.timeout_s, most=settings.requests
        ))  # fmt: skip
    from zcurate.captioner.vlm.transformers_chat import LocalSettings, TransformersChat

    return TransformersChat(argument, LocalSettings(image_tokens=settings.image_tokens, batch=settings.batch))


def resources_of(settings: ChatSettings) -> Resources:
    """A row's own deadline runs inside; the outer one is for a worker that does not even do that."""
    local = settings.engine.startswith("transformers:")
    gpus = 1 if local and os.path.exists("/dev/nvidia0") else 0
    memory = (32 if local else 4) << 30
    # A worker that asks a server mostly waits. With two of them per CPU, one begins its next shard while the last rows
    # of the other's are under way.
    cpus = 1 if local else 0.5
    return Resources(cpus, gpus, memory_bytes=memory, row_deadline_s=settings.row_timeout_s + 120)
