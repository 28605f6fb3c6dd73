"""What happens to a picture between its making and a crawl: resized, filtered, compressed."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import simplejpeg
from PIL import Image

_KERNELS = (cv2.INTER_AREA, cv2.INTER_LINEAR, cv2.INTER_CUBIC, cv2.INTER_LANCZOS4)


@dataclass(frozen=True)
class History:
    """One history, to be applied alike to a photograph and to what a decoder made of it.

    Attributes:
        first_jpeg_quality: compression before the rest; 0 = none.
        scale: resize factor; 1 = none.
        kernel: OpenCV interpolation flag of the resize.
        blur_sigma_px: Gaussian blur after it; 0 = none.
        sharpen: strength of an unsharp mask; 0 = none.
        noise_sigma: Gaussian noise, grey levels; 0 = none.
        noise_seed: of that noise.
        palette_colors: PNG palette with dithering; 0 = none.
        last: 'png', 'jpeg420', 'jpeg444' or 'webp'.
        quality: of the last compression.
        flip: mirrored.
    """

    first_jpeg_quality: int
    scale: float
    kernel: int
    blur_sigma_px: float
    sharpen: float
    noise_sigma: float
    noise_seed: int
    palette_colors: int
    last: str
    quality: int
    flip: bool


def random_history(rng: np.random.Generator) -> History:
    """Draw one; about one in five leaves the pixels as they were made."""
    untouched = rng.random() < 0.2
    resized = not untouched and rng.random() < 0.5
    finish = rng.random()
    return History(
        first_jpeg_quality=int(rng.integers(70, 99)) if not untouched and rng.random() < 0.3 else 0,
        scale=float(rng.uniform(0.5, 1.5)) if resized else 1.0,
        kernel=_KERNELS[int(rng.integers(len(_KERNELS)))],
        blur_sigma_px=float(rng.uniform(0.3, 1.2)) if not untouched and rng.random() < 0.2 else 0.0,
        sharpen=float(rng.uniform(0.2, 1.0)) if not untouched and rng.random() < 0.2 else 0.0,
        noise_sigma=float(rng.uniform(0.5, 4)) if not untouched and rng.random() < 0.2 else 0.0,
        noise_seed=int(rng.integers(2**31)),
        palette_colors=256 if not untouched and finish >= 0.92 else 0,
        last="png" if untouched or finish >= 0.85 else _last(finish),
        quality=int(rng.integers(60, 99)),
        flip=bool(rng.random() < 0.5),
    )


def _last(finish: float) -> str:
    return "jpeg420" if finish < 0.5 else "jpeg444" if finish < 0.72 else "webp"


def apply_history(rgb: np.ndarray, history: History) -> np.ndarray:
    """Put a picture through a history.

    Args:
        rgb: uint8 [h, w, 3].

    Returns:
        uint8 [h', w', 3], sides times `history.scale`.
    """
    if history.flip:
        rgb = np.ascontiguousarray(rgb[:, ::-1])
    if history.first_jpeg_quality:
        rgb = _jpeg(rgb, history.first_jpeg_quality, "420")
    if history.scale != 1:
        size = (round(rgb.shape[1] * history.scale), round(rgb.shape[0] * history.scale))
        rgb = cv2.resize(rgb, size, interpolation=history.kernel)
    if history.blur_sigma_px:
        rgb = cv2.GaussianBlur(rgb, (0, 0), history.blur_sigma_px)
    if history.sharpen:
        rgb = _sharpened(rgb, history.sharpen)
    if history.noise_sigma:
        rgb = _noisy(rgb, history.noise_sigma, history.noise_seed)
    if history.palette_colors:
        rgb = _dithered(rgb, history.palette_colors)
    return _compress(rgb, history)


def soften(rgb: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Out of focus, or cleaned of noise as cameras do: uint8 [h, w, 3] to the same."""
    choice = rng.random()
    if choice < 0.5:
        return cv2.GaussianBlur(rgb, (0, 0), float(rng.uniform(0.5, 3)))
    if choice < 0.75:
        return cv2.medianBlur(rgb, 3)
    return cv2.bilateralFilter(rgb, 5, float(rng.uniform(10, 40)), 2)


def roughen(rgb: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Sharpened, with film grain, or dithered into a palette: uint8 [h, w, 3] to the same."""
    choice = rng.random()
    if choice < 0.35:
        return _sharpened(rgb, float(rng.uniform(0.3, 2)))
    if choice < 0.75:
        return _noisy(rgb, float(rng.uniform(1, 6)), int(rng.integers(2**31)))
    return _dithered(rgb, 256)


def _sharpened(rgb: np.ndarray, strength: float) -> np.ndarray:
    return cv2.addWeighted(rgb, 1 + strength, cv2.GaussianBlur(rgb, (0, 0), 1), -strength, 0)


def _noisy(rgb: np.ndarray, sigma: float, seed: int) -> np.ndarray:
    noise = np.random.default_rng(seed).normal(0, sigma, rgb.shape)
    return np.clip(rgb + noise, 0, 255).round().astype(np.uint8)


def _dithered(rgb: np.ndarray, colors: int) -> np.ndarray:
    palette = Image.fromarray(rgb).quantize(colors, dither=Image.Dither.FLOYDSTEINBERG)
    return np.asarray(palette.convert("RGB"))


def _compress(rgb: np.ndarray, history: History) -> np.ndarray:
    if history.last == "webp":
        done, data = cv2.imencode(".webp", rgb[..., ::-1], [cv2.IMWRITE_WEBP_QUALITY, history.quality])
        if not done:
            raise ValueError(f"WebP refused {rgb.shape}")
        return np.ascontiguousarray(cv2.imdecode(data, cv2.IMREAD_COLOR)[..., ::-1])
    if history.last in ("jpeg420", "jpeg444"):
        return _jpeg(rgb, history.quality, history.last.removeprefix("jpeg"))
    return rgb


def _jpeg(rgb: np.ndarray, quality: int, subsampling: str) -> np.ndarray:
    data = simplejpeg.encode_jpeg(np.ascontiguousarray(rgb), quality, "RGB", subsampling)
    return simplejpeg.decode_jpeg(data)
