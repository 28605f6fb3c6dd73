"""Checkpoints and LoRA files: layouts, files, refusals."""

import json

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from zcurate.model.config import PRESETS
from zcurate.model.errors import WeightsError
from zcurate.model.init import new_model
from zcurate.model.lora import merge_lora
from zcurate.model.state_layouts import (
    COMFY_PREFIX,
    comfy_shapes,
    halves,
    official_shapes,
    pairs,
    parts,
    to_comfy,
    to_official,
)
from zcurate.model.weights import in_memory, load_model, load_weights, open_source, save_weights

from .peer import OMNI, TINY, random_model


@pytest.fixture(scope="module")
def model():
    return random_model(OMNI)


def same(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)


def test_tensor_counts_of_the_full_model():
    full = PRESETS["full"]
    assert (len(official_shapes(full)), len(comfy_shapes(full))) == (521, 453)
    assert official_shapes(full)["layers.29.adaLN_modulation.0.weight"] == (15360, 256)
    assert comfy_shapes(full)["layers.0.attention.qkv.weight"] == (11520, 3840)


@pytest.mark.parametrize("config", [TINY, OMNI], ids=["text to image", "editing"])
def test_official_keys_and_shapes_are_those_of_diffusers(config):
    diffusers = pytest.importorskip("diffusers")
    fields = config.to_dict()
    del fields["_class_name"]
    peer = diffusers.ZImageTransformer2DModel(**fields).state_dict()
    assert official_shapes(config) == {k: tuple(v.shape) for k, v in peer.items()}


@given(st.integers(1, 4), st.integers(1, 8))
def test_reordering_of_heads_is_undone(heads, half):
    x = torch.randn(heads * 2 * half, 3)
    assert torch.equal(pairs(halves(x, 2 * half), 2 * half), x)


def test_round_trip_diffusers_ours_comfy_ours_diffusers(model):
    official = to_official(model.state_dict(), OMNI)
    ours = new_model(OMNI)
    load_weights(ours, in_memory(official))
    assert same(ours.state_dict(), model.state_dict())
    comfy = to_comfy(ours.state_dict(), OMNI)
    assert len(official) - len(comfy) == 2 * (OMNI.n_layers + 3 * OMNI.n_refiner_layers)
    back = new_model(OMNI, seed=5)
    load_weights(back, in_memory(comfy))
    assert same(to_official(back.state_dict(), OMNI), official)


def test_comfy_prefix_and_dead_norm(model, tmp_path):
    comfy = to_comfy(model.state_dict(), OMNI) | {"norm_final.weight": torch.ones(OMNI.dim)}
    path = tmp_path / "z_image.safetensors"
    save_file({COMFY_PREFIX + k: v.contiguous() for k, v in comfy.items()}, path)
    assert same(load_model(path, OMNI).state_dict(), model.state_dict())


@pytest.mark.parametrize("shard_bytes", [10**9, 200_000])
def test_folder_that_diffusers_reads_and_we_read_back(model, tmp_path, shard_bytes):
    diffusers = pytest.importorskip("diffusers")
    path = save_weights(model.state_dict(), OMNI, tmp_path, shard_bytes=shard_bytes)
    assert path.name.endswith(".index.json") == (shard_bytes == 200_000)
    peer = diffusers.ZImageTransformer2DModel.from_pretrained(tmp_path)
    assert same(dict(peer.state_dict()), to_official(model.state_dict(), OMNI))
    assert same(load_model(tmp_path).state_dict(), model.state_dict())
    assert same(load_model(path).state_dict(), model.state_dict())


def test_folder_written_by_diffusers(tmp_path):
    diffusers = pytest.importorskip("diffusers")
    fields = OMNI.to_dict()
    del fields["_class_name"]
    peer = diffusers.ZImageTransformer2DModel(**fields)
    peer.save_pretrained(tmp_path, max_shard_size="300KB")
    assert len(list(tmp_path.glob("*.safetensors"))) > 1
    assert same(to_official(load_model(tmp_path).state_dict(), OMNI), dict(peer.state_dict()))


def test_comfy_file_and_dtypes(model, tmp_path):
    path = save_weights(model.state_dict(), OMNI, tmp_path, comfy=True)
    assert "layers.0.attention.qkv.weight" in load_file(path)
    low = load_model(path, dtype=torch.bfloat16)
    assert {p.dtype for p in low.parameters()} == {torch.bfloat16}
    assert not low.training


def test_keys_and_shapes_at_fault_are_named(model):
    official = to_official(model.state_dict(), OMNI)
    target = new_model(OMNI)
    before = {k: v.clone() for k, v in target.state_dict().items()}
    bad = dict(official)
    del bad["layers.0.feed_forward.w2.weight"]
    bad["layers.9.oops"] = torch.zeros(3)
    bad["x_pad_token"] = torch.zeros(1, 7)
    with pytest.raises(WeightsError) as error:
        load_weights(target, in_memory(bad, "file.safetensors"))
    for text in (
        "file.safetensors",
        "official",
        "1 missing: layers.0.feed_forward.w2.weight [96, 256]",
        "1 unexpected: layers.9.oops [3]",
        "1 of another shape: x_pad_token [1, 7], not [1, 96]",
    ):
        assert text in str(error.value)
    assert same(target.state_dict(), before)  # nothing was touched
    with pytest.raises(WeightsError, match=r"missing: .* and \d+ more"):
        load_weights(target, in_memory({"foreign": torch.zeros(1)}))
    with pytest.raises(WeightsError, match="unexpected: siglip"):
        load_weights(new_model(TINY), in_memory(official))


