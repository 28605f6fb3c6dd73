"""Rendered posters, signs, book covers and menus with Chinese and English text, and the exact strings on them."""

from __future__ import annotations

import importlib.util
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.random import Generator
from PIL import Image, ImageDraw, ImageFont

from .canvas import Canvas, Color, fractal_noise, hsv, mix
from .photos import Picture

#: title, lines below it, small print; written for this corpus.
_ENGLISH = (
    ("Harbor Lights", ("A jazz evening by the old pier", "Friday at eight"), "Bring a warm coat"),
    ("The Paper Garden", ("Stories for rainy afternoons", "Second edition"), "With forty drawings"),
    ("Mind the Wet Floor", ("Cleaning in progress",), "Thank you for your patience"),
    ("Northern Railways", ("Slow trains to quiet valleys", "Every Sunday in May"), "Tickets at platform six"),
    ("Apple Week", ("Fresh cider and warm bread", "Market square"), "Open until sunset"),
    ("Silent Orbit", ("A film about the last lighthouse in space",), "Doors open at seven"),
    ("Beginner Pottery", ("Clay, glaze and patience", "Eight lessons"), "Aprons are provided"),
    (
        "River Marathon",
        ("Forty two kilometers of good company", "Start at the stone bridge"),
        "Water every mile",
    ),
    ("Night Bakery", ("Rolls from four in the morning",), "Ring the brass bell"),
    ("Field Guide to Moss", ("Three hundred small green worlds",), "Pocket edition"),
    ("Gallery Closed", ("We are hanging new paintings", "See you on Tuesday"), "Staff entrance on the left"),
    ("Winter Timetable", ("Bus 24 leaves every twenty minutes",), "Valid from December"),
    ("Lemon and Thyme", ("Cooking for two", "Simple dinners"), "Ninety recipes"),
    ("Chess in the Park", ("Open tables for all ages",), "Bring your own clock"),
)

_CHINESE = (
    ("山间茶会", ("春天的第一壶新茶", "周六上午十点"), "请自带茶杯"),
    ("小心地滑", ("正在清洁",), "谢谢您的配合"),
    ("夜航船", ("一本写给旅人的书",), "第二版"),
    ("城市书店", ("每天营业到深夜", "欢迎带猫来看书"), "二楼有咖啡"),
    ("江边音乐节", ("三天两夜的露天演出", "五月一日开始"), "雨天照常"),
    ("手工豆腐", ("清晨现做", "传统石磨"), "卖完为止"),
    ("请勿靠近", ("前方正在施工",), "请走右侧通道"),
    ("秋日摄影展", ("落叶与旧街巷", "免费参观"), "周一闭馆"),
    ("雪山列车", ("慢一点看风景",), "单程四小时"),
    ("古琴入门", ("零基础也能学会", "共十二节课"), "名额有限"),
    ("北方面馆", ("手擀面和热汤", "今日特价"), "加面不加价"),
    ("星空露营", ("远离城市的灯光",), "帐篷可以租用"),
    ("旧物市集", ("给老东西找个新家", "每月第一个星期日"), "可以讲价"),
    ("植物图鉴", ("认识身边的一百种树",), "适合全家阅读"),
)

_MIXED = (
    ("海风咖啡", ("Sea Breeze Coffee", "手冲与甜点"), "Open daily"),
    ("机场快线", ("Airport Express", "下一班十分钟后"), "Platform 3"),
    ("竹林酒店", ("Bamboo Hotel", "欢迎入住"), "Reception upstairs"),
    ("出口", ("Exit", "请保持畅通"), "Keep clear"),
    ("新年快乐", ("Happy New Year", "阖家幸福"), "From all of us"),
    ("博物馆", ("City Museum", "上午九点开放"), "Free entry"),
    ("水果沙拉", ("Fruit Salad", "新鲜现切"), "Large bowl"),
    ("自行车租赁", ("Bicycle Rental", "每小时十元"), "Helmets included"),
    ("爵士之夜", ("Jazz Night", "今晚九点"), "Two sets"),
    ("图书馆", ("Quiet Please", "请保持安静"), "Reading room"),
)


@dataclass(frozen=True)
class Fonts:
    """Font files by use. `chinese` is empty when no font with Chinese letters is installed."""

    english: tuple[Path, ...]
    chinese: tuple[Path, ...]

    @property
    def note(self) -> str | None:
        """What a user should know, or None."""
        if self.chinese:
            return None
        return "No Chinese font found: posters are English only. Install one with: pip install zcurate[fonts]"


