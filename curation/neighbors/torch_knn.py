"""k nearest neighbors by cosine on one accelerator (or on the CPU, slowly): exact, or by cells above that.

Up to some millions of rows every row is compared with every other. Above, rows go to cells of similar
vectors (`torch_cells`) and are compared within them; a sample of rows that is compared with everything
says how far a row must be listed beyond its own cell, and another sample says what recall came out.
Either way a pair's cosine is that of the stored vectors in float64, and self pairs go by id.

Vectors are read in blocks and never all held in host memory; where they fit neither the device nor
host memory, they are shuffled by cell on disk. Each cell's search is independent of the others.

Importing this imports torch, so import it inside functions. Mirrored copies are not looked for.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from .exact import Edges
from .torch_cells import (
    Routing,
    default_slack,
    fit_centroids,
    listed_cells,
    needed_slack,
    slack_at,
)  # fmt: skip
from .torch_merge import contains, merge
from .torch_source import PLACES, Source
from .torch_store import Gathered, Shuffled, choose_groups
from .torch_tiles import Proposer, Shortlist, nearest
from .torch_vectors import Block, full_precision, make_block
from .vectors import stack

#: Rows of a cell: larger cells cost products, smaller ones lists. For 512 dimensions and tensor cores.
CELL_ROWS = 100_000
#: Rows up to which every pair is compared, unless a number of cells is given.
EXACT_ROWS = 2_000_000
#: Pairs above the floor from which the slack is measured rather than assumed.
_ENOUGH_PAIRS = 50
_POINTS_PER_CENTROID = 256
_SAMPLED_LISTS = 65_536


@dataclass(frozen=True)
class Plan:
    """How to search.

    Attributes:
        cells: None for one per CELL_ROWS rows, or 1 (exact) up to EXACT_ROWS rows.
        probes: most cells a row is listed in.
        group_rows: rows, copies included, that are on the device together for place disk; None for what
            fits.
        sample: rows that are compared with everything; half of them choose the slack, half measure recall.
        slack: see `torch_cells`; None to measure what `target` takes.
        target: share of the pairs above the floor that the measured slack finds, with 95% confidence.
        seed: of samples and centroids.
        place: where the vectors are while cells are searched; auto takes the first with room.
        scratch: folder for `disk`; None for the system's.
        fused: use the fused kernel where it works and is faster.
    """

    cells: int | None = None
    probes: int = 64
    group_rows: int | None = None
    sample: int = 4_096
    slack: float | None = None
    target: float = 0.99
    seed: int = 0
    place: str = "auto"
    scratch: Path | None = None
    fused: bool = True


@dataclass(frozen=True)
class Found:
    """What a search found, and what it took.

    Attributes:
        edges: the union of every row's nearest rows.
        cells: cells searched; 1 means exact.
        slack: the slack in force; 0 when exact.
        copies_per_row: cells that list a row, mean.
        pairs_per_row: rows a row was compared with, mean.
        recall: share of the pairs above the floor of sampled rows that was found, of `recall_pairs`;
            None without such pairs; 1 when exact.
        recall_pairs: see recall.
        place: where the vectors were.
        fused: whether the fused kernel was used.
        shuffled_bytes: written to disk by place disk.
        seconds: wall clock per phase.
    """

    edges: Edges
    cells: int
    slack: float
    copies_per_row: float
    pairs_per_row: float
    recall: float | None
    recall_pairs: int
    place: str
    fused: bool
    shuffled_bytes: int
    seconds: dict[str, float]


def knn_torch(
    vectors: np.ndarray, k: int = 100, floor: float = 0.0, device: str | None = None, plan: Plan | None = None
) -> Edges:
    """The union of every row's k nearest other rows with cosine >= floor; see `search`."""
    return search(vectors, k, floor, device, plan).edges


