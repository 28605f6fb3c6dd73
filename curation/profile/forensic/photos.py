"""Folders of photographs into training patches."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import cv2
import numpy as np

from ..decode import decode
from ..errors import ImageError
from .errors import ForensicTrainingError

#: Side of a training patch, in pixels; a multiple of every autoencoder's stride.
PATCH_PX = 144
_SUFFIXES = {".jpg", ".jpeg", ".png", ".webp"}
#: Standard deviation of grey below which a patch shows nothing.
_FLAT = 4.0
_SHRINKS = (cv2.INTER_AREA, cv2.INTER_LINEAR, cv2.INTER_CUBIC, cv2.INTER_LANCZOS4)


def find_photos(folders: Sequence[Path]) -> list[Path]:
    """Image files under the folders (or the files themselves), in order of path.

    Raises:
        ForensicTrainingError: a folder is missing, or nothing was found.
    """
    found: set[Path] = set()
    for folder in folders:
        if folder.is_file():
            found.add(folder)
        elif folder.is_dir():
            found.update(p for p in folder.rglob("*") if p.suffix.lower() in _SUFFIXES and p.is_file())
        else:
            raise ForensicTrainingError(f"{folder}: no such folder; name a folder of photographs")
    if not found:
        raise ForensicTrainingError(f"no {', '.join(sorted(_SUFFIXES))} under {[str(f) for f in folders]}")
    return sorted(found)


def load_photos(paths: Iterable[Path], min_side_px: int = PATCH_PX) -> list[np.ndarray]:
    """Decode photographs, uint8 [h, w, 3]; unreadable and smaller ones are left out."""
    photos = []
    for path in paths:
        try:
            rgb = decode(path.read_bytes()).rgb
        except ImageError:
            continue
        if min(rgb.shape[:2]) >= min_side_px:
            photos.append(rgb)
    return photos


def cut_patches(photos: Sequence[np.ndarray], count: int, rng: np.random.Generator) -> np.ndarray:
    """Patches of photographs (large ones oftener), most shrunk first by a random factor and filter.

    Shrinking takes the JPEG blocks of the file with it, which would otherwise tell a photograph from what
    an autoencoder made of it; a quarter keeps the camera's own pixels.

    Returns:
        uint8 [count, PATCH_PX, PATCH_PX, 3].
    """
    weights = np.sqrt([photo.shape[0] * photo.shape[1] for photo in photos])
    patches = []
    for i in rng.choice(len(photos), count, p=weights / weights.sum()):
        photo = photos[i]
        patch = _cut(photo, rng)
        for _ in range(4):
            if cv2.cvtColor(patch, cv2.COLOR_RGB2GRAY).std() >= _FLAT:
                break
            patch = _cut(photo, rng)
        patches.append(patch)
    return np.stack(patches)


def _cut(photo: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    height, width = photo.shape[:2]
    smallest = PATCH_PX / min(height, width)
    shrink = 1.0 if rng.random() < 0.25 else float(np.exp(rng.uniform(np.log(max(smallest, 0.2)), 0)))
    shrink = max(shrink, smallest)
    side = min(round(PATCH_PX / shrink), height, width)
    top, left = int(rng.integers(0, height - side + 1)), int(rng.integers(0, width - side + 1))
    region = photo[top : top + side, left : left + side]
    if side == PATCH_PX:
        return region
    kernel = cv2.INTER_AREA if shrink < 0.5 else _SHRINKS[int(rng.integers(len(_SHRINKS)))]
    return cv2.resize(region, (PATCH_PX, PATCH_PX), interpolation=kernel)
