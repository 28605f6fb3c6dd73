"""`zcurate generate` and `generate-chain` as a person runs them."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from zcurate.curation.profile.metadata.read import read_metadata
from zcurate.model.pipeline_folder import save_pipeline

from ..captioner.server import Reply
from ..model import lively

TINY = ("--size", "16*24", "--steps", "2")


@pytest.fixture(scope="session")
def model(tmp_path_factory):
    """`s3dit:DIR` of a model with random weights, which edits."""
    folder = tmp_path_factory.mktemp("model") / "lively"
    made = lively.pipeline(semantic=True)
    save_pipeline(folder, made.transformer, made.text_encoder, made.vae, made.schedule, made.semantic)
    return f"s3dit:{folder}"


def records(out):
    return [json.loads(line) for line in out.splitlines()]


@pytest.fixture
def picture(tmp_path):
    lively.photo(32, 24).save(tmp_path / "in.png")
    return tmp_path / "in.png"


def test_pictures_with_their_records(zcurate, model):
    code, out, err = zcurate("generate", "a red circle", "--model", model, *TINY, "--n", 3, "--seed", 7)
    assert (code, err) == (0, "")
    paths = out.split()
    assert [p.rpartition("-")[2] for p in paths] == ["7.png", "8.png", "9.png"]
    for path in paths:
        with Image.open(path) as image:
            assert image.size == (16, 24)
        with open(path, "rb") as file:
            assert read_metadata(file.read(), "PNG")["ai_declared"]
        with open(path.replace(".png", ".json")) as file:
            assert json.load(file)["prompt"] == "a red circle"


def test_every_option_reaches_the_record(zcurate, model):
    options = {
        "--negative": "blurry",
        "--size": "24*16",
        "--steps": 3,
        "--guidance": 2.5,
        "--cfg-normalization": 1.0,
        "--cfg-truncation": 0.75,
        "--sampler": "heun",
        "--shift": "6",
        "--seed": 5,
        "--dtype": "bfloat16",
        "--format": "webp",
        "--out": "made",
    }
    arguments = [text for pair in options.items() for text in pair]
    code, out, _ = zcurate("generate", "x", "--model", model, *arguments, "--json")
    assert code == 0
    (record,) = records(out)
    expected = {
        "negative_prompt": "blurry",
        "width": 24,
        "height": 16,
        "steps": 3,
        "guidance_scale": 2.5,
        "cfg_normalization": 1.0,
        "cfg_truncation": 0.75,
        "sampler": "heun",
        "seed": 5,
        "dtype": "bfloat16",
        "forwards": 5,
        "file": "made/x-5.webp",
        "preset": "turbo",
    }
    assert {key: record[key] for key in expected} == expected
    assert np.allclose(record["sigmas"], [1, 12 / 13, 0.75, 0], atol=1e-5)


def test_the_same_seed_is_the_same_picture_in_any_batch(zcurate, model):
    code, out, _ = zcurate("generate", "x", "--model", model, *TINY, "--n", 3, "--seed", 1, "--batch", 3)
    _, alone, _ = zcurate("generate", "x", "--model", model, *TINY, "--seed", 2, "--out", "alone")
    assert code == 0
    one, other = (lively.pixels(Image.open(p)) for p in (out.split()[1], alone.strip()))
    assert np.abs(one - other).max() <= 1


def test_a_negative_prompt_without_guidance_warns_once(zcurate, model):
    code, out, err = zcurate("generate", "x", "--model", model, *TINY, "--negative", "y", "--n", 3)
    assert (code, len(out.split())) == (0, 3)
    assert err.count("guidance is 0") == 1


def test_the_untrained_preset_says_so(zcurate):
    code, out, err = zcurate("generate", "x", *TINY, "--json")
    assert code == 0
    assert "untrained" in err
    assert records(out)[0]["model_trained"] is False


def test_editing_redrawing_and_room_around(zcurate, model, picture):
    def drawn(*arguments):
        code, out, err = zcurate(
            "generate", "x", "--model", model, "--steps", 2, "--seed", 1, "--json", *arguments
        )
        assert code == 0, err
        (record,) = records(out)
        return record, lively.pixels(Image.open(record["file"]))

    own = lively.pixels(Image.open(picture))
    edit, _ = drawn("--reference", picture, "--reference", picture, "--size", "16*16")
    assert len(edit["references_sha256"]) == 2
    assert (edit["preset"], edit["guidance_scale"]) == ("edit", 4.0)
    redrawn, pixels = drawn("--image", picture)
    assert (redrawn["width"], redrawn["height"], redrawn["strength"]) == (32, 24, 0.6)
    cropped, pixels = drawn("--image", picture, "--size", "16*16", "--strength", 0.5)
    assert pixels.shape == (16, 16, 3)
    mask = Image.new("L", (32, 24))
    mask.paste(255, (16, 0, 32, 24))
    mask.save("mask.png")
    masked, pixels = drawn("--image", picture, "--mask", "mask.png")
    assert (masked["strength"], masked["masked"]) == (1.0, True)
    assert np.array_equal(pixels[:, :16], own[:, :16])
    wider, pixels = drawn("--image", picture, "--outpaint", "8,0,0,0")
    assert pixels.shape == (24, 40, 3)
    assert np.array_equal(pixels[:, 20:], own[:, 12:])


def test_styles_presets_and_seeds_by_name(zcurate, model):
    with open("mine.yaml", "w") as file:
        file.write("styles: {film: {suffix: ', 35 mm', negative: text}}\nseeds: {hero: 77}\n")
    shelf = ("--presets", "mine.yaml")
    code, out, _ = zcurate(
        "generate", *shelf, "--save-preset", "quick", "--size", "16*16", "--steps", 1, "--guidance", 1.5,
        "--style", "film", "--seed", "hero",
    )  # fmt: skip
    assert (code, out) == (0, "")
    code, out, err = zcurate("generate", "a cat", "--model", model, *shelf, "--preset", "quick", "--json")
    assert code == 0, err
    (record,) = records(out)
    expected = {
        "prompt": "a cat, 35 mm",
        "prompt_given": "a cat",
        "negative_prompt": "text",
        "seed": 77,
        "steps": 1,
        "guidance_scale": 1.5,
        "width": 16,
        "style": "film",
        "preset": "quick",
    }
    assert {key: record[key] for key in expected} == expected
    _, out, _ = zcurate(
        "generate", "a cat", "--model", model, *shelf, "--preset", "quick", "--steps", 2, "--json"
    )
    assert records(out)[0]["steps"] == 2  # what is said goes before what is kept


def test_enhancing_first(zcurate, model, vlm_server):
    good = {"core_subject": "a", "knowledge": "b", "aesthetics": "c", "description": "d", "invented_text": []}
    written = "A red cat on a mat, soft light from the left."
    vlm_server.script = Reply(json.dumps(good | {"prompt": written}))
    arguments = ("generate", "a red cat", "--model", model, *TINY, "--enhance", "--json")
    code, out, _ = zcurate(*arguments, "--vlm", vlm_server.engine)
    assert code == 0
    assert (records(out)[0]["prompt"], records(out)[0]["prompt_given"]) == (written, "a red cat")
    vlm_server.script = Reply(json.dumps(good | {"prompt": "A blue cat."}))  # not what was asked for
    code, out, err = zcurate(*arguments, "--vlm", vlm_server.engine)
    assert (code, records(out)[0]["prompt"]) == (0, "a red cat")
    assert "prompt kept as it was" in err
    code, _, err = zcurate(*arguments)
    assert code == 2
    assert "--enhance needs --vlm" in err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "no prompt"),
        (("x", "--size", "big"), "WIDTH*HEIGHT"),
        (("x", "--size", "33*33"), "nearest: 32*32"),
        (("x", "--model", "s3dit:nowhere"), "nowhere is no folder"),
        (("x", "--model", "flux"), "write s3dit:DIR"),
        (("x", "--shift", "much"), "--shift 'much'"),
        (("x", "--sampler", "ddim"), "euler, heun, sde"),
        (("x", "--preset", "fast"), "there are turbo, base, edit"),
        (("x", "--seed", "hero"), "seed 'hero' is not known"),
        (("x", "--image", "gone.png"), "gone.png"),
        (("x", "--mask", "m.png"), "--mask needs --image"),
        (("x", "--image", "in.png", "--outpaint", "1,2"), "LEFT,TOP,RIGHT,BOTTOM"),
        (("x", "--image", "in.png", "--outpaint", "8,0,0,0", "--size", "16*16"), "--image alone"),
        (("x", "--image", "odd.png"), "--size 32*24 reduces and crops it"),
        (("x", "--image", "in.png", "--mask", "odd.png"), "they must agree"),
        (("x", "--format", "gif"), ".png, .jpg"),
        (("x", "--save-preset", "mine"), "--presets FILE"),
        (("x", "--quantize", "int2"), "int8, int4"),
        (("x", "--offload", "disk"), "model, sequential"),
        (("x", "--device", "warp"), "device 'warp' cannot be used here"),
    ],
)
def test_what_a_person_can_put_right_is_one_line(zcurate, picture, arguments, message):
    lively.photo(33, 25).save("odd.png")
    code, out, err = zcurate("generate", *arguments)
    assert (code, out) == (2, "")
    assert message in err
    assert "Traceback" not in err


def test_missing_weights_are_named(zcurate, model, tmp_path):
    import shutil

    folder = shutil.copytree(model.partition(":")[2], tmp_path / "copy")
    (folder / "transformer" / "diffusion_pytorch_model.safetensors").unlink()
    code, _, err = zcurate("generate", "x", "--model", f"s3dit:{folder}")
    assert code == 2
    assert "holds 0 checkpoints" in err


def test_the_plan_is_a_table_and_json(zcurate, model):
    code, out, _ = zcurate("generate", "--plan")
    assert code == 0
    lines = [line for line in out.splitlines() if "--dtype" in line]
    assert len(lines) > 8
    assert any("16 GB" in line and "--quantize int8" in line for line in lines)
    assert any("8 GB" in line and "--quantize int4 --offload model" in line for line in lines)
    code, out, _ = zcurate("generate", "--plan", "--json", "--guidance", 4, "--batch", 2, "--model", model)
    assert code == 0
    assert json.loads(out)["samples"] == 4  # conditional and unconditional
    assert all(mode["peak_gb"] < 2 for mode in json.loads(out)["modes"])


def test_the_chain(zcurate, model):
    code, out, err = zcurate(
        "generate-chain", "a tea house", "--turbo", model, "--base", model, "--edit", model, "--instruction",
        "make it night", "--drafts", 2, "--refine-steps", 2, "--size", "16*16", "--seed", 3, "--json",
        "--negative", "fog",
    )  # fmt: skip
    assert code == 0, err
    links = records(out)
    assert [link["stage"] for link in links] == ["draft", "draft", "refine", "edit"]
    picked = max(links[:2], key=lambda link: link["score"])
    assert picked["picked"]
    assert {link["seed"] for link in links[2:]} == {picked["seed"]}
    assert all(os.path.exists(link["file"]) for link in links)
    code, _, err = zcurate("generate-chain", "x", "--instruction", "y", "--size", "16*16")
    assert code == 2
    assert "needs an Edit model" in err
    code, _, err = zcurate("generate-chain", "x", "--pick", "embedded", "--size", "16*16")
    assert code == 2
    assert "has no text" in err


def test_help_does_not_load_torch():
    code = (
        "import sys; sys.argv = ['zcurate', 'generate', '--help']\n"
        "from zcurate.pipelines.cli import main\n"
        "try: main()\nexcept SystemExit: pass\n"
        "assert 'torch' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "WIDTH*HEIGHT" in done.stdout
