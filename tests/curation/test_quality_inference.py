"""The quality networks as they run give what they were trained to give."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from skimage import data

from zcurate.curation.profile.quality import inference
from zcurate.curation.profile.quality.color_inference import ColorInference
from zcurate.curation.profile.quality.color_network import ColorNetwork
from zcurate.curation.profile.quality.crops import overview
from zcurate.curation.profile.quality.glimpses import GLIMPSE_PX
from zcurate.curation.profile.quality.histograms import coarse, color_histograms
from zcurate.curation.profile.quality.inference import fold
from zcurate.curation.profile.quality.model import WEIGHTS, load_quality
from zcurate.curation.profile.quality.network import MarkNetwork, TileNetwork
from zcurate.curation.profile.shrink import shrink

GIVEN = {
    TileNetwork: lambda n: torch.randint(0, 256, (n, 7, 32, 32, 16), dtype=torch.uint8),
    MarkNetwork: lambda n: torch.randint(0, 256, (n, 80, 80, 24), dtype=torch.uint8),
}


def test_folding_changes_no_score_of_a_closer_look():
    slow = trained(MarkNetwork)
    looks = torch.randint(0, 256, (3, GLIMPSE_PX // 4, GLIMPSE_PX // 4, 24), dtype=torch.uint8)
    with torch.inference_mode():
        before = slow.score_and_map(looks)
        for got, expected in zip(fold(slow).score_and_map(looks), before, strict=True):
            torch.testing.assert_close(got, expected, atol=1e-3, rtol=1e-3)


def trained(network: type[torch.nn.Module]) -> torch.nn.Module:
    """Of random weights, with statistics of batch normalization that are not those it starts with.

    How large values get is not measured, so that folding leaves them what they are and makes them no whole numbers.
    """
    torch.manual_seed(0)
    found = network()
    for _ in range(3):
        found(GIVEN[network](4))
    return found.eval()


@pytest.mark.parametrize("network", GIVEN)
@pytest.mark.parametrize("fused", [True, False])
def test_folding_changes_no_score(network, fused, monkeypatch):
    if fused and not inference._has_fused_operators():
        pytest.skip("no oneDNN here")
    if not fused:  # as on a machine without oneDNN
        monkeypatch.setattr(inference, "_has_fused_operators", lambda: False)
    slow, given = trained(network), [GIVEN[network](n) for n in (1, 3, 1)]
    with torch.inference_mode():
        before = [slow(x) for x in given]
        fast = fold(slow)
        for x, expected in zip(given, before, strict=True):  # of any number of pictures, in any order
            torch.testing.assert_close(fast(x), expected, atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize("picture", ["coffee", "chelsea", "black", "white", "noise"])
def test_compiled_color_gives_the_scores_of_the_network(picture):
    flat = {"black": np.zeros((320, 320, 3), np.uint8), "white": np.full((320, 320, 3), 255, np.uint8)}
    flat["noise"] = np.random.default_rng(0).integers(0, 256, (320, 320, 3), np.uint8)
    rgb = flat[picture] if picture in flat else np.ascontiguousarray(getattr(data, picture)())
    seen = [color_histograms(coarse(overview(view))) for view in (rgb, rgb[:100], 255 - rgb)]
    histograms = [np.stack(kind) for kind in zip(*seen, strict=True)]
    torch.manual_seed(1)
    bundled = ColorNetwork()
    state = load_file(WEIGHTS)
    bundled.load_state_dict({k[6:]: v for k, v in state.items() if k.startswith("color.")})
    for network in (ColorNetwork().eval(), bundled.eval()):
        with torch.inference_mode():
            expected = network(*(torch.from_numpy(x) for x in histograms)).numpy()
        np.testing.assert_allclose(ColorInference(network)(*histograms), expected, atol=1e-3)


def test_a_model_that_was_used_can_be_copied():
    rgb = np.ascontiguousarray(data.coffee())
    model = load_quality()
    before = model.scores(rgb, shrink(rgb, 336))
    assert copy.deepcopy(model).scores(rgb, shrink(rgb, 336)) == pytest.approx(before, abs=1e-4)
