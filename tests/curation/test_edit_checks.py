"""Checks of pairs on pictures with known differences."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from zcurate.curation.edits.checks import (
    ACCEPT,
    NEGATIVE,
    PSNR_CAP_DB,
    REJECT,
    changed,
    judge,
    measure,
    shift_px,
    ssim,
)
from zcurate.curation.edits.spec import Change, EditSpec

ADD = EditSpec((Change("object/0", None, {"sprite": "a"}),))


@pytest.fixture
def photo():
    """Something with texture at all scales, (240, 320, 3)."""
    rng = np.random.default_rng(5)
    layers = [cv2.resize(rng.normal(0, 1, (240 // s, 320 // s)), (320, 240)) * s**0.5 for s in (1, 4, 16)]
    grey = sum(layers)
    grey = (grey - grey.min()) / np.ptp(grey) * 220 + 15
    return np.dstack([grey, grey * 0.9, grey * 0.8]).astype(np.uint8)


def patch(photo, box, value=(255, 0, 0)):
    target, mask = photo.copy(), np.zeros(photo.shape[:2], bool)
    y0, x0, y1, x1 = box
    target[y0:y1, x0:x1] = value
    mask[y0:y1, x0:x1] = True
    return target, mask


def test_a_clean_local_edit_is_accepted(photo):
    target, mask = patch(photo, (50, 60, 110, 140))
    found = measure(photo, target, mask)
    assert found.outside_psnr_db == PSNR_CAP_DB
    assert (found.outside_ssim, found.shift_px) == (1.0, 0.0)
    assert found.changed_share == pytest.approx(60 * 80 / (240 * 320), abs=1e-3)
    assert judge(ADD, ("object.add",), found).status == ACCEPT


@pytest.mark.parametrize("pixels", [0.5, 1.0, 3.0])
def test_a_shift_is_measured_to_a_fraction_of_a_pixel_and_refused(photo, pixels):
    target, mask = patch(photo, (50, 60, 110, 140))
    move = np.float32([[1, 0, pixels], [0, 1, 0]])
    moved = cv2.warpAffine(target, move, (320, 240), flags=cv2.INTER_LANCZOS4, borderMode=cv2.BORDER_REFLECT)
    assert shift_px(photo, moved, ~mask) == pytest.approx(pixels, abs=0.15)
    verdict = judge(ADD, ("object.add",), measure(photo, moved, mask))
    assert verdict.status == NEGATIVE
    assert "shifted" in verdict.reasons


def test_noise_all_over_is_not_an_added_object(photo):
    target, mask = patch(photo, (50, 60, 110, 140))
    noise = np.random.default_rng(0).normal(0, 6, photo.shape)
    noisy = np.clip(target + noise, 0, 255).astype(np.uint8)
    verdict = judge(ADD, ("object.add",), measure(photo, noisy, mask))
    assert verdict.status == NEGATIVE
    assert "outside_changed" in verdict.reasons


def test_an_edit_that_left_no_trace_is_a_negative_example(photo):
    found = measure(photo, photo, np.zeros(photo.shape[:2], bool))
    assert judge(ADD, ("object.add",), found) == judge(ADD, ("object.add",), found)
    assert judge(ADD, ("object.add",), found).reasons == ("no_op",)


def test_an_object_as_large_as_the_picture_is_refused(photo):
    target, mask = patch(photo, (0, 0, 235, 320))
    verdict = judge(ADD, ("object.add",), measure(photo, target, mask))
    assert (verdict.status, verdict.reasons) == (REJECT, ("area_too_large",))


def test_pictures_of_different_sizes_have_no_outside(photo):
    found = measure(photo, photo[:100], None)
    assert found.outside_psnr_db is None
    crop = EditSpec((Change("geometry/0", None, {"op": "crop"}),))
    assert judge(crop, ("geometry.crop",), found).status == ACCEPT


def test_ssim_falls_with_blur_and_ignores_what_is_masked(photo):
    everywhere = np.ones(photo.shape[:2], bool)
    values = [ssim(photo, cv2.GaussianBlur(photo, (0, 0), s), everywhere) for s in (0.5, 1.0, 2.0)]
    assert values == sorted(values, reverse=True)
    assert values[-1] < 0.8
    target, mask = patch(photo, (50, 60, 110, 140))
    assert ssim(photo, target, ~mask) == 1.0
    assert ssim(photo, target, everywhere) < 0.99
    assert np.array_equal(changed(photo, target) & ~mask, np.zeros_like(mask))
