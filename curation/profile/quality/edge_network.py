"""The network that judges blur by which directions have lost their steep edges."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .edges import EDGE_VALUES, EDGE_WINDOWS
from .network import TileNetwork

_CHANNELS = 32


class _Directions(nn.Module):
    """Two convolutions around the circle of directions, then mean and maximum over it: turning the picture changes nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv1d(EDGE_VALUES, _CHANNELS, 3, padding=1, padding_mode="circular")
        self.second = nn.Conv1d(_CHANNELS, _CHANNELS, 3, padding=1, padding_mode="circular")

    def forward(self, x: Tensor) -> Tensor:
        """[n, 2 * _CHANNELS] of [n, EDGE_VALUES, DIRECTIONS]."""
        x = F.relu(self.second(F.relu(self.first(x))))
        return torch.cat([x.mean(dim=2), x.amax(dim=2)], dim=1)


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
        x = torch.log2(shares + 1e-4) * 0.25 + 1.8
        windows = self.windows(x[:, :EDGE_WINDOWS].flatten(0, 1)).unflatten(0, (-1, EDGE_WINDOWS))
        edges = [windows.mean(dim=1), windows.amax(dim=1), self.whole(x[:, EDGE_WINDOWS])]
        return self.out(self.hidden(torch.cat([*edges, octaves[:, None], 0.5 * seen], dim=1)))[:, 0]
