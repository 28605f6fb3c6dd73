"""The color network as it runs on one core: the same values but for rounding, sooner.

What PyTorch does in forty small steps, each with an array of its own, are a few compiled loops here. Importing this imports
numba.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from .fourier import backward, forward
from .histograms import BINS, CHROMA_CHANNELS, chroma_plane
from .parameters import Parameters
from .scores import ABOUT_CAST


class ColorInference:
    """A trained `ColorNetwork`, for a few pictures at a time."""

    def __init__(self, weights: Parameters):
        first, second = (weights[name] for name in ("first", "second"))
        self._first = _conjugate(first.reshape(-1, CHROMA_CHANNELS, BINS, BINS))
        self._second = _conjugate(second.reshape(1, len(first) + CHROMA_CHANNELS, BINS, BINS))
        self._bias, self._prior = (weights[name].reshape(-1) for name in ("bias", "prior"))
        self._plane = chroma_plane()
        self._layers = [weights.below(name).layer() for name in ("light", "hidden", "out")]

    def __call__(self, chroma: np.ndarray, light: np.ndarray) -> np.ndarray:
        """Logits of a cast, float32 [n].

        Args:
            chroma, light: [n, ...] of what `histograms.color_histograms` gives.
        """
        seen = _forward(chroma)
        maps = _filtered(seen, self._first)
        rectify(maps, self._bias)
        seen = np.concatenate([_forward(maps), seen], axis=1)
        fits = _filtered(seen, self._second).reshape(len(chroma), -1)
        return np.array(
            [self._decide(*of_one) for of_one in zip(fits, chroma, light, strict=True)], np.float32
        )

    def _decide(self, fit: np.ndarray, chroma: np.ndarray, light: np.ndarray) -> np.float32:
        known, sureness = moments_of_belief(fit, self._prior, self._plane)
        row, column = known[0], known[1]
        most, least = max(np.float32(0), -row, -column), min(np.float32(0), -row, -column)
        about = np.array([np.hypot(row, column), *sureness, most - least, most, least], np.float32)
        (of_light, light_bias), (hidden, hidden_bias), (out, out_bias) = self._layers
        seen = [known, about, moments_of_histograms(chroma.reshape(len(chroma), -1), self._plane)]
        seen.append(np.maximum(of_light @ light + light_bias, 0))
        logit = out @ np.maximum(hidden @ np.concatenate(seen) + hidden_bias, 0) + out_bias
        return logit[0] + np.log((most - least + 0.01) / ABOUT_CAST)


def _filtered(spectra: np.ndarray, filters: np.ndarray) -> np.ndarray:
    """Spectra [n, c, BINS, BINS / 2 + 1] by filters [m, c, same], summed and transformed back: float32 [n, m, BINS, BINS]."""
    product = np.zeros((len(spectra), len(filters), *spectra.shape[2:]), np.complex64)
    add_products(*(x.reshape(*x.shape[:2], -1) for x in (spectra, filters, product)))
    return backward(product.reshape(-1, *product.shape[2:])).reshape(*product.shape[:2], BINS, BINS)


def _forward(planes: np.ndarray) -> np.ndarray:
    """Spectra of float32 [n, m, BINS, BINS]: complex64 [n, m, BINS, BINS / 2 + 1]."""
    return forward(planes.reshape(-1, BINS, BINS)).reshape(*planes.shape[:2], BINS, -1)


def _conjugate(filters: np.ndarray) -> np.ndarray:
    """What spectra are multiplied by to be correlated with filters [m, c, BINS, BINS]."""
    return np.conj(np.fft.rfft2(filters)).astype(np.complex64)


@njit(cache=True, nogil=True, fastmath={"contract", "reassoc"})
def add_products(spectra: np.ndarray, filters: np.ndarray, out: np.ndarray) -> None:
    """out[n, m] += sum over c of spectra[n, c] * filters[m, c]; complex64 [n, c, k], [m, c, k], [n, m, k]."""
    for m in range(filters.shape[0]):
        for c in range(filters.shape[1]):
            for n in range(len(spectra)):  # filters are much the largest: each is read once
                for k in range(filters.shape[2]):
                    out[n, m, k] += spectra[n, c, k] * filters[m, c, k]


@njit(cache=True, nogil=True)
def rectify(maps: np.ndarray, bias: np.ndarray) -> None:
    """maps[n, m] = max(0, maps[n, m] + bias[m]), in place; float32 [n, m, h, w]."""
    flat = maps.reshape(maps.shape[0], maps.shape[1], -1)
    for n in range(flat.shape[0]):
        for m in range(flat.shape[1]):
            for k in range(flat.shape[2]):
                flat[n, m, k] = max(np.float32(0), flat[n, m, k] + bias[m])


@njit(cache=True, nogil=True, fastmath={"contract", "reassoc"})
def moments_of_belief(
    fit: np.ndarray, prior: np.ndarray, plane: np.ndarray
) -> tuple[np.ndarray, tuple[np.float32, np.float32]]:
    """Moments of softmax(fit + prior), its entropy and its largest value.

    Args:
        fit, prior: float32 [n].
        plane: float32 [n, q], the quantities whose means are wanted.

    Returns:
        float32 [q], (entropy, largest share).
    """
    highest = np.float32(-np.inf)
    for k in range(len(fit)):
        highest = max(highest, fit[k] + prior[k])
    known = np.zeros(plane.shape[1], np.float32)
    total = spread = np.float32(0)
    for k in range(len(fit)):
        above = fit[k] + prior[k] - highest
        share = np.exp(above)
        total += share
        spread += share * above
        for q in range(plane.shape[1]):
            known[q] += share * plane[k, q]
    known /= total
    return known, (np.float32(np.log(total) - spread / total), np.float32(1) / total)


@njit(cache=True, nogil=True, fastmath={"contract", "reassoc"})
def moments_of_histograms(roots: np.ndarray, plane: np.ndarray) -> np.ndarray:
    """Of each histogram the means of the first four quantities of the plane, and its sum.

    Args:
        roots: float32 [c, n], square roots of shares.
        plane: float32 [n, q].

    Returns:
        float32 [5 c].
    """
    out = np.zeros(5 * len(roots), np.float32)
    for c in range(len(roots)):
        total = np.float32(1e-4)
        for k in range(roots.shape[1]):
            if roots[c, k] == 0:
                continue
            share = roots[c, k] * roots[c, k]
            total += share
            for q in range(4):
                out[5 * c + q] += share * plane[k, q]
        out[5 * c : 5 * c + 4] /= total
        out[5 * c + 4] = total
    return out
