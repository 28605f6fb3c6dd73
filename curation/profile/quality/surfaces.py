"""Clean pictures of which blur is easily believed, drawn for training: stripes, which look like the streaks of motion,
clouds, which have no edges, and leaves.

Every public function gives uint8 RGB [h, w, 3] and draws what is left open from `rng`.
"""

from __future__ import annotations

import cv2
import numpy as np

from .distortions import Rng, normal_field, to_uint8
from .scenery import leaves


def surface(h: int, w: int, rng: Rng) -> np.ndarray:
    """Stripes, clouds or leaves, as chance has it."""
    kind = rng.choice(3, p=[0.44, 0.28, 0.28])
    if kind == 0:
        return stripes(h, w, rng)
    return clouds(h, w, rng) if kind == 1 else leaves(h, w, rng)


def stripes(h: int, w: int, rng: Rng) -> np.ndarray:
    """Ridges, slats, furrows: sharp lines side by side, straight or winding, under uneven light."""
    fine = 2  # drawn twice as large, so that edges are as sharp as pixels allow and no sharper
    y, x = np.mgrid[0 : fine * h, 0 : fine * w].astype(np.float32) / fine
    angle, period = rng.uniform(0, np.pi), float(np.exp(rng.uniform(np.log(4), np.log(60))))
    phase = (x * np.float32(np.cos(angle)) + y * np.float32(np.sin(angle))) / np.float32(period)
    phase += _smooth(fine * h, fine * w, int(rng.integers(2, 5)), rng) * np.float32(rng.uniform(0, 3))
    at = phase % 1
    kind = rng.integers(3)
    if kind == 0:  # a thin bright line, dark slopes
        wave = np.exp(-np.abs(at - 0.5) * np.float32(rng.uniform(4, 40)))
    elif kind == 1:  # slats: light on one side, an edge to the next
        wave = at ** np.float32(rng.uniform(0.5, 3))
    else:  # two tones
        wave = (at < rng.uniform(0.15, 0.85)).astype(np.float32)
    low, high = rng.uniform(0, 110, 3), rng.uniform(100, 255, 3)
    if rng.random() < 0.5:
        low, high = np.full(3, low.mean()), np.full(3, high.mean())
    if rng.random() < 0.3:
        low, high = high, low
    light = 1 + np.float32(rng.uniform(0, 0.4)) * _smooth(fine * h, fine * w, 3, rng)
    out = (low + (high - low) * wave[..., None]).astype(np.float32) * light[..., None]
    return to_uint8(cv2.resize(out, (w, h), interpolation=cv2.INTER_AREA) + _grain(h, w, rng))


def clouds(h: int, w: int, rng: Rng) -> np.ndarray:
    """Noise whose amplitude falls with frequency, between two colors, as clouds, fog and smoke are."""
    steep = rng.uniform(1.2, 1.9)  # of amplitude; 4/3 in turbulence
    side = 1 << (max(h, w) - 1).bit_length()
    frequency = np.hypot(np.fft.fftfreq(side)[:, None], np.fft.rfftfreq(side)[None])
    frequency[0, 0] = np.inf
    spectrum = np.fft.rfft2(normal_field((side, side), rng)) / frequency**steep
    field = np.fft.irfft2(spectrum, s=(side, side))[:h, :w]
    field = np.clip((field - field.mean()) / (2.2 * field.std()), -1, 1)
    base, toward = rng.uniform(0, 255, 3), rng.uniform(0, 255, 3)
    if rng.random() < 0.4:
        base, toward = np.full(3, base.mean()), np.full(3, toward.mean())
    out = base + (toward - base) * (0.5 + 0.5 * field[..., None])
    return to_uint8(out + _grain(h, w, rng))


def _smooth(h: int, w: int, knots: int, rng: Rng) -> np.ndarray:
    """A field of soft hills, about standard normal: float32 [h, w]."""
    return cv2.resize(normal_field((knots, knots), rng), (w, h), interpolation=cv2.INTER_CUBIC)


def _grain(h: int, w: int, rng: Rng) -> np.ndarray:
    """A little grain, or none: float32 [h, w, 1]."""
    strength = rng.uniform(0, 1.5) if rng.random() < 0.7 else 0.0
    return normal_field((h, w, 1), rng) * np.float32(strength)
