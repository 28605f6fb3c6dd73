"""Model folders: written, read back, refused with the part and the key at fault."""

import json
import shutil

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from zcurate.model.errors import ModelConfigError, WeightsError
from zcurate.model.generate import Generator
from zcurate.model.pipeline_folder import load_pipeline, save_pipeline
from zcurate.model.request import Request, Settings
from zcurate.model.text_encoders import PromptCache
from zcurate.model.train.export import write_folder

from . import lively, peer_pipeline
from .lively import draw

REQUEST = Request("a red circle", (32, 24), 3, Settings(steps=2))


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    pipeline = lively.pipeline(semantic=True)
    folder = tmp_path_factory.mktemp("models") / "mine"
    save_pipeline(
        folder,
        pipeline.transformer,
        pipeline.text_encoder,
        pipeline.vae,
        pipeline.schedule,
        pipeline.semantic,
        preset="edit",
    )
    return pipeline, folder


def copied(saved, tmp_path):
    return shutil.copytree(saved[1], tmp_path / "copy")


def test_a_saved_model_draws_the_same(saved):
    pipeline, folder = saved
    loaded = Generator.load(folder)
    edit = Request("x", (32, 24), 3, Settings(steps=2), references=(lively.photo(32, 32),))
    for request in (REQUEST, edit):
        assert np.array_equal(draw(loaded, request)[0], draw(Generator(pipeline), request)[0])
    assert (loaded.pipeline.preset, loaded.pipeline.trained) == ("edit", True)
    assert isinstance(loaded.pipeline.text_encoder, PromptCache)


def test_the_identity_is_that_of_the_weights(saved, tmp_path):
    folder = copied(saved, tmp_path)
    first = load_pipeline(folder).identity
    assert first.startswith("copy@sha256:")
    assert load_pipeline(folder).identity == first
    renamed = shutil.move(folder, tmp_path / "other")
    assert load_pipeline(renamed).identity == first.replace("copy@", "other@")
    file = renamed / "transformer" / "diffusion_pytorch_model.safetensors"
    state = load_file(file)
    state["x_pad_token"] += 1
    save_file(state, file, {"format": "pt"})
    assert load_pipeline(renamed).identity.partition("@")[2] != first.partition("@")[2]


def test_what_training_writes_loads(saved, tmp_path):
    pipeline, _ = saved
    write_folder(tmp_path / "trained", pipeline.transformer.state_dict(), pipeline)
    assert np.array_equal(
        draw(Generator.load(tmp_path / "trained"), REQUEST)[0], draw(Generator(pipeline), REQUEST)[0]
    )


def test_what_training_writes_with_real_encoders_loads(tmp_path):
    """Encoders of other libraries are copied beside the new weights; diffusers reads the result too."""
    from diffusers import ZImagePipeline

    peer_pipeline.save_peer(tmp_path / "base")
    pipeline = load_pipeline(tmp_path / "base")
    state = {name: t + 0.01 for name, t in pipeline.transformer.state_dict().items()}
    write_folder(tmp_path / "tuned", state, pipeline)
    tuned = load_pipeline(tmp_path / "tuned")
    assert all(torch.equal(t, state[name]) for name, t in tuned.transformer.state_dict().items())
    assert tuned.identity != pipeline.identity.replace("base@", "tuned@")
    request = Request("x", (256, 256), 2, Settings(1))
    ours = draw(Generator(tuned), request)[0]
    peer = ZImagePipeline.from_pretrained(tmp_path / "tuned")
    peer.set_progress_bar_config(disable=True)
    generator = torch.Generator().manual_seed(2)
    (theirs,) = peer("x", 256, 256, num_inference_steps=1, guidance_scale=0, generator=generator).images
    assert np.abs(ours - lively.pixels(theirs)).max() <= 1


def test_folders_that_are_no_model(saved, tmp_path):
    with pytest.raises(ModelConfigError, match=r"model_index\.json.*a model is a folder with"):
        load_pipeline(tmp_path)
    folder = copied(saved, tmp_path)
    index = folder / "model_index.json"
    whole = json.loads(index.read_text())
    for part, value, message in (
        ("vae", ["diffusers", "AsymmetricAutoencoderKL"], "supported: AutoencoderKL"),
        ("text_encoder", ["transformers", "T5EncoderModel"], "supported: Qwen3Model"),
        ("transformer", None, "transformer is None"),
        ("transformer", ["zcurate", "ByteTextEncoder"], "transformer"),
    ):
        index.write_text(json.dumps(whole | {part: value}))
        with pytest.raises(ModelConfigError, match=message):
            load_pipeline(folder)
    index.write_text("[1]")
    with pytest.raises(ModelConfigError, match="holds list"):
        load_pipeline(folder)


def test_weights_missing_or_too_many_are_named(saved, tmp_path):
    folder = copied(saved, tmp_path)
    file = folder / "transformer" / "diffusion_pytorch_model.safetensors"
    state = load_file(file)
    state["layers.9.extra"] = state.pop("layers.0.attention.to_q.weight")
    save_file(state, file, {"format": "pt"})
    with pytest.raises(
        WeightsError, match=r"missing.*layers\.0\.attention\.to_q\.weight \[96, 96\]"
    ) as found:
        load_pipeline(folder)
    assert "layers.9.extra" in str(found.value)
    file.unlink()
    with pytest.raises(WeightsError, match="holds 0 checkpoints"):
        load_pipeline(folder)


def test_parts_must_fit_each_other(saved, tmp_path):
    folder = copied(saved, tmp_path)
    shutil.rmtree(folder / "siglip")
    index = json.loads((folder / "model_index.json").read_text())
    del index["siglip"]
    (folder / "model_index.json").write_text(json.dumps(index))
    with pytest.raises(
        ModelConfigError, match="semantic encoder's width is None, but the transformer takes 48"
    ):
        load_pipeline(folder)


def test_real_encoders_are_not_written(tmp_path):
    peer_pipeline.save_peer(tmp_path / "base")
    pipeline = load_pipeline(tmp_path / "base")
    with pytest.raises(ModelConfigError, match="only tiny encoders are written"):
        save_pipeline(
            tmp_path / "x", pipeline.transformer, pipeline.text_encoder, pipeline.vae, pipeline.schedule
        )
    assert not (tmp_path / "x").exists()
