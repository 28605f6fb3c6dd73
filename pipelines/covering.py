"""What a balance run covers, for the report: from its side tables, without reading a sample."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from zcurate.curation.errors import ConfigError
from zcurate.curation.store.tables import read_parts
from zcurate.graph.budgets import Tree
from zcurate.graph.coverage import coverage

from .balancing import forest_of
from .planned import PlannedStage
from .stages.concepts import open_graph
from .view import View

#: Boxes of the treemap in a report, where it is one part of many.
LEAVES, TOP = 220, 12


def plan_coverage(view: View, stage: PlannedStage) -> Mapping[str, Any] | None:
    """Numbers of `coverage` for the first stage of the sampling plan; None where balance has no plan.

    With the graph at hand, concepts lie in its tree and have its weights as prior; else they are equals.
    """
    specs = stage.bound.spec.side_tables
    if "plan_budgets" not in specs:
        return None
    columns = ["stage", "concept", "node", "supply", "expected"]
    parts = list(read_parts(view.dataset, stage.bound.table_path("plan_budgets"), columns))
    if not parts:
        return None
    table = pa.concat_tables(parts)
    first = table["stage"][0].as_py() if len(table) else ""
    table = table.filter(pc.equal(table["stage"], first))
    settings = stage.ref.config.get("graph")
    graph = None
    if settings:
        try:
            graph = open_graph(settings, "balance.graph")
        except ConfigError:
            settings = None
    voids = [
        (r["concept"], r["prior"])
        for part in read_parts(view.dataset, stage.bound.table_path("voids"))
        for r in part.to_pylist()
    ]
    supply, expected = (np.asarray(table[c].to_numpy(), np.float64) for c in ("supply", "expected"))
    if graph is None:
        names = table["concept"].to_pylist()
        own = np.array([n not in ("unmapped", "") and not n.startswith("community:") for n in names], bool)
        names = [n for n, o in zip(names, own, strict=True) if o]
        return _named(
            first,
            coverage(names, Tree.flat(len(names)), supply[own], expected[own], None, voids, TOP, LEAVES),
        )
    own = np.asarray(pc.is_valid(table["node"]))
    node = table["node"].drop_null().to_numpy()
    if len(node) and int(node.max()) >= graph.n:
        return None
    nodes, tree, prior, place = forest_of(graph, node)
    sums = (np.bincount(place, v[own], len(nodes)) for v in (supply, expected))
    names = graph.labels(nodes.tolist())
    return _named(first, coverage(names, tree, *sums, prior, voids, TOP, LEAVES))


def _named(stage: str, numbers: dict[str, Any]) -> dict[str, Any]:
    return {**numbers, "stage": stage}
