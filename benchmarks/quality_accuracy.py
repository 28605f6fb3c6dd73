"""How well the quality model ranks planted degradations, on pictures it was never trained on.

Distortions, fonts and logos here are made by other code than the training's (Pillow's Gaussian and box blur, its
JPEG encoder, marks drawn by OpenCV and from the fonts you name): what is measured is not what was learned by heart.

    python benchmarks/quality_accuracy.py --photos DIR [--triplets DIR] [--fonts DIR ...]

`--photos` are clean photographs. `--triplets` holds files SCENE_S, SCENE_F, SCENE_M (sharp, out of focus, motion).
Prints Spearman's rank correlation between planted strength and score, AUC of clean against watermarked pictures,
and the share of clean but unusual pictures (soft light, film grain, monochrome, sunset) scored over 0.5 on
any score. Ends with one line of JSON.
"""

from __future__ import annotations

import argparse
import io
import json
import math
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageEnhance, ImageFilter, ImageFont
from scipy.stats import spearmanr
from sklearn.metrics import roc_auc_score

from zcurate.curation.profile.decode import decode
from zcurate.curation.profile.errors import ImageError
from zcurate.curation.profile.quality.model import DEFAULT_THRESHOLD, load_quality
from zcurate.curation.profile.shrink import shrink

ROOT = Path(__file__).resolve().parents[1]
SHARED = ROOT.parent / "shared" / "data"
HERSHEY = (cv2.FONT_HERSHEY_SIMPLEX, cv2.FONT_HERSHEY_COMPLEX, cv2.FONT_HERSHEY_SCRIPT_COMPLEX, cv2.FONT_HERSHEY_TRIPLEX)  # fmt: skip
WORDS = (
    "Alamy-like",
    "YOUR NAME 2031",
    "not for resale",
    "mysite.io",
    "© J. Doe",
    "Evaluation copy",
    "Pexigram",
)
Rng = np.random.Generator
Distort = Callable[[Image.Image, float, Rng], Image.Image]


def as_jpeg(image: Image.Image, quality: int) -> Image.Image:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=quality)
    return Image.open(io.BytesIO(buffer.getvalue())).convert("RGB")


def plant_blur(image: Image.Image, s: float, rng: Rng) -> Image.Image:
    if rng.random() < 0.7:
        return image.filter(ImageFilter.GaussianBlur(5 * s))
    n = max(1, round(14 * s))
    kernel = np.zeros((2 * n + 1, 2 * n + 1), np.float32)
    angle = rng.uniform(0, math.pi)
    for t in np.linspace(-n, n, 8 * n + 1):
        kernel[round(n + t * math.sin(angle)), round(n + t * math.cos(angle))] = 1
    return Image.fromarray(cv2.filter2D(np.asarray(image), -1, kernel / kernel.sum()))


def plant_gaussian(image: Image.Image, s: float, rng: Rng) -> Image.Image:
    return image.filter(ImageFilter.GaussianBlur(5 * s))


def plant_noise(image: Image.Image, s: float, rng: Rng) -> Image.Image:
    x = np.asarray(image, np.float32)
    return Image.fromarray(np.clip(x + rng.normal(0, 50 * s, x.shape), 0, 255).round().astype(np.uint8))


def plant_cast(image: Image.Image, s: float, rng: Rng) -> Image.Image:
    x = np.asarray(image, np.float32)
    direction = rng.normal(size=3)
    direction -= direction.mean()
    gains = 1 + 0.6 * s * direction / np.abs(direction).max()
    return Image.fromarray(np.clip(x * gains, 0, 255).round().astype(np.uint8))


def plant_jpeg(image: Image.Image, s: float, rng: Rng) -> Image.Image:
    return as_jpeg(image, round(95 - 90 * s))


PLANTED: dict[str, tuple[str, Distort]] = {
    "blur": ("blur", plant_blur),
    "blur_gaussian": ("blur", plant_gaussian),
    "noise": ("noise", plant_noise),
    "cast": ("cast", plant_cast),
    "jpeg": ("jpeg_artifacts", plant_jpeg),
}


