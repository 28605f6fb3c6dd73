"""Training samples for cast: what shows of photographs that were tinted at their own size, compressed, and made small."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import NamedTuple

import cv2
import numpy as np

from ..shrink import shrink
from ..thumbnail import SHORT_SIDE_PX
from . import distortions as d
from .color_evidence import color_evidence
from .crops import overview
from .histograms import coarse, light_histogram
from .looks import drawn_page, look

#: Share of pages and diagrams, of photographs whose channels change places, and of two photographs joined.
_PAGES, _PERMUTED, _JOINED = 0.06, 0.25, 0.25
#: Imbalance beyond which all casts are alike: of how strong the strongest are, which is hardest to tell, little would be gained.
MOST_IMBALANCE = 1.0
#: Level of the grey that some casts' imbalance is read off: no cast drives it to white, where the imbalance would be lost.
#: The strongest shifts in CIELAB drive a channel of it to black, where the imbalance is beyond `MOST_IMBALANCE`.
_GREY = 100
#: Samples that a process makes at a time.
_TOGETHER = 200


class CastSamples(NamedTuple):
    """Attributes:
    evidence: float32 [n, EVIDENCE], see `color_evidence`.
    target: float32 [n], the imbalance that was planted, see `synthesis.cast_score`, at most `MOST_IMBALANCE`.
    photos: int32 [n, 2], which photographs are in it: twice the same one where there is one, -1 where there is none.
    """

    evidence: np.ndarray
    target: np.ndarray
    photos: np.ndarray


def cast_samples(photos: Sequence[np.ndarray], fonts: Sequence[str], count: int, seed: int) -> CastSamples:
    """So many samples, made on all cores, each with the photographs in memory; what comes out depends on the arguments alone.

    Args:
        photos: uint8 [h, w, 3], of any size; neighbors are joined with neighbors.
        fonts: font files to write pages in; without any, diagrams alone.
    """
    starts = range(0, count, _TOGETHER)
    given = photos, fonts, count, seed
    workers = min(len(os.sched_getaffinity(0)), len(starts))
    fresh = get_context("spawn")  # OpenCV's threads do not survive a fork
    with ProcessPoolExecutor(workers, fresh, _give, given) as pool:
        parts = list(pool.map(_some, starts))
    return CastSamples(*(np.concatenate(of_parts) for of_parts in zip(*parts, strict=True)))


#: What a process was given: photos, fonts, count, seed. Sent once to each, as the photographs of a folder are a gigabyte or so.
_given: list[tuple[Sequence[np.ndarray], Sequence[str], int, int]] = []


def _give(photos: Sequence[np.ndarray], fonts: Sequence[str], count: int, seed: int) -> None:
    cv2.setNumThreads(1)
    _given[:] = [(photos, fonts, count, seed)]


def _some(start: int) -> CastSamples:
    """The samples from one on, at most `_TOGETHER`."""
    ((photos, fonts, count, seed),) = _given
    numbers = range(start, min(count, start + _TOGETHER))
    made = [cast_sample(photos, fonts, np.random.default_rng([seed, k])) for k in numbers]
    evidence, target, of = zip(*made, strict=True)
    return CastSamples(np.stack(evidence), np.array(target, np.float32), np.array(of, np.int32))


def cast_sample(
    photos: Sequence[np.ndarray], fonts: Sequence[str], rng: d.Rng
) -> tuple[np.ndarray, float, tuple[int, int]]:
    """A photograph framed anew, with a look that is no fault and a cast as chance has it; or a clean page or diagram.

    Returns:
        one row of `CastSamples`.
    """
    if rng.random() < _PAGES:
        return evidence_of(drawn_page(fonts, 0.0, rng)), 0.0, (-1, -1)
    first = second = int(rng.integers(len(photos)))
    rgb = photos[first]
    if rng.random() < _JOINED:
        second = min(len(photos) - 1, max(0, first + int(rng.integers(-20, 21))))
        rgb = _joined(rgb, photos[second], rng)
    rgb = _framed(rgb, rng)
    if rng.random() < _PERMUTED:
        rgb = np.ascontiguousarray(rgb[..., rng.permutation(3)])
    grey = rng.random() < 0.06
    rgb = look(rgb, grey, rng)
    exposed = rng.random()
    if exposed < 0.3:
        stops = float(np.exp(rng.uniform(np.log(0.2), np.log(4.5))))
        rgb = d.expose(rgb, stops if exposed < 0.15 else -stops, rng)
    imbalance = 0.0
    if not grey and rng.random() < 0.75:
        tint, imbalance = _tint(rng)
        rgb = tint(rgb)
    if rng.random() < 0.7:
        rgb = d.jpeg(rgb, int(rng.integers(75, 98)), "420")
    return evidence_of(rgb), min(imbalance, MOST_IMBALANCE), (first, second)


def evidence_of(rgb: np.ndarray) -> np.ndarray:
    """`color_evidence` of a picture of any size: uint8 [h, w, 3]."""
    whole = overview(shrink(rgb, SHORT_SIDE_PX))
    small = coarse(whole)
    return color_evidence(whole, small, light_histogram(small))


def _tint(rng: d.Rng) -> tuple[Callable[[np.ndarray], np.ndarray], float]:
    """A cast of some kind and strength, the same for every picture, and its imbalance, see `synthesis.cast_score`."""
    kind = rng.random()
    if kind >= 0.5:
        seed, strength = rng.integers(1 << 62), rng.uniform(0.02, 1.0)
        tint = lambda rgb: d.cast(rgb, strength, np.random.default_rng(seed))  # noqa: E731
        grey = tint(np.full((1, 1, 3), _GREY, np.uint8))[0, 0]
        return tint, float(np.ptp(np.log(grey.astype(np.float32) + 1)))
    logs = rng.normal(size=3)
    logs -= logs.mean()
    logs *= rng.uniform(0.02, 0.9) / np.abs(logs).max()
    gains, imbalance = np.exp(logs), float(np.ptp(logs))
    if kind >= 0.35:  # of light, before the curve of sRGB
        light = (gains**2.2 / (gains**2.2).mean()).astype(np.float32)
        return lambda rgb: d.to_uint8(
            255 * np.clip((rgb / np.float32(255)) ** 2.2 * light, 0, 1) ** (1 / 2.2)
        ), imbalance
    # as white balance is done: brightness kept, nothing clipped, or green kept
    gains = (gains / (gains.mean(), gains.max(), gains[1])[rng.integers(3)]).astype(np.float32)
    return lambda rgb: d.to_uint8(rgb * gains), imbalance


def _framed(rgb: np.ndarray, rng: d.Rng) -> np.ndarray:
    """Half or more of each side, made smaller, at times mirrored."""
    h, w = rgb.shape[:2]
    keep = rng.uniform(0.5, 1.0, 2) if rng.random() < 0.7 else (1.0, 1.0)
    ch, cw = (min(side, max(48, int(side * k))) for side, k in zip((h, w), keep, strict=True))
    top, left = rng.integers(0, h - ch + 1), rng.integers(0, w - cw + 1)
    rgb = rgb[top : top + ch, left : left + cw]
    scale = min(1.0, rng.uniform(240, 512) / min(rgb.shape[:2]))
    if scale < 1:
        rgb = cv2.resize(rgb, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    return np.ascontiguousarray(rgb[:, ::-1] if rng.random() < 0.5 else rgb)


def _joined(rgb: np.ndarray, other: np.ndarray, rng: d.Rng) -> np.ndarray:
    """Another photograph in the lower or right part of one, or inside it."""
    h, w = rgb.shape[:2]
    other = cv2.resize(other, (w, h), interpolation=cv2.INTER_AREA)
    rgb, down, across = rgb.copy(), int(h * rng.uniform(0.3, 0.7)), int(w * rng.uniform(0.3, 0.7))
    part = (
        (slice(down, h), slice(None)),
        (slice(None), slice(across, w)),
        (slice(h // 4, h // 4 + down), slice(w // 4, w // 4 + across)),
    )[rng.integers(3)]
    rgb[part] = other[part]
    return rgb
