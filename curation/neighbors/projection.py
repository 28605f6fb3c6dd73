"""A few coordinates of a vector that bound its cosine with any other from above.

Let V be orthonormal columns, p = V^T x the kept part of a unit vector and r = |x - V p| what is left. By
Cauchy-Schwarz x·y <= p·p' + r r', which is itself a dot product: of (p, r) with (p', r'). So a search over r + 1 short
codes finds every pair above a cosine, and false candidates only, which the full vectors settle. With V the leading
eigenvectors of the second moment (not centered: cosines are not), r is as small as it can be.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

#: Mean squared length left outside the kept coordinates, at which more of them stop paying.
RESIDUAL_ENERGY = 0.04
#: Coordinates kept: at least and at most, in steps.
_SMALLEST, _LARGEST, _STEP = 32, 160, 16


@dataclass(frozen=True, eq=False)
class Projection:
    """Attributes:
    basis: float32 [d, r], orthonormal columns.
    residual: mean squared length outside the basis, on the rows it was fitted to.
    """

    basis: np.ndarray
    residual: float

    @property
    def margin(self) -> float:
        """How far rounding may push a bound computed in float32 below the true cosine.

        Both codes carry the error of d-term float32 sums, the product that of r + 1 terms; unit vectors.
        """
        d, r = self.basis.shape
        return (4 * d + r + 64) * 2.0**-24

    def codes(self, unit: np.ndarray) -> np.ndarray:
        """float32 [n, r + 1]: coordinates and residual length of float32 [n, d] unit vectors (or zeros)."""
        r = self.basis.shape[1]
        out = np.empty((len(unit), r + 1), np.float32)
        np.matmul(unit, self.basis, out=out[:, :r])
        kept = np.einsum("ij,ij->i", out[:, :r], out[:, :r], dtype=np.float64)
        out[:, r] = np.sqrt(np.maximum(0.0, 1.0 - kept) + self.margin)
        return out


def fit_projection(unit: np.ndarray, seed: int = 0) -> Projection:
    """From a sample of unit vectors float32 [n, d].

    As many coordinates as leave RESIDUAL_ENERGY of the squared length, within 32..160 (and d).
    """
    n, d = unit.shape
    if d <= _SMALLEST:
        return Projection(np.eye(d, dtype=np.float32), 0.0)
    moment = unit.T.astype(np.float64) @ unit.astype(np.float64) / max(1, n)
    values, vectors = np.linalg.eigh(moment)
    values, vectors = values[::-1], vectors[:, ::-1]
    total = max(values.sum(), 1e-30)
    left = 1 - np.cumsum(values) / total  # after i + 1 coordinates
    count = min(d, _SMALLEST)
    while count < min(d, _LARGEST) and left[count - 1] > RESIDUAL_ENERGY:
        count = min(d, count + _STEP)
    basis, _ = np.linalg.qr(vectors[:, :count])
    return Projection(np.ascontiguousarray(basis, np.float32), float(max(0.0, left[count - 1])))
