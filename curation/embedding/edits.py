"""Random edits that leave a picture the same picture, and changes that make another: what the weights are learned from.

Strengths are those at which a person still calls the result a copy; they follow from how copies come about (shops,
social networks, re-uploads) and end where a thumbnail would look different.
"""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np

Pixels = np.ndarray
Rng = np.random.Generator

_FILTERS = (cv2.INTER_AREA, cv2.INTER_LINEAR, cv2.INTER_CUBIC, cv2.INTER_LANCZOS4)


def resized(image: Pixels, rng: Rng) -> Pixels:
    """0.25 to 2 times as large, sometimes with the sides scaled a little apart."""
    scale = float(np.exp(rng.uniform(np.log(0.25), np.log(2))))
    stretch = float(np.exp(rng.normal(0, 0.02))) if rng.random() < 0.3 else 1.0
    size = (max(8, round(image.shape[1] * scale * stretch)), max(8, round(image.shape[0] * scale)))
    return cv2.resize(image, size, interpolation=int(rng.choice(_FILTERS)))


def recompressed(image: Pixels, rng: Rng) -> Pixels:
    """JPEG or WebP at qualities 15 to 95."""
    quality = int(rng.integers(15, 96))
    kind, option = (
        (".jpg", cv2.IMWRITE_JPEG_QUALITY) if rng.random() < 0.7 else (".webp", cv2.IMWRITE_WEBP_QUALITY)
    )
    _, data = cv2.imencode(kind, image, [option, quality])
    return cv2.imdecode(data, cv2.IMREAD_COLOR)


def cropped(image: Pixels, rng: Rng, most: float = 0.11) -> Pixels:
    """Up to `most` of each side's length, taken from one end or both."""
    h, w = image.shape[:2]
    lost = most * rng.beta(2, 1, 2) * (rng.random(2) < 0.8)
    share = rng.choice([0.0, 0.5, 1.0, rng.random()], 2)
    top, left = round(h * lost[0] * share[0]), round(w * lost[1] * share[1])
    return image[top : top + round(h * (1 - lost[0])), left : left + round(w * (1 - lost[1]))]


def retoned(image: Pixels, rng: Rng) -> Pixels:
    """Brightness, contrast, gamma, saturation, warmth: one to all of them."""
    x = image.astype(np.float32) / 255
    chosen = rng.random(5) < 0.4
    chosen[rng.integers(5)] = True
    if chosen[0]:
        x = x * rng.uniform(0.75, 1.3)
    if chosen[1]:
        x = (x - x.mean()) * rng.uniform(0.7, 1.35) + x.mean()
    if chosen[2]:
        x = np.clip(x, 0, 1) ** rng.uniform(0.7, 1.4)
    if chosen[3]:
        grey = x.mean(axis=2, keepdims=True)
        x = grey + (x - grey) * rng.uniform(0.65, 1.4)
    if chosen[4]:
        x = x * (1 + rng.uniform(-0.06, 0.06) * np.array([1, 0, -1], np.float32))
    return np.rint(np.clip(x, 0, 1) * 255).astype(np.uint8)


def blurred(image: Pixels, rng: Rng) -> Pixels:
    """Gaussian or box, up to one percent of the short side."""
    sigma = float(rng.uniform(0.001, 0.01)) * min(image.shape[:2])
    if rng.random() < 0.7:
        return cv2.GaussianBlur(image, (0, 0), max(0.3, sigma))
    side = 2 * max(1, round(sigma * 1.5)) + 1
    return cv2.blur(image, (side, side))


def sharpened(image: Pixels, rng: Rng) -> Pixels:
    soft = cv2.GaussianBlur(image, (0, 0), float(rng.uniform(0.7, 2)))
    amount = float(rng.uniform(0.3, 1.2))
    return cv2.addWeighted(image, 1 + amount, soft, -amount, 0)


def noisy(image: Pixels, rng: Rng) -> Pixels:
    noise = rng.standard_normal(image.shape, np.float32) * np.float32(rng.uniform(2, 22))
    return np.clip(image + noise, 0, 255).astype(np.uint8)


def lettered(image: Pixels, rng: Rng) -> Pixels:
    """A line of small text, opaque or translucent, anywhere."""
    h, w = image.shape[:2]
    text = "".join(
        rng.choice(list("abcdefghijkmnoprstuvwxyzABCDEHKLMNRST .@0123456789"), int(rng.integers(5, 18)))
    )
    scale = float(rng.uniform(0.03, 0.06)) * h / 22
    at = (int(rng.integers(0, max(1, round(w * 0.6)))), int(rng.integers(round(h * 0.07), h)))
    color = tuple(int(c) for c in rng.choice([0, 255, 230, 40], 3)) if rng.random() < 0.3 else (255, 255, 255)
    drawn = cv2.putText(
        image.copy(), text, at, cv2.FONT_HERSHEY_SIMPLEX, scale, color, max(1, round(2 * scale))
    )
    return cv2.addWeighted(drawn, alpha := float(rng.uniform(0.4, 1)), image, 1 - alpha, 0)


