"""Rendered outdoor scenes: mountain lake, sea, desert, forest, village, night sky."""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from .canvas import Canvas, Color, Floats, fractal_noise, hsv, mix, ridge_line


class Weather(NamedTuple):
    """Colors of one time of day: zenith, horizon, light, and the haze that far things fade into."""

    name_en: str
    name_zh: str
    zenith: Color
    horizon: Color
    light: Color
    haze: Color


WEATHERS = (
    Weather("on a clear day", "晴天", (0.22, 0.47, 0.82), (0.74, 0.87, 0.96), (1, 0.98, 0.88), (0.70, 0.80, 0.90)),
    Weather("at sunset", "日落", (0.28, 0.24, 0.48), (0.99, 0.60, 0.32), (1, 0.72, 0.40), (0.88, 0.55, 0.42)),
    Weather("at dawn", "黎明", (0.42, 0.55, 0.78), (0.98, 0.80, 0.78), (1, 0.86, 0.80), (0.84, 0.76, 0.82)),
    Weather("under grey clouds", "阴天", (0.48, 0.53, 0.58), (0.80, 0.82, 0.83), (0.9, 0.9, 0.9), (0.72, 0.75, 0.78)),
    Weather("in golden light", "金色阳光下", (0.35, 0.58, 0.76), (0.98, 0.90, 0.66), (1, 0.90, 0.62),
            (0.90, 0.84, 0.68)),
    Weather("in the evening", "傍晚", (0.10, 0.13, 0.33), (0.72, 0.48, 0.62), (0.85, 0.65, 0.80),
            (0.46, 0.38, 0.56)),
)  # fmt: skip


