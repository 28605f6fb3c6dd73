"""Training samples for exposure: histograms of light of photographs brightened, darkened and tinted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import torch

from . import distortions as d
from .histograms import COARSE_PX, light_histogram
from .looks import drawn_page, look
from .synthesis import cast_score, exposure_score

#: Side to which photographs are squeezed before they are framed.
_BASE_PX = 160
#: Pages and diagrams among the samples, and how many of them are on colored paper, or with colored panels and slices.
_PAGES, _PAINTED = 0.2, 0.4


@dataclass(frozen=True)
class ExposureSample:
    """Attributes:
    light: float32 [LIGHT_BINS], of `histograms.light_histogram`.
    target, weight: float32 [2]: overexposed, underexposed; weight 0 where a cast hides them.
    """

    light: np.ndarray
    target: np.ndarray
    weight: np.ndarray


def exposure_samples(
    photos: Sequence[np.ndarray], fonts: Sequence[str], count: int, rng: d.Rng
) -> dict[str, torch.Tensor]:
    """The attributes of so many samples, stacked: see `exposure_sample`."""
    bases = [cv2.resize(p, (_BASE_PX, _BASE_PX), interpolation=cv2.INTER_AREA) for p in photos]
    samples = [exposure_sample(bases, fonts, rng) for _ in range(count)]
    names = ExposureSample.__dataclass_fields__
    return {name: torch.from_numpy(np.stack([getattr(s, name) for s in samples])) for name in names}


def exposure_sample(photos: Sequence[np.ndarray], fonts: Sequence[str], rng: d.Rng) -> ExposureSample:
    """A photograph framed anew, with a look that is no fault, exposure and cast as chance has it; or a clean page or diagram.

    Args:
        photos: uint8 [h, w, 3], both sides some 160 px: light needs no more.
        fonts: font files to write pages in; without any, diagrams alone.
    """
    drawn = rng.random() < _PAGES
    grey = not drawn and rng.random() < 0.06
    if drawn:
        rgb = drawn_page(fonts, _PAINTED, rng)
        rgb = cv2.resize(rgb, (COARSE_PX,) * 2, interpolation=cv2.INTER_AREA)
    else:
        rgb = look(_framed(photos[rng.integers(len(photos))], rng), grey, rng)
    target, tinted = np.zeros(2, np.float32), 0.0
    exposed = rng.random()
    if not drawn and exposed < 0.4:
        over = exposed < 0.2
        stops = float(np.exp(rng.uniform(np.log(0.2), np.log(4.5 if over else 6.0))))
        rgb = d.expose(rgb, stops if over else -stops, rng)
        target[0 if over else 1] = exposure_score(stops)
    if not (drawn or grey) and rng.random() < 0.65:
        seed, strength = rng.integers(1 << 62), rng.uniform(0.02, 1.0)
        rgb = d.cast(rgb, strength, np.random.default_rng(seed))
        white = d.cast(np.full((1, 1, 3), 128, np.uint8), strength, np.random.default_rng(seed))
        tinted = cast_score(np.ptp(np.log(white[0, 0].astype(np.float32) + 1)))
    weight = np.full(2, tinted < 0.4, np.float32)
    if rng.random() < (0.1 if drawn else 0.5):
        rgb = d.to_uint8(rgb + d.normal_field(rgb.shape, rng) * np.float32(rng.uniform(0, 3)))
    return ExposureSample(light_histogram(rgb), target, weight)


def _framed(rgb: np.ndarray, rng: d.Rng) -> np.ndarray:
    """A part, squeezed to a square of `COARSE_PX`."""
    h, w = rgb.shape[:2]
    keep = rng.uniform(0.4, 1.0, 2) if rng.random() < 0.7 else (1.0, 1.0)
    ch, cw = int(h * keep[0]), int(w * keep[1])
    top, left = rng.integers(0, h - ch + 1), rng.integers(0, w - cw + 1)
    return cv2.resize(rgb[top : top + ch, left : left + cw], (COARSE_PX,) * 2, interpolation=cv2.INTER_AREA)
