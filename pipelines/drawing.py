"""A sampling plan drawn: from tables of a dataset to one list of samples per stage, with figures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from zcurate.graph.draw import id_halves
from zcurate.graph.mapping import count_unmapped
from zcurate.graph.plans import StageResult, StageRule, overlap, run_stage

from .balancing import Tagging, tagging_of
from .caption_mix import PLACEHOLDER, draw_kinds, has_kinds, texts_of
from .plans import Compiled, mean_rank, numbers, with_computed

UNMAPPED_COLUMN = "concepts.unmapped"


@dataclass(frozen=True)
class Drawn:
    """A plan drawn over n samples.

    Attributes:
        names: stages in order. probability: float32 [n] of each. kept: bool [n] of each.
        tables: side tables of the balance stage. facts: JSON-able figures.
    """

    names: tuple[str, ...]
    probability: tuple[np.ndarray, ...]
    kept: tuple[np.ndarray, ...]
    tables: dict[str, pa.Table]
    facts: dict[str, Any]

    def columns(self, rows: slice, schema: pa.Schema) -> pa.Table:
        """keep_probability and stages of some rows."""
        p = np.stack([q[rows] for q in self.probability], axis=1)
        k = np.stack([q[rows] for q in self.kept], axis=1)
        n, width = p.shape
        offsets = pa.array(np.arange(n + 1, dtype=np.int32) * width)
        names = pa.array(self.names, pa.string()).take(pa.array(np.nonzero(k)[1]))
        ends = np.concatenate([[0], np.cumsum(k.sum(axis=1))]).astype(np.int32)
        lists = [
            pa.ListArray.from_arrays(offsets, pa.array(p.ravel())),
            pa.ListArray.from_arrays(pa.array(ends), names),
        ]
        return pa.table(lists, schema=schema)


def draw_plan(tables: Sequence[pa.Table], plan: Sequence[Compiled], graph: Any, seed: int) -> Drawn:
    """Solve and draw every stage of a plan.

    Args:
        tables: all shards, with `sample_id` and the columns the plan, the concepts and the communities need.
    """
    tagging = tagging_of(tables, graph)
    table = with_computed(pa.concat_tables(tables)) if tables else pa.table({})
    ids = table["sample_id"].cast(pa.binary(16)) if tables else pa.chunked_array([], pa.binary(16))
    halves = id_halves(ids)
    results = {c.stage.name: _run(c, table, tagging, halves, seed) for c in plan}
    lists = [_list(c, results[c.stage.name], table, ids, seed) for c in plan]
    no_tags = pa.chunked_array([], pa.list_(pa.string()))
    unmapped = table[UNMAPPED_COLUMN] if UNMAPPED_COLUMN in table.column_names else no_tags
    made = {
        "plan_samples": pa.concat_tables(lists),
        "plan_budgets": pa.concat_tables([_budgets(n, r, tagging) for n, r in results.items()]),
        "plan_figures": _figures(results),
        "unmapped": count_unmapped(unmapped),
        "voids": pa.table(
            {
                "concept": pa.array([name for name, _ in tagging.voids], pa.string()),
                "prior": pa.array([p for _, p in tagging.voids], pa.float64()),
            }
        ),
    }
    facts = {
        "stages": {n: {"samples": int(r.kept.sum()), **_facts(r)} for n, r in results.items()},
        "overlap_with_stage_before": overlap({n: r.kept for n, r in results.items()}),
        "samples_without_concept": int((np.diff(tagging.concepts.indptr) == 0).sum()),
    }
    return Drawn(
        tuple(results),
        tuple(r.probability for r in results.values()),
        tuple(r.kept for r in results.values()),
        made,
        facts,
    )


def _run(c: Compiled, table: pa.Table, tagging: Tagging, halves: np.ndarray, seed: int) -> StageResult:
    n = tagging.concepts.n
    eligible = np.ones(n, bool)
    if c.select is not None:
        eligible &= np.asarray(pc.fill_null(c.select.evaluate(table), False))
    if c.captions:
        eligible &= _has_kinds(c, table).any(axis=1)
    weight = None
    if c.weight is not None:
        # a plan's weight of a row without the value is 0, as a negative one's
        weight = np.maximum(0.0, np.nan_to_num(numbers(c.weight, table), nan=0.0))
    return run_stage(
        tagging.concepts,
        StageRule(c.stage.name, c.stage.samples(n), c.stage.temperature, c.stage.by),
        halves,
        seed,
        eligible,
        weight,
        mean_rank(c.best_first, table, eligible) if c.best_first else None,
        numbers(c.order, table) if c.order is not None else None,
    )


def _has_kinds(c: Compiled, table: pa.Table) -> np.ndarray:
    marked = PLACEHOLDER in table.column_names and not c.stage.include_placeholders
    texts = {kind: texts_of(kind, table) for kind in c.captions}
    return has_kinds(texts, table[PLACEHOLDER] if marked else None)


def _list(c: Compiled, result: StageResult, table: pa.Table, ids: pa.ChunkedArray, seed: int) -> pa.Table:
    """The stage's samples in order, each with the caption it is trained on."""
    rows = result.order
    kinds = [None] * len(rows)
    if c.captions:
        picked = pa.array(rows)
        has = _has_kinds(c, table)[rows]
        kinds = draw_kinds(c.captions, has, ids.take(picked), seed)
    return pa.table(
        {
            "stage": pa.array([c.stage.name] * len(rows), pa.string()),
            "position": pa.array(np.arange(len(rows))),
            "sample_id": ids.take(pa.array(rows)),
            "keep_probability": pa.array(result.probability[rows]),
            "caption": pa.array(kinds, pa.string()),
        }
    )


def _budgets(stage: str, result: StageResult, tagging: Tagging) -> pa.Table:
    b = result.balanced
    m = len(tagging.names)
    extra = len(result.supply) - m
    names = [*tagging.names, *(f"community:{k}" for k in range(extra - 3)), "unmapped", "", ""]
    use = np.flatnonzero(result.supply > 0)
    nodes = np.concatenate([tagging.nodes, np.full(extra, -1)])[use]
    return pa.table(
        {
            "stage": pa.array([stage] * len(use), pa.string()),
            "concept": pa.array([names[k] for k in use], pa.string()),
            "node": pa.array(nodes, mask=nodes < 0),
            "supply": pa.array(result.supply[use]),
            "asked": pa.array(b.asked[use]),
            "budget": pa.array(b.budget[use]),
            "expected": pa.array(b.expected[use]),
            "drawn": pa.array(result.drawn[use].astype(np.int64)),
            "feasible": pa.array(b.feasible[use]),
        }
    )


def _figures(results: dict[str, StageResult]) -> pa.Table:
    rows = []
    for name, r in results.items():
        for when, f in (("before", r.before), ("after", r.after)):
            rows.append(
                {
                    "stage": name,
                    "when": when,
                    "samples": f.size,
                    "kl": f.kl,
                    "effective_sample_size": f.ess,
                    "tail_share": f.tail_share,
                    "head_share": f.head_share,
                    "covered": f.covered,
                }
            )
    return pa.Table.from_pylist(rows)


def _facts(r: StageResult) -> dict[str, Any]:
    met = r.balanced.feasible & (r.balanced.budget >= 0.5)
    worst = float(np.abs(r.balanced.error[met]).max(initial=0.0))
    numbers = {k: (v if np.isfinite(v) else None) for k, v in asdict(r.after).items()}
    return {**numbers, "budgets_feasible": int(met.sum()), "largest_budget_error": worst}
