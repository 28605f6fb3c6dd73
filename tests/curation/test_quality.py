"""The quality model: crops, planted distortions, the bundled weights, and the training script."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import cv2
import matplotlib
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from scipy.stats import spearmanr
from skimage import data

from zcurate.curation.errors import ConfigError
from zcurate.curation.profile.quality import average, distortions, synthesis
from zcurate.curation.profile.quality.crops import (
    NATIVE_TILES,
    OVERVIEW_PX,
    TILE_PX,
    TILES,
    large_enough,
    native_tiles,
    overview,
    ranked_places,
)
from zcurate.curation.profile.quality.exposure_synthesis import exposure_sample
from zcurate.curation.profile.quality.histograms import LIGHT_BINS, coarse, light_histogram
from zcurate.curation.profile.quality.inputs import mark_cells
from zcurate.curation.profile.quality.marks_synthesis import Bank, scene
from zcurate.curation.profile.quality.model import SCORES, WEIGHTS, load_quality
from zcurate.curation.profile.quality.network import MarkNetwork
from zcurate.curation.profile.quality.products import _ground, on_plain_ground
from zcurate.curation.profile.quality.scenery import decorate, made_up
from zcurate.curation.profile.quality.train_tiles import tile_sample
from zcurate.curation.profile.quality.watermarks import find_fonts, watermark
from zcurate.curation.profile.shrink import shrink
from zcurate.curation.profile.window_kernel import green_edges

FONTS = find_fonts([Path(matplotlib.get_data_path()) / "fonts" / "ttf"])
PHOTOS = {"coffee": data.coffee, "chelsea": data.chelsea, "astronaut": data.astronaut}


@pytest.fixture(scope="module")
def model():
    return load_quality()


@pytest.fixture(scope="module", params=sorted(PHOTOS))
def photo(request) -> np.ndarray:
    return np.ascontiguousarray(PHOTOS[request.param]()[..., :3])


def scores(model, rgb: np.ndarray) -> dict[str, float]:
    return model.scores(rgb, shrink(rgb, 336))


def tiles_of(rgb: np.ndarray) -> np.ndarray:
    rgb = large_enough(rgb)
    return native_tiles(rgb, ranked_places(rgb))


@settings(deadline=None, max_examples=40)
@given(st.integers(1, 700), st.integers(1, 700), st.integers(0, 3))
def test_tiles_come_from_the_picture(height, width, seed):
    rgb = np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)
    tiles = tiles_of(rgb)
    assert tiles.shape == (TILES, TILE_PX, TILE_PX, 3)
    assert tiles.dtype == np.uint8
    if min(height, width) >= TILE_PX:
        windows = np.lib.stride_tricks.sliding_window_view(rgb[..., 1], (TILE_PX, TILE_PX))
        tiles = tiles[:NATIVE_TILES]
        corners = tiles[:, 0, :8, 1]
        found = [
            any(
                (windows[y, x] == tile[..., 1]).all()
                for y, x in zip(*np.nonzero((windows[:, :, 0, :8] == c).all(-1)), strict=True)
            )
            for tile, c in zip(tiles, corners, strict=True)
        ]
        assert all(found)


def test_tiles_run_from_plain_to_busy():
    rgb = np.full((512, 512, 3), 128, np.uint8)
    rng = np.random.default_rng(0)
    rgb[:, 256:] = rng.integers(60, 200, (512, 256, 3))
    spread = tiles_of(rgb).astype(float).std(axis=(1, 2, 3))
    assert spread[0] == 0
    assert spread[NATIVE_TILES - 1] > 30


def test_the_busiest_tiles_are_those_in_focus(photo):
    """A background out of focus may be rich in contrast: it is not what a picture's sharpness is judged by."""
    rgb = cv2.resize(photo, (512, 512), interpolation=cv2.INTER_AREA)
    soft = cv2.GaussianBlur(rgb, (0, 0), 6)
    contrast = np.clip(128 + 2.0 * (soft.astype(np.float32) - 128), 20, 235).astype(np.uint8)
    contrast[128:320, 192:384] = rgb[128:320, 192:384]
    best = tiles_of(contrast)[NATIVE_TILES - 1].astype(np.float32)
    assert np.abs(np.diff(best, axis=1)).mean() > 3 * np.abs(np.diff(soft.astype(np.float32), axis=1)).mean()


