"""Convolutions in whole numbers: exact, the same with and without a processor's help, and near what was trained."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file
from skimage import data
from torch import nn

from zcurate.curation.profile import engine
from zcurate.curation.profile.engine import SIGNED, UNSIGNED, Engine
from zcurate.curation.profile.openvino_runtime import op, ov
from zcurate.curation.profile.quality.chains import Block, Bounds, Chain, Levels, measure_bounds
from zcurate.curation.profile.quality.crops import large_enough, native_tiles, overview, ranked_places
from zcurate.curation.profile.quality.distortions import blur, jpeg, noise
from zcurate.curation.profile.quality.inference import mark_engine, tile_engine
from zcurate.curation.profile.quality.inputs import mark_cells, tile_input
from zcurate.curation.profile.quality.model import WEIGHTS, load_quality
from zcurate.curation.profile.quality.network import MarkNetwork, TileNetwork
from zcurate.curation.profile.quality.parameters import Parameters
from zcurate.curation.profile.quality.whole_numbers import chain as run_chain
from zcurate.curation.profile.quality.whole_numbers import levels as read_levels
from zcurate.curation.profile.quality.whole_numbers import whole
from zcurate.curation.profile.shrink import shrink


def bundled(network: type[nn.Module], part: str) -> nn.Module:
    found = network()
    prefix = part + "."
    found.load_state_dict(
        {
            k.removeprefix(prefix): torch.from_numpy(v)
            for k, v in load_file(WEIGHTS).items()
            if k.startswith(prefix)
        }
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
ENGINES = {TileNetwork: tile_engine, MarkNetwork: mark_engine}


def engine_of(network: type[nn.Module]) -> Engine:
    return ENGINES[network](Parameters(load_file(WEIGHTS)).below(INPUTS[network][0]))


def logits(engine: Engine, network: type[nn.Module]) -> torch.Tensor:
    out = engine(INPUTS[network][1]())
    return torch.from_numpy(out[1] if network is TileNetwork else out[0])


@pytest.mark.parametrize("network", INPUTS)
def test_scores_are_those_of_the_trained_network_within_a_few_hundredths(network):
    part, inputs = INPUTS[network]
    trained = bundled(network, part)
    with torch.inference_mode():
        expected = torch.sigmoid(trained(torch.from_numpy(inputs())))
    got = torch.sigmoid(logits(engine_of(network), network))
    assert (got - expected).abs().max() < 0.06
    assert (got - expected).pow(2).mean().sqrt() < 0.015


@pytest.mark.parametrize("network", INPUTS)
def test_every_chain_of_the_bundled_weights_becomes_whole_numbers(network):
    chains = [m for m in bundled(network, INPUTS[network][0]).modules() if isinstance(m, Chain)]
    constants = (node for node in engine_of(network)._model.get_ops() if node.get_type_name() == "Constant")
    kernels = [node for node in constants if node.get_element_type() == ov.Type.i8]
    assert len(kernels) == sum(len(chain.steps()) for chain in chains) > 0


@pytest.mark.parametrize(("network", "side"), [(TileNetwork, (7, 32, 32, 16)), (MarkNetwork, (80, 80, 24))])
def test_a_processor_with_instructions_for_them_uses_them(network, side):
    if not engine.adds_up_whole_numbers():
        pytest.skip("this one has none")
    model = engine_of(network)._model.clone()
    model.reshape([2, *side])
    chains = [m for m in bundled(network, INPUTS[network][0]).modules() if isinstance(m, Chain)]
    run = [node.get_rt_info() for node in engine.compiled(model, True).get_runtime_model().get_ops()]
    fast = [about for about in run if str(about["layerType"].astype(str)) == "Convolution"]
    fast = [about for about in fast if about["runtimePrecision"].astype(str) in ("i8", "u8")]
    assert len(fast) == sum(len(chain.steps()) for chain in chains)


@pytest.mark.parametrize("network", INPUTS)
def test_a_processor_without_such_instructions_gives_the_same(network, monkeypatch):
    if not engine.adds_up_whole_numbers():
        pytest.skip("neither has this one")
    helped = logits(engine_of(network), network)
    monkeypatch.setattr(engine, "adds_up_whole_numbers", lambda: False)
    alone = logits(engine_of(network), network)
    # sums are exact; a value in the middle of two steps may be rounded either way
    torch.testing.assert_close(alone, helped, atol=0.02, rtol=0)


def test_scores_do_not_depend_on_that(monkeypatch):
    rgb = np.ascontiguousarray(data.coffee())
    helped = load_quality().scores(rgb, shrink(rgb, 336))
    monkeypatch.setattr(engine, "adds_up_whole_numbers", lambda: False)
    assert load_quality().scores(rgb, shrink(rgb, 336)) == pytest.approx(helped, abs=2e-3)


@pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="speaks of Intel's and AMD's")
def test_an_older_processor_is_found_out_and_gives_the_same_scores():
    """oneDNN, which OpenVINO computes with, can be told to take no instructions newer than AVX2, where sums are cut off."""
    script = (
        "import json, numpy as np\n"
        "from skimage import data\n"
        "from zcurate.curation.profile import engine\n"
        "from zcurate.curation.profile.quality.model import load_quality\n"
        "from zcurate.curation.profile.shrink import shrink\n"
        "rgb = np.ascontiguousarray(data.coffee())\n"
        "print(json.dumps([engine.adds_up_whole_numbers(), load_quality().scores(rgb, shrink(rgb, 336))]))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        env=os.environ | {"ONEDNN_MAX_CPU_ISA": "AVX2"},
        capture_output=True,
        text=True,
        timeout=120,
    )
    whole_numbers, scores = json.loads(done.stdout)
    assert not whole_numbers
    rgb = np.ascontiguousarray(data.coffee())
    assert scores == pytest.approx(load_quality().scores(rgb, shrink(rgb, 336)), abs=2e-3)


def test_operators_that_add_up_in_sixteen_bits_are_found_out(monkeypatch):
    """As on processors without VNNI, where sums of two large products are cut off."""
    compiled = engine.compiled

    def cut_off(model, whole_numbers):
        def run(values):
            blunt = [np.minimum(values[0], 32767 / (2 * 127))] if whole_numbers else values
            return compiled(model, whole_numbers)(blunt)

        return run

    engine.adds_up_whole_numbers.cache_clear()
    monkeypatch.setattr(engine, "compiled", cut_off)
    try:
        assert not engine.adds_up_whole_numbers()
    finally:
        engine.adds_up_whole_numbers.cache_clear()


@pytest.mark.parametrize(("levels", "most"), [(UNSIGNED, 518), (SIGNED, 1032)])
def test_sums_that_floating_point_would_round_are_refused(levels, most):
    whole(np.ones((2, most, 1, 1), np.float32), levels)
    assert (most + 1) * max(map(abs, levels)) * 127 >= 1 << 24
    with pytest.raises(ValueError, match=f"{most + 1} products"):
        whole(np.ones((2, most + 1, 1, 1), np.float32), levels)


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
    with torch.inference_mode():
        expected = chain(given).numpy()
    # nothing is known of it yet
    np.testing.assert_allclose(as_it_runs(chain, levels)(given.numpy())[0], expected, atol=1e-3, rtol=1e-3)
    measure_bounds(chain, [given])
    if any(isinstance(fed, Bounds) and not fed.most.any() for fed in chain.fed):
        return  # a channel between two blocks that is never above zero
    (got,) = as_it_runs(chain, levels)(given.numpy())
    assert got.shape == expected.shape
    spread = expected.std() + 1e-3
    assert np.sqrt(np.square(got - expected).mean()) < 0.1 * spread


def as_it_runs(chain: Chain, levels: bool) -> Engine:
    weights = Parameters({name: x.numpy() for name, x in chain.state_dict().items()})
    first, channels = chain[0][0], chain[0][0].in_channels
    how = {"strides": (first.stride[0], 1, 1), "last": weights.below(2)}
    blocks = [weights.below(0), weights.below(1)]
    if levels:
        step = chain.fed[0].step.numpy()
        given = op.parameter([-1, -1, -1, channels], np.uint8)
        x = run_chain(read_levels(given), blocks, weights.below("fed"), True, step=step, **how)
    else:
        given = op.parameter([-1, channels, -1, -1], np.float32)
        x = run_chain(given, blocks, weights.below("fed"), chain.fed[0].signed, **how)
    return Engine([x], [given])


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
