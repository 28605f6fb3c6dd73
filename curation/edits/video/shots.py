"""Shots: runs of frames without a cut, fade or dissolve between them.

Frames are looked at small, a few a second. A cut shows as a jump of color histograms and of gray levels that is
large in itself and against its neighborhood, and stays: a flash comes back. A fade passes through a flat frame. A
dissolve is a change over a second that no single step shows.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import cv2
import numpy as np

#: Size and rate at which frames are looked at.
SMALL_WIDTH_PX, SMALL_HEIGHT_PX, PER_S = 64, 36, 10.0
_GRAY = (32, 18)
_BINS = 8
#: A frame whose gray levels spread less than this is flat: black, white, the middle of a fade.
_FLAT_LEVELS = 8.0


@dataclass(frozen=True)
class ShotRules:
    """Thresholds of shot detection.

    Attributes:
        step: distance (see `distance`) of neighboring frames from which on there may be a cut, 0..1.
        ratio: how much more than the median step around it a cut must be.
        gradual: distance over a second from which on the change is a dissolve.
        margin_s: left out on both sides of a transition.
        shortest_s: shorter shots are dropped.
    """

    step: float = 0.22
    ratio: float = 4.0
    gradual: float = 0.50
    margin_s: float = 0.1
    shortest_s: float = 0.4


@dataclass(frozen=True)
class Shot:
    """From the first to the last usable frame, seconds from the first frame of the clip."""

    start_s: float
    end_s: float

    @property
    def length_s(self) -> float:
        return self.end_s - self.start_s


@dataclass(frozen=True)
class Signatures:
    """Of the frames looked at, in order: 0.6 KB each, so that hours of them fit.

    Attributes:
        times_s: [n] float64.
        histograms: [n, 24 * 4] uint8, three channels in quarters of the picture; each histogram sums to about 255.
        grays: [n, 18 * 32] uint8.
    """

    times_s: np.ndarray
    histograms: np.ndarray
    grays: np.ndarray


def signatures(frames: Iterable[tuple[float, np.ndarray]]) -> Signatures:
    """Of (seconds, (36, 64, 3) uint8) frames."""
    times, histograms, grays = [], [], []
    for at, rgb in frames:
        times.append(at)
        histograms.append(_histogram(rgb))
        gray = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)
        grays.append(cv2.resize(gray, _GRAY, interpolation=cv2.INTER_AREA).ravel())
    n = len(times)
    return Signatures(
        np.array(times, np.float64),
        np.array(histograms, np.uint8).reshape(n, -1),
        np.array(grays, np.uint8).reshape(n, -1),
    )


def _histogram(rgb: np.ndarray) -> np.ndarray:
    height, width = rgb.shape[0] // 2, rgb.shape[1] // 2
    found = []
    for y in (0, height):
        for x in (0, width):
            part = rgb[y : y + height, x : x + width].reshape(-1, 3)
            for channel in range(3):
                counts = np.bincount(part[:, channel] >> 5, minlength=_BINS)
                found.append(counts * (255 / len(part)))
    return np.concatenate(found).round().astype(np.uint8)


def distance(given: Signatures, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Of frames a[i] and b[i], 0..1: geometric mean of histogram distance and of what is left of the gray levels.

    Half the L1 distance of the histograms, and 1 - correlation of gray levels, cut at 1. A pan keeps the first small,
    a change of light the second; both are large at a cut.
    """
    histograms = np.abs(given.histograms[a].astype(np.float32) - given.histograms[b]).sum(axis=1) / 2
    histograms /= 12 * 255
    x, y = given.grays[a].astype(np.float32), given.grays[b].astype(np.float32)
    x, y = x - x.mean(axis=1, keepdims=True), y - y.mean(axis=1, keepdims=True)
    spread = np.linalg.norm(x, axis=1) * np.linalg.norm(y, axis=1)
    # Flat against flat is alike, flat against anything else is not.
    alike = np.where(spread > x.shape[1], (x * y).sum(axis=1) / np.maximum(spread, 1), 0.0)
    both_flat = (x.std(axis=1) < _FLAT_LEVELS) & (y.std(axis=1) < _FLAT_LEVELS)
    rest = np.clip(1 - np.where(both_flat, 1.0, alike), 0, 1)
    return np.sqrt(np.clip(histograms, 0, 1) * rest)


