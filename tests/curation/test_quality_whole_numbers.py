"""Convolutions in whole numbers: exact, the same with and without a processor's help, and near what was trained."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file
from skimage import data
from torch import nn

from zcurate.curation.profile.quality import whole_numbers
from zcurate.curation.profile.quality.chains import Block, Bounds, Chain, Levels, measure_bounds
from zcurate.curation.profile.quality.crops import large_enough, native_tiles, overview, ranked_places
from zcurate.curation.profile.quality.distortions import blur, jpeg, noise
from zcurate.curation.profile.quality.inference import fold
from zcurate.curation.profile.quality.inputs import mark_cells, tile_input
from zcurate.curation.profile.quality.model import WEIGHTS, load_quality
from zcurate.curation.profile.quality.network import MarkNetwork, TileNetwork
from zcurate.curation.profile.quality.whole_numbers import WholeNumbers, can_be_whole
from zcurate.curation.profile.shrink import shrink


def bundled(network: type[nn.Module], part: str) -> nn.Module:
    found = network()
    prefix = part + "."
    found.load_state_dict(
        {k.removeprefix(prefix): v for k, v in load_file(WEIGHTS).items() if k.startswith(prefix)}
    )
    return found.eval()


def pictures() -> list[np.ndarray]:
    """Sharp, soft, noisy, compressed, flat, and nothing but noise."""
    rng = np.random.default_rng(0)
    sharp = [np.ascontiguousarray(x[:300, :400]) for x in (data.coffee(), data.astronaut(), data.rocket())]
    worse = [y for x in sharp for y in (blur(x, 3.0, rng), noise(x, 30.0, rng), jpeg(x, 15, "420"))]
    flat = np.full((300, 400, 3), 90, np.uint8)
    return [*sharp, *worse, flat, rng.integers(0, 256, (300, 400, 3), np.uint8)]


def tiles_of(rgb: np.ndarray) -> np.ndarray:
    rgb = large_enough(rgb)
    return tile_input(native_tiles(rgb, ranked_places(rgb)))


INPUTS = {
    TileNetwork: ("tiles", lambda: np.stack([tiles_of(x) for x in pictures()])),
    MarkNetwork: ("marks", lambda: np.stack([mark_cells(overview(shrink(x, 336))) for x in pictures()])),
}


@pytest.mark.parametrize("network", INPUTS)
def test_scores_are_those_of_the_trained_network_within_a_few_hundredths(network):
    part, inputs = INPUTS[network]
    trained = bundled(network, part)
    given = torch.from_numpy(inputs())
    with torch.inference_mode():
        expected = torch.sigmoid(trained(given))
        got = torch.sigmoid(fold(copy.deepcopy(trained))(given))
    assert any(isinstance(m, Chain) for m in trained.modules())
    assert (got - expected).abs().max() < 0.06
    assert (got - expected).pow(2).mean().sqrt() < 0.015


@pytest.mark.parametrize("network", INPUTS)
def test_every_chain_of_the_bundled_weights_becomes_whole_numbers(network):
    trained = bundled(network, INPUTS[network][0])
    chains = sum(isinstance(m, Chain) for m in trained.modules())
    folded = list(fold(trained).modules())
    assert sum(isinstance(m, WholeNumbers) for m in folded) == chains > 0
    assert not any(isinstance(m, Chain) for m in folded)


@pytest.mark.parametrize("network", INPUTS)
def test_a_processor_without_such_instructions_gives_the_same(network, monkeypatch):
    if not whole_numbers.has_whole_numbers():
        pytest.skip("neither has this one")
    part, inputs = INPUTS[network]
    folded, given = fold(bundled(network, part)), torch.from_numpy(inputs())
    with torch.inference_mode():
        helped = folded(given)
        monkeypatch.setattr(whole_numbers, "has_whole_numbers", lambda: False)
        alone = folded(given)
    # sums are exact; a value in the middle of two steps may be rounded either way
    torch.testing.assert_close(alone, helped, atol=0.02, rtol=0)


def test_scores_do_not_depend_on_that(monkeypatch):
    rgb = np.ascontiguousarray(data.coffee())
    helped = load_quality().scores(rgb, shrink(rgb, 336))
    monkeypatch.setattr(whole_numbers, "has_whole_numbers", lambda: False)
    assert load_quality().scores(rgb, shrink(rgb, 336)) == pytest.approx(helped, abs=2e-3)


def test_operators_that_add_up_in_sixteen_bits_are_found_out(monkeypatch):
    """As on processors without VNNI, where sums of two large products are cut off."""
    fused = whole_numbers._Layer._fused

    def cut_off(self, x):
        most = 32767 / (255 * 2)
        blunt = copy.copy(self)
        blunt.weight = self.weight.clamp(-most, most)
        blunt.ready = {}
        return fused(blunt, x)

    whole_numbers.has_whole_numbers.cache_clear()
    monkeypatch.setattr(whole_numbers._Layer, "_fused", cut_off)
    try:
        assert not whole_numbers.has_whole_numbers()
    finally:
        whole_numbers.has_whole_numbers.cache_clear()


def test_sums_that_floating_point_would_round_are_refused():
    chain = Chain(Block(64, 4), nn.Conv2d(4, 1, 1), given=Bounds(64, signed=False)).eval()
    measure_bounds(chain, [torch.ones(1, 64, 4, 4)])
    with pytest.raises(ValueError, match="576 products"):
        WholeNumbers(chain)


def random_chain(rng: np.random.Generator, levels: bool) -> Chain:
    torch.manual_seed(int(rng.integers(1 << 30)))
    first, middle, last = (int(c) for c in rng.integers(1, 20, 3))
    blocks = [Block(first, middle, int(rng.integers(1, 3))), Block(middle, last, size=1)]
    for block in blocks:
        nn.init.uniform_(block[1].weight, 0.5, 2)
        nn.init.uniform_(block[1].bias, -1, 1)
    blocks.append(nn.Conv2d(last, 3, 1))
    given = Levels(torch.rand(first) / 64 + 0.001) if levels else Bounds(first, signed=bool(rng.integers(2)))
    return Chain(*blocks, given=given)


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 1 << 32), st.booleans(), st.integers(1, 3), st.integers(3, 12), st.integers(3, 12))
def test_any_chain_is_near_itself_in_whole_numbers(seed, levels, count, height, width):
    rng = np.random.default_rng(seed)
    chain = random_chain(rng, levels)
    if levels:
        channels = len(chain.fed[0].step)
        given = torch.from_numpy(rng.integers(0, 256, (count, height, width, channels), np.uint8))
    else:
        channels = len(chain.fed[0].most)
        given = torch.from_numpy(rng.normal(size=(count, channels, height, width)).astype(np.float32))
        given = given if chain.fed[0].signed else given.abs()
    chain.eval()
    assert not can_be_whole(chain)  # nothing is known of it yet
    measure_bounds(chain, [given])
    if not can_be_whole(chain):
        return  # a channel between two blocks that is never above zero
    with torch.inference_mode():
        expected, got = chain(given), WholeNumbers(chain)(given)
    assert got.shape == expected.shape
    spread = expected.std() + 1e-3
    assert (got - expected).pow(2).mean().sqrt() < 0.1 * spread


def test_bounds_are_the_largest_values_that_passed_and_change_nothing():
    chain = Chain(Block(2, 3), nn.Conv2d(3, 1, 1), given=Bounds(2, signed=True)).eval()
    x = torch.randn(4, 2, 5, 5)
    with torch.inference_mode():
        before = chain(x)
        measure_bounds(chain, [x[:1], x[1:] * 3])
        assert torch.equal(chain(x), before)
        assert torch.equal(chain.fed[0].most, torch.cat([x[:1], 3 * x[1:]]).abs().amax(dim=(0, 2, 3)))
        chain(x * 100)  # not measured any more
    assert chain.fed[0].most.max() < 100
