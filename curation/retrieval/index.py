"""A vector index over shards: cells of short codes to look into, and the vectors themselves to decide.

Every vector is projected on the leading directions of its dataset, coded in 8 bits per coordinate, and filed
under the nearest of a few thousand cell centers (an inverted file; Jégou, Douze & Schmid, "Product quantization
for nearest neighbor search", 2011, has the layout). A query looks into some cells, estimates cosines from the
codes, and computes exact cosines of the most promising rows from the half-precision vectors on disk. How many
cells and rows is measured, see `tuning.py`. Up to 20,000 rows there is one cell, and search is exact.

What a row's code and cell are depends on the row and the quantizer alone. So an update encodes new shards only,
copies the rest, and ends with the bytes that a build from nothing with the same quantizer would give. The
quantizer is trained anew once the rows have doubled.

On disk (see `files.py`): vectors float16 [n, d], inverse float32 [n] (reciprocal lengths), ids uint8 [n, 16], rows int32 [n] (position in the shard), cells
int32 [n]; by cell: codes int8 [n, r], order int32 [n], starts int64 [cells + 1]; the quantizer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import xxhash

from ..errors import ConfigError, DatasetError
from ..neighbors.quantizer import Quantizer
from .files import DamagedIndexError, checked, mapped, read_manifest

FORMAT = 1
#: At most this many allowed rows are compared one by one.
FEW_ROWS = 10_000
#: Rows re-ranked per result wanted, at least; and cells looked into first, when nothing was measured.
_REFINE, _PROBES = 10, 16


@dataclass(frozen=True)
class Source:
    """One shard's vectors.

    Attributes:
        name: of the shard; rows are kept in the order of names.
        digest: of ids and vectors; the same digest means the same rows.
        load: reads it: positions int [m], ids uint8 [m, 16], vectors [m, d] of float16 or float32. Rows that
            hold NaN, infinity or only zeros are left out and counted.
    """

    name: str
    digest: str
    load: Callable[[], tuple[np.ndarray, np.ndarray, np.ndarray]]


@dataclass(frozen=True)
class Segment:
    """Where one shard's rows are: `start` to `start + count`. `unusable`: rows left out."""

    name: str
    digest: str
    start: int
    count: int
    unusable: int = 0


@dataclass(frozen=True, eq=False)
class VectorIndex:
    """An opened index. Arrays are memory maps; opening reads little. Safe to search from several threads.

    Attributes:
        identity: what made the vectors (encoder, versions).
        segments: in row order.
        vectors, inverse, ids, rows, cells, codes, order, starts: see the module.
        scale: float32 [r]; a code times its scale is a coordinate.
        facts: seconds, rows the quantizer was trained at, measured recall and the settings it was measured for.
    """

    folder: Path
    identity: Mapping[str, Any]
    segments: tuple[Segment, ...]
    quantizer: Quantizer | None
    vectors: np.ndarray
    inverse: np.ndarray
    ids: np.ndarray
    rows: np.ndarray
    cells: np.ndarray
    codes: np.ndarray
    order: np.ndarray
    starts: np.ndarray
    scale: np.ndarray
    facts: Mapping[str, Any] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.vectors)

    @property
    def dim(self) -> int:
        return self.vectors.shape[1]

    @property
    def unusable(self) -> dict[str, int]:
        """Shard -> rows left out for NaN, infinity or zero length."""
        return {s.name: s.unusable for s in self.segments if s.unusable}

    def search(
        self,
        query: np.ndarray,
        k: int,
        allowed: np.ndarray | None = None,
        exact: bool = False,
        probes: int | None = None,
        refine: int | None = None,
    ) -> tuple[np.ndarray, np.ndarray]:
        """The k allowed rows of highest cosine: positions int64 and float32 cosines, best first.

        min(k, number of allowed rows) are returned, always. Few allowed rows are compared one by one;
        otherwise more cells are looked into until enough allowed rows were seen.

        Args:
            query: [d], any length but zero.
            allowed: bool [n]; None for all.
            exact: compare with every row.
            probes, refine: cells looked into and rows re-ranked; default: as measured.

        Raises:
            ConfigError: a query of another width, NaN, infinity, or zero length; or k < 1.
        """
        if k < 1:
            raise ConfigError(f"k must be at least 1, got {k}")
        q = unit_query(query, self.dim)
        from .exact import scan

        total = len(self) if allowed is None else int(np.count_nonzero(allowed))
        if total == 0:
            return np.zeros(0, np.int64), np.zeros(0, np.float32)
        if exact or len(self.starts) <= 2 or total <= FEW_ROWS:
            some = None if total == len(self) else np.flatnonzero(allowed)
            return scan(self.vectors, self.inverse, self.ids, q, k, some)
        near = self._candidates(q, k, allowed, total, probes, refine)
        return scan(self.vectors, self.inverse, self.ids, q, k, near)

    def _candidates(
        self,
        q: np.ndarray,
        k: int,
        allowed: np.ndarray | None,
        total: int,
        probes: int | None,
        refine: int | None,
    ) -> np.ndarray:
        """The rows worth an exact cosine."""
        from .kernels import scan_cells

        basis, centers = self.quantizer.projection.basis, self.quantizer.centers
        short = q @ basis
        nearness = centers @ short
        wanted = min(total, max(int(refine or self.facts.get("refine", _REFINE * k)), 2 * k))
        count = min(len(centers), int(probes or self.facts.get("probes", _PROBES)))
        scaled = np.ascontiguousarray(short * self.scale, np.float32)
        mask = np.zeros(0, bool) if allowed is None else np.ascontiguousarray(allowed)
        while True:
            whole = count >= len(centers)
            into = np.arange(len(centers)) if whole else np.argpartition(-nearness, count)[:count]
            room = int((self.starts[into + 1] - self.starts[into]).sum())
            score, row = np.empty(room, np.float32), np.empty(room, np.int64)
            n = scan_cells(scaled, self.codes, self.order, self.starts, into, mask, score, row)
            if whole or n >= wanted:
                break
            count *= 2
        if n > wanted:
            best = np.argpartition(-score[:n], wanted - 1)[:wanted]
            return np.sort(row[best])
        return np.sort(row[:n])

    def place(self, position: int) -> tuple[str, int]:
        """(shard, row in it) of a position."""
        starts = [s.start for s in self.segments]
        segment = self.segments[int(np.searchsorted(starts, position, side="right")) - 1]
        return segment.name, int(self.rows[position])

    def position_of(self, sample_id: bytes) -> int | None:
        """Position of the last row of a sample, None when it has none."""
        halves = np.frombuffer(sample_id, "<u8")
        found = np.flatnonzero((self.ids.view("<u8") == halves).all(axis=1))
        return int(found[-1]) if len(found) else None

    def blocks(self) -> Iterator[tuple[Segment, np.ndarray]]:
        """(segment, float16 [count, d]) one shard at a time."""
        for s in self.segments:
            yield s, self.vectors[s.start : s.start + s.count]


