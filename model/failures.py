"""What went wrong with a picture, in words that name the setting to change."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from .errors import BrokenPictureError, MemoryShortError

#: Pictures whose brightest value is below this (of 255) count as black.
BLACK = 2


@contextmanager
def memory_advice(
    what: str,
    size: tuple[int, int],
    batch: int,
    dtype: torch.dtype,
    quantized: str | None,
    offload: str | None,
) -> Iterator[None]:
    """Turn running out of memory inside into MemoryShortError, with what is left to try, best first."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        short = isinstance(error, MemoryError | torch.OutOfMemoryError) or "not enough memory" in str(error)
        if not short and "can't allocate memory" not in str(error):
            raise
        steps = advice(size, batch, dtype, quantized, offload)
        raise MemoryShortError(
            f"out of memory while {what} ({size[0]}*{size[1]} px, batch {batch}). Try, in this order: "
            + "; ".join(f"{i}. {step}" for i, step in enumerate(steps, 1))
        ) from error


def advice(
    size: tuple[int, int], batch: int, dtype: torch.dtype, quantized: str | None, offload: str | None
) -> list[str]:
    """Options that are left, in the order in which they cost least."""
    half = [min(side, max(256, side // 2 // 16 * 16)) for side in size]
    options = [
        (half != list(size), f"--size {half[0]}*{half[1]}"),
        (batch > 1, "--batch 1"),
        (dtype == torch.float32, "--dtype bfloat16"),
        (quantized != "int4", "--quantize int4"),
        (offload is None, "--offload model"),
        (offload != "sequential", "--offload sequential"),
    ]
    return [text for left, text in options if left] or ["--vae-tile 512", "a machine with more memory"]


def check_state(x: Tensor, dtype: torch.dtype, quantized: str | None, guidance: float) -> None:
    """Raise BrokenPictureError, naming the setting to blame, when a sampler's result is not finite."""
    if not bool(x.isfinite().all()):
        raise BrokenPictureError(
            f"the sampler gave NaN or infinite values: {blame(dtype, quantized, guidance)}"
        )


def check_picture(pixels: Tensor, dtype: torch.dtype, quantized: str | None, guidance: float) -> None:
    """Raise BrokenPictureError when decoded pixels, around [-1, 1], are not finite or all black."""
    if not bool(pixels.isfinite().all()):
        raise BrokenPictureError(
            f"the decoder gave NaN or infinite values: {blame(dtype, quantized, guidance)}"
        )
    if float(pixels.max()) < BLACK / 127.5 - 1:
        raise BrokenPictureError(f"the picture is black: {blame(dtype, quantized, guidance)}")


def blame(dtype: torch.dtype, quantized: str | None, guidance: float) -> str:
    """The setting most likely at fault."""
    if dtype == torch.float16:
        return "setting dtype=float16 overflows easily; use --dtype bfloat16 or float32"
    if quantized:
        return f"setting quantize={quantized} is the likely cause; use int8 in place of int4, or none"
    if guidance > 8:
        return f"setting guidance={guidance} is very high; 3 to 5 is usual"
    return f"with dtype={str(dtype).removeprefix('torch.')}, guidance={guidance} the weights themselves are the likely cause"
