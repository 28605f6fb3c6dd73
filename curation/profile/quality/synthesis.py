"""Training samples: a clean picture, distortions drawn at random, and the scores they call for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from . import distortions as d
from .crops import native_tiles, overview
from .network import OVERVIEW_SCORES, TILE_SCORES, OverviewNetwork
from .watermarks import sign, watermark

_SUBSAMPLINGS = ("420", "420", "422", "444")


# Strength -> score. Monotone, 0 for none, about 0.5 where most people would call it a fault.


def blur_score(sigma_px: float) -> float:
    """Of the standard deviation of the point spread at native resolution."""
    return sigma_px / (sigma_px + 2.0)


def noise_score(sigma: float) -> float:
    """Of the standard deviation in levels."""
    return sigma / (sigma + 15.0)


def jpeg_score(quality: float) -> float:
    """Of the quality of libjpeg, 1..100."""
    return (100.0 - quality) / 100.0


def banding_score(levels: float) -> float:
    """Of the number of levels per channel; 128 and more count as none."""
    return float(np.clip((7 - np.log2(levels)) / 6, 0, 1))


def upscaled_score(factor: float) -> float:
    """Of the factor of enlargement."""
    return 1.0 - 1.0 / factor


def cast_score(shift: float) -> float:
    """Of the mean shift in CIELAB a*b*."""
    return shift / (shift + 12.0)


def exposure_score(stops: float) -> float:
    """Of the stops too much or too little."""
    return stops / (stops + 1.5)


@dataclass(frozen=True)
class Sample:
    """Attributes:
    pixels: uint8, what the network sees: tiles or an overview.
    target: float32 [outputs], scores in [0, 1], in order of the network's outputs.
    weight: float32 [outputs], 0 where a score cannot be told from another distortion.
    mask: float32 [cells, cells], 1 where a watermark covers the overview; [0, 0] for tiles.
    """

    pixels: np.ndarray
    target: np.ndarray
    weight: np.ndarray
    mask: np.ndarray


def _log_uniform(rng: d.Rng, low: float, high: float) -> float:
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))


def clean_copy(base: np.ndarray, short_side_px: int) -> np.ndarray:
    """Reduced to a short side by area, so that the photograph's own noise and artifacts average out."""
    h, w = base.shape[:2]
    scale = short_side_px / min(h, w)
    size = (max(64, round(w * scale)), max(64, round(h * scale)))
    return cv2.resize(base, size, interpolation=cv2.INTER_AREA)


def tile_sample(base: np.ndarray, rng: d.Rng) -> Sample:
    """A window of a clean photograph with blur, upscaling, noise, banding and JPEG as chance has it."""
    h, w = base.shape[:2]
    factor = min(rng.uniform(1.4, 1.8 if min(h, w) < 600 else 3.2), min(h, w) / 160)
    side = int(rng.integers(224, 353) * factor)
    top, left = rng.integers(0, max(1, h - side + 1)), rng.integers(0, max(1, w - side + 1))
    window = base[top : top + side, left : left + side]
    rgb = clean_copy(window, int(min(window.shape[:2]) / factor))
    if rng.random() < 0.5:
        rgb = np.ascontiguousarray(rgb[:, ::-1])
    if rng.random() < 0.4:  # cameras sharpen
        soft = cv2.GaussianBlur(rgb, (0, 0), rng.uniform(0.6, 1.5))
        gain = rng.uniform(0.1, 0.9)
        rgb = cv2.addWeighted(rgb, 1 + gain, soft, -gain, 0)
    rgb = _look_alike(rgb, rng)
    target, weight = dict.fromkeys(TILE_SCORES, 0.0), dict.fromkeys(TILE_SCORES, 1.0)
    if rng.random() < 0.45:
        sigma = _log_uniform(rng, 0.3, 8.0) if rng.random() < 0.4 else rng.uniform(0.3, 7.0)
        rgb = d.blur(rgb, sigma, rng)
        target["blur"] = blur_score(sigma)
        weight["upscaled"] = float(sigma < 0.6)  # a blurred picture may as well have been enlarged
    elif rng.random() < 0.3:
        factor = rng.uniform(1.25, 5.0)
        rgb = d.upscale(rgb, factor, rng)
        target["upscaled"] = upscaled_score(factor)
        weight["blur"] = 0.0
    noisy = rng.random() < 0.45
    if noisy:
        sigma = _log_uniform(rng, 0.8, 55.0) if rng.random() < 0.6 else rng.uniform(1, 55)
        rgb = d.noise(rgb, sigma, rng)
        target["noise"] = noise_score(sigma)
    elif rng.random() < 0.03:
        rgb = d.impulse(rgb, rng.uniform(0.005, 0.05), rng)
        target["noise"], weight["blur"] = 0.7, 0.0
    if rng.random() < 0.12:
        levels = int(_log_uniform(rng, 3, 64))
        rgb = d.banding(rgb, levels)
        target["banding"] = banding_score(levels)
        weight["banding"] = 1.0 if not noisy else 0.0  # noise dithers
        weight["noise"] = float(noisy and levels > 24)
    way = rng.random()
    quality = 100
    if way < 0.5:
        quality = int(rng.integers(4, 91))
    elif way < 0.85:
        quality = int(rng.integers(88, 101))
    if way < 0.85:
        rgb = d.jpeg(rgb, quality, str(rng.choice(_SUBSAMPLINGS)))
        if rng.random() < 0.12:  # cropped after compression: the blocks have another phase
            y, x = rng.integers(0, 8, 2)
            rgb = np.ascontiguousarray(rgb[y:, x:])
        target["jpeg_artifacts"] = jpeg_score(quality)
        if quality < 20:  # what is left of faint noise and blur below that cannot be told
            weight["noise"] *= float(target["noise"] == 0 or target["noise"] > 0.4)
            weight["upscaled"] = weight["banding"] = 0.0
    return _sample(native_tiles(rgb), TILE_SCORES, target, weight, np.zeros((0, 0), np.float32))