@settings(deadline=None, max_examples=30)
@given(st.integers(64, 150), st.integers(64, 150), st.integers(0, 1 << 32))
def test_edges_are_counted_as_said(height, width, seed):
    rng = np.random.default_rng(seed)
    rgb = rng.integers(0, 256, (height, width, 3), np.uint8)
    tops, lefts = (np.sort(rng.integers(0, side - 64 + 1, 2)) for side in (height, width))
    expected = []
    for top in tops:
        for left in lefts:
            green = rgb[top : top + 64, left : left + 64, 1].astype(int)
            at = np.s_[:-1:7, :-1]
            sums = np.abs(np.diff(green, axis=1))[:-1][::7] + np.abs(np.diff(green, axis=0))[:, :-1][::7]
            seen = green[at]
            expected.append((sums.sum(), ((seen < 8) | (seen > 247)).sum()))
    np.testing.assert_array_equal(green_edges(rgb, tops, lefts, 64, 8, 247), expected)


@pytest.mark.parametrize("factor", [2, 3, 4])
def test_the_busiest_tiles_are_found_in_pictures_enlarged_by_copying_pixels(photo, factor):
    small = cv2.GaussianBlur(photo, (0, 0), 6)
    small[:96, :96] = photo[:96, :96]
    rgb = small.repeat(factor, axis=0).repeat(factor, axis=1)
    best = tiles_of(rgb)[NATIVE_TILES - 1]
    assert any(
        (rgb[y : y + 64, x : x + 64] == best).all()
        for y in range(0, 97 * factor, 8)
        for x in range(0, 97 * factor, 8)
    )


def test_clipped_places_are_left_out_where_there_are_others():
    rgb = np.full((512, 512, 3), 255, np.uint8)
    rgb[:256, :256] = np.random.default_rng(0).integers(100, 140, (256, 256, 3))
    assert (tiles_of(rgb).mean(axis=(1, 2, 3)) < 200).all()


@pytest.mark.parametrize("size", [(1, 1), (3, 2000), (64, 64), (63, 400), (1500, 70)])
@pytest.mark.parametrize("level", [0, 128, 255])
def test_any_size_and_flat_pictures_have_finite_scores(model, size, level):
    rgb = np.full((*size, 3), level, np.uint8)
    values = scores(model, rgb)
    assert set(values) == set(SCORES)
    assert all(0 <= v <= 1 for v in values.values())
    assert overview(rgb).shape == (OVERVIEW_PX, OVERVIEW_PX, 3)


def test_same_picture_same_scores(model, photo):
    assert scores(model, photo) == scores(load_quality(), photo.copy())


def _coarse_noise(x: np.ndarray, sigma: float) -> np.ndarray:
    """As cameras' own processing leaves it: neighbors alike."""
    field = cv2.GaussianBlur(np.random.default_rng(1).normal(size=x.shape).astype(np.float32), (0, 0), 0.7)
    return distortions.to_uint8(x + field / field.std() * sigma)


