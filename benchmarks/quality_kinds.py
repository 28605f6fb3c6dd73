"""How well the quality model ranks each kind of fault by itself: what it sees, and what it does not.

`quality_accuracy.py` mixes kinds as it goes for its headline figures; here each is planted alone, by code that shares
nothing with the training's.

    python benchmarks/quality_kinds.py --photos DIR --fonts DIR [DIR ...]

Prints, per kind of blur, noise, cast and compression, Spearman's rank correlation between planted strength and score over all
pictures, and its mean within each picture (which leaves out what the picture itself looks like), with the mean score
of weak (below 0.1) and strong (above 0.8) faults; per kind of watermark, the AUC of clean against marked pictures and
the share found at 0.5. Ends with one line of JSON.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFilter, ImageFont
from quality_accuracy import SHARED, WORDS, as_jpeg, fonts_below, read_photos
from scipy.stats import spearmanr
from sklearn.metrics import roc_auc_score

from zcurate.curation.profile.quality.model import DEFAULT_THRESHOLD, QualityModel, load_quality
from zcurate.curation.profile.shrink import shrink

Rng = np.random.Generator
#: Changes a picture by a strength of 0 to 1.
Plant = Callable[[Image.Image, float, Rng], Image.Image]


def floats(image: Image.Image) -> np.ndarray:
    return np.asarray(image, np.float32)


def picture(x: np.ndarray) -> Image.Image:
    return Image.fromarray(np.clip(x, 0, 255).round().astype(np.uint8))


def disk(image: Image.Image, s: float, rng: Rng) -> Image.Image:
    radius = 8 * s
    n = int(radius) + 1
    y, x = np.mgrid[-n : n + 1, -n : n + 1]
    kernel = np.clip(radius + 0.5 - np.hypot(x, y), 0, 1).astype(np.float32)
    return picture(cv2.filter2D(floats(image), -1, kernel / kernel.sum()))


def level_motion(image: Image.Image, s: float, rng: Rng) -> Image.Image:
    kernel = np.full((1, 1 + int(24 * s)), 1.0, np.float32)
    kernel = kernel / kernel.size
    return picture(cv2.filter2D(floats(image), -1, kernel if rng.random() < 0.5 else kernel.T))


def box(image: Image.Image, s: float, rng: Rng) -> Image.Image:
    return image.filter(ImageFilter.BoxBlur(7 * s))


def enlarged(image: Image.Image, s: float, rng: Rng) -> Image.Image:
    small = [max(8, round(side / (1 + 5 * s))) for side in image.size]
    return image.resize(small, Image.Resampling.BICUBIC).resize(image.size, Image.Resampling.BICUBIC)


def luma_noise(image: Image.Image, s: float, rng: Rng) -> Image.Image:
    return picture(floats(image) + rng.normal(0, 50 * s, (image.height, image.width, 1)))


def poisson(image: Image.Image, s: float, rng: Rng) -> Image.Image:
    photons = 3 * 2000 ** (1 - s)
    return picture(rng.poisson(floats(image) / 255 * photons) / photons * 255)


def speckle(image: Image.Image, s: float, rng: Rng) -> Image.Image:
    x = floats(image)
    return picture(x * (1 + rng.normal(0, 0.5 * s, x.shape)))


def salt_and_pepper(image: Image.Image, s: float, rng: Rng) -> Image.Image:
    x, draw = floats(image).copy(), rng.random((image.height, image.width))
    x[draw < 0.1 * s], x[draw > 1 - 0.1 * s] = 0, 255
    return picture(x)


def coarse_noise(image: Image.Image, s: float, rng: Rng) -> Image.Image:
    """Of high sensitivity, as cameras' own processing leaves it: neighbors alike."""
    x = floats(image)
    field = cv2.GaussianBlur(rng.normal(size=x.shape).astype(np.float32), (0, 0), 0.7)
    return picture(x + field / field.std() * 40 * s)


def warm_or_cool(image: Image.Image, s: float, rng: Rng) -> Image.Image:
    gain = 1 + 0.5 * s * rng.choice([-1, 1])
    return picture(floats(image) * [gain, 1, 1 / gain])


def green(image: Image.Image, s: float, rng: Rng) -> Image.Image:
    return picture(floats(image) * [1, 1 + 0.5 * s, 1])


def veil(image: Image.Image, s: float, rng: Rng) -> Image.Image:
    color = np.array([(255, 60, 0), (0, 80, 255), (0, 200, 60), (200, 0, 200)][rng.integers(4)])
    return picture(floats(image) * (1 - 0.4 * s) + 0.4 * s * color)


