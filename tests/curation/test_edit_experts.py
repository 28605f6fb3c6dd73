"""Experts: what they propose can be drawn, is of the types they claim, shows, passes the checks and can be said."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from zcurate.curation.edits.checks import ACCEPT, judge, measure
from zcurate.curation.edits.color_names import name_of
from zcurate.curation.edits.cutout import NoCutoutError, cut_out
from zcurate.curation.edits.experts import NoProposalError
from zcurate.curation.edits.experts_things import names_of, object_experts, part_assets, part_experts
from zcurate.curation.edits.experts_tones import tone_experts
from zcurate.curation.edits.library import build_library, plain_backgrounds
from zcurate.curation.edits.phrases import instruct
from zcurate.curation.edits.scene import Scene
from zcurate.curation.edits.taxonomy import TASKS, types_of
from zcurate.curation.edits.things import referent_of


@pytest.fixture(scope="module")
def scene():
    rng = np.random.default_rng(4)
    layers = [cv2.resize(rng.normal(0, 1, (160 // s, 192 // s, 3)), (192, 160)) * s for s in (1, 2, 4, 16)]
    return Scene("k", np.clip(sum(layers) * 8 + 110, 0, 255).astype(np.uint8))


@pytest.mark.parametrize("expert", tone_experts(), ids=lambda e: e.name)
@pytest.mark.parametrize("seed", range(4))
def test_proposals_are_drawn_accepted_and_said(scene, expert, seed):
    proposal = expert.propose(scene, {}, np.random.default_rng(seed))
    spec, target = proposal.spec, proposal.spec.apply({})
    assert types_of(spec, {}) == tuple(expert.types)
    forward = measure(scene.base, scene.render(target), scene.mask(spec, {}))
    assert judge(spec, types_of(spec, {}), forward).status == ACCEPT
    back = spec.inverse()
    types = types_of(back, target)
    assert all(not TASKS[t].needs_weights for t in types)
    assert judge(back, types, measure(scene.render(target), scene.base, None)).status == ACCEPT
    for language in ("en", "zh"):
        for state, edit in (({}, spec), (target, back)):
            assert instruct(
                edit, state, proposal.names, language, lambda label, options: options[seed % len(options)]
            )
    again = expert.propose(scene, {}, np.random.default_rng(seed))
    assert again.spec == spec


def test_nothing_is_proposed_that_would_not_show():
    flat = Scene("flat", np.full((64, 64, 3), 128, np.uint8))
    silent = []
    for expert in tone_experts():
        try:
            expert.propose(flat, {}, np.random.default_rng(0))
        except NoProposalError:
            silent.append(expert.name)
    assert {"grey", "saturation", "blur", "downscale"} <= set(silent)


def _thing(shape=(160, 160), color=(200, 40, 40), ground=(225, 220, 210), seed=0):
    """A picture of a colored figure on a plain, softly lit ground, and the figure's true mask."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[-1 : 1 : shape[0] * 1j, -1 : 1 : shape[1] * 1j]
    rgb = np.array(ground) * (1 - 0.08 * (x * x + y * y))[..., None] + rng.normal(0, 1.2, (*shape, 3))
    mask = (np.hypot(x / 0.45, y / 0.6) < 1) & ~((np.abs(x + 0.12) < 0.12) & (y < -0.1))
    shade = (1 - 0.25 * x)[..., None]
    rgb = np.where(mask[..., None], np.array(color) * shade + rng.normal(0, 2, (*shape, 3)), rgb)
    return np.clip(rgb, 0, 255).astype(np.uint8), mask


@pytest.mark.parametrize("color", [(200, 40, 40), (40, 60, 160), (30, 30, 30), (90, 160, 70)])
def test_a_thing_on_plain_ground_is_cut_out_along_its_outline(color):
    rgb, mask = _thing(color=color)
    found = cut_out(rgb)
    inside = found.alpha > 127
    assert (inside & mask).sum() > 0.99 * inside.sum()  # no halo of the ground: it is drawn in by a pixel
    assert (inside & mask).sum() > 0.92 * mask.sum()
    assert np.abs(found.ground[mask].astype(int).mean(0) - [225, 220, 210]).max() < 12