@pytest.mark.parametrize(
    ("name", "plant"),
    [
        ("blur", lambda x, s: cv2.GaussianBlur(x, (0, 0), 0.3 + 4 * s)),
        ("noise", lambda x, s: distortions.to_uint8(x + np.random.default_rng(1).normal(0, 40 * s, x.shape))),
        ("noise", lambda x, s: _coarse_noise(x, 40 * s)),
        ("jpeg_artifacts", lambda x, s: distortions.jpeg(x, round(95 - 85 * s))),
        ("cast", lambda x, s: distortions.to_uint8(x * np.array([1 + 0.4 * s, 1, 1 - 0.4 * s]))),
        # at twice that, all that is light is white, and the score stays
        ("overexposed", lambda x, s: distortions.to_uint8(x * (1 + s) + 15 * s)),
        ("underexposed", lambda x, s: distortions.to_uint8(x * (1 - 0.85 * s))),
    ],
)
def test_score_grows_with_planted_strength(model, name, plant):
    """On the average of the pictures: what is a cast and what is the scene cannot always be told."""
    strengths = (0.05, 0.25, 0.45, 0.65, 0.85, 1.0)
    pictures = [np.ascontiguousarray(load()[..., :3]) for load in PHOTOS.values()]
    values = [np.mean([scores(model, plant(p, s))[name] for p in pictures]) for s in strengths]
    assert spearmanr(strengths, values).statistic > 0.9
    assert values[-1] > values[0] + 0.3


def test_what_is_nearly_all_white_stays_overexposed(model):
    """Beyond what the test before plants the score hardly grows: what is left might be drawn on white paper."""
    pictures = [np.ascontiguousarray(load()[..., :3]) for load in PHOTOS.values()]
    clean = np.mean([scores(model, p)["overexposed"] for p in pictures])
    for gain, lift in ((2.4, 21), (3.0, 30)):
        burnt = [scores(model, distortions.to_uint8(p * gain + lift))["overexposed"] for p in pictures]
        assert np.mean(burnt) > clean + 0.4


def test_marks_raise_the_score_of_the_same_picture(model):
    """Of most marks; the threshold is set to flag few clean pictures, so that fainter marks stay below it."""
    rng = np.random.default_rng(3)
    higher, found = [], []
    for load in PHOTOS.values():
        rgb = np.ascontiguousarray(load()[..., :3])
        clean = scores(model, rgb)["watermark"]
        assert clean < 0.5
        marked = [scores(model, watermark(rgb, FONTS, rng))["watermark"] for _ in range(24)]
        higher += [value > clean for value in marked]
        found += [value > 0.5 for value in marked]
    assert np.mean(higher) > 0.75
    assert np.mean(found) > 0.2


def test_scores_of_strength_are_monotone():
    for function, values in (
        (synthesis.blur_score, np.linspace(0, 10, 50)),
        (synthesis.noise_score, np.linspace(0, 60, 50)),
        (synthesis.jpeg_score, np.arange(100, 0, -1)),
        (synthesis.banding_score, np.arange(200, 2, -1)),
        (synthesis.upscaled_score, np.linspace(1, 6, 50)),
        (synthesis.cast_score, np.linspace(0, 2, 50)),
        (synthesis.exposure_score, np.linspace(0, 4, 50)),
    ):
        scored = [function(v) for v in values]
        assert scored == sorted(scored)
        assert scored[0] == 0
        assert scored[-1] <= 1


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 10_000))
def test_samples_have_the_shapes_of_the_networks(seed):
    rng = np.random.default_rng(seed)
    base = np.ascontiguousarray(data.chelsea())
    tiles = tile_sample([base], FONTS, rng)
    assert tiles.pixels.shape == (TILES, TILE_PX, TILE_PX, 3)
    assert tiles.pixels.dtype == np.uint8
    light = exposure_sample([base], FONTS, rng)
    assert light.light.shape == (LIGHT_BINS,)
    assert light.target.shape == (2,)
    for sample in (tiles, light):
        assert ((sample.target >= 0) & (sample.target <= 1)).all()
        assert set(np.unique(sample.weight)) <= {0.0, 1.0}


