"""Convolutional networks: of tiles at native resolution, and of watermarks in the whole picture made small."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .chains import Block, Bounds, Chain, Levels
from .crops import NATIVE_TILES
from .depthwise import DepthwiseConv2d
from .input_kernels import TILE_STEPS
from .scores import TILE_SCORES


class TileNetwork(nn.Module):
    """Blur, noise, banding, JPEG artifacts and upscaling, from tiles at native resolution.

    Each tile is seen as luma and color differences about its own mean, and as its high frequencies,
    enlarged, in which faint noise and blocks are not drowned by contrast. A picture is described by the
    mean and the maximum over its tiles: a picture with one sharp place is sharp. Wide windows are
    pooled apart from native tiles. The first layer sees windows of 6 x 6 pixels, 2 apart.
    """

    #: Values of `seen`.
    SEEN = 64

    def __init__(self) -> None:
        super().__init__()
        blocks = Block(16, 24), Block(24, 32, 2), Block(32, 48, 2), Block(48, 48)
        self.blocks = Chain(*blocks, given=Levels(torch.tensor(TILE_STEPS * 4) / 64))
        self.native = nn.Linear(96, 64)
        self.wide = nn.Linear(96, 48)
        self.hidden = nn.Linear(2 * 64 + 2 * 48, self.SEEN)
        self.out = nn.Linear(self.SEEN, len(TILE_SCORES))

    def forward(self, tiles: Tensor) -> Tensor:
        """Logits [n, 5] of prepared tiles, uint8 [n, TILES, 32, 32, 16], see `inputs.tile_input`."""
        return self.out(self.seen(tiles))

    def seen(self, tiles: Tensor) -> Tensor:
        """What of a picture the scores are read from by `out`: [n, SEEN], of prepared tiles."""
        n, t = tiles.shape[:2]
        x = self.blocks(tiles.flatten(0, 1))
        x = torch.cat([x.mean(dim=(2, 3)), x.amax(dim=(2, 3))], dim=1).reshape(n, t, -1)
        native = F.relu(self.native(x[:, :NATIVE_TILES]))
        wide = F.relu(self.wide(x[:, NATIVE_TILES:]))
        pooled = [native.mean(dim=1), native.amax(dim=1), wide.mean(dim=1), wide.amax(dim=1)]
        return F.relu(self.hidden(torch.cat(pooled, dim=1)))


class _Wide(nn.Module):
    """A residual step that looks 5 x 5 cells wide: depthwise, then pointwise convolution."""

    def __init__(self, channels: int):
        super().__init__()
        self.depth = DepthwiseConv2d(channels, 5)
        self.point = Chain(Block(channels, channels, size=1), given=Bounds(channels, signed=True))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.point(self.depth(x))


class _Deep(nn.Module):
    """A residual step that looks 5 x 5 cells wide, with twice the channels between; it changes nothing at first."""

    def __init__(self, channels: int):
        super().__init__()
        self.depth = DepthwiseConv2d(channels, 5)
        narrow = nn.Conv2d(2 * channels, channels, 1)
        nn.init.zeros_(narrow.weight)
        nn.init.zeros_(narrow.bias)
        widen = Block(channels, 2 * channels, size=1)
        self.points = Chain(widen, narrow, given=Bounds(channels, signed=True))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.points(self.depth(x))


class MarkNetwork(nn.Module):
    """Is there a watermark, and in which of `MASK_CELLS` squared cells of the picture?

    The first layer sees windows of 8 x 8 pixels, 4 apart.
    """

    #: Cells along a side of the map of an `overview`; of another square a sixteenth of its pixels.
    MASK_CELLS = 20

    def __init__(self) -> None:
        super().__init__()
        stem = Chain(
            *(Block(24, 32, size=2, padding=1), Block(32, 48, 2, size=2, padding=0)),
            given=Levels(torch.full((24,), 1 / 64)),
        )
        self.strokes = nn.Sequential(stem, _Wide(48))
        self.fine = nn.Conv2d(48, 1, 1)
        coarser = Chain(Block(48, 64, 2), given=Bounds(48, signed=False))
        self.shapes = nn.Sequential(coarser, _Wide(64), _Wide(64), _Wide(64), _Deep(64), _Deep(64))
        self.mask = nn.Conv2d(64, 1, 1)
        coarsest = Chain(Block(64, 96, 2), given=Bounds(64, signed=True))
        self.whole = nn.Sequential(coarsest, _Deep(96), _Deep(96))
        self.hidden = nn.Linear(2 * 96 + 3, 48)
        self.out = nn.Linear(48, 1)
        #: Logit below which a whole picture is not looked at closer, see `watermark_score`.
        self.register_buffer("sure", torch.tensor(-math.inf))

    def forward(self, cells: Tensor) -> Tensor:
        """Logits [n] of a watermark being there.

        Args:
            cells: uint8 [n, h, h, 24], see `inputs.mark_cells`; h is 80 for an overview.
        """
        return self.score_and_map(cells)[0]

    def score_and_map(self, cells: Tensor) -> tuple[Tensor, Tensor]:
        """Logits [n] as of `forward`, and of a map of where it is: [n, h / 4, h / 4]."""
        return self._decide(self.shapes(self.strokes(cells)))

    def score_and_maps(self, cells: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """As of `score_and_map`, and a map with cells half as large, which is learned from alone."""
        strokes = self.strokes(cells)
        score, mask = self._decide(self.shapes(strokes))
        return score, mask, self.fine(strokes)[:, 0]

    def _decide(self, shapes: Tensor) -> tuple[Tensor, Tensor]:
        mask, whole = self.mask(shapes), self.whole(shapes)
        flat = mask.flatten(1)
        strong = flat.topk(8, dim=1).values
        marks = [flat.mean(dim=1, keepdim=True), strong[:, :1], strong.mean(dim=1, keepdim=True)]
        seen = torch.cat([whole.mean(dim=(2, 3)), whole.amax(dim=(2, 3)), *marks], dim=1)
        return self.out(F.relu(self.hidden(seen)))[:, 0], mask[:, 0]