def paint_sky(canvas: Canvas, rng: Generator, weather: Weather, horizon_px: float, cover: float) -> None:
    """Gradient, sun with glow, and clouds lit from the sun's side. `cover` 0..1 is how cloudy it is."""
    canvas.gradient(
        [weather.zenith, mix(weather.zenith, weather.horizon, 0.6), weather.horizon], 0, horizon_px
    )
    w = canvas.width
    sun = (w * rng.uniform(0.12, 0.88), horizon_px * rng.uniform(0.25, 0.85))
    canvas.glow(sun, w * 0.22, weather.light, 0.5)
    canvas.glow(sun, w * 0.06, weather.light, 0.8)
    canvas.ellipse(sun, (w * 0.025, w * 0.025), np.minimum(np.asarray(weather.light) * 1.05, 1), blur=1.0)
    # Clouds get flatter toward the horizon: sample the noise in stretched rows.
    field = fractal_noise(rng, canvas.height, w, coarsest=2.2, roughness=0.55)
    field = cv2.resize(
        field[: max(canvas.height // 2, 8)], (w, canvas.height), interpolation=cv2.INTER_LINEAR
    )
    lit = field - np.roll(field, 9, axis=0) * 0.6
    density = np.clip((field - (1.1 - 2.0 * cover)) * 0.9, 0, 1) ** 0.8
    fade = np.clip((horizon_px - np.arange(canvas.height)) / (horizon_px * 0.3), 0, 1)[:, None]
    bright = np.clip(0.55 + 0.35 * lit, 0, 1)[..., None]
    cloud = mix(np.asarray(weather.haze) * 0.82, np.minimum(np.asarray(weather.light) * 1.02, 1), bright)
    canvas.blend((density * fade * 0.9).astype(np.float32), cloud)


def ridge(
    canvas: Canvas, rng: Generator, base_px: float, height_px: float, color: Color, rough: float = 0.5
) -> Floats:
    """One mountain range, lit from one side. Returns its outline, y in px per column."""
    line = base_px - height_px * (0.55 + 0.45 * ridge_line(rng, canvas.width, rough, 2.5))
    rows = np.arange(canvas.height, dtype=np.float32)[:, None]
    mask = np.clip(rows - line[None] + 0.5, 0, 1).astype(np.float32)
    relief = fractal_noise(rng, canvas.height, canvas.width, coarsest=5, roughness=0.62)
    light = np.gradient(relief, axis=1) * 3.2
    paint = np.asarray(color, np.float32) * (1 + np.clip(light, -0.35, 0.35))[..., None]
    canvas.blend(mask, paint)
    return line


def mirror(canvas: Canvas, rng: Generator, shore_px: int, tint: Color, ripple: float) -> None:
    """Water from `shore_px` down: the picture above it upside down, with ripples and a tint."""
    h, w = canvas.height - shore_px, canvas.width
    depth = np.linspace(0, 1, h, dtype=np.float32)[:, None]
    waves = fractal_noise(rng, h, max(w // 6, 8), coarsest=7, roughness=0.7)
    waves = cv2.resize(waves, (w, h))
    shift = waves * ripple * (0.15 + depth)
    rows = np.clip(shore_px - 1 - np.arange(h, dtype=np.float32)[:, None] + shift * 12, 0, shore_px - 1)
    columns = np.arange(w, dtype=np.float32)[None] + shift * 4
    seen = cv2.remap(
        canvas.rgb,
        columns.astype(np.float32),
        rows.astype(np.float32),
        cv2.INTER_LINEAR,
        None,
        cv2.BORDER_REFLECT,
    )
    water = (
        mix(seen * 0.86, tint, (0.25 + 0.4 * depth)[..., None]) + (waves * 0.025 * (0.4 + depth))[..., None]
    )
    canvas.rgb[shore_px:] = water


def tree(
    canvas: Canvas, rng: Generator, x: float, y: float, size: float, color: Color, conifer: bool
) -> None:
    """A tree standing at (x, y), `size` px high."""
    base = np.asarray(color)
    canvas.polygon(
        [(x - size * 0.035, y), (x + size * 0.035, y), (x + size * 0.02, y - size * 0.5),
         (x - size * 0.02, y - size * 0.5)], base * (0.45, 0.35, 0.3) + 0.08,
    )  # fmt: skip
    if conifer:
        for i in range(5):
            top, half = y - size * (1 - i * 0.15), size * (0.10 + 0.055 * i)
            low = top + size * 0.30
            jag = rng.uniform(-0.03, 0.03, 2) * size
            canvas.polygon(
                [(x, top), (x + half, low + jag[0]), (x - half, low + jag[1])], base * (0.72 + 0.08 * i)
            )
            canvas.polygon(
                [(x, top), (x - half * 0.2, low), (x - half, low + jag[1])], base * 1.18, alpha=0.6
            )
        return
    for i in range(14):
        a, r = rng.uniform(0, 2 * np.pi), size * rng.uniform(0.02, 0.24)
        cx, cy = x + np.cos(a) * r, y - size * 0.68 + np.sin(a) * r
        radius = size * rng.uniform(0.09, 0.17)
        shade = 0.70 + 0.5 * np.clip((y - size * 0.5 - cy) / size, 0, 0.6) + 0.02 * i
        canvas.ellipse((cx, cy), (radius, radius * 0.85), np.minimum(base * shade, 1), rng.uniform(0, 3))


def meadow(canvas: Canvas, rng: Generator, top: Floats, color: Color) -> None:
    """Ground below the outline `top`, with tufts that grow toward the viewer."""
    h, w = canvas.height, canvas.width
    rows = np.arange(h, dtype=np.float32)[:, None]
    mask = np.clip(rows - top[None] + 0.5, 0, 1).astype(np.float32)
    near = np.clip((rows - float(top.min())) / max(h - float(top.min()), 1), 0, 1)
    coarse = fractal_noise(rng, h, w, coarsest=6, roughness=0.65)
    fine = cv2.resize(rng.standard_normal((h, max(w // 2, 2)), np.float32), (w, h))
    fine = cv2.GaussianBlur(fine, (0, 0), 0.8, sigmaY=2.2) * 2
    tone = 0.82 + 0.28 * near + 0.09 * coarse + 0.10 * fine * (0.3 + near)
    canvas.blend(mask, np.asarray(color, np.float32) * tone[..., None])


def _boat(canvas: Canvas, rng: Generator, x: float, y: float, size: float) -> None:
    hull, sail = hsv(rng.uniform(), 0.6, 0.45), hsv(rng.uniform(), rng.uniform(0.05, 0.7), 0.95)
    canvas.ellipse((x, y + size * 0.06), (size * 0.6, size * 0.05), (0.05, 0.08, 0.12), alpha=0.5, blur=2)
    hull_points = [(-0.5, -0.12), (0.55, -0.14), (0.36, 0.06), (-0.38, 0.06)]
    canvas.polygon([(x + a * size, y + b * size) for a, b in hull_points], hull)
    canvas.stroke([(x, y - size * 0.1), (x, y - size * 1.25)], max(size * 0.03, 1.2), (0.25, 0.18, 0.12))
    canvas.polygon([(x + 0.03 * size, y - 1.2 * size), (x + 0.5 * size, y - 0.2 * size),
                    (x + 0.03 * size, y - 0.2 * size)], sail)  # fmt: skip
    canvas.polygon([(x - 0.03 * size, y - 1.1 * size), (x - 0.38 * size, y - 0.2 * size),
                    (x - 0.03 * size, y - 0.2 * size)], np.asarray(sail) * 0.84)  # fmt: skip


def mountain_lake(canvas: Canvas, rng: Generator, weather: Weather) -> tuple[str, str]:
    shore = int(canvas.height * rng.uniform(0.52, 0.70))
    paint_sky(canvas, rng, weather, shore, rng.uniform(0.25, 0.6))
    rock = hsv(rng.uniform(0.5, 0.75), rng.uniform(0.1, 0.35), 0.45)
    count = int(rng.integers(2, 5))
    for i in range(count):
        t = (i + 1) / count
        color = mix(weather.haze, np.asarray(rock) * (1.1 - 0.5 * t) * weather.light, 0.3 + 0.65 * t)
        ridge(canvas, rng, shore, canvas.height * rng.uniform(0.24, 0.34) * (1.1 - 0.6 * t), color)
    green = hsv(rng.choice([0.28, 0.33, 0.09, 0.13]), 0.55, 0.38)
    for x in np.sort(rng.uniform(-0.02, 1.02, 34)):
        size = canvas.height * rng.uniform(0.06, 0.13)
        tree(canvas, rng, x * canvas.width, shore + 2, size, np.asarray(green) * rng.uniform(0.7, 1.1), True)
    mirror(canvas, rng, shore, mix(weather.zenith, (0.05, 0.12, 0.16), 0.5), rng.uniform(0.3, 1.0))
    return f"A mountain lake with fir trees {weather.name_en}", f"{weather.name_zh}的高山湖泊，岸边是冷杉"


def seascape(canvas: Canvas, rng: Generator, weather: Weather) -> tuple[str, str]:
    horizon = int(canvas.height * rng.uniform(0.40, 0.62))
    paint_sky(canvas, rng, weather, horizon, rng.uniform(0.3, 0.7))
    if rng.uniform() < 0.6:
        ridge(
            canvas,
            rng,
            horizon + 8,
            canvas.height * rng.uniform(0.04, 0.12),
            mix(weather.haze, (0.2, 0.3, 0.4), 0.4),
        )
    sea = hsv(rng.uniform(0.45, 0.60), rng.uniform(0.35, 0.75), rng.uniform(0.35, 0.6))
    mirror(canvas, rng, horizon, sea, rng.uniform(1.0, 2.2))
    count = int(rng.integers(1, 5))
    for i in range(count):
        y = horizon + canvas.height * (0.03 + 0.30 * (i + rng.uniform()) / count)
        size = 14 + (y - horizon) * rng.uniform(0.5, 0.8)
        _boat(canvas, rng, canvas.width * rng.uniform(0.1, 0.9), y, size)
    if rng.uniform() < 0.5:
        beach = canvas.height * 0.86 + ridge_line(rng, canvas.width, 0.35) * canvas.height * 0.025
        meadow(canvas, rng, beach.astype(np.float32) - 6, (0.95, 0.96, 0.95))
        meadow(canvas, rng, beach.astype(np.float32), np.asarray((0.86, 0.76, 0.58)) * weather.light)
    many = "sailing boats" if count > 1 else "a sailing boat"
    return f"The sea with {many} {weather.name_en}", f"{weather.name_zh}的海面上有{count}艘帆船"


def desert(canvas: Canvas, rng: Generator, weather: Weather) -> tuple[str, str]:
    horizon = canvas.height * rng.uniform(0.35, 0.55)
    paint_sky(canvas, rng, weather, horizon, rng.uniform(0.05, 0.3))
    sand = np.asarray(hsv(rng.uniform(0.05, 0.12), rng.uniform(0.35, 0.6), 0.9)) * weather.light
    rows = np.arange(canvas.height, dtype=np.float32)[:, None]
    for i in range(int(rng.integers(4, 7))):
        t = i / 6
        y = horizon + canvas.height * 0.11 * i
        crest = ridge_line(rng, canvas.width, 0.28, 1.5)
        crest = cv2.GaussianBlur(crest[None], (0, 0), canvas.width * 0.025, borderType=cv2.BORDER_REPLICATE)[
            0
        ]
        crest = y + crest * canvas.height * (0.03 + 0.022 * i)
        mask = np.clip(rows - crest[None] + 0.5, 0, 1).astype(np.float32)
        slope = np.gradient(crest).astype(np.float32)
        below = np.clip((rows - crest[None]) / (canvas.height * 0.22), 0, 1)
        shade = 1 - np.clip(slope * 0.9, -0.1, 0.45)[None] * (1 - below)
        ripples = np.sin((rows - crest[None]) * (0.9 - 0.09 * i) + slope[None] * 25) * 0.02
        paint = mix(weather.haze, sand * (1 - 0.12 * t), 0.35 + 0.65 * t) * (shade + ripples)[..., None]
        canvas.blend(mask, paint)
    if rng.uniform() < 0.6:
        for _ in range(int(rng.integers(2, 6))):
            x, y = canvas.width * rng.uniform(0.05, 0.95), canvas.height * rng.uniform(0.72, 0.97)
            s = canvas.height * rng.uniform(0.08, 0.22)
            green = hsv(rng.uniform(0.25, 0.4), 0.5, 0.4)
            canvas.ellipse((x + s * 0.4, y), (s * 0.6, s * 0.07), (0.2, 0.1, 0.05), alpha=0.4, blur=3)
            for dx, top, low in ((0, 1.0, 0.0), (0.22, 0.75, 0.4), (-0.2, 0.62, 0.3)):
                joint = [(x, y - s * low), (x + dx * s, y - s * low), (x + dx * s, y - s * top)]
                canvas.stroke(joint, s * 0.13, green)
                canvas.stroke(
                    [(p[0] - s * 0.03, p[1]) for p in joint[1:]], s * 0.03, mix(green, (1, 1, 0.8), 0.35)
                )
    return f"Sand dunes in a desert {weather.name_en}", f"{weather.name_zh}，沙漠中连绵的沙丘"


def forest(canvas: Canvas, rng: Generator, weather: Weather) -> tuple[str, str]:
    season = WEATHERS.index(weather) % 3
    hue = ((0.27, 0.36), (0.04, 0.13), (0.5, 0.6))[season]
    fog = mix(weather.horizon, hsv(float(np.mean(hue)), 0.25, 0.8), 0.5)
    canvas.gradient([mix(weather.zenith, fog, 0.6), fog, mix(fog, (0.1, 0.12, 0.06), 0.5)])
    floor = canvas.height * rng.uniform(0.62, 0.78)
    for layer in range(5):
        t = (layer + 1) / 5
        leaf = np.asarray(hsv(rng.uniform(*hue), 0.75 if season < 2 else 0.12, 0.80 - 0.25 * t))
        for x in np.sort(rng.uniform(0, canvas.width, 13 - layer * 2)):
            width = canvas.width * (0.006 + 0.017 * t * rng.uniform(0.7, 1.3))
            foot = floor + canvas.height * 0.24 * t**2
            lean = rng.normal(0, 12)
            bark = mix(fog, hsv(0.07, 0.35, 0.20 + 0.10 * rng.uniform()), 0.2 + 0.75 * t)
            trunk = [
                (x - width, foot),
                (x + width, foot),
                (x + lean + width * 0.6, -5),
                (x + lean - width * 0.6, -5),
            ]
            canvas.polygon(trunk, bark)
            canvas.polygon([trunk[0], (x - width * 0.3, foot), (x + lean - width * 0.2, -5), trunk[3]],
                           np.asarray(bark) * 1.25, alpha=0.6)  # fmt: skip
            for _ in range(int(22 * t) + 8):
                at = (x + rng.normal(0, 20 + 40 * t), rng.uniform(-0.05, 0.36 + 0.1 * t) * canvas.height)
                radius = canvas.height * rng.uniform(0.010, 0.030) * (0.6 + t)
                paint = mix(fog, np.minimum(leaf * rng.uniform(0.6, 1.4), 1), 0.3 + 0.65 * t)
                canvas.ellipse(at, (radius * 1.3, radius * 0.8), paint, rng.uniform(0, 3), 0.9, 0.6)
        canvas.rgb += (np.asarray(fog, np.float32) - canvas.rgb) * 0.07
    ground = floor + ridge_line(rng, canvas.width, 0.4) * canvas.height * 0.03 + canvas.height * 0.12
    soil = (hsv(0.26, 0.5, 0.36), hsv(0.07, 0.6, 0.5), (0.86, 0.89, 0.94))[season]
    meadow(canvas, rng, ground.astype(np.float32), soil)
    foliage = fractal_noise(rng, canvas.height, canvas.width, coarsest=14, roughness=0.75)
    canvas.shade(1 + 0.07 * foliage)
    canvas.glow(
        (canvas.width * rng.uniform(0.2, 0.8), canvas.height * 0.2), canvas.width * 0.16, weather.light, 0.5
    )
    en, zh = (("green", "绿色"), ("autumn", "秋天"), ("winter", "冬天"))[season]
    return f"Sunlight between the trunks of a {en} forest", f"{zh}的森林，阳光从树干间照进来"


def _house(canvas: Canvas, rng: Generator, x: float, y: float, s: float, light: Color, lamps: bool) -> None:
    wall = np.asarray(hsv(rng.uniform(), rng.uniform(0.05, 0.45), rng.uniform(0.75, 0.98))) * light
    roof = np.asarray(hsv(rng.choice([0.0, 0.03, 0.06, 0.58, 0.9]), rng.uniform(0.4, 0.8), 0.55)) * light
    canvas.ellipse((x + s * 0.5, y), (s * 1.0, s * 0.10), (0.05, 0.1, 0.05), alpha=0.35, blur=s * 0.06)
    canvas.rectangle(x - s * 0.5, y - s * 0.62, x + s * 0.18, y, wall)
    canvas.rectangle(x + s * 0.18, y - s * 0.62, x + s * 0.72, y, wall * 0.78)
    canvas.polygon(
        [(x - s * 0.5, y - s * 0.62), (x + s * 0.18, y - s * 0.62), (x - s * 0.16, y - s * 1.02)], wall
    )
    canvas.polygon([(x - s * 0.16, y - s * 1.05), (x + s * 0.46, y - s * 1.05), (x + s * 0.80, y - s * 0.58),
                    (x + s * 0.20, y - s * 0.58)], roof)  # fmt: skip
    canvas.polygon([(x - s * 0.16, y - s * 1.05), (x - s * 0.22, y - s * 0.97), (x - s * 0.58, y - s * 0.56),
                    (x - s * 0.50, y - s * 0.54)], roof * 0.8)  # fmt: skip
    glass = (1.0, 0.86, 0.45) if lamps else mix((0.25, 0.34, 0.45), light, 0.2)
    for wx in (-0.38, -0.06, 0.28, 0.50):
        canvas.rectangle(x + wx * s, y - s * 0.50, x + (wx + 0.15) * s, y - s * 0.30, (0.95, 0.94, 0.9))
        canvas.rectangle(x + (wx + 0.02) * s, y - s * 0.48, x + (wx + 0.13) * s, y - s * 0.32, glass)
    canvas.rectangle(x - s * 0.20, y - s * 0.24, x - s * 0.06, y, roof * 0.6)


def village(canvas: Canvas, rng: Generator, weather: Weather) -> tuple[str, str]:
    horizon = canvas.height * rng.uniform(0.42, 0.55)
    paint_sky(canvas, rng, weather, horizon, rng.uniform(0.3, 0.7))
    ridge(canvas, rng, horizon + 25, canvas.height * 0.16, mix(weather.haze, (0.3, 0.4, 0.5), 0.35))
    hue = rng.choice([0.22, 0.27, 0.31, 0.14, 0.09])
    houses = 0
    for i in range(4):
        top = (
            horizon
            + canvas.height * 0.13 * i
            + ridge_line(rng, canvas.width, 0.3, 1.5) * canvas.height * 0.03
        )
        color = mix(
            weather.haze,
            np.asarray(hsv(hue + rng.normal(0, 0.02), 0.55, 0.62)) * weather.light,
            0.5 + 0.14 * i,
        )
        meadow(canvas, rng, top.astype(np.float32), color)
        for x in np.sort(rng.uniform(0.02, 0.98, int(rng.integers(3, 8)))):
            y = float(top[int(x * (canvas.width - 1))]) + canvas.height * 0.04
            s = canvas.height * (0.045 + 0.035 * i)
            if rng.uniform() < 0.42:
                _house(
                    canvas,
                    rng,
                    x * canvas.width,
                    y,
                    s * rng.uniform(1.0, 1.4),
                    weather.light,
                    weather.horizon[0] < 0.9,
                )
                houses += 1
            else:
                green = np.asarray(hsv(hue + rng.normal(0.03, 0.03), 0.6, 0.45)) * weather.light
                tree(
                    canvas,
                    rng,
                    x * canvas.width,
                    y,
                    s * rng.uniform(1.3, 2.3),
                    green,
                    bool(rng.uniform() < 0.3),
                )
    return (
        f"A village with {houses} houses among hills {weather.name_en}",
        f"{weather.name_zh}的山间村庄，有{houses}座房子",
    )


def night_sky(canvas: Canvas, rng: Generator) -> tuple[str, str]:
    hue = rng.uniform(0.55, 0.8)
    horizon = canvas.height * rng.uniform(0.68, 0.85)
    canvas.gradient([hsv(hue, 0.8, 0.05), hsv(hue, 0.7, 0.14), hsv(hue - 0.1, 0.5, 0.30)], 0, horizon)
    cloud = np.clip(fractal_noise(rng, canvas.height, canvas.width, 2.5, 0.6) * 0.5, 0, 1)
    band = np.exp(-(((np.arange(canvas.width)[None] - np.arange(canvas.height)[:, None] * rng.uniform(-1, 1)
                      - canvas.width * rng.uniform(0.3, 0.7)) / (canvas.width * 0.16)) ** 2))  # fmt: skip
    milky: NDArray[np.float32] = (cloud * band * 0.5).astype(np.float32)
    canvas.blend(milky, hsv(rng.uniform(0.6, 0.95), 0.35, 0.9))
    for _ in range(260):
        at = (rng.uniform(0, canvas.width), rng.uniform(0, horizon))
        r = rng.gamma(2.0, 0.35) + 0.4
        canvas.ellipse(
            at,
            (r, r),
            hsv(rng.choice([0.1, 0.6]), rng.uniform(0, 0.35), 1.0),
            alpha=rng.uniform(0.3, 1),
            blur=0.5,
        )
    if rng.uniform() < 0.6:
        moon = (canvas.width * rng.uniform(0.15, 0.85), horizon * rng.uniform(0.15, 0.5))
        canvas.glow(moon, canvas.width * 0.08, (0.8, 0.85, 1.0), 0.5)
        canvas.ellipse(moon, (canvas.width * 0.035,) * 2, (0.96, 0.95, 0.88), blur=0.6)
    ridge(canvas, rng, horizon + 20, canvas.height * 0.15, hsv(hue, 0.5, 0.11))
    meadow(
        canvas,
        rng,
        (horizon + 14 + ridge_line(rng, canvas.width) * 5).astype(np.float32),
        hsv(hue, 0.4, 0.07),
    )
    for x in rng.uniform(0, 1, 9):
        tree(
            canvas,
            rng,
            x * canvas.width,
            horizon + 26,
            canvas.height * rng.uniform(0.08, 0.2),
            (0.03, 0.05, 0.06),
            True,
        )
    return "Stars above dark hills at night", "夜晚群山上空的繁星"