def find_fonts() -> Fonts:
    """Fonts inside the matplotlib (English) and mplfonts (Chinese) packages, without importing either.

    Raises:
        FileNotFoundError: matplotlib's fonts are missing.
    """
    english = _in_package(
        "matplotlib",
        "mpl-data/fonts/ttf",
        ("DejaVuSans.ttf", "DejaVuSans-Bold.ttf", "DejaVuSerif.ttf", "DejaVuSerif-Bold.ttf"),
    )
    if not english:
        raise FileNotFoundError(
            "matplotlib/mpl-data/fonts/ttf/DejaVuSans.ttf is missing: reinstall matplotlib"
        )
    chinese = _in_package(
        "mplfonts", "fonts", ("NotoSansCJKsc-Regular.otf", "SimHei.ttf", "SourceHanSerifSC-Regular.otf")
    )
    return Fonts(english, chinese)


def _in_package(package: str, folder: str, names: tuple[str, ...]) -> tuple[Path, ...]:
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        return ()
    paths = [Path(spec.origin).parent / folder / name for name in names]
    return tuple(p for p in paths if p.is_file())


class _Layout:
    """Puts lines of text on a picture, each inside the width that is left."""

    def __init__(self, image: Image.Image, font: Path) -> None:
        self.draw, self.font, self.width = ImageDraw.Draw(image), str(font), image.width

    def line(
        self, text: str, x: float, y: float, size_px: float, color: Color, anchor: str, room: float
    ) -> float:
        """Draw one line, smaller if it would not fit in `room` px; returns its height in px."""
        font = ImageFont.truetype(self.font, max(int(size_px), 12))
        length = font.getlength(text)
        if length > room:
            font = ImageFont.truetype(self.font, max(int(size_px * room / length), 12))
        fill = tuple(int(np.clip(c, 0, 1) * 255) for c in color)
        self.draw.text((x, y), text, fill, font, anchor=anchor)
        return font.size * 1.0


def _luminance(color: Color) -> float:
    return 0.299 * color[0] + 0.587 * color[1] + 0.114 * color[2]


def _backdrop(rng: Generator, width: int, height: int, style: int) -> tuple[Canvas, Color, Color]:
    """A decorated sheet, its ink with clear contrast, and an accent color."""
    hue = rng.uniform()
    dark = bool(rng.uniform() < 0.45)
    value, saturation = (
        (rng.uniform(0.12, 0.3), rng.uniform(0.4, 0.8)) if dark else (0.95, rng.uniform(0.06, 0.35))
    )
    paper = hsv(hue, saturation, value)
    accent = hsv(hue + rng.uniform(0.3, 0.6), 0.75, 0.85 if dark else 0.62)
    canvas = Canvas(width, height, paper)
    if style == 0:
        far = mix(paper, accent, 0.28)
        canvas.gradient([paper, paper, far], 0, height)
        for i in range(5):
            r = width * rng.uniform(0.08, 0.22)
            at = (rng.uniform(0, width), height * rng.choice([0.02, 0.98]))
            canvas.ellipse(at, (r, r), mix(paper, accent, 0.25 + 0.1 * (i % 3)), alpha=0.7)
    elif style == 1:
        edge = width * 0.035
        canvas.rectangle(edge, edge, width - edge, height - edge, accent)
        canvas.rectangle(edge + 5, edge + 5, width - edge - 5, height - edge - 5, paper)
        for cx in (edge * 2.4, width - edge * 2.4):
            for cy in (edge * 2.4, height - edge * 2.4):
                canvas.ellipse((cx, cy), (edge * 0.6, edge * 0.6), accent)
    elif style == 2:
        tilt = rng.uniform(0.1, 0.3)
        for i in range(12):
            x = (i - 3) * width * 0.12
            band = [
                (x, height),
                (x + width * 0.05, height),
                (x + width * (0.05 + tilt), height * 0.80),
                (x + width * tilt, height * 0.80),
            ]
            canvas.polygon(band, mix(paper, accent, 0.35 + 0.3 * (i % 2)))
        canvas.rectangle(0, 0, width, height * 0.035, accent)
    else:
        for i in range(5):
            y = height * (0.80 + 0.05 * i)
            t = np.linspace(0, width, 40)
            wave = y + np.sin(t / width * rng.uniform(5, 11) + rng.uniform(0, 6)) * height * 0.02
            canvas.polygon(
                [(0, height), *zip(t, wave, strict=True), (width, height)], mix(paper, accent, 0.2 + 0.12 * i)
            )
        canvas.ellipse((width * rng.uniform(0.15, 0.85), height * 0.06), (width * 0.05,) * 2, accent)
    canvas.shade(1 + 0.012 * fractal_noise(rng, height, width, 6, 0.7))
    ink = hsv(hue, 0.12, 0.98) if _luminance(paper) < 0.5 else hsv(hue, 0.6, 0.14)
    return canvas, ink, accent


