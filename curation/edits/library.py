"""What experts set into pictures: sprites and backgrounds, each with a name that instructions can use."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import cv2
import numpy as np

from .color_names import FOCAL, ZH, name_of
from .cutout import NoCutoutError, alpha_of, own_colors
from .phrases import Referent
from .rendering.sprites import Sprite
from .things import referent_of

#: Sprites are kept no larger than this, px: they are set at less than half of a picture.
MAX_SPRITE_PX = 512


@dataclass(frozen=True)
class Item:
    """A sprite with its names. `id`: digest of its pixels. `label`: the bare class, to tell kinds apart."""

    id: str
    sprite: Sprite
    referent: Referent
    label: str


@dataclass(frozen=True)
class Library:
    """All of a run, in an order that does not depend on how they were found."""

    items: tuple[Item, ...] = ()
    #: why pictures gave no sprite, counted
    refused: Mapping[str, int] = field(default_factory=dict)

    def assets(self) -> dict[str, Sprite]:
        return {f"sprite:{item.id}": item.sprite for item in self.items}

    def referents(self) -> dict[str, Referent]:
        return {item.id: item.referent for item in self.items}

    @property
    def digest(self) -> str:
        """Identity of the library, for fingerprints."""
        return hashlib.sha256(
            "".join(f"{i.id}{i.referent.en}{i.referent.zh}" for i in self.items).encode()
        ).hexdigest()


def build_library(pictures: Iterable[tuple[np.ndarray, str | None]], most: int = 400) -> Library:
    """Sprites of pictures that show one named thing on plain ground.

    Args:
        pictures: (RGB (H, W, 3) or RGBA (H, W, 4) uint8, class label). An alpha channel is taken as it is.
        most: sprites kept, spread evenly over labels.
    """
    found: dict[str, Item] = {}
    refused: Counter[str] = Counter()
    for pixels, label in pictures:
        try:
            item = sprite_of(pixels, label)
        except NoCutoutError as e:
            refused[str(e)] += 1
            continue
        found[item.id] = item
    by_label: dict[str, list[Item]] = {}
    for item in sorted(found.values(), key=lambda i: i.id):
        by_label.setdefault(item.label, []).append(item)
    kept: list[Item] = []
    for turn in range(max((len(v) for v in by_label.values()), default=0)):
        kept += [items[turn] for _, items in sorted(by_label.items()) if turn < len(items)]
    return Library(tuple(sorted(kept[:most], key=lambda i: i.id)), dict(refused))


def sprite_of(pixels: np.ndarray, label: str | None) -> Item:
    """One sprite.

    Raises:
        NoCutoutError: unnamed, empty, or a reason of `cut_out`.
    """
    if referent_of(label) is None:
        raise NoCutoutError("unnamed")
    if pixels.shape[2] == 4:
        ys, xs = np.nonzero(pixels[..., 3] > 8)
        if not len(ys):
            raise NoCutoutError("no_thing")
        rgba = pixels[ys.min() : ys.max() + 1, xs.min() : xs.max() + 1]
    else:
        alpha, _ = alpha_of(pixels)
        ys, xs = np.nonzero(alpha)
        at = (slice(ys.min(), ys.max() + 1), slice(xs.min(), xs.max() + 1))
        rgba = np.dstack([own_colors(pixels, alpha), alpha])[at]
    factor = min(1.0, MAX_SPRITE_PX / max(rgba.shape[:2]))
    if factor < 1:
        rgba = cv2.resize(rgba, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)
    rgba = np.ascontiguousarray(rgba)
    color = name_of(rgba[..., :3], rgba[..., 3])
    key = hashlib.sha256(rgba.tobytes() + repr(rgba.shape).encode()).hexdigest()[:16]
    bare = referent_of(label)
    return Item(key, Sprite(rgba), referent_of(label, color) or bare, bare.en)


def plain_backgrounds() -> dict[str, tuple[np.ndarray, Referent]]:
    """Studio backdrops in every focal color, softly lit from the middle: (64, 64, 3) uint8 and their names."""
    y, x = np.mgrid[-1:1:64j, -1:1:64j]
    light = (1 - 0.16 * (x * x + y * y))[..., None]
    return {
        f"plain:{name}": (
            np.clip(np.rint(np.array(rgb) * light), 0, 255).astype(np.uint8),
            Referent(f"plain {name} backdrop", f"纯{ZH[name]}背景", "块", color=name),
        )
        for name, rgb in FOCAL.items()
    }
