"""Evidence of pictures held back, and the probability scale made from it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import cv2
import numpy as np

from ..engine import Engine
from .crops import textured_crops
from .history import apply_history, random_history
from .inference import evidence_engine
from .model import Calibration

if TYPE_CHECKING:
    from .train import Bank

#: Share of photographs held back that may pass the threshold.
_FALSE_POSITIVES = 0.005
#: Photographs are looked at whole as well, no larger than this on the long side.
_LONG_SIDE_PX = 1600


def picture_evidence(
    arrays: dict[str, np.ndarray], bank: Bank, photos: Sequence[np.ndarray], seed: int, views: int = 4
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Mean evidence of photographs and reconstructions, each after a random history.

    Args:
        bank: patches of photographs held back; a patch counts as a picture.
        photos: the photographs themselves, looked at whole `views` times on top.

    Returns:
        For photographs, and by family for reconstructions. Pictures with nothing to see are left out.
    """
    rng = np.random.default_rng(seed + 1)
    pictures = [apply_history(patch, random_history(rng)) for patch in bank.real]
    for photo in photos:
        pictures += [apply_history(_scaled(photo, rng), random_history(rng)) for _ in range(views)]
    made = {
        name: [apply_history(patch, random_history(rng)) for patch in patches[: max(8, len(patches) // 2)]]
        for name, patches in bank.made.items()
    }
    network = evidence_engine(arrays)
    return _means(network, pictures), {name: _means(network, group) for name, group in made.items()}


def _scaled(photo: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """At its own size, or shrunk; cut to `_LONG_SIDE_PX`."""
    if rng.random() < 0.5:
        factor = float(rng.uniform(0.4, 1))
        photo = cv2.resize(photo, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)
    return np.ascontiguousarray(photo[:_LONG_SIDE_PX, :_LONG_SIDE_PX])


def _means(network: Engine, pictures: Sequence[np.ndarray]) -> np.ndarray:
    crops = map(textured_crops, pictures)
    return np.array([float(network(some)[0].mean()) for some in crops if len(some)])


def calibrate(real: np.ndarray, made: np.ndarray) -> Calibration:
    """Threshold that few photographs pass, and a slope that does not boast.

    The slope makes the log-odds 1 at the upper quartile of reconstructions above the threshold, and is at
    most 1: generators not seen here are harder than autoencoders that were.
    """
    threshold = float(np.quantile(real, 1 - _FALSE_POSITIVES)) if len(real) else 0.0
    above = made[made > threshold] - threshold
    spread = float(np.quantile(above, 0.75)) if len(above) else 1.0
    return Calibration(threshold=threshold, slope=min(1.0, 1 / max(spread, 1e-3)))


def separation_auc(real: np.ndarray, made: np.ndarray) -> float:
    """Probability that a random one of `made` exceeds a random one of `real`, ties half (Mann-Whitney)."""
    order = np.sort(real)
    below = np.searchsorted(order, made, "left") + np.searchsorted(order, made, "right")
    return float(below.mean() / (2 * len(real))) if len(real) and len(made) else float("nan")
