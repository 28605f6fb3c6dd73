"""The catalog of rendered scenes: which are drawn, how many, and what is true of each.

Every scene comes from its own random generator (seed, class, index), so that a scene does not change when
others are added.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from . import cities, graphics, landscapes, still_lifes
from .canvas import Canvas
from .landscapes import WEATHERS
from .photos import Picture

_Painter = Callable[[Canvas, Generator, landscapes.Weather], tuple[str, str]]

#: Width and height in px; landscape, portrait and square.
SIZES = (
    (640, 480),
    (720, 480),
    (640, 400),
    (480, 640),
    (560, 560),
    (768, 432),
    (512, 640),
    (600, 450),
    (448, 448),
)

_WEATHERED: dict[str, tuple[_Painter, int, tuple[str, ...]]] = {
    "mountain_lake": (landscapes.mountain_lake, 13, ("mountain", "lake", "山", "湖")),
    "seascape": (landscapes.seascape, 12, ("sea", "boat", "海", "帆船")),
    "desert": (landscapes.desert, 8, ("desert", "dunes", "沙漠")),
    "forest": (landscapes.forest, 9, ("forest", "trees", "森林")),
    "village": (landscapes.village, 11, ("village", "houses", "村庄")),
    "city_day": (cities.skyline, 10, ("city", "skyline", "城市")),
}

_PLAIN: dict[str, tuple[Callable[[Canvas, Generator], tuple[str, str]], int, tuple[str, ...]]] = {
    "interior": (cities.interior, 9, ("room", "sofa", "客厅")),
    "flowers": (graphics.flowers, 12, ("flower", "garden", "花")),
    "stained_glass": (graphics.stained_glass, 7, ("glass", "window", "pattern")),
    "balloons": (graphics.balloons, 8, ("balloon", "sky", "热气球")),
    "aquarium": (graphics.aquarium, 8, ("fish", "water", "鱼")),
}

_SOLID_ZH = {"sphere": "球", "box": "方块", "cylinder": "圆柱"}


def _rng(seed: int, class_name: str, index: int) -> Generator:
    return np.random.default_rng([seed, zlib.crc32(class_name.encode()), index])


def _size(rng: Generator) -> tuple[int, int]:
    w, h = SIZES[int(rng.integers(0, len(SIZES)))]
    scale = rng.uniform(0.85, 1.12)
    return int(w * scale), int(h * scale)


def _picture(
    class_name: str,
    index: int,
    image: NDArray[np.uint8],
    alt: tuple[str, str],
    tags: tuple[str, ...],
    hard_negative: str | None = None,
    texts: tuple[str, ...] = (),
) -> Picture:
    chinese = index % 2 == 1
    title = class_name.replace("_", " ").capitalize()
    return Picture(
        base_id=f"{class_name}_{index:02d}",
        image=image,
        class_name=class_name,
        alt_text=alt[1] if chinese else alt[0],
        title=f"{title} {index + 1}",
        tags=tags,
        texts=texts,
        hard_negative=hard_negative,
    )


def _setup_text(setup: still_lifes.Setup) -> tuple[str, str]:
    kinds = [s.kind for s in setup.solids]
    counts = [(k, kinds.count(k)) for k in ("sphere", "box", "cylinder") if k in kinds]
    english = ", ".join(
        f"{n} {k}" if n == 1 else f"{n} {k}es" if k == "box" else f"{n} {k}s" for k, n in counts
    )
    chinese = "、".join(f"{n}个{_SOLID_ZH[k]}" for k, n in counts)
    return f"A still life on a table: {english}", f"桌上的静物：{chinese}"


def _solids(seed: int) -> list[Picture]:
    """Still lifes, and the hard negatives that are made of them."""
    out = []
    tags = ("still life", "solids", "静物")
    for i in range(14):
        rng = _rng(seed, "still_life", i)
        setup = still_lifes.arrange(rng, int(rng.integers(3, 7)))
        image = still_lifes.still_life(setup, *_size(rng)).finish(rng)
        out.append(_picture("still_life", i, image, _setup_text(setup), tags))
    for i in range(4):
        rng = _rng(seed, "shallow_focus", i)
        setup = still_lifes.arrange(rng, 5, aperture=rng.uniform(5, 7))
        image = still_lifes.still_life(setup, *_size(rng)).finish(rng)
        out.append(_picture("shallow_focus", i, image, _setup_text(setup), tags, "shallow_focus"))
    for i in range(5):
        rng = _rng(seed, "product", i)
        setup = still_lifes.arrange(rng, 1 + i % 2, "white")
        image = still_lifes.still_life(setup, *_size(rng)).finish(rng, grain=0.004, vignette=0)
        alt = ("Product photo on a white background", "白色背景的商品照片")
        out.append(_picture("product", i, image, alt, ("product", "商品"), "white_background"))
    for i in range(3):
        size = _size(_rng(seed, "color_variant_size", i))
        setup = still_lifes.arrange(_rng(seed, "color_variant", i), 2)
        start = float(_rng(seed, "color_variant_hue", i).uniform())
        for k in range(3):
            variant = still_lifes.recolor(setup, start + k / 3)
            image = still_lifes.still_life(variant, *size).finish(
                _rng(seed, "color_variant_grain", i * 3 + k)
            )
            out.append(
                _picture("color_variant", i * 3 + k, image, _setup_text(variant), tags, "color_variant")
            )
    return out


def sepia(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Brown-toned photograph from uint8 RGB."""
    grey = image.astype(np.float32) @ np.array([0.299, 0.587, 0.114], np.float32)
    return np.clip(grey[..., None] * (1.07, 0.87, 0.66) + (14, 10, 4), 0, 255).astype(np.uint8)


