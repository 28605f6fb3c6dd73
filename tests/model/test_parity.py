"""The same numbers as diffusers' ZImageTransformer2DModel on the same random weights."""

import pytest
import torch

from zcurate.model.packed import Sample
from zcurate.model.state_layouts import to_official

from .peer import OMNI, TINY, Batch, ours_of, peer_of, worst

pytest.importorskip("diffusers")


@pytest.fixture(scope="module")
def pair():
    peer = peer_of(TINY)
    return ours_of(peer, TINY), peer


@pytest.fixture(scope="module")
def omni_pair():
    peer = peer_of(OMNI)
    return ours_of(peer, OMNI), peer


@torch.no_grad()
@pytest.mark.parametrize("length", [1, 31, 32, 33, 64, 70])
def test_caption_lengths(pair, length):
    batch = Batch.random([Sample((8, 12), (length,))], TINY, [0.3])
    assert worst(batch.run(pair[0]), batch.run_peer(pair[1])) < 1e-5


@torch.no_grad()
@pytest.mark.parametrize("size", [(2, 2), (16, 16), (8, 20), (30, 4), (34, 38)])
def test_image_sizes(pair, size):
    batch = Batch.random([Sample(size, (17,))], TINY, [0.8])
    assert worst(batch.run(pair[0]), batch.run_peer(pair[1])) < 1e-5


@torch.no_grad()
@pytest.mark.parametrize("sizes", [[(8, 12), (16, 16), (4, 30)], [(8, 16)] * 3])
def test_unequal_batches_and_times(pair, sizes):
    samples = [Sample(size, (n,)) for size, n in zip(sizes, (5, 33, 64), strict=True)]
    batch = Batch.random(samples, TINY, [0.0, 0.7, 1.0])
    assert worst(batch.run(pair[0]), batch.run_peer(pair[1])) < 1e-5


ONE = Sample((8, 12), (5, 40, 3), ((8, 8),), ((3, 4),), omni=True)
TWO = Sample((16, 16), (5, 1, 33, 3), ((4, 4), (6, 10)), ((5, 7), (1, 3)), omni=True)


@torch.no_grad()
@pytest.mark.parametrize(
    "samples",
    [
        [ONE],
        [TWO],
        [ONE, TWO],
        [Sample((8, 12), (40,), omni=True)],
        [Sample(s.size, s.text, s.references, None, True) for s in (TWO, ONE)],
    ],
    ids=["one reference", "two references", "unequal batch", "no reference", "no SigLIP"],
)
def test_omni(omni_pair, samples):
    batch = Batch.random(samples, OMNI, [0.4, 0.9][: len(samples)])
    assert worst(batch.run(omni_pair[0]), batch.run_peer(omni_pair[1])) < 1e-5


@pytest.mark.parametrize("samples", [[ONE, TWO], [Sample((8, 12), (5,)), Sample((16, 16), (33,))]])
def test_gradients(samples):
    config = OMNI if samples[0].omni else TINY
    peer = peer_of(config)
    ours = ours_of(peer, config)
    batch = Batch.random(samples, config, [0.4, 0.9])
    for outputs in (batch.run(ours), batch.run_peer(peer)):
        sum((x - 1).square().mean() for x in outputs).backward()
    mine = to_official({name: p.grad for name, p in ours.named_parameters()}, config)
    theirs = {name: p.grad for name, p in peer.named_parameters()}
    assert mine.keys() == theirs.keys()
    assert all(worst([mine[k]], [theirs[k]]) < 1e-4 for k in mine)


@torch.no_grad()
def test_wide_model_takes_the_blocked_cpu_path_to_the_same_numbers():
    """Sizes at which products and attention leave the fallbacks, in unequal chunks."""
    from dataclasses import replace

    config = replace(
        TINY, dim=384, n_heads=3, n_layers=1, n_refiner_layers=1, cap_feat_dim=64, axes_dims=(32, 48, 48)
    )
    peer = peer_of(config, std=0.05)
    samples = [Sample((32, 64), (40,)), Sample((64, 64), (300,)), Sample((48, 40), (7,))]
    batch = Batch.random(samples, config, [0.2, 0.5, 0.9])
    assert worst(batch.run(ours_of(peer, config)), batch.run_peer(peer)) < 1e-5


@torch.no_grad()
@pytest.mark.parametrize("dtype", [torch.bfloat16])
def test_half_precision_is_as_close_to_float32_as_the_peer(pair, dtype):
    batch = Batch.random([Sample((16, 16), (20,))], TINY, [0.3])
    exact = batch.run(pair[0])
    half = [x.to(dtype) for x in batch.targets]
    low = Batch(batch.samples, half, [[x.to(dtype) for x in batch.text[0]]], [[]], [None], batch.t)
    peer = peer_of(TINY).to(dtype)
    theirs = worst([x.float() for x in low.run_peer(peer)], exact)
    ours = worst([x.float() for x in low.run(ours_of(peer, TINY).to(dtype))], exact)
    assert ours < 1.5 * theirs
