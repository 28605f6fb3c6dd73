"""The compiled loops of the profile that shrink pictures, against OpenCV's, and what going through a picture in strips gains.

    python benchmarks/profile_kernels.py

Medians over rounds in which the two take turns, one thread, in microseconds of CPU time; the pictures are noise smoothed to
look like photographs at a distance. `survey` is gone through in strips and at once, right after a copy of the picture was
written, as after its decode. Errors are against the same interpolation in float64: root mean square and mean, in levels. The
last line is JSON.
"""

from __future__ import annotations

import os

os.environ["OMP_NUM_THREADS"] = "1"  # before anything that starts threads is imported

import argparse
import json
import statistics
import time
from collections.abc import Callable

import cv2
import numpy as np

from zcurate.curation.profile import survey as survey_module
from zcurate.curation.profile.decoded import Decoded
from zcurate.curation.profile.heap import keep_freed_memory
from zcurate.curation.profile.quality.glimpses import HALVED_PX
from zcurate.curation.profile.shrink import interpolated, shrink_by_halves
from zcurate.curation.profile.survey import survey


def picture(height: int, width: int) -> np.ndarray:
    noise = np.random.default_rng(0).normal(128, 300, (height, width, 3)).astype(np.float32)
    return np.clip(cv2.GaussianBlur(noise, (0, 0), 2), 0, 255).astype(np.uint8)


def decoded(pixels: np.ndarray) -> Decoded:
    facts = {"icc": b"", "turn": 1, "format": "JPEG", "mode": "RGB", "bit_depth": 8}
    facts |= {"frames": 1, "orientation": 1, "has_icc": False, "has_alpha": False}
    return Decoded(pixels=pixels, **facts)


def turns(ours: Callable[[], object], theirs: Callable[[], object], rounds: int) -> tuple[float, float]:
    """Medians in microseconds."""
    spent: tuple[list[float], list[float]] = ([], [])
    for _ in range(rounds + 1):
        for contender, seconds in zip((ours, theirs), spent, strict=True):
            started = time.process_time()
            contender()
            seconds.append(time.process_time() - started)
    return tuple(1e6 * statistics.median(s[1:]) for s in spent)  # the first compiles


def survey_turns(pixels: np.ndarray, rounds: int) -> tuple[float, float]:
    """In strips, and at once: the copy before each is not counted."""
    strip_bytes, spent = survey_module._STRIP_BYTES, ([], [])
    for _ in range(rounds + 1):
        for size, seconds in zip((strip_bytes, 1 << 40), spent, strict=True):
            survey_module._STRIP_BYTES = size
            fresh = decoded(pixels.copy())
            started = time.process_time()
            survey(fresh, HALVED_PX)
            seconds.append(time.process_time() - started)
    survey_module._STRIP_BYTES = strip_bytes
    return tuple(1e6 * statistics.median(s[1:]) for s in spent)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=100, help="rounds per median (default: 100)")
    rounds = parser.parse_args().rounds
    cv2.setNumThreads(1)
    keep_freed_memory()
    half, whole, large = picture(500, 750), picture(1000, 1500), picture(3000, 4000)
    size, linear, area = (504, 336), cv2.INTER_LINEAR, cv2.INTER_AREA
    found = {
        "interpolate": turns(
            lambda: interpolated(half, *size), lambda: cv2.resize(half, size, interpolation=linear), rounds
        ),
        "halve": turns(
            lambda: shrink_by_halves(whole, 500),
            lambda: cv2.resize(whole, (750, 500), interpolation=area),
            rounds,
        ),
        "survey_1_5": survey_turns(whole, rounds),
        "survey_12": survey_turns(large, max(5, rounds // 5)),
    }
    result: dict[str, float] = {}
    for name, (ours, theirs) in found.items():
        other = "at once" if name.startswith("survey") else "OpenCV"
        print(f"{name:12s} {ours:8.0f} us, {other} {theirs:8.0f} us")
        result[f"{name}_gain"] = round(theirs / ours, 2)
    exact = cv2.resize(half.astype(np.float64), size, interpolation=linear)
    for name, copy in (
        ("ours", interpolated(half, *size)),
        ("opencv", cv2.resize(half, size, interpolation=linear)),
    ):
        error = copy - exact
        result[f"{name}_rms"], result[f"{name}_bias"] = (
            round(float(np.sqrt((error**2).mean())), 3),
            round(float(error.mean()), 3),
        )
    print(json.dumps(result))


if __name__ == "__main__":
    main()