def bordered(image: Pixels, rng: Rng) -> Pixels:
    """A plain frame or bars, up to 5 percent of a side at either end."""
    h, w = image.shape[:2]
    y, x = rng.uniform(0.005, 0.05, 2) * (rng.random(2) < 0.7)
    tone = int(rng.choice([0, 255, rng.integers(0, 256)]))
    return cv2.copyMakeBorder(
        image, round(h * y), round(h * y), round(w * x), round(w * x), cv2.BORDER_CONSTANT, value=(tone,) * 3
    )


#: Edits, and how often each is drawn.
EDITS: tuple[tuple[Callable[[Pixels, Rng], Pixels], float], ...] = (
    (resized, 1.0), (recompressed, 1.0), (cropped, 3.0), (retoned, 1.5), (blurred, 0.7), (sharpened, 0.3),
    (noisy, 0.5), (lettered, 0.5), (bordered, 0.5),
)  # fmt: skip


def edited(image: Pixels, rng: Rng) -> Pixels:
    """A copy after one to three different edits of `EDITS`."""
    odds = np.array([weight for _, weight in EDITS])
    for i in rng.choice(
        len(EDITS), int(rng.choice([1, 2, 3], p=[0.5, 0.3, 0.2])), replace=False, p=odds / odds.sum()
    ):
        image = np.ascontiguousarray(EDITS[i][0](image, rng))
    return image


def recolored(image: Pixels, rng: Rng) -> Pixels:
    """Hues turned by 40 to 180 degrees, everywhere or in the commonest range of hues."""
    hsv = cv2.cvtColor(image, cv2.COLOR_RGB2HSV)
    turn = int(rng.integers(20, 91)) * int(rng.choice([-1, 1]))
    hue, colored = hsv[..., 0].astype(np.int16), hsv[..., 1] > 60
    if rng.random() < 0.5 and colored.any():
        near = np.abs((hue - int(np.median(hue[colored])) + 90) % 180 - 90) < 20
        hue = np.where(near, hue + turn, hue)
    else:
        hue = hue + turn
    hsv[..., 0] = (hue % 180).astype(np.uint8)
    return cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB)


def repainted(image: Pixels, rng: Rng) -> Pixels:
    """Another color on one thing: an ellipse of 12 to 45 percent of each side, shading kept."""
    h, w = image.shape[:2]
    mask = np.zeros((h, w), np.float32)
    at = (int(w * rng.uniform(0.2, 0.8)), int(h * rng.uniform(0.2, 0.8)))
    axes = (int(w * rng.uniform(0.06, 0.22)), int(h * rng.uniform(0.06, 0.22)))
    cv2.ellipse(mask, at, axes, float(rng.uniform(0, 180)), 0, 360, 1.0, -1)
    lab = cv2.cvtColor(image.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)
    angle, size = rng.uniform(0, 2 * np.pi), rng.uniform(40, 90)
    lab[..., 1:] += mask[..., None] * np.float32(size) * np.array([np.cos(angle), np.sin(angle)], np.float32)
    return np.rint(np.clip(cv2.cvtColor(lab, cv2.COLOR_LAB2RGB), 0, 1) * 255).astype(np.uint8)


def rewritten(image: Pixels, rng: Rng) -> Pixels:
    """Two to five lines of lettering of 6 to 12 percent of the height each, as on a poster."""
    h, w = image.shape[:2]
    drawn, color = image.copy(), (255, 255, 255) if rng.random() < 0.5 else (0, 0, 0)
    y = h * rng.uniform(0.15, 0.4)
    for _ in range(int(rng.integers(2, 6))):
        share = float(rng.uniform(0.06, 0.12))
        text = "".join(rng.choice(list("abcdeghiklmnoprstuvwABCDEHKLMNRST "), int(rng.integers(4, 16))))
        at = (int(w * rng.uniform(0.05, 0.45)), int(y))
        cv2.putText(
            drawn, text, at, cv2.FONT_HERSHEY_DUPLEX, share * h / 22, color, max(1, round(share * h / 9))
        )
        y += h * share * 1.6
    return drawn


#: Changes that make another picture.
ALTERATIONS: tuple[Callable[[Pixels, Rng], Pixels], ...] = (
    recolored,
    recolored,
    repainted,
    repainted,
    rewritten,
)
