"""How well the bundled forensic classifier tells generated pictures from photographs, folder by folder.

    python benchmarks/forensic_accuracy.py --real photos/ holiday/ --generated flux/ sdxl/
    python benchmarks/forensic_accuracy.py --quick --real photos/ --generated flux/   # 40 of each folder

Every folder of `--generated` is compared with every folder of `--real` and with all of them together: area
under the ROC curve with a 95 % bootstrap interval, and the share found at probability 0.5. Every folder of
`--real` gives the false positives at 0.5. All of it twice: on the pixels as they are, and equalized, where
each picture is shrunk to a short side of 384 px, cut to its middle square, and saved as JPEG of quality
90, so that file format, size and compression of a folder cannot decide. What remains after that is fairer,
and lower: shrinking removes most traces, and saving others.

Pictures with a side under `--min-side` are left out. Times are of one thread on a 1.5 megapixel picture.
The last line is JSON.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import simplejpeg

from zcurate.curation.profile.decode import decode
from zcurate.curation.profile.errors import ImageError
from zcurate.curation.profile.forensic import Forensic, load_forensic
from zcurate.curation.profile.forensic.calibrate import separation_auc
from zcurate.curation.profile.forensic.model import BUNDLED_WEIGHTS
from zcurate.curation.profile.forensic.photos import find_photos

EQUAL_SIDE_PX = 384


def as_is(rgb: np.ndarray) -> np.ndarray:
    return rgb


def equalized(rgb: np.ndarray) -> np.ndarray:
    """The middle square at one size and one compression."""
    height, width = rgb.shape[:2]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    square = rgb[top : top + side, left : left + side]
    kernel = cv2.INTER_AREA if side >= EQUAL_SIDE_PX else cv2.INTER_CUBIC
    small = cv2.resize(square, (EQUAL_SIDE_PX, EQUAL_SIDE_PX), interpolation=kernel)
    return simplejpeg.decode_jpeg(simplejpeg.encode_jpeg(np.ascontiguousarray(small), 90, "RGB", "420"))


def probabilities(
    forensic: Forensic, folder: Path, prepare: Callable[[np.ndarray], np.ndarray], most: int, min_side_px: int
) -> np.ndarray:
    """One probability per readable picture that is large enough, float64 [n]."""
    found: list[float] = []
    for path in find_photos([folder]):
        if len(found) == most:
            break
        try:
            rgb = decode(path.read_bytes()).rgb
        except ImageError:
            continue
        if min(rgb.shape[:2]) >= min_side_px:
            found.append(forensic.probability(prepare(rgb)))
    return np.array(found)


def auc_interval(real: np.ndarray, made: np.ndarray, resamples: int = 1000) -> list[float]:
    """AUC, and the 2.5 and 97.5 percentiles over resampled pictures of both sides."""
    rng = np.random.default_rng(0)
    drawn = [
        separation_auc(rng.choice(real, len(real)), rng.choice(made, len(made))) for _ in range(resamples)
    ]
    low, high = np.quantile(drawn, [0.025, 0.975])
    return [round(float(x), 3) for x in (separation_auc(real, made), low, high)]


def compare(
    forensic: Forensic, arguments: argparse.Namespace, prepare: Callable[[np.ndarray], np.ndarray]
) -> dict[str, object]:
    """All figures for one way of preparing the pictures, printed and returned."""
    limits = (40 if arguments.quick else 10**9, arguments.min_side)
    real = {f.name: probabilities(forensic, f, prepare, *limits) for f in arguments.real}
    made = {f.name: probabilities(forensic, f, prepare, *limits) for f in arguments.generated}
    print(f"\n{prepare.__name__.replace('_', ' ')}")
    pooled = np.concatenate(list(real.values()))
    false_positives = {}
    for name, values in (*real.items(), ("all", pooled)):
        share = float(np.mean(values > 0.5)) if len(values) else None
        false_positives[name] = {"pictures": len(values), "share": None if share is None else round(share, 4)}
        print(f"  real {name}: {len(values)} pictures, {np.sum(values > 0.5)} above 0.5")
    auc: dict[str, object] = {}
    for name, values in made.items():
        if not len(values) or not len(pooled):
            continue
        against = {other: auc_interval(v, values) for other, v in real.items() if len(v)}
        auc[name] = {
            "pictures": len(values),
            "found_share": round(float(np.mean(values > 0.5)), 3),
            "auc": auc_interval(pooled, values),
            "auc_against": against,
        }
        print(f"  generated {name}: {len(values)} pictures, {np.sum(values > 0.5)} above 0.5")
        for other, (area, low, high) in (("all", auc_interval(pooled, values)), *against.items()):
            print(f"    AUC against {other}: {area:.3f} ({low:.3f} to {high:.3f})")
    return {"false_positives": false_positives, "generated": auc}


def milliseconds(forensic: Forensic) -> float:
    """Median CPU time of one 1500 x 1000 picture of soft noise, one thread."""
    rgb = np.random.default_rng(0).integers(0, 256, (250, 375, 3), np.uint8)
    rgb = cv2.resize(rgb, (1500, 1000), interpolation=cv2.INTER_CUBIC)
    times = []
    for _ in range(60):
        started = time.thread_time()
        forensic.probability(rgb)
        times.append(time.thread_time() - started)
    return 1000 * statistics.median(times[10:])


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--real", nargs="+", type=Path, required=True, help="folders of photographs")
    parser.add_argument("--generated", nargs="+", type=Path, required=True, help="folders, one per generator")
    parser.add_argument("--weights", type=Path, default=BUNDLED_WEIGHTS, help="default: the bundled ones")
    parser.add_argument("--min-side", type=int, default=128, help="leave out smaller pictures (default 128)")
    parser.add_argument("--quick", action="store_true", help="40 pictures of each folder")
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    forensic = load_forensic(arguments.weights)
    result: dict[str, object] = {
        "weights": forensic.identity,
        "ms_per_picture": round(milliseconds(forensic), 2),
    }
    print(f"weights {forensic.identity}; {result['ms_per_picture']} ms for 1.5 megapixels")
    for prepare in (as_is, equalized):
        result[prepare.__name__] = compare(forensic, arguments, prepare)
    print(json.dumps(result))


if __name__ == "__main__":
    main()
