"""Stage `captions`: five kinds of caption in two languages, by the engine the recipe names."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

import pyarrow as pa
from pydantic import BaseModel, ConfigDict, Field

from zcurate.captioner.engines import CaptionRequest
from zcurate.captioner.ocr.lines import OcrLine
from zcurate.captioner.schema import ARROW_SCHEMA, LANGUAGES
from zcurate.curation.stage import MapStage, Resources, RowMonitor, StageSpec, map_rows

from ..decisions import deciding

if TYPE_CHECKING:
    from zcurate.pipelines.context import StageContext

VERSION = 2


class Config(BaseModel):
    """Settings of the caption stage."""

    model_config = ConfigDict(extra="forbid")

    engine: str = Field("template", description="vision-language engine; `template` needs no model")
    languages: list[Literal["en", "zh"]] = Field(
        ["en", "zh"], min_length=1, description="languages written; the columns of the other stay null"
    )
    seed: int = Field(0, ge=0, description="decides phrasings and simulated prompts, with the sample id")


class CaptionStage:
    """Builds a request per row and asks the engine."""

    def __init__(self, config: Config, ctx: StageContext):
        self._config, self._ctx = config, ctx
        self._vlm: Any = None
        self.spec = StageSpec(
            name="captions",
            version=VERSION,
            reads=(
                "samples.text",
                "samples.metadata",
                "samples.key",
                "samples.origin",
                "profile.width_px",
                "profile.height_px",
                "profile.frames",
                "profile.sharpness",
                "thumbs.thumb",
                "ocr.lines",
            ),
            outputs={"captions": ARROW_SCHEMA},
            config=config.model_dump(),
            models={
                "vlm": ctx.vlm(config.engine).model
                if config.engine == "template"
                else ctx.identity(config.engine)
            },
            where=deciding(ctx.groups),
            resources=Resources(memory_bytes=1 << 30, row_deadline_s=60.0),
        )

    def setup_node(self) -> None:
        pass

    def setup(self) -> None:
        self._vlm = self._ctx.vlm(self._config.engine)
        self._vlm.load()

    def __call__(self, table: pa.Table, monitor: RowMonitor) -> pa.Table:
        if self._vlm is None:
            self.setup()
        return map_rows(table, self._row, self.spec.schema, monitor)

    def _row(self, row: Mapping[str, Any]) -> dict[str, Any]:
        request = CaptionRequest(
            sample_id=row["sample_id"],
            image=row["thumbs.thumb"],
            width_px=row["profile.width_px"],
            height_px=row["profile.height_px"],
            ocr=tuple(
                OcrLine(s["text"], s["script"], s["score"], tuple(s["box"]), s["kind"])
                for s in row["ocr.lines"] or ()
            ),
            text=row["samples.text"],
            metadata=metadata_of(row["samples.metadata"]),
            key=row["samples.key"] or "",
            origin=row["samples.origin"] or "unknown",
            sharpness=row["profile.sharpness"],
            frames=row["profile.frames"] or 1,
            seed=self._config.seed,
        )
        values = self._vlm.caption(request).row()
        left_out = tuple(f"{code}_" for code in LANGUAGES if code not in self._config.languages)
        return {name: None if name.startswith(left_out) else value for name, value in values.items()}


def metadata_of(text: str | None) -> dict[str, Any] | None:
    """The JSON object in samples.metadata; None where it is absent, broken or no object."""
    if not text:
        return None
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def build(config: Config, ctx: StageContext) -> MapStage:
    """The stage; loads nothing."""
    return CaptionStage(config, ctx)