def _poster(
    rng: Generator, words: tuple[str, tuple[str, ...], str], font: Path, style: int, size: tuple[int, int]
) -> np.ndarray:
    width, height = size
    title, lines, small = words
    canvas, ink, accent = _backdrop(rng, width, height, style)
    pixels = (np.clip(canvas.rgb, 0, 1) * 255).astype(np.uint8)
    image = Image.fromarray(pixels)
    layout = _Layout(image, font)
    left = bool(rng.uniform() < 0.4)
    x, anchor = (width * 0.11, "la") if left else (width * 0.5, "ma")
    room, y = width * 0.78, height * rng.uniform(0.14, 0.22)
    y += layout.line(title, x, y, min(width, height) * rng.uniform(0.13, 0.17), ink, anchor, room) * 1.45
    rule_x = x if left else x - width * 0.12
    rule = tuple(int(c * 255) for c in accent)
    layout.draw.rectangle([rule_x, y, rule_x + width * 0.24, y + max(3, height * 0.008)], fill=rule)
    y += height * 0.06
    for text in lines:
        y += layout.line(text, x, y, min(width, height) * rng.uniform(0.058, 0.072), ink, anchor, room) * 1.6
    y = max(y + height * 0.03, height * rng.uniform(0.62, 0.70))
    layout.line(
        small, x, y, min(width, height) * rng.uniform(0.042, 0.05), mix(ink, accent, 0.25), anchor, room
    )
    return np.asarray(image)


#: What a title is printed on; everything else is a poster.
_KINDS = {
    "sign": ("Mind the Wet Floor", "Gallery Closed", "Winter Timetable", "小心地滑", "请勿靠近", "机场快线", "出口",
             "自行车租赁", "图书馆", "博物馆"),
    "book_cover": ("The Paper Garden", "Field Guide to Moss", "Lemon and Thyme", "夜航船", "植物图鉴"),
    "menu": ("Night Bakery", "手工豆腐", "北方面馆", "海风咖啡", "水果沙拉"),
}  # fmt: skip
_SIZES = {"poster": (600, 800), "sign": (800, 520), "book_cover": (560, 760), "menu": (640, 720)}
_KIND_ZH = {"poster": "海报", "sign": "指示牌", "book_cover": "书籍封面", "menu": "菜单"}


def render_posters(seed: int, fonts: Fonts) -> list[Picture]:
    """Posters with their exact strings in `texts`, top to bottom; without a Chinese font, English only."""
    groups = [("en", _ENGLISH), ("zh", _CHINESE), ("mixed", _MIXED)]
    out: list[Picture] = []
    for language, entries in groups:
        faces = fonts.english if language == "en" else fonts.chinese
        if not faces:
            continue
        for i, words in enumerate(entries):
            rng = np.random.default_rng([seed, zlib.crc32(f"poster_{language}".encode()), i])
            kind = next((k for k, titles in _KINDS.items() if words[0] in titles), "poster")
            width, height = _SIZES[kind]
            scale = rng.uniform(0.88, 1.2)
            size = (int(width * scale), int(height * scale))
            image = _poster(rng, words, faces[i % len(faces)], int(rng.integers(0, 4)), size)
            title, lines, small = words
            alt = f"{_KIND_ZH[kind]}：{title}" if language != "en" else f"A {kind.replace('_', ' ')}: {title}"
            out.append(
                Picture(
                    base_id=f"poster_{language}_{i:02d}",
                    image=image,
                    class_name=kind,
                    alt_text=alt,
                    title=title,
                    tags=(kind, "text", language),
                    texts=(title, *lines, small),
                )
            )
    return out
