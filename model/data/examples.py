"""What the trainer is fed with: one example, and the stream of micro-batches of one rank."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch


@dataclass(frozen=True, eq=False)
class Example:
    """One target picture with its condition. Exactly one of `pixels` and `latents` is there.

    Attributes:
        id: of the exported row; of an edit pair its pair id.
        prompt: drawn by the caption mix of the stage, or the instruction of an edit; "" where the condition was
            dropped or there is no text.
        pixels: uint8 [height, width, 3] RGB target at training size, sides multiples of the patch grid.
        latents: [channels, height, width] of the same target, computed before, in place of pixels.
        references: uint8 [height, width, 3] RGB sources of an edit, in the order the instruction speaks of them.
        text_tokens: length of the prompt that the batch was planned with.
        text_features: [tokens, features] of `prompt`, computed before.
    """

    id: str
    prompt: str
    pixels: np.ndarray | None
    latents: torch.Tensor | None = None
    references: tuple[np.ndarray, ...] = ()
    text_tokens: int = 0
    text_features: torch.Tensor | None = None


class Feed(Protocol):
    """The micro-batches of one rank. All ranks get equally many."""

    def __iter__(self) -> Iterator[list[Example]]: ...

    def state_dict(self) -> dict[str, Any]:
        """Cursor behind the last batch that was handed out; JSON-able."""
        ...

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """The next batch is exactly the one that would have come. A cursor of another plan is refused."""
        ...
