"""Which size a picture is trained at: near its own shape and size, inside a range of areas, on a grid.

There are no fixed squares. A picture keeps its shape as nearly as a grid of 16 px allows, and its own size where that
lies in the range; larger ones are scaled down, smaller ones up, but only by a set factor.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .errors import PlanError

#: Width / height, for the printed table.
SHAPES = ((21, 9), (16, 9), (3, 2), (4, 3), (5, 4), (1, 1), (4, 5), (3, 4), (2, 3), (9, 16), (9, 21))


@dataclass(frozen=True)
class Resolution:
    """The range of sizes of a training stage.

    Attributes:
        min_area_px, max_area_px: smallest and largest area of a target, px. `Resolution.side(256)` is a stage at
            256 x 256 of any shape.
        grid_px: both sides are multiples of it: one token is 16 x 16 px of a picture (autoencoder 8, patch 2).
        max_upscale: largest factor by which a side may grow; pictures that would need more are left out.
        area_slack: part of the area that may be given up for a better shape, 0..1.
        max_aspect: longer side over shorter side; more extreme pictures are left out.
        max_side_px: longest side, by the positions that the model has (512 tokens of 16 px).
    """

    min_area_px: int
    max_area_px: int
    grid_px: int = 16
    max_upscale: float = 1.0
    area_slack: float = 0.2
    max_aspect: float = 4.0
    max_side_px: int = 8192

    def __post_init__(self) -> None:
        if not 0 < self.min_area_px <= self.max_area_px:
            raise PlanError(
                f"area from {self.min_area_px} to {self.max_area_px} px: give 0 < min_area_px <= max_area_px"
            )
        if self.grid_px < 1 or self.max_upscale <= 0 or not 0 <= self.area_slack < 1 or self.max_aspect < 1:
            raise PlanError(
                "grid_px >= 1, max_upscale > 0, area_slack in 0..1 and max_aspect >= 1 are wanted; got "
                f"{self.grid_px}, {self.max_upscale}, {self.area_slack}, {self.max_aspect}"
            )
        if self.max_area_px < self.grid_px**2:
            raise PlanError(
                f"max_area_px {self.max_area_px} is below one token of {self.grid_px} x {self.grid_px} px"
            )

    @classmethod
    def side(cls, side_px: int, max_upscale: float = 1.0, grid_px: int = 16) -> Resolution:
        """Targets of about side_px x side_px in area, of any shape."""
        area = side_px**2
        return cls(max(1, int(area * 0.8)), area, grid_px, max_upscale)

    @classmethod
    def sides(cls, min_px: int, max_px: int, max_upscale: float = 1.0, grid_px: int = 16) -> Resolution:
        """Targets from min_px x min_px to max_px x max_px in area, each at its own size where it can be."""
        return cls(min_px**2, max_px**2, grid_px, max_upscale)


def map_sizes(widths_px: np.ndarray, heights_px: np.ndarray, resolution: Resolution) -> np.ndarray:
    """Sizes to train at.

    The wanted area is the picture's own, brought into the range and under `max_upscale`. Of the grid sizes with at most
    that area and at least `1 - area_slack` of it, the one whose shape differs least (|log of the ratio|) is taken, of
    equals the largest. Where grid and range are so coarse that there is none, the nearest shape of at most
    the area.

    Args:
        widths_px, heights_px: int [n], of the pictures as they are displayed.

    Returns:
        int32 [n, 2] (width, height) in px; (0, 0) where a picture is left out: smaller than `max_upscale` can mend,
        more extreme than `max_aspect`, or without a size.
    """
    r = resolution
    width, height = (np.asarray(side, np.float64) for side in (widths_px, heights_px))
    with np.errstate(divide="ignore", invalid="ignore"):
        long, short = np.maximum(width, height), np.minimum(width, height)
        aspect = long / short
        area = np.clip(width * height, r.min_area_px, r.max_area_px)
        scale = np.minimum(np.sqrt(area / (width * height)), r.max_upscale)
        reached = scale * scale * width * height
    # A picture may fall short of the smallest area by no more than what the grid may cost.
    fits = (short > 0) & (aspect <= r.max_aspect) & (reached >= r.min_area_px * (1 - r.area_slack))
    reached, aspect = np.where(fits, reached, 1.0), np.where(fits, aspect, 1.0)
    limits = tuple(np.where(fits, side, r.grid_px) * r.max_upscale / r.grid_px for side in (long, short))
    best = _search(aspect, np.minimum(reached, r.max_area_px) / r.grid_px**2, limits, r)
    found = fits & (best[0] > 0)
    wide = width >= height
    sizes = np.stack([np.where(wide, best[0], best[1]), np.where(wide, best[1], best[0])], axis=1)
    return (np.where(found[:, None], sizes, 0) * r.grid_px).astype(np.int32)


def _search(
    aspect: np.ndarray, most: np.ndarray, limits: tuple[np.ndarray, np.ndarray], r: Resolution
) -> tuple[np.ndarray, np.ndarray]:
    """(long, short) sides in grid units. `most`: area at most, in units; `limits`: of each side, in units."""
    top = np.floor(np.sqrt(most / aspect) + 1.0)
    lowest = np.sqrt(most * (1 - r.area_slack) / aspect)
    rounds = int(np.ceil((top - lowest).max(initial=0))) + 2
    best_long, best_short = np.zeros_like(most), np.zeros_like(most)
    best_rank = np.full(most.shape, np.inf)
    side_limit = r.max_side_px // r.grid_px
    for back in range(rounds):
        short = top - back
        for long in (np.floor(short * aspect), np.ceil(short * aspect)):
            area = long * short
            ok = (short >= 1) & (long >= short) & (area <= most + 1e-6) & (long <= side_limit)
            ok &= (long <= limits[0] + 1e-6) & (short <= limits[1] + 1e-6)
            with np.errstate(divide="ignore", invalid="ignore"):
                error = np.abs(np.log(long / short / aspect))
            # Below the slack only where nothing else is there; among equals the larger area.
            rank = np.round(error, 9) - area * 1e-12 + np.where(area < most * (1 - r.area_slack), 1e3, 0.0)
            better = ok & (rank < best_rank)
            best_rank = np.where(better, rank, best_rank)
            best_long, best_short = np.where(better, long, best_long), np.where(better, short, best_short)
    return best_long, best_short


def map_size(width_px: int, height_px: int, resolution: Resolution) -> tuple[int, int] | None:
    """(width, height) to train one picture at, or None where it is left out; see `map_sizes`."""
    width, height = map_sizes(np.array([width_px]), np.array([height_px]), resolution)[0].tolist()
    return (width, height) if width else None


def size_table(
    resolution: Resolution, shapes: Sequence[tuple[int, int]] = SHAPES, areas_px: Sequence[int] | None = None
) -> list[dict[str, float | int | str]]:
    """What pictures of these shapes are trained at, each at the areas of the range: rows of shape, native and target
    size, tokens, and aspect error as a share."""
    r = resolution
    areas = list(
        areas_px or dict.fromkeys((r.min_area_px, (r.min_area_px + r.max_area_px) // 2, r.max_area_px))
    )
    rows: list[dict[str, float | int | str]] = []
    for area in areas:
        for wide, high in shapes:
            native = [round((area * a / b) ** 0.5) for a, b in ((wide, high), (high, wide))]
            size = map_size(native[0], native[1], r)
            if size is None:
                continue
            rows.append(
                {
                    "shape": f"{wide}:{high}",
                    "native": f"{native[0]}x{native[1]}",
                    "target": f"{size[0]}x{size[1]}",
                    "tokens": size[0] * size[1] // r.grid_px**2,
                    "aspect_error": round(abs(size[0] / size[1] * high / wide - 1), 4),
                }
            )
    return rows
