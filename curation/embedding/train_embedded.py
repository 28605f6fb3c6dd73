"""Learn the weights of the `embedded` descriptor from any folders of distinct photographs.

    python -m zcurate.curation.embedding.train_embedded --photos DIR... [--half DIR...] --out embedded.safetensors

A linear discriminant, fitted to each kind of coefficient on its own (`layout.py`), so that the symmetries stay exact:

- within: second moment of what random edits (`edits.py`) change;
- between: second moment of the differences of each photograph to those that look most like it, with a little of
  the spread of all photographs and of what recoloring and relettering change: what has to be told apart.

Directions are the generalized eigenvectors of the two, scaled to unit change by edits, then by a power of the
eigenvalue. Settings were chosen by cross-validation on the training photographs (`--validate`). A few hundred
photographs and a few minutes on one core. What gave the bundled weights is in EMBEDDED_CARD.md.
"""

from __future__ import annotations

import argparse
import hashlib
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np

from ..profile.decode import decode
from ..profile.errors import ImageError
from ..profile.shrink import shrink
from .edits import ALTERATIONS, edited
from .embedded import THUMB_SIDE_PX, Weights, project
from .layout import Layout, Parts

COPIES = 20


@dataclass(frozen=True)
class Settings:
    """Chosen by cross-validation on the training photographs.

    Attributes:
        dim: components kept.
        power: of the eigenvalue, that scales a direction of unit change by edits.
        ridge: added to the variance within, as a share of its mean.
        spread, altered: weight in `between` of the spread of all photographs and of alterations; look-alikes have 1.
        lookalikes: how many are taken of each photograph.
    """

    dim: int = 192
    power: float = -0.15
    ridge: float = 3e-3
    spread: float = 0.1
    altered: float = 1.0
    lookalikes: int = 6


#: Mean difference of 16 x 16 copies, in levels, under which two files are taken for one picture in two sizes.
_SAME_LEVELS = 6.0


def held_out(name: str) -> bool:
    """Whether a file of this name, in a folder given by --half, is kept from training: a fixed half of all names."""
    return hashlib.sha256(name.encode()).digest()[0] % 2 == 1


def load_photos(paths: Sequence[Path]) -> list[np.ndarray]:
    """Distinct readable pictures, short side 200 to 512 px."""
    photos: list[np.ndarray] = []
    small = np.zeros((0, 768), np.float32)
    for path in paths:
        try:
            rgb = decode(path.read_bytes()).rgb
        except ImageError as e:
            print(f"left out {path}: {e}")
            continue
        if min(rgb.shape[:2]) < 200:
            continue
        rgb = np.ascontiguousarray(shrink(rgb, 512))
        tiny = cv2.resize(rgb, (16, 16), interpolation=cv2.INTER_AREA).astype(np.float32).reshape(1, -1)
        if (np.abs(small - tiny).mean(axis=1) < _SAME_LEVELS).any():
            continue
        small = np.concatenate([small, tiny])
        photos.append(rgb)
    return photos


def examples(photos: Sequence[np.ndarray], seed: int) -> list[Parts]:
    """Coefficients by kind, each [n, 1 + COPIES + len(ALTERATIONS), size]: the photograph, its copies, altered."""
    layout, every = Layout(), []
    for n, photo in enumerate(photos):
        rng = np.random.default_rng((seed, n))
        variants = [
            photo,
            *(edited(photo, rng) for _ in range(COPIES)),
            *(change(photo, rng) for change in ALTERATIONS),
        ]
        every.append([layout.parts(shrink(v, THUMB_SIDE_PX)) for v in variants])
    return every


def stacked(every: list[list[Parts]]) -> list[np.ndarray]:
    """Six arrays float64 [n, variants, size]: the four single kinds, then x and y of the pairs."""

    def column(pick) -> np.ndarray:
        return np.array([[pick(p) for p in row] for row in every], np.float64)

    return [
        *(column(lambda p, k=k: p.single[k]) for k in range(4)),
        column(lambda p: p.x),
        column(lambda p: p.y),
    ]


