"""Charts and pages of text: clean however flat they are, and what the training makes of them."""

import io

import matplotlib as mpl
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.figure import Figure
from PIL import Image
from skimage import data

from zcurate.curation.profile.quality.clean_pictures import Clean, clean_picture
from zcurate.curation.profile.quality.model import DEFAULT_THRESHOLD, load_quality
from zcurate.curation.profile.quality.scores import TILE_SCORES
from zcurate.curation.profile.quality.synthesis import distorted
from zcurate.curation.profile.quality.watermarks import find_fonts
from zcurate.curation.profile.shrink import shrink

FONTS = find_fonts([mpl.get_data_path() + "/fonts/ttf"])


@pytest.fixture(scope="module")
def photos():
    return [np.ascontiguousarray(data.chelsea()), np.ascontiguousarray(data.coffee())]


def text(axes, rng):
    axes.axis("off")
    lines = [" ".join(rng.choice("of the and in by".split(), rng.integers(4, 12))) for _ in range(20)]
    axes.text(0, 1, "\n".join(lines), size=rng.uniform(7, 14), va="top")


def curves(axes, rng):
    axes.plot(np.cumsum(rng.normal(size=(80, 3)), axis=0), lw=rng.uniform(0.5, 3))
    axes.grid()


def points(axes, rng):
    axes.scatter(*rng.normal(size=(2, 100)), s=rng.uniform(5, 60))


@pytest.mark.parametrize("kind", [text, curves, points])
def test_clean_drawings_are_not_flagged(kind):
    model, rng = load_quality(), np.random.default_rng(4)
    flagged = []
    for _ in range(15):
        figure = Figure(figsize=rng.uniform(4, 9, 2), dpi=rng.uniform(70, 150))
        kind(figure.add_subplot(), rng)
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png")
        rgb = np.asarray(Image.open(buffer).convert("RGB"))
        scores = model.scores(rgb, shrink(rgb, 336))
        flagged.append([name for name, score in scores.items() if score > DEFAULT_THRESHOLD])
    assert sum(bool(f) for f in flagged) <= 1, flagged


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 10_000), st.sampled_from([224, 350, 700]))
def test_clean_pictures_are_about_as_large_as_asked(photos, seed, side):
    for fonts in ((), FONTS):
        clean = clean_picture(photos, fonts, side, np.random.default_rng(seed))
        assert clean.rgb.dtype == np.uint8
        assert clean.rgb.shape[2] == 3
        assert 150 <= min(clean.rgb.shape[:2]) <= max(352, side)


def test_some_pictures_are_drawn(photos):
    made = [clean_picture(photos, FONTS, 224, np.random.default_rng(k)) for k in range(150)]
    flat = [c for c in made if c.flat]
    assert 5 <= len(flat) <= 30
    # a page has one color that most of it is of
    shares = [
        np.unique(c.rgb.reshape(-1, 3), axis=0, return_counts=True)[1].max() / c.rgb[..., 0].size
        for c in flat
    ]
    assert np.median(shares) > 0.4


def test_banding_is_planted_where_it_shows_alone(photos):
    rgb = photos[0]
    banding = TILE_SCORES.index("banding")
    planted = {
        flat: [distorted(Clean(rgb, flat), np.random.default_rng(k)).target[banding] for k in range(60)]
        for flat in (False, True)
    }
    assert any(planted[False])
    assert not any(planted[True])
