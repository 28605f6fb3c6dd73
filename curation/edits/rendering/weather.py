"""Slots `weather/0` = {kind, strength, seed} and `light/0` = {name}: rain, snow, fog, and other light on the whole picture.

Drawn from the value, the picture's size and the pixel below alone: nothing spreads, so that masks of other edits hold.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np

from .photometric import LUMA


def weather(rgb: np.ndarray, value: dict[str, Any]) -> np.ndarray:
    """The picture in rain, snow or fog. KeyError for a kind that `WEATHER` lacks."""
    return WEATHER[value["kind"]](
        rgb, float(value["strength"]), np.random.default_rng(int(value.get("seed", 0)))
    )


def light(rgb: np.ndarray, value: dict[str, Any]) -> np.ndarray:
    """The picture in another light. KeyError for a name that `LIGHTS` lacks."""
    return LIGHTS[value["name"]](rgb.astype(np.float32) / 255)


def rain(rgb: np.ndarray, strength: float, rng: np.random.Generator) -> np.ndarray:
    """Slanted streaks of three distances over a duller, darker, cooler picture."""
    x = _dulled(rgb, 0.35 * strength) * (np.array([0.86, 0.9, 0.95], np.float32) * (1 - 0.12 * strength))
    slant = float(rng.uniform(-0.28, 0.28))
    for share, length in ((0.0022, 0.035), (0.0012, 0.06), (0.0005, 0.1)):
        x += 0.5 * _streaks(rgb.shape, share * strength, length, slant, rng)[..., None] * (1.05 - x)
    return _rounded(x)


def snow(rgb: np.ndarray, strength: float, rng: np.random.Generator) -> np.ndarray:
    """Flakes of four sizes, near ones out of focus, over a paler picture."""
    x = _dulled(rgb, 0.3 * strength) * 0.9 + 0.08
    side = min(rgb.shape[:2])
    for share, radius in ((0.004, 0.0016), (0.0016, 0.0032), (0.0005, 0.006), (0.00012, 0.011)):
        spots = (rng.random(rgb.shape[:2], np.float32) < share * strength).astype(np.float32)
        sigma = max(0.6, radius * side)
        soft = cv2.GaussianBlur(spots, (0, 0), sigma) * (2 * np.pi * sigma * sigma) * 0.85
        x += np.clip(soft, 0, 0.92)[..., None] * (1 - x)
    return _rounded(x)


def fog(rgb: np.ndarray, strength: float, rng: np.random.Generator) -> np.ndarray:
    """Uneven haze, thickest above the middle, where what is seen is usually far away."""
    rows, columns = rgb.shape[:2]
    y = np.linspace(0, 1, rows, dtype=np.float32)[:, None]
    far = np.exp(-(((y - 0.35) / 0.42) ** 2))
    coarse = rng.normal(0, 1, (6, 8)).astype(np.float32)
    cloud = cv2.resize(coarse, (columns, rows), interpolation=cv2.INTER_CUBIC)
    haze = np.clip((0.45 + 0.4 * far + 0.07 * cloud) * strength, 0, 0.93)[..., None]
    return _rounded(
        _dulled(rgb, 0.4 * strength) * (1 - haze) + np.array([0.82, 0.84, 0.86], np.float32) * haze
    )


WEATHER = {"rain": rain, "snow": snow, "fog": fog}


def _dusk(x: np.ndarray) -> np.ndarray:
    return _graded(x, 0.72, (1.22, 0.94, 0.7), (1.06, 0.86, 0.92))


def _night(x: np.ndarray) -> np.ndarray:
    return _graded(_gray(x, 0.45), 0.3, (0.72, 0.92, 1.35), (0.7, 0.9, 1.3))


def _dawn(x: np.ndarray) -> np.ndarray:
    return _graded(_gray(x, 0.25), 0.85, (1.08, 0.98, 0.95), (0.95, 0.97, 1.12)) * 0.94 + 0.05


def _overcast(x: np.ndarray) -> np.ndarray:
    flat = _gray(x, 0.35) * np.array([0.96, 1.0, 1.05], np.float32)
    return 0.46 + (flat - 0.46) * 0.72


def _side(x: np.ndarray, left: bool) -> np.ndarray:
    """Falls from one side to the other, in linear light."""
    across = np.linspace(1, 0, x.shape[1], dtype=np.float32)[None, :, None]
    across = across if left else across[:, ::-1]
    gain = 0.22 + 1.35 * across**1.3
    tint = 1 + (np.array([0.06, 0.0, -0.08], np.float32) * across)
    return _encoded(_shouldered(x**2.2 * gain * tint))


LIGHTS = {
    "dusk": _dusk,
    "night": _night,
    "dawn": _dawn,
    "side_left": lambda x: _side(x, True),
    "side_right": lambda x: _side(x, False),
    "overcast": _overcast,
}
# The last step of all of them is the same.
LIGHTS = {name: (lambda x, f=f: _rounded(f(x))) for name, f in LIGHTS.items()}


def _graded(
    x: np.ndarray, gain: float, lights: tuple[float, float, float], shadows: tuple[float, float, float]
) -> np.ndarray:
    """Less light, tinted otherwise where the picture is bright than where it is dark; in linear light."""
    linear = x**2.2
    luma = (linear @ LUMA)[..., None] ** 0.5
    tint = np.array(lights, np.float32) * luma + np.array(shadows, np.float32) * (1 - luma)
    return _encoded(_shouldered(linear * gain * tint))


def _shouldered(linear: np.ndarray) -> np.ndarray:
    """What would clip is bent towards white."""
    return np.where(linear > 0.7, 0.7 + 0.3 * np.tanh((linear - 0.7) / 0.3), linear)


def _encoded(linear: np.ndarray) -> np.ndarray:
    return np.clip(linear, 0, 1) ** (1 / 2.2)


def _gray(x: np.ndarray, share: float) -> np.ndarray:
    return x + ((x @ LUMA)[..., None] - x) * np.float32(share)


def _dulled(rgb: np.ndarray, share: float) -> np.ndarray:
    return _gray(rgb.astype(np.float32) / 255, share)


def _streaks(
    shape: tuple[int, ...], share: float, length: float, slant: float, rng: np.random.Generator
) -> np.ndarray:
    """(H, W) 0..1: drops drawn out along their fall, `length` of the height long."""
    rows, columns = shape[:2]
    side = max(5, round(length * rows)) | 1
    kernel = np.zeros((side, side), np.float32)
    middle = side // 2
    cv2.line(
        kernel,
        (round(middle - slant * middle), 0),
        (round(middle + slant * middle), side - 1),
        1.0,
        1,
        cv2.LINE_AA,
    )
    drops = (rng.random((rows, columns), np.float32) < share).astype(np.float32)
    return np.clip(cv2.filter2D(drops, -1, kernel, borderType=cv2.BORDER_REFLECT), 0, 1)


def _rounded(x: np.ndarray) -> np.ndarray:
    return np.clip(np.rint(x * 255), 0, 255).astype(np.uint8)
