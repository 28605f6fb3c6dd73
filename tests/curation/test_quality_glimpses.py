"""A closer look at likely watermarks: where it lies, what it shows, how it is scored and calibrated."""

from __future__ import annotations

import io

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from skimage import data

from zcurate.curation.profile.decoded import oriented
from zcurate.curation.profile.engine import Engine
from zcurate.curation.profile.measure import profile_image
from zcurate.curation.profile.model_scores import ModelScores
from zcurate.curation.profile.quality.clean_views import clean_views
from zcurate.curation.profile.quality.crops import overview
from zcurate.curation.profile.quality.glimpses import (
    GLIMPSE_PX,
    HALVED_PX,
    SHARE,
    fine_copy,
    glimpse,
    likeliest_place,
    window,
)
from zcurate.curation.profile.quality.inference import mark_engine
from zcurate.curation.profile.quality.inputs import mark_cells
from zcurate.curation.profile.quality.model import load_quality
from zcurate.curation.profile.quality.network import MarkNetwork
from zcurate.curation.profile.quality.parameters import Parameters
from zcurate.curation.profile.quality.train_marks import calibrate_marks
from zcurate.curation.profile.quality.watermark_score import watermark_logits
from zcurate.curation.profile.shrink import shrink

PHOTOS = [np.ascontiguousarray(x) for x in (data.coffee(), data.chelsea(), data.astronaut())]


@settings(deadline=None, max_examples=40)
@given(st.integers(1, 2200), st.integers(1, 2200))
@pytest.mark.parametrize("channels", [(), (3,)])
def test_a_fine_copy_is_halved_while_it_stays_large(channels, height, width):
    picture = np.random.default_rng(height).integers(0, 256, (height, width, *channels), np.uint8)
    fine = fine_copy(picture)
    halvings = 0
    while min(height, width) >> halvings >= 2 * HALVED_PX:
        halvings += 1
    assert fine.shape[:2] == tuple(min(2048, side >> halvings) for side in (height, width))
    assert fine.shape[2:] == channels
    if fine.shape == picture.shape:
        assert fine is picture


def test_a_long_strip_has_a_small_fine_copy():
    assert fine_copy(np.zeros((600, 30_000, 3), np.uint8)).shape == (600, 2048, 3)


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 1 << 32), st.integers(1, 24), st.integers(1, 24))
def test_the_likeliest_place_is_where_the_map_is_highest(seed, rows, columns):
    likely = np.random.default_rng(seed).standard_normal((rows, columns)).astype(np.float32)
    down, across = likeliest_place(likely)
    assert likely[int(down * rows), int(across * columns)] == likely.max()
    assert (down * rows) % 1 == pytest.approx(0.5)


@settings(deadline=None, max_examples=60)
@given(st.integers(1, 3000), st.integers(1, 3000), st.tuples(*2 * [st.floats(0, 1, allow_subnormal=False)]))
def test_a_glimpse_lies_in_the_picture_around_its_place(height, width, place):
    rows, columns = window((height, width, 3), place)
    for cut, side, center in ((rows, height, place[0]), (columns, width, place[1])):
        assert 0 <= cut.start < cut.stop <= side
        assert cut.stop - cut.start == max(1, round(SHARE * side))
        assert cut.start - 1 <= center * side <= cut.stop + 1


def test_a_glimpse_shows_pixels_of_a_picture_of_its_scale_as_they_are():
    side = round(GLIMPSE_PX / SHARE)
    rgb = np.random.default_rng(0).integers(0, 256, (side, side, 3), np.uint8)
    shown = glimpse(rgb, (0.5, 1.0))
    assert shown.shape == (GLIMPSE_PX, GLIMPSE_PX, 3)
    top = (side - GLIMPSE_PX) // 2
    np.testing.assert_array_equal(shown, rgb[top : top + GLIMPSE_PX, -GLIMPSE_PX:])


def engine_of(network: MarkNetwork) -> Engine:
    return mark_engine(Parameters({k: v.numpy() for k, v in network.state_dict().items()}))


