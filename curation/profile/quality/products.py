"""One to three things alone on a plain ground, as shops show them: a shape by itself is not a logo."""

from __future__ import annotations

import cv2
import numpy as np

from .distortions import Rng, to_uint8


def on_plain_ground(h: int, w: int, photo: np.ndarray, rng: Rng) -> np.ndarray:
    """Things with the texture of a photograph, or of one color in soft light, with their shadows.

    Args:
        photo: uint8 [any, any, 3].

    Returns:
        uint8 [h, w, 3].
    """
    out = _ground(h, w, rng)
    for _ in range(rng.choice([1, 1, 2, 3])):
        cover = _thing(h, w, rng)
        rows, columns = np.nonzero(cover.any(axis=1))[0], np.nonzero(cover.any(axis=0))[0]
        if not len(rows):
            continue
        if rng.random() < 0.7:
            out *= 1 - _shadow(cover, rng)[..., None]
        box = np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
        face = _face(*cover[box].shape, photo, rng)
        out[box] += (face - out[box]) * (cover[box].astype(np.float32) / 255)[..., None]
    return to_uint8(out)


def _ground(h: int, w: int, rng: Rng) -> np.ndarray:
    """Near white more often than not, a little brighter on one side: float32 [h, w, 3]."""
    level = rng.uniform(225, 255) if rng.random() < 0.7 else rng.uniform(10, 255)
    tint = rng.normal(0, 3 if rng.random() < 0.7 else 30, 3)
    falls = np.linspace(0, rng.uniform(-25, 10), h, dtype=np.float32)[:, None, None]
    return np.clip(np.float32(level + tint) + falls + np.zeros((h, w, 3), np.float32), 0, 255)


def _thing(h: int, w: int, rng: Rng) -> np.ndarray:
    """A round, boxy or irregular outline: uint8 [h, w], 255 inside."""
    cover = np.zeros((h, w), np.uint8)
    size = min(h, w) * rng.uniform(0.08, 0.4)
    center = np.array([w, h]) * rng.uniform(0.25, 0.75, 2)
    kind = rng.integers(3)
    if kind == 0:
        axes = size, size * rng.uniform(0.5, 1.0)
        box = (center.tolist(), (2 * axes[0], 2 * axes[1]), float(rng.uniform(0, 180)))
        cv2.ellipse(cover, box, 255, cv2.FILLED, cv2.LINE_AA)
    elif kind == 1:
        box = (center.tolist(), (2 * size, 2 * size * rng.uniform(0.3, 1)), float(rng.normal(0, 20)))
        cv2.fillPoly(cover, [np.int32(cv2.boxPoints(box))], 255, cv2.LINE_AA)
    else:
        angles = np.sort(rng.uniform(0, 2 * np.pi, rng.integers(6, 14)))
        reach = size * rng.uniform(0.4, 1.1, len(angles))
        points = center + reach[:, None] * np.stack([np.cos(angles), np.sin(angles)], axis=1)
        cv2.fillPoly(cover, [np.int32(points)], 255, cv2.LINE_AA)
    return cover


def _shadow(cover: np.ndarray, rng: Rng) -> np.ndarray:
    """How much light is missing beside the thing, soft: float32 [h, w], 0..1."""
    away = rng.uniform(-0.06, 0.06, 2) * cover.shape + [0.03 * cover.shape[0], 0]
    moved = cv2.warpAffine(cover, np.float32([[1, 0, away[1]], [0, 1, away[0]]]), cover.shape[::-1])
    soft = cv2.GaussianBlur(moved, (0, 0), rng.uniform(2, 12)).astype(np.float32) / 255
    return soft * np.float32(rng.uniform(0.1, 0.5))


def _face(h: int, w: int, photo: np.ndarray, rng: Rng) -> np.ndarray:
    """Part of a photograph, or one color that a light falls on: float32 [h, w, 3]."""
    if rng.random() < 0.4:
        ch, cw = (max(2, int(side * rng.uniform(0.2, 0.8))) for side in photo.shape[:2])
        top, left = rng.integers(0, photo.shape[0] - ch + 1), rng.integers(0, photo.shape[1] - cw + 1)
        part = photo[top : top + ch, left : left + cw]
        return cv2.resize(part, (w, h), interpolation=cv2.INTER_AREA).astype(np.float32)
    across, down = np.meshgrid(
        np.linspace(-1, 1, w, dtype=np.float32), np.linspace(-1, 1, h, dtype=np.float32)
    )
    x, y = rng.uniform(-0.7, 0.7, 2)
    light = 1.15 - np.hypot(across - np.float32(x), down - np.float32(y)) * np.float32(rng.uniform(0.1, 0.5))
    if rng.random() < 0.3:  # two sides that meet at an edge
        light *= np.where(across > x, np.float32(rng.uniform(0.5, 0.9)), np.float32(1))
    return np.clip(light[..., None] * rng.uniform(20, 235, 3).astype(np.float32), 0, 255)
