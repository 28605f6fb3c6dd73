"""Written pictures: their record inside and beside, the marks that profiling reads, folders of pictures."""

import hashlib
import io
import json

import numpy as np
import pytest
from PIL import Image

from zcurate.curation.profile.metadata.read import read_metadata
from zcurate.model.canvas import Start
from zcurate.model.data.shapes.reading import Claim, holds, read
from zcurate.model.errors import GenerationError
from zcurate.model.folder_images import FolderImages
from zcurate.model.generate import Generator
from zcurate.model.grid import PROMPTS, SETTINGS, tiny_grid
from zcurate.model.image_files import SOURCE_TYPE, pixels_digest
from zcurate.model.pipeline_folder import shapes_pipeline, tiny_pipeline
from zcurate.model.request import Request, Settings
from zcurate.model.styles import NamedPreset

from . import lively
from .lively import photo, pixels

REQUEST = Request('un café "rouge" 红色', (32, 24), 11, Settings(2, guidance=1.5), "<blurry> & 糊")


@pytest.fixture(scope="module")
def generator():
    return lively.generator(semantic=True)


@pytest.fixture(scope="module")
def picture(generator):
    return next(generator.generate([REQUEST]))


def test_the_record_has_all_that_is_needed_to_draw_it_again(generator, picture):
    record = picture.record
    for key, value in {
        "prompt": REQUEST.prompt,
        "negative_prompt": REQUEST.negative,
        "seed": 11,
        "width": 32,
        "height": 24,
        "steps": 2,
        "guidance_scale": 1.5,
        "sampler": "euler",
        "forwards": 2,
        "model": generator.pipeline.identity,
        "model_trained": False,
        "digital_source_type": SOURCE_TYPE,
    }.items():
        assert record[key] == value, key
    again = Request(
        record["prompt"],
        (record["width"], record["height"]),
        record["seed"],
        NamedPreset(steps=record["steps"], guidance=record["guidance_scale"]).settings("turbo"),
        record["negative_prompt"],
    )
    assert np.array_equal(pixels(next(generator.generate([again])).image), pixels(picture.image))


def test_what_it_was_drawn_from_is_recorded_by_digest(generator):
    image = photo(32, 32)
    edit = Request("x", (32, 32), 1, Settings(1), references=(image,))
    redraw = Request("x", seed=1, settings=Settings(1), start=Start(image, 0.5))
    first, second = (p.record for p in generator.generate([edit, redraw]))
    assert first["references_sha256"] == [pixels_digest(image)]
    assert (second["start_sha256"], second["strength"], second["masked"]) == (
        pixels_digest(image),
        0.5,
        False,
    )


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp"])
def test_record_inside_and_beside(picture, tmp_path, suffix):
    path = picture.save(tmp_path, suffix=suffix)
    assert path.name == f"un-café-rouge-红色-11{suffix}"
    beside = json.loads(path.with_suffix(".json").read_text("utf-8"))
    assert beside == picture.record | {
        "file": path.name,
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
    }
    with Image.open(path) as image:
        assert image.size == (32, 24)
        if suffix == ".png":
            assert np.array_equal(pixels(image), pixels(picture.image))
            inside = image.text["zcurate"]
        else:
            comment = image.getexif().get_ifd(0x8769)[0x9286]
            assert comment[:8] == b"ASCII\0\0\0"
            inside = comment[8:]
    assert json.loads(inside) == picture.record


@pytest.mark.parametrize(("suffix", "kind"), [(".png", "PNG"), (".jpg", "JPEG"), (".webp", "WEBP")])
def test_profiling_recognizes_it_as_model_made(picture, tmp_path, suffix, kind):
    found = read_metadata(picture.save(tmp_path, suffix=suffix).read_bytes(), kind)
    assert found["ai_declared"] is True
    assert any("trainedAlgorithmicMedia" in line for line in found["ai_evidence"])
    bare = io.BytesIO()
    picture.image.save(bare, kind)
    assert read_metadata(bare.getvalue(), kind)["ai_declared"] is False


