"""What scores stand for, and clean pictures distorted, with the scores that calls for."""

from __future__ import annotations

import math
from typing import NamedTuple

import cv2
import numpy as np

from . import distortions as d
from .cast_score import HALF_SCORED
from .clean_pictures import Clean
from .scores import TILE_SCORES

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


def cast_score(imbalance: float) -> float:
    """Of the imbalance of the channels: the log of the largest ratio of two channels of what was neutral grey.

    It does not depend on what the picture shows, as a mean shift of its colors would. 0.24, where the score is a half,
    is a factor of 1.27, and moves mid grey by about 12 in CIELAB a*b*.
    """
    return imbalance / (imbalance + HALF_SCORED)


def exposure_score(stops: float) -> float:
    """Of the stops too much or too little."""
    return stops / (stops + 1.5)


#: Levels that a pixel of a photograph changes by when it becomes black or white, root mean square, about.
_IMPULSE_LEVELS = 110.0


def _log_uniform(rng: d.Rng, low: float, high: float) -> float:
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))


#: Shares of pictures of less contrast, everywhere or in parts: faint edges are not flat for being blurred.
_TONED, _HAZY = 0.2, 0.06


class Distorted(NamedTuple):
    """Attributes:
    rgb: uint8 [h, w, 3].
    target: float32 [TILE_SCORES], scores in [0, 1].
    weight: float32 [TILE_SCORES], 0 where a score cannot be told from another distortion.
    """

    rgb: np.ndarray
    target: np.ndarray
    weight: np.ndarray


def distorted(clean: Clean, rng: d.Rng, strongest_px: float = 8.0) -> Distorted:
    """Blur, upscaling, noise, banding and JPEG as chance has it.

    Args:
        strongest_px: standard deviation of the widest point spread.
    """
    rgb = clean.rgb
    if rng.random() < 0.5:
        rgb = np.ascontiguousarray(rgb[:, ::-1])
    if rng.random() < 0.4:  # cameras sharpen
        soft = cv2.GaussianBlur(rgb, (0, 0), rng.uniform(0.6, 1.5))
        gain = rng.uniform(0.1, 0.9)
        rgb = cv2.addWeighted(rgb, 1 + gain, soft, -gain, 0)
    rgb = _look_alike(rgb, rng)
    target, weight = dict.fromkeys(TILE_SCORES, 0.0), dict.fromkeys(TILE_SCORES, 1.0)
    if rng.random() < 0.45:
        sigma = _log_uniform(rng, 0.3, strongest_px) if rng.random() < 0.4 else rng.uniform(0.3, 7.0)
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
    elif rng.random() < 0.05:
        share = _log_uniform(rng, 0.002, 0.2)
        rgb = d.impulse(rgb, share, rng)
        target["noise"], weight["blur"] = noise_score(_IMPULSE_LEVELS * math.sqrt(share)), 0.0
    if not clean.flat and rng.random() < 0.12:
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
    values, weights = (np.array([x[n] for n in TILE_SCORES], np.float32) for x in (target, weight))
    return Distorted(rgb, values, weights)


def _look_alike(rgb: np.ndarray, rng: d.Rng) -> np.ndarray:
    draw = rng.random()
    if draw < _TONED:
        rgb = d.toned(rgb, rng)
    elif draw < _TONED + _HAZY:
        rgb = d.hazy(rgb, rng)
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
