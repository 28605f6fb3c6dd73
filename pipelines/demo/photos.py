"""The photographs that ship inside scikit-image, scikit-learn and matplotlib; nothing is downloaded.

Each base picture shows something different: a photograph is used whole, or cut into tiles that
do not overlap, never both. The right picture of scikit-image's stereo pair is left out because it is a
near-duplicate of the left one by nature; icons, diagrams and pictures with a side under 256 px are left out too.
"""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image


@dataclass(frozen=True)
class Picture:
    """A clean base picture with what is true of it.

    Attributes:
        base_id: unique name of the content.
        image: uint8 (H, W, 3) sRGB.
        alt_text: one English or Chinese sentence, as a web page could have given it.
        texts: the strings that can be read in the picture, line by line.
        hard_negative: why a detector could wrongly flag it, or None.
        origin: camera or rendered.
        credit: where the picture comes from.
    """

    base_id: str
    image: NDArray[np.uint8]
    class_name: str
    alt_text: str
    title: str
    tags: tuple[str, ...]
    texts: tuple[str, ...] = ()
    hard_negative: str | None = None
    origin: str = "rendered"
    credit: str = "rendered by zcurate"


@dataclass(frozen=True)
class _Shipped:
    """One packaged file; `tiles` is (columns, rows) of the grid it is cut into."""

    package: str
    path: str
    class_name: str
    alt_text: str
    title: str
    tags: tuple[str, ...]
    hard_negative: str | None = None
    tiles: tuple[int, int] = (1, 1)


_SK, _LEARN, _MPL = "skimage", "sklearn", "matplotlib"

_SHIPPED = (
    _Shipped(_SK, "data/astronaut.png", "portrait", "An astronaut in an orange suit in front of a flag "
             "and a model of a space shuttle", "Astronaut", ("astronaut", "portrait", "space")),
    _Shipped(_SK, "data/camera.png", "portrait", "Black and white photo of a man looking through a film "
             "camera on a tripod", "Cameraman", ("man", "camera", "tripod"), "grey"),
    _Shipped(_SK, "data/chelsea.png", "animal", "一只虎斑猫的脸部特写", "虎斑猫", ("cat", "猫", "animal"),
             "shallow_focus"),
    _Shipped(_SK, "data/coffee.png", "still_life", "A cup of espresso on a red saucer on a wooden table",
             "Coffee", ("coffee", "cup", "table")),
    _Shipped(_SK, "data/coins.png", "still_life", "Rows of ancient coins on a dark background", "Coins",
             ("coins", "museum", "history"), "grey"),
    _Shipped(_SK, "data/ihc.png", "microscopy", "Stained tissue under a microscope", "Histology",
             ("microscope", "tissue", "science")),
    _Shipped(_SK, "data/moon.png", "astronomy", "月球表面的环形山", "月球", ("moon", "月球", "crater"), "grey"),
    _Shipped(_SK, "data/motorcycle_left.png", "vehicle", "A red motorcycle parked in a garage", "Motorcycle",
             ("motorcycle", "garage", "red")),
    _Shipped(_SK, "data/rocket.jpg", "vehicle", "A rocket on its launch pad at dusk", "Rocket",
             ("rocket", "launch", "night"), "night"),
    _Shipped(_SK, "data/retina.jpg", "microscopy", "The back of a human eye with its blood vessels", "Retina",
             ("retina", "eye", "medical")),
    _Shipped(_LEARN, "datasets/images/china.jpg", "architecture", "颐和园佛香阁与昆明湖", "颐和园",
             ("pagoda", "佛香阁", "lake")),
    _Shipped(_LEARN, "datasets/images/flower.jpg", "flower", "An orange dahlia in front of dark green leaves",
             "Dahlia", ("flower", "dahlia", "orange"), "shallow_focus"),
    _Shipped(_MPL, "mpl-data/sample_data/grace_hopper.jpg", "portrait", "Official portrait of a naval officer "
             "in uniform in front of a flag", "Grace Hopper", ("portrait", "officer", "uniform")),
    _Shipped(_SK, "data/hubble_deep_field.jpg", "astronomy", "Distant galaxies on a black sky", "Deep field",
             ("galaxies", "space", "telescope"), "disjoint_crops", (2, 2)),
    _Shipped(_SK, "data/brick.png", "texture", "A wall of bricks", "Bricks", ("brick", "wall", "texture"),
             "disjoint_crops", (1, 2)),
    _Shipped(_SK, "data/grass.png", "texture", "草地", "草地", ("grass", "草", "texture"), "disjoint_crops", (2, 1)),
    _Shipped(_SK, "data/gravel.png", "texture", "Gravel seen from above", "Gravel",
             ("gravel", "stones", "texture"), "disjoint_crops", (1, 2)),
)  # fmt: skip

#: Longest side of a base picture, in px.
MAX_SIDE_PX = 900


def _package_folder(package: str) -> Path | None:
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        return None
    return Path(spec.origin).parent


def _cut(image: NDArray[np.uint8], columns: int, rows: int) -> list[NDArray[np.uint8]]:
    h, w = image.shape[0] // rows, image.shape[1] // columns
    return [image[r * h : (r + 1) * h, c * w : (c + 1) * w] for r in range(rows) for c in range(columns)]


def shipped_photographs() -> tuple[list[Picture], list[str]]:
    """All base pictures that the installed packages provide, and the names of the files not found.

    Packages that are not installed are reported file by file, not an error: the corpus is then smaller.
    """
    pictures: list[Picture] = []
    missing: list[str] = []
    for entry in _SHIPPED:
        folder = _package_folder(entry.package)
        path = None if folder is None else folder / entry.path
        if path is None or not path.is_file():
            missing.append(f"{entry.package}/{entry.path}")
            continue
        with Image.open(path) as opened:
            rgb = opened.convert("RGB")
        rgb.thumbnail((MAX_SIDE_PX, MAX_SIDE_PX), Image.Resampling.LANCZOS)
        tiles = _cut(np.asarray(rgb), *entry.tiles)
        for i, tile in enumerate(tiles):
            suffix = f"_{i}" if len(tiles) > 1 else ""
            pictures.append(
                Picture(
                    base_id=f"photo_{path.stem}{suffix}",
                    image=np.ascontiguousarray(tile),
                    class_name=entry.class_name,
                    alt_text=entry.alt_text,
                    title=entry.title,
                    tags=entry.tags,
                    hard_negative=entry.hard_negative,
                    origin="camera",
                    credit=f"{path.name} from the {entry.package} package",
                )
            )
    return pictures, missing
