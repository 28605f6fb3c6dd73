"""The aesthetic heuristic and the face detector, measured on your pictures.

    python benchmarks/scores_accuracy.py FOLDER [--quick] [--faces truth.csv]

Heuristic: each picture against copies of it with a fault; the share of pairs in the right order (0.5 is
chance). It says that faults are seen, not that taste is: only ratings could say that.
Faces: with nudenet installed and a CSV of `file,faces`, precision and recall of "has a face", counts that
are right, and time. Ends with one line of JSON.
"""

from __future__ import annotations

import argparse
import csv
import json
import statistics
import time
from pathlib import Path

import cv2
import numpy as np

from zcurate.curation.errors import MissingDependencyError
from zcurate.curation.scoring.aesthetics import aesthetic_score
from zcurate.curation.scoring.detector import NudeNetDetector, count_faces

SIDE_PX = 336
FAULTS = {
    "blur": lambda a, rng: cv2.GaussianBlur(a, (0, 0), 3),
    "noise": lambda a, rng: np.clip(a + rng.normal(0, 30, a.shape), 0, 255).astype(np.uint8),
    "underexposed": lambda a, rng: (a * 0.3).astype(np.uint8),
    "overexposed": lambda a, rng: np.clip(a * 2.0 + 40, 0, 255).astype(np.uint8),
    "low_contrast": lambda a, rng: (a * 0.3 + 90).astype(np.uint8),
}


def pictures(folder: Path, most: int) -> dict[str, np.ndarray]:
    """RGB pictures by file name, short side at most 336 px as thumbnails are."""
    found = {}
    for file in sorted(folder.rglob("*")):
        if file.suffix.lower() not in (".png", ".jpg", ".jpeg", ".webp") or len(found) >= most:
            continue
        bgr = cv2.imread(str(file))
        if bgr is None:
            continue
        scale = SIDE_PX / min(bgr.shape[:2])
        if scale < 1:
            bgr = cv2.resize(bgr, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        found[file.name] = cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB)
    return found


def heuristic(images: dict[str, np.ndarray]) -> dict[str, float]:
    """Share of right pairs per fault, and milliseconds per picture."""
    rng = np.random.default_rng(0)
    seconds, clean = [], {}
    for name, rgb in images.items():
        started = time.perf_counter()
        clean[name] = aesthetic_score(rgb)
        seconds.append(time.perf_counter() - started)
    found = {
        "aesthetic_ms": statistics.median(seconds) * 1000,
        "aesthetic_median": statistics.median(clean.values()),
    }
    for fault, change in FAULTS.items():
        right = [aesthetic_score(change(rgb, rng)) < clean[name] for name, rgb in images.items()]
        found[f"order_{fault}"] = float(np.mean(right))
    return found


def faces(images: dict[str, np.ndarray], truth: Path | None) -> dict[str, float | None]:
    """Precision and recall of "has a face"; None where nudenet or the truth is missing."""
    found = dict.fromkeys(("face_precision", "face_recall", "face_count_right", "face_ms"), None)
    try:
        detector = NudeNetDetector()
    except MissingDependencyError as e:
        print(e)
        return found
    detector.load()
    seconds, counts = [], {}
    for name, rgb in images.items():
        started = time.perf_counter()
        counts[name] = count_faces(detector.detect(rgb), 0.4)
        seconds.append(time.perf_counter() - started)
    found["face_ms"] = statistics.median(seconds) * 1000
    if truth is not None:
        with truth.open(newline="") as f:
            known = {r["file"]: int(r["faces"]) for r in csv.DictReader(f)}
        pairs = [(counts[n], known[n]) for n in counts if n in known]
        hits = sum(c > 0 and k > 0 for c, k in pairs)
        found["face_precision"] = hits / max(1, sum(c > 0 for c, _ in pairs))
        found["face_recall"] = hits / max(1, sum(k > 0 for _, k in pairs))
        found["face_count_right"] = sum(c == k for c, k in pairs) / max(1, len(pairs))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, help="pictures without faults")
    parser.add_argument("--faces", type=Path, help="CSV with columns file and faces")
    parser.add_argument("--quick", action="store_true", help="40 pictures instead of 1,000")
    options = parser.parse_args()
    cv2.setNumThreads(1)
    images = pictures(options.folder, 40 if options.quick else 1000)
    if not images:
        parser.error(f"no pictures below {options.folder}")
    result = {"pictures": len(images), **heuristic(images), **faces(images, options.faces)}
    print(json.dumps({k: round(v, 4) if isinstance(v, float) else v for k, v in result.items()}))


if __name__ == "__main__":
    main()
