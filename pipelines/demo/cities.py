"""Rendered built scenes: skylines by day and night, and rooms."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.random import Generator

from .canvas import Canvas, Color, fractal_noise, hsv, mix
from .landscapes import WEATHERS, Weather, mirror, paint_sky


def _tower(
    canvas: Canvas, rng: Generator, x0: float, x1: float, top: float, foot: float, wall: Color, lit: float
) -> None:
    """A building with a window grid. `lit` is the share of windows with light on (0: daylight glass)."""
    wall = np.asarray(wall)
    canvas.rectangle(x0, top, x1, foot, wall)
    side = x0 + (x1 - x0) * rng.uniform(0.65, 0.85)
    canvas.rectangle(side, top, x1, foot, wall * 0.72)
    style = int(rng.integers(0, 4))
    if style == 0:
        canvas.polygon(
            [(x0, top), ((x0 + x1) / 2, top - (x1 - x0) * rng.uniform(0.3, 0.8)), (x1, top)], wall * 0.85
        )
    elif style == 1:
        mid = (x0 + x1) / 2
        canvas.stroke([(mid, top), (mid, top - (x1 - x0) * 0.7)], 2, wall * 0.6)
    elif style == 2:
        canvas.rectangle(x0 + (x1 - x0) * 0.2, top - 12, x1 - (x1 - x0) * 0.2, top, wall * 0.9)
    step_x, step_y = rng.uniform(7, 13), rng.uniform(9, 15)
    pane_x, pane_y = step_x * rng.uniform(0.45, 0.75), step_y * rng.uniform(0.45, 0.7)
    glass = mix((0.45, 0.58, 0.70), wall, 0.3)
    lamp_hue = rng.uniform(0.08, 0.16)
    for wy in np.arange(top + 6, foot - pane_y, step_y):
        for wx in np.arange(x0 + 4, x1 - pane_x - 2, step_x):
            if lit > 0:
                on = rng.uniform() < lit
                paint = hsv(lamp_hue, rng.uniform(0.2, 0.6), rng.uniform(0.7, 1)) if on else wall * 0.6
            else:
                paint = glass * rng.uniform(0.7, 1.25) * (0.75 if wx > side else 1)
            left, right = max(int(wx), 0), max(int(wx + pane_x), 0)
            canvas.rgb[max(int(wy), 0) : max(int(wy + pane_y), 0), left:right] = paint


def skyline(canvas: Canvas, rng: Generator, weather: Weather | None) -> tuple[str, str]:
    """A city behind water; `weather` None is night."""
    shore = int(canvas.height * rng.uniform(0.66, 0.82))
    if weather is None:
        hue = rng.uniform(0.58, 0.86)
        canvas.gradient([hsv(hue, 0.7, 0.08), hsv(hue, 0.6, 0.2), hsv(hue + 0.08, 0.5, 0.42)], 0, shore)
        clouds = np.clip(fractal_noise(rng, canvas.height, canvas.width, 2, 0.55) * 0.25, 0, 0.5)
        canvas.blend(clouds, hsv(hue + 0.1, 0.4, 0.45))
        haze, lit = hsv(hue, 0.5, 0.25), 0.45
    else:
        paint_sky(canvas, rng, weather, shore, rng.uniform(0.2, 0.65))
        haze, lit = weather.haze, 0.0
    base_hue = rng.uniform()
    for layer in range(3):
        t = (layer + 1) / 3
        x = -rng.uniform(0, 40)
        while x < canvas.width:
            width = rng.uniform(26, 80)
            height = canvas.height * rng.gamma(4, 0.045) * (1.35 - 0.3 * t) + 30
            value = rng.uniform(0.09, 0.2) if weather is None else rng.uniform(0.45, 0.85)
            wall = mix(
                haze, hsv(base_hue + rng.normal(0, 0.08), rng.uniform(0.08, 0.4), value), 0.25 + 0.7 * t
            )
            _tower(canvas, rng, x, x + width, shore - min(height, shore * 0.9), shore, wall, lit * t)
            x += width + rng.uniform(-6, 14)
        canvas.rgb[:shore] += (np.asarray(haze, np.float32) - canvas.rgb[:shore]) * (0.10 * (1 - t))
    tint = hsv(rng.uniform(0.5, 0.65), 0.5, 0.12 if weather is None else 0.45)
    mirror(canvas, rng, shore, tint, rng.uniform(0.6, 1.6))
    canvas.rgb[shore - 2 : shore + 1] *= 0.55
    if weather is None:
        return (
            "City skyline at night with lit windows reflected in the water",
            "夜晚的城市天际线，灯光倒映在水中",
        )
    return f"City skyline by the river {weather.name_en}", f"{weather.name_zh}的城市天际线与河流"


def _wallpaper(rng: Generator, h: int, w: int, color: Color) -> np.ndarray:
    """Patterned wall, float32 (h, w, 3)."""
    y, x = np.mgrid[0:h, 0:w].astype(np.float32)
    pitch = rng.uniform(22, 46)
    kind = int(rng.integers(0, 4))
    if kind == 0:
        pattern = np.sin(x * 2 * np.pi / pitch) > rng.uniform(-0.3, 0.6)
    elif kind == 1:
        pattern = (
            np.hypot((x + (y // pitch % 2) * pitch / 2) % pitch - pitch / 2, y % pitch - pitch / 2)
            < pitch * 0.22
        )
    elif kind == 2:
        pattern = (np.abs((x + y) % pitch - pitch / 2) < 2) | (np.abs((x - y) % pitch - pitch / 2) < 2)
    else:
        pattern = np.sin(x / pitch * 4 + np.sin(y / pitch * 3) * 1.5) > 0.75
    soft = cv2.GaussianBlur(pattern.astype(np.float32), (0, 0), 0.8)[..., None]
    base = np.asarray(color, np.float32)
    return mix(base, base * rng.uniform(0.6, 0.85), soft).astype(np.float32)


def _planks(rng: Generator, h: int, w: int, color: Color) -> np.ndarray:
    """Wooden floor seen from above, float32 (h, w, 3)."""
    grain = cv2.resize(fractal_noise(rng, h, max(w // 8, 8), 20, 0.7), (w, h))
    tone = np.ones((h, w), np.float32)
    board = 34
    for x in range(0, w, board):
        tone[:, x : x + board] *= rng.uniform(0.8, 1.12)
        tone[:, x : x + 2] *= 0.55
        offset = int(rng.integers(0, h))
        tone[offset : offset + 2, x : x + board] *= 0.6
    return np.asarray(color, np.float32) * (tone + 0.05 * cv2.rotate(cv2.resize(grain, (h, w)), 0))[..., None]


def _warp(canvas: Canvas, texture: np.ndarray, corners: list[tuple[float, float]]) -> None:
    h, w = texture.shape[:2]
    matrix = cv2.getPerspectiveTransform(
        np.array([(0, 0), (w, 0), (w, h), (0, h)], np.float32), np.array(corners, np.float32)
    )
    size = (canvas.width, canvas.height)
    paint = cv2.warpPerspective(texture, matrix, size, flags=cv2.INTER_AREA, borderMode=cv2.BORDER_REPLICATE)
    canvas.polygon(corners, paint)


def _window(canvas: Canvas, rng: Generator, x0: float, y0: float, x1: float, y1: float) -> None:
    weather = WEATHERS[int(rng.integers(0, len(WEATHERS)))]
    view = Canvas(int(x1 - x0), int(y1 - y0))
    paint_sky(view, rng, weather, view.height, 0.5)
    canvas.rectangle(x0 - 7, y0 - 7, x1 + 7, y1 + 9, (0.93, 0.92, 0.88))
    canvas.rgb[int(y0) : int(y0) + view.height, int(x0) : int(x0) + view.width] = view.rgb
    cx, cy = (x0 + x1) / 2, (y0 + y1) / 2
    canvas.rectangle(cx - 2.5, y0, cx + 2.5, y1, (0.93, 0.92, 0.88))
    canvas.rectangle(x0, cy - 2.5, x1, cy + 2.5, (0.93, 0.92, 0.88))
    cloth = np.asarray(hsv(rng.uniform(), 0.45, 0.8))
    for side in (-1, 1):
        edge = x0 - 12 if side < 0 else x1 + 12
        for i in range(6):
            a = edge - side * i * (x1 - x0) * 0.045
            canvas.rectangle(a - 5, y0 - 16, a + 5, y1 + 26, cloth * (0.8 + 0.2 * (i % 2)), 0.96, 1.2)


def interior(canvas: Canvas, rng: Generator) -> tuple[str, str]:
    """A room seen from the front: wall, floor, window, sofa, lamp, picture, rug, plant."""
    w, h = canvas.width, canvas.height
    hue = rng.uniform()
    wall_y, inset = h * rng.uniform(0.58, 0.68), w * rng.uniform(0.08, 0.16)
    top = h * 0.06
    wall_color = hsv(hue, rng.uniform(0.12, 0.45), rng.uniform(0.65, 0.92))
    canvas.rgb[:] = (0.9, 0.89, 0.86)
    _warp(canvas, _planks(rng, 420, 560, hsv(rng.uniform(0.05, 0.1), 0.5, rng.uniform(0.45, 0.75))),
          [(inset, wall_y), (w - inset, wall_y), (w * 1.15, h), (-w * 0.15, h)])  # fmt: skip
    paper = _wallpaper(rng, int(wall_y - top), int(w - 2 * inset), wall_color)
    _warp(canvas, paper, [(inset, top), (w - inset, top), (w - inset, wall_y), (inset, wall_y)])
    for corners, tone in (
        ([(0, -8), (inset, top), (inset, wall_y), (-w * 0.15, h)], 0.72),
        ([(w - inset, top), (w, -8), (w * 1.15, h), (w - inset, wall_y)], 0.85),
    ):
        _warp(canvas, paper * np.float32(tone), corners)
    canvas.rectangle(inset, wall_y - 9, w - inset, wall_y, (0.95, 0.94, 0.92))
    on_left = bool(rng.uniform() < 0.5)
    wx = w * (0.22 if on_left else 0.58)
    _window(canvas, rng, wx, h * 0.14, wx + w * rng.uniform(0.17, 0.22), h * rng.uniform(0.40, 0.46))
    px = w * (0.62 if on_left else 0.22)
    canvas.rectangle(px - 5, h * 0.16 - 5, px + w * 0.16 + 5, h * 0.36 + 5, hsv(0.08, 0.6, 0.3))
    art = _wallpaper(rng, int(h * 0.20), int(w * 0.16), hsv(rng.uniform(), 0.7, 0.9))
    canvas.rgb[int(h * 0.16) : int(h * 0.16) + art.shape[0], int(px) : int(px) + art.shape[1]] = art
    rug = hsv(rng.uniform(), 0.55, 0.6)
    for scale, tone in ((1.0, 1.0), (0.82, 1.3), (0.66, 0.9)):
        center = (w * 0.5, wall_y + (h - wall_y) * 0.62)
        canvas.ellipse(
            center, (w * 0.34 * scale, h * 0.105 * scale), np.minimum(np.asarray(rug) * tone, 1), blur=0.7
        )
    _furniture(canvas, rng, wall_y)
    canvas.glow((wx + w * 0.1, h * 0.3), w * 0.28, (1, 0.95, 0.85), 0.25)
    if rng.uniform() < 0.5:
        canvas.rgb = np.ascontiguousarray(canvas.rgb[:, ::-1])
    return "A living room with a sofa, a lamp and a window", "客厅里有沙发、台灯和一扇窗户"


def _furniture(canvas: Canvas, rng: Generator, wall_y: float) -> None:
    w, h = canvas.width, canvas.height
    sofa = np.asarray(hsv(rng.uniform(), rng.uniform(0.3, 0.75), rng.uniform(0.4, 0.85)))
    x0, x1, foot = w * rng.uniform(0.26, 0.36), w * rng.uniform(0.64, 0.74), wall_y + h * 0.13
    canvas.ellipse(
        ((x0 + x1) / 2, foot + 4), ((x1 - x0) * 0.55, h * 0.035), (0.05, 0.03, 0.02), alpha=0.55, blur=6
    )
    canvas.rectangle(x0, foot - h * 0.30, x1, foot - h * 0.08, sofa * 0.85, blur=2.5)
    seats = int(rng.integers(2, 4))
    for i in range(seats):
        a, b = x0 + (x1 - x0) * i / seats, x0 + (x1 - x0) * (i + 1) / seats
        canvas.rectangle(a + 3, foot - h * 0.28, b - 3, foot - h * 0.13, sofa * 0.97, blur=3)
        canvas.rectangle(a + 2, foot - h * 0.14, b - 2, foot - h * 0.06, np.minimum(sofa * 1.12, 1), blur=2)
        cushion = hsv(rng.uniform(), 0.6, 0.85)
        canvas.ellipse(
            ((a + b) / 2, foot - h * 0.18), (w * 0.035, h * 0.05), cushion, rng.uniform(-0.4, 0.4), blur=1.2
        )
    canvas.rectangle(x0, foot - h * 0.08, x1, foot, sofa * 0.7, blur=1)
    for a in (x0 - w * 0.03, x1 - w * 0.015):
        canvas.rectangle(a, foot - h * 0.2, a + w * 0.045, foot, sofa * 0.8, blur=1.8)
    lx = x1 + w * 0.09
    shade = hsv(rng.uniform(0.05, 0.15), rng.uniform(0.1, 0.5), 0.97)
    canvas.stroke([(lx, foot), (lx, foot - h * 0.40)], 4, (0.2, 0.18, 0.16))
    canvas.ellipse((lx, foot), (w * 0.035, h * 0.014), (0.2, 0.18, 0.16))
    canvas.polygon([(lx - w * 0.03, foot - h * 0.50), (lx + w * 0.03, foot - h * 0.50),
                    (lx + w * 0.055, foot - h * 0.38), (lx - w * 0.055, foot - h * 0.38)], shade)  # fmt: skip
    canvas.glow((lx, foot - h * 0.42), w * 0.07, (1, 0.88, 0.6), 0.5)
    tx = x0 - w * 0.12
    pot = hsv(rng.uniform(0.02, 0.1), 0.6, 0.6)
    for _ in range(16):
        angle, length = rng.uniform(-2.7, -0.45), h * rng.uniform(0.12, 0.24)
        tip = np.array([np.cos(angle), np.sin(angle)]) * length
        base = np.array([tx, foot - h * 0.11])
        side = np.array([-tip[1], tip[0]]) * 0.13
        leaf = hsv(rng.uniform(0.27, 0.38), 0.6, rng.uniform(0.3, 0.6))
        canvas.polygon([base, base + tip * 0.5 + side, base + tip, base + tip * 0.5 - side], leaf)
    canvas.polygon([(tx - w * 0.035, foot - h * 0.12), (tx + w * 0.035, foot - h * 0.12), (tx + w * 0.025, foot),
                    (tx - w * 0.025, foot)], pot)  # fmt: skip
