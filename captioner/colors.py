"""Names of colors in English and Chinese, and how much of a picture each one covers."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

#: English name -> (Chinese name, sRGB anchors). A pixel takes the name of its nearest anchor.
COLORS: dict[str, tuple[str, tuple[str, ...]]] = {
    "black": ("黑色", ("000000", "141414", "1c1a18")),
    "dark gray": ("深灰色", ("3c3c3c", "505050")),
    "gray": ("灰色", ("808080", "949494", "8a8580")),
    "light gray": ("浅灰色", ("b8b8b8", "cccccc", "c4c8cc")),
    "white": ("白色", ("ffffff", "ececec", "f4f2ee")),
    "red": ("红色", ("e01818", "c41e26", "f04040")),
    "dark red": ("深红色", ("800c10", "5a1014")),
    "pink": ("粉色", ("f4a0b8", "f8c8d4", "e0608c", "d8a0a8")),
    "orange": ("橙色", ("f08018", "f8a040", "e06820")),
    "brown": ("棕色", ("7a4a24", "5c3a20", "96643c", "3c281a", "80604c")),
    "beige": ("米色", ("e0ccac", "ece0c8", "c8ac88", "d0bca4")),
    "yellow": ("黄色", ("f4dc20", "f8e878", "d8b818")),
    "olive green": ("橄榄绿色", ("6c6c28", "8c8c48", "4c4c1c")),
    "green": ("绿色", ("28a03c", "60b848", "408040", "80b890")),
    "dark green": ("深绿色", ("144020", "20381c", "2c5030")),
    "light green": ("浅绿色", ("b0e0a0", "c8e8c0", "a8d878")),
    "teal": ("青色", ("108080", "308c94", "48b8b0", "204c50")),
    "light blue": ("浅蓝色", ("a0ccf0", "c4dff4", "78b4e4", "a4bccc")),
    "blue": ("蓝色", ("2060d0", "3078c0", "1838c0", "4c74a0", "6480a0")),
    "dark blue": ("深蓝色", ("101c50", "182c58", "20304c", "0c1430")),
    "purple": ("紫色", ("7030a0", "9050c0", "503070", "a838a0")),
    "light purple": ("淡紫色", ("c4a8e0", "d8c8ec", "a898c8")),
}
COLOR_NAMES = tuple(COLORS)


def srgb_to_lab(rgb: np.ndarray) -> np.ndarray:
    """CIELAB (D65) of uint8 or 0..255 float sRGB, (..., 3) -> (..., 3) float64.

    Source: IEC 61966-2-1 transfer curve and matrix; CIE 15 for L*a*b*.
    """
    v = np.asarray(rgb, float) / 255
    linear = np.where(v <= 0.04045, v / 12.92, ((v + 0.055) / 1.055) ** 2.4)
    matrix = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
    xyz = linear @ matrix.T / matrix.sum(axis=1)
    f = np.where(xyz > (6 / 29) ** 3, np.cbrt(xyz), xyz / (3 * (6 / 29) ** 2) + 4 / 29)
    x, y, z = f[..., 0], f[..., 1], f[..., 2]
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], axis=-1)


@lru_cache(maxsize=1)
def _anchors() -> tuple[np.ndarray, np.ndarray]:
    rgb, names = [], []
    for i, (_, anchors) in enumerate(COLORS.values()):
        for anchor in anchors:
            rgb.append([int(anchor[k : k + 2], 16) for k in (0, 2, 4)])
            names.append(i)
    return srgb_to_lab(np.array(rgb, np.uint8)), np.array(names)


def color_index(lab: np.ndarray) -> np.ndarray:
    """Index into `COLOR_NAMES` of the nearest anchor for (..., 3) CIELAB, lightness counting half.

    Hue decides the name more than lightness does: a shaded red is still called red.
    """
    anchors, names = _anchors()
    scale = np.array([0.5, 1.0, 1.0])
    flat = lab.reshape(-1, 3) * scale
    target = anchors * scale
    distance = (flat**2).sum(1)[:, None] - 2 * flat @ target.T + (target**2).sum(1)
    return names[np.argmin(distance, axis=1)].reshape(lab.shape[:-1])


def shares(index: np.ndarray, least: float = 0.06) -> list[tuple[str, float]]:
    """(name, share 0..1) of an array of color indices, largest first, those of at least `least`."""
    counts = np.bincount(index.ravel(), minlength=len(COLOR_NAMES)) / max(index.size, 1)
    order = np.argsort(-counts, kind="stable")
    return [(COLOR_NAMES[i], float(counts[i])) for i in order if counts[i] >= least]
