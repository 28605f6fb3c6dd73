"""Stage `concepts`: one spelling per concept, from caption tags, alt text and class labels."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import pyarrow as pa
from pydantic import BaseModel, ConfigDict, Field

from zcurate.captioner.alt_text import clean
from zcurate.captioner.lexicon import chinese_to_english, english_aliases, english_to_chinese
from zcurate.captioner.subject import class_label
from zcurate.captioner.template import measured_tags
from zcurate.curation.stage import MapStage, Resources, RowMonitor, StageSpec, field_of, map_rows
from zcurate.graph.tags import concepts_of, extract

from ..decisions import deciding
from .caption import metadata_of

if TYPE_CHECKING:
    from zcurate.pipelines.context import StageContext

VERSION = 1
OUTPUT = pa.schema(
    [
        field_of("concepts", pa.list_(pa.string()), "normalized concept names, unique"),
        field_of("concept_source", pa.list_(pa.string()), "label, alt or caption, aligned with concepts"),
    ]
)


class Config(BaseModel):
    """Settings of the concepts stage."""

    model_config = ConfigDict(extra="forbid")

    max_concepts: int = Field(40, ge=1, le=200, description="concepts kept per image")


class ConceptStage:
    """Folds both languages into one name per concept; lettering never becomes a concept."""

    def __init__(self, config: Config, where: tuple[str, ...] = ()):
        self._config = config
        english = {entry: entry for entry in english_to_chinese()}
        self._aliases = {**chinese_to_english(), **english_aliases(), **english}
        self._exclude = measured_tags()
        self.spec = StageSpec(
            name="concepts",
            version=VERSION,
            reads=(
                "samples.text",
                "samples.metadata",
                "samples.key",
                "ocr.lines",
                "captions.en_tags",
                "captions.zh_tags",
            ),
            outputs={"concepts": OUTPUT},
            config=config.model_dump(),
            where=where,
            resources=Resources(memory_bytes=512 << 20, row_deadline_s=5.0),
        )

    def setup_node(self) -> None:
        pass

    def setup(self) -> None:
        pass

    def __call__(self, table: pa.Table, monitor: RowMonitor) -> pa.Table:
        return map_rows(table, self._row, self.spec.schema, monitor)

    def _row(self, row: Mapping[str, Any]) -> dict[str, Any]:
        label = class_label(metadata_of(row["samples.metadata"]), row["samples.key"] or "")
        alt = extract(clean(row["samples.text"]) or "", self._aliases)
        caption = [*(row["captions.en_tags"] or ()), *(row["captions.zh_tags"] or ())]
        tags = [*([label] if label else []), *alt, *caption]
        sources = ["label"] * bool(label) + ["alt"] * len(alt) + ["caption"] * len(caption)
        lettering = [line["text"] for line in row["ocr.lines"] or ()]
        names, origins = concepts_of(
            tags, sources, self._aliases, lettering, self._exclude, self._config.max_concepts
        )
        return {"concepts": names, "concept_source": origins}


def build(config: Config, ctx: StageContext) -> MapStage:
    """The stage; holds only the dictionary."""
    return ConceptStage(config, deciding(ctx.groups))
