"""Slots `photometric/NAME`: color and tone of the whole picture.

Values are numbers (of `contrast` an object); absent is the picture as it is.
"""

from __future__ import annotations

import cv2
import numpy as np

#: Luma weights of Rec. 709.
LUMA = np.array([0.2126, 0.7152, 0.0722], np.float32)


def brightness(rgb: np.ndarray, value: float) -> np.ndarray:
    """Multiply linear light by 2^(2 value): -1..1 is two stops down or up, with a soft shoulder at white."""
    table = _linear(np.arange(256) / 255.0) * 2.0 ** (2 * value)
    if value > 0:  # what would clip is bent: white stays white, and highlights keep an order
        table = np.where(table > 0.6, 0.6 + 0.4 * np.tanh((table - 0.6) / 0.4), table)
        table /= table[-1]
    return cv2.LUT(rgb, _levels(_encoded(table)))


def gamma(rgb: np.ndarray, value: float) -> np.ndarray:
    """Raise levels to 2^-value: midtones move, black and white stay."""
    return cv2.LUT(rgb, _levels((np.arange(256) / 255.0) ** (2.0**-value)))


def contrast(rgb: np.ndarray, value: dict[str, float]) -> np.ndarray:
    """Stretch (or compress) levels by 2^strength around `middle`, a level 0..1.

    The middle is part of the value: were it the mean of the picture at hand, one more object would move every pixel.
    """
    middle = float(value["middle"])
    return cv2.LUT(rgb, _levels(middle + (np.arange(256) / 255.0 - middle) * 2.0 ** float(value["strength"])))


def mean_level(rgb: np.ndarray) -> float:
    """Mean luma of a picture, 0..1: the usual `middle` of a contrast."""
    return float((rgb.reshape(-1, 3).mean(axis=0) @ LUMA) / 255.0)


def saturation(rgb: np.ndarray, value: float) -> np.ndarray:
    """Distance of every pixel from its own luma times 2^(1.5 value); -1 leaves a third of the color."""
    x = rgb.astype(np.float32)
    luma = (x @ LUMA)[..., None]
    return _rounded(luma + (x - luma) * np.float32(2.0 ** (1.5 * value)))


def temperature(rgb: np.ndarray, value: float) -> np.ndarray:
    """Gains of red and blue in linear light, in opposite directions; positive is warmer. Luma is kept on average."""
    gains = np.array([2.0 ** (0.8 * value), 1.0, 2.0 ** (-0.8 * value)])
    gains /= gains @ LUMA
    levels = _linear(np.arange(256) / 255.0)
    tables = np.stack([_levels(_encoded(levels * g)) for g in gains], axis=-1)
    return cv2.LUT(rgb, tables.reshape(1, 256, 3))


def sharpness(rgb: np.ndarray, value: float) -> np.ndarray:
    """Unsharp mask of radius 1.2 px and amount 2.5 value; below 0 the picture is softened instead."""
    x = rgb.astype(np.float32)
    if value < 0:
        return _rounded(cv2.GaussianBlur(x, (0, 0), 0.4 - 1.2 * value))
    return _rounded(x + 2.5 * np.float32(value) * (x - cv2.GaussianBlur(x, (0, 0), 1.2)))


def grey(rgb: np.ndarray, value: float) -> np.ndarray:
    """Mix towards Rec. 709 luma: 1 is black and white."""
    x = rgb.astype(np.float32)
    luma = (x @ LUMA)[..., None]
    return _rounded(x + (luma - x) * np.float32(value))


#: In the order in which they are applied: light first, then color, detail last.
RENDERERS = {
    "brightness": brightness,
    "gamma": gamma,
    "contrast": contrast,
    "temperature": temperature,
    "saturation": saturation,
    "grey": grey,
    "sharpness": sharpness,
}


def _linear(encoded: np.ndarray) -> np.ndarray:
    """sRGB to linear light (IEC 61966-2-1), 0..1."""
    return np.where(encoded <= 0.04045, encoded / 12.92, ((encoded + 0.055) / 1.055) ** 2.4)


def _encoded(linear: np.ndarray) -> np.ndarray:
    linear = np.clip(linear, 0, 1)
    return np.where(linear <= 0.0031308, linear * 12.92, 1.055 * linear ** (1 / 2.4) - 0.055)


def _levels(values: np.ndarray) -> np.ndarray:
    return np.clip(np.rint(values * 255.0), 0, 255).astype(np.uint8)


def _rounded(values: np.ndarray) -> np.ndarray:
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)
