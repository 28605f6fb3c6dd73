"""One pass over the picture, in strips of any height, keeps what separate looks at all of it would."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zcurate.curation.profile import survey as module
from zcurate.curation.profile.decoded import Decoded
from zcurate.curation.profile.shrink import shrink_by_halves
from zcurate.curation.profile.survey import survey


def decoded(pixels: np.ndarray, **facts: object) -> Decoded:
    values = {
        "icc": b"",
        "turn": 1,
        "format": "PNG",
        "mode": "RGB" if pixels.ndim == 3 else "L",
        "bit_depth": 8,
    }
    values |= {"frames": 1, "orientation": 1, "has_icc": False, "has_alpha": False}
    return Decoded(pixels=pixels, **(values | facts))


@settings(deadline=None, max_examples=80)
@given(
    st.integers(1, 900),
    st.integers(1, 700),
    st.integers(1, 300),
    st.booleans(),
    st.sampled_from([1, 5000, 40_000, 10**9]),
)
def test_a_survey_is_what_separate_looks_give(height, width, short, grey, strip_bytes):
    pixels = np.random.default_rng(height).integers(0, 256, (height, width, 3), np.uint8)
    pixels = pixels[..., 0].copy() if grey else pixels
    image = decoded(pixels)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_STRIP_BYTES", strip_bytes)
        seen = survey(image, short)
    grey_levels = pixels if grey else cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)
    top, left = max(0, height - 512) // 2, max(0, width - 512) // 2
    assert seen.pixel_hash == image.pixel_hash
    np.testing.assert_array_equal(seen.halved, shrink_by_halves(pixels, short))
    np.testing.assert_array_equal(seen.center, grey_levels[top : top + 512, left : left + 512])
    np.testing.assert_array_equal(seen.rows, grey_levels[:: max(1, height // 64) | 1])


def test_the_hash_of_other_stored_pixels_is_kept():
    image = decoded(np.zeros((9, 9, 3), np.uint8), stored_hash=b"h" * 16, mode="P")
    assert survey(image, 448).pixel_hash == image.pixel_hash == b"h" * 16
