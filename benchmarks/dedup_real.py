"""Do edited copies of real photographs end in one group, and different photographs apart? Ours, imagededup, SemDeDup's rule.

    python benchmarks/dedup_real.py [--photos DIR] [--quick]

Copies are made of every photograph by edits of known kind and strength. They and the photographs, and two recolored
variants of each (another color is another picture), are measured as the pipeline does: file, 336 px thumbnail, pHash,
`embedded` vector, `deduplicate` with the thresholds of the dedup stage. Copies are made by Pillow; the descriptor's
weights were learned on edits made by OpenCV, and on no photograph that is used here: without --photos these are the
part of the clothing photographs that its training leaves out, and cid22, which it never saw.

- recall: share of copies put into their photograph's group; `listed` are the edits the descriptor is meant for (resize,
  recompression, crop up to 10 % of a side, brightness, contrast, gamma, blur), `all` has also noise, lettering, frames,
  saturation, mirrors, turns, and combinations.
- precision: share of pairs put into one group that come from one photograph, over all pairs of files.
- wrongly_dropped: rows that would be dropped for a keeper made of another photograph.

imagededup (PHash, and CNN where its weights are at hand) is given the same pixels and its own default thresholds.
SemDeDup's rule (arXiv:2303.09540): k-means of the vectors, and within a cluster every row goes whose cosine to an
earlier row is above 1 - epsilon. It runs on our vectors with our threshold, so only the rule differs.

Ends with one line of JSON.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.util
import io
import json
import time
from collections import defaultdict
from pathlib import Path

import cv2
import numpy as np
import pyarrow as pa
from copy_edits import RECOLORED, colorful, further_edits, listed_edits
from PIL import Image

from zcurate.curation.embedding.embedded import EmbeddedEncoder
from zcurate.curation.embedding.train_embedded import held_out
from zcurate.curation.neighbors.dedup import deduplicate
from zcurate.curation.neighbors.nodes import COLUMNS
from zcurate.curation.neighbors.oriented import confirm
from zcurate.curation.neighbors.phash import oriented_candidates
from zcurate.curation.neighbors.turned import Turning
from zcurate.curation.neighbors.vectors import inverse_norms
from zcurate.curation.profile.decode import decode
from zcurate.curation.profile.errors import ImageError
from zcurate.curation.profile.measure import profile_image
from zcurate.pipelines.stages.dedup import Config, settings_of

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"
SUFFIXES = (".jpg", ".jpeg", ".png", ".webp")
LONG_SIDE_PX = 1200


def load_photos(paths: list[Path], limit: int) -> list[Image.Image]:
    """Photographs of distinct files, a fixed choice of them, long side at most 1200 px."""
    photos, seen = [], set()
    for path in sorted(paths, key=lambda p: hashlib.sha256(p.name.encode()).digest()):
        data = path.read_bytes()
        if len(photos) == limit or data in seen:
            continue
        seen.add(data)
        try:
            rgb = decode(data).rgb
        except ImageError:
            continue
        if min(rgb.shape[:2]) < 128:
            continue
        image = Image.fromarray(rgb)
        image.thumbnail((LONG_SIDE_PX, LONG_SIDE_PX), Image.Resampling.LANCZOS)
        photos.append(image)
    return photos


def make_files(
    photos: list[Image.Image], per_photo: int, seed: int
) -> tuple[list[bytes], list[str], np.ndarray]:
    """Files, the edit that made each (photo, an edit, or a recoloring), and the picture each one is: int64."""
    edits = listed_edits() | further_edits()
    names, rng = list(edits), np.random.default_rng(seed)
    files, made_by, truth, pictures = [], [], [], 0

    def add(image: Image.Image, name: str, picture: int) -> None:
        file = io.BytesIO()
        image.save(file, "PNG", compress_level=1)
        files.append(file.getvalue())
        made_by.append(name)
        truth.append(picture)

    pool: list[str] = []
    for photo in photos:
        add(photo, "photo", pictures)
        for _ in range(per_photo):
            if not pool:
                pool = [str(n) for n in rng.permutation(names)]
            add(edits[name := pool.pop()](photo), name, pictures)
        pictures += 1
        if colorful(photo):
            for name, edit in RECOLORED.items():
                add(edit(photo), name, pictures)
                pictures += 1
    return files, made_by, np.array(truth)


class Outcome:
    """What a rule put together, against the truth."""

    def __init__(
        self, a: np.ndarray, b: np.ndarray, truth: np.ndarray, made_by: list[str], seconds: float
    ) -> None:
        self.seconds = seconds
        pairs = np.unique(np.stack([np.minimum(a, b), np.maximum(a, b)], 1)[a != b], axis=0)
        right = truth[pairs[:, 0]] == truth[pairs[:, 1]]
        self.pairs, self.wrong = len(pairs), pairs[~right]
        self.precision = float(right.mean()) if len(pairs) else 1.0
        photo_of = {int(truth[i]): i for i, name in enumerate(made_by) if name == "photo"}
        together = {(int(x), int(y)) for x, y in pairs[right]}
        self.found: dict[str, list[bool]] = defaultdict(list)
        for i, name in enumerate(made_by):
            if name != "photo" and name not in RECOLORED:
                p = photo_of[int(truth[i])]
                self.found[name].append((min(i, p), max(i, p)) in together)

    def recall(self, names: object = None) -> float:
        kept = [v for name, values in self.found.items() if names is None or name in names for v in values]
        return float(np.mean(kept)) if kept else float("nan")


def same_group(labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    order = np.argsort(labels, kind="stable")
    parts = np.split(order, np.flatnonzero(np.diff(labels[order])) + 1)
    pairs = [np.triu_indices(len(p), 1) for p in parts]
    a = np.concatenate([p[i] for p, (i, _) in zip(parts, pairs, strict=True)])
    return a, np.concatenate([p[j] for p, (_, j) in zip(parts, pairs, strict=True)])


def measured(
    files: list[bytes], encoder: EmbeddedEncoder
) -> tuple[pa.Table, np.ndarray, np.ndarray, dict[str, float]]:
    """Rows for `deduplicate`, vectors float16, pHashes uint64 [n, 8], and seconds by step."""
    start = time.perf_counter()
    rows = [profile_image(f) for f in files]
    profiled = time.perf_counter()
    vectors = np.concatenate([encoder.encode_images([decode(r["thumb"]).rgb]) for r in rows]).astype(
        np.float16
    )
    seconds = {"profile": profiled - start, "embed": time.perf_counter() - profiled}
    ids = [hashlib.sha256(f).digest()[:16] for f in files]
    ids = [hashlib.sha256(i + n.to_bytes(4, "big")).digest()[:16] for n, i in enumerate(ids)]
    kinds = {"sample_id": pa.binary(16), "content_id": pa.binary(16), "pixel_hash": pa.binary(16), "text": pa.string(),
             "phash": pa.uint64(), "phashes": pa.list_(pa.uint64(), 8)}  # fmt: skip
    extra = {"sample_id": lambda n: ids[n], "text": lambda n: None}
    columns = {}
    for c in dict.fromkeys((*COLUMNS, "phashes")):
        values = [extra[c](n) if c in extra else r.get(c) for n, r in enumerate(rows)]
        missing = all(v is None for v in values)  # a measure of a stage that is not run here
        columns[c] = pa.array(values, kinds.get(c, pa.float64() if missing else None))
    phashes = np.array([r["phashes"] for r in rows], np.uint64)
    return pa.table(columns), vectors, phashes, seconds


def semdedup(vectors: np.ndarray, threshold: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Pairs above the threshold within a k-means cluster; 1,000 rows a cluster, as a small set of the paper's 50,000."""
    from sklearn.cluster import KMeans

    unit = vectors.astype(np.float32)
    unit /= np.maximum(np.linalg.norm(unit, axis=1, keepdims=True), 1e-12)
    labels = KMeans(max(2, len(unit) // 1_000), n_init=1, random_state=seed).fit_predict(unit)
    a, b = [], []
    for cluster in range(labels.max() + 1):
        rows = np.flatnonzero(labels == cluster)
        i, j = np.nonzero(np.triu(unit[rows] @ unit[rows].T, 1) > threshold)
        a.append(rows[i])
        b.append(rows[j])
    return np.concatenate(a), np.concatenate(b)


def imagededup_pairs(files: list[bytes], method: str) -> tuple[np.ndarray, np.ndarray, float] | None:
    """Pairs by imagededup's own defaults, and seconds; None where it or its weights are not installed."""
    if importlib.util.find_spec("imagededup") is None:
        return None
    from imagededup import methods

    if method == "CNN":
        import torch

        if not list(Path(torch.hub.get_dir()).glob("checkpoints/mobilenet_v3_small*")):
            return None
    engine = getattr(methods, method)(verbose=False)
    start = time.perf_counter()
    encoded = {str(n): engine.encode_image(image_array=decode(f).rgb) for n, f in enumerate(files)}
    encoded = {k: v for k, v in encoded.items() if v is not None}
    found = engine.find_duplicates(encoding_map=encoded)
    seconds = time.perf_counter() - start
    pairs = [(int(k), int(other)) for k, others in found.items() for other in others]
    a, b = np.array(pairs, np.int64).reshape(-1, 2).T
    return a, b, seconds


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--photos", type=Path, nargs="+", help="folders of distinct photographs")
    parser.add_argument(
        "--limit", type=int, default=400, help="photographs used at most (default: %(default)s)"
    )
    parser.add_argument("--per-photo", type=int, default=16, help="copies of each (default: %(default)s)")
    parser.add_argument("--threshold", type=float, help="cosine; default: the dedup stage's for `embedded`")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--quick", action="store_true", help="60 photographs, 12 copies of each: under a minute"
    )
    args = parser.parse_args()
    limit, per_photo = (60, 12) if args.quick else (args.limit, args.per_photo)
    cv2.setNumThreads(1)
    folders = args.photos or [SHARED / "clothing", SHARED / "cid22"]
    paths = [p for f in folders for p in f.rglob("*") if p.suffix.lower() in SUFFIXES]
    if not args.photos:  # the other half of these was learned from
        paths = [p for p in paths if "clothing" not in p.parts or held_out(p.name)]
    photos = load_photos(paths, limit)
    if len(photos) < 2:
        parser.error(f"no photographs in {', '.join(map(str, folders))}; name a folder with --photos")
    run(photos, per_photo, args.threshold, args.seed)


def run(photos: list[Image.Image], per_photo: int, threshold: float | None, seed: int) -> None:
    encoder = EmbeddedEncoder()
    settings = settings_of(Config(encoder="embedded", threshold=threshold), encoder.mirror)
    files, made_by, truth = make_files(photos, per_photo, seed)
    print(f"{len(photos)} photographs, {len(files)} files, threshold {settings.threshold:g}")
    table, vectors, phashes, seconds = measured(files, encoder)
    print(f"seconds for {len(files)} files: " + ", ".join(f"{k} {v:.1f}" for k, v in seconds.items()))

    start = time.perf_counter()
    turning = Turning(encoder.symmetries, settings.threshold)
    groups = deduplicate(table, vectors, settings, turning=turning).groups
    group_of = np.unique(groups["group_id"].to_numpy(zero_copy_only=False), return_inverse=True)[1]
    ours = Outcome(*same_group(group_of), truth, made_by, time.perf_counter() - start)
    row_of = {i: n for n, i in enumerate(table["sample_id"].to_pylist())}
    keeper = np.array([row_of[k] for k in groups["keeper_id"].to_pylist()])
    wrongly_dropped = int((truth[keeper] != truth).sum())
    start = time.perf_counter()
    rule = Outcome(*semdedup(vectors, settings.threshold, seed), truth, made_by, time.perf_counter() - start)
    start = time.perf_counter()
    a, b, op = oriented_candidates(phashes, None, settings.phash_radius or 0)
    sure = confirm(vectors, inverse_norms(vectors), a, b, op, encoder.symmetries) >= settings.threshold
    turned = Outcome(a[sure], b[sure], truth, made_by, time.perf_counter() - start)
    outcomes = {"ours": ours, "semdedup rule": rule, "phash x 8 confirmed": turned}
    for method in ("PHash", "CNN"):
        found = imagededup_pairs(files, method)
        if found is not None:
            outcomes[f"imagededup {method}"] = Outcome(found[0], found[1], truth, made_by, found[2])
    show(outcomes)
    listed = set(listed_edits())

    def figures(name: str) -> dict[str, float | None]:
        o = outcomes.get(name)
        if o is None:
            return {"precision": None, "recall": None, "recall_all": None, "seconds": None}
        return {"precision": round(o.precision, 4), "recall": round(o.recall(listed), 4),
                "recall_all": round(o.recall(), 4), "seconds": round(o.seconds, 2)}  # fmt: skip

    print(json.dumps({
        **figures("ours"), "wrongly_dropped": wrongly_dropped, "files": len(files), "photographs": len(photos),
        "threshold": settings.threshold, "embed_ms": round(1000 * seconds["embed"] / len(files), 2),
        "semdedup_rule": figures("semdedup rule"), "phash_turned": figures("phash x 8 confirmed"),
        "imagededup_phash": figures("imagededup PHash"), "imagededup_cnn": figures("imagededup CNN"),
    }))  # fmt: skip


def show(outcomes: dict[str, Outcome]) -> None:
    """Recall of each edit, then of all, precision and seconds, a column per rule."""
    names = [*listed_edits(), *further_edits()]
    print(f"{'recall of':<42}" + "".join(f"{n:>21}" for n in outcomes))
    for name in names:
        print(f"{name:<42}" + "".join(f"{o.recall([name]):>21.3f}" for o in outcomes.values()))
    listed = set(listed_edits())
    print(f"{'listed edits':<42}" + "".join(f"{o.recall(listed):>21.4f}" for o in outcomes.values()))
    print(f"{'all edits':<42}" + "".join(f"{o.recall():>21.4f}" for o in outcomes.values()))
    print(f"{'precision of pairs':<42}" + "".join(f"{o.precision:>21.4f}" for o in outcomes.values()))
    print(f"{'seconds, all files':<42}" + "".join(f"{o.seconds:>21.2f}" for o in outcomes.values()))


if __name__ == "__main__":
    main()