def test_the_score_adds_up_the_whole_and_a_closer_look_where_there_is_doubt():
    torch.manual_seed(0)
    trained = MarkNetwork().eval()
    network = engine_of(trained)
    cells = np.stack([mark_cells(overview(p)) for p in PHOTOS])
    with torch.inference_mode():
        whole, maps = trained.score_and_map(torch.from_numpy(cells))
        sure = whole.median().item() - 1e-4  # one of three is below
        got = watermark_logits(network, sure, cells, PHOTOS)
        for k, picture in enumerate(PHOTOS):
            look = mark_cells(glimpse(picture, likeliest_place(maps[k].numpy())))
            closer = trained(torch.from_numpy(look)[None])[0] if whole[k] >= sure else whole[k]
            assert got[k] == pytest.approx((whole[k] + closer.clamp(max=0)).item(), abs=1e-4)
    np.testing.assert_allclose(
        watermark_logits(network, np.inf, cells, PHOTOS), whole + whole.clamp(max=0), atol=1e-4
    )


@pytest.mark.parametrize("turn", [2, 3, 5, 6, 8])
def test_watermarks_of_turned_files_are_looked_at_where_they_are_displayed(turn):
    """A mark at one end of a tall picture, stored in any way that Exif knows."""
    shown = cv2.resize(PHOTOS[2], (700, 1000), interpolation=cv2.INTER_CUBIC)
    cv2.putText(shown, "proof copy", (380, 960), cv2.FONT_HERSHEY_DUPLEX, 1.6, (255,) * 3, 3, cv2.LINE_AA)
    back = {6: 8, 8: 6}.get(turn, turn)  # the others undo themselves
    files = {1: shown, turn: oriented(shown, back)}
    np.testing.assert_array_equal(oriented(files[turn], turn), shown)
    models = ModelScores(load_quality())
    rows = []
    for exif, stored in files.items():
        tag, out = Image.Exif(), io.BytesIO()
        tag[0x0112] = exif
        Image.fromarray(stored).save(out, "PNG", exif=tag)
        rows.append(profile_image(out.getvalue(), models=models))
    models.finish()
    assert rows[1]["orientation"] == turn
    assert (rows[1]["width_px"], rows[1]["height_px"]) == (700, 1000)
    upright, turned = (np.log(r["watermark"] / (1 - r["watermark"])) for r in rows)
    assert turned == pytest.approx(upright, abs=0.15)  # sides are shrunk in another order


def test_grey_and_small_pictures_have_scores():
    models = ModelScores(load_quality())
    rows = []
    for pixels in (np.full((1200, 1000), 90, np.uint8), np.full((20, 900, 3), 90, np.uint8)):
        out = io.BytesIO()
        Image.fromarray(pixels).save(out, "PNG")
        rows.append(profile_image(out.getvalue(), models=models))
    models.finish()
    assert all(0 <= row["watermark"] < 0.5 for row in rows)


def test_halving_first_gives_the_same_small_copy():
    for seed, shape in enumerate([(1500, 1001, 3), (897, 2333, 3), (700, 500, 3), (2001, 1805)]):
        pixels = np.random.default_rng(seed).integers(0, 256, shape, np.uint8)
        halved = fine_copy(pixels)
        np.testing.assert_array_equal(shrink(pixels, 336, halved=halved), shrink(pixels, 336))


def test_calibration_leaves_few_clean_pictures_over_a_half_and_half_of_them_in_doubt():
    torch.manual_seed(3)
    network = MarkNetwork().eval()
    before = network.out.bias.item()
    shift = calibrate_marks(network, PHOTOS, seed=1, flagged=0.25)
    assert network.out.bias.item() == pytest.approx(before + shift, abs=1e-5)
    views = list(clean_views(PHOTOS, 1))
    cells = np.stack([mark_cells(overview(shrink(v, 336))) for v in views])
    fast, sure = engine_of(network), network.sure.item()
    whole = fast(cells)[0]
    both = watermark_logits(fast, sure, cells, [fine_copy(v) for v in views])
    assert (whole > 0).mean() == pytest.approx(0.25, abs=0.06)
    assert (both <= whole).all()
    # those at the middle, between which random weights hardly tell, may be on either side
    assert (whole >= sure).mean() == pytest.approx(0.5, abs=2 / len(views))
