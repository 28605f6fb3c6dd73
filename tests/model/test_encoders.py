"""Text, image and semantic encoders: the real classes against their libraries, tiny ones by what they promise."""

import shutil

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from zcurate.model.errors import ModelConfigError, WeightsError
from zcurate.model.semantic import Siglip2Encoder
from zcurate.model.text_encoders import PromptCache, Qwen3TextEncoder, segments
from zcurate.model.tiles import tiled
from zcurate.model.tiny_encoders import ByteTextEncoder, PixelVae, TinySemanticEncoder
from zcurate.model.vae import AutoencoderKL

from . import peer_pipeline

PROMPT = "a red kite, 红色的风筝"


# Qwen3


@pytest.fixture(scope="module")
def qwen3(tmp_path_factory):
    folder = tmp_path_factory.mktemp("qwen3")
    model, tokenizer = peer_pipeline.qwen3(), peer_pipeline.tokenizer()
    model.save_pretrained(folder / "text_encoder")
    tokenizer.save_pretrained(folder / "tokenizer")
    return model, tokenizer, Qwen3TextEncoder.load(folder / "text_encoder", folder / "tokenizer"), folder


@torch.no_grad()
def test_features_are_the_penultimate_states_of_the_templated_prompt(qwen3):
    model, tokenizer, encoder, _ = qwen3
    text = f"<|im_start|>user\n{PROMPT}<|im_end|>\n<|im_start|>assistant\n"
    ids = tokenizer(text, return_tensors="pt")["input_ids"]
    want = model(ids, output_hidden_states=True).hidden_states[-2][0]
    (got,) = encoder.encode(PROMPT)
    assert torch.allclose(got, want, atol=1e-5)
    # The states before the final norm: with it they would be others.
    assert not torch.allclose(got, model.norm(want), atol=1e-2)


def test_the_last_layer_is_not_even_loaded(qwen3):
    encoder = qwen3[2]
    assert len(encoder.module.layers) == peer_pipeline.QWEN3_LAYERS - 1
    ran = []
    handles = [
        m.register_forward_hook(lambda m, a, o, name=name: ran.append(name))
        for name, m in encoder.module.named_modules()
        if name.startswith("layers.") and name.count(".") == 1
    ]
    encoder.encode(PROMPT)
    for handle in handles:
        handle.remove()
    assert ran == [f"layers.{i}" for i in range(peer_pipeline.QWEN3_LAYERS - 1)]


def test_an_empty_prompt_is_the_template(qwen3):
    (features,) = qwen3[2].encode("")
    assert 0 < len(features) < 32


def test_segments_of_an_edit(qwen3):
    assert segments("go", 1) == [
        "<|im_start|>user\n<|vision_start|>",
        "<|vision_end|>go<|im_end|>\n<|im_start|>assistant\n<|vision_start|>",
        "<|vision_end|><|im_end|>",
    ]
    for count in (1, 2, 4):
        parts = qwen3[2].encode("go", count)
        assert len(parts) == len(segments("go", count)) == count + 2
        assert all(p.shape[1] == 64 and len(p) for p in parts)
    with pytest.raises(ModelConfigError, match="at least one"):
        segments("go", 0)


def test_folders_that_are_no_text_encoder(qwen3, tmp_path):
    folder = qwen3[3]
    with pytest.raises(ModelConfigError, match=r"config\.json"):
        Qwen3TextEncoder.load(tmp_path, tmp_path)
    shutil.copytree(folder, tmp_path / "bert")
    config = tmp_path / "bert" / "text_encoder" / "config.json"
    config.write_text(config.read_text().replace('"qwen3"', '"bert"'))
    with pytest.raises(ModelConfigError, match="'bert'; only qwen3"):
        Qwen3TextEncoder.load(config.parent, folder / "tokenizer")
    shutil.copytree(folder, tmp_path / "holes")
    file = tmp_path / "holes" / "text_encoder" / "model.safetensors"
    state = load_file(file)
    gone = next(name for name in state if "layers.0." in name)
    del state[gone]
    save_file(state, file, {"format": "pt"})
    with pytest.raises(ModelConfigError, match="1 tensors are missing"):
        Qwen3TextEncoder.load(file.parent, folder / "tokenizer")


class Counting:
    """A text encoder that counts what reaches it."""

    feat_dim, module = 4, None

    def __init__(self):
        self.asked = []

    def encode(self, prompt, references=0):
        self.asked.append((prompt, references))
        return (torch.full((2, 4), float(len(self.asked))),)