def test_pairs_differ_by_a_mark_where_the_map_says():
    bank = Bank([data.chelsea(), data.coffee()], FONTS, np.random.default_rng(5), size=3, easy=40.0)
    cells = MarkNetwork.MASK_CELLS
    for _ in range(12):
        pair = bank.pair()
        assert pair.cells.shape == (2, 80, 80, 24)
        change = np.abs(pair.cells[0].astype(int) - pair.cells[1]).max(axis=2)
        change = change.reshape(cells, 80 // cells, cells, 80 // cells).max(axis=(1, 3))
        assert pair.mask.shape == (cells, cells)
        assert pair.mask.sum() > 0
        assert not (pair.mask == 0).any() or change[pair.mask > 0].mean() > change[pair.mask == 0].mean()


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 10_000))
def test_watermarks_are_visible_and_scenery_keeps_the_size(seed):
    rng = np.random.default_rng(seed)
    base = np.ascontiguousarray(data.coffee())
    marked = watermark(base, FONTS, rng)
    assert marked.shape == base.shape
    assert np.abs(marked.astype(int) - base).max() >= 14
    decorated = decorate(base, made_up(200, 300, rng), FONTS, rng)
    assert decorated.shape == base.shape
    assert decorated.dtype == np.uint8


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 10_000), st.integers(200, 400), st.integers(200, 400))
def test_products_stand_alone_on_their_ground(seed, h, w):
    photo = np.ascontiguousarray(data.coffee())
    shown, again = (on_plain_ground(h, w, photo, np.random.default_rng(seed)) for _ in range(2))
    assert shown.shape == (h, w, 3)
    assert shown.dtype == np.uint8
    assert np.array_equal(shown, again)
    bare = _ground(h, w, np.random.default_rng(seed)).round().astype(int)
    kept = (np.abs(shown - bare) <= 1).all(axis=2).mean()
    assert 0 < kept < 1


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 10_000))
def test_scenes_are_overviews_and_repeat(seed):
    photos = [np.ascontiguousarray(x) for x in (data.coffee(), data.chelsea(), data.astronaut())]
    first, again = (scene(photos, FONTS, np.random.default_rng(seed)) for _ in range(2))
    assert first.shape == (OVERVIEW_PX, OVERVIEW_PX, 3)
    assert first.dtype == np.uint8
    assert np.array_equal(first, again)