def grey(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Black and white photograph as three equal channels."""
    return cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)


def pastel(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Low contrast and light: values squeezed into the upper half."""
    return (140 + image.astype(np.float32) * 0.42).astype(np.uint8)


def _toned(seed: int) -> list[Picture]:
    """Sepia, grey and pastel photographs of scenes that are not used elsewhere."""
    out = []
    tones = (("sepia", sepia), ("grey", grey), ("pastel", pastel))
    painters = list(_WEATHERED.items())
    for t, (name, tone) in enumerate(tones):
        for i in range(4):
            rng = _rng(seed, name, i)
            class_name, (paint, _, tags) = painters[(i * 2 + t) % len(painters)]
            canvas = Canvas(*_size(rng))
            alt = paint(canvas, rng, WEATHERS[(i + t) % len(WEATHERS)])
            image = tone(canvas.finish(rng))
            out.append(_picture(f"{name}_{class_name}", i, image, alt, tags, name))
    return out


def render_scenes(seed: int, label_font: str) -> list[Picture]:
    """All rendered scenes, always in the same order.

    Args:
        label_font: path of the font of the chart labels (English).
    """
    out: list[Picture] = []
    for class_name, (paint, count, tags) in _WEATHERED.items():
        for i in range(count):
            rng = _rng(seed, class_name, i)
            canvas = Canvas(*_size(rng))
            alt = paint(canvas, rng, WEATHERS[i % len(WEATHERS)])
            out.append(_picture(class_name, i, canvas.finish(rng), alt, tags))
    for class_name, (draw, count, tags) in _PLAIN.items():
        for i in range(count):
            rng = _rng(seed, class_name, i)
            canvas = Canvas(*_size(rng))
            alt = draw(canvas, rng)
            out.append(_picture(class_name, i, canvas.finish(rng), alt, tags))
    for i in range(5):
        rng = _rng(seed, "night", i)
        canvas = Canvas(*_size(rng))
        alt = landscapes.night_sky(canvas, rng) if i < 3 else cities.skyline(canvas, rng, None)
        out.append(_picture("night", i, canvas.finish(rng), alt, ("night", "夜晚"), "night"))
    for i in range(5):
        rng = _rng(seed, "chart", i)
        canvas = Canvas(*_size(rng))
        english, chinese, texts = graphics.chart(canvas, rng, i, label_font)
        image = canvas.finish(rng, grain=0.0, vignette=0.0)
        out.append(_picture("chart", i, image, (english, chinese), ("chart",), None, texts))
    return out + _solids(seed) + _toned(seed)
