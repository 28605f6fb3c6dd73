"""What the torch encoders share: where they run, and how batches become unit vectors."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from ..errors import ConfigError

if TYPE_CHECKING:
    import torch

T = TypeVar("T")

PRECISIONS = ("fp32", "bf16")


def check_precision(precision: str) -> str:
    if precision not in PRECISIONS:
        raise ConfigError(f"precision {precision!r} is not one of {', '.join(PRECISIONS)}")
    return precision


def resolve_device(device: str) -> torch.device:
    """`auto` is the first GPU where there is one, else the CPU; other names are torch's own."""
    import torch

    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        resolved = torch.device(device)
    except RuntimeError as e:
        raise ConfigError(f"device {device!r}: {e}") from e
    if resolved.type == "cuda" and not torch.cuda.is_available():
        raise ConfigError(f"device {device!r}: torch sees no GPU here; use auto or cpu")
    return resolved


def looks_like_path(name: str) -> bool:
    """Whether a model name can only mean a place on disk: hub ids are `OWNER/NAME` or `NAME`."""
    return name.startswith(("/", ".", "~")) or name.count("/") > 1 or (os.sep == "\\" and "\\" in name)


def local_directory(name: str) -> Path | None:
    """The directory a model name points to; None when it is a hub id.

    Raises:
        ConfigError: it is written like a path, and no directory is there.
    """
    path = Path(name).expanduser()
    if path.is_dir():
        return path
    if looks_like_path(name):
        raise ConfigError(f"model directory {name} does not exist")
    return None


def unit_vectors(
    items: Sequence[T], dim: int, batch_size: int, forward: Callable[[Sequence[T]], torch.Tensor]
) -> np.ndarray:
    """Run `forward` (items -> [n, dim]) batch by batch and L2-normalize: float32 [len(items), dim]."""
    import torch

    out = np.empty((len(items), dim), np.float32)
    with torch.inference_mode():
        for first in range(0, len(items), batch_size):
            features = forward(items[first : first + batch_size]).float()
            unit = torch.nn.functional.normalize(features, dim=-1)
            out[first : first + len(unit)] = unit.cpu().numpy()
    return out
