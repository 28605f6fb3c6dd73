"""A function of large images run on overlapping tiles, blended linearly where they meet."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor


def starts(length: int, tile: int, overlap: int) -> list[int]:
    """Starts of tiles that cover `length`, each overlapping the one before by `overlap` or more."""
    if length <= tile:
        return [0]
    count = -(-(length - overlap) // (tile - overlap))
    return [round(i * (length - tile) / (count - 1)) for i in range(count)]


def ramp(start: int, size: int, length: int, overlap: int, like: Tensor) -> Tensor:
    """Weights of a tile along one axis: rising and falling over `overlap`, but not at the image's own border."""
    at = torch.arange(size, dtype=torch.float32, device=like.device) + 0.5
    weight = torch.ones_like(at)
    if start > 0:
        weight = torch.minimum(weight, at / overlap)
    if start + size < length:
        weight = torch.minimum(weight, (size - at) / overlap)
    return weight


def boxes(height: int, width: int, tile: int, overlap: int) -> Iterator[tuple[int, int]]:
    for y in starts(height, tile, overlap):
        for x in starts(width, tile, overlap):
            yield y, x


def tiled(
    function: Callable[[Tensor], Tensor], x: Tensor, tile: int, overlap: int, up: int = 1, down: int = 1
) -> Tensor:
    """`function` of x [channels, height, width], which enlarges by `up` or reduces by `down`.

    tile, overlap: in the pixels of x, multiples of `down`, as height and width are. Equal to the function
    of the whole wherever that depends on less than half the overlap around a pixel; else an approximation,
    continuous across seams.
    """
    height, width = x.shape[1:]
    if height <= tile and width <= tile:
        return function(x)
    total = weights = None
    for y, left in boxes(height // down, width // down, tile // down, overlap // down):
        rows, columns = min(tile, height), min(tile, width)
        top, side = y * down, left * down
        part = function(x[:, top : top + rows, side : side + columns])
        oy, ox = y * up, left * up
        oh, ow = part.shape[1:]
        blend = overlap * up // down
        vertical = ramp(oy, oh, height * up // down, blend, part)
        weight = vertical[:, None] * ramp(ox, ow, width * up // down, blend, part)
        if total is None:
            total = part.new_zeros(
                (part.shape[0], height * up // down, width * up // down), dtype=torch.float32
            )
            weights = torch.zeros_like(total[0])
        total[:, oy : oy + oh, ox : ox + ow] += part * weight
        weights[oy : oy + oh, ox : ox + ow] += weight
    return total / weights
