"""The network that judges blur by which directions have lost their steep edges and fine detail."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .blur_traces import SPECTRA
from .blur_windows import NATIVE_WINDOWS
from .edges import EDGE_VALUES
from .network import TileNetwork
from .spectra import SPECTRUM_VALUES

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

    def __init__(self, values: int):
        super().__init__()
        self.first = _Around(values, _CHANNELS)
        self.second = _Around(_CHANNELS, _CHANNELS)

    def forward(self, x: Tensor) -> Tensor:
        """[n, 2 * _CHANNELS] of [n, DIRECTIONS, values]."""
        x = F.relu(self.second(F.relu(self.first(x))))
        return torch.cat([x.mean(dim=1), x.amax(dim=1)], dim=1)


class BlurNetwork(nn.Module):
    """Blur of a picture, from histograms of edges, spectra, and what the tile network has seen in it.

    The last tells noise and compression from detail, and ranks defocus well; the others tell motion.
    """

    def __init__(self) -> None:
        super().__init__()
        self.windows, self.whole = _Directions(EDGE_VALUES), _Directions(EDGE_VALUES)
        self.spectra = nn.ModuleList(_Directions(SPECTRUM_VALUES) for _ in range(SPECTRA))
        self.hidden = nn.Sequential(
            nn.Linear((6 + 2 * SPECTRA) * _CHANNELS + 1 + TileNetwork.SEEN, 64),
            nn.ReLU(),
            nn.Linear(64, 64),
            nn.ReLU(),
        )
        self.out = nn.Linear(64, 1)

    def forward(self, shares: Tensor, spectra: Tensor, octaves: Tensor, seen: Tensor) -> Tensor:
        """Logits of blur, [n].

        Args:
            shares, spectra, octaves: float32 [n, ...], see `blur_traces.BlurTraces`.
            seen: of `TileNetwork.seen`.
        """
        x = (torch.log2(shares + 1e-4) * 0.25 + 1.8).transpose(2, 3)
        windows = self.windows(x[:, :NATIVE_WINDOWS].flatten(0, 1)).unflatten(0, (-1, NATIVE_WINDOWS))
        edges = [windows.mean(dim=1), windows.amax(dim=1), self.whole(x[:, NATIVE_WINDOWS])]
        of_spectra = [part(spectra[:, k].transpose(1, 2)) for k, part in enumerate(self.spectra)]
        return self.out(self.hidden(torch.cat([*edges, *of_spectra, octaves[:, None], 0.5 * seen], dim=1)))[
            :, 0
        ]
