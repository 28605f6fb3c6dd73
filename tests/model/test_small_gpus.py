"""Quantized weights and offloading: the same pictures (nearly, exactly), with less held at a time."""

import importlib.util
import warnings
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from zcurate.model.config import S3DiTConfig
from zcurate.model.errors import GenerationError, ModelWarning
from zcurate.model.generate import Generator, Runtime
from zcurate.model.pipeline_folder import load_pipeline
from zcurate.model.quantize import BITS, PackedLinear, chosen, quantize
from zcurate.model.request import Request, Settings
from zcurate.model.residency import resident, streamed_parts, tensors_of
from zcurate.model.vae import AutoencoderKL, VaeConfig

from . import lively, peer_pipeline
from .lively import draw
from .peer import Batch, random_model, worst

WIDE = S3DiTConfig(
    dim=128, n_layers=2, n_heads=2, in_channels=4, cap_feat_dim=64, axes_dims=(16, 24, 24), omni_quirks=False
)
REQUEST = Request("a red circle", (32, 24), 3, Settings(steps=3))


def noise(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


# Quantized weights


@pytest.mark.parametrize(("bits", "steps"), [(8, 254), (4, 15)])
def test_weights_come_back_within_half_a_step(bits, steps):
    linear = nn.Linear(256, 96)
    packed = PackedLinear(linear, bits)
    weight = linear.weight.detach()
    groups = weight.unflatten(1, (-1, 64)) if bits == 4 else weight[:, None]
    spread = groups.amax(-1) - groups.amin(-1) if bits == 4 else 2 * groups.abs().amax(-1)
    step = (spread / steps).repeat_interleave(groups.shape[-1], 1)
    assert ((packed.weight_in(torch.float32) - weight).abs() <= step / 2 * 1.01 + 1e-6).all()
    x = noise(5, 256)
    error = (packed(x) - linear(x)).norm() / linear(x).norm()
    assert float(error.detach()) < (0.01 if bits == 8 else 0.12)
    assert packed.packed.nbytes == linear.weight.numel() * bits // 8


def test_extreme_weights_survive():
    linear = nn.Linear(64, 3)
    with torch.no_grad():
        linear.weight[0] = 0.0
        linear.weight[1] = 7.5
        linear.weight[2] = -1e-20
    for bits in (8, 4):
        back = PackedLinear(linear, bits).weight_in(torch.float32)
        assert torch.allclose(back, linear.weight, atol=1e-6), bits


def batch():
    from zcurate.model.packed import Sample

    return Batch.random([Sample((8, 12), (5,)), Sample((16, 8), (40,))], WIDE, [0.3])


@torch.no_grad()
@pytest.mark.parametrize(("kind", "limit"), [("int8", 0.03), ("int4", 0.3)])
def test_a_quantized_model_is_near_its_own(kind, limit):
    model = random_model(WIDE, std=0.05)
    want = batch().run(model)
    before = sum(t.nbytes for t in tensors_of(model))
    names = {name for name, _ in chosen(model)}
    assert names
    assert not any("modulation" in name or "embed" in name or "head" in name for name in names)
    assert quantize(model, kind, fast=False) == "plain"
    assert all(isinstance(model.get_submodule(name), PackedLinear) for name in names)
    got = batch().run(model)
    # In the mean, relative to the velocity's own size.
    error = torch.cat([(a - b).flatten() for a, b in zip(got, want, strict=True)]).norm()
    assert 0 < float(error / torch.cat([w.flatten() for w in want]).norm()) < limit
    packed = sum(
        model.get_submodule(name).in_features * model.get_submodule(name).out_features for name in names
    )
    saved = packed * (4 - BITS[kind] / 8)  # of float32, but for the scales
    assert before - sum(t.nbytes for t in tensors_of(model)) == pytest.approx(saved, rel=0.04)


@pytest.mark.skipif(importlib.util.find_spec("torchao") is None, reason="torchao is not installed")
@torch.no_grad()
@pytest.mark.parametrize("kind", ["int8", "int4"])
def test_torchao_is_used_where_it_runs_and_named_where_not(kind):
    model = random_model(WIDE, std=0.05)
    want = batch().run(model)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        form = quantize(model, kind, "cpu", fast=True)
    own = [w for w in caught if issubclass(w.category, ModelWarning)]
    assert form in ("torchao", "plain")
    assert (form == "plain") == bool(own)  # falling back is never silent
    if kind == "int4":
        assert form == "plain"
        assert "CUDA" in str(own[0].message)
    assert worst(batch().run(model), want) < (0.1 if kind == "int8" else 0.6)


def test_what_cannot_be_quantized_is_said():
    with pytest.raises(GenerationError, match="there are int8, int4"):
        quantize(random_model(WIDE), "int2")
    with pytest.raises(GenerationError, match="too small"):
        quantize(random_model(replace(WIDE, dim=60, axes_dims=(10, 10, 10))), "int8")


def test_a_whole_pipeline_with_real_encoders_quantizes_its_text_encoder(tmp_path):
    """The tiny transformer is too narrow; the text encoder alone is packed."""
    peer_pipeline.save_peer(tmp_path)
    encoder = load_pipeline(tmp_path).text_encoder
    (want,) = encoder.encoder.encode("a red kite")
    assert quantize(encoder.module, "int8", fast=False) == "plain"
    (got,) = encoder.encoder.encode("a red kite")
    assert 0 < float((got - want).norm() / want.norm()) < 0.05


# Offloading


@pytest.mark.parametrize("offload", ["model", "sequential"])
def test_offloading_changes_no_pixel(offload):
    want = draw(lively.generator(semantic=True), REQUEST)[0]
    offloaded = lively.generator(semantic=True, offload=offload)
    assert np.array_equal(draw(offloaded, REQUEST)[0], want)
    assert np.array_equal(draw(offloaded, REQUEST)[0], want)  # again, with the hooks in place


def test_offloading_a_pipeline_with_real_encoders_changes_no_pixel(tmp_path):
    peer_pipeline.save_peer(tmp_path)
    request = Request("a kite", (256, 256), 1, Settings(2))
    want = draw(Generator.load(tmp_path, Runtime("cpu")), request)[0]
    for offload in ("model", "sequential"):
        made = Generator.load(tmp_path, Runtime("cpu", offload=offload))
        assert np.array_equal(draw(made, request)[0], want)
        assert made.pipeline.text_encoder.misses == 1
        draw(made, request)
        assert (made.pipeline.text_encoder.misses, made.pipeline.text_encoder.hits) == (1, 1)


@torch.no_grad()
def test_one_part_at_a_time_is_brought():
    """No GPU is needed to count: each attention and feed-forward comes for its own call, and goes after it."""
    model = random_model(WIDE)
    parts = streamed_parts(model)
    assert len(parts) == 2 * (WIDE.n_layers + 2 * WIDE.n_refiner_layers)
    home = [t.data_ptr() for t in tensors_of(model)]
    want = batch().run(model)
    streams, held = {}, []
    with resident(model, "cpu", "sequential", streams):
        stream = streams[id(model)]
        for part in parts:
            part.register_forward_pre_hook(lambda *_: held.append(len(stream._home)))
        got = batch().run(model)
    assert held == [1] * len(parts)
    assert stream.loads == len(parts)
    assert all(torch.equal(a, b) for a, b in zip(got, want, strict=True))
    assert [t.data_ptr() for t in tensors_of(model)] == home  # taken up again, not copied back


def test_weights_come_home_after_a_fault():
    model = random_model(WIDE)
    home = [t.data_ptr() for t in tensors_of(model)]
    streams = {}

    def fail(*_):
        raise RuntimeError("in the middle")

    handle = model.layers[1].attention.out.register_forward_hook(fail)
    with (
        pytest.raises(RuntimeError, match="in the middle"),
        torch.no_grad(),
        resident(model, "cpu", "sequential", streams),
    ):
        batch().run(model)
    handle.remove()
    assert [t.data_ptr() for t in tensors_of(model)] == home


def test_tiles_are_the_option_that_reaches_the_decoder():
    pipeline = lively.pipeline()
    pipeline.vae = AutoencoderKL(VaeConfig((8, 8), 1, 3, 4))
    assert Generator(pipeline, Runtime("cpu", vae_tile_px=64)).pipeline.vae.tile_px == 64
