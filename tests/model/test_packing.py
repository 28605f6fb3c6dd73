"""Patches, positions, pads and packing."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from zcurate.model.config import PRESETS
from zcurate.model.errors import SizeError
from zcurate.model.packed import Sample
from zcurate.model.packing import check_size, pack_siglip, patchify, plan, unpatchify

CONFIG = PRESETS["tiny"]
even = st.integers(1, 9).map(lambda n: 2 * n)
sizes = st.lists(st.tuples(even, even), min_size=1, max_size=4)
t2i = st.builds(lambda size, n: Sample(size, (n,)), st.tuples(even, even), st.integers(1, 70))


@st.composite
def omni(draw):
    references = tuple(draw(st.lists(st.tuples(even, even), max_size=3)))
    text = tuple(
        draw(st.lists(st.integers(1, 40), min_size=len(references) + 1, max_size=len(references) + 2))
    )
    grid = st.one_of(st.none(), st.tuples(st.integers(1, 6), st.integers(1, 6)))
    siglip = draw(st.one_of(st.none(), st.tuples(*[grid] * len(references))))
    return Sample(draw(st.tuples(even, even)), text, references, siglip, True)


@given(sizes, st.integers(1, 5))
def test_unpatchify_inverts_patchify(sizes, channels):
    latents = [torch.randn(channels, *size) for size in sizes]
    tokens = patchify(latents)
    assert tokens.shape == (sum(h * w // 4 for h, w in sizes), 4 * channels)
    assert all(torch.equal(a, b) for a, b in zip(latents, unpatchify(tokens, sizes), strict=True))


def test_channels_run_fastest_in_a_patch():
    x = torch.arange(3 * 4 * 4).reshape(3, 4, 4)
    assert patchify([x])[1].tolist() == [x[c, i, j] for i in (0, 1) for j in (2, 3) for c in range(3)]


@given(st.lists(st.one_of(t2i, omni()), min_size=1, max_size=4))
def test_layout_accounts_for_every_token_once(samples):
    layout = plan(samples, CONFIG)
    streams = [s for s in (layout.image, layout.text, layout.siglip) if s is not None]
    joint = layout.joint
    assert all(n % 32 == 0 for s in streams for n in s.lengths)
    assert [sum(n) for n in zip(*(s.lengths for s in streams), strict=True)] == list(joint.lengths)
    assert len(joint.rotation.cos) == sum(joint.lengths) == int(joint.cu_seqlens[-1]) == len(joint.sample)
    index = layout.joint_index
    assert index is None or sorted(index.tolist()) == list(range(len(joint.rotation.cos)))
    # A token carries its own rotation into the joint sequence.
    cos = torch.cat([s.rotation.cos for s in streams])
    assert torch.equal(cos if index is None else cos[index], joint.rotation.cos)
    # The target rows are those of the noisy tokens, in order, and never conditioned as clean.
    image = layout.image_index
    image = torch.arange(len(layout.image.rotation.cos)) if image is None else image
    source = layout.target_index if index is None else index[layout.target_index]
    assert image[source].tolist() == list(range(layout.tokens.target))
    assert joint.clean is None or not joint.clean[layout.target_index].any()
    assert (layout.target_sample.bincount() == torch.tensor([h * w // 4 for h, w in layout.sizes])).all()
    # All of the noisy and reference tokens are used exactly once.
    used = image[image < layout.tokens.target + layout.tokens.references]
    assert sorted(used.tolist()) == list(range(layout.tokens.target + layout.tokens.references))


@given(st.lists(t2i, min_size=1, max_size=6))
def test_chunks_cover_the_sequence(samples):
    from dataclasses import replace

    wide = replace(CONFIG, dim=48000, n_heads=1500)  # chunks of 16 tokens: each sample for itself
    joint = plan(samples, wide).joint
    if len(samples) == 1:
        assert joint.chunks == ()
        return
    assert [c.start for c in joint.chunks] == joint.cu_seqlens[:-1].tolist()
    assert torch.equal(torch.cat([c.packed.rotation.cos for c in joint.chunks]), joint.rotation.cos)
    assert [c.first_sample for c in joint.chunks] == list(range(len(samples)))


def test_text_to_image_positions():
    """Text in frames 1..32 with its pads, the image in frame 33 at rows and columns from 0."""
    layout = plan([Sample((4, 6), (20,))], CONFIG)
    frequency = 1.0  # the first pair of each axis turns by its position
    frames, rows, columns = (
        torch.atan2(layout.joint.rotation.sin[:, 0, i], layout.joint.rotation.cos[:, 0, i]) / frequency
        for i in (0, 4, 10)
    )

    def angle(x):
        x = torch.as_tensor(x, dtype=torch.float32)
        return torch.atan2(x.sin(), x.cos())

    assert torch.allclose(frames[:6], angle([33] * 6), atol=1e-5)
    assert torch.allclose(rows[:6], angle([0, 0, 0, 1, 1, 1]), atol=1e-5)
    assert torch.allclose(columns[:6], angle([0, 1, 2, 0, 1, 2]), atol=1e-5)
    assert torch.allclose(frames[6:32], angle([0] * 26), atol=1e-5)  # image pads
    assert torch.allclose(frames[32:], angle(torch.arange(1, 33)), atol=1e-5)


def test_clean_are_references_and_the_text_before_them():
    layout = plan([Sample((8, 8), (5, 40, 3), ((8, 16),), omni=True)], CONFIG)
    # text: 32 clean, then 64 and 32 noisy; the reference: 32 clean; the target: 32
    expected = [True] * 32 + [False] * 96 + [True] * 32 + [False] * 32
    assert layout.joint.clean.tolist() == expected


def test_siglip_grids_keep_their_places_without_the_released_quirk():
    grid = torch.randn(2, 3, 5)
    assert torch.equal(pack_siglip([grid], CONFIG), grid.reshape(6, 5))


@pytest.mark.parametrize(
    ("sample", "message"),
    [
        (Sample((7, 8), (3,)), "nearest: 8x8"),
        (Sample((8, 0), (3,)), "nearest: 2x8"),
        (Sample((8, 8), ()), "text lengths"),
        (Sample((8, 8), (0,)), "text lengths"),
        (Sample((8, 8), (3, 4)), "omni=True"),
        (Sample((8, 8), (3,), ((8, 8),), omni=True), "1 text segments for 1 references"),
        (Sample((8, 8), (3, 4), ((8, 8),), (), omni=True), "0 SigLIP sizes for 1"),
        (Sample((8, 8), (1600,)), "axes_lens\\[0\\]"),
        (Sample((2, 1100), (3,)), "axes_lens\\[2\\]"),
    ],
)
def test_impossible_samples_are_refused(sample, message):
    with pytest.raises(SizeError, match=message):
        plan([sample], CONFIG)


def test_an_empty_batch_is_refused():
    with pytest.raises(SizeError):
        plan([], CONFIG)


def test_sizes_in_pixels():
    check_size(1024, 512)
    with pytest.raises(SizeError, match=r"nearest: 1024\*512"):
        check_size(1020, 515)
    with pytest.raises(SizeError, match=r"nearest: 16\*512"):
        check_size(0, 512)
