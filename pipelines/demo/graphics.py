"""Rendered close-ups and flat work: flowers, stained glass, balloons, fish, charts with labels."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.random import Generator
from PIL import Image, ImageDraw, ImageFont

from .canvas import Canvas, fractal_noise, hsv, mix
from .landscapes import WEATHERS, paint_sky


def flowers(canvas: Canvas, rng: Generator) -> tuple[str, str]:
    """Blossoms in front of blurred foliage."""
    green = rng.uniform(0.22, 0.42)
    field = fractal_noise(rng, canvas.height, canvas.width, 3, 0.45, 3)
    tone = np.clip(0.5 + 0.2 * field, 0, 1)[..., None]
    canvas.rgb[:] = mix(hsv(green, 0.7, 0.13), hsv(green - 0.06, 0.5, 0.62), tone)
    for _ in range(18):
        at = rng.uniform(0, 1, 2) * (canvas.width, canvas.height)
        r = canvas.height * rng.uniform(0.03, 0.11)
        canvas.ellipse(at, (r, r), hsv(green - 0.08, 0.3, 0.9), alpha=rng.uniform(0.05, 0.25), blur=3)
    hue, count = rng.uniform(), int(rng.integers(1, 6))
    for i in range(count):
        radius = canvas.height * rng.uniform(0.16, 0.26) / (1 + 0.12 * count) * 1.4
        cx = canvas.width * (i + rng.uniform(0.3, 0.7)) / count
        cy = canvas.height * rng.uniform(0.3, 0.62)
        bend = rng.normal(0, 30)
        stem = [(cx + bend * t * t, cy + (canvas.height * 1.05 - cy) * t) for t in np.linspace(0, 1, 9)]
        canvas.stroke(stem, radius * 0.09 + 1, hsv(green, 0.65, 0.34))
        for side in (-1, 1):
            b = stem[int(rng.integers(4, 7))]
            leaf = [b, (b[0] + side * radius * 0.5, b[1] - radius * 0.42), (b[0] + side * radius * 1.1, b[1] - radius * 0.4),
                    (b[0] + side * radius * 0.6, b[1] - radius * 0.05)]  # fmt: skip
            canvas.polygon(leaf, hsv(green, 0.6, rng.uniform(0.3, 0.5)), blur=0.6)
        _blossom(canvas, rng, cx, cy, radius, hue + rng.normal(0, 0.03))
    name = "A single flower" if count == 1 else f"{count} flowers"
    return f"{name} in front of green leaves", f"绿叶前的{count}朵花"


def _blossom(canvas: Canvas, rng: Generator, cx: float, cy: float, radius: float, hue: float) -> None:
    petals, rings = int(rng.integers(5, 15)), int(rng.integers(1, 5))
    width, tilt = rng.uniform(0.75, 1.25) * np.pi / petals, rng.uniform(0.7, 1.0)
    for ring in range(rings):
        r = radius * (1 - ring * 0.21)
        for p in range(petals):
            a = 2 * np.pi * (p + 0.5 * (ring % 2)) / petals + rng.normal(0, 0.05)
            t = np.linspace(-1, 1, 11)
            along = (
                np.concatenate([[0.1], 0.45 + 0.55 * np.cos(t * 1.4), [0.1]]) * r * rng.uniform(0.92, 1.05)
            )
            across = np.concatenate([[0], np.sin(t * 1.5) * width * r * 0.62, [0]])
            x = cx + np.cos(a) * along - np.sin(a) * across
            y = cy + (np.sin(a) * along + np.cos(a) * across) * tilt
            value = 0.62 + 0.1 * ring + 0.14 * np.cos(a + 2.2)
            canvas.polygon(np.stack([x, y], 1), hsv(hue, 0.85 - 0.12 * ring, value), blur=0.5)
            inner = np.stack([cx + (x - cx) * 0.62, cy + (y - cy) * 0.62], 1)
            canvas.polygon(inner, hsv(hue + 0.02, 0.6, value + 0.15), alpha=0.35, blur=2.5)
            tip = (cx + np.cos(a) * r * 0.85, cy + np.sin(a) * r * 0.85 * tilt)
            canvas.stroke([(cx, cy), tip], 1, hsv(hue, 0.9, value * 0.7), alpha=0.4)
    core = radius * rng.uniform(0.14, 0.26)
    canvas.ellipse((cx, cy), (core, core * tilt), hsv(rng.uniform(0.06, 0.15), 0.85, 0.75), blur=0.8)
    for _ in range(40):
        a, d = rng.uniform(0, 2 * np.pi), core * np.sqrt(rng.uniform())
        at = (cx + np.cos(a) * d, cy + np.sin(a) * d * tilt)
        canvas.ellipse(at, (1.6, 1.6), hsv(rng.uniform(0.05, 0.16), 0.9, rng.uniform(0.4, 1)))


def stained_glass(canvas: Canvas, rng: Generator) -> tuple[str, str]:
    """Voronoi panes with lead between them, light from behind."""
    h, w = canvas.height, canvas.width
    count = int(rng.integers(26, 110))
    seeds = rng.uniform(0, 1, (count, 2)) * (w, h)
    if rng.uniform() < 0.5:
        k = np.arange(count)
        spiral = np.sqrt(k / count) * max(w, h) * 0.68
        seeds = np.stack([w / 2 + np.cos(k * 2.39996) * spiral, h / 2 + np.sin(k * 2.39996) * spiral], 1)
    y, x = np.mgrid[0:h, 0:w].astype(np.float32)
    first = np.full((h, w), np.inf, np.float32)
    second, owner = first.copy(), np.zeros((h, w), int)
    for i, (sx, sy) in enumerate(seeds.astype(np.float32)):
        d = np.hypot(x - sx, y - sy)
        closer = d < first
        second = np.where(closer, first, np.minimum(second, d))
        owner[closer] = i
        first = np.where(closer, d, first)
    hue, spread = rng.uniform(), rng.uniform(0.06, 0.4)
    colors = np.array(
        [hsv(hue + rng.normal(0, spread), rng.uniform(0.5, 0.95), rng.uniform(0.45, 1)) for _ in seeds]
    )
    canvas.rgb[:] = colors[owner]
    canvas.shade(1 + 0.10 * fractal_noise(rng, h, w, 8, 0.65))
    canvas.glow((w * rng.uniform(0.3, 0.7), h * rng.uniform(0.3, 0.7)), w * 0.3, (1, 1, 0.9), 0.4)
    lead = np.clip(rng.uniform(2.5, 5) - (second - first), 0, 1).astype(np.float32)
    canvas.blend(cv2.GaussianBlur(lead, (0, 0), 0.7), (0.07, 0.07, 0.08))
    return "A stained glass window with colored panes", "彩色玻璃窗"


def balloons(canvas: Canvas, rng: Generator) -> tuple[str, str]:
    """Hot-air balloons in the sky."""
    weather = WEATHERS[int(rng.integers(0, len(WEATHERS)))]
    paint_sky(canvas, rng, weather, canvas.height * 1.05, rng.uniform(0.3, 0.75))
    count = int(rng.integers(2, 8))
    for i in range(count):
        r = canvas.height * rng.uniform(0.06, 0.10) * (0.7 + 1.2 * i / count)
        cx, cy = canvas.width * rng.uniform(0.1, 0.9), canvas.height * rng.uniform(0.15, 0.66)
        hue, gores = rng.uniform(), int(rng.choice([6, 8, 10]))
        t = np.linspace(-np.pi / 2, np.pi / 2, 15)
        shape = np.where(t > 0, np.cos(t) * 0.86 + 0.14 * np.cos(t) ** 3 * (1 - t / 2), np.cos(t))
        for g in range(gores):
            left, right = (-np.cos(np.pi * e / gores) for e in (g, g + 1))
            xs = np.concatenate([cx + left * shape * r, (cx + right * shape * r)[::-1]])
            ys = np.concatenate([cy + np.sin(t) * r * 1.15, (cy + np.sin(t) * r * 1.15)[::-1]])
            paint = np.asarray(hsv(hue, 0.75, 0.9) if g % 2 else hsv(hue + 0.45, 0.25, 0.97))
            canvas.polygon(
                np.stack([xs, ys], 1),
                paint * (0.62 + 0.38 * np.sin(np.pi * (g + 0.8) / (gores + 0.6))) * weather.light,
            )
        bottom = cy + r * 1.15
        for side in (-1, 1):
            canvas.stroke(
                [(cx + side * r * 0.10, bottom - 3), (cx + side * r * 0.11, bottom + r * 0.42)],
                1,
                (0.2, 0.15, 0.1),
            )
        canvas.rectangle(
            cx - r * 0.14, bottom + r * 0.4, cx + r * 0.14, bottom + r * 0.62, (0.45, 0.28, 0.14)
        )
    return (
        f"{count} hot-air balloons in the sky {weather.name_en}",
        f"{weather.name_zh}的天空中有{count}个热气球",
    )


def aquarium(canvas: Canvas, rng: Generator) -> tuple[str, str]:
    """Fish among plants, with light shafts."""
    h, w = canvas.height, canvas.width
    hue = rng.uniform(0.42, 0.64)
    canvas.gradient([hsv(hue, 0.45, 0.88), hsv(hue, 0.75, 0.5), hsv(hue + 0.04, 0.85, 0.2)])
    for _ in range(7):
        x, lean = rng.uniform(-0.1, 1.0) * w, rng.uniform(0.05, 0.35) * w
        canvas.polygon(
            [(x, 0), (x + 30, 0), (x + lean + 70, h), (x + lean, h)], (0.9, 1, 0.95), alpha=0.12, blur=8
        )
    for _ in range(int(rng.integers(8, 20))):
        x, top = rng.uniform(0, w), h * rng.uniform(0.4, 0.75)
        t = np.linspace(0, 1, 12)
        sway = np.sin(t * rng.uniform(3, 7) + rng.uniform(0, 6)) * 12 * t
        left = np.stack([x + sway - 8 * (1 - t) - 1, h - (h - top) * t], 1)
        plant = hsv(rng.uniform(0.24, 0.44), 0.7, rng.uniform(0.2, 0.5))
        canvas.polygon(
            np.concatenate([left, (left + np.stack([16 * (1 - t) + 2, 0 * t], 1))[::-1]]), plant, blur=0.6
        )
    count = int(rng.integers(3, 10))
    palette = rng.uniform(0, 1, 2)
    for _ in range(count):
        _fish(
            canvas,
            rng,
            w * rng.uniform(0.1, 0.9),
            h * rng.uniform(0.12, 0.75),
            h * rng.uniform(0.06, 0.16),
            palette,
        )
    for _ in range(30):
        r = rng.uniform(1.5, 5)
        at = (rng.uniform(0, w), rng.uniform(0, h))
        canvas.ellipse(at, (r, r), (1, 1, 1), alpha=0.3)
        canvas.ellipse((at[0] - r * 0.3, at[1] - r * 0.3), (r * 0.3, r * 0.3), (1, 1, 1), alpha=0.8)
    canvas.shade(1 + 0.035 * fractal_noise(rng, h, w, 5, 0.6))
    return f"{count} fish swimming between water plants", f"{count}条鱼在水草间游动"


def _fish(canvas: Canvas, rng: Generator, x: float, y: float, s: float, palette: np.ndarray) -> None:
    face = float(rng.choice([-1, 1]))
    body, stripe = hsv(float(rng.choice(palette)), 0.8, 0.92), hsv(float(palette.sum()), 0.2, 0.98)
    fin = np.asarray(body) * 0.75
    canvas.polygon([(x - face * s * 0.8, y), (x - face * s * 1.5, y - s * 0.5), (x - face * s * 1.3, y),
                    (x - face * s * 1.5, y + s * 0.5)], fin, blur=0.6)  # fmt: skip
    canvas.polygon([(x + face * s * 0.3, y - s * 0.4), (x - face * s * 0.3, y - s * 0.85), (x - face * s * 0.5, y - s * 0.3)],
                   fin, blur=0.6)  # fmt: skip
    t = np.linspace(0, 2 * np.pi, 40)
    outline = np.stack([x + face * np.cos(t) * s, y + np.sin(t) * s * (0.52 - 0.1 * np.cos(t * 2))], 1)
    canvas.polygon(outline, body)
    canvas.ellipse((x, y + s * 0.24), (s * 0.7, s * 0.2), mix(body, (1, 1, 1), 0.5), alpha=0.6, blur=2)
    for k in range(int(rng.integers(0, 4))):
        canvas.ellipse(
            (x + face * s * (0.35 - 0.35 * k), y), (s * 0.07, s * 0.42), stripe, alpha=0.9, blur=0.6
        )
    canvas.ellipse((x + face * s * 0.68, y - s * 0.1), (s * 0.1, s * 0.1), (1, 1, 1))
    canvas.ellipse((x + face * s * 0.70, y - s * 0.1), (s * 0.055, s * 0.055), (0.02, 0.02, 0.02))


_TOPICS = (
    ("Rainfall by month", "Millimeters", ("Jan", "Mar", "May", "Jul", "Sep", "Nov")),
    ("Visitors per gallery", "Thousands", ("East", "West", "North", "Tower", "Garden")),
    ("Harvest by crop", "Tons", ("Wheat", "Rice", "Barley", "Maize")),
    ("Library loans", "Books", ("Poetry", "History", "Travel", "Science", "Music")),
    ("Trains on time", "Percent", ("Mon", "Tue", "Wed", "Thu", "Fri")),
    ("Energy by source", "Gigawatts", ("Wind", "Solar", "Hydro", "Tidal")),
)


def chart(canvas: Canvas, rng: Generator, index: int, font_path: str) -> tuple[str, str, tuple[str, ...]]:
    """A bar or line chart with title and labels; also returns the strings on it."""
    title, unit, labels = _TOPICS[index % len(_TOPICS)]
    w, h = canvas.width, canvas.height
    dark = bool(rng.uniform() < 0.4)
    paper, ink = (
        ((0.11, 0.13, 0.18), (0.92, 0.93, 0.95)) if dark else ((0.98, 0.975, 0.96), (0.13, 0.14, 0.17))
    )
    canvas.rgb[:] = paper
    left, right, top, foot = w * 0.12, w * 0.95, h * 0.2, h * 0.86
    for i in range(6):
        y = foot - (foot - top) * i / 5
        canvas.rectangle(left, y - 0.6, right, y + 0.6, mix(paper, ink, 0.22))
    hue, values = rng.uniform(), rng.uniform(0.15, 1, (2, len(labels)))
    step = (right - left) / len(labels)
    centers = left + step * (np.arange(len(labels)) + 0.5)
    lines = bool(rng.uniform() < 0.4)
    for series in range(2):
        color = hsv(hue + 0.4 * series, 0.65, 0.85)
        heights = foot - values[series] * (foot - top)
        if lines:
            points = np.stack([centers, heights], 1)
            area = [*points, (centers[-1], foot), (centers[0], foot)]
            canvas.polygon(area, color, alpha=0.18)
            canvas.stroke(points, 3.5, color)
            for p in points:
                canvas.ellipse(p, (6, 6), color)
        else:
            for c, y in zip(centers, heights, strict=True):
                a = c - step * 0.34 + series * step * 0.34
                canvas.rectangle(a, y, a + step * 0.30, foot, color)
                canvas.rectangle(a, y, a + step * 0.08, foot, mix(color, (1, 1, 1), 0.25))
    picture = Image.fromarray((np.clip(canvas.rgb, 0, 1) * 255).astype(np.uint8))
    draw = ImageDraw.Draw(picture)
    fill = tuple(int(c * 255) for c in ink)
    draw.text((left, h * 0.05), title, fill, ImageFont.truetype(font_path, int(h * 0.065)))
    longest = max(len(label) for label in labels)
    small = ImageFont.truetype(font_path, max(int(min(h * 0.042, step / longest * 1.4)), 12))
    draw.text((left, h * 0.135), unit, fill, small)
    for c, label in zip(centers, labels, strict=True):
        draw.text((c, foot + h * 0.02), label, fill, small, anchor="ma")
    canvas.rgb = np.asarray(picture, np.float32) / 255
    return f"A chart titled {title}", f"图表：{title}", (title, unit, *labels)