def test_prompts_are_encoded_once():
    inner = Counting()
    cache = PromptCache(inner, entries=2)
    first = cache.encode("a")
    assert cache.encode("a")[0] is first[0]
    assert cache.encode("a", 1)[0] is not first[0]
    assert inner.asked == [("a", 0), ("a", 1)]
    assert (cache.hits, cache.misses) == (1, 2)
    assert cache.holds([("a", 0), ("a", 1)])
    cache.encode("b")  # the oldest goes
    assert not cache.holds([("a", 0)])
    cache.encode("a")
    assert len(inner.asked) == 4


# Autoencoder


@pytest.fixture(scope="module")
def vaes(tmp_path_factory):
    folder = tmp_path_factory.mktemp("vae")
    peer = peer_pipeline.autoencoder()
    peer.save_pretrained(folder)
    return peer, AutoencoderKL.load(folder), folder


def picture(height, width, seed=0):
    return torch.rand(3, height, width, generator=torch.Generator().manual_seed(seed)) * 2 - 1


@torch.no_grad()
@pytest.mark.parametrize("size", [(64, 64), (48, 112)])
def test_latents_and_pixels_are_those_of_diffusers(vaes, size):
    peer, ours, _ = vaes
    image = picture(*size)
    want = (peer.encode(image[None]).latent_dist.mode()[0] - 0.1159) * 0.3611
    latent = ours.encode(image)
    assert latent.shape == (16, size[0] // 8, size[1] // 8)
    assert torch.allclose(latent, want, atol=1e-5)
    back = peer.decode((want / 0.3611 + 0.1159)[None]).sample[0]
    assert torch.allclose(ours.decode(want), back, atol=1e-5)


def test_decoding_is_differentiable(vaes):
    latent = torch.zeros(16, 4, 4, requires_grad=True)
    vaes[1].decode(latent).square().sum().backward()
    assert latent.grad.isfinite().all()
    assert latent.grad.abs().sum() > 0


@torch.no_grad()
def test_tiles_are_as_near_the_whole_as_those_of_diffusers(vaes):
    """Not equal: norms and attention see a tile each. Seams do not show: steps across them are as elsewhere."""
    peer, ours, _ = vaes
    smooth = torch.nn.functional.interpolate(picture(12, 12)[None], (256, 256), mode="bicubic")
    latent = ours.encode(smooth[0])
    whole = ours.decode(latent)
    peer.tile_sample_min_size, peer.tile_latent_min_size = 128, 16
    peer.enable_tiling()
    theirs = peer.decode((latent / 0.3611 + 0.1159)[None]).sample[0]
    their_latent = (peer.encode(smooth).latent_dist.mode()[0] - 0.1159) * 0.3611
    peer.disable_tiling()
    ours.tile_px = 128
    parts = ours.decode(latent)
    encoded = ours.encode(smooth[0])
    ours.tile_px = None
    assert parts.shape == whole.shape
    assert float((parts - whole).abs().mean()) < 1.1 * float((theirs - whole).abs().mean())
    across = (parts.diff(dim=2) - whole.diff(dim=2)).abs().mean((0, 1))
    assert float(across.max()) < 5 * float(across.mean())
    assert encoded.shape == latent.shape
    assert float((encoded - latent).abs().mean()) < 1.1 * float((their_latent - latent).abs().mean())
    ours.tile_px = 256  # one tile holds all
    assert torch.equal(ours.decode(latent), whole)
    ours.tile_px = None


@settings(max_examples=30, deadline=None)
@given(st.integers(8, 60), st.integers(8, 60), st.sampled_from([8, 16, 24]), st.integers(0, 3))
def test_tiles_of_a_local_function_are_the_whole(height, width, tile, seed):
    """A function that looks at less than half the overlap around a pixel comes out exactly."""

    def blur(x):
        padded = torch.nn.functional.pad(x[None], (1, 1, 1, 1), mode="replicate")
        return torch.nn.functional.avg_pool2d(padded, 3, 1)[0]

    def up(x):
        return blur(x).repeat_interleave(2, 1).repeat_interleave(2, 2)

    x = torch.rand(2, height, width, generator=torch.Generator().manual_seed(seed))
    inner = (slice(None), slice(2, -2), slice(2, -2))
    assert torch.allclose(tiled(lambda x: x * 2, x, tile, tile // 4), x * 2, atol=1e-5)
    got, want = tiled(up, x, tile, tile // 2, up=2), up(x)
    assert got.shape == want.shape
    # Each tile's own border is padded by itself; the blend gives it next to no weight.
    assert float((got - want)[inner].abs().mean()) < 0.02


def test_weights_that_do_not_fit_are_named(vaes, tmp_path):
    shutil.copytree(vaes[2], tmp_path / "vae")
    file = tmp_path / "vae" / "diffusion_pytorch_model.safetensors"
    state = load_file(file)
    state["decoder.extra"] = state.pop("decoder.conv_in.bias")
    save_file(state, file)
    with pytest.raises(WeightsError, match=r"missing decoder.conv_in.bias \[16\].*unexpected decoder.extra"):
        AutoencoderKL.load(tmp_path / "vae")
    config = tmp_path / "vae" / "config.json"
    config.write_text(config.read_text().replace('"use_quant_conv": false', '"use_quant_conv": true'))
    with pytest.raises(ModelConfigError, match="use_quant_conv is True; only False"):
        AutoencoderKL.load(tmp_path / "vae")


# SigLIP-2


@torch.no_grad()
@pytest.mark.parametrize("size", [(64, 64), (40, 120)])
def test_semantic_features_are_those_of_transformers(tmp_path, size):
    model, processor = peer_pipeline.siglip2()
    model.save_pretrained(tmp_path / "siglip")
    processor.save_pretrained(tmp_path / "siglip_processor")
    ours = Siglip2Encoder.load(tmp_path / "siglip", tmp_path / "siglip_processor")
    assert ours.feat_dim == 48
    pixels = np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8)
    inputs = processor(images=[pixels], return_tensors="pt")
    rows, columns = inputs["spatial_shapes"][0].tolist()
    want = model(**inputs).last_hidden_state[0, : rows * columns].reshape(rows, columns, 48)
    got = ours.encode(torch.from_numpy(pixels / 127.5 - 1).permute(2, 0, 1))
    assert got.shape == want.shape
    assert torch.allclose(got, want, atol=1e-5)


def test_folders_that_are_no_semantic_encoder(tmp_path):
    with pytest.raises(ModelConfigError, match="not a SigLIP-2"):
        Siglip2Encoder.load(tmp_path, tmp_path)


# Tiny ones


@given(st.text(max_size=40))
def test_any_text_has_features(text):
    (features,) = BYTES.encode(text)
    assert features.shape[0] >= 1
    assert features.shape[1] == 64
    assert features.isfinite().all()


BYTES = ByteTextEncoder.new()


def test_tokens_are_words_or_characters_in_any_language():
    assert len(BYTES.encode("")[0]) == 1
    assert len(BYTES.encode("a red Circle!")[0]) == 1 + 4
    assert len(BYTES.encode("红色的圆")[0]) == 1 + 4
    one, two = BYTES.encode("red circle")[0], BYTES.encode("RED square")[0]
    assert torch.equal(one[1], two[1])
    assert not torch.equal(one[2], two[2])
    # Similar words are more similar than others.
    cos = torch.nn.functional.cosine_similarity
    words = BYTES.encode("circle circles window")[0]
    assert cos(words[1], words[2], 0) > cos(words[1], words[3], 0) + 0.3
    assert [len(p) for p in BYTES.encode("go", 2)] == [1, 1, 2, 1]


def test_tiny_encoders_survive_the_disk(tmp_path):
    BYTES.save(tmp_path / "text")
    again = ByteTextEncoder.load(tmp_path / "text")
    assert torch.equal(again.encode(PROMPT)[0], BYTES.encode(PROMPT)[0])
    semantic = TinySemanticEncoder.new()
    semantic.save(tmp_path / "siglip")
    image = picture(40, 24)
    assert torch.equal(TinySemanticEncoder.load(tmp_path / "siglip").encode(image), semantic.encode(image))
    assert semantic.encode(image).shape == (8, 8, 48)
    with pytest.raises(WeightsError, match="not a tiny encoder"):
        ByteTextEncoder.load(tmp_path)
    with pytest.raises(ModelConfigError, match="byte table"):
        ByteTextEncoder.load(tmp_path / "siglip")


def test_the_pixel_autoencoder_is_the_identity():
    image = picture(10, 6)
    assert torch.equal(PixelVae().decode(PixelVae().encode(image)), image)