def test_nothing_is_overwritten(picture, tmp_path):
    first, second = picture.save(tmp_path), picture.save(tmp_path)
    third = picture.save(tmp_path, suffix=".webp")  # the record beside the first has the same name
    assert [p.stem.rpartition("-")[2] for p in (first, second, third)] == ["11", "2", "3"]
    assert len(list(tmp_path.iterdir())) == 6


def test_other_formats_are_refused(picture, tmp_path):
    with pytest.raises(GenerationError, match=r"'\.gif'.*\.png"):
        picture.save(tmp_path, suffix=".gif")


# Pictures made elsewhere


def test_a_folder_of_pictures_is_a_generator(tmp_path):
    rng = np.random.default_rng(0)
    made = {}
    for name, prompt, seed in (("a", "cat", 1), ("b", "cat", 2), ("c", "dog", None)):
        made[name] = Image.fromarray(rng.integers(0, 256, (8, 8, 3), np.uint8))
        made[name].save(tmp_path / f"{name}.png")
        (tmp_path / f"{name}.json").write_text(json.dumps({"prompt": prompt, "seed": seed}))
    made["d"] = made["a"].rotate(90)
    made["d"].save(tmp_path / "d.png")
    (tmp_path / "d.txt").write_text("a bird\n")
    engine = FolderImages(tmp_path)
    assert set(engine.prompts) == {"cat", "dog", "a bird"}
    asked = [Request("cat", seed=2), Request("cat", seed=9), Request("dog"), Request("a bird")]
    got = list(engine.generate(asked))
    for picture, name in zip(got, "bacd", strict=True):
        assert np.array_equal(pixels(picture.image), pixels(made[name]))
        assert picture.record["file"] == f"{name}.png"
    with pytest.raises(GenerationError, match="1 pictures of 'dog', and one more"):
        list(engine.generate([Request("dog"), Request("dog")]))
    (tmp_path / "c.png").write_bytes(b"no picture")
    with pytest.raises(GenerationError, match=r"c\.png: not a readable picture"):
        list(engine.generate([Request("dog")]))


def test_folders_without_prompts_are_refused(tmp_path):
    with pytest.raises(GenerationError, match="no such folder"):
        FolderImages(tmp_path / "x")
    photo(8, 8).save(tmp_path / "a.png")
    with pytest.raises(GenerationError, match=r"put NAME\.json"):
        FolderImages(tmp_path)


# The sheet of the demonstration


def test_a_grid_says_that_its_model_is_untrained(tmp_path):
    done = tiny_grid(tmp_path, tiny_pipeline(), seeds=2)
    assert done["trained"] is False
    assert "untrained" in done["note"]
    assert done["prompts"] == list(PROMPTS)
    with Image.open(done["path"]) as sheet:
        assert min(sheet.size) > 100
        assert read_metadata(done["path"].read_bytes(), "PNG")["ai_declared"]
    assert json.loads(done["path"].with_suffix(".json").read_text())["model_trained"] is False


def test_the_bundled_weights_draw_what_their_prompts_say(tmp_path):
    """Read back by the exact reader of their world; a few of 64 may fail, as their card says."""
    prompts = {
        f"a {c} {s}, white background": f"{c} {s}" for c in ("red", "blue") for s in ("circle", "star")
    }
    requests = [Request(p, (32, 32), seed, SETTINGS) for p in prompts for seed in range(8)]
    drawn = list(Generator(shapes_pipeline()).generate(requests, batch=8))
    shown = [
        holds(Claim("object", prompts[p.request.prompt]), read(np.asarray(p.image.convert("RGB"))))
        for p in drawn
    ]
    assert sum(shown) >= 28
    assert tiny_grid(tmp_path, seeds=1)["trained"] is True


def test_a_grid_of_a_model_with_weights_shows_them(tmp_path):
    trained = lively.pipeline()
    trained.trained = True
    done = tiny_grid(tmp_path, Generator(trained).pipeline, seeds=1)
    assert (done["trained"], done["note"]) == (True, "")
