"""`zcurate balance-compare`: ways of drawing a balanced selection from a dataset, side by side."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from zcurate.curation.errors import ConfigError, DatasetError
from zcurate.graph.baselines import METHODS, compare, figures
from zcurate.graph.bm25 import length_scores
from zcurate.graph.budgets import BudgetRule
from zcurate.graph.coverage import coverage
from zcurate.graph.nesting import balance
from zcurate.graph.tagged import Tagged

from .balancing import NAMES, NODES, tagging_of
from .plans import PlanStage
from .report.concepts import concept_page
from .stages.concepts import open_graph
from .view import open_view


def compare_methods(
    url: str, size: str, temperature: float, graph: str | None = None, html: Path | None = None
) -> dict[str, Any]:
    """Figures of every method at one size over a dataset's selected samples, and budgets of every concept.

    Raises:
        DatasetError: no sample of the dataset has concepts yet.
        ConfigError: a wrong size, or a graph other than the one the concepts are of.
    """
    view = open_view(url)
    planned = next((s for s in view.plan.stages if s.name == "concepts"), None)
    if planned is None or not view.has("concepts"):
        raise DatasetError(f"{url}: no concepts yet; run 'zcurate run concepts {url}'")
    used = planned.ref.config.get("graph")
    if graph is not None and used is None:
        raise ConfigError(f"{url}: concepts were made without a graph; set stages.concepts.graph and run it")
    found = open_graph(graph or used, "--graph") if used else None
    tables = [t for _, t in view.selected([NODES if found else NAMES])]
    tables = [t for t in tables if t.num_rows]
    if not tables or not sum(t.num_rows for t in tables):
        raise DatasetError(f"{url}: no selected sample has concepts")
    tagging = tagging_of(tables, found)
    data = Tagged(
        tagging.concepts.indptr,
        tagging.concepts.indices,
        length_scores(np.diff(tagging.concepts.indptr)),
        len(tagging.names),
    )
    stage = PlanStage(name="compare", size=size, temperature=temperature)
    wanted = stage.samples(data.n)
    rule = BudgetRule(tagging.concepts.tree, tagging.concepts.prior, temperature)
    methods = {name: asdict(figures(data, p, rule)) for name, p in compare(data, rule, wanted).items()}
    solved = balance(data, rule, wanted)
    if html is not None:
        numbers = coverage(
            tagging.names, rule.tree, data.supply(), solved.expected, rule.prior, tagging.voids
        )
        html.write_text(concept_page(numbers, f"Concepts of a balanced selection of {wanted:,.0f}"), "utf-8")
    order = np.argsort(-solved.asked, kind="stable")
    concepts = [
        {
            "concept": tagging.names[t],
            "supply": int(data.supply()[t]),
            "asked": float(solved.asked[t]),
            "budget": float(solved.budget[t]),
            "feasible": bool(solved.feasible[t]),
            "expected": float(solved.expected[t]),
        }
        for t in order
        if data.supply()[t] > 0
    ]
    return {
        "samples": data.n,
        "size": wanted,
        "methods": {name: methods[name] for name in METHODS},
        "concepts": concepts,
    }
