"""Slot `style/0`: `{"name": ..., "seed": n}`. Filters of fixed recipe, no weights; a painter's style needs a plug-in."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np

from .photometric import LUMA


def render(rgb: np.ndarray, value: dict[str, Any]) -> np.ndarray:
    """The picture in a style. KeyError for a name that `RENDERERS` lacks."""
    return RENDERERS[value["name"]](rgb, value)


def film(rgb: np.ndarray, value: dict[str, Any]) -> np.ndarray:
    """Faded print: lifted blacks, warm highlights and greenish shadows, grain, a little less color."""
    x = rgb.astype(np.float32) / 255
    luma = (x @ LUMA)[..., None]
    x = luma + (x - luma) * 0.72
    curve = 0.07 + 0.86 * (x * x * (3 - 2 * x) * 0.5 + x * 0.5)
    warm = np.array([1.06, 1.0, 0.86], np.float32) * luma + np.array([0.96, 1.03, 1.0], np.float32) * (
        1 - luma
    )
    grain = cv2.GaussianBlur(_rng(value).standard_normal(rgb.shape[:2], np.float32), (0, 0), 0.7)[..., None]
    return _rounded((curve * warm + 0.05 * grain * (1 - 0.5 * luma)) * _falloff(rgb.shape, 0.25))


def sketch(rgb: np.ndarray, value: dict[str, Any]) -> np.ndarray:
    """Pencil: color dodge of the luma with its blurred negative, which leaves edges and soft shading, on paper."""
    grey = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY).astype(np.float32)
    soft = cv2.GaussianBlur(255 - grey, (0, 0), max(2.0, min(rgb.shape[:2]) / 90))
    lines = np.minimum(255, grey * 255 / np.maximum(1, 255 - soft)) / 255
    shade = 0.75 + 0.25 * cv2.GaussianBlur(grey, (0, 0), 3) / 255
    paper = 1 - 0.03 * np.abs(
        cv2.GaussianBlur(_rng(value).standard_normal(grey.shape, np.float32), (0, 0), 1)
    )
    return np.repeat(_rounded(lines**1.6 * shade * paper)[..., None], 3, axis=2)


def posterize(rgb: np.ndarray, value: dict[str, Any]) -> np.ndarray:
    """Five flat tones in richer color, after edges were kept and textures smoothed away."""
    hsv = cv2.cvtColor(_toned(_flat(rgb, 3), 5), cv2.COLOR_RGB2HSV)
    hsv[..., 1] = np.minimum(255, hsv[..., 1].astype(np.int32) * 5 // 4)
    return cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB)


def cartoon(rgb: np.ndarray, value: dict[str, Any]) -> np.ndarray:
    """Smoothed colors in eight tones with dark outlines where the luma has edges."""
    smooth = _flat(rgb, 4)
    tones = cv2.LUT(smooth, np.clip(np.rint(np.arange(256) / 255 * 8) / 8 * 255, 0, 255).astype(np.uint8))
    grey = cv2.medianBlur(cv2.cvtColor(smooth, cv2.COLOR_RGB2GRAY), 5)
    edges = cv2.adaptiveThreshold(grey, 255, cv2.ADAPTIVE_THRESH_MEAN_C, cv2.THRESH_BINARY, 9, 4)
    edges = cv2.GaussianBlur(edges, (0, 0), 0.7).astype(np.float32)[..., None] / 255
    return np.rint(tones * (0.15 + 0.85 * edges)).astype(np.uint8)


def pixelate(rgb: np.ndarray, value: dict[str, Any]) -> np.ndarray:
    """Square cells, 64 along the short side, in eight tones."""
    height, width = rgb.shape[:2]
    cell = max(2, round(min(height, width) / 64))
    small = cv2.resize(rgb, (max(1, width // cell), max(1, height // cell)), interpolation=cv2.INTER_AREA)
    return cv2.resize(_toned(small, 8), (width, height), interpolation=cv2.INTER_NEAREST)


def emboss(rgb: np.ndarray, value: dict[str, Any]) -> np.ndarray:
    """Relief in grey stone, lit from the upper left."""
    grey = cv2.GaussianBlur(cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY), (0, 0), 1).astype(np.float32)
    slope = cv2.filter2D(
        grey, -1, np.float32([[-2, -1, 0], [-1, 0, 1], [0, 1, 2]]), borderType=cv2.BORDER_REFLECT
    )
    return np.repeat(_rounded(0.5 + slope / 255)[..., None], 3, axis=2)


def duotone(rgb: np.ndarray, value: dict[str, Any]) -> np.ndarray:
    """Luma printed from one ink to another: `inks`, two RGB triples 0..255 (navy and cream)."""
    dark, light = np.array(value.get("inks", [[24, 32, 84], [250, 232, 200]]), np.float32) / 255
    luma = (cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY).astype(np.float32) / 255)[..., None]
    return _rounded(dark + (light - dark) * luma)


def vignette(rgb: np.ndarray, value: dict[str, Any]) -> np.ndarray:
    """Corners at about a third of their light."""
    return _rounded(rgb.astype(np.float32) / 255 * _falloff(rgb.shape, 1.0))


RENDERERS = {
    "film": film,
    "sketch": sketch,
    "posterize": posterize,
    "cartoon": cartoon,
    "pixelate": pixelate,
    "emboss": emboss,
    "duotone": duotone,
    "vignette": vignette,
}


def _flat(rgb: np.ndarray, passes: int) -> np.ndarray:
    for _ in range(passes):
        rgb = cv2.bilateralFilter(rgb, 7, 28, 5)
    return rgb


def _toned(rgb: np.ndarray, tones: int) -> np.ndarray:
    """Few steps of lightness in CIE Lab. Steps per channel would turn greys into patches of pale color."""
    lab = cv2.cvtColor(rgb.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)
    lab[..., 0] = np.rint(lab[..., 0] / 100 * tones) / tones * 100
    return _rounded(cv2.cvtColor(lab, cv2.COLOR_LAB2RGB))


def _falloff(shape: tuple[int, ...], strength: float) -> np.ndarray:
    """(H, W, 1) factor: 1 in the center, falling with the fourth power of the field angle's cosine."""
    y = np.linspace(-1, 1, shape[0], dtype=np.float32)[:, None]
    x = np.linspace(-1, 1, shape[1], dtype=np.float32)[None, :]
    return ((1 + strength * 0.42 * (x * x + y * y)) ** -2)[..., None]


def _rng(value: dict[str, Any]) -> np.random.Generator:
    return np.random.default_rng(int(value.get("seed", 0)))


def _rounded(values: np.ndarray) -> np.ndarray:
    return np.clip(np.rint(values * 255), 0, 255).astype(np.uint8)