def test_unreadable_files_are_named(tmp_path):
    path = tmp_path / "weights.safetensors"
    path.write_bytes(b"no tensors here")
    with pytest.raises(WeightsError, match=r"weights\.safetensors"):
        open_source(path)
    with pytest.raises(WeightsError, match=r"only \.safetensors"):
        open_source(tmp_path / "weights.ckpt")
    (tmp_path / "empty").mkdir()
    with pytest.raises(WeightsError, match="0 checkpoints"):
        open_source(tmp_path / "empty")
    save_file({"a": torch.zeros(1)}, path)
    with pytest.raises(WeightsError, match=r"no config\.json"):
        load_model(path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"weight_map": {"a": "../secret.safetensors"}}', "beside the index"),
        ('{"weight_map": {"a": "/etc/secret.safetensors"}}', "beside the index"),
        ('{"weight_map": {"a": 3}}', "beside the index"),
        ('{"weight_map": {"a": "gone.safetensors"}}', "missing"),
        ('{"weight_map": 3}', "not an index"),
        ("{}", "not an index"),
        ("[", "not an index"),
    ],
)
def test_bad_indexes_are_refused(tmp_path, content, message):
    path = tmp_path / "model.safetensors.index.json"
    path.write_text(content)
    with pytest.raises(WeightsError, match=message):
        open_source(path)


MODULES = [
    "layers.0.attention.to_q",
    "layers.1.attention.to_v",
    "layers.0.feed_forward.w3",
    "noise_refiner.0.adaLN_modulation.0",
]


def random_lora(names, shapes, rank=4):
    generator = torch.Generator().manual_seed(2)
    return {
        name: (torch.randn(rank, shapes[name][1], generator=generator), torch.randn(shapes[name][0], rank, generator=generator))
        for name in names
    }  # fmt: skip


STYLES = {
    "diffusion_model": ("diffusion_model.{}.lora_A.weight", "diffusion_model.{}.lora_B.weight", False),
    "transformer": ("transformer.{}.lora_A.weight", "transformer.{}.lora_B.weight", False),
    "kohya": ("lora_unet_{}.lora_down.weight", "lora_unet_{}.lora_up.weight", True),
}


@pytest.mark.parametrize("style", STYLES)
def test_lora_equals_merged_weights(style, tmp_path):
    model = random_model(TINY)
    official = {k: v.clone() for k, v in to_official(model.state_dict(), TINY).items()}
    shapes = {k.removesuffix(".weight"): v for k, v in official_shapes(TINY).items()}
    lora = random_lora([*MODULES, "layers.0.attention.to_out.0"], shapes)
    down, up, underscores = STYLES[style]
    alpha, scale, tensors = 2.0, 0.5, {}
    for name, (a, b) in lora.items():
        official[f"{name}.weight"] += scale * (alpha / 4 if underscores else 1.0) * b @ a
        written = name.replace(".", "_") if underscores else name
        tensors |= {down.format(written): a, up.format(written): b}
        if underscores:
            tensors[f"lora_unet_{written}.alpha"] = torch.tensor(alpha)
    save_file(tensors, tmp_path / "lora.safetensors")
    before = {k: v.clone() for k, v in model.state_dict().items()}
    assert merge_lora(model, tmp_path / "lora.safetensors", scale) == len(lora)
    merged = to_official(model.state_dict(), TINY)
    assert all(torch.allclose(merged[k], official[k], atol=1e-5) for k in official)
    merge_lora(model, tmp_path / "lora.safetensors", -scale)
    assert all(torch.allclose(v, before[k], atol=1e-5) for k, v in model.state_dict().items())


def test_lora_of_fused_comfy_modules():
    model = random_model(TINY)
    comfy = {k: v.clone() for k, v in to_comfy(model.state_dict(), TINY).items()}
    names = ["layers.0.attention.qkv", "layers.1.attention.out", "final_layer.linear", "x_embedder"]
    shapes = {k.removesuffix(".weight"): v for k, v in comfy_shapes(TINY).items()}
    tensors = {}
    for name, (a, b) in random_lora(names, shapes).items():
        comfy[f"{name}.weight"] += b @ a
        tensors |= {f"diffusion_model.{name}.lora_A.weight": a, f"diffusion_model.{name}.lora_B.weight": b}
    assert merge_lora(model, in_memory(tensors)) == 4
    merged = to_comfy(model.state_dict(), TINY)
    assert all(torch.allclose(merged[k], comfy[k], atol=1e-5) for k in comfy)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"transformer.layers.0.attention.to_q.hada_w1": torch.zeros(1)}, "no LoRA matrices of this model"),
        ({"transformer.layers.99.attention.to_q.lora_A.weight": torch.zeros(4, 96)}, r"layers\.99"),
        ({"transformer.layers.0.attention.to_k.lora_A.weight": torch.zeros(4, 96)}, "both LoRA matrices"),
        ({"transformer.layers.0.attention.to_q.lora_B.weight": torch.zeros(95, 4)}, "must be 96 x 96"),
    ],
)
def test_foreign_lora_is_refused_before_anything_changes(change, message):
    model = random_model(TINY)
    before = {k: v.clone() for k, v in model.state_dict().items()}
    good = {
        "transformer.layers.0.attention.to_q.lora_A.weight": torch.ones(4, 96),
        "transformer.layers.0.attention.to_q.lora_B.weight": torch.ones(96, 4),
    }
    with pytest.raises(WeightsError, match=message):
        merge_lora(model, in_memory(good | change))
    assert same(model.state_dict(), before)


def test_every_parameter_of_ours_has_its_part(model):
    assert list(parts(OMNI)) == [name for name, _ in model.named_parameters()]
    json.dumps({k: list(v) for k, v in official_shapes(OMNI).items()})
