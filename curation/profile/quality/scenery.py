"""Things of a scene that look like watermarks and are none: lettering, drawings, wires, patterns, borders.

What a watermark is not: these are opaque, lie in perspective, take part in the light of the scene, or have soft
edges. Every function takes and returns uint8 RGB [h, w, 3] and draws what is left open from `rng`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import cv2
import numpy as np

from .distortions import Rng, normal_field, to_uint8
from .watermarks import emblem, lettering


def decorate(rgb: np.ndarray, other: np.ndarray, fonts: Sequence[str], rng: Rng) -> np.ndarray:
    """One or two such things put into a scene.

    Args:
        other: another picture, uint8 [any, any, 3], for posters and reflections.
    """
    for _ in range(rng.integers(1, 3)):
        kind = rng.integers(9)
        if kind <= 1:
            rgb = sign(rgb, fonts, rng)
        elif kind == 2:
            rgb = painted(rgb, fonts, rng)
        elif kind == 3:
            rgb = poster(rgb, other, fonts, rng)
        elif kind == 4:
            rgb = shapes(rgb, rng)
        elif kind == 5:
            rgb = wires(rgb, rng)
        elif kind == 6:
            rgb = pattern(rgb, rng)
        elif kind == 7:
            rgb = border(rgb, rng)
        else:
            rgb = lights(rgb, other, rng)
    return rgb


def _color(rng: Rng) -> np.ndarray:
    """A color, as often grey as not."""
    return rng.integers(0, 256, 3) if rng.random() < 0.5 else np.full(3, rng.integers(0, 256))


def _in_perspective(face: np.ndarray, cover: np.ndarray, rgb: np.ndarray, rng: Rng) -> np.ndarray:
    """A flat thing stood somewhere in the scene, lit by it.

    Args:
        face: uint8 [fh, fw, 3]; its colors.
        cover: uint8 [fh, fw]; 255 where it is.
    """
    h, w = rgb.shape[:2]
    fh, fw = cover.shape
    bend = rng.uniform(-0.25, 0.25, (4, 2)) * min(fh, fw) + rng.uniform(-0.08, 0.08, (4, 2)) * [fw, fh]
    angle = rng.normal(0, 0.25)
    turn = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    corners = np.float32([[0, 0], [fw, 0], [fw, fh], [0, fh]])
    center = np.array([rng.uniform(0.1, 0.9) * w, rng.uniform(0.1, 0.9) * h])
    placed = (corners + bend - [fw / 2, fh / 2]) @ turn.T + center
    warp = cv2.getPerspectiveTransform(corners, np.float32(placed))
    mode = cv2.INTER_AREA if rng.random() < 0.5 else cv2.INTER_LINEAR
    color = cv2.warpPerspective(face, warp, (w, h), flags=mode, borderMode=cv2.BORDER_REPLICATE)
    share = cv2.warpPerspective(cover, warp, (w, h), flags=mode).astype(np.float32) / 255
    if rng.random() < 0.5:
        sigma = rng.uniform(0.4, 1.8)
        color, share = cv2.GaussianBlur(color, (0, 0), sigma), cv2.GaussianBlur(share, (0, 0), sigma)
    lit = color.astype(np.float32)
    if rng.random() < 0.6:
        light = cv2.GaussianBlur(cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY), (0, 0), rng.uniform(4, 15))
        lit *= (light.astype(np.float32) / max(20, light.mean()))[..., None] * np.float32(rng.uniform(0.6, 1))
    return to_uint8(rgb + (lit - rgb) * share[..., None])


def sign(rgb: np.ndarray, fonts: Sequence[str], rng: Rng) -> np.ndarray:
    """Opaque lettering on an opaque plate, in perspective."""
    text = lettering(int(rng.uniform(0.15, 0.6) * rgb.shape[1]), fonts, rng)
    pad = max(2, text.shape[0] // 3)
    text = cv2.copyMakeBorder(text, pad, pad, pad, pad, cv2.BORDER_CONSTANT, value=0)
    plate, ink = _color(rng), _color(rng)
    if abs(int(plate.mean()) - int(ink.mean())) < 80:
        ink = 255 * (plate.mean() < 128) * np.ones(3)
    face = to_uint8(plate + (ink - plate) * (text[..., None] / 255))
    return _in_perspective(face, np.full(text.shape, 255, np.uint8), rgb, rng)


def painted(rgb: np.ndarray, fonts: Sequence[str], rng: Rng) -> np.ndarray:
    """Letters or emblems painted opaquely on what the scene shows."""
    side = rng.uniform(0.12, 0.6) * rgb.shape[1]
    ink = lettering(int(side), fonts, rng) if rng.random() < 0.7 else emblem(int(side * 0.5), rng)
    ink = cv2.copyMakeBorder(ink, 2, 2, 2, 2, cv2.BORDER_CONSTANT, value=0)
    face = np.broadcast_to(_color(rng).astype(np.uint8), (*ink.shape, 3))
    return _in_perspective(np.ascontiguousarray(face), ink, rgb, rng)


def poster(rgb: np.ndarray, other: np.ndarray, fonts: Sequence[str], rng: Rng) -> np.ndarray:
    """Another picture as a poster or screen, lettering on it."""
    scale = rng.uniform(0.2, 0.7) * rgb.shape[1] / other.shape[1]
    size = (max(16, int(other.shape[1] * scale)), max(16, int(other.shape[0] * scale)))
    face = cv2.resize(other, size, interpolation=cv2.INTER_AREA)
    text = lettering(int(size[0] * rng.uniform(0.4, 0.9)), fonts, rng)[: size[1] - 2, : size[0] - 2]
    top, left = rng.integers(0, size[1] - text.shape[0]), rng.integers(0, size[0] - text.shape[1])
    part = face[top : top + text.shape[0], left : left + text.shape[1]]
    part[:] = to_uint8(part + (_color(rng) - part.astype(np.float32)) * (text[..., None] / 255))
    return _in_perspective(face, np.full(face.shape[:2], 255, np.uint8), rgb, rng)


def shapes(rgb: np.ndarray, rng: Rng) -> np.ndarray:
    """Flat drawn shapes, as in illustrations."""
    h, w = rgb.shape[:2]
    out = rgb.copy()
    for _ in range(rng.integers(1, 8)):
        color = tuple(int(c) for c in _color(rng))
        center = (int(rng.uniform(0, w)), int(rng.uniform(0, h)))
        size = rng.uniform(0.02, 0.25) * min(h, w)
        width = -1 if rng.random() < 0.5 else int(rng.integers(1, 7))
        if rng.random() < 0.5:
            axes = (int(1 + size), int(1 + size * rng.uniform(0.2, 1)))
            start, end = (0, 360) if rng.random() < 0.6 else rng.uniform(0, 360, 2)
            cv2.ellipse(
                out, center, axes, rng.uniform(0, 180), float(start), float(end), color, width, cv2.LINE_AA
            )
        else:
            points = np.int32(center + rng.normal(0, size, (rng.integers(3, 7), 2)))
            if width < 0:
                cv2.fillPoly(out, [points], color, cv2.LINE_AA)
            else:
                cv2.polylines(out, [points], bool(rng.random() < 0.5), color, width, cv2.LINE_AA)
    return out


def wires(rgb: np.ndarray, rng: Rng) -> np.ndarray:
    """Thin dark or light lines: wires, stems, fences, window bars, opaque."""
    h, w = rgb.shape[:2]
    out = rgb.copy()
    color, width = tuple(int(c) for c in _color(rng)), int(rng.integers(1, 4))
    if rng.random() < 0.4:  # two families of parallels that meet far away
        for vertical in (0, 1)[: rng.integers(1, 3)]:
            gap, slope = rng.uniform(0.03, 0.2), rng.normal(0, 0.3)
            for k in np.arange(-1, 2, gap):
                a, b = k, k * rng.uniform(0.97, 1.03) + slope
                ends = ((a * w, 0), (b * w, h)) if vertical else ((0, a * h), (w, b * h))
                start, end = ((int(x), int(y)) for x, y in ends)
                cv2.line(out, start, end, color, width, cv2.LINE_AA)
    else:
        x = np.linspace(-0.1, 1.1, 24)
        for _ in range(rng.integers(1, 12)):
            y = rng.uniform(0, 1) + rng.normal(0, 0.3) * x + rng.normal(0, 0.3) * (x - rng.uniform(0, 1)) ** 2
            points = np.stack([x * w, y * h], axis=1)
            points = points if rng.random() < 0.6 else points[:, ::-1] * [w / h, h / w]
            cv2.polylines(out, [np.int32(points)], False, color, width, cv2.LINE_AA)
    if rng.random() < 0.5:
        out = cv2.addWeighted(out, 0.5, cv2.GaussianBlur(out, (0, 0), rng.uniform(0.5, 1.5)), 0.5, 0)
    return out


def pattern(rgb: np.ndarray, rng: Rng) -> np.ndarray:
    """A printed or woven repeat over part of the scene, in perspective, with its own light and shade."""
    cell = int(rng.integers(5, 48))
    motif = np.broadcast_to(_color(rng), (cell, cell, 3)).astype(np.uint8)
    motif = shapes(np.ascontiguousarray(motif), rng) if cell > 8 else motif.copy()
    kind = rng.integers(3)
    if kind == 0:
        motif[: max(1, cell // rng.integers(2, 6))] = _color(rng)
    elif kind == 1:
        motif[:, : max(1, cell // rng.integers(2, 6))] = _color(rng)
    else:
        ink = emblem(max(8, cell), rng)[:cell, :cell, None] / np.float32(255)
        motif = to_uint8(motif + (_color(rng) - motif.astype(np.float32)) * ink)
    h, w = rgb.shape[:2]
    side = int(rng.uniform(0.3, 1.6) * min(h, w))
    face = np.tile(motif, (1 + side // cell, 1 + side // cell, 1))[:side, :side]
    cover = np.zeros((side, side), np.uint8)
    points = np.int32(side / 2 + rng.normal(0, 0.35 * side, (rng.integers(4, 9), 2)))
    cv2.fillPoly(cover, [cv2.convexHull(points)], 255, cv2.LINE_AA)
    return _in_perspective(np.ascontiguousarray(face), cover, rgb, rng)


def border(rgb: np.ndarray, rng: Rng) -> np.ndarray:
    """A frame or bars of one color around the picture."""
    h, w = rgb.shape[:2]
    out = rgb.copy()
    color, y, x = _color(rng), int(rng.uniform(0.005, 0.15) * h), int(rng.uniform(0.005, 0.15) * w)
    kind = rng.integers(3)
    if kind != 1:
        out[:y] = out[h - y :] = color
    if kind != 2:
        out[:, :x] = out[:, w - x :] = color
    return out


def lights(rgb: np.ndarray, other: np.ndarray, rng: Rng) -> np.ndarray:
    """Soft transparent things: lights out of focus, a reflection in a pane."""
    h, w = rgb.shape[:2]
    x = rgb.astype(np.float32)
    if rng.random() < 0.4:
        pane = cv2.resize(other, (w, h), interpolation=cv2.INTER_AREA)
        pane = cv2.GaussianBlur(pane, (0, 0), rng.uniform(1.5, 8)).astype(np.float32)
        return to_uint8(x + (pane - x) * np.float32(rng.uniform(0.05, 0.3)))
    glow = np.zeros_like(rgb)
    for _ in range(rng.integers(1, 20)):
        radius = int(rng.uniform(0.01, 0.08) * min(h, w)) + 1
        center = (int(rng.uniform(0, w)), int(rng.uniform(0, h)))
        cv2.circle(glow, center, radius, tuple(int(c) for c in rng.integers(0, 160, 3)), -1, cv2.LINE_AA)
    glow = cv2.GaussianBlur(glow, (0, 0), rng.uniform(1.5, 5))
    return to_uint8(x + glow)


def made_up(h: int, w: int, rng: Rng) -> np.ndarray:
    """A scene of no camera: `leaves`, often out of focus, with grain."""
    out = leaves(h, w, rng)
    if rng.random() < 0.6:
        out = cv2.GaussianBlur(out, (0, 0), rng.uniform(0.4, 3))
    grain = cv2.resize(normal_field((h // 2, w // 2, 1), rng), (w, h), interpolation=cv2.INTER_LINEAR)
    return to_uint8(out + grain[..., None] * np.float32(rng.uniform(0, 12)))


def leaves(h: int, w: int, rng: Rng) -> np.ndarray:
    """Overlapping polygons of one color each, over a soft ground."""
    ground = normal_field((6, 6, 3), rng) * np.float32(rng.uniform(5, 60)) + rng.uniform(40, 220, 3)
    out = cv2.resize(to_uint8(ground), (w, h), interpolation=cv2.INTER_CUBIC)
    power = rng.uniform(1.5, 3.0)
    for _ in range(rng.integers(5, 150)):
        size = min(h, w) * 0.5 * rng.uniform(0.1, 1) ** power
        points = np.int32(rng.uniform(0, 1, 2) * [w, h] + rng.normal(0, size, (rng.integers(3, 8), 2)))
        color = tuple(int(c) for c in np.clip(_color(rng) * 0.5 + 0.5 * out[h // 2, w // 2], 0, 255))
        cv2.fillPoly(out, [cv2.convexHull(points)], color, cv2.LINE_AA)
    return out
