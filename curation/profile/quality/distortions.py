"""Distortions of known strength, and look-alikes that are no fault: what the network is trained on.

Every function takes and returns uint8 RGB [h, w, 3] and draws what is left open from `rng`.
"""

from __future__ import annotations

import math
from functools import lru_cache

import cv2
import numpy as np
import simplejpeg

Rng = np.random.Generator

#: Standard deviation of `film_grain` in mid tones, in levels, at most.
_STRONGEST_GRAIN = 9.0


@lru_cache(maxsize=1)
def _bank() -> np.ndarray:
    """Normal noise made once: drawing it anew would be half of all work."""
    return np.random.default_rng(0).standard_normal(3 << 21, np.float32)


def normal_field(shape: tuple[int, ...], rng: Rng) -> np.ndarray:
    """White normal noise, float32: a stretch of the bank, from a random place, of random sign.

    Larger fields than the bank are drawn anew.
    """
    size, bank = math.prod(shape), _bank()
    if size > len(bank) // 2:
        return rng.standard_normal(shape, np.float32)
    start = int(rng.integers(0, len(bank) - size))
    return bank[start : start + size].reshape(shape) * np.float32(rng.choice([-1, 1]))


def to_uint8(x: np.ndarray) -> np.ndarray:
    """Rounded and clipped to 0..255."""
    return np.clip(np.rint(x), 0, 255).astype(np.uint8)


def blur(rgb: np.ndarray, sigma_px: float, rng: Rng) -> np.ndarray:
    """Defocus (Gaussian or disk) or camera motion of the same spread.

    Args:
        sigma_px: standard deviation of the point spread: along each axis for defocus; along the line
            of motion, of sqrt(2) x that.
    """
    kind = rng.random()
    if kind < 0.35:
        return cv2.GaussianBlur(rgb, (0, 0), sigma_px)
    kernel = _disk(2 * sigma_px) if kind < 0.5 else _line(math.sqrt(12) * math.sqrt(2) * sigma_px, rng)
    return cv2.filter2D(rgb, -1, kernel, borderType=cv2.BORDER_REFLECT)


def _disk(radius_px: float) -> np.ndarray:
    half = math.ceil(radius_px)
    y, x = np.mgrid[-half : half + 1, -half : half + 1]
    kernel = np.clip(radius_px + 0.5 - np.hypot(y, x), 0, 1)
    return (kernel / kernel.sum()).astype(np.float32)


def _line(length_px: float, rng: Rng) -> np.ndarray:
    """A straight or slightly bent path, often of even speed; often level or upright, as of a swung camera or what falls.

    Args:
        length_px: of a path of even speed with the same standard deviation.
    """
    path = np.linspace(0, 1, max(16, 4 * math.ceil(length_px / 2)))
    if rng.random() < 0.4:  # a shaken hand starts or comes to rest
        path = path ** math.exp(rng.normal(0, 0.4))
    path = (path - path.mean()) / (math.sqrt(12) * path.std()) * length_px
    half = math.ceil(np.abs(path).max()) + 1
    angle, bend = rng.uniform(0, math.pi), rng.normal(0, 0.5)
    if rng.random() < 0.25:
        angle, bend = math.pi / 2 * rng.integers(2), 0.0
    kernel = np.zeros((2 * half + 1, 2 * half + 1), np.float32)
    for s in path:
        turn = angle + bend * s / length_px
        x, y = half + s * math.cos(turn), half + s * math.sin(turn)
        i, j = int(y), int(x)
        fy, fx = y - i, x - j
        kernel[i, j] += (1 - fy) * (1 - fx)
        kernel[i, min(j + 1, 2 * half)] += (1 - fy) * fx
        kernel[min(i + 1, 2 * half), j] += fy * (1 - fx)
        kernel[min(i + 1, 2 * half), min(j + 1, 2 * half)] += fy * fx
    return kernel / kernel.sum()


