"""The network: high-pass residuals in, one evidence number per crop out."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

#: Side of a crop, in pixels at native resolution.
CROP_PX = 64
#: Residuals are cut off at this many times their mean magnitude: beyond are edges of the scene, not traces.
_CUT_AT = 3.0
#: Mean magnitude, in grey levels, added before dividing by it: below it there are rounding errors.
_LEAST_LEVELS = 0.5
_WIDTHS = (8, 20, 28, 36)
#: Layers by name: stride of each; all have 3 x 3 kernels.
STRIDES = {"residual": 1, "conv1": 2, "conv2": 2, "conv3": 2}


class ResidualNetwork(nn.Module):
    """Trained form, with batch normalization; `folded` gives the few arrays that inference needs.

    The first layer's kernels have zero mean over each color channel, so that a plain area, whatever its
    color, is nothing to the network; and its residuals are divided by their mean magnitude, so that being
    soft or sharp, clean or noisy, is not in itself what tells photographs apart.
    """

    def __init__(self) -> None:
        super().__init__()
        self.residual = nn.Conv2d(3, _WIDTHS[0], 3, bias=False)
        self.convs = nn.ModuleList(
            nn.Conv2d(before, after, 3, stride=2, bias=False)
            for before, after in zip(_WIDTHS[:-1], _WIDTHS[1:], strict=True)
        )
        self.norms = nn.ModuleList(nn.BatchNorm2d(width) for width in _WIDTHS[1:])
        self.hidden = nn.Linear(2 * _WIDTHS[-1], 24)
        self.out = nn.Linear(24, 1)
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

    def folded(self) -> dict[str, torch.Tensor]:
        """Contiguous float32 arrays of `evidence`, normalization folded into the convolutions."""
        arrays = {"residual.weight": self._kernels()}
        for i, (conv, norm) in enumerate(zip(self.convs, self.norms, strict=True), start=1):
            scale = norm.weight / torch.sqrt(norm.running_var + norm.eps)
            arrays[f"conv{i}.weight"] = conv.weight * scale[:, None, None, None]
            arrays[f"conv{i}.bias"] = norm.bias - norm.running_mean * scale
        arrays |= {"hidden.weight": self.hidden.weight, "hidden.bias": self.hidden.bias}
        arrays |= {"out.weight": self.out.weight, "out.bias": self.out.bias}
        return {name: array.detach().float().contiguous() for name, array in arrays.items()}


def evidence(arrays: dict[str, torch.Tensor], crops: torch.Tensor) -> torch.Tensor:
    """What `ResidualNetwork.forward` gives in evaluation mode, from its folded arrays.

    Args:
        crops: float32 [n, 3, CROP_PX, CROP_PX] in 0..255.

    Returns:
        float32 [n], log-odds without a prior.
    """
    x = _normalized(F.conv2d(crops, arrays["residual.weight"]))
    for name in ("conv1", "conv2", "conv3"):
        x = F.relu_(F.conv2d(x, arrays[f"{name}.weight"], arrays[f"{name}.bias"], stride=STRIDES[name]))
    pooled = torch.cat([x.mean(dim=(2, 3)), x.amax(dim=(2, 3))], dim=1)
    hidden = F.relu_(F.linear(pooled, arrays["hidden.weight"], arrays["hidden.bias"]))
    return F.linear(hidden, arrays["out.weight"], arrays["out.bias"])[:, 0]


def _normalized(residuals: torch.Tensor) -> torch.Tensor:
    """Residuals [n, c, h, w] relative to the mean magnitude of each crop, cut off, -1..1."""
    magnitude = residuals.abs().mean(dim=(1, 2, 3), keepdim=True) + _LEAST_LEVELS
    return (residuals / (_CUT_AT * magnitude)).clamp(-1, 1)


def expected_shapes() -> dict[str, tuple[int, ...]]:
    """Name and shape of every array a weight file must hold."""
    return {name: tuple(array.shape) for name, array in ResidualNetwork().folded().items()}
