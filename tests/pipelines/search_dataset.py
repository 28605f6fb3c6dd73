"""A dataset of pictures and texts, built through the command line, that the tests of search ask."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

HOSTILE = "<script>alert(1)</script> \u202e ]]> {{ 7*7 }} [bold]boom[/bold] 'x' \"y\""

TEXTS = {
    "p00": "a red bridge over water",
    "p01": "a red boat",
    "p02": "红色的桥",
    "p03": "a quiet village at dawn",
    "p04": HOSTILE,
}

OPENCLIP = {
    "embed_dim": 24,
    "vision_cfg": {"image_size": 32, "layers": 2, "width": 32, "head_width": 16, "patch_size": 16},
    "text_cfg": {"context_length": 16, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 2},
}


def picture(seed, size=(240, 200)):
    rng = np.random.default_rng(seed)
    ground = rng.uniform(60, 200, 3) + rng.normal(0, 8, (size[1], size[0], 3))
    image = Image.fromarray(np.clip(ground, 0, 255).astype(np.uint8))
    draw = ImageDraw.Draw(image)
    for _ in range(12):
        x, y, r = rng.integers(0, size[0]), rng.integers(0, size[1]), rng.integers(10, 60)
        draw.ellipse([x - r, y - r, x + r, y + r], fill=tuple(int(c) for c in rng.integers(0, 255, 3)))
    return image


def pictures(folder):
    """24 pictures, two of them copies, one small, one broken; some with texts."""
    folder.mkdir()
    for i in range(21):
        picture(i).save(folder / f"p{i:02d}.png")
    for key, text in TEXTS.items():
        (folder / f"{key}.txt").write_text(text, encoding="utf-8")
    (folder / "copy.png").write_bytes((folder / "p03.png").read_bytes())
    picture(50, (90, 70)).save(folder / "small.png")
    (folder / "broken.png").write_bytes(b"\x89PNG nothing")
    return folder


@pytest.fixture
def images(tmp_path):
    return pictures(tmp_path / "pictures")


def recipe(images, out, model="embedded", **more):
    stages = {
        "profile": {},
        "filter": {"rules": {"too_small": {"drop_if": "short_side_px < 100"}}},
        "embed": {"model": model},
        "dedup": {},
        **more,
    }
    return {
        "name": "search",
        "dataset": str(out),
        "rows_per_shard": 8,
        "sources": [{"name": "s", "root": str(images), "kind": "folder"}],
        "stages": stages,
        "report": False,
    }


@pytest.fixture
def build(zcurate, images, tmp_path):
    """Build, or build again: the dataset's folder."""

    def run(model="embedded", **more):
        out = tmp_path / "ds"
        (tmp_path / "recipe.yaml").write_text(json.dumps(recipe(images, out, model, **more)))
        code, _, err = zcurate("build", tmp_path / "recipe.yaml", "--engine", "inline", "--json")
        assert code in (0, 3), err
        return out

    return run


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """A dataset that tests only look into, and its pictures: (dataset, folder)."""
    base = tmp_path_factory.mktemp("built")
    folder = pictures(base / "pictures")
    (base / "recipe.yaml").write_text(json.dumps(recipe(folder, base / "ds")))
    command = [Path(sys.executable).parent / "zcurate", "build", base / "recipe.yaml", "--engine", "inline"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 3, done.stderr
    return base / "ds", folder


@pytest.fixture
def lines(zcurate):
    """Run a command that prints JSON lines: (rows, stderr)."""

    def run(*arguments):
        code, text, err = zcurate(*arguments, "--json")
        assert code == 0, err
        return [json.loads(line) for line in text.splitlines()], err

    return run


@pytest.fixture(scope="module")
def openclip_dir(tmp_path_factory):
    import torch
    from open_clip import CLIP
    from safetensors.torch import save_file

    torch.manual_seed(0)
    directory = tmp_path_factory.mktemp("openclip")
    weights = {k: v.contiguous() for k, v in CLIP(**OPENCLIP).state_dict().items()}
    save_file(weights, directory / "open_clip_model.safetensors")
    preprocess = {"mean": [0.48, 0.46, 0.41], "std": [0.27, 0.26, 0.28]}
    config = {"model_cfg": OPENCLIP, "preprocess_cfg": preprocess}
    (directory / "open_clip_config.json").write_text(json.dumps(config))
    return directory
