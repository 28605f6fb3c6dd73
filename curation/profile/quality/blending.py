"""How a watermark is laid over a picture: color, opacity, edges."""

from __future__ import annotations

import cv2
import numpy as np

from .distortions import Rng, to_uint8

#: Levels by which a mark changes the pixels under it on average, at least: what a person sees without searching.
VISIBLE = 20.0


def blend(rgb: np.ndarray, mask: np.ndarray, rng: Rng, visible: float = VISIBLE) -> np.ndarray:
    """A mark of random color and opacity laid over a picture; mostly half transparent.

    Args:
        rgb: uint8 [h, w, 3].
        mask: uint8 [h, w, 2], strokes and ground, see `watermarks.watermark_mask`.
        visible: levels by which the strokes change the pixels under them on average, at least.

    Returns:
        the picture with the mark; a faint one is made stronger until it is visible (white on white cannot be and
        comes back as black).
    """
    drawn = mask.max(axis=2)
    rows, columns = np.nonzero(drawn.any(axis=1))[0], np.nonzero(drawn.any(axis=0))[0]
    if not len(rows):
        return rgb
    box = np.s_[max(0, rows[0] - 2) : rows[-1] + 3, max(0, columns[0] - 2) : columns[-1] + 3]
    x = np.ascontiguousarray(rgb[box])
    cover, ground = (mask[box][..., k].astype(np.float32) / 255 for k in (0, 1))
    out = rgb.copy()
    if mask[..., 1].any():
        x = _toward(x, _ink(rng), _opacity(rng) * ground)
    out[box] = _embossed(x, cover, rng, visible) if rng.random() < 0.06 else _inked(x, cover, rng, visible)
    return out


def _ink(rng: Rng) -> np.ndarray:
    """Levels of a color, often white."""
    draw = rng.random()
    if draw < 0.5:
        return np.full(3, 255.0)
    if draw < 0.65:
        return np.full(3, np.rint(rng.uniform(0, 60)))
    if draw < 0.78:
        return np.full(3, np.rint(rng.uniform(120, 220)))
    return np.rint(rng.uniform(0, 255, 3))


def _opacity(rng: Rng) -> float:
    return 1.0 if rng.random() < 0.12 else float(rng.uniform(0.2, 0.85))


def _inked(x: np.ndarray, cover: np.ndarray, rng: Rng, visible: float) -> np.ndarray:
    color, alpha, edge = _ink(rng), _opacity(rng), rng.random()
    if edge < 0.2:  # a dark edge beside the letters
        x = _toward(x, np.zeros(3), 0.5 * alpha * np.roll(cover, (1, 1), axis=(0, 1)) * (1 - cover))
    elif edge < 0.3:  # an outline of the opposite tone
        grown = cv2.dilate(cover, np.ones((3, 3), np.uint8))
        x = _toward(x, 255 - color, 0.6 * alpha * (grown - cover))
    weight = float(cover.sum()) * 3 + 1e-6
    difference = cv2.absdiff(x, np.full_like(x, color))
    seen = float((cv2.transform(difference, np.ones((1, 3), np.float32)) * cover).sum()) / weight
    for _ in range(4):
        if seen * alpha >= visible:
            break
        alpha = min(0.9, alpha * 2)
        if alpha >= 0.9:
            color = np.full(3, 0.0 if x.mean() > 128 else 255.0)
            break
    return _toward(x, color, alpha * cover)


def _embossed(x: np.ndarray, cover: np.ndarray, rng: Rng, visible: float) -> np.ndarray:
    """As if pressed into the picture: light edges on one side, dark ones on the other, hardly any color."""
    step = int(rng.integers(1, 3))
    relief = np.roll(cover, (step, step), axis=(0, 1)) - np.roll(cover, (-step, -step), axis=(0, 1))
    height = max(1.5 * visible, rng.uniform(30, 90)) * rng.choice([-1, 1])
    return to_uint8(x + (np.float32(height) * relief + np.float32(rng.uniform(-15, 15)) * cover)[..., None])


def _toward(rgb: np.ndarray, color: np.ndarray, share: np.ndarray) -> np.ndarray:
    """A color mixed in, by its share at each pixel: float32 [h, w]."""
    flat = np.empty_like(rgb)
    flat[:] = np.rint(color)
    return cv2.blendLinear(rgb, flat, 1 - share, share)
