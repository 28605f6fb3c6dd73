"""Whether a picture satisfies an element: a small network on two vectors."""

from __future__ import annotations

import torch
from torch import Tensor, nn

#: Width of the space in which picture and claim meet.
WIDTH = 96


class InstructionNetwork(nn.Module):
    """Logit of "the picture satisfies the claim", from their vectors and the product of their projections."""

    def __init__(self, image_dim: int, claim_dim: int, width: int = WIDTH) -> None:
        super().__init__()
        self.image = nn.Sequential(nn.Linear(image_dim, width), nn.GELU(), nn.Linear(width, width))
        self.claim = nn.Sequential(nn.Linear(claim_dim, width), nn.GELU(), nn.Linear(width, width))
        self.out = nn.Sequential(nn.Linear(3 * width, width), nn.GELU(), nn.Dropout(0.1), nn.Linear(width, 1))

    def forward(self, images: Tensor, claims: Tensor) -> Tensor:
        """float32 [n], of images [n, image_dim] and claims [n, claim_dim]."""
        x, y = self.image(images), self.claim(claims)
        return self.out(torch.cat([x * y, x, y], dim=1))[:, 0]