def noise(rgb: np.ndarray, sigma: float, rng: Rng) -> np.ndarray:
    """Sensor noise: white or, as cameras' own processing leaves it, coarser than a pixel; per channel or shared; even, or
    growing with light or its root.

    Args:
        sigma: standard deviation in levels (for growing noise: at mid grey).
    """
    kind = rng.choice(["even", "root", "growing", "shared", "coarse"], p=[0.35, 0.15, 0.1, 0.15, 0.25])
    # coarse noise that is shared and faint looks like film grain, which is no fault
    shared = kind == "shared" or (kind == "coarse" and sigma > 2 * _STRONGEST_GRAIN and rng.random() < 0.5)
    field = normal_field((*rgb.shape[:2], 1 if shared else 3), rng)
    if kind == "coarse":
        field = cv2.GaussianBlur(field, (0, 0), rng.uniform(0.4, 1.8)).reshape(field.shape)
        field = field / field.std()
    field = field * np.float32(sigma)
    x = rgb.astype(np.float32)
    if kind == "root":
        field *= np.sqrt(np.maximum(x, 4) / 128)
    elif kind == "growing":
        field *= x / 128
    return to_uint8(x + field)


def impulse(rgb: np.ndarray, share: float, rng: Rng) -> np.ndarray:
    """Salt and pepper on a share of the pixels."""
    out = rgb.copy()
    hit = rng.random(rgb.shape[:2]) < share
    out[hit] = np.where(rng.random(int(hit.sum())) < 0.5, 0, 255)[:, None]
    return out


def banding(rgb: np.ndarray, levels: int) -> np.ndarray:
    """Each channel rounded to so many levels, without dithering."""
    step = 255 / (levels - 1)
    return to_uint8(np.rint(rgb / np.float32(step)) * np.float32(step))


def jpeg(rgb: np.ndarray, quality: int, subsampling: str = "420") -> np.ndarray:
    """Encoded once at that quality."""
    data = simplejpeg.encode_jpeg(np.ascontiguousarray(rgb), quality=quality, colorsubsampling=subsampling)
    return simplejpeg.decode_jpeg(data)


def upscale(rgb: np.ndarray, factor: float, rng: Rng) -> np.ndarray:
    """Shrunk by a factor and enlarged back, by any of the common filters, sometimes sharpened."""
    h, w = rgb.shape[:2]
    small = cv2.resize(
        rgb, (max(2, round(w / factor)), max(2, round(h / factor))), interpolation=cv2.INTER_AREA
    )
    filters = (cv2.INTER_LINEAR, cv2.INTER_CUBIC, cv2.INTER_LANCZOS4, cv2.INTER_NEAREST)
    out = cv2.resize(small, (w, h), interpolation=filters[rng.choice(4, p=[0.3, 0.35, 0.25, 0.1])])
    if rng.random() < 0.3:
        soft = cv2.GaussianBlur(out, (0, 0), 1.5)
        out = cv2.addWeighted(out, 1.6, soft, -0.6, 0)
    return out


def cast(rgb: np.ndarray, strength: float, rng: Rng) -> np.ndarray:
    """A tint over everything: wrong white balance, a CIELAB shift, or a veil of one color.

    Args:
        strength: 0 (none) .. 1 (heavy); see `mean_shift` for what came of it.
    """
    kind, x = rng.integers(3), rgb.astype(np.float32)
    if kind == 0:
        gains = np.exp(rng.normal(size=3))
        gains = np.exp(np.log(gains / gains.mean()) / max(0.2, np.abs(np.log(gains)).max()) * 0.9 * strength)
        return to_uint8(x * (gains / gains.mean()).astype(np.float32))
    angle = rng.uniform(0, 2 * math.pi)
    shift = np.array([math.cos(angle), math.sin(angle)], np.float32) * 45 * strength
    if kind == 1:
        lab = cv2.cvtColor(rgb, cv2.COLOR_RGB2LAB).astype(np.float32)
        lab[..., 1:] += shift
        return cv2.cvtColor(to_uint8(lab), cv2.COLOR_LAB2RGB)
    tone = np.array([[[170, 128 + 1.8 * shift[0], 128 + 1.8 * shift[1]]]], np.float32)
    veil = cv2.cvtColor(to_uint8(tone), cv2.COLOR_LAB2RGB)[0, 0].astype(np.float32)
    share = np.float32(0.55 * strength)
    return to_uint8(x * (1 - share) + veil * share)


