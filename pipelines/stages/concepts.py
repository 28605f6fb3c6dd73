"""Stage `concepts`: one spelling per concept, from caption tags, alt text and class labels.

With a graph, concepts are its nodes: tags and labels are looked up among the aliases, alt text (with `texts`)
is searched for them, and what has no node is kept apart in `unmapped`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import pyarrow as pa
from pydantic import BaseModel, ConfigDict, Field

from zcurate.captioner.alt_text import clean
from zcurate.captioner.lexicon import chinese_to_english, english_aliases, english_to_chinese
from zcurate.captioner.subject import class_label
from zcurate.captioner.template import measured_tags
from zcurate.curation.errors import ConfigError
from zcurate.curation.stage import MapStage, Resources, RowMonitor, StageSpec, field_of, map_rows
from zcurate.graph.tags import concepts_of, extract, fold

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


GRAPH_OUTPUT = pa.schema(
    [
        OUTPUT.field("concepts").with_metadata({"meaning": "names of the graph's nodes, unique"}),
        field_of("concept_source", pa.list_(pa.string()), "exact, fold or text, aligned with concepts"),
        field_of("nodes", pa.list_(pa.int64()), "node numbers in the graph, aligned with concepts"),
        field_of("unmapped", pa.list_(pa.string()), "folded tags that name no node of the graph"),
    ]
)


class Config(BaseModel):
    """Settings of the concepts stage."""

    model_config = ConfigDict(extra="forbid")

    max_concepts: int = Field(40, ge=1, le=200, description="concepts kept per image")
    graph: str | None = Field(None, description="graph directory; default: no graph, tags as they are")
    texts: bool = Field(True, description="with a graph: also look for its names in alt texts")


class ConceptStage:
    """Folds both languages into one name per concept; lettering never becomes a concept."""

    def __init__(self, config: Config, where: tuple[str, ...] = ()):
        self._config = config
        self._graph: Any = None
        self._map: Any = None
        # without a graph, the fingerprint is what it was before there were graphs
        settings = config.model_dump(exclude=None if config.graph else {"graph", "texts"})
        settings.pop("graph", None)
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
            outputs={"concepts": GRAPH_OUTPUT if config.graph else OUTPUT},
            config=settings,
            models={"graph": graph_identity(config.graph)} if config.graph else {},
            where=where,
            corrected=("captions",),
            resources=Resources(memory_bytes=512 << 20, row_deadline_s=5.0),
        )

    def setup_node(self) -> None:
        pass

    def setup(self) -> None:
        if self._config.graph and self._map is None:
            from zcurate.graph.mapping import ConceptMap

            self._graph = open_graph(self._config.graph, "concepts.graph")
            self._map = ConceptMap(self._graph, self._config.texts)

    def __call__(self, table: pa.Table, monitor: RowMonitor) -> pa.Table:
        return map_rows(table, self._row, self.spec.schema, monitor)

    def _row(self, row: Mapping[str, Any]) -> dict[str, Any]:
        label = class_label(metadata_of(row["samples.metadata"]), row["samples.key"] or "")
        alt = extract(clean(row["samples.text"]) or "", self._aliases)
        caption = [*(row["captions.en_tags"] or ()), *(row["captions.zh_tags"] or ())]
        tags = [*([label] if label else []), *alt, *caption]
        sources = ["label"] * bool(label) + ["alt"] * len(alt) + ["caption"] * len(caption)
        lettering = [line["text"] for line in row["ocr.lines"] or ()]
        if self._config.graph:
            return self._mapped(
                [*([label] if label else []), *caption], clean(row["samples.text"]) or "", lettering
            )
        names, origins = concepts_of(
            tags, sources, self._aliases, lettering, self._exclude, self._config.max_concepts
        )
        return {"concepts": names, "concept_source": origins}

    def _mapped(self, tags: list[str], text: str, lettering: list[str]) -> dict[str, Any]:
        read = {fold(t) for t in lettering}
        shown = [t for t in tags if fold(t) not in read and fold(t) not in self._exclude]
        found = self._map.map(shown, [text] if text else [])
        nodes = list(found.nodes)[: self._config.max_concepts]
        return {
            "concepts": self._graph.labels(nodes),
            "concept_source": list(found.how)[: len(nodes)],
            "nodes": nodes,
            "unmapped": list(found.unmapped),
        }


def open_graph(path: str, where: str) -> Any:
    """The graph of a setting. Raises ConfigError naming the setting."""
    from zcurate.graph.errors import GraphError
    from zcurate.graph.store import Graph

    try:
        return Graph.open(path)
    except GraphError as e:
        raise ConfigError(f"{where}: {e}") from e


def graph_identity(path: str) -> str:
    """Build and version of a graph: what fingerprints hold of it."""
    graph = open_graph(path, "graph")
    return f"graph:{graph.build}@{graph.version}"


def build(config: Config, ctx: StageContext) -> MapStage:
    """The stage; holds only the dictionary."""
    return ConceptStage(config, deciding(ctx.groups))
