"""The color of a thing by its name: one of thirteen, or None where it has no one color."""

from __future__ import annotations

import cv2
import numpy as np

ZH = {
    **{"red": "红色", "orange": "橙色", "yellow": "黄色", "green": "绿色", "teal": "青色", "blue": "蓝色"},
    **{"purple": "紫色", "pink": "粉色", "brown": "棕色", "beige": "米色"},
    **{"white": "白色", "gray": "灰色", "black": "黑色"},
}
#: A color of each name, sRGB.
FOCAL = {
    **{"red": (200, 25, 35), "orange": (240, 130, 30), "yellow": (245, 215, 40), "green": (40, 140, 60)},
    **{"teal": (25, 150, 155), "blue": (35, 80, 185), "purple": (120, 50, 150), "pink": (240, 140, 180)},
    **{"brown": (110, 65, 35), "beige": (225, 205, 170)},
    **{"white": (245, 245, 242), "gray": (128, 128, 128), "black": (18, 18, 18)},
}
#: Share of the thing's pixels that must bear the name.
DOMINANT = 0.55

_NAMES = tuple(FOCAL)
#: CIE Lab hue angle, degrees, from which a name holds, up to the next one's.
_HUES = ((0, "pink"), (18, "red"), (48, "orange"), (76, "yellow"), (112, "green"), (172, "teal"))
_HUES += ((242, "blue"), (306, "purple"), (330, "pink"))


def name_of(rgb: np.ndarray, weight: np.ndarray | None = None) -> str | None:
    """The name that most pixels of a thing bear.

    Args:
        rgb: (..., 3) uint8. weight: (...) of the pixels, e.g. alpha; None for all alike.

    Returns:
        A key of `FOCAL`; None if no name covers `DOMINANT` of the weight.
    """
    pixels = rgb.reshape(-1, 3)
    weights = np.ones(len(pixels), np.float32) if weight is None else weight.reshape(-1).astype(np.float32)
    at = np.flatnonzero(weights > 0)
    if not len(at):
        return None
    at = at[:: max(1, len(at) // 4096)]
    shares = np.bincount(_named(_lab(pixels[at])), weights[at], len(_NAMES)) / weights[at].sum()
    best = int(shares.argmax())
    return _NAMES[best] if shares[best] >= DOMINANT else None


def turn_to(rgb: np.ndarray, weight: np.ndarray, name: str) -> float:
    """Degrees by which hues must turn (see `rendering.sprites.turn_hue`) for a thing to come near a color.

    Raises:
        ValueError: the thing has too little color to turn.
    """
    lab = _lab(rgb.reshape(-1, 3))
    share = weight.reshape(-1).astype(np.float32)
    a, b = (float((lab[:, i] * share).sum() / max(1e-6, share.sum())) for i in (1, 2))
    if np.hypot(a, b) < 14:
        raise ValueError("the thing has hardly any color of its own")
    goal = _lab(np.array([FOCAL[name]], np.uint8))[0]
    return float(np.rad2deg(np.arctan2(goal[2], goal[1]) - np.arctan2(b, a)) % 360)


def _named(lab: np.ndarray) -> np.ndarray:
    """Index into `FOCAL` of every color.

    Greys by lightness; others by hue; what is dark or pale and warm is brown or beige, pale red is pink. The bounds
    are ours, set on the focal colors and on a hue circle at three lightnesses.
    """
    light, a, b = lab[:, 0], lab[:, 1], lab[:, 2]
    chroma, hue = np.hypot(a, b), np.rad2deg(np.arctan2(b, a)) % 360
    starts = np.array([start for start, _ in _HUES])
    by_hue = np.array([_NAMES.index(name) for _, name in _HUES])
    found = by_hue[np.searchsorted(starts, hue, side="right") - 1]
    warm = (hue >= 30) & (hue < 100)
    dull = (hue >= 44) | (chroma < 34)
    found = np.where(warm & dull & (light < 52) & (chroma < 58), _NAMES.index("brown"), found)
    found = np.where(warm & (light >= 52) & (chroma < 38), _NAMES.index("beige"), found)
    pink = (hue >= 330) | (hue < 40)
    found = np.where(pink & (light > 62) & (chroma < 62), _NAMES.index("pink"), found)
    found = np.where(pink & (light <= 48) & (hue < 30), _NAMES.index("red"), found)
    grey = (chroma < 9) | (light < 14)
    greys = np.where(
        light > 80, _NAMES.index("white"), np.where(light < 26, _NAMES.index("black"), _NAMES.index("gray"))
    )
    return np.where(grey, greys, found)


def _lab(rgb: np.ndarray) -> np.ndarray:
    """(n, 3) CIE Lab of (n, 3) sRGB: L 0..100."""
    return cv2.cvtColor(rgb.reshape(1, -1, 3).astype(np.float32) / 255, cv2.COLOR_RGB2LAB)[0]
