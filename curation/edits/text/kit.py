"""What texts are made from, and whether an item could be read where it is to stand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .contrast import FLOOR, OUTLINED_FLOOR, against, ground_of, luminance
from .drawing import outline_of
from .fonts import FontBook
from .items import rgb_of
from .phrase_lists import Phrases

#: Smallest size a text is refitted to, px.
LEAST_PX = 12.0
#: Blocks keep this share of the shorter side from each other, and half of it from the edges.
MARGIN = 0.02

Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class Kit:
    """Fonts and phrases."""

    book: FontBook
    phrases: Phrases

    def legible(self, item: Mapping[str, Any], photo: np.ndarray) -> bool:
        """Whether an item stands out from the photograph behind it, by its own color or by its outline's."""
        return self.stands_out(item, (0.0, 1.0) if item["stroke"] else self.ground(item, photo))

    def stands_out(self, item: Mapping[str, Any], ground: tuple[float, float]) -> bool:
        """As `legible`, on a ground that has been measured."""
        color = rgb_of(item["color"])
        if item["stroke"]:
            edge = float(luminance(np.array(rgb_of(item["stroke"]["color"]), np.uint8)))
            return against(color, (edge, edge)) >= OUTLINED_FLOOR
        return against(color, ground) >= FLOOR

    def ground(self, item: Mapping[str, Any], photo: np.ndarray) -> tuple[float, float]:
        """Darkest and lightest luminance behind an item, see `contrast.ground_of`."""
        return ground_of(photo, self.box(item, photo))

    def unrest(self, item: Mapping[str, Any], photo: np.ndarray) -> float:
        """How varied the ground behind an item is, 0..1: the span of its luminance, perceptually spaced."""
        low, high = self.ground(item, photo)
        return float(np.cbrt(high) - np.cbrt(low))

    def box(self, item: Mapping[str, Any], photo: np.ndarray) -> Box:
        """(x0, y0, x1, y1) of an item's block, px."""
        outline = outline_of(item, self.book, photo.shape)
        return (*outline.min(0), *outline.max(0))

    def fits(self, item: Mapping[str, Any], photo: np.ndarray, taken: Sequence[Box] = ()) -> bool:
        """Whether the block lies in the picture and clear of other boxes."""
        margin = MARGIN * min(photo.shape[:2])
        x0, y0, x1, y1 = self.box(item, photo)
        inside = x0 >= margin / 2 and y0 >= margin / 2
        inside &= x1 <= photo.shape[1] - margin / 2 and y1 <= photo.shape[0] - margin / 2
        return bool(inside) and not any(meet((x0, y0, x1, y1), other, margin) for other in taken)


def meet(a: Box, b: Box, gap_px: float = 0.0) -> bool:
    """Whether two boxes come nearer to each other than a gap."""
    return a[0] - gap_px < b[2] and b[0] - gap_px < a[2] and a[1] - gap_px < b[3] and b[1] - gap_px < a[3]
