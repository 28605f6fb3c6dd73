"""All candidate pairs of a clip with what was measured of them; no picture is kept."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import cv2
import numpy as np

from .ladder import GAPS_S, ladder
from .motion import FrameLook, Motion, MotionRules, compare, look, working
from .shots import Shot

#: Short side in which encoders are given frames: that of the dataset's thumbnails, px.
THUMB_PX = 336


class Encoder(Protocol):
    """`curation.embedding.encoder.Encoder`, as far as it is used here."""

    def encode_images(self, images: list[np.ndarray]) -> np.ndarray:
        """[n, dim] unit vectors of (H, W, 3) uint8 pictures."""


class Frames(Protocol):
    """A clip, or a folder of frames."""

    def frames_at(self, times_s: Sequence[float]) -> Iterator[tuple[float, float, np.ndarray]]:
        """(wanted time, time, (H, W, 3) uint8) for ascending times."""


@dataclass(frozen=True)
class SurveyPlan:
    """gaps_s: seconds between the frames of a pair. anchors: pairs per gap and shot. most_shots: per clip; of more,
    evenly spread ones are taken. min_side_px: smaller frames are of no use."""

    gaps_s: tuple[float, ...] = GAPS_S
    anchors: int = 2
    most_shots: int = 24
    min_side_px: int = 64
    rules: MotionRules = field(default_factory=MotionRules)


@dataclass(frozen=True)
class Candidate:
    """A pair of frames of one shot, the earlier one first. `reason`: why it is refused already; None so far."""

    source_s: float
    target_s: float
    shot: int
    motion: Motion
    similarity: float | None
    reason: str | None

    @property
    def gap_s(self) -> float:
        return self.target_s - self.source_s


@dataclass(frozen=True)
class Survey:
    """candidates: in order of time. refused: reason -> pairs that could not be compared (a frame was black...)."""

    candidates: tuple[Candidate, ...]
    refused: Counter[str]


def survey(frames: Frames, shots: Sequence[Shot], encoder: Encoder, plan: SurveyPlan) -> Survey:
    """Measure all candidate pairs. Frames of one shot are held at a time, small."""
    refused: Counter[str] = Counter()
    found: list[Candidate] = []
    for number, shot in _spread(shots, plan.most_shots):
        rungs = ladder(shot, plan.gaps_s, plan.anchors)
        times = sorted({t for rung in rungs for t in rung})
        found += _shot(number, rungs, _Looked(frames.frames_at(times), plan), encoder, plan, refused)
    return Survey(tuple(found), refused)


def _spread(shots: Sequence[Shot], most: int) -> Iterable[tuple[int, Shot]]:
    if len(shots) <= most:
        return enumerate(shots)
    return [(int(i), shots[int(i)]) for i in np.linspace(0, len(shots) - 1, most).round()]


class _Looked:
    """The frames of one shot: in working size, as thumbnails, and what is wrong with each."""

    def __init__(self, frames: Iterable[tuple[float, float, np.ndarray]], plan: SurveyPlan) -> None:
        self.at: dict[float, float] = {}
        self.small: dict[float, np.ndarray] = {}
        self.thumbs: dict[float, np.ndarray] = {}
        self.looks: dict[float, FrameLook] = {}
        self.too_small = False
        for wanted, at, rgb in frames:
            self.at[wanted] = at
            if at in self.small:
                continue
            self.too_small |= min(rgb.shape[:2]) < plan.min_side_px
            self.small[at] = working(rgb)
            self.thumbs[at] = thumb(rgb)
            self.looks[at] = look(self.small[at], plan.rules)
        self._rules = plan.rules
        self._usual = float(np.median([s.sharpness for s in self.looks.values()] or [0.0]))

    def fault(self, at: float) -> str | None:
        rules, seen = self._rules, self.looks[at]
        if self.too_small:
            return "too_small"
        if seen.dark:
            return "black"
        if seen.flat:
            return "flat"
        least = max(rules.blur_levels2, rules.blur_share * self._usual)
        return "blurred" if seen.sharpness < least else None


def _shot(
    number: int,
    rungs: Sequence[tuple[float, float]],
    looked: _Looked,
    encoder: Encoder,
    plan: SurveyPlan,
    refused: Counter[str],
) -> list[Candidate]:
    pairs: list[tuple[float, float, Motion]] = []
    for rung in rungs:
        if not all(t in looked.at for t in rung):
            refused["undecodable"] += 1
            continue
        source, target = (looked.at[t] for t in rung)
        faults = [looked.fault(t) for t in (source, target)]
        reason = next((f for f in faults if f), "same_frame" if source == target else None)
        if reason is None and looked.small[source].shape != looked.small[target].shape:
            reason = "size_changed"
        if reason is not None:
            refused[reason] += 1
            continue
        pairs.append((source, target, compare(looked.small[source], looked.small[target], plan.rules)))
    wanted = sorted({t for s, e, m in pairs if m.reason is None for t in (s, e)})
    vectors = (
        dict(zip(wanted, encoder.encode_images([looked.thumbs[t] for t in wanted]), strict=True))
        if wanted
        else {}
    )
    return [
        Candidate(s, e, number, m, None if m.reason else cosine(vectors[s], vectors[e]), m.reason)
        for s, e, m in pairs
    ]


def cosine(a: np.ndarray, b: np.ndarray) -> float:
    """Of two unit vectors, -1..1."""
    return float(np.clip(np.dot(np.asarray(a, np.float64), np.asarray(b, np.float64)), -1, 1))


def thumb(rgb: np.ndarray) -> np.ndarray:
    """A frame as encoders see pictures of a dataset: short side `THUMB_PX`."""
    factor = THUMB_PX / min(rgb.shape[:2])
    return rgb if factor >= 1 else cv2.resize(rgb, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)