def search(
    vectors: np.ndarray, k: int = 100, floor: float = 0.0, device: str | None = None, plan: Plan | None = None
) -> Found:
    """Search, with figures. Ties go to the lower position, as in `exact.knn_edges`.

    Args:
        vectors: float16 or float32 [n, d] array or memory map. Need not be normalized; zero vectors
            have no edges.
        k: neighbors per row, capped to n - 1.
        floor: smallest cosine of an edge, -1..1.
        device: a torch device; None for `cuda` where there is one, else `cpu`.

    Raises:
        ValueError: k < 1, a vector that holds NaN or infinity, an unknown place, or fewer rows than cells.
    """
    plan = plan or Plan()
    if k < 1:
        raise ValueError(f"k must be at least 1, got {k}")
    if plan.place not in PLACES:
        raise ValueError(f"place must be one of {', '.join(PLACES)}, got {plan.place!r}")
    vectors = stack(vectors)
    where = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    n = len(vectors)
    k = min(k, n - 1)
    cells = plan.cells or (1 if n <= EXACT_ROWS else round(n / CELL_ROWS))
    if k < 1:
        edges = Edges(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0, np.float32))
        return Found(edges, 1, 0.0, 1.0, 0.0, 1.0, 0, "host", False, 0, {})
    with torch.inference_mode(), full_precision():
        job = _Job(vectors, k, floor, where, plan)
        return job.exact() if cells == 1 else job.by_cells(cells)


