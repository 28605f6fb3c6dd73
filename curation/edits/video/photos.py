"""Pairs from photographs of one subject, and folders of numbered frames read as clips."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from itertools import combinations

import cv2
import numpy as np
import xxhash

from .band import Band
from .choosing import Caps, Chosen, Judged, Refusals
from .motion import Motion, MotionRules, compare, look, working
from .surveying import Candidate, Encoder, Survey, cosine, thumb

#: How two photographs of one subject are called.
LABEL = "reference.subject"


class FrameFolder:
    """Pictures in order of their names, as a clip of a fixed rate. `Frames`, and the small frames shots are found on.

    Args:
        load: number of a picture -> (H, W, 3) uint8; None where it cannot be read.
    """

    def __init__(self, load: Callable[[int], np.ndarray | None], count: int, rate_hz: float) -> None:
        self._load, self._count, self._rate_hz = load, count, rate_hz

    def small_frames(self, width_px: int, height_px: int, per_s: float) -> Iterator[tuple[float, np.ndarray]]:
        last = -1e9
        for i in range(self._count):
            at = i / self._rate_hz
            if at < last + 1 / per_s - 1e-3:
                continue
            rgb = self._load(i)
            if rgb is not None:
                last = at
                yield at, cv2.resize(rgb, (width_px, height_px), interpolation=cv2.INTER_AREA)

    def frames_at(self, times_s: Sequence[float]) -> Iterator[tuple[float, float, np.ndarray]]:
        for wanted in times_s:
            i = int(np.ceil(wanted * self._rate_hz - 1e-6))
            rgb = self._load(i) if 0 <= i < self._count else None
            if rgb is not None:
                yield wanted, i / self._rate_hz, rgb


def survey_photos(
    photos: Sequence[np.ndarray | None], encoder: Encoder, rules: MotionRules, min_side_px: int = 64
) -> Survey:
    """All pairs of the photographs of one group; the place of a photograph in the group stands for its time.

    Args:
        photos: (H, W, 3) uint8; None where one cannot be read.
    """
    refused: Counter[str] = Counter()
    small = [None if p is None else working(p) for p in photos]
    faults = [_fault(p, s, rules, min_side_px) for p, s in zip(photos, small, strict=True)]
    usable = [i for i, f in enumerate(faults) if f is None]
    vectors = (
        dict(zip(usable, encoder.encode_images([thumb(photos[i]) for i in usable]), strict=True))
        if usable
        else {}
    )
    found = []
    for i, j in combinations(range(len(photos)), 2):
        fault = faults[i] or faults[j]
        if fault:
            refused[fault] += 1
            continue
        motion = _compared(small[i], small[j], rules)
        found.append(Candidate(i, j, 0, motion, cosine(vectors[i], vectors[j]), motion.reason))
    return Survey(tuple(found), refused)


def _fault(
    photo: np.ndarray | None, small: np.ndarray | None, rules: MotionRules, min_side_px: int
) -> str | None:
    if photo is None or small is None:
        return "undecodable"
    if min(photo.shape[:2]) < min_side_px:
        return "too_small"
    seen = look(small, rules)
    if seen.dark or seen.flat:
        return "black" if seen.dark else "flat"
    return "blurred" if seen.sharpness < rules.blur_levels2 else None


def _compared(a: np.ndarray, b: np.ndarray, rules: MotionRules) -> Motion:
    """Only copies are refused: photographs were taken one by one, and a crop of one says as little as a copy."""
    if a.shape == b.shape:
        found = compare(a, b, rules)
        if found.reason in ("near_duplicate", "subtitle_only", "global_motion"):
            return found
        values = {k: getattr(found, k) for k in found.__dataclass_fields__}
        return Motion(**{**values, "label": LABEL})
    if abs(np.log(a.shape[0] * b.shape[1] / (a.shape[1] * b.shape[0]))) < 0.02:
        b = cv2.resize(b, (a.shape[1], a.shape[0]), interpolation=cv2.INTER_AREA)
        return _compared(a, b, rules)
    return Motion(1.0, 0.0, 1.0, 0.0, 1.0, 0.0, 0.0, label=LABEL)


def choose_photos(found: Survey, band: Band, caps: Caps, seed: str) -> Chosen:
    """Good pairs, of too many a choice by hash; and those refused between the same photographs."""
    counts = Refusals(found.refused)
    good, bad = [], []
    for c in found.candidates:
        reason = c.reason or band.reason(c.similarity if c.similarity is not None else -1.0)
        (good if reason is None else bad).append(Judged(c, reason))
        if reason is not None:
            counts.add(c, reason)
    good.sort(
        key=lambda j: xxhash.xxh3_64_intdigest(
            f"{seed}|{j.candidate.source_s}|{j.candidate.target_s}".encode()
        )
    )
    kept, times = [], set()
    for judged in good:
        ends = times | {judged.candidate.source_s, judged.candidate.target_s}
        if len(kept) >= caps.pairs or len(ends) > caps.frames:
            counts.add(judged.candidate, "capped")
            continue
        kept.append(judged)
        times = ends
    kept += [j for j in bad if {j.candidate.source_s, j.candidate.target_s} <= times]
    kept.sort(key=lambda j: (j.candidate.source_s, j.candidate.target_s))
    return Chosen(tuple(sorted(times)), tuple(kept), counts.refused, counts.by_task)