def _look_alike(rgb: np.ndarray, rng: d.Rng) -> np.ndarray:
    draw = rng.random()
    if draw < 0.08:
        rgb = d.soft_light(rgb, rng)
    elif draw < 0.18:
        rgb = d.film_grain(rgb, rng)
    elif draw < 0.26:
        rgb = d.monochrome(rgb)
    elif draw < 0.36:
        rgb = d.shallow_focus(rgb, rng)
    elif draw < 0.42:
        rgb = d.expose(rgb, rng.uniform(-2, 1), rng)
    if rng.random() < 0.4:
        rgb = d.to_uint8(rgb + d.normal_field(rgb.shape, rng) * np.float32(rng.uniform(0, 1.5)))
    return rgb


def overview_pair(base: np.ndarray, fonts: Sequence[str], rng: d.Rng) -> tuple[Sample, Sample]:
    """A whole photograph with cast and exposure as chance has it, without and with a watermark.

    The two are alike in all else: what tells them apart is the mark. With unrelated pictures the network learns
    nothing of marks in the first thousand steps.
    """
    short = min(base.shape[:2])
    rgb = base
    if rng.random() < 0.5:  # another framing
        h, w = rgb.shape[:2]
        keep = rng.uniform(0.6, 1.0, 2)
        ch, cw = max(200, int(h * keep[0])), max(200, int(w * keep[1]))
        top, left = rng.integers(0, max(1, h - ch + 1)), rng.integers(0, max(1, w - cw + 1))
        rgb = rgb[top : top + ch, left : left + cw]
        short = min(rgb.shape[:2])
    rgb = clean_copy(rgb, min(short, int(rng.choice([336, 336, rng.integers(240, 640)]))))
    if rng.random() < 0.5:
        rgb = np.ascontiguousarray(rgb[:, ::-1])
    target, weight = dict.fromkeys(OVERVIEW_SCORES, 0.0), dict.fromkeys(OVERVIEW_SCORES, 1.0)
    draw = rng.random()
    grey = draw < 0.08
    if grey:
        rgb = d.monochrome(rgb)
    elif draw < 0.14:
        rgb = d.soft_light(rgb, rng)
    elif draw < 0.18:
        rgb = d.film_grain(rgb, rng)
    if rng.random() < 0.2:
        rgb = sign(rgb, fonts, rng)
    exposed = rng.random()
    if exposed < 0.24:
        stops = _log_uniform(rng, 0.3, 3.5)
        over = exposed < 0.12
        rgb = d.expose(rgb, stops if over else -stops, rng)
        target["overexposed" if over else "underexposed"] = exposure_score(stops)
    if not grey and rng.random() < 0.5:
        before = rgb
        rgb = d.cast(rgb, rng.uniform(0.03, 1.0), rng)
        target["cast"] = cast_score(d.mean_shift(before, rgb))
        weight["overexposed"] = weight["underexposed"] = float(target["cast"] < 0.4)
    marked = watermark(rgb, fonts, rng)
    seed = rng.integers(1 << 62)
    cells = OverviewNetwork.MASK_CELLS
    changed = np.abs(marked.astype(np.int16) - rgb).max(axis=2) > 6
    covered = cv2.resize(changed.astype(np.float32), (cells, cells), interpolation=cv2.INTER_AREA) > 0.04
    pair = []
    for k, pixels in enumerate((rgb, marked)):
        after = _finished(pixels, np.random.default_rng(seed))
        scores = target | {"watermark": float(k)}
        pair.append(_sample(overview(after), OVERVIEW_SCORES, scores, weight, k * covered.astype(np.float32)))
    return pair[0], pair[1]


def _finished(rgb: np.ndarray, rng: d.Rng) -> np.ndarray:
    """What comes after the mark: blur or noise, compression, the size of the small copy."""
    nuisance = rng.random()
    if nuisance < 0.12:
        rgb = d.blur(rgb, rng.uniform(0.4, 1.6), rng)
    elif nuisance < 0.24:
        rgb = d.noise(rgb, _log_uniform(rng, 1, 25), rng)
    if rng.random() < 0.5:
        rgb = d.jpeg(rgb, int(rng.integers(30, 100)), str(rng.choice(_SUBSAMPLINGS)))
    return clean_copy(rgb, 336) if min(rgb.shape[:2]) > 336 else rgb


def _sample(
    pixels: np.ndarray,
    names: tuple[str, ...],
    target: dict[str, float],
    weight: dict[str, float],
    mask: np.ndarray,
) -> Sample:
    return Sample(
        pixels,
        np.array([target[n] for n in names], np.float32),
        np.array([weight[n] for n in names], np.float32),
        mask,
    )
