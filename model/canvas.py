"""Pictures as tensors, sizes a model can draw, masks, and room added around a picture."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image, ImageOps
from torch import Tensor

from .errors import SizeError

#: References above this are reduced to it, and ones below the smallest side are refused (as released).
REFERENCE_AREA_PX = 1024 * 1024
REFERENCE_SIDE_PX, REFERENCE_ASPECT = 64, 8
#: Pixels of the old picture along a new border that are drawn again, so that no seam shows.
OUTPAINT_OVERLAP_PX = 16


@dataclass(frozen=True, eq=False)
class Start:
    """A picture to begin from in place of noise alone.

    strength: share of the steps that run, in (0, 1]; 1 forgets the picture (outside of a mask). mask: mode L,
    of the picture's size, white where it is to be drawn anew; None: everywhere. Pixels under black are the
    picture's own in the result, bit for bit.
    """

    image: Image.Image
    strength: float = 0.6
    mask: Image.Image | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "image", flat(self.image))
        if not 0 < self.strength <= 1:
            raise SizeError(f"strength {self.strength}: it must be above 0 and at most 1")
        if self.mask is not None and self.mask.size != self.image.size:
            raise SizeError(f"the mask is {self.mask.size}, the picture {self.image.size} (width, height) px")


def parse_size(text: str) -> tuple[int, int]:
    """(width, height) in px of `1024*768` (or with x). Raises SizeError."""
    parts = text.lower().replace("×", "*").replace("x", "*").split("*")
    if len(parts) != 2 or not all(p.strip().isdecimal() and len(p) < 6 for p in parts):
        raise SizeError(f"size {text!r}: write WIDTH*HEIGHT in pixels, such as 1024*768")
    return int(parts[0]), int(parts[1])


def check_canvas(size: tuple[int, int], multiple_px: int, low_px: int, high_px: int) -> None:
    """Raise SizeError, with the nearest size that works, unless the model can draw (width, height)."""
    nearest = tuple(nearest_side(side, multiple_px, low_px, high_px) for side in size)
    if nearest != tuple(size):
        raise SizeError(
            f"size {size[0]}*{size[1]}: both sides must be multiples of {multiple_px} px, from {low_px} to "
            f"{high_px} px; nearest: {nearest[0]}*{nearest[1]}"
        )


def nearest_side(side: int, multiple_px: int, low_px: int, high_px: int) -> int:
    """The multiple nearest to `side` within bounds, which are multiples."""
    return min(max(round(side / multiple_px) * multiple_px, low_px), high_px)


def flat(image: Image.Image) -> Image.Image:
    """RGB, upright, transparency put on white."""
    image = ImageOps.exif_transpose(image)
    if image.mode in ("RGBA", "LA", "P", "PA"):
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image.convert("RGB")


def to_tensor(image: Image.Image) -> Tensor:
    """float32 [3, height, width] in [-1, 1]. Transparency is put on white."""
    pixels = np.asarray(flat(image), np.float32)
    return torch.from_numpy(pixels / 127.5 - 1).permute(2, 0, 1)


def to_image(tensor: Tensor) -> Image.Image:
    """An RGB picture of [3, height, width] around [-1, 1]; what is outside is clipped."""
    pixels = ((tensor.float() + 1) * 127.5).round().clamp(0, 255).byte()
    return Image.fromarray(pixels.permute(1, 2, 0).cpu().numpy(), "RGB")


def reference(image: Image.Image, area_px: int, multiple_px: int) -> tuple[Image.Image, Image.Image]:
    """A reference as its semantic encoder sees it, and as the autoencoder does: center-cropped to multiples.

    area_px: area of the target, to which references above 1 MP are reduced. Raises SizeError.
    """
    image = flat(image)
    width, height = image.size
    smallest = min(REFERENCE_SIDE_PX, 4 * multiple_px)
    if min(width, height) < smallest or max(width, height) > REFERENCE_ASPECT * min(width, height):
        raise SizeError(
            f"reference of {width}*{height} px: sides must be at least {smallest} px and differ at most "
            f"{REFERENCE_ASPECT}-fold"
        )
    if width * height > REFERENCE_AREA_PX:
        scale = (area_px / (width * height)) ** 0.5
        image = image.resize((int(width * scale), int(height * scale)), Image.Resampling.LANCZOS)
        width, height = image.size
    columns, rows = (side // multiple_px * multiple_px for side in (width, height))
    left, top = (width - columns) // 2, (height - rows) // 2
    return image, image.crop((left, top, left + columns, top + rows))


def latent_mask(mask: Image.Image, factor: int) -> Tensor:
    """float32 [height / factor, width / factor], 1 where any pixel of the cell is white (above 127)."""
    cells = torch.from_numpy((np.asarray(mask.convert("L")) > 127).astype(np.float32))[None, None]
    return F.max_pool2d(cells, factor)[0, 0]


def outpaint(
    image: Image.Image, left: int, top: int, right: int, bottom: int, multiple_px: int = 16
) -> Start:
    """Room in pixels added on each side, to be drawn: the start, whose picture has the new size.

    A strip of the old picture along the new ground is drawn again (OUTPAINT_OVERLAP_PX, at most a quarter of
    the side), so that no seam shows; the rest of it stays as it is.

    The new ground begins as the border's colors drawn out. Raises SizeError when nothing is added, or the new
    size is not a multiple, with amounts that are.
    """
    sides = (left, top, right, bottom)
    if min(sides) < 0 or not any(sides):
        raise SizeError(
            f"outpaint by {sides} px (left, top, right, bottom): add 0 or more, and some somewhere"
        )
    width, height = image.width + left + right, image.height + top + bottom
    if width % multiple_px or height % multiple_px:
        more_x, more_y = -width % multiple_px, -height % multiple_px
        raise SizeError(
            f"outpaint to {width}*{height} px: both sides must be multiples of {multiple_px} px; "
            f"nearest: right {right + more_x}, bottom {bottom + more_y}"
        )
    pixels = np.asarray(flat(image))
    wide = np.pad(pixels, ((top, bottom), (left, right), (0, 0)), mode="edge")
    mask = np.full(wide.shape[:2], 255, np.uint8)
    inner = [min(OUTPAINT_OVERLAP_PX, image.width // 4, image.height // 4) if side else 0 for side in sides]
    mask[top + inner[1] : top + image.height - inner[3], left + inner[0] : left + image.width - inner[2]] = 0
    return Start(Image.fromarray(wide), strength=1.0, mask=Image.fromarray(mask, "L"))


def composite(drawn: Image.Image, start: Start) -> Image.Image:
    """What was drawn, with the start's own pixels wherever its mask is black."""
    if start.mask is None:
        return drawn
    white = start.mask.convert("L").point(lambda value: 255 if value > 127 else 0)
    return Image.composite(drawn, start.image, white)
