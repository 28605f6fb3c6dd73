"""The two halves of the quality network: tiles at native resolution, and the picture as a whole."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .crops import NATIVE_TILES

#: Scores of each half, in order of its outputs.
TILE_SCORES = ("blur", "noise", "banding", "jpeg_artifacts", "upscaled")
OVERVIEW_SCORES = ("cast", "watermark", "overexposed", "underexposed")
SCORES = (*TILE_SCORES, *OVERVIEW_SCORES)


class _Block(nn.Sequential):
    """Convolution, batch normalization (folded away by `fold`), ReLU."""

    def __init__(self, inputs: int, outputs: int, stride: int = 1):
        conv = nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False)
        super().__init__(conv, nn.BatchNorm2d(outputs), nn.ReLU())


class TileNetwork(nn.Module):
    """Blur, noise, banding, JPEG artifacts and upscaling, from tiles at native resolution.

    Each tile is seen as luma and color differences about its own mean, and as its high frequencies,
    enlarged, in which faint noise and blocks are not drowned by contrast. A picture is described by the
    mean and the maximum over its tiles: a picture with one sharp place is sharp. Wide windows are
    pooled apart from native tiles.
    """

    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.Sequential(_Block(16, 24), _Block(24, 32, 2), _Block(32, 48, 2), _Block(48, 48))
        self.native = nn.Linear(96, 64)
        self.wide = nn.Linear(96, 48)
        self.hidden = nn.Linear(2 * 64 + 2 * 48, 64)
        self.out = nn.Linear(64, len(TILE_SCORES))

    def forward(self, tiles: Tensor) -> Tensor:
        """Logits [n, 5] of prepared tiles [n, TILES, 16, 32, 32], see `inputs.tile_input`."""
        n, t = tiles.shape[:2]
        x = self.blocks(tiles.flatten(0, 1))
        x = torch.cat([x.mean(dim=(2, 3)), x.amax(dim=(2, 3))], dim=1).reshape(n, t, -1)
        native = F.relu(self.native(x[:, :NATIVE_TILES]))
        wide = F.relu(self.wide(x[:, NATIVE_TILES:]))
        pooled = [native.mean(dim=1), native.amax(dim=1), wide.mean(dim=1), wide.amax(dim=1)]
        return self.out(F.relu(self.hidden(torch.cat(pooled, dim=1))))


class OverviewNetwork(nn.Module):
    """Color cast, watermark and exposure, from the whole picture made small.

    One branch looks for strokes and shapes, in luma, color differences and enlarged high frequencies, and
    says for each of `MASK_CELLS` squared cells whether a watermark covers it; the other sees a coarse
    copy pixel by pixel, of which a learned histogram of color and light is taken.
    """

    #: Cells along a side of the watermark map.
    MASK_CELLS = 20

    def __init__(self) -> None:
        super().__init__()
        self.shapes = nn.Sequential(_Block(16, 24, 2), _Block(24, 32, 2), _Block(32, 48, 2), _Block(48, 64))
        self.mask = nn.Conv2d(64, 1, 1)
        self.whole = _Block(64, 96, 2)
        self.color1 = nn.Conv2d(7, 32, 1)
        self.color2 = nn.Conv2d(32, 64, 1)
        self.hidden = nn.Linear(2 * 96 + 2 * 64 + 2, 96)
        self.out = nn.Linear(96, len(OVERVIEW_SCORES))

    def forward(self, shapes: Tensor, colors: Tensor) -> Tensor:
        """Logits [n, 4] of prepared overviews, see `scores_and_mask`."""
        return self.scores_and_mask(shapes, colors)[0]

    def scores_and_mask(self, shapes: Tensor, colors: Tensor) -> tuple[Tensor, Tensor]:
        """Logits of the scores [n, 4], and of the watermark map [n, MASK_CELLS, MASK_CELLS].

        Args:
            shapes, colors: float32 [n, 16, 160, 160] and [n, 7, 40, 40], see `inputs.overview_input`.
        """
        x = self.shapes(shapes)
        mask = self.mask(x)
        x = self.whole(x)
        shape = [x.mean(dim=(2, 3)), x.amax(dim=(2, 3)), mask.mean(dim=(2, 3)), mask.amax(dim=(2, 3))]
        c = F.relu(self.color2(F.relu(self.color1(colors))))
        color = [c.mean(dim=(2, 3)), c.amax(dim=(2, 3))]
        return self.out(F.relu(self.hidden(torch.cat([*shape, *color], dim=1)))), mask[:, 0]


def fold(network: nn.Module) -> nn.Module:
    """The network for inference: batch normalization becomes part of the convolution before it."""
    network.eval()
    for block in [m for m in network.modules() if isinstance(m, _Block)]:
        block[0] = torch.nn.utils.fusion.fuse_conv_bn_eval(block[0], block[1])
        block[1] = nn.Identity()
    return network
