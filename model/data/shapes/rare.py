"""Kinds of things that the world's usual pictures never show: what a model has not been trained on, and may be taught.

Names of the last four are put together from other kinds, and say nothing of how the thing looks to one who does not know
it, as `squirrel fish` does not.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

_Inside = Callable[[np.ndarray, np.ndarray], np.ndarray]


def _largest(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return np.maximum(abs(x), abs(y))


def _heart(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    u, v = 1.15 * x, 0.2 - 1.15 * y
    return (u * u + v * v - 1) ** 3 <= u * u * v**3


def _crescent(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return (np.hypot(x, y) <= 1) & (np.hypot(x - 0.5, y) > 0.75)


def _arrow(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return np.where(y <= 0, abs(x) <= y + 1, abs(x) <= 0.3)


def _hourglass(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return (abs(x) <= 0.95 * abs(y)) & (abs(y) <= 0.95)


def _frame(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return (_largest(x, y) <= 0.95) & (_largest(x, y) >= 0.55)


def _saltire(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return (abs(abs(x) - abs(y)) <= 0.35) & (_largest(x, y) <= 0.95)


def _arch(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    far = np.where(y <= 0, np.hypot(x, y), abs(x))
    return (far <= 1) & (far >= 0.5)


def _stairs(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    step = np.floor((x + 1) * 1.5)
    return y >= 1 - 2 * (step + 1) / 3


def _corner(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return (_largest(x, y) <= 0.95) & ((x <= -0.35) | (y >= 0.35))


def _dome(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return (np.hypot(x, (y - 0.45) / 1.4) <= 1) & (y <= 0.45)


def _cup(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return (_largest(x, y) <= 0.95) & ((abs(x) >= 0.45) | (y >= 0.45))


def _comb(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return (_largest(x, y) <= 0.95) & ((x <= -0.45) | (abs(y) >= 0.6) | (abs(y) <= 0.2))


def _checker(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return (x * y >= 0) & (_largest(x, y) <= 0.95)


def _slash(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return (abs(x + y) <= 0.45) & (_largest(x, y) <= 0.95)


def _pillar(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return (abs(x) <= 0.35) & (abs(y) <= 1)


def _flag(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return ((x >= -0.95) & (x <= -0.6)) | ((x >= -0.95) & (x <= 0.95) & (y <= 0))


def _diamond_ring(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    radius = np.hypot(x, y - 0.3)
    return ((radius <= 0.68) & (radius >= 0.34)) | (abs(x) + abs(y + 0.6) <= 0.4)


def _star_cross(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return abs(x) ** 0.6 + abs(y) ** 0.6 <= 1


def _circle_square(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return (_largest(x, y) <= 0.95) & (np.hypot(x, y) >= 0.62)


def _triangle_bar(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return ((abs(x) <= (y + 1) / 1.3) & (y <= 0.2)) | ((y >= 0.55) & (abs(x) <= 1))


#: Name -> whether points of the square -1..1 belong to it; y grows downwards.
PLAIN: Mapping[str, _Inside] = {
    **{"heart": _heart, "crescent": _crescent, "arrow": _arrow, "hourglass": _hourglass, "frame": _frame},
    **{"saltire": _saltire, "arch": _arch, "stairs": _stairs, "corner": _corner, "dome": _dome, "cup": _cup},
    **{"comb": _comb, "checker": _checker, "slash": _slash, "pillar": _pillar, "flag": _flag},
}
COMPOSED: Mapping[str, _Inside] = {
    "diamond ring": _diamond_ring,
    "star cross": _star_cross,
    "circle square": _circle_square,
    "triangle bar": _triangle_bar,
}
RARE: Mapping[str, _Inside] = {**PLAIN, **COMPOSED}
ZH_RARE = {
    **{"heart": "心形", "crescent": "新月形", "arrow": "箭头", "hourglass": "沙漏", "frame": "方框"},
    **{
        "saltire": "斜十字",
        "arch": "拱门",
        "stairs": "阶梯",
        "corner": "直角",
        "dome": "圆顶",
        "cup": "杯形",
    },
    **{"comb": "梳形", "checker": "棋格", "slash": "斜线", "pillar": "立柱", "flag": "旗子"},
    **{"diamond ring": "钻戒", "star cross": "星十字", "circle square": "圆方", "triangle bar": "三角条"},
}
