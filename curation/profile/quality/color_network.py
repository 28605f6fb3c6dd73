"""Cast from histograms of color."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .histograms import BINS, CHROMA_CHANNELS, LIGHT_BINS, chroma_plane
from .scores import ABOUT_CAST

#: Maps between the first and the second layer of filters.
_MAPS = 6
#: Numbers on the belief, on each histogram and on the imbalance of the channels.
_ABOUT = 12 + 5 * CHROMA_CHANNELS + 3


class ColorNetwork(nn.Module):
    """Where in the log-chroma plane neutral grey lies, how surely, and what cast that means.

    The histograms are correlated with learned filters as large as they are, as convolutional color constancy does
    (Barron 2015; by Fourier transform: Barron and Tsai, "Fast Fourier color constancy", 2017), here in two
    layers. A softmax over the plane is the belief about the place of grey. Its moments, those of the histograms,
    and the histograms of light go through a small perceptron.
    """

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Parameter(torch.randn(_MAPS, CHROMA_CHANNELS, BINS, BINS) * 0.02)
        self.bias = nn.Parameter(torch.zeros(_MAPS, 1, 1))
        self.second = nn.Parameter(torch.randn(_MAPS + CHROMA_CHANNELS, BINS, BINS) * 0.01)
        self.prior = nn.Parameter(torch.zeros(BINS, BINS))
        self.register_buffer("plane", torch.from_numpy(chroma_plane()), persistent=False)
        self.light = nn.Linear(LIGHT_BINS, 32)
        self.hidden = nn.Linear(_ABOUT + 32, 64)
        self.out = nn.Linear(64, 1)

    def spectra(self) -> tuple[Tensor, Tensor]:
        """What the histograms' transforms are multiplied by in the first and the second layer."""
        return _conjugate(self.first), _conjugate(self.second)

    def roughness(self) -> Tensor:
        """Squared differences between neighbors in the second filters and the prior, and a little of their size."""
        total = torch.zeros(())
        for weights in (self.second, self.prior):
            for axis in (-1, -2):
                total = total + (weights - weights.roll(1, axis)).square().sum()
        return total + 0.1 * self.second.square().sum()

    def forward(self, chroma: Tensor, light: Tensor) -> Tensor:
        """Logits [n] of a cast; arguments as of `belief` and `score`."""
        return self.score(*self.belief(chroma), light)

    def belief(self, chroma: Tensor) -> tuple[Tensor, Tensor]:
        """Log probability of grey lying in each bin [n, BINS * BINS], and moments of the histograms.

        Args:
            chroma: float32 [n, CHROMA_CHANNELS, BINS, BINS], see `histograms.color_histograms`.
        """
        first, second = self.spectra()
        share = chroma.square().flatten(2)
        total = share.sum(dim=2, keepdim=True) + 1e-4
        moments = torch.cat([share @ self.plane[:, :4] / total, total], dim=2)
        seen = torch.fft.rfft2(chroma)
        maps = torch.fft.irfft2((seen[:, None] * first).sum(dim=2), s=(BINS, BINS)) + self.bias
        seen = torch.cat([torch.fft.rfft2(F.relu(maps)), seen], dim=1)
        fit = torch.fft.irfft2((seen * second).sum(dim=1), s=(BINS, BINS)) + self.prior
        return F.log_softmax(fit.flatten(1), dim=1), moments.flatten(1)

    def score(self, belief: Tensor, moments: Tensor, light: Tensor) -> Tensor:
        """Logits [n] from what `belief` gave.

        Args:
            light: float32 [n, LIGHT_BINS], see `histograms.color_histograms`.
        """
        share = belief.exp()
        known = share @ self.plane
        row, column = known[:, 0], known[:, 1]
        gains = torch.stack([torch.zeros_like(row), -row, -column], dim=1)
        most, least = gains.amax(dim=1), gains.amin(dim=1)
        unsure = -(share * belief).sum(dim=1)
        about = [torch.hypot(row, column), unsure, share.amax(dim=1), most - least, most, least]
        seen = [known, torch.stack(about, dim=1), moments, F.relu(self.light(light))]
        out = self.out(F.relu(self.hidden(torch.cat(seen, dim=1))))[:, 0]
        # what `synthesis.cast_score` gives for the mean belief, to be corrected by what else is seen
        plain = torch.log((most - least + 0.01) / ABOUT_CAST)
        return out + plain


def _conjugate(filters: Tensor) -> Tensor:
    return torch.fft.rfft2(filters).conj().resolve_conj()