def mean_shift(before: np.ndarray, after: np.ndarray) -> float:
    """Mean distance in CIELAB a*b* between two pictures: how strong a cast came out."""
    size = (64, 64)
    a, b = (
        cv2.cvtColor(cv2.resize(x, size, interpolation=cv2.INTER_AREA), cv2.COLOR_RGB2LAB)[..., 1:].astype(
            np.float32
        )
        for x in (before, after)
    )
    return float(np.hypot(*np.moveaxis(a - b, -1, 0)).mean())


def expose(rgb: np.ndarray, stops: float, rng: Rng) -> np.ndarray:
    """Over- (stops > 0) or underexposed: light scaled in linear sRGB, or a gamma curve as editors apply."""
    x = rgb.astype(np.float32) / 255
    if rng.random() < 0.6:
        return to_uint8(255 * np.clip((x**2.2) * 2.0**stops, 0, 1) ** (1 / 2.2))
    if stops > 0:
        return to_uint8(255 * np.clip(x * (1 + 0.35 * stops) + 0.06 * stops, 0, 1))
    return to_uint8(255 * x ** (1 - 0.55 * stops))


# Look-alikes: nothing is wrong with these.


def soft_light(rgb: np.ndarray, rng: Rng) -> np.ndarray:
    """A glow over sharp detail, and low contrast."""
    glow = cv2.GaussianBlur(rgb, (0, 0), rng.uniform(6, 20))
    share = rng.uniform(0.2, 0.5)
    x = rgb.astype(np.float32) * (1 - share) + glow.astype(np.float32) * share
    low = rng.uniform(0.6, 0.95)
    return to_uint8(128 + (x - 128) * low + rng.uniform(-10, 25))


def toned(rgb: np.ndarray, rng: Rng) -> np.ndarray:
    """Another curve and less contrast, anywhere between black and white: overcast light, faded prints, editing."""
    contrast = math.exp(rng.uniform(math.log(0.2), 0))
    curve = (np.arange(256) / 255) ** math.exp(rng.uniform(-0.5, 0.5))
    return cv2.LUT(rgb, to_uint8(255 * (rng.uniform(0, 1 - contrast) + contrast * curve)))


def hazy(rgb: np.ndarray, rng: Rng) -> np.ndarray:
    """Parts of it behind fog or smoke of one color, thick or thin."""
    h, w = rgb.shape[:2]
    knots = int(rng.integers(2, 5))
    hills = cv2.resize(normal_field((knots, knots), rng), (w, h), interpolation=cv2.INTER_CUBIC)
    thick = np.clip(rng.uniform(0.2, 0.7) + 0.35 * hills, 0, 0.92)[..., None]
    color = rng.uniform(60, 245) + rng.normal(0, 8, 3).astype(np.float32)
    return to_uint8(rgb + (color - rgb.astype(np.float32)) * thick)


def film_grain(rgb: np.ndarray, rng: Rng) -> np.ndarray:
    """Grain of film: shared by the channels, a little coarse, strongest in the mid tones."""
    h, w = rgb.shape[:2]
    grain = normal_field((h, w), rng)
    grain = cv2.GaussianBlur(grain, (0, 0), rng.uniform(0.5, 1.1))
    grain /= grain.std()
    x = rgb.astype(np.float32)
    weight = 1 - np.abs(x.mean(axis=2) / 255 - 0.5)
    return to_uint8(x + (grain * weight * rng.uniform(2.5, _STRONGEST_GRAIN))[..., None])


def monochrome(rgb: np.ndarray) -> np.ndarray:
    """Grey."""
    return cv2.cvtColor(cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)


def shallow_focus(rgb: np.ndarray, rng: Rng) -> np.ndarray:
    """All but one part out of focus, as a fast lens draws it."""
    h, w = rgb.shape[:2]
    y, x = np.mgrid[0:h, 0:w].astype(np.float32)
    cy, cx = rng.uniform(0.25, 0.75) * h, rng.uniform(0.25, 0.75) * w
    ry, rx = rng.uniform(0.22, 0.45) * h, rng.uniform(0.22, 0.45) * w
    far = np.hypot((y - cy) / ry, (x - cx) / rx)
    mask = np.clip((far - 0.9) / 0.4, 0, 1)[..., None]
    soft = cv2.GaussianBlur(rgb, (0, 0), rng.uniform(2, 7)).astype(np.float32)
    return to_uint8(rgb * (1 - mask) + soft * mask)