def mark(image: Image.Image, fonts: list[str], rng: Rng) -> Image.Image:
    """A half-transparent text, emblem, or tiling of either."""
    w, h = image.size
    side = int(min(w, h) * rng.uniform(0.3, 0.9))
    stamp = Image.new("L", (side, max(12, side // 3)))
    kind = rng.integers(4)
    if kind == 3 or (not fonts and kind == 1):
        emblem = np.zeros((stamp.height, side), np.uint8)
        c, r = (side // 2, stamp.height // 2), stamp.height // 2 - 1
        cv2.circle(emblem, c, r, 255, max(1, r // 6), cv2.LINE_AA)
        cv2.drawMarker(emblem, c, 255, int(rng.integers(0, 6)), r, max(1, r // 5), cv2.LINE_AA)
        cv2.ellipse(
            emblem, c, (r // 2, r // 4), float(rng.uniform(0, 180)), 0, 360, 255, max(1, r // 8), cv2.LINE_AA
        )
        stamp = Image.fromarray(emblem)
    elif kind == 0 or not fonts:
        canvas = np.zeros((stamp.height, side), np.uint8)
        face, text = int(rng.choice(HERSHEY)), str(rng.choice(WORDS))
        (tw, th), _ = cv2.getTextSize(text, face, 1, 2)
        scale = 0.95 * side / tw
        cv2.putText(canvas, text, (2, stamp.height // 2 + int(th * scale / 2)), face, scale, 255, max(1, round(2 * scale)), cv2.LINE_AA)  # fmt: skip
        stamp = Image.fromarray(canvas)
    else:
        font = ImageFont.truetype(str(rng.choice(fonts)), stamp.height // 2)
        text = str(rng.choice(WORDS))
        font = font.font_variant(size=max(8, int(font.size * 0.95 * side / max(1, font.getlength(text)))))
        left, top, right, bottom = font.getbbox(text)
        stamp = Image.new("L", (right - left + 2, bottom - top + 2))
        ImageDraw.Draw(stamp).text((-left, -top), text, 255, font=font)
    mask = Image.new("L", image.size)
    if rng.random() < 0.3:
        small = stamp.resize((max(8, stamp.width // 3), max(4, stamp.height // 3)), Image.Resampling.BILINEAR)
        small = small.rotate(float(rng.uniform(-40, 40)), expand=True, resample=Image.Resampling.BILINEAR)
        for y in range(0, h, int(small.height * 1.4)):
            for x in range(0, w, int(small.width * 1.3)):
                mask.paste(small, (x, y))
    else:
        stamp.thumbnail((w, h))
        x, y = (
            int(rng.uniform(0, 1) * (w - stamp.width)),
            int(rng.choice([0.02, 0.5, 0.98]) * (h - stamp.height)),
        )
        mask.paste(stamp, (x, y))
    opacity, ink = rng.uniform(0.3, 0.8), int(rng.choice([255, 255, 20, 160]))
    cover = np.asarray(mask, np.float32)[..., None] / 255
    x = np.asarray(image, np.float32)
    seen = lambda ink: (np.abs(ink - x) * cover).sum() / (3 * cover.sum() + 1e-6) * opacity  # noqa: E731
    if seen(ink) < 20:  # white on white is not visible
        ink = max((0, 255), key=seen)
    return Image.fromarray(np.clip(x + (ink - x) * cover * opacity, 0, 255).round().astype(np.uint8))


def soft_light(image: Image.Image, rng: Rng) -> Image.Image:
    glow = Image.blend(image, image.filter(ImageFilter.GaussianBlur(12)), 0.35)
    return ImageEnhance.Contrast(glow).enhance(0.8)


def grain(image: Image.Image, rng: Rng) -> Image.Image:
    x = np.asarray(image, np.float32)
    field = cv2.GaussianBlur(rng.normal(size=x.shape[:2]).astype(np.float32), (0, 0), 0.8)
    return Image.fromarray(np.clip(x + (field / field.std() * 6)[..., None], 0, 255).round().astype(np.uint8))


def sunset(image: Image.Image, rng: Rng) -> Image.Image:
    """Warm light that reaches the bright parts, dark parts staying neutral."""
    x = np.asarray(image, np.float32) / 255
    light = x.mean(axis=2, keepdims=True)
    warm = x * (1 + light * np.array([0.15, -0.02, -0.22]))
    return Image.fromarray((np.clip(warm, 0, 1) * 255).round().astype(np.uint8))


UNUSUAL: dict[str, Callable[[Image.Image, Rng], Image.Image]] = {
    "as it is": lambda image, rng: image,
    "soft light": soft_light,
    "film grain": grain,
    "monochrome": lambda image, rng: image.convert("L").convert("RGB"),
    "sunset": sunset,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--photos", type=Path, default=SHARED / "cid22", help="clean photographs")
    parser.add_argument("--triplets", type=Path, default=SHARED / "blur-triplets")
    parser.add_argument("--fonts", nargs="*", default=[], help="folders of fonts the training did not have")
    parser.add_argument("--weights", type=Path, default=None, help="default: the bundled ones")
    parser.add_argument("--strengths", type=int, default=6, help="strengths per picture and distortion")
    parser.add_argument("--quick", action="store_true", help="12 pictures")
    args = parser.parse_args()
    model = load_quality(args.weights) if args.weights else load_quality()
    rng = np.random.default_rng(7)
    photos = list(read_photos(args.photos))[: 12 if args.quick else None]
    if not photos:
        parser.error(f"no pictures in {args.photos}; name a folder with --photos")
    fonts = fonts_below(args.fonts)

    def score(image: Image.Image) -> dict[str, float]:
        rgb = np.asarray(image.convert("RGB"))
        return model.scores(rgb, shrink(rgb, 336))

    result: dict[str, float | int | None] = {"pictures": len(photos)}
    for name, (column, plant) in PLANTED.items():
        strengths, scores = [], []
        for photo in photos:
            for _ in range(args.strengths):
                s = rng.uniform(0, 1)
                image = plant(photo, s, rng)
                image = image if column == "jpeg_artifacts" else as_jpeg(image, 92)
                strengths.append(s)
                scores.append(score(image)[column])
        result[f"spearman_{name}"] = round(float(spearmanr(strengths, scores).statistic), 4)
        print(f"{name:15s} Spearman {result[f'spearman_{name}']:.3f}  ({len(scores)} pictures)", flush=True)
    clean = [score(as_jpeg(p, 92))["watermark"] for p in photos]
    marked = [
        score(as_jpeg(mark(p, fonts, rng), 92))["watermark"] for p in photos for _ in range(args.strengths)
    ]
    result["watermark_auc"] = round(
        float(roc_auc_score([0] * len(clean) + [1] * len(marked), clean + marked)), 4
    )
    found = np.mean(np.array(marked) > DEFAULT_THRESHOLD)
    print(f"watermark       AUC {result['watermark_auc']:.3f}, {found:.1%} found at {DEFAULT_THRESHOLD}")
    flagged, worst = [], {}
    for name, change in UNUSUAL.items():
        rows = [score(as_jpeg(change(p, rng), 92)) for p in photos]
        over = {k: float(np.mean([r[k] > DEFAULT_THRESHOLD for r in rows])) for k in rows[0]}
        share = float(np.mean([max(r.values()) > DEFAULT_THRESHOLD for r in rows]))
        flagged.append(share)
        worst[name] = {k: round(v, 3) for k, v in over.items() if v}
        print(f"clean, {name:12s} {share:6.1%} flagged {worst[name]}")
    result["crosstalk"] = round(float(np.mean(flagged)), 4)
    result["crosstalk_worst"] = round(max(flagged), 4)
    triples = rank_triplets(args.triplets, score)
    result["triplets"], result["triplets_right"] = (
        (len(triples), sum(triples.values())) if triples else (None, None)
    )
    print(json.dumps(result))


def fonts_below(folders: list[str]) -> list[str]:
    return [
        str(f) for d in folders for f in sorted(Path(d).rglob("*")) if f.suffix.lower() in (".ttf", ".otf")
    ]


def read_photos(folder: Path):
    """Pictures of a folder, as displayed; at most 1,024 px on the short side, which is what people train on."""
    for path in sorted(folder.rglob("*")) if folder.is_dir() else []:
        try:
            rgb = decode(path.read_bytes()).rgb if path.is_file() else None
        except ImageError:
            continue
        if rgb is not None and min(rgb.shape[:2]) >= 200:
            yield Image.fromarray(shrink(rgb, 1024))


def rank_triplets(folder: Path, score: Callable[[Image.Image], dict[str, float]]) -> dict[str, bool]:
    """Scene -> is the sharp picture scored below both blurred ones?"""
    scenes: dict[str, dict[str, float]] = {}
    for path in sorted(folder.rglob("*")) if folder.is_dir() else []:
        scene, _, kind = path.stem.rpartition("_")
        if path.is_file() and kind in ("S", "F", "M"):
            rgb = decode(path.read_bytes()).rgb
            scenes.setdefault(scene, {})[kind] = score(Image.fromarray(rgb))["blur"]
    for scene, values in scenes.items():
        print(f"triplet {scene}: " + ", ".join(f"{k} {v:.2f}" for k, v in sorted(values.items())))
    return {s: v["S"] < min(v["F"], v["M"]) for s, v in scenes.items() if len(v) == 3}


if __name__ == "__main__":
    main()
