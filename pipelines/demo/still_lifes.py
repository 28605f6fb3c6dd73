"""Ray-traced still lifes: spheres, boxes and cylinders on a table, with soft shadows and depth of field.

Units are arbitrary lengths (objects are about 1 wide); y is up; the ground is y = 0.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from .canvas import Canvas, Color, Floats, fractal_noise, hsv, mix

_FAR = np.float32(1e6)


@dataclass(frozen=True)
class Solid:
    """kind: sphere | box | cylinder; `size` is (radius or half width, half height, half depth)."""

    kind: str
    center: tuple[float, float, float]
    size: tuple[float, float, float]
    turn: float
    color: Color
    gloss: float


@dataclass(frozen=True)
class Setup:
    """A whole arrangement, so that one object can be recolored and nothing else changes."""

    solids: tuple[Solid, ...]
    ground: str  # wood | cloth | marble | white
    ground_color: Color
    wall_color: Color
    light: tuple[float, float, float]
    camera_height: float
    texture_seed: int
    aperture: float = 0.0  # blur of the background in px per unit of distance
    view: float = 1.0  # angle of view, relative to the widest


def arrange(rng: Generator, count: int, ground: str | None = None, aperture: float = 0.0) -> Setup:
    """Solids that stand on the ground and do not touch each other."""
    solids: list[Solid] = []
    while len(solids) < count:
        kind = str(rng.choice(["sphere", "box", "cylinder"]))
        r = float(rng.uniform(0.38, 0.72))
        spread = 0.45 * count**0.6 if count > 1 else 0.1
        spot = (float(rng.normal(0, spread)), float(rng.normal(0, spread)))
        gaps = [np.hypot(spot[0] - s.center[0], spot[1] - s.center[2]) - s.size[0] for s in solids]
        r = min([r, *[float(g) - 0.12 for g in gaps]])
        if r < 0.3 or abs(spot[0]) > 2.0 or abs(spot[1]) > 1.8:
            continue
        high = r if kind == "sphere" else float(rng.uniform(0.5, 1.7)) * r
        size = (r, r, r) if kind == "sphere" else (r * 0.8, high, r * float(rng.uniform(0.6, 0.9)))
        color = hsv(rng.uniform(), rng.uniform(0.35, 0.9), rng.uniform(0.55, 0.95))
        solids.append(
            Solid(
                kind,
                center=(spot[0], high, spot[1]),
                size=size,
                turn=float(rng.uniform(0, 1.5)),
                color=color,
                gloss=float(rng.uniform(0, 1)),
            )
        )
    hue = rng.uniform()
    reach = max(max(abs(s.center[0]) + s.size[0], 1.7 * s.size[1]) for s in solids)
    return Setup(
        solids=tuple(solids),
        ground=ground or str(rng.choice(["wood", "cloth", "marble"])),
        ground_color=hsv(rng.uniform(0.02, 0.13), rng.uniform(0.2, 0.6), rng.uniform(0.4, 0.9)),
        wall_color=hsv(hue, rng.uniform(0.05, 0.5), rng.uniform(0.3, 0.9)),
        light=(float(rng.uniform(-5, 5)), float(rng.uniform(4.5, 8)), float(rng.uniform(-5, -1))),
        camera_height=float(rng.uniform(1.1, 2.8)),
        texture_seed=int(rng.integers(0, 2**31)),
        aperture=aperture,
        view=float(np.clip(reach * rng.uniform(0.56, 0.72), 0.5, 1.1)),
    )


def recolor(setup: Setup, hue: float) -> Setup:
    """The same arrangement with the first object in another hue."""
    first = replace(setup.solids[0], color=hsv(hue, 0.85, 0.85))
    return replace(setup, solids=(first, *setup.solids[1:]))


def _dot(a: Floats, b: Floats) -> Floats:
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]


def _unit(v: Floats) -> Floats:
    return v / np.sqrt(_dot(v, v))


def _turned(v: Floats, angle: float) -> Floats:
    """Rotation about the vertical axis."""
    c, s = np.float32(np.cos(angle)), np.float32(np.sin(angle))
    return np.stack([c * v[0] + s * v[2], v[1], c * v[2] - s * v[0]])


def _column(values: Color) -> Floats:
    return np.asarray(values, np.float32)[:, None]


def _hit(solid: Solid, origin: Floats, ray: Floats) -> Floats:
    """Distance along each ray to the solid, `_FAR` where it misses. Rays are (3, N), origins (3, N or 1)."""
    o = origin - _column(solid.center)
    if solid.kind == "sphere":
        b = _dot(o, ray)
        disc = b * b - _dot(o, o) + np.float32(solid.size[0] ** 2)
        t = -b - np.sqrt(np.maximum(disc, 0))
        return np.where((disc > 0) & (t > 1e-3), t, _FAR)
    if solid.kind == "box":
        o, d = _turned(o, solid.turn), _turned(ray, solid.turn)
        d = np.where(np.abs(d) < 1e-6, np.float32(1e-6), d)
        inverse = 1 / d
        half, middle = _column(solid.size) * np.abs(inverse), -o * inverse
        near, far = middle - half, middle + half
        near = np.maximum(np.maximum(near[0], near[1]), near[2])
        far = np.minimum(np.minimum(far[0], far[1]), far[2])
        return np.where((near < far) & (near > 1e-3), near, _FAR)
    radius, high = np.float32(solid.size[0]), np.float32(solid.size[1])
    a = ray[0] ** 2 + ray[2] ** 2 + np.float32(1e-9)
    b = o[0] * ray[0] + o[2] * ray[2]
    disc = b * b - a * (o[0] ** 2 + o[2] ** 2 - radius**2)
    t = (-b - np.sqrt(np.maximum(disc, 0))) / a
    side = np.where((disc > 0) & (t > 1e-3) & (np.abs(o[1] + t * ray[1]) < high), t, _FAR)
    t = (high - o[1]) / np.where(np.abs(ray[1]) < 1e-6, np.float32(1e-6), ray[1])
    on_cap = (o[0] + t * ray[0]) ** 2 + (o[2] + t * ray[2]) ** 2 < radius**2
    return np.minimum(side, np.where(on_cap & (t > 1e-3), t, _FAR))


def _normal(solid: Solid, point: Floats) -> Floats:
    p = point - _column(solid.center)
    if solid.kind == "sphere":
        return p / np.float32(solid.size[0])
    if solid.kind == "box":
        q = _turned(p, solid.turn) / _column(solid.size)
        axis = np.abs(q).argmax(0)[None]
        n = np.zeros_like(q)
        np.put_along_axis(n, axis, np.sign(np.take_along_axis(q, axis, 0)), 0)
        return _turned(n, -solid.turn)
    n = p / np.float32(solid.size[0])
    n[1] = 0
    n[:, p[1] > solid.size[1] - 1e-3] = _column((0, 1, 0))
    return n


def _ground_paint(setup: Setup, x: Floats, z: Floats) -> Floats:
    """Texture color of ground points, (3, N)."""
    color = _column(setup.ground_color)
    if setup.ground == "white":
        return np.full((3, len(x)), 0.97, np.float32)
    rng = np.random.default_rng(setup.texture_seed)
    u = np.clip((x + 10) * 38, 0, 767).astype(np.int32)
    v = np.clip((z + 6) * 38, 0, 767).astype(np.int32)
    if setup.ground == "wood":
        grain = cv2.resize(fractal_noise(rng, 768, 64, 12, 0.7), (768, 768))
        rows = np.arange(768)[:, None]
        tone = 1 + 0.09 * grain + rng.uniform(-0.14, 0.14, 20)[rows // 60]
        tone = tone * np.where(rows % 60 < 2, 0.55, 1)
    elif setup.ground == "cloth":
        yy, xx = np.mgrid[0:768, 0:768]
        tone = 1 + 0.05 * fractal_noise(rng, 768, 768, 6, 0.6) - 0.22 * ((xx // 22 % 2) ^ (yy // 22 % 2))
    else:
        veins = np.abs(fractal_noise(rng, 768, 768, 9, 0.6))
        tone = 1.08 - 0.35 * np.exp(-veins * 6)
    return color * tone.astype(np.float32)[v, u]


def _camera_rays(setup: Setup, width: int, height: int) -> tuple[Floats, Floats]:
    """Eye (3, 1) and unit rays (3, H * W), row by row."""
    eye = np.array([0, setup.camera_height + 0.6, -6.2], np.float32)
    forward = np.array([0, 0.5, 0.2], np.float32) - eye
    forward /= np.linalg.norm(forward)
    right = np.array([forward[2], 0, -forward[0]], np.float32)
    right /= np.linalg.norm(right)
    up = np.cross(forward, right)
    # The short side spans the same angle whatever the aspect.
    scale = 0.70 * setup.view / min(width, height)
    x = (np.arange(width, dtype=np.float32) + 0.5 - width / 2) * scale
    y = -(np.arange(height, dtype=np.float32) + 0.5 - height / 2) * scale
    rays = (
        forward[:, None, None] + right[:, None, None] * x[None, None] + up[:, None, None] * y[None, :, None]
    )
    return eye[:, None], _unit(rays.reshape(3, -1).astype(np.float32))


def _shadow(setup: Setup, point: Floats, normal: Floats) -> Floats:
    """Share of an area light (three samples) that each point does not see."""
    start = point + normal * np.float32(0.01)
    shadow = np.zeros(point.shape[1], np.float32)
    for offset in ((0.6, 0, 0), (-0.3, 0, 0.52), (-0.3, 0, -0.52)):
        to_light = _unit(_column(setup.light) + _column(offset) - start)
        blocked = np.zeros(len(shadow), bool)
        for solid in setup.solids:
            blocked |= _hit(solid, start, to_light) < _FAR
        shadow += blocked / np.float32(3)
    return shadow


def trace(setup: Setup, width: int, height: int) -> tuple[Floats, Floats]:
    """Image (H, W, 3) float32 in 0..1 and distance from the camera (H, W) float32."""
    eye, ray = _camera_rays(setup, width, height)
    distance = np.full(ray.shape[1], 16, np.float32)
    which = np.full(ray.shape[1], -2, np.int8)
    t = np.where(ray[1] < -1e-4, -eye[1] / np.minimum(ray[1], np.float32(-1e-4)), _FAR)
    floor = t < distance
    distance[floor], which[floor] = t[floor], -1
    for i, solid in enumerate(setup.solids):
        t = _hit(solid, eye, ray)
        nearer = t < distance
        distance[nearer], which[nearer] = t[nearer], i

    point = eye + ray * distance
    normal, color = np.zeros_like(point), np.zeros_like(point)
    on = which == -1
    normal[1, on] = 1
    color[:, on] = _ground_paint(setup, point[0, on], point[2, on])
    for i, solid in enumerate(setup.solids):
        on = which == i
        normal[:, on], color[:, on] = _normal(solid, point[:, on]), _column(solid.color)

    lit = which > -2
    shadow = np.zeros(ray.shape[1], np.float32)
    shadow[lit] = _shadow(setup, point[:, lit], normal[:, lit])
    shadow = cv2.GaussianBlur(shadow.reshape(height, width), (0, 0), height * 0.006).reshape(-1)
    to_light = _unit(_column(setup.light) - point)
    facing = np.maximum(_dot(normal, to_light), 0) * (1 - shadow)
    ambient = 0.34 + 0.14 * normal[1]
    # Contact shadow: the ground darkens close to what stands on it.
    on = which == -1
    for solid in setup.solids:
        gap2 = (point[0, on] - solid.center[0]) ** 2 + (point[2, on] - solid.center[2]) ** 2
        ambient[on] *= 1 - 0.5 * np.exp(-gap2 * np.float32(0.9 / solid.size[0] ** 2))
    out = color * (ambient + 0.80 * facing)
    backdrop = _column(setup.wall_color)
    for i, solid in enumerate(setup.solids):
        on = which == i
        half = _unit(to_light[:, on] - ray[:, on])
        peak = np.maximum(_dot(normal[:, on], half), 0) ** np.float32(10 + 70 * solid.gloss)
        edge = np.maximum(1 + _dot(normal[:, on], ray[:, on]), 0) ** 3
        out[:, on] += peak * (1 - shadow[on]) * np.float32(0.15 + 0.6 * solid.gloss)
        out[:, on] += edge * backdrop * np.float32(0.3 * solid.gloss)
    out = _background(setup, out, ray, distance, which)
    return np.ascontiguousarray(out.reshape(3, height, width).transpose(1, 2, 0)), distance.reshape(
        height, width
    )


def _background(setup: Setup, out: Floats, ray: Floats, distance: Floats, which: NDArray[np.int8]) -> Floats:
    """Fade the ground into the backdrop, or into paper white."""
    if setup.ground == "white":
        fade = np.where(which == -1, np.clip((distance - 7.0) / 2.5, 0, 1), 0)
        white = np.where(which == -1, np.minimum(out * 1.12, 0.985), out)
        return np.where(which == -2, np.float32(0.985), mix(white, 0.985, fade)).astype(np.float32)
    light = _column(setup.wall_color) * np.clip(1.1 - np.hypot(ray[0] - 0.2, ray[1] + 0.1), 0.3, 1.1)
    fog = np.where(which == -1, np.clip((distance - 8.5) / 6, 0, 1), which == -2)
    return mix(out, light, fog).astype(np.float32)


def still_life(setup: Setup, width: int, height: int) -> Canvas:
    """Render larger than asked for, bring down (antialiasing), then blur by distance if asked."""
    big_w, big_h = int(width * 1.2), int(height * 1.2)
    rgb, distance = trace(setup, big_w, big_h)
    canvas = Canvas(width, height)
    canvas.rgb = cv2.resize(rgb, (width, height), interpolation=cv2.INTER_AREA)
    if setup.aperture > 0:
        distance = cv2.resize(distance, (width, height), interpolation=cv2.INTER_AREA)
        focus = min(np.hypot(s.center[0], s.center[2] + 6.2) for s in setup.solids)
        amount = np.clip((distance - focus - 0.5) * setup.aperture, 0, 14)
        level = canvas.rgb
        for sigma in (2, 4, 8, 14):
            soft = cv2.GaussianBlur(canvas.rgb, (0, 0), sigma)
            weight = cv2.GaussianBlur(np.clip((amount - sigma * 0.5) / (sigma * 0.5), 0, 1), (0, 0), 1.5)
            level = mix(level, soft, weight[..., None])
        canvas.rgb = level
    return canvas
