"""The quality networks as they run give what they were trained to give."""

from __future__ import annotations

import copy
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file, save_file
from skimage import data

from zcurate.curation.errors import ConfigError
from zcurate.curation.profile.engine import Engine
from zcurate.curation.profile.quality.blur_network import BlurNetwork
from zcurate.curation.profile.quality.blur_traces import EDGE_WINDOWS, SPECTRA
from zcurate.curation.profile.quality.edge_kernels import DIRECTIONS
from zcurate.curation.profile.quality.edges import EDGE_VALUES
from zcurate.curation.profile.quality.exposure_network import ExposureNetwork
from zcurate.curation.profile.quality.glimpses import GLIMPSE_PX
from zcurate.curation.profile.quality.histograms import LIGHT_BINS
from zcurate.curation.profile.quality.inference import (
    blur_engine,
    exposure_engine,
    mark_engine,
    tile_engine,
)
from zcurate.curation.profile.quality.model import WEIGHTS, load_quality
from zcurate.curation.profile.quality.network import MarkNetwork, TileNetwork
from zcurate.curation.profile.quality.parameters import Parameters
from zcurate.curation.profile.quality.spectra import SPECTRUM_VALUES
from zcurate.curation.profile.quality.weight_shapes import expected_shapes
from zcurate.curation.profile.shrink import shrink


def cells(n: int, side: int = 80) -> torch.Tensor:
    return torch.randint(0, 256, (n, side, side, 24), dtype=torch.uint8)


def blur_inputs(n: int) -> tuple[torch.Tensor, ...]:
    shares = torch.rand(n, EDGE_WINDOWS, EDGE_VALUES, DIRECTIONS)
    return shares, torch.randn(n, SPECTRA, SPECTRUM_VALUES, DIRECTIONS), torch.rand(n), torch.rand(n, 64)


GIVEN = {
    TileNetwork: lambda n: (torch.randint(0, 256, (n, 7, 32, 32, 16), dtype=torch.uint8),),
    MarkNetwork: lambda n: (cells(n),),
    BlurNetwork: blur_inputs,
    ExposureNetwork: lambda n: (torch.rand(n, LIGHT_BINS),),
}
PARTS = {"tiles": TileNetwork, "marks": MarkNetwork, "blur": BlurNetwork, "exposure": ExposureNetwork}
ENGINES = {
    TileNetwork: tile_engine,
    MarkNetwork: mark_engine,
    BlurNetwork: blur_engine,
    ExposureNetwork: exposure_engine,
}


def trained(network: type[torch.nn.Module]) -> torch.nn.Module:
    """Of random weights, with statistics of batch normalization that are not those it starts with.

    How large values get is not measured, so that what runs is left in floating point.
    """
    torch.manual_seed(0)
    found = network()
    for _ in range(3):
        found(*GIVEN[network](4))
    return found.eval()


def parameters(network: torch.nn.Module) -> Parameters:
    return Parameters({name: values.numpy() for name, values in network.state_dict().items()})


def run(engine: Engine, network: type[torch.nn.Module], given: tuple[torch.Tensor, ...]) -> np.ndarray:
    """What the trained network would be expected to give."""
    arrays = [x.numpy() for x in given]
    if network is BlurNetwork:
        arrays[2] = arrays[2][:, None]
    out = engine(*arrays)
    return out[1] if network is TileNetwork else out[0]


@pytest.mark.parametrize("network", GIVEN)
def test_what_runs_changes_no_score(network):
    slow = trained(network)
    fast = ENGINES[network](parameters(slow))
    for count in (1, 3, 9, 1):  # of any number of pictures, in any order
        given = GIVEN[network](count)
        with torch.inference_mode():
            expected = slow(*given).numpy()
        np.testing.assert_allclose(run(fast, network, given), expected, atol=1e-3, rtol=1e-3)


