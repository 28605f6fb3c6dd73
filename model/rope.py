"""3D rotary position embedding over (frame, row, column), in real numbers."""

from __future__ import annotations

import torch
from torch import Tensor

from .config import S3DiTConfig
from .errors import SizeError


def rope_tables(positions: Tensor, config: S3DiTConfig) -> tuple[Tensor, Tensor]:
    """cos and sin, float32 [tokens, head_dim / 2], of integer positions [tokens, 3] on the CPU.

    Channel pairs of the three axes follow each other; the angle of pair i of an axis of d channels is
    position * theta^(-2i/d), taken in float64 and rounded to float32 once, as the released tables are.
    Raises SizeError for a position outside `axes_lens`.
    """
    angles = []
    for axis, (channels, length) in enumerate(zip(config.axes_dims, config.axes_lens, strict=True)):
        position = positions[:, axis]
        if len(position) and not 0 <= int(position.max()) < length:
            raise SizeError(
                f"{('prompt plus frames', 'image rows', 'image columns')[axis]} reach position "
                f"{int(position.max())}; the model has {length} (axes_lens[{axis}]): use a shorter or smaller one"
            )
        exponent = torch.arange(0, channels, 2, dtype=torch.float64) / channels
        angles.append((position.double()[:, None] * config.rope_theta**-exponent).float())
    angle = torch.cat(angles, dim=-1)
    return angle.cos(), angle.sin()


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotate channel pairs (i, i + channels/2) of x [..., channels] by the tables [..., channels/2].

    Checkpoints pair neighbors (2i, 2i + 1); their query and key rows are reordered when they are loaded
    (`layouts.py`), which leaves every dot product as it was and makes both halves contiguous here.
    """
    a, b = x.chunk(2, dim=-1)
    return torch.cat((a * cos - b * sin, b * cos + a * sin), dim=-1)
