"""What blur leaves in the spectrum, by direction: motion takes frequencies along itself away, and at even distances.

The mean of log spectra over many windows is that of what they show, which differs, and of the blur, which they share. Its own
transform, the cepstrum, has a dip as far from its middle as the motion was long, in the direction of the motion (Cannon,
"Blind deconvolution of spatially invariant image blurs with phase", 1976).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from .blur_windows import WINDOW_PX
from .edge_kernels import DIRECTIONS
from .fourier import forward
from .spectrum_kernels import along_rays, mirror, multiplied_power, without_mean

#: Radii that the spectrum is read at, in cycles per window, and the cepstrum, in pixels.
_CYCLES, _LAGS = np.linspace(2.5, 62, 30), np.arange(2.0, 41.0)
#: Values of one direction: spectrum, then cepstrum.
SPECTRUM_VALUES = len(_CYCLES) + len(_LAGS)
#: Each direction is the mean of so many rays, a third of a direction apart.
_RAYS = 3
#: Both brought to about one: log2 of power, and the cepstrum of it.
_POWER_SCALE, _CEPSTRUM_SCALE = 1 / 4, 20.0


def blur_spectra(groups: Sequence[Sequence[np.ndarray]]) -> np.ndarray:
    """The spectrum and the cepstrum that the windows of each group share, along rays.

    Args:
        groups: of n windows each, uint8 [side, side], grey, side at most WINDOW_PX; n a multiple of 4. Sides may differ
            between groups.

    Returns:
        float32 [groups, SPECTRUM_VALUES, DIRECTIONS]; directions are those of `edge_kernels.steeper_shares`.
    """
    whole = all(len(windows[0]) == WINDOW_PX for windows in groups)
    shape = len(groups), len(groups[0]), WINDOW_PX, WINDOW_PX
    tapered = (np.empty if whole else np.zeros)(shape, np.float32)
    for windows, planes in zip(groups, tapered, strict=True):
        without_mean(np.stack(windows), _taper(len(windows[0])), planes)
    seen = forward(tapered.reshape(-1, WINDOW_PX, WINDOW_PX))
    power = multiplied_power(seen.reshape(len(seen), -1))
    logs = np.log2(power).reshape(len(groups), -1, power.shape[1]).sum(axis=1) / len(groups[0])
    # even and real, as logs of spectra are, they have the same transform back and forth but for its scale
    even = np.empty((len(groups), WINDOW_PX, WINDOW_PX), np.float32)
    mirror(logs.reshape(len(groups), WINDOW_PX, -1), even)
    cepstra = forward(even).real
    out = np.empty((len(groups), SPECTRUM_VALUES, DIRECTIONS), np.float32)
    for log, cepstrum, values in zip(logs, cepstra, out, strict=True):
        along_rays(log, *_rays(True), _POWER_SCALE, values[: len(_CYCLES)])
        scale = _CEPSTRUM_SCALE / WINDOW_PX**2
        along_rays(cepstrum.reshape(-1), *_rays(False), scale, values[len(_CYCLES) :])
    return out


@lru_cache
def _taper(side: int) -> np.ndarray:
    """Hann's window, float32 [side, side], so that white noise keeps its variance as power."""
    one = np.hanning(side + 2)[1:-1]
    both = np.outer(one, one)
    return (both / np.sqrt((both**2).sum())).astype(np.float32)


@lru_cache
def _rays(spectrum: bool) -> tuple[np.ndarray, np.ndarray]:
    """Where and by how much half a plane of frequencies or of distances counts: places in it, int32, and weights, float32,
    both [radii, DIRECTIONS, 4 * _RAYS]."""
    radii, width = _CYCLES if spectrum else _LAGS, WINDOW_PX // 2 + 1
    within = (np.arange(_RAYS) - _RAYS // 2) / _RAYS
    angle = np.pi / 4 + (np.arange(DIRECTIONS)[:, None] + within) * np.pi / DIRECTIONS
    angle = np.where(np.cos(angle) < 0, angle + np.pi, angle)  # frequencies are there from 0 on
    places, weights = [], []
    x, y = (radii[:, None, None] * f(angle) for f in (np.cos, np.sin))
    for down in (0, 1):
        for right in (0, 1):
            row, column = (np.floor(v).astype(int) + step for v, step in ((y, down), (x, right)))
            share = (1 - np.abs(y - row)) * (1 - np.abs(x - column))
            places.append(row % WINDOW_PX * width + column % width)
            weights.append(share / _RAYS)
    shape = len(radii), DIRECTIONS, 4 * _RAYS
    return (
        np.stack(places, axis=-1).reshape(shape).astype(np.int32),
        np.stack(weights, axis=-1).reshape(shape).astype(np.float32),
    )


__all__ = ["SPECTRUM_VALUES", "blur_spectra"]
