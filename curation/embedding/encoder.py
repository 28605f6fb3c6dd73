"""What an encoder is."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import numpy as np


@runtime_checkable
class Encoder(Protocol):
    """Images and texts to unit vectors in one space.

    Construction is cheap: no weights are read before `load`.

    Attributes:
        name: the model string that makes this encoder.
        dim: length of its vectors. Reads the model's configuration, not its weights.
        has_text: whether `encode_texts` gives vectors.
    """

    name: str

    @property
    def dim(self) -> int: ...

    @property
    def has_text(self) -> bool: ...

    def load(self) -> None:
        """Read the weights; encoding does so by itself when this was not called."""

    def encode_images(self, images: list[np.ndarray]) -> np.ndarray:
        """uint8 [h, w, 3] sRGB images of any sizes to float32 [n, dim], L2-normalized."""

    def encode_texts(self, texts: list[str]) -> np.ndarray | None:
        """Texts to float32 [n, dim], L2-normalized; None where there is no text tower."""
