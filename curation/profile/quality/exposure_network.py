"""Over- and underexposure from histograms of light."""

from __future__ import annotations

from torch import nn

from .histograms import LIGHT_BINS
from .scores import EXPOSURE_SCORES


class ExposureNetwork(nn.Sequential):
    """Logits [n, 2] of `EXPOSURE_SCORES`, of what `histograms.light_histogram` counts: float32 [n, LIGHT_BINS].

    Drawings on white or colored paper are clipped as overexposed photographs are; what tells them apart is how much of
    the rest has no edge at all.
    """

    def __init__(self) -> None:
        super().__init__(
            nn.Linear(LIGHT_BINS, 64),
            nn.ReLU(),
            nn.Linear(64, 32),
            nn.ReLU(),
            nn.Linear(32, len(EXPOSURE_SCORES)),
        )
