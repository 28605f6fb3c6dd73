"""What the server needs of a model: pictures for a batch of orders of one size."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True)
class Order:
    """One picture to make: `width` and `height` in pixels, multiples of the engine's; seed 0 to 2**31 - 1."""

    prompt: str
    width: int
    height: int
    seed: int


@dataclass(frozen=True)
class Made:
    """A finished picture: its size in pixels, and `encode`, which gives the bytes of its PNG file.

    `encode` is called once, in another thread, while the model goes on with the next pictures.
    """

    width: int
    height: int
    encode: Callable[[], bytes]


@dataclass(frozen=True)
class Encoded:
    """A finished picture as the bytes of a PNG file, and its size in pixels."""

    png: bytes
    width: int
    height: int


class ImageEngine(Protocol):
    """A model that makes pictures.

    Attributes:
        name: what requests call it.
        multiple_px: sides must be multiples of this.
        sides_px: shortest and longest side.
    """

    name: str
    multiple_px: int
    sides_px: tuple[int, int]

    def generate(self, orders: Sequence[Order]) -> list[Made]:
        """Pictures in the order of `orders`, which all have one size. A picture depends on its own order alone.

        Called from one thread at a time. Raises ModelError for what the caller can put right, e.g. out of memory.
        """


@dataclass(frozen=True)
class Rewritten:
    """A prompt made richer, and why; `reasoning` may be empty."""

    prompt: str
    reasoning: str = ""


class Enhancer(Protocol):
    """Rewrites prompts for `prompt_extend`."""

    def __call__(self, prompt: str) -> Rewritten:
        """Called from several threads."""
