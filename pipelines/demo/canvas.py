"""Drawing on float RGB arrays: antialiased shapes, natural-spectrum noise, gradients, light.

Colors are sRGB triples in 0..1, positions are pixels, `Canvas.rgb` is float32 (H, W, 3).
Everything random comes from the generator that is passed in.
"""

from __future__ import annotations

import colorsys
from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Color = Sequence[float]

_SHIFT = 4  # sub-pixel bits of OpenCV's antialiased polygons


def hsv(hue: float, saturation: float, value: float) -> tuple[float, float, float]:
    """sRGB color of a hue (turns, any real number), saturation and value (0..1)."""
    return colorsys.hsv_to_rgb(hue % 1.0, min(max(saturation, 0.0), 1.0), min(max(value, 0.0), 1.0))


def mix(a: Any, b: Any, t: Any) -> Floats:
    """Linear blend from `a` (t = 0) to `b` (t = 1)."""
    return np.asarray(a, np.float32) * (1 - t) + np.asarray(b, np.float32) * t


def fractal_noise(
    rng: Generator, height: int, width: int, coarsest: float = 3, roughness: float = 0.5, octaves: int = 6
) -> Floats:
    """Zero-mean, unit-variance noise, float32 (height, width).

    Each octave doubles the frequency and has `roughness` times the amplitude of the one before;
    0.5 gives amplitudes falling as 1/f, the spectrum of natural images.

    Args:
        coarsest: cells of the first octave along the short side.
    """
    total = np.zeros((height, width), np.float32)
    cell = min(height, width) / coarsest
    for octave in range(octaves):
        size = cell / 2**octave
        if size < 1:
            break
        grid = rng.standard_normal((int(height / size) + 3, int(width / size) + 3), np.float32)
        # Only the top left is used: every octave then has the same phase at the corner and the right scale.
        full = cv2.resize(grid, None, fx=size, fy=size, interpolation=cv2.INTER_CUBIC)
        total += full[:height, :width] * roughness**octave
    total -= total.mean()
    return total / max(float(total.std()), 1e-6)


def ridge_line(rng: Generator, width: int, roughness: float = 0.5, coarsest: float = 3) -> Floats:
    """One-dimensional fractal noise, float32 (width,), zero mean and unit variance: a horizon or a coast."""
    x = np.arange(width, dtype=np.float32) / width
    line = np.zeros(width, np.float32)
    for octave in range(7):
        count = int(coarsest * 2**octave) + 2
        knots = rng.standard_normal(count)
        line += np.interp(x, np.linspace(0, 1, count), knots).astype(np.float32) * roughness**octave
    line -= line.mean()
    return line / max(float(line.std()), 1e-6)