def fit(
    kinds: list[np.ndarray], settings: Settings = Settings(), lookalikes: np.ndarray | None = None
) -> Weights:
    """Weights from `stacked` examples; without `lookalikes` (int64 [n, q]) they are found by a first fit without them."""
    from scipy.linalg import eigh

    if lookalikes is None:
        first = fit(kinds, replace(settings, spread=1.0), np.zeros((len(kinds[0]), 0), np.int64))
        vectors = project(first, [k[:, 0] for k in kinds])
        near = vectors @ vectors.T
        np.fill_diagonal(near, -2)
        lookalikes = np.argsort(-near, axis=1, kind="stable")[:, : settings.lookalikes]
    mean = kinds[0][:, 0].mean(axis=0)
    solved = []
    for group in ([0], [1], [2], [3], [4, 5]):
        within, spread, altered, alike = (np.mean(m, axis=0) for m in zip(
            *(_moments(kinds[k], mean if k == 0 else 0.0, lookalikes) for k in group), strict=True
        ))  # fmt: skip
        between = alike + settings.spread * spread + settings.altered * altered
        ridge = settings.ridge * np.trace(within) / len(within) * np.eye(len(within))
        values, directions = eigh(between, within + ridge)
        solved.append((values[::-1], directions[:, ::-1].T))
    ranked = sorted((-v, i, j) for i, (values, _) in enumerate(solved) for j, v in enumerate(values))
    counts, used = [0] * 5, 0
    for _, i, _ in ranked:
        cost = 2 if i == 4 else 1
        if used + cost <= settings.dim:
            counts[i] += 1
            used += cost
    maps = [
        (directions[:c] * np.maximum(values[:c, None], 1e-9) ** settings.power).astype(np.float32)
        for (values, directions), c in zip(solved, counts, strict=True)
    ]
    return Weights(mean.astype(np.float32), tuple(maps[:4]), maps[4])


def _moments(kind: np.ndarray, mean: np.ndarray | float, lookalikes: np.ndarray) -> tuple[np.ndarray, ...]:
    """Second moments [size, size]: of changes by edits, of photographs, of changes by `ALTERATIONS`, of look-alikes."""
    photo = kind[:, 0]

    def moment(rows: np.ndarray) -> np.ndarray:
        rows = rows.reshape(-1, kind.shape[-1])
        return rows.T @ rows / max(1, len(rows))

    return (
        moment(kind[:, 1 : 1 + COPIES] - kind[:, :1]),
        moment(photo - mean),
        moment(kind[:, 1 + COPIES :] - kind[:, :1]) / 2,
        moment(photo[:, None] - photo[lookalikes]) / 2,
    )


def validate(kinds: list[np.ndarray], tested: np.ndarray, settings: Settings = Settings()) -> None:
    """Two-fold cross-validation on the rows `tested` (bool [n]): print, by threshold, what would be found.

    Recall of copies, precision of all pairs of pictures and copies, and the share of alterations called copies.
    """
    scores: list[tuple[np.ndarray, ...]] = []
    for fold in (0, 1):
        out = np.flatnonzero(tested)[fold::2]
        kept = np.setdiff1d(np.arange(len(tested)), out)
        weights = fit([k[kept] for k in kinds], settings)
        vectors = project(weights, [k[out] for k in kinds]).astype(np.float32)
        direct = np.einsum("nd,nkd->nk", vectors[:, 0], vectors[:, 1:])
        flat = vectors[:, : 1 + COPIES].reshape(-1, vectors.shape[-1])
        near, owner = flat @ flat.T, np.repeat(np.arange(len(out)), 1 + COPIES)
        same, pair = owner[:, None] == owner, np.triu(np.ones(near.shape, bool), 1)
        scores.append(
            (direct[:, :COPIES], direct[:, COPIES:], near[same & pair], near[~same & pair & (near > 0.5)])
        )
    for t in np.arange(0.78, 0.945, 0.01):
        columns = []
        for copies, altered, right, wrong in scores:
            r, w = (right >= t).sum(), (wrong >= t).sum()
            columns.append(((copies >= t).mean(), r / max(1, r + w), *(altered >= t).mean(axis=0)))
        recall, precision, *altered = np.mean(columns, axis=0)
        print(
            f"  {t:.2f}  recall {recall:.4f}  precision {precision:.4f}  altered "
            + " ".join(f"{a:.3f}" for a in altered)
        )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--photos", type=Path, nargs="*", default=[], help="folders, all of which is learned from"
    )
    parser.add_argument(
        "--half", type=Path, nargs="*", default=[], help="folders of which a fixed half is left for tests"
    )
    parser.add_argument("--out", type=Path, help="file to write")
    parser.add_argument(
        "--validate", action="store_true", help="cross-validate on the --half folders' training half"
    )
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    cv2.setNumThreads(1)
    suffixes = (".jpg", ".jpeg", ".png", ".webp")
    half = [
        p
        for d in args.half
        for p in sorted(d.rglob("*"))
        if p.suffix.lower() in suffixes and not held_out(p.name)
    ]
    rest = [p for d in args.photos for p in sorted(d.rglob("*")) if p.suffix.lower() in suffixes]
    start = time.perf_counter()
    halves = load_photos(half)
    photos = [*halves, *load_photos(rest)]
    if len(photos) < 50:
        parser.error(f"{len(photos)} usable photographs; name folders with a few hundred with --photos")
    kinds = stacked(examples(photos, args.seed))
    print(
        f"{len(photos)} photographs ({len(halves)} of them from --half), {time.perf_counter() - start:.0f} s"
    )
    if args.validate:
        validate(kinds, np.arange(len(photos)) < len(halves))
    if args.out:
        fit(kinds).save(args.out, {"photographs": str(len(photos)), "seed": str(args.seed)})
        print(args.out)


if __name__ == "__main__":
    main()