def test_no_outline_is_made_up():
    rng = np.random.default_rng(0)
    busy = rng.integers(0, 255, (128, 128, 3)).astype(np.uint8)
    with pytest.raises(NoCutoutError):
        cut_out(busy)
    with pytest.raises(NoCutoutError, match="no_thing"):
        cut_out(np.full((128, 128, 3), 200, np.uint8))
    rgb, mask = _thing(color=(214, 210, 200))
    with pytest.raises(NoCutoutError):
        cut_out(rgb)


@pytest.fixture(scope="module")
def library():
    colors = {"hat": (200, 40, 40), "cup": (40, 60, 160), "shirt": (90, 160, 70)}
    pictures = [(_thing(color=c, seed=i)[0], label) for i, (label, c) in enumerate(colors.items())]
    return build_library([*pictures, (_thing()[0], "unheard-of"), (np.zeros((50, 50, 3), np.uint8), "cup")])


def test_a_library_keeps_named_clean_things_and_counts_the_rest(library):
    assert sorted(i.referent.en for i in library.items) == ["blue cup", "green shirt", "red hat"]
    assert {i.referent.zh for i in library.items} == {"蓝色杯子", "绿色衬衫", "红色帽子"}
    assert library.refused == {"unnamed": 1, "no_thing": 1}
    again = build_library([(i.sprite.rgba, i.label) for i in reversed(library.items)])
    assert again.digest == library.digest


def test_a_chain_of_object_edits_stays_in_its_masks_and_is_said(scene, library):
    scene = Scene("objects", scene.base, assets=library.assets())
    wanted = {"add_object", "move_object", "resize_object", "replace_object", "recolor_object", "turn_object"}
    done = set()
    for seed in range(12):
        rng = np.random.default_rng(seed)
        state = {}
        for expert in object_experts(library):
            try:
                proposal = expert.propose(scene, state, rng)
            except NoProposalError:
                continue
            target = proposal.spec.apply(state)
            types = types_of(proposal.spec, state)
            assert set(expert.types) <= set(types), (expert.name, types)
            found = measure(scene.render(state), scene.render(target), scene.mask(proposal.spec, state))
            assert found.outside_psnr_db == 99.0
            assert judge(proposal.spec, types, found).status == ACCEPT, (expert.name, found)
            for language in ("en", "zh"):
                assert instruct(
                    proposal.spec, state, proposal.names, language, lambda label, options: options[0]
                )
                back = proposal.spec.inverse(), target, proposal.names.inverse()
                assert instruct(*back, language, lambda label, options: options[0])
            done.add(expert.name)
            state = target
    assert wanted <= done


def test_one_of_several_alike_is_told_by_its_place(library):
    item = library.items[0].id
    state = {
        "object/0": {"sprite": item, "x": 0.1, "y": 0.5, "scale": 0.2},
        "object/1": {"sprite": item, "x": 0.9, "y": 0.5, "scale": 0.2},
    }
    names = names_of(library, state, {"object/0": state["object/0"]})
    assert names.source["object/1"].en.endswith("on the right")
    assert names.source["object/0"].zh.startswith("左侧的")
    assert names.target["object/0"].en == library.items[0].referent.en


def test_the_thing_of_a_picture_is_moved_recolored_extracted_and_set_on_other_ground():
    rgb, mask = _thing(color=(190, 50, 50))
    part = cut_out(rgb)
    scene = Scene("part", rgb, assets=part_assets(rgb, part, referent_of("hat"), plain_backgrounds()))
    said = set()
    for seed in range(8):
        for expert in part_experts():
            try:
                proposal = expert.propose(scene, {}, np.random.default_rng(seed))
            except NoProposalError:
                continue
            target = proposal.spec.apply({})
            picture = scene.render(target)
            types = types_of(proposal.spec, {})
            assert types == expert.types
            found = measure(rgb, picture, scene.mask(proposal.spec, {}))
            assert judge(proposal.spec, types, found).status == ACCEPT, (expert.name, found)
            text = instruct(proposal.spec, {}, proposal.names, "en", lambda label, options: options[0])
            said.add(expert.name)
            if expert.name == "remove_part":
                assert np.abs(picture[mask].astype(int).mean(0) - [225, 220, 210]).max() < 12
                assert "red hat" in text
            if expert.name == "extract_part":
                ground = picture[~(part.alpha > 0)]
                assert (ground == ground[0]).all()
            if expert.name == "recolor_part":
                assert name_of(picture, part.alpha) == target["part/0"]["color"]
                assert np.array_equal(picture[part.alpha == 0], rgb[part.alpha == 0])
    assert said == {e.name for e in part_experts()}
