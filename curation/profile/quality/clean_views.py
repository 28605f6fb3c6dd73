"""Clean pictures to calibrate by: photographs as they are, framed anew, and in looks that are no fault."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from . import distortions as d
from .looks import low_sun
from .marks_synthesis import framed


def clean_views(photos: Sequence[np.ndarray], seed: int) -> Iterator[np.ndarray]:
    """Seven pictures of each photograph: as it is, in three other framings, in soft light, with a low sun, in grey.

    Args:
        photos: uint8 [h, w, 3].
    """
    rng = np.random.default_rng(seed)
    for photo in photos:
        yield photo
        for _ in range(3):
            yield framed(photo, rng, closest=0.45)
        yield d.soft_light(photo, rng)
        yield low_sun(photo, rng)
        yield d.monochrome(photo)
