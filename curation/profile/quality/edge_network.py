"""The network that judges blur by which directions have lost their steep edges."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .edges import EDGE_VALUES, EDGE_WINDOWS
from .network import TileNetwork

_CHANNELS = 32


class _Around(nn.Conv1d):
    """A convolution of three neighbors around a circle, as one product of matrices."""

    def __init__(self, inputs: int, outputs: int):
        super().__init__(inputs, outputs, 3)

    def forward(self, x: Tensor) -> Tensor:
        """[n, places, outputs] of [n, places, inputs]."""
        matrix = self.weight.permute(1, 2, 0).reshape(self.in_channels, -1)
        before, here, after = (x @ matrix).split(self.out_channels, dim=2)
        return here + self.bias + before.roll(1, dims=1) + after.roll(-1, dims=1)


class _Directions(nn.Module):
    """Two convolutions around the circle of directions, then mean and maximum over it: turning the picture changes nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.first = _Around(EDGE_VALUES, _CHANNELS)
        self.second = _Around(_CHANNELS, _CHANNELS)

    def forward(self, x: Tensor) -> Tensor:
        """[n, 2 * _CHANNELS] of [n, DIRECTIONS, EDGE_VALUES]."""
        x = F.relu(self.second(F.relu(self.first(x))))
        return torch.cat([x.mean(dim=1), x.amax(dim=1)], dim=1)


class EdgeNetwork(nn.Module):
    """Blur of a picture, from histograms of edges and what the tile network has seen in it.

    The latter tells noise and compression from detail, and ranks defocus well; the histograms tell motion.
    """

    def __init__(self) -> None:
        super().__init__()
        self.windows, self.whole = _Directions(), _Directions()
        self.hidden = nn.Sequential(
            nn.Linear(6 * _CHANNELS + 1 + TileNetwork.SEEN, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU()
        )
        self.out = nn.Linear(64, 1)

    def forward(self, shares: Tensor, octaves: Tensor, seen: Tensor) -> Tensor:
        """Logits of blur, [n].

        Args:
            shares: float32 [n, EDGE_WINDOWS + 1, EDGE_VALUES, DIRECTIONS], see `edges.edge_histograms`.
            octaves: float32 [n], by how many octaves the picture is larger than the copy made small.
            seen: of `TileNetwork.seen`.
        """
        x = (torch.log2(shares + 1e-4) * 0.25 + 1.8).transpose(2, 3)
        windows = self.windows(x[:, :EDGE_WINDOWS].flatten(0, 1)).unflatten(0, (-1, EDGE_WINDOWS))
        edges = [windows.mean(dim=1), windows.amax(dim=1), self.whole(x[:, EDGE_WINDOWS])]
        return self.out(self.hidden(torch.cat([*edges, octaves[:, None], 0.5 * seen], dim=1)))[:, 0]
