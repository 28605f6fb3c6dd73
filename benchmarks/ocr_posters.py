"""Posters with known text for `caption_ocr.py`: grounds, colors and layouts drawn at random."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.random import Generator
from ocr_words import EN, ZH, Face, font_of
from PIL import Image, ImageDraw, ImageFont

from zcurate.pipelines.demo import graphics, landscapes
from zcurate.pipelines.demo.canvas import Canvas, fractal_noise, hsv

MIN_SIZE_PX = 24
SIZES = (
    (640, 640),
    (768, 1024),
    (1024, 768),
    (900, 1600),
    (1280, 720),
    (1600, 1200),
    (1536, 2304),
    (2400, 3200),
)
LAYOUTS = ("stack", "left", "banner", "columns", "menu", "bands", "tilted")


@dataclass
class Poster:
    """A picture and what is written on it, in reading order, with the size of each line in px."""

    rgb: np.ndarray
    layout: str
    ground: str
    fonts: tuple[str, str]
    lines: list[tuple[str, int]] = field(default_factory=list)


def _photo(rng: Generator, width: int, height: int) -> np.ndarray:
    """A rendered scene, with grain, (H, W, 3) uint8."""
    scale = 640 / max(width, height)
    canvas = Canvas(round(width * scale), round(height * scale))
    weather = landscapes.WEATHERS[int(rng.integers(len(landscapes.WEATHERS)))]
    scenes: list[Callable[[], object]] = [
        lambda: landscapes.mountain_lake(canvas, rng, weather),
        lambda: landscapes.seascape(canvas, rng, weather),
        lambda: landscapes.forest(canvas, rng, weather),
        lambda: landscapes.desert(canvas, rng, weather),
        lambda: graphics.flowers(canvas, rng),
        lambda: graphics.balloons(canvas, rng),
    ]
    scenes[int(rng.integers(len(scenes)))]()
    rgb = cv2.resize(canvas.finish(rng), (width, height), interpolation=cv2.INTER_CUBIC)
    grain = cv2.resize(rng.normal(0, 5, (height // 2, width // 2)).astype(np.float32), (width, height))
    return np.clip(rgb + grain[..., None], 0, 255).astype(np.uint8)


def _contrast(a: np.ndarray, b: np.ndarray) -> float:
    """WCAG 2 contrast ratio of two sRGB colors 0..1."""
    light = [
        float(np.where(c <= 0.03928, c / 12.92, ((c + 0.055) / 1.055) ** 2.4) @ [0.2126, 0.7152, 0.0722])
        for c in (a, b)
    ]
    return (max(light) + 0.05) / (min(light) + 0.05)


class _Sheet:
    """A page being written on."""

    def __init__(self, rng: Generator, faces: list[Face], size: tuple[int, int]) -> None:
        self.rng, self.width, self.height = rng, *size
        english = [f for f in faces if not f.chinese]
        chinese = [f for f in faces if f.chinese]
        self.faces = english[int(rng.integers(len(english)))], chinese[int(rng.integers(len(chinese)))]
        self.unit = min(size) / 20
        self.lines: list[tuple[str, int]] = []
        paper = np.array(hsv(rng.uniform(), rng.uniform(0, 0.7), rng.uniform(0.1, 1.0)))
        while True:  # large text is to have a contrast of 3 at least (WCAG 2, 1.4.3)
            ink = np.array(hsv(rng.uniform(), rng.uniform(0, 1), rng.uniform(0, 1)))
            if _contrast(ink, paper) >= 3:
                break
        self.ground = str(rng.choice(["flat", "shaded", "photo", "photo"]))
        self.stroke: tuple[int, ...] | None = None
        if self.ground == "photo":
            rgb = _photo(rng, *size)
            # As designers do: white or black, with an outline, on a scene a little darkened or lightened.
            dark = bool(rng.integers(2))
            ink = np.full(3, 1.0 if dark else 0.0)
            rgb = (rgb * 0.6).astype(np.uint8) if dark else (rgb * 0.6 + 102).astype(np.uint8)
            self.stroke = (0, 0, 0) if dark else (255, 255, 255)
        else:
            page = np.broadcast_to(paper, (self.height, self.width, 3)).astype(np.float32)
            if self.ground == "shaded":
                noise = cv2.resize(
                    fractal_noise(rng, self.height // 4, self.width // 4), (self.width, self.height)
                )
                page = page * (1 + 0.06 * np.clip(noise, -2, 2))[..., None]
            rgb = (np.clip(page, 0, 1) * 255).astype(np.uint8)
        self.ink = tuple(int(c * 255) for c in ink)
        self.image = Image.fromarray(rgb)
        self.draw = ImageDraw.Draw(self.image)

    def _values(self) -> dict[str, int]:
        low = {
            "a": 1000,
            "b": 1000,
            "h": 7,
            "k": 15,
            "n": 12,
            "g": 2,
            "p": 10,
            "d": 1,
            "y": 1990,
            "o": 1,
            "m": 0,
        }
        high = {
            "a": 9999,
            "b": 9999,
            "h": 11,
            "k": 23,
            "n": 99,
            "g": 9,
            "p": 80,
            "d": 29,
            "y": 2030,
            "o": 13,
            "m": 100,
        }
        return {name: int(self.rng.integers(low[name], high[name])) for name in low}

    def words(self, kind: str, chinese: bool) -> str:
        """A string of one kind: title, say, item, fact."""
        pool = ZH if chinese else EN
        pick = lambda name: str(pool[name][int(self.rng.integers(len(pool[name])))])  # noqa: E731
        while True:
            if kind == "title":
                text = pick("who") + ("" if chinese else " ") + pick("what")
                text = text.upper() if not chinese and self.rng.uniform() < 0.3 else text
            elif kind == "mixed":
                english = str(EN["what"][int(self.rng.integers(len(EN["what"])))])
                text = f"{pick('who') if chinese else ZH['who'][int(self.rng.integers(20))]} {english} {pick('what')}"
                chinese = True
            else:
                text = pick(kind).format(**self._values())
            if self.faces[chinese].draws(text):
                return text

    def put(self, text: str, x: float, y: float, size_px: float, room: float, anchor: str = "l") -> float:
        """Write a line whose top is at y; not wider than `room` px, not smaller than 24 px. Returns its height.

        What does not fit at 24 px is broken into several lines.
        """
        face = self.faces[any("\u4e00" <= c <= "\u9fff" for c in text) or not self.faces[0].draws(text)]
        size = max(int(size_px), MIN_SIZE_PX)
        length = font_of(face, size).getlength(text)
        if length > room:
            size = max(int(size * room / length), MIN_SIZE_PX)
        font = font_of(face, size)
        used = 0.0
        for piece in _broken(text, font, room):
            at = (x, y + used)
            width = max(1, size // 24) if self.stroke else 0
            self.draw.text(
                at, piece, self.ink, font, anchor=anchor + "a", stroke_width=width, stroke_fill=self.stroke
            )
            self.lines.append((piece, size))
            used += size * 1.35
        return used

    def any_size(self, low: float, high: float) -> float:
        """Px, log-uniform between two multiples of the unit (a twentieth of the short side)."""
        return float(np.exp(self.rng.uniform(np.log(low), np.log(high)))) * self.unit

    def text_size(self, high: float) -> float:
        """Px, log-uniform from 24 px to a multiple of the unit: fine print on large sheets too."""
        return max(self.any_size(min(MIN_SIZE_PX / self.unit, high), high), MIN_SIZE_PX)


def _broken(text: str, font: ImageFont.FreeTypeFont, room: float) -> list[str]:
    if font.getlength(text) <= room:
        return [text]
    spaced = " " in text.strip()
    atoms = text.split(" ") if spaced else list(text)
    pieces, join = [""], " " if spaced else ""
    for atom in atoms:
        longer = pieces[-1] + join + atom if pieces[-1] else atom
        if pieces[-1] and font.getlength(longer) > room:
            pieces.append(atom)
        else:
            pieces[-1] = longer
    return pieces


def _stack(sheet: _Sheet, left: bool) -> None:
    w, h = sheet.width, sheet.height
    x, anchor = (w * 0.08, "l") if left else (w * 0.5, "m")
    y = h * sheet.rng.uniform(0.04, 0.12)
    zh = bool(sheet.rng.integers(2))
    y += sheet.put(sheet.words("title", zh), x, y, sheet.any_size(2, 5), w * 0.84, anchor) + sheet.unit * 0.5
    kinds = ["title", "say", "say", "mixed", "fact", "say", "fact", "say"]
    for i, kind in enumerate(kinds[: int(sheet.rng.integers(3, 9))]):
        if y > h * 0.85:
            break
        y += sheet.put(sheet.words(kind, zh == bool(i % 2)), x, y, sheet.any_size(0.7, 2), w * 0.84, anchor)
        y += sheet.unit * sheet.rng.uniform(0.2, 0.8)


def _banner(sheet: _Sheet) -> None:
    """One huge line in each language, and small print."""
    w, h = sheet.width, sheet.height
    y = h * 0.05
    for zh in (True, False):
        y += sheet.put(sheet.words("title", zh), w / 2, y, h * 0.33, w * 0.94, "m") + h * 0.04
    for zh in (True, False):
        if y < h * 0.9:
            y += sheet.put(sheet.words("say", zh), w / 2, y, MIN_SIZE_PX, w * 0.9, "m") + sheet.unit * 0.3


def _columns(sheet: _Sheet) -> None:
    w, h = sheet.width, sheet.height
    zh = bool(sheet.rng.integers(2))
    top = h * 0.05
    top += sheet.put(sheet.words("title", zh), w / 2, top, sheet.any_size(1.5, 3), w * 0.9, "m") + sheet.unit
    count = 2 if w < 1200 else int(sheet.rng.integers(2, 5))
    room = w * 0.88 / count
    size = sheet.text_size(0.8)
    for i in range(count):
        y = top
        for _ in range(int(sheet.rng.integers(4, 12))):
            if y > h * 0.85:
                break
            y += sheet.put(sheet.words("say", zh == bool(i % 2)), w * 0.06 + i * room, y, size, room * 0.88)


def _menu(sheet: _Sheet) -> None:
    w, h = sheet.width, sheet.height
    y = h * 0.06
    y += sheet.put(sheet.words("title", True), w / 2, y, sheet.any_size(1.5, 3), w * 0.8, "m") + sheet.unit
    size = sheet.text_size(1.1)
    while y < h * 0.9:
        sheet.put(sheet.words("item", bool(sheet.rng.integers(2))), w * 0.08, y, size, w * 0.6)
        price = f"{sheet.rng.integers(5, 99)}" + str(sheet.rng.choice([".00", ".50", "元", ""]))
        y += sheet.put(price, w * 0.92, y, size, w * 0.25, "r") + size * 0.4


def _bands(sheet: _Sheet) -> None:
    w, h = sheet.width, sheet.height
    count = int(sheet.rng.integers(3, 6))
    sheet.stroke = None
    sheet.ground = "flat"
    for i in range(count):
        top, below = h * i / count, h * (i + 1) / count
        ground = np.array(hsv(sheet.rng.uniform(), sheet.rng.uniform(0, 0.9), sheet.rng.uniform(0, 1)))
        sheet.draw.rectangle([0, top, w, below], fill=tuple(int(c * 255) for c in ground))
        light = _contrast(np.ones(3), ground) >= 3
        sheet.ink = (255, 255, 255) if light else (10, 10, 20)
        kind = str(sheet.rng.choice(["title", "say", "fact"]))
        sheet.put(
            sheet.words(kind, bool(i % 2)),
            w / 2,
            top + (below - top) * 0.25,
            (below - top) * 0.45,
            w * 0.9,
            "m",
        )


def _tilted(sheet: _Sheet) -> None:
    """A stack turned by up to 6 degrees."""
    _stack(sheet, left=bool(sheet.rng.integers(2)))
    angle = float(sheet.rng.uniform(2, 6) * sheet.rng.choice([-1, 1]))
    turn = cv2.getRotationMatrix2D((sheet.width / 2, sheet.height / 2), angle, 1.0)
    cos, sin = abs(turn[0, 0]), abs(turn[0, 1])
    w, h = int(sheet.height * sin + sheet.width * cos), int(sheet.height * cos + sheet.width * sin)
    turn[:, 2] += ((w - sheet.width) / 2, (h - sheet.height) / 2)
    turned = cv2.warpAffine(
        np.asarray(sheet.image), turn, (w, h), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE
    )
    sheet.image = Image.fromarray(turned)


def _vertical(sheet: _Sheet) -> None:
    """Chinese in columns from the right to the left, read from the top down."""
    w, h = sheet.width, sheet.height
    size = max(MIN_SIZE_PX + 8, int(sheet.any_size(1, 2)))
    font, x = font_of(sheet.faces[1], size), w * 0.85
    stroke = max(1, size // 24) if sheet.stroke else 0
    for _ in range(int(sheet.rng.integers(2, 6))):
        text = "".join(c for c in sheet.words("say", True) if "\u4e00" <= c <= "\u9fff")
        text = text[: max(2, int(h * 0.85 / (size * 1.15)))]
        for i, char in enumerate(text):
            at = (x, h * 0.06 + i * size * 1.15)
            sheet.draw.text(
                at, char, sheet.ink, font, anchor="ma", stroke_width=stroke, stroke_fill=sheet.stroke
            )
        sheet.lines.append((text, size))
        x -= size * 2
        if x < w * 0.1:
            break


_DRAW: dict[str, Callable[[_Sheet], None]] = {
    "stack": lambda sheet: _stack(sheet, left=False),
    "left": lambda sheet: _stack(sheet, left=True),
    "banner": _banner,
    "columns": _columns,
    "menu": _menu,
    "bands": _bands,
    "tilted": _tilted,
    "vertical": _vertical,
}


def poster(seed: int, number: int, faces: list[Face], layout: str) -> Poster:
    """Poster `number` of a seed. Saved and read as JPEG of quality 85..95, as pictures arrive."""
    rng = np.random.default_rng([seed, number, len(faces)])
    sheet = _Sheet(rng, faces, SIZES[int(rng.integers(len(SIZES)))])
    _DRAW[layout](sheet)
    bgr = cv2.cvtColor(np.asarray(sheet.image), cv2.COLOR_RGB2BGR)
    _, data = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(85, 96))])
    rgb = cv2.cvtColor(cv2.imdecode(data, cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)
    return Poster(rgb, layout, sheet.ground, (sheet.faces[0].name, sheet.faces[1].name), sheet.lines)