class Canvas:
    """A picture under construction."""

    def __init__(self, width: int, height: int, color: Color = (0, 0, 0)) -> None:
        self.width, self.height = width, height
        self.rgb = np.empty((height, width, 3), np.float32)
        self.rgb[:] = color

    def gradient(self, stops: Sequence[Color], top: float = 0, bottom: float | None = None) -> None:
        """Vertical gradient through `stops` between two rows (clamped outside them)."""
        bottom = self.height if bottom is None else bottom
        rows = np.clip((np.arange(self.height) - top) / max(bottom - top, 1), 0, 1)
        at = np.linspace(0, 1, len(stops))
        ramp = np.stack([np.interp(rows, at, [s[c] for s in stops]) for c in range(3)], axis=1)
        self.rgb[:] = ramp[:, None].astype(np.float32)

    def blend(self, mask: Floats, paint: Any, x: int = 0, y: int = 0) -> None:
        """Lay `paint` (a color, or an array as large as `mask`) over the region at (x, y); mask 0..1."""
        h, w = mask.shape
        region = self.rgb[y : y + h, x : x + w]
        region += (np.asarray(paint, np.float32) - region) * mask[..., None]

    def polygon(self, points: Any, paint: Any, alpha: float = 1.0, blur: float = 0.0) -> None:
        """Fill a polygon, (N, 2) points in px; `paint` is a color or a full-size (H, W, 3) array."""
        pts = np.asarray(points, np.float64).reshape(-1, 2)
        pad = int(blur * 3) + 2
        x0, y0 = np.floor(pts.min(0)).astype(int) - pad
        x1, y1 = np.ceil(pts.max(0)).astype(int) + pad
        x0, y0, x1, y1 = max(x0, 0), max(y0, 0), min(x1, self.width), min(y1, self.height)
        if x0 >= x1 or y0 >= y1:
            return
        mask = np.zeros((y1 - y0, x1 - x0), np.uint8)
        shifted = np.round((pts - (x0, y0)) * (1 << _SHIFT)).astype(np.int32)
        cv2.fillPoly(mask, [shifted], 255, cv2.LINE_AA, _SHIFT)
        weight = mask.astype(np.float32) * (alpha / 255)
        if blur > 0:
            weight = cv2.GaussianBlur(weight, (0, 0), blur)
        paint = np.asarray(paint, np.float32)
        self.blend(weight, paint[y0:y1, x0:x1] if paint.ndim == 3 else paint, x0, y0)

    def ellipse(
        self,
        center: Sequence[float],
        radii: Sequence[float],
        paint: Any,
        angle: float = 0.0,
        alpha: float = 1.0,
        blur: float = 0.0,
    ) -> None:
        """Fill an ellipse; `angle` in radians."""
        t = np.linspace(0, 2 * np.pi, max(16, min(90, int(max(radii) * 2))), endpoint=False)
        x, y = np.cos(t) * radii[0], np.sin(t) * radii[1]
        c, s = np.cos(angle), np.sin(angle)
        self.polygon(np.stack([center[0] + c * x - s * y, center[1] + s * x + c * y], 1), paint, alpha, blur)

    def rectangle(
        self, x0: float, y0: float, x1: float, y1: float, paint: Any, alpha: float = 1.0, blur: float = 0.0
    ) -> None:
        self.polygon([(x0, y0), (x1, y0), (x1, y1), (x0, y1)], paint, alpha, blur)

    def stroke(self, points: Any, width: float, paint: Any, alpha: float = 1.0) -> None:
        """A polyline of constant width in px, drawn as one quad per piece with round joints."""
        pts = np.asarray(points, np.float64).reshape(-1, 2)
        for a, b in zip(pts[:-1], pts[1:], strict=True):
            d = b - a
            n = np.array([-d[1], d[0]]) / max(float(np.hypot(*d)), 1e-6) * width / 2
            self.polygon([a + n, b + n, b - n, a - n], paint, alpha)
        if width >= 4 and alpha == 1.0:
            for p in pts[1:-1]:
                self.ellipse(p, (width / 2, width / 2), paint)

    def glow(self, center: Sequence[float], radius: float, color: Color, strength: float = 1.0) -> None:
        """Add light that falls off from a point as a Gaussian of standard deviation `radius` px."""
        x = np.exp(-0.5 * ((np.arange(self.width) - center[0]) / radius) ** 2)
        y = np.exp(-0.5 * ((np.arange(self.height) - center[1]) / radius) ** 2)
        light = (y[:, None] * x[None] * strength).astype(np.float32)[..., None]
        self.rgb += (1 - np.clip(self.rgb, 0, 1)) * light * np.asarray(color, np.float32)

    def shade(self, factor: Floats) -> None:
        """Multiply by a full-size (H, W) brightness factor."""
        self.rgb *= factor[..., None]

    def finish(self, rng: Generator, grain: float = 0.012, vignette: float = 0.12) -> NDArray[np.uint8]:
        """Lens fall-off and fine luminance grain, then uint8 (H, W, 3)."""
        y = np.linspace(-1, 1, self.height, dtype=np.float32)[:, None]
        x = np.linspace(-1, 1, self.width, dtype=np.float32)[None]
        self.rgb *= (1 - vignette * (x * x + y * y) / 2)[..., None]
        if grain > 0:
            fine = rng.standard_normal((self.height, self.width), np.float32)
            fine = cv2.GaussianBlur(fine, (0, 0), 0.7) * 1.8
            self.rgb += (fine * grain)[..., None]
        return (np.clip(self.rgb, 0, 1) * 255 + 0.5).astype(np.uint8)
