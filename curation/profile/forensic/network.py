"""The network: high-pass residuals in, one evidence number per crop out."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from .inference import CUT_AT, HIDDEN, LEAST_LEVELS, WIDTHS


class ResidualNetwork(nn.Module):
    """Trained form, with batch normalization; `folded` gives the few arrays that inference needs.

    The first layer's kernels have zero mean over each color channel, so that a plain area, whatever its
    color, is nothing to the network; and its residuals are divided by their mean magnitude, so that being
    soft or sharp, clean or noisy, is not in itself what tells photographs apart.
    """

    def __init__(self) -> None:
        super().__init__()
        self.residual = nn.Conv2d(3, WIDTHS[0], 3, bias=False)
        self.convs = nn.ModuleList(
            nn.Conv2d(before, after, 3, stride=2, bias=False)
            for before, after in zip(WIDTHS[:-1], WIDTHS[1:], strict=True)
        )
        self.norms = nn.ModuleList(nn.BatchNorm2d(width) for width in WIDTHS[1:])
        self.hidden = nn.Linear(2 * WIDTHS[-1], HIDDEN)
        self.out = nn.Linear(HIDDEN, 1)
        self.dropout = nn.Dropout(0.2)

    def _kernels(self) -> torch.Tensor:
        return self.residual.weight - self.residual.weight.mean(dim=(2, 3), keepdim=True)

    def forward(self, crops: torch.Tensor) -> torch.Tensor:
        """Evidence (a logit) of each crop; crops are float [n, 3, CROP_PX, CROP_PX] in 0..255."""
        x = _normalized(F.conv2d(crops, self._kernels()))
        for conv, norm in zip(self.convs, self.norms, strict=True):
            x = F.relu(norm(conv(x)))
        pooled = self.dropout(torch.cat([x.mean(dim=(2, 3)), x.amax(dim=(2, 3))], dim=1))
        return self.out(F.relu(self.hidden(pooled)))[:, 0]

    def folded(self) -> dict[str, np.ndarray]:
        """Contiguous float32 arrays of `inference.evidence_engine`, normalization folded into the convolutions."""
        arrays = {"residual.weight": self._kernels()}
        for i, (conv, norm) in enumerate(zip(self.convs, self.norms, strict=True), start=1):
            scale = norm.weight / torch.sqrt(norm.running_var + norm.eps)
            arrays[f"conv{i}.weight"] = conv.weight * scale[:, None, None, None]
            arrays[f"conv{i}.bias"] = norm.bias - norm.running_mean * scale
        arrays |= {"hidden.weight": self.hidden.weight, "hidden.bias": self.hidden.bias}
        arrays |= {"out.weight": self.out.weight, "out.bias": self.out.bias}
        return {name: array.detach().float().contiguous().numpy() for name, array in arrays.items()}


def _normalized(residuals: torch.Tensor) -> torch.Tensor:
    """Residuals [n, c, h, w] relative to the mean magnitude of each crop, cut off, -1..1."""
    magnitude = residuals.abs().mean(dim=(1, 2, 3), keepdim=True) + LEAST_LEVELS
    return (residuals / (CUT_AT * magnitude)).clamp(-1, 1)
