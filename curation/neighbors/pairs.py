"""Near pairs of a whole collection: plan the cells, search them, and measure what was missed.

Every run compares 2,000 random rows with all others by brute force. From those pairs it chooses how many cells a row
can be found in, and against them it reports its recall.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np

from ..embedding.encoder import Mirror
from ..errors import RecallError
from .cell_search import Codes, Found, Layout, joined, lay_out, search_range
from .exact import Edges, undirected
from .quantizer import Quantizer, exact_quantizer, fit_quantizer, planned_cells
from .vectors import stack, thread_count
from .workspace import FanOut, Workspace, fill_codes, in_threads, make_workspace, ranges

#: Queries of one task, rows coded by one task, queries of one task of brute force, and rows of the training sample per cell.
TASK_QUERIES, TASK_ROWS, TASK_AUDITED, ROWS_PER_CELL = 8_192, 65_536, 256, 40
#: Cells a row can be found in: tried when nothing is known, and at most.
USUAL_PROBES, MOST_PROBES = 8, 32
#: Fewer brute-force pairs than this say little about recall.
FEW_PAIRS = 50


@dataclass(frozen=True)
class SearchSettings:
    """Attributes:
    k: neighbors per row.
    floor: smallest cosine of a pair.
    threshold: cosine from which a missed pair counts against recall; also sets saturation, see `cell_search`.
    cells, probes: None to choose them.
    recall: smallest share of the brute-force pairs that must be found.
    audited: rows compared by brute force.
    seed: of all samples drawn.
    full_lists: every list holds the nearest rows, however many are near enough; for graphs that are not of duplicates.
    device: a torch device that searches (`device_search`); None for the cells of the CPU.
    """

    k: int
    floor: float
    threshold: float
    cells: int | None = None
    probes: int | None = None
    recall: float = 0.99
    audited: int = 2_000
    seed: int = 0
    full_lists: bool = False
    device: str | None = None

    @property
    def saturation(self) -> float:
        return 2.0 if self.full_lists else 1 - (1 - self.threshold) / 4


@dataclass(frozen=True)
class NearPairs:
    """`edges` between rows; the quantizer that found them; `facts` JSON-able."""

    edges: Edges
    quantizer: Quantizer
    facts: Mapping[str, Any] = field(default_factory=dict)


def near_pairs(
    vectors: np.ndarray,
    settings: SearchSettings,
    mirror: Mirror | None = None,
    quantizer: Quantizer | None = None,
    fan_out: FanOut = in_threads,
) -> NearPairs:
    """Union of every row's k nearest rows with cosine >= floor, among the pairs that the cells compare.

    Args:
        vectors: float16 or float32 [n, d], may be a memory map. Zero vectors have no neighbors.
        mirror: with it, a cosine is the larger of those to the other vector and to its mirror image.
        quantizer: a frozen one; default: fitted to a sample of these rows. One cell (exact) below 20,000 rows.
        fan_out: runs the tasks.

    Raises:
        ValueError: a vector with NaN or infinity, or of another length than the quantizer's.
        RecallError: fewer of the brute-force pairs found than `settings.recall`.
    """
    vectors = stack(vectors)
    frozen = quantizer is not None
    quantizer = quantizer or fitted(vectors, settings)
    space = make_workspace(vectors, quantizer.projection.basis.shape[1] + 1, mirror)
    fill_all(space, quantizer, mirror, fan_out)
    sample = drawn(space.rows, settings)
    truth = brute_force(space, sample, settings, mirror, quantizer, fan_out)
    if not frozen:
        quantizer = with_enough_probes(quantizer, space, truth, settings, mirror)
    codes = assigned(space, quantizer, mirror, fan_out)
    edges, scored = searched(vectors, codes, lay_out(codes), settings, mirror, fan_out)
    return NearPairs(edges, quantizer, audited(quantizer, truth, edges, scored, settings))


def fill_all(
    space: Workspace, quantizer: Quantizer, mirror: Mirror | None, fan_out: FanOut, first: int = 0
) -> None:
    """Code the rows from `first` on. Raises ValueError, see `workspace.fill_codes`."""
    if quantizer.projection.basis.shape[0] != space.stored.shape[1]:
        raise ValueError(
            f"vectors of {space.stored.shape[1]} dimensions, quantizer for {quantizer.projection.basis.shape[0]}: "
            "it belongs to another encoder; train it again"
        )
    pieces = [
        (first + a, first + b) for a, b in ranges(space.rows - first, _shared(space.rows - first, TASK_ROWS))
    ]
    list(fan_out(partial(_fill, space, quantizer, mirror), pieces))


def searched(
    stored: np.ndarray,
    codes: Codes,
    layout: Layout,
    settings: SearchSettings,
    mirror: Mirror | None,
    fan_out: FanOut,
) -> tuple[Edges, int]:
    """All lists of a layout as edges, and how many cosines were computed."""
    task = partial(search_lists, stored, codes, layout, settings, mirror, settings.saturation)
    found = joined(list(fan_out(task, ranges(layout.count, TASK_QUERIES))))
    return undirected(found.src, found.dst, found.cos), found.scored


def drawn(rows: int, settings: SearchSettings) -> np.ndarray:
    """int64: rows to compare by brute force, ascending."""
    count = min(rows, settings.audited)
    return np.sort(np.random.default_rng(settings.seed).choice(rows, count, replace=False))


def audited(
    quantizer: Quantizer, truth: Found, edges: Edges, scored: int, settings: SearchSettings
) -> dict[str, Any]:
    """The figures of a search. Raises RecallError."""
    recall, pairs = measured_recall(truth, edges, settings)
    if recall is not None and recall < settings.recall and pairs >= FEW_PAIRS:
        raise RecallError(
            f"k-NN recall is {recall:.4f} of {pairs} brute-force pairs at cosine >= {settings.threshold}, below "
            f"the floor {settings.recall}; raise dedup.probes (now {quantizer.probes} of {quantizer.cells} cells), "
            "or train the quantizer again"
        )
    return {
        "method": "exact" if quantizer.cells == 1 else "cells",
        "cells": quantizer.cells,
        "probes": quantizer.probes,
        "code_length": quantizer.projection.basis.shape[1],
        "cosines_computed": scored,
        "recall": recall,
        "recall_pairs": pairs,
    }


def _fill(space: Workspace, quantizer: Quantizer, mirror: Mirror | None, rows: tuple[int, int]) -> None:
    fill_codes(space, quantizer, mirror, *rows)


def search_lists(
    stored: np.ndarray,
    codes: Codes,
    layout: Layout,
    settings: SearchSettings,
    mirror: Mirror | None,
    saturation: float,
    queries: tuple[int, int],
) -> Found:
    """One task of a search: see `cell_search.search_range`."""
    return search_range(stored, codes, layout, *queries, settings.k, settings.floor, saturation, mirror)


def fitted(vectors: np.ndarray, settings: SearchSettings) -> Quantizer:
    """A quantizer of a sample of the vectors; one cell below 20,000."""
    n = len(vectors)
    cells = settings.cells or planned_cells(n, settings.probes or USUAL_PROBES)
    rng = np.random.default_rng(settings.seed)
    rows = np.sort(rng.choice(n, min(n, max(4_096, ROWS_PER_CELL * cells)), replace=False))
    sample = np.asarray(vectors[rows], np.float32)
    norms = np.linalg.norm(sample, axis=1, keepdims=True)
    usable = np.isfinite(norms[:, 0]) & (norms[:, 0] > 0)  # NaN is reported, with its row, when all are coded
    sample = sample[usable] / norms[usable]
    if not len(sample):
        sample = np.zeros((1, vectors.shape[1]), np.float32)
    if cells == 1:
        return exact_quantizer(sample, settings.seed)
    return fit_quantizer(sample, cells, settings.probes or USUAL_PROBES, settings.seed)


def assigned(space: Workspace, quantizer: Quantizer, mirror: Mirror | None, fan_out: FanOut) -> Codes:
    """The cells of every coded row."""
    cells = cells_of(space.codes, quantizer, fan_out)
    turned = None
    if mirror is not None and space.turned_codes is not None:
        turned = cells_of(space.turned_codes, quantizer.with_probes(1), fan_out)
    margin = quantizer.projection.margin
    return Codes(space.codes, space.inverse, cells, space.turned_codes, turned, margin, quantizer.cells)


def cells_of(codes: np.ndarray, quantizer: Quantizer, fan_out: FanOut) -> np.ndarray:
    """int32 [n, probes], see `Quantizer.assign`."""
    if not len(codes):
        return np.zeros((0, quantizer.probes), np.int32)
    pieces = ranges(len(codes), _shared(len(codes), TASK_ROWS))
    return np.concatenate(list(fan_out(lambda r: quantizer.assign(codes[r[0] : r[1]]), pieces)))


def brute_force(
    space: Workspace,
    sample: np.ndarray,
    settings: SearchSettings,
    mirror: Mirror | None,
    quantizer: Quantizer,
    fan_out: FanOut,
    first: int = 0,
) -> Found:
    """The k nearest rows, from `first` on, with cosine >= floor of each row of a sample, whatever the cells.

    With a mirror a row may be listed up to twice k times.
    """
    n, m = space.rows, len(sample)
    codes = Codes(
        space.codes, space.inverse, np.zeros((0, 1), np.int32), space.turned_codes, None,
        quantizer.projection.margin, 1,
    )  # fmt: skip
    ends = np.array([0, m])
    turned = (sample, ends) if mirror is not None else (None, None)
    layout = Layout(sample, ends, *turned, np.arange(first, n), np.array([0, n - first]))
    task = partial(search_lists, space.stored, codes, layout, settings, mirror, settings.saturation)
    return joined(list(fan_out(task, ranges(layout.count, _shared(layout.count, TASK_AUDITED, 16)))))


def _shared(count: int, most: int, least: int = 1_024) -> int:
    """Length of a task: at most `most`; shorter where there would be none left for another thread."""
    return min(most, max(least, -(-count // thread_count())))


def with_enough_probes(
    quantizer: Quantizer, space: Workspace, truth: Found, settings: SearchSettings, mirror: Mirror | None
) -> Quantizer:
    """The fewest probes that compare enough of the true pairs; fewer cells where the most do not.

    `settings.probes`, where given, is taken as it is.
    """
    if quantizer.cells == 1 or settings.probes is not None:
        return quantizer
    strong = truth.cos.astype(np.float64) >= settings.threshold
    if strong.sum() < FEW_PAIRS:  # hardly any duplicates: any near pair tells how far neighbors stray
        strong = np.ones(len(truth.cos), bool)
    if strong.sum() < FEW_PAIRS:
        return quantizer.with_probes(2 * USUAL_PROBES)
    src, dst = truth.src[strong], truth.dst[strong]
    # A full list takes no neighbor that sees it: rows of many neighbors must find theirs themselves.
    crowded = np.bincount(src, minlength=space.rows)[src] >= settings.k
    # Every row counts alike, or a few crowds would speak for all; a tenth of what may be missed, as other rows will come.
    _, row, owed = np.unique(src, return_inverse=True, return_counts=True)
    share = 1 / owed[row]
    allowed = (1 - settings.recall) / 10 * len(owed)
    while True:
        wide = quantizer.with_probes(MOST_PROBES)
        ranks = _rank_met(wide, space, src, dst, crowded, mirror)
        for probes in range(2, wide.probes + 1):
            if share[ranks >= probes].sum() + 1 <= max(1.0, allowed) + 1e-9:  # one more: a sample flatters
                return quantizer.with_probes(probes)
        cells = quantizer.cells // 4
        if cells < 16:
            return exact_quantizer(_sampled_units(space, settings), settings.seed)
        fewer = fit_quantizer(_sampled_units(space, settings), cells, MOST_PROBES, settings.seed)
        quantizer = Quantizer(quantizer.projection, fewer.centers, MOST_PROBES)


def _sampled_units(space: Workspace, settings: SearchSettings) -> np.ndarray:
    rng = np.random.default_rng(settings.seed)
    rows = np.sort(rng.choice(space.rows, min(space.rows, 65_536), replace=False))
    rows = rows[space.inverse[rows] > 0]
    return np.asarray(space.stored[rows], np.float32) * space.inverse[rows, None].astype(np.float32)


def _rank_met(
    quantizer: Quantizer,
    space: Workspace,
    src: np.ndarray,
    dst: np.ndarray,
    crowded: np.ndarray,
    mirror: Mirror | None,
) -> np.ndarray:
    """int64 [m]: from how many probes on, less one, a pair is compared; `probes` where it never is.

    `crowded` bool [m]: only `src` as the query counts.
    """
    a, b = quantizer.assign(space.codes[src]), quantizer.assign(space.codes[dst])
    own = [(a[:, 0], b, False), (b[:, 0], a, True)]
    if mirror is not None and space.turned_codes is not None:
        single = quantizer.with_probes(1)
        own.append((single.assign(space.turned_codes[src])[:, 0], b, False))
        own.append((single.assign(space.turned_codes[dst])[:, 0], a, True))
    best = np.full(len(src), quantizer.probes)
    for cell, others, backward in own:
        meets = others == cell[:, None]
        if backward:
            meets &= ~crowded[:, None]
        best = np.minimum(best, np.where(meets.any(axis=1), meets.argmax(axis=1), quantizer.probes))
    return best


def measured_recall(truth: Found, edges: Edges, settings: SearchSettings) -> tuple[float | None, int]:
    """Share of a sampled row's pairs at or above the threshold that are edges, mean over rows; and the pairs owed.

    A row is owed its brute-force pairs, k at most: which k of more than k equally good ones it has does not matter.
    Every row counts alike: over all pairs, a few crowds of copies would hide the rest. None where no sampled row has any.
    """
    strong = truth.cos.astype(np.float64) >= settings.threshold
    pairs = np.unique(np.stack([truth.src[strong], truth.dst[strong]]), axis=1)
    rows, owed = np.unique(pairs[0], return_counts=True)
    if not len(rows):
        return None, 0
    owed = np.minimum(owed, settings.k)
    near = edges.above(settings.threshold)
    length = int(max(rows[-1], near.src.max(initial=0), near.dst.max(initial=0))) + 1
    have = np.bincount(near.src, minlength=length) + np.bincount(near.dst, minlength=length)
    return float((np.minimum(have[rows], owed) / owed).mean()), int(owed.sum())
