"""Stage `ocr`: a cheap gate, then the OCR engine, on the original pixels of selected rows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import pyarrow as pa
from pydantic import BaseModel, ConfigDict, Field

from zcurate.captioner.ocr.text_gate import VERSION as GATE_VERSION
from zcurate.captioner.ocr.text_gate import TextGate
from zcurate.curation.stage import MapStage, Resources, RowMonitor, StageSpec, field_of, map_rows

from ..decisions import deciding

if TYPE_CHECKING:
    from zcurate.pipelines.context import StageContext

VERSION = 2
_LOCATION = ("source", "uri", "container", "member", "offset", "length")

LINE = pa.struct(
    [
        pa.field("text", pa.string()),
        pa.field("script", pa.string()),
        pa.field("score", pa.float32()),
        pa.field("box", pa.list_(pa.float32())),
        pa.field("kind", pa.string()),
    ]
)
OUTPUT = pa.schema(
    [
        field_of("has_text", pa.bool_(), "at least one line was read"),
        field_of(
            "lines", pa.list_(LINE), "lines in reading order; box is x0, y0, x1, y1", "fraction of side"
        ),
        field_of("text", pa.string(), "lines joined by newlines, characters as read, never translated"),
        field_of("engine", pa.string(), "what decided: the OCR engine, or the gate that found no text"),
    ]
)


class Config(BaseModel):
    """Settings of the ocr stage."""

    model_config = ConfigDict(extra="forbid")

    engine: str = Field("rapidocr", description="OCR engine")
    gate: bool = Field(True, description="run the engine only where the cheap text detector finds writing")


class OcrStage:
    """Reads original bytes, because lettering in a thumbnail is often too small to read."""

    def __init__(self, config: Config, ctx: StageContext):
        self._config, self._ctx = config, ctx
        self._ocr: Any = None
        self._blobs: Any = None
        self._gate = TextGate() if config.gate else None
        self.spec = StageSpec(
            name="ocr",
            version=VERSION,
            reads=(*(f"samples.{c}" for c in _LOCATION), "profile.content_id"),
            outputs={"ocr": OUTPUT},
            config=config.model_dump() | ({"gate_version": GATE_VERSION} if config.gate else {}),
            models={"ocr": ctx.identity(config.engine)},
            where=deciding(ctx.groups),
            resources=Resources(memory_bytes=3 << 30, row_deadline_s=120.0),
        )

    def setup_node(self) -> None:
        pass

    def setup(self) -> None:
        self._blobs = self._ctx.blobs()
        self._ocr = self._ctx.ocr(self._config.engine)
        self._ocr.load()

    def __call__(self, table: pa.Table, monitor: RowMonitor) -> pa.Table:
        if self._ocr is None:
            self.setup()
        return map_rows(table, self._row, self.spec.schema, monitor)

    def _row(self, row: Mapping[str, Any]) -> dict[str, Any]:
        from zcurate.curation.profile.decode import decode

        data = self._blobs.read(*(row[f"samples.{c}"] for c in _LOCATION))
        rgb = decode(data).rgb
        if self._gate and not self._gate(rgb).has_text:
            return {"has_text": False, "lines": [], "text": "", "engine": f"text_gate:{GATE_VERSION}"}
        lines = self._ocr.read(rgb)
        return {
            "has_text": bool(lines),
            "lines": [
                {"text": s.text, "script": s.script, "score": s.score, "box": list(s.box), "kind": s.kind}
                for s in lines
            ],
            "text": "\n".join(s.text for s in lines),
            "engine": self._ocr.engine,
        }


def build(config: Config, ctx: StageContext) -> MapStage:
    """The stage; opens nothing."""
    return OcrStage(config, ctx)