def lab_shift(image: Image.Image, s: float, rng: Rng) -> Image.Image:
    lab, angle = cv2.cvtColor(floats(image) / 255, cv2.COLOR_RGB2LAB), rng.uniform(0, 2 * math.pi)
    lab[..., 1:] += np.float32([40 * s * math.cos(angle), 40 * s * math.sin(angle)])
    return picture(255 * cv2.cvtColor(lab, cv2.COLOR_LAB2RGB))


def full_color_jpeg(image: Image.Image, s: float, rng: Rng) -> Image.Image:
    data = cv2.imencode(".jpg", np.asarray(image)[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, round(95 - 90 * s), cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444])[1]  # fmt: skip
    return Image.fromarray(cv2.imdecode(data, cv2.IMREAD_COLOR)[..., ::-1])


PLANTED: dict[str, tuple[Plant, ...]] = {
    "blur": (disk, level_motion, box, enlarged),
    "noise": (luma_noise, poisson, speckle, salt_and_pepper, coarse_noise),
    "cast": (warm_or_cool, green, veil, lab_shift),
    "jpeg_artifacts": (full_color_jpeg,),
}


class Marker:
    """Watermarks as stock agencies, shops, telephones and photographers put them on."""

    def __init__(self, fonts: list[str], rng: Rng):
        self.fonts, self.rng = fonts, rng

    def text(
        self, height_px: float, fill: tuple[int, ...], angle: float = 0, outline: int = 0
    ) -> Image.Image:
        font = ImageFont.truetype(str(self.rng.choice(self.fonts)), max(6, int(height_px)))
        word = str(self.rng.choice(WORDS))
        left, top, right, bottom = font.getbbox(word, stroke_width=outline)
        layer = Image.new("RGBA", (right - left + 4, bottom - top + 4))
        ImageDraw.Draw(layer).text(
            (2 - left, 2 - top), word, fill, font, stroke_width=outline, stroke_fill=(0, 0, 0, fill[3])
        )
        return layer.rotate(angle, Image.Resampling.BICUBIC, expand=True)

    def across(self, image: Image.Image, alpha: float) -> Image.Image:
        layer = self.text(
            image.width * 0.2, (255, 255, 255, round(255 * alpha)), float(self.rng.choice([30, 45, -30]))
        )
        layer.thumbnail(image.size)
        return laid_over(image, layer, 0.5, 0.5)

    def corner(
        self, image: Image.Image, alpha: float, color: tuple[int, ...] = (255, 255, 255)
    ) -> Image.Image:
        layer = self.text(min(image.size) * 0.045, (*color, round(255 * alpha)))
        return laid_over(image, layer, *self.rng.choice([0.03, 0.97], 2))

    def tiled(self, image: Image.Image, alpha: float) -> Image.Image:
        layer, out = self.text(min(image.size) * 0.05, (255, 255, 255, round(255 * alpha)), -30), image
        for y in range(0, image.height, int(layer.height * 1.6)):
            for x in range(0, image.width, int(layer.width * 1.2)):
                out = pasted(out, layer, x, y)
        return out

    def plate(self, image: Image.Image, alpha: float) -> Image.Image:
        text = self.text(min(image.size) * 0.05, (255, 255, 255, 230))
        size = text.width + image.width // 20, text.height + image.height // 25
        layer = Image.new("RGBA", size, (40, 40, 40, round(255 * alpha)))
        layer.alpha_composite(text, ((size[0] - text.width) // 2, (size[1] - text.height) // 2))
        return laid_over(image, layer, float(self.rng.choice([0, 0.5, 1])), self.rng.uniform(0.4, 0.9))

    def logo(self, image: Image.Image, alpha: float) -> Image.Image:
        side = 4 * int(min(image.size) * 0.14)
        layer, colors = Image.new("RGBA", (side, side)), self.rng.integers(0, 256, (3, 3)).tolist()
        one, two, three = ((*c, round(255 * alpha)) for c in colors)
        draw = ImageDraw.Draw(layer)
        draw.rounded_rectangle((0, 0, side - 1, side - 1), side // 4, fill=one)
        draw.ellipse((side * 0.15, side * 0.15, side * 0.85, side * 0.85), fill=two)
        draw.polygon([(side / 2, side / 4), (side * 0.75, side * 0.75), (side / 4, side * 0.75)], fill=three)
        layer = layer.resize((side // 4, side // 4), Image.Resampling.LANCZOS)
        return laid_over(image, layer, *self.rng.choice([0.03, 0.97], 2))

    def outlined(self, image: Image.Image, alpha: float) -> Image.Image:
        layer = self.text(min(image.size) * 0.11, (255, 255, 255, round(255 * alpha)), outline=2)
        layer.thumbnail(image.size)
        return laid_over(image, layer, 0.5, 0.5)

    def embossed(self, image: Image.Image, alpha: float) -> Image.Image:
        layer = self.text(image.width * 0.2, (255,) * 4, float(self.rng.choice([0, 30])))
        layer.thumbnail(image.size)
        mask = Image.new("L", image.size)
        mask.paste(
            layer.getchannel("A"), ((image.width - layer.width) // 2, (image.height - layer.height) // 2)
        )
        cover = floats(mask)[..., None] / 255
        relief = np.roll(cover, (2, 2), (0, 1)) - np.roll(cover, (-2, -2), (0, 1))
        return picture(floats(image) - 100 * alpha * relief + 20 * alpha * cover)

    def date(self, image: Image.Image, alpha: float) -> Image.Image:
        return self.corner(image, alpha, (255, 150, 30))


def pasted(image: Image.Image, layer: Image.Image, x: int, y: int) -> Image.Image:
    placed = Image.new("RGBA", image.size)
    placed.paste(layer, (x, y))
    return Image.alpha_composite(image.convert("RGBA"), placed).convert("RGB")


def laid_over(image: Image.Image, layer: Image.Image, across: float, down: float) -> Image.Image:
    return pasted(
        image, layer, int(across * (image.width - layer.width)), int(down * (image.height - layer.height))
    )


MARKS: tuple[tuple[str, float], ...] = (
    ("across", 0.15), ("across", 0.3), ("across", 0.5), ("corner", 0.5), ("corner", 0.8), ("tiled", 0.15), ("tiled", 0.3),
    ("plate", 0.4), ("plate", 0.7), ("logo", 0.5), ("logo", 1.0), ("outlined", 0.5), ("embossed", 0.6), ("date", 1.0),
)  # fmt: skip


def score(model: QualityModel, image: Image.Image, column: str) -> float:
    rgb = np.asarray(image if column == "jpeg_artifacts" else as_jpeg(image, 92))
    return model.scores(rgb, shrink(rgb, 336))[column]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--photos", type=Path, default=SHARED / "cid22", help="clean photographs")
    parser.add_argument(
        "--fonts", nargs="+", required=True, help="folders of fonts the training did not have"
    )
    parser.add_argument("--weights", type=Path, default=None, help="default: the bundled ones")
    parser.add_argument("--strengths", type=int, default=5, help="strengths per picture and kind")
    args = parser.parse_args()
    model = load_quality(args.weights) if args.weights else load_quality()
    photos, fonts = list(read_photos(args.photos)), fonts_below(args.fonts)
    if not photos or not fonts:
        parser.error(f"no pictures in {args.photos}, or no fonts in {args.fonts}")
    result: dict[str, dict[str, float]] = {}
    for column, kinds in PLANTED.items():
        for plant in kinds:
            rng = np.random.default_rng(3)
            strengths = rng.uniform(0, 1, (len(photos), args.strengths))
            found = np.array(
                [
                    [score(model, plant(photo, float(s), rng), column) for s in row]
                    for photo, row in zip(photos, strengths, strict=True)
                ]
            )
            within = [
                spearmanr(a, b).statistic for a, b in zip(strengths, found, strict=True) if np.ptp(b) > 0
            ]
            figures = {
                "spearman": spearmanr(strengths.ravel(), found.ravel()).statistic,
                "within": np.mean(within),
                "weak": found[strengths < 0.1].mean(),
                "strong": found[strengths > 0.8].mean(),
            }
            result[f"{column} {plant.__name__}"] = {k: round(float(v), 3) for k, v in figures.items()}
            print(
                f"{column:15s}{plant.__name__:17s}", *(f"{k} {v:.3f}" for k, v in figures.items()), flush=True
            )
    marker = Marker(fonts, np.random.default_rng(9))
    clean = [score(model, p, "watermark") for p in photos]
    for kind, alpha in MARKS:
        marked = [
            score(model, getattr(marker, kind)(p, alpha), "watermark") for p in photos for _ in range(2)
        ]
        figures = {
            "auc": roc_auc_score([0] * len(clean) + [1] * len(marked), clean + marked),
            "found": np.mean(np.array(marked) > DEFAULT_THRESHOLD),
        }
        result[f"watermark {kind} {alpha}"] = {k: round(float(v), 3) for k, v in figures.items()}
        print(
            f"watermark      {kind:10s}{alpha:6.2f}",
            *(f"{k} {v:.3f}" for k, v in figures.items()),
            flush=True,
        )
    print(json.dumps(result))


if __name__ == "__main__":
    main()
