"""Numbers of a page on concepts: what is covered, what is over- and under-represented, and what is missing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .budgets import BudgetRule, Tree, shares_of


def coverage(
    names: Sequence[str],
    tree: Tree,
    supply: np.ndarray,
    expected: np.ndarray | None = None,
    prior: np.ndarray | None = None,
    voids: Sequence[tuple[str, float]] = (),
    top: int = 20,
    leaves: int = 400,
) -> dict[str, Any]:
    """Plain values for a page or a JSON file.

    Args:
        names: of the m concepts of `tree`.
        supply: [m] samples that have each concept.
        expected: [m] samples a selection keeps of each; default: the supply.
        prior: float64 [m] wanted shares; default: equal among siblings.
        voids: (name, prior share) of concepts without data.
        leaves: concepts drawn in the treemap at most; the rest of each parent is one box.

    Returns:
        concepts, covered (with at least one expected sample), samples (occurrences);
        treemap: nested {name, samples, ratio, children}; samples of the whole subtree, ratio = share over prior
        share (1 as wanted, null without prior);
        over, under: [{name, samples, share, prior, ratio}], furthest from the prior first, in log ratio
            weighted by the larger of the shares; voids: [{name, prior}].
    """
    supply = np.asarray(supply, np.float64)
    kept = supply if expected is None else np.asarray(expected, np.float64)
    wanted = shares_of(BudgetRule(tree, prior), supply > 0)
    share = kept / max(kept.sum(), 1e-300)
    ratio = np.where(wanted > 0, share / np.maximum(wanted, 1e-300), np.nan)
    log_ratio = np.log((share + 1e-9) / (wanted + 1e-9))
    distance = np.where((supply > 0) & (wanted > 0), log_ratio * np.maximum(share, wanted), 0.0)

    def listed(order: np.ndarray) -> list[dict[str, Any]]:
        return [
            {
                "name": names[t],
                "samples": float(kept[t]),
                "share": float(share[t]),
                "prior": float(wanted[t]),
                "ratio": float(ratio[t]),
            }
            for t in order[:top]
        ]

    by = np.argsort(-distance, kind="stable")
    return {
        "concepts": int((supply > 0).sum()),
        "covered": int((kept >= 1).sum()),
        "samples": float(kept.sum()),
        "treemap": _treemap(names, tree, kept, wanted, leaves),
        "over": listed(by[distance[by] > 0]),
        "under": listed(by[::-1][distance[by[::-1]] < 0]),
        "voids": [{"name": name, "prior": float(p)} for name, p in voids[:top]],
    }


def _treemap(
    names: Sequence[str], tree: Tree, kept: np.ndarray, wanted: np.ndarray, leaves: int
) -> list[dict[str, Any]]:
    """Nested boxes of the largest concepts."""
    total, prior = tree.sums(kept), tree.sums(wanted)
    whole, prior_whole = max(kept.sum(), 1e-300), max(wanted.sum(), 1e-300)
    order = np.argsort(-total, kind="stable")
    shown = np.zeros(len(kept), bool)
    for t in order[:leaves]:
        while t >= 0 and not shown[t]:
            shown[t] = True
            t = tree.parent[t]
    boxes: dict[int, dict[str, Any]] = {-1: {"children": [], "left": 0.0}}

    def ratio(samples: float, part: float) -> float | None:
        return samples / whole / (part / prior_whole) if part > 0 else None

    for t in tree.order:
        if shown[t] and total[t] > 0:
            box = {
                "name": names[t],
                "samples": float(total[t]),
                "ratio": ratio(total[t], prior[t]),
                "children": [],
            }
            boxes[int(t)] = box
            boxes[int(tree.parent[t])]["children"].append(box)
    for box in boxes.values():
        children = box["children"]
        rest = (whole if "name" not in box else box["samples"]) - sum(c["samples"] for c in children)
        if children and rest > 1e-6 * whole:
            children.append({"name": "", "samples": float(rest), "ratio": None, "children": []})
        children.sort(key=lambda c: -c["samples"])
    return boxes[-1]["children"]
