"""Experts: what they propose can be drawn, is of the types they claim, shows, passes the checks and can be said."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from zcurate.curation.edits.checks import ACCEPT, judge, measure
from zcurate.curation.edits.experts import NoProposalError
from zcurate.curation.edits.experts_tones import tone_experts
from zcurate.curation.edits.phrases import instruct
from zcurate.curation.edits.scene import Scene
from zcurate.curation.edits.taxonomy import TASKS, types_of


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