def test_nor_one_of_a_closer_look_or_of_the_map():
    slow = trained(MarkNetwork)
    fast = mark_engine(parameters(slow))
    for side in (GLIMPSE_PX // 4, 80):
        looks = cells(3, side)
        with torch.inference_mode():
            expected = slow.score_and_map(looks)
        for got, of_slow in zip(fast(looks.numpy()), expected, strict=True):
            np.testing.assert_allclose(got, of_slow.numpy(), atol=1e-3, rtol=1e-3)


def test_what_the_tile_network_has_seen_is_given_on():
    slow = trained(TileNetwork)
    (tiles,) = GIVEN[TileNetwork](2)
    with torch.inference_mode():
        expected = slow.seen(tiles).numpy()
    np.testing.assert_allclose(
        tile_engine(parameters(slow))(tiles.numpy())[0], expected, atol=1e-3, rtol=1e-3
    )


def test_a_model_that_was_used_can_be_copied():
    rgb = np.ascontiguousarray(data.coffee())
    model = load_quality()
    before = model.scores(rgb, shrink(rgb, 336))
    copied = copy.deepcopy(model)
    assert copied.identity == model.identity
    assert copied.scores(rgb, shrink(rgb, 336)) == pytest.approx(before, abs=1e-4)


def _without(name):
    return lambda state: {k: v for k, v in state.items() if k != name}


def _with(name, change):
    return lambda state: state | {name: np.array(change(state[name]), order="C")}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (_without("marks.mask.bias"), "no marks.mask.bias"),
        (_without("marks.shapes.1.depth.weight"), "no marks.shapes.1.depth.weight"),
        (_without("tiles.blocks.fed.2.most"), "no tiles.blocks.fed.2.most"),
        (lambda state: state | {"blur.more": np.zeros(3, np.float32)}, "blur.more belongs to something else"),
        (_with("marks.sure", lambda w: w * np.nan), "marks.sure is no number"),
        (_with("blur.out.weight", lambda w: w * np.nan), "blur.out.weight holds values that are not finite"),
        (_with("tiles.blocks.1.1.running_var", lambda w: -w), "tiles.blocks.1.1.running_var .* below 0"),
        (
            _with("exposure.2.weight", lambda w: w[:, :5]),
            r"exposure.2.weight has shape \(32, 5\), not \(32, 64\)",
        ),
        (_with("cast.value", lambda w: w[:1]), r"cast.value has shape \(1, 95\), not"),
        (_with("cast.value", lambda w: w * np.inf), "cast.value holds values that are not finite"),
        (_with("cast.children", lambda w: 0 * w), "the trees of cast lead nowhere"),  # round and round
        (_with("cast.children", lambda w: w + np.uint8(200)), "the trees of cast lead nowhere"),
        (_with("cast.feature", lambda w: w + np.int16(1000)), "the trees of cast lead nowhere"),
        (_with("cast.feature", lambda w: w - np.int16(2)), "the trees of cast lead nowhere"),
        (_with("blur.whole.first.weight", lambda w: w.ravel()), "blur.whole.first.weight has shape"),
        (lambda state: {"weight": np.zeros(3, np.float32)}, "no blur"),
    ],
)
def test_weights_of_something_else_are_refused_by_name(tmp_path, change, said):
    path = tmp_path / "other.safetensors"
    save_file(change(load_file(WEIGHTS)), path)
    with pytest.raises(ConfigError, match=f"other.safetensors holds no weights of the quality model.*{said}"):
        load_quality(path)


def test_the_shapes_of_weights_are_those_of_the_networks():
    found = {}
    for part, network in PARTS.items():
        found |= {f"{part}.{name}": tuple(values.shape) for name, values in network().state_dict().items()}
    assert found == {k: v for k, v in expected_shapes().items() if not k.startswith("cast.")}


def test_threads_do_not_get_each_others_scores():
    engine = exposure_engine(parameters(trained(ExposureNetwork)))
    given = np.random.default_rng(0).random((400, 3, LIGHT_BINS)).astype(np.float32)
    expected = [engine(one)[0] for one in given]
    with ThreadPoolExecutor(4) as pool:
        got = list(pool.map(lambda one: engine(one)[0], given))
    np.testing.assert_array_equal(got, expected)


def test_scoring_pictures_takes_no_pytorch_and_reports_to_nobody(tmp_path):
    """The first would take two seconds and half a gigabyte of every worker."""
    script = (
        "import sys, numpy as np\n"
        "from zcurate.curation.profile.forensic import load_forensic\n"
        "from zcurate.curation.profile.quality.model import load_quality\n"
        "rgb = np.random.default_rng(0).integers(0, 256, (400, 300, 3), np.uint8)\n"
        "load_quality().scores(rgb, rgb), load_forensic().probability(rgb)\n"
        "unwanted = {'torch', 'openvino_telemetry', 'openvino.tools.ovc'} & set(sys.modules)\n"
        "sys.exit(', '.join(unwanted) or 0)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        env=os.environ | {"HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert not list(tmp_path.rglob("*ga_cid")), "OpenVINO told its makers"
