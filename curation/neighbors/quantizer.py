"""Cells of similar vectors: which rows are compared with which.

Every row is a query in its own cell and can be found in its `probes` nearest cells, so a pair is compared when either
row's own cell is among the other's nearest. Rows of a query are all in one cell's task: nothing is merged
afterwards. What is compared depends on the two rows and the quantizer alone, not on other rows, workers or order: a frozen
quantizer gives the same pairs for old data whatever is added.
"""

from __future__ import annotations

import io
import json
from dataclasses import dataclass, replace

import numpy as np
import xxhash

from ..errors import ConfigError
from .projection import Projection, fit_projection

FORMAT = 1

#: Rows of a matrix product, always padded to this number, so that a row's bits do not depend on its place.
BLOCK = 4_096

#: Cells at most; beyond, finding the cell costs more than it saves.
_MOST_CELLS = 65_536


@dataclass(frozen=True, eq=False)
class Quantizer:
    """A projection and the centers of the cells in it.

    Attributes:
        projection: see `projection.Projection`.
        centers: float32 [cells, r], unit vectors; one cell stands for exact search.
        probes: cells a row can be found in.
    """

    projection: Projection
    centers: np.ndarray
    probes: int

    @property
    def cells(self) -> int:
        return len(self.centers)

    @property
    def identity(self) -> str:
        """xxh3-128 of all it is made of, hexadecimal."""
        return xxhash.xxh3_128_hexdigest(self.to_bytes())

    def assign(self, codes: np.ndarray) -> np.ndarray:
        """int32 [n, probes]: the nearest cells of each row of `Projection.codes`, nearest first."""
        from .cell_kernels import nearest_cells

        if self.cells == 1:
            return np.zeros((len(codes), 1), np.int32)
        out = np.empty((len(codes), self.probes), np.int32)
        step = max(64, min(BLOCK, (16 << 20) // (4 * self.cells)))
        padded = np.zeros((step, self.centers.shape[1]), np.float32)
        products = np.empty((step, self.cells), np.float32)
        for start in range(0, len(codes), step):
            rows = codes[start : start + step, :-1]
            padded[: len(rows)] = rows
            np.matmul(padded, self.centers.T, out=products)
            nearest_cells(products[: len(rows)], self.probes, out[start : start + len(rows)])
        return out

    def with_probes(self, probes: int) -> Quantizer:
        return replace(self, probes=max(1, min(probes, self.cells)))

    def to_bytes(self) -> bytes:
        """One line of JSON, then the two arrays as .npy."""
        facts = {"format": FORMAT, "probes": self.probes, "residual": self.projection.residual}
        out = io.BytesIO()
        out.write(json.dumps(facts, sort_keys=True).encode() + b"\n")
        for array in (self.projection.basis, self.centers):
            np.save(out, np.ascontiguousarray(array, np.float32), allow_pickle=False)
        return out.getvalue()

    @classmethod
    def from_bytes(cls, data: bytes, name: str) -> Quantizer:
        """Raises ConfigError, naming `name`, where that is no quantizer of this format."""
        file = io.BytesIO(data)
        try:
            facts = json.loads(file.readline(4_096))
            if facts["format"] != FORMAT:
                raise ConfigError(
                    f"{name}: quantizer of format {facts['format']!r}, this version reads {FORMAT}"
                )
            basis, centers = (np.load(file, allow_pickle=False) for _ in range(2))
            found = cls(Projection(basis, float(facts["residual"])), centers, int(facts["probes"]))
        except (ValueError, KeyError, TypeError, EOFError, OSError) as e:
            raise ConfigError(f"{name}: not a quantizer ({e}); make it again with --retrain") from e
        shapes_fit = basis.ndim == centers.ndim == 2 and basis.shape[1] == centers.shape[1] and len(centers)
        if not shapes_fit or basis.dtype != np.float32 or centers.dtype != np.float32:
            raise ConfigError(
                f"{name}: not a quantizer (arrays of wrong shape); make it again with --retrain"
            )
        return found


def exact_quantizer(sample: np.ndarray, seed: int = 0) -> Quantizer:
    """One cell: every pair is looked at. `sample`: float32 [n, d] unit vectors."""
    projection = fit_projection(sample, seed)
    return Quantizer(projection, np.ones((1, projection.basis.shape[1]), np.float32), 1)


def fit_quantizer(sample: np.ndarray, cells: int, probes: int, seed: int = 0, rounds: int = 8) -> Quantizer:
    """Spherical k-means (Dhillon & Modha 2001) in the projection of a sample.

    Args:
        sample: float32 [n, d] unit vectors; 40 and more per cell do.
        cells: centers wanted, at most n and 65,536.
        probes: see `Quantizer`.
        rounds: of Lloyd's algorithm.

    Deterministic for one sample, seed and build of the matrix library.
    """
    if cells <= 1 or len(sample) < 4 * cells:
        return exact_quantizer(sample, seed)
    projection = fit_projection(sample, seed)
    codes = projection.codes(sample)
    rng = np.random.default_rng(seed)
    cells = min(cells, _MOST_CELLS)
    centers = _unit(codes[rng.choice(len(codes), cells, replace=False), :-1])
    for _ in range(rounds):
        of = Quantizer(projection, centers, 1).assign(codes)[:, 0]
        order = np.argsort(of, kind="stable")
        counts = np.bincount(of, minlength=cells)
        starts = np.concatenate(([0], np.cumsum(counts)[:-1]))
        filled = counts > 0
        sums = np.zeros_like(centers)
        sums[filled] = np.add.reduceat(codes[order, :-1], starts[filled], axis=0)
        if not filled.all():  # an empty cell takes a row of one that has more than its share
            crowded = order[np.repeat(counts, counts) > 2 * counts.mean()]
            pool = crowded if len(crowded) else order
            sums[~filled] = codes[rng.choice(pool, int((~filled).sum())), :-1]
        centers = _unit(sums)
    return Quantizer(projection, centers, max(1, min(probes, cells)))


def planned_cells(rows: int, probes: int) -> int:
    """Cells that make finding the cell and searching it cost alike: about sqrt(probes x rows).

    One (exact search) below 20,000 rows, where that is as fast.
    """
    if rows < 20_000:
        return 1
    return int(min(_MOST_CELLS, 2 ** round(np.log2(np.sqrt(probes * rows)))))


def _unit(x: np.ndarray) -> np.ndarray:
    norms = np.linalg.norm(x, axis=1, keepdims=True)
    return np.ascontiguousarray(x / np.maximum(norms, 1e-20), np.float32)
