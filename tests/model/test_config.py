"""Configurations: presets, published config.json files, refused values."""

import json

import pytest

from zcurate.model.config import PRESETS, S3DiTConfig
from zcurate.model.errors import ModelConfigError

#: The released Turbo model's file, with its stray key.
RELEASED = {
    "_class_name": "ZImageTransformer2DModel",
    "_diffusers_version": "0.36.0.dev0",
    "all_f_patch_size": [1],
    "all_patch_size": [2],
    "axes_dims": [32, 48, 48],
    "axes_lens": [1536, 512, 512],
    "cap_feat_dim": 2560,
    "dim": 3840,
    "in_channels": 16,
    "n_heads": 30,
    "n_kv_heads": 30,
    "n_layers": 30,
    "n_refiner_layers": 2,
    "norm_eps": 1e-05,
    "nheads": 30,
    "qk_norm": True,
    "rope_theta": 256.0,
    "t_scale": 1000.0,
}


def test_the_released_file_is_the_full_preset_and_its_stray_key_is_named():
    with pytest.warns(UserWarning, match="nheads"):
        assert S3DiTConfig.from_dict(RELEASED) == PRESETS["full"]


@pytest.mark.parametrize("name", PRESETS)
def test_presets_survive_their_file(name, tmp_path):
    config = PRESETS[name].with_siglip()
    (tmp_path / "config.json").write_text(json.dumps(config.to_dict()))
    assert S3DiTConfig.read(tmp_path / "config.json") == config


def test_diffusers_builds_from_our_file():
    diffusers = pytest.importorskip("diffusers")
    model = diffusers.ZImageTransformer2DModel.from_config(PRESETS["tiny"].to_dict())
    assert (model.config.dim, list(model.config.axes_dims)) == (96, [8, 12, 12])


def test_small_has_the_heads_of_full():
    small, full = PRESETS["small"], PRESETS["full"]
    assert (small.head_dim, small.axes_dims, small.axes_lens) == (
        full.head_dim,
        full.axes_dims,
        full.axes_lens,
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"dim": 0}, "dim is 0"),
        ({"dim": "3840"}, "dim is '3840'"),
        ({"n_heads": 32, "n_kv_heads": 32}, "axes_dims"),
        ({"n_heads": 7, "n_kv_heads": 7}, "divide"),
        ({"axes_dims": [32, 48]}, "three positive"),
        ({"axes_dims": [31, 49, 48]}, "even"),
        ({"n_kv_heads": 10}, "n_kv_heads"),
        ({"qk_norm": False}, "qk_norm"),
        ({"all_patch_size": [4]}, "all_patch_size"),
    ],
)
def test_unsupported_values_are_refused(change, message):
    values = {k: v for k, v in RELEASED.items() if k != "nheads"} | change
    with pytest.raises(ModelConfigError, match=message):
        S3DiTConfig.from_dict(values)


@pytest.mark.parametrize("content", ["", "[]", "{", '{"axes_dims": 3}'])
def test_files_that_are_no_configuration_are_named(tmp_path, content):
    path = tmp_path / "config.json"
    path.write_text(content)
    with pytest.raises(ModelConfigError, match=r"config\.json"):
        S3DiTConfig.read(path)