def neighbors_of(
    vectors: np.ndarray, queries: np.ndarray, k: int, floor: float, device: str | None = None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Some rows' k nearest others with cosine >= floor, compared with everything: what recall is measured by.

    Args:
        vectors, k, floor, device: see `search`.
        queries: int64 [q] row positions.

    Returns:
        int64 [m] row, int64 [m] neighbor, float32 [m] cosine; by row in the order given, nearest first.
    """
    where = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    with torch.inference_mode(), full_precision():
        return _Job(stack(vectors), k, floor, where, Plan(place="host", fused=False)).pairs_of(queries)


class _Job:
    """One search: its source and the clock."""

    def __init__(self, vectors: np.ndarray, k: int, floor: float, device: torch.device, plan: Plan) -> None:
        self.k, self.floor, self.plan, self.device = k, floor, plan, device
        self.seconds: dict[str, float] = {}
        self.propose = _proposer(device, vectors.shape[1]) if plan.fused else None
        with self.clock("read"):
            self.source = Source(vectors, device, plan.place)
        self.chunk = self.source.chunk_rows()

    @contextmanager
    def clock(self, phase: str) -> Iterator[None]:
        started = time.perf_counter()
        yield
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        self.seconds[phase] = self.seconds.get(phase, 0.0) + time.perf_counter() - started

    def exact(self) -> Found:
        n, pairs = len(self.source), []
        with self.clock("search"):
            for found in nearest(self.source.span, n, n, self.chunk, self.k, self.floor, self.propose):
                pairs.append(tuple(x.cpu() for x in found))
        with self.clock("merge"):
            edges = merge(pairs, n, self.device)
        fused = self.propose is not None
        return Found(edges, 1, 0.0, 1.0, float(n), 1.0, 0, self.source.place, fused, 0, self.seconds)

    def by_cells(self, cells: int) -> Found:
        n, rng = len(self.source), np.random.default_rng(self.plan.seed)
        with self.clock("centroids"):
            sample = self.source.rows(_sampled_rows(n, cells * _POINTS_PER_CENTROID, rng)).unit
            centroids = fit_centroids(sample, cells, self.plan.seed)
            del sample
        with self.clock("sample"):
            queries = np.sort(rng.permutation(n)[: self.plan.sample])
            truth = self.pairs_of(queries)
            routing = Routing(centroids, self.plan.probes, self.slack_for(centroids, queries, truth))
        listed, compared, written, pairs = 0, 0, 0, []
        with tempfile.TemporaryDirectory(dir=self.plan.scratch, prefix="zcurate-knn-") as folder:
            for store in self.stores(routing, Path(folder)):
                own, everyone = store.sizes()
                listed += int(everyone.sum())
                compared += int((own * everyone).sum())
                with self.clock("search"):
                    for found in self.cell_pairs(store, own, everyone):
                        pairs.append(tuple(x.cpu() for x in found))
            written = sum(path.stat().st_size for path in Path(folder).iterdir())
        with self.clock("merge"):
            edges = merge(pairs, n, self.device)
        odd = np.isin(truth[0], queries[1::2])
        hit = contains(edges, truth[0][odd], truth[1][odd], n)
        return Found(
            edges, cells, routing.slack, listed / n, compared / n, float(hit.mean()) if len(hit) else None,
            len(hit), self.source.place, self.propose is not None, written, self.seconds,
        )  # fmt: skip

    def pairs_of(self, queries: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Some rows' true neighbors: (row position, neighbor, cosine)."""
        shortlist = Shortlist(self.source.rows(queries), self.k, self.floor, self.propose)
        for block in self.source.blocks():
            shortlist.offer(block)
        return tuple(x.cpu().numpy() for x in shortlist.pairs())

    def slack_for(self, centroids: torch.Tensor, queries: np.ndarray, truth: tuple) -> float:
        """The slack given, or the one that finds `target` of the even queries' pairs."""
        if self.plan.slack is not None:
            return self.plan.slack
        even = np.isin(truth[0], queries[::2])
        if even.sum() < _ENOUGH_PAIRS:
            return default_slack(self.floor)
        # A group of many copies must not outvote the others, nor fill the device: some pairs of each row.
        row, neighbor = truth[0][even], truth[1][even]
        _, first = np.unique(row, return_index=True)
        few = np.arange(len(row)) - np.repeat(first, np.diff([*first, len(row)])) < 8
        a, b = self.source.rows(row[few]).unit, self.source.rows(neighbor[few]).unit
        needed = needed_slack(Routing(centroids, self.plan.probes, 1.0), a, b).cpu().numpy()
        return slack_at(needed, self.plan.target)

    def stores(self, routing: Routing, folder: Path) -> Iterator[Gathered]:
        """The cells, in one store or, where they do not fit, group after group."""
        lists = ((b.original, b.ids, listed_cells(b.unit, routing)) for b in self.source.blocks())
        if self.source.place != "disk":
            with self.clock("assign"):
                listed = torch.cat([part for _, _, part in lists])
                store = Gathered(self.source.tensor(), listed, len(routing))
                del listed
            yield store
            return
        with self.clock("shuffle"):
            few = _sampled_rows(len(self.source), _SAMPLED_LISTS, np.random.default_rng(self.plan.seed))
            listed = listed_cells(self.source.rows(few).unit, routing)
            limit = self.plan.group_rows or self.source.group_rows(self.plan.probes)
            shuffled = Shuffled(lists, choose_groups(routing, listed, len(self.source), limit), folder)
        for group in range(shuffled.groups):
            with self.clock("load"):
                vectors, ids, listed = shuffled.load(group)
                store = Gathered(vectors, listed, len(routing), ids)
                del vectors, ids, listed
            yield store
            del store

    def cell_pairs(
        self, store: Gathered, own: np.ndarray, listed: np.ndarray
    ) -> Iterator[tuple[torch.Tensor, torch.Tensor, torch.Tensor]]:
        """Neighbors found in each cell. The next cell is loaded while one is searched."""
        side = torch.cuda.Stream(self.device) if self.device.type == "cuda" else None
        cells = [c for c in range(len(own)) if own[c]]

        def fetch(cell: int) -> tuple[torch.Tensor, torch.Tensor, object] | None:
            if listed[cell] > self.chunk:
                return None
            with torch.inference_mode(), torch.cuda.stream(side) if side else nullcontext():
                rows, ids = store.load(cell, 0, int(listed[cell]))
                return rows, ids, side.record_event() if side else None

        if side:
            torch.cuda.synchronize(self.device)  # the store is complete
        with ThreadPoolExecutor(1) as pool:
            coming = pool.submit(fetch, cells[0]) if cells else None
            for i, cell in enumerate(cells):
                ready = coming.result()
                coming = pool.submit(fetch, cells[i + 1]) if i + 1 < len(cells) else None
                if ready and side:
                    main = torch.cuda.current_stream(self.device)
                    main.wait_event(ready[2])
                    for tensor in ready[:2]:
                        tensor.record_stream(main)

                def load(first: int, last: int, cell: int = cell, ready=ready) -> Block:
                    rows, ids = ready[:2] if ready else store.load(cell, first, last)
                    return make_block(rows, ids, self.source.operand)

                yield from nearest(
                    load, int(own[cell]), int(listed[cell]), self.chunk, self.k, self.floor, self.propose
                )


def _sampled_rows(n: int, size: int, rng: np.random.Generator) -> np.ndarray:
    """Sorted positions, in runs of 16 so that a disk reads few pieces; all rows when there are no more."""
    if size >= n:
        return np.arange(n)
    starts = np.sort(rng.permutation(n // 16)[: -(-size // 16)]) * 16
    return (starts[:, None] + np.arange(16)).ravel()


def _proposer(device: torch.device, d: int) -> Proposer | None:
    """The fused kernel where it works and is faster than the plain path."""
    if device.type != "cuda":
        return None
    try:
        from .torch_kernel import fused_speedup, propose_fused
    except ImportError:
        return None
    return propose_fused if fused_speedup(str(device), d) > 1 else None
