"""Clean pictures to calibrate by: photographs as they are, framed anew, and in looks that are no fault."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from . import distortions as d
from .color_synthesis import low_sun
from .crops import overview
from .marks_synthesis import scene


def clean_views(photos: Sequence[np.ndarray], seed: int) -> list[np.ndarray]:
    """Seven overviews of each photograph: as it is, in three other framings, in soft light, with a low sun, in grey.

    Args:
        photos: uint8 [h, w, 3].
    """
    rng = np.random.default_rng(seed)
    views = [overview(p) for p in photos] + [
        scene([p], (), rng, plain=True) for p in photos for _ in range(3)
    ]
    for photo in photos:
        views += [
            overview(look) for look in (d.soft_light(photo, rng), low_sun(photo, rng), d.monochrome(photo))
        ]
    return views
