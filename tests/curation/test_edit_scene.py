"""Scenes: a state has one picture, composed specs lead to it exactly, and masks hold what changes."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zcurate.curation.edits.checks import changed
from zcurate.curation.edits.scene import Scene, on_grid
from zcurate.curation.edits.spec import between

FLOATS = st.sampled_from([-0.6, -0.25, 0.1, 0.3, 0.7])
SLOTS = {
    "photometric/brightness": FLOATS,
    "photometric/contrast": st.fixed_dictionaries({"strength": FLOATS, "middle": st.just(0.4)}),
    "photometric/temperature": FLOATS,
    "photometric/saturation": FLOATS,
    "photometric/gamma": FLOATS,
    "photometric/sharpness": FLOATS,
    "photometric/grey": st.just(1),
    "pixel/blur": st.sampled_from([1.5, 3.0, {"strength": 4.0, "angle": 30}]),
    "pixel/noise": st.fixed_dictionaries({"strength": st.just(9.0), "seed": st.integers(0, 2)}),
    "pixel/jpeg": st.sampled_from([0.2, 0.9]),
    "pixel/downscale": st.sampled_from([2.0, 4.0]),
    "style/0": st.fixed_dictionaries(
        {
            "name": st.sampled_from(
                ["film", "sketch", "posterize", "cartoon", "pixelate", "emboss", "duotone", "vignette"]
            )
        }
    ),
    "geometry/0": st.sampled_from(
        [
            {"op": "crop", "x": 0.3, "y": 0.6, "share": 0.5},
            {"op": "rotate", "degrees": 90},
            {"op": "flip", "axis": "horizontal"},
            {"op": "straighten", "degrees": -7},
        ]
    ),
}
STATES = st.fixed_dictionaries({}, optional=SLOTS)


class Patches:
    """A layer of flat squares: `object/K` = {x, y, side} in px."""

    def draw(self, rgb, values, scene, state):
        rgb = rgb.copy()
        for name, value in values.items():
            rgb[self.footprint(name, value, scene)] = (250, 10, 200)
        return rgb

    def footprint(self, name, value, scene):
        mask = np.zeros(scene.base.shape[:2], bool)
        mask[value["y"] : value["y"] + value["side"], value["x"] : value["x"] + value["side"]] = True
        return mask


@pytest.fixture(scope="module")
def scene():
    rng = np.random.default_rng(1)
    layers = [cv2.resize(rng.normal(0, 1, (96 // s, 128 // s, 3)), (128, 96)) * s for s in (1, 4, 16)]
    base = np.clip(sum(layers) * 9 + 120, 0, 255).astype(np.uint8)
    return Scene("k", base, {"object": Patches()})


@settings(max_examples=60, deadline=None)
@given(a=STATES, b=STATES, c=STATES)
def test_a_composed_spec_reproduces_the_target_pixel_for_pixel(scene, a, b, c):
    composed = between(a, b).then(between(b, c))
    assert np.array_equal(scene.render(composed.apply(a)), scene.render(c))
    assert np.array_equal(scene.render({}), scene.base)
    back = between(a, c).inverse().apply(between(a, c).apply(a))
    assert np.array_equal(scene.render(back), scene.render(a))


@settings(max_examples=60, deadline=None)
@given(around=STATES, x=st.integers(0, 100), y=st.integers(0, 70), side=st.integers(4, 20))
def test_a_local_edit_changes_nothing_out_of_its_mask_whatever_filters_are_on(scene, around, x, y, side):
    target = {**around, "object/0": {"x": x, "y": y, "side": side}}
    spec = between(around, target)
    if around.get("geometry/0", {}).get("op") == "straighten":
        return  # interpolates across the edge of the mask
    mask = scene.mask(spec, around)
    differs = changed(scene.render(around), scene.render(target), levels=3)
    assert differs.shape == mask.shape
    assert not (differs & ~mask).any()


@pytest.mark.parametrize("slot", [s for s in SLOTS if s != "geometry/0"])
def test_every_value_shows(scene, slot):
    @settings(max_examples=15, deadline=None)
    @given(SLOTS[slot])
    def check(value):
        assert changed(scene.base, scene.render({slot: value})).mean() > 0.02

    check()


def test_more_is_more(scene):
    def luma(state):
        return cv2.cvtColor(scene.render(state), cv2.COLOR_RGB2GRAY).astype(float)

    means = [luma({"photometric/brightness": v}).mean() for v in (-0.5, -0.2, 0.2, 0.5)]
    assert means == sorted(means)
    spread = [
        luma({"photometric/contrast": {"strength": v, "middle": 0.4}}).std() for v in (-0.5, -0.2, 0.2, 0.5)
    ]
    assert spread == sorted(spread)
    warm = [
        np.diff(scene.render({"photometric/temperature": v}).reshape(-1, 3).mean(0)[[2, 0]])
        for v in (-0.5, 0.5)
    ]
    assert warm[0] < warm[1]
    detail = [cv2.Laplacian(luma({"pixel/blur": v}), cv2.CV_64F).var() for v in (4.0, 2.0, 1.0)]
    assert detail == sorted(detail)


def test_geometry_keeps_the_grid_and_undoes_itself():
    base = on_grid(np.arange(150 * 203 * 3, dtype=np.uint64).reshape(150, 203, 3).astype(np.uint8))
    assert base.shape == (144, 192, 3)
    scene = Scene("k", base)
    for share in (0.3, 0.55, 0.9):
        height, width = scene.render(
            {"geometry/0": {"op": "crop", "share": share, "x": 1.0, "y": 0.0}}
        ).shape[:2]
        assert height % 16 == width % 16 == 0
    turned = scene.render({"geometry/0": {"op": "rotate", "degrees": 90}})
    assert np.array_equal(turned, np.rot90(base, -1))
    with pytest.raises(ValueError, match="16"):
        on_grid(np.zeros((9, 40, 3), np.uint8))


def test_what_no_layer_draws_is_refused(scene):
    with pytest.raises(KeyError, match="fog"):
        scene.render({"fog/0": 1})
    with pytest.raises(KeyError, match="text"):
        scene.render({"text/0": {"text": "a"}})
    with pytest.raises(KeyError, match="hue"):
        scene.render({"photometric/hue": 1})