def unit_query(query: np.ndarray, dim: int) -> np.ndarray:
    """float32 [dim] of length 1. Raises ConfigError for what has no direction."""
    q = np.asarray(query)
    if q.ndim == 2 and len(q) == 1:
        q = q[0]
    if q.ndim != 1 or q.dtype.kind not in "fiu":
        raise ConfigError(f"a query is one vector of {dim} numbers, got {q.dtype} of shape {q.shape}")
    if len(q) != dim:
        raise ConfigError(
            f"the query has {len(q)} dimensions, the dataset's vectors {dim}: "
            "embed the query with the encoder the dataset was embedded with"
        )
    q = q.astype(np.float64)
    if not np.isfinite(q).all():
        raise ConfigError("the query vector holds NaN or infinity")
    largest = np.abs(q).max(initial=0)
    if largest == 0:
        raise ConfigError("the query vector is zero: it has no direction, so nothing is near to it")
    q = q / largest  # squares of very large or small numbers would leave the range of floats
    return (q / np.linalg.norm(q)).astype(np.float32)


def stamp_of(identity: Mapping[str, Any], segments: Sequence[Segment], quantizer: bytes) -> str:
    """Names the data files: the same content has the same name."""
    text = repr((FORMAT, sorted(identity.items()), [(s.name, s.digest) for s in segments]))
    return xxhash.xxh3_128_hexdigest(text.encode() + quantizer)[:12]


def open_index(folder: Path) -> VectorIndex:
    """The index in a folder, memory-mapped.

    Raises:
        DamagedIndexError: there is none, or its files are not what was written: make it anew.
    """
    manifest = read_manifest(folder, FORMAT)
    try:
        files = manifest["files"]
        segments = tuple(Segment(**s) for s in manifest["segments"])
        n, d, r, cells = (int(manifest[key]) for key in ("n", "dim", "code_dim", "cell_count"))
        quantizer = None
        if n:
            quantizer = Quantizer.from_bytes(checked(folder, files["quantizer"]).read_bytes(), str(folder))
        index = VectorIndex(
            folder, manifest["identity"], segments, quantizer,
            vectors=mapped(folder, files["vectors"], np.float16, (n, d)),
            inverse=mapped(folder, files["inverse"], np.float32, (n,)),
            ids=mapped(folder, files["ids"], np.uint8, (n, 16)),
            rows=mapped(folder, files["rows"], np.int32, (n,)),
            cells=mapped(folder, files["cells"], np.int32, (n,)),
            codes=mapped(folder, files["codes"], np.int8, (n, r)),
            order=mapped(folder, files["order"], np.int32, (n,)),
            starts=mapped(folder, files["starts"], np.int64, (cells + 1,)),
            scale=np.asarray(manifest["scale"], np.float32),
            facts=manifest["facts"],
        )  # fmt: skip
    except (KeyError, TypeError, ValueError, OSError, ConfigError) as e:
        raise DamagedIndexError(f"{folder}: {type(e).__name__}: {e}") from e
    _check(index)
    return index


def _check(index: VectorIndex) -> None:
    """What compiled code relies on: it does not check where it reads. Raises DamagedIndexError."""
    n, starts, order = len(index), index.starts, index.order
    ends = [s.start + s.count for s in index.segments]
    sound = starts[0] == 0 and starts[-1] == n and (np.diff(starts) >= 0).all()
    sound &= not n or (order.min() >= 0 and order.max() < n)
    sound &= [s.start for s in index.segments] == [0, *ends[:-1]][: len(ends)] and (ends or [0])[-1] == n
    if n:
        basis, centers = index.quantizer.projection.basis, index.quantizer.centers
        sound &= basis.shape == (index.dim, index.codes.shape[1]) and centers.shape[1] == basis.shape[1]
        sound &= len(centers) == len(starts) - 1 and index.scale.shape == (basis.shape[1],)
    if not sound:
        raise DamagedIndexError(f"{index.folder}: its parts do not fit together")


def require_one_width(widths: Mapping[str, int]) -> int:
    """The width that all shards' vectors have. Raises DatasetError naming one that differs."""
    first = next(iter(widths.values()), 0)
    for name, width in widths.items():
        if width != first:
            raise DatasetError(
                f"shard {name}: vectors of {width} dimensions, earlier shards have {first}: the encoder was changed "
                "half-way; embed the whole dataset with one encoder ('zcurate build' with one embed.model)"
            )
    return first