def shots(given: Signatures, rules: ShotRules | None = None) -> list[Shot]:
    """The shots of a clip, in order. Flat stretches (black, fades) and dissolves belong to none."""
    rules = rules or ShotRules()
    n = len(given.times_s)
    if n < 2:
        return []
    steps = np.concatenate([[0.0], distance(given, np.arange(n - 1), np.arange(1, n))])
    bad = given.grays.std(axis=1) < _FLAT_LEVELS
    bad |= _fading(given, bad)
    cuts = _cuts(given, steps, rules)
    bad |= _dissolving(given, steps, cuts, rules)
    found = []
    start = None
    for i in range(n + 1):
        ends = i == n or bad[i] or cuts[i]
        if start is not None and ends:
            found.append(_shot(given, start, i - 1, start > 0, i < n, rules))
            start = None
        if i < n and not bad[i] and start is None:
            start = i
    return [s for s in found if s.length_s >= rules.shortest_s]


def _shot(
    given: Signatures, first: int, last: int, cut_before: bool, cut_after: bool, rules: ShotRules
) -> Shot:
    return Shot(
        float(given.times_s[first]) + (rules.margin_s if cut_before else 0.0),
        float(given.times_s[last]) - (rules.margin_s if cut_after else 0.0),
    )


def _cuts(given: Signatures, steps: np.ndarray, rules: ShotRules) -> np.ndarray:
    """bool [n]: a new shot begins with this frame."""
    n = len(steps)
    cuts = np.zeros(n, bool)
    for i in np.flatnonzero(steps > rules.step):
        around = np.concatenate([steps[max(1, i - 6) : i], steps[i + 1 : i + 7]])
        if len(around) and steps[i] < rules.ratio * float(np.median(around)):
            continue
        # A flash, or something that passes close by: what was before comes back within a few frames.
        before, after = np.full(3, i - 1), np.minimum(np.arange(i + 1, i + 4), n - 1)
        if float(distance(given, before, after).min()) < rules.step / 2:
            continue
        before, after = np.maximum(np.arange(i - 4, i - 1), 0), np.full(3, i)
        if i > 1 and float(distance(given, before, after).min()) < rules.step / 2:
            continue
        cuts[i] = True
    return cuts


def _fading(given: Signatures, flat: np.ndarray) -> np.ndarray:
    """bool [n]: frames beside a flat one whose contrast falls towards it or rises from it."""
    spread = given.grays.astype(np.float32).std(axis=1)
    fading = np.zeros(len(flat), bool)
    for edge in np.flatnonzero(np.diff(flat.astype(np.int8))):
        step, i = (-1, edge) if flat[edge + 1] else (1, edge + 1)
        while 0 <= i + step < len(flat) and not flat[i] and spread[i + step] > spread[i] * 1.02 + 0.2:
            fading[i] = True
            i += step
    return fading


def _dissolving(given: Signatures, steps: np.ndarray, cuts: np.ndarray, rules: ShotRules) -> np.ndarray:
    """bool [n]: frames in the middle of a change over a second that no cut explains."""
    n = len(steps)
    times = given.times_s
    later = np.minimum(np.searchsorted(times, times + 1.0), n - 1)
    passed = np.cumsum(cuts)
    over = distance(given, np.arange(n), later)
    # Not where the clip is known by key frames only, seconds apart: a step is all there is to see there.
    slow = (over > rules.gradual) & (passed[later] == passed) & (times[later] - times <= 1.5)
    found = np.zeros(n, bool)
    for i in np.flatnonzero(slow):
        found[(times > times[i] + 0.2) & (times < times[later[i]] - 0.2)] = True
    return found