def test_cells_hold_every_pixel_of_luma_and_every_other_of_color():
    rgb = np.ascontiguousarray(data.astronaut()[:320, :320])
    cells = mark_cells(rgb)
    planes = cv2.cvtColor(rgb, cv2.COLOR_RGB2YUV_I420)
    for y, x in ((0, 0), (13, 202), (319, 319)):
        assert cells[y // 4, x // 4, 4 * (y % 4) + x % 4] == planes[y, x]
    blue, red = planes[320:].reshape(2, 160, 160)
    for y, x in ((0, 0), (13, 102), (159, 159)):
        at = 2 * (y % 2) + x % 2
        assert cells[y // 2, x // 2, 16 + at] == blue[y, x]
        assert cells[y // 2, x // 2, 20 + at] == red[y, x]


def test_light_counts_clipped_and_colorless_pixels():
    rgb = np.zeros((320, 320, 3), np.uint8)
    rgb[:160] = 255
    rgb[160:240] = (200, 30, 30)
    bright, white, black, grey = light_histogram(coarse(rgb))[64:68] ** 2
    np.testing.assert_allclose((bright, white, black, grey), (0.5, 0.5, 0.25, 0.75), atol=1e-6)


def test_light_counts_pixels_that_differ_from_no_neighbor_above_and_before_them():
    rgb = np.full((80, 80, 3), 250, np.uint8)
    rgb[40:, ::2] = 100  # stripes
    rgb[40:, 1::2] = 102
    rgb[20, 30] = 200  # and the two after and below it
    flat = light_histogram(rgb)[68:] ** 2 * 80**2
    np.testing.assert_allclose(flat, [0] * 7 + [39 * 79 - 3], atol=0.1)


def test_colored_paper_is_not_overexposed(model):
    for color in ((255, 255, 255), (255, 230, 120), (190, 240, 255)):
        paper = Image.new("RGB", (600, 800), color)
        draw = ImageDraw.Draw(paper)
        for line in range(100, 700, 25):
            draw.text(
                (60, line), "lorem ipsum dolor sit amet consectetur adipiscing", (20, 20, 30), font_size=19
            )
        assert scores(model, np.asarray(paper))["overexposed"] < 0.5


def test_bundled_weights_are_small_and_only_tensors():
    assert WEIGHTS.stat().st_size < 3_000_000
    with safe_open(str(WEIGHTS), "np") as f:
        total = sum(f.get_tensor(k).size for k in f.keys())  # noqa: SIM118
        training = json.loads(f.metadata()["training"])
    assert all(training[part]["photos"] > 100 for part in ("tiles", "blur", "marks", "cast", "exposure"))
    assert 100_000 < total < 1_000_000


def test_other_files_are_refused(tmp_path):
    broken = tmp_path / "w.safetensors"
    broken.write_bytes(WEIGHTS.read_bytes()[:1000])
    with pytest.raises(ConfigError, match=r"w\.safetensors"):
        load_quality(broken)


def test_the_mean_of_weights_replaces_one_part(tmp_path, model):
    with safe_open(str(WEIGHTS), "pt") as f:
        state, metadata = {k: f.get_tensor(k) for k in f.keys()}, f.metadata()  # noqa: SIM118
    files = [str(tmp_path / name) for name in ("a", "b", "mean")]
    other = {k: v + 1 if k == "marks.out.bias" or k.startswith("tiles.") else v for k, v in state.items()}
    save_file(state, files[0], metadata)
    save_file(other, files[1], metadata)
    average.main([*files[:2], "--part", "marks", "--out", files[2]])
    rgb = np.ascontiguousarray(data.coffee())
    before, after = scores(model, rgb), scores(load_quality(files[2]), rgb)
    logit = {
        k: np.log(v["watermark"] / (1 - v["watermark"]))
        for k, v in {"before": before, "after": after}.items()
    }
    # the whole and the closer look, or the whole twice; neither is over 0 here
    assert logit["after"] == pytest.approx(logit["before"] + 2 * 0.5, abs=1e-3)
    assert {k: v for k, v in after.items() if k != "watermark"} == pytest.approx(
        {k: v for k, v in before.items() if k != "watermark"}
    )
    with safe_open(files[2], "pt") as f:
        history = json.loads(f.metadata()["training"])
    assert len(history["marks"]["mean_of"]) == 2


def test_weights_that_do_not_match_have_no_mean(tmp_path):
    other = {k: v for k, v in load_file(WEIGHTS).items() if k != "marks.out.bias"}
    save_file(other, str(tmp_path / "b.safetensors"))
    with pytest.raises(ConfigError, match=r"b\.safetensors has no marks\.out\.bias"):
        average.average([str(WEIGHTS), str(tmp_path / "b.safetensors")], "marks")
    (tmp_path / "c.safetensors").write_text("no weights")
    with pytest.raises(ConfigError, match=r"c\.safetensors"):
        average.average([str(tmp_path / "c.safetensors"), str(WEIGHTS)], "marks")


@pytest.mark.slow
def test_training_script_runs_from_a_folder_of_photographs(tmp_path):
    for name, load in PHOTOS.items():
        Image.fromarray(load()[..., :3]).save(tmp_path / f"{name}.png")
    (tmp_path / "notes.txt").write_text("no picture")
    out = tmp_path / "weights.safetensors"
    command = [sys.executable, "-m", "zcurate.curation.profile.quality.train", "--photos", str(tmp_path)]
    command += ["--fonts", str(Path(FONTS[0]).parent), "--out", str(out), "--steps", "3", "--batch", "2"]
    command += ["--validation", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=250)
    assert done.returncode == 0, done.stderr
    assert "left out" in done.stdout
    trained = load_quality(out)
    assert trained.identity != load_quality().identity
    assert all(0 <= v <= 1 for v in scores(trained, data.coffee()).values())
