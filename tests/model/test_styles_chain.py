"""Named styles, presets and seeds; the chain of models."""

from functools import partial

import numpy as np
import pytest
from PIL import Image, ImageFilter

from zcurate.model.chain import Plan, run_chain, sharpness
from zcurate.model.errors import GenerationError
from zcurate.model.image_files import pixels_digest
from zcurate.model.request import PRESETS, Request, Settings
from zcurate.model.styles import NamedPreset, Shelf, Style, read_shelf, save_preset

from . import lively
from .lively import photo, pixels

SHELF = """
styles:
  film: {suffix: ", 35 mm film", negative: "text"}
  sketch: {prefix: "a sketch of "}
presets:
  portrait: {preset: base, size: 768*1024, steps: 28, guidance: 3.5, shift: dynamic, style: film, seed: hero}
seeds: {hero: 1234}
"""


@pytest.fixture
def shelf(tmp_path):
    path = tmp_path / "shelf.yaml"
    path.write_text(SHELF)
    return path


def test_a_shelf_is_read(shelf):
    found = read_shelf(shelf)
    assert found.style("film").apply("a cat", "fog") == ("a cat, 35 mm film", "fog, text")
    assert found.style("sketch").apply("a cat", "") == ("a sketch of a cat", "")
    preset = found.preset("portrait")
    assert preset.settings("turbo") == Settings(28, 3.5, shift="dynamic")
    assert found.seed(preset.seed) == found.seed("hero") == 1234
    assert found.seed("77") == 77
    assert found.preset("turbo").settings("base") == PRESETS["turbo"]
    with pytest.raises(GenerationError, match="style 'noir' is not known; there are film, sketch"):
        found.style("noir")
    with pytest.raises(GenerationError, match="there are turbo, base, edit"):
        Shelf().preset("mine")


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("- a\n", "holds styles, presets and seeds"),
        ("colors: {}", "holds styles"),
        ("styles: {film: {suffix: 3}}", "style film: suffix is 3"),
        ("styles: {film: {after: x}}", r"style film: unknown \['after'\]"),
        ("presets: {p: {steps: 0}}", "preset p: steps is 0"),
        ("presets: {p: {steps: many}}", "preset p"),
        ("presets: {p: {preset: fast}}", "preset p: preset is 'fast'"),
        ("presets: {p: {size: big}}", "preset p: size 'big'"),
        ("presets: {p: {style: film}}", "preset p: style 'film' is not known"),
        ("seeds: {s: -1}", "seed s is -1"),
        ("seeds: {s: true}", "seed s is True"),
        ("styles: {a: !!python/object:os.system {}}", "cannot be read as YAML"),
    ],
)
def test_shelves_that_cannot_be_name_the_field(tmp_path, text, named):
    path = tmp_path / "shelf.yaml"
    path.write_text(text)
    with pytest.raises(GenerationError, match=named) as found:
        read_shelf(path)
    assert str(path) in str(found.value)


def test_a_preset_is_kept_beside_the_others(shelf, tmp_path):
    save_preset(shelf, "quick", NamedPreset(preset="turbo", steps=4))
    found = read_shelf(shelf)
    assert set(found.presets) == {"portrait", "quick"}
    assert found.preset("quick").settings("base") == Settings(4)
    assert found.styles["film"] == Style(suffix=", 35 mm film", negative="text")
    save_preset(tmp_path / "new.yaml", "mine", NamedPreset(seed=3))
    assert read_shelf(tmp_path / "new.yaml").preset("mine").seed == 3
    with pytest.raises(GenerationError, match="built in"):
        save_preset(shelf, "turbo", NamedPreset())


# The chain

PLAN = Plan(
    drafts=3, batch=2, refine=Settings(2, 1.5), strength=0.5, instruction="make it night", edit=Settings(1)
)
REQUEST = Request("a tea house", (16, 24), 40, Settings(2), "blurry")


@pytest.fixture(scope="module")
def models():
    return {"turbo": lively.generator(), "base": lively.generator(), "edit": lively.generator(semantic=True)}


def brightness(images, prompt):
    assert prompt == "a tea house"
    return [float(pixels(image).mean()) for image in images]


def test_draft_pick_refine_edit(models):
    loaded = []

    def load(name):
        loaded.append(name)
        return models[name]

    loads = [partial(load, name) for name in ("turbo", "base", "edit")]
    links = list(run_chain(REQUEST, *loads, brightness, PLAN))
    assert loaded == ["turbo", "base", "edit"]  # each when its turn comes, once
    assert [link.stage for link in links] == ["draft"] * 3 + ["refine", "edit"]
    drafts, (refined, edited) = links[:3], links[3:]
    assert [d.picture.request.seed for d in drafts] == [40, 41, 42]
    best = max(drafts, key=lambda d: d.score)
    assert [d.picked for d in drafts] == [d is best for d in drafts]
    record = refined.picture.record
    assert (record["seed"], record["strength"], record["guidance_scale"]) == (
        best.picture.request.seed,
        0.5,
        1.5,
    )
    assert (record["negative_prompt"], best.picture.record["negative_prompt"]) == ("blurry", "")
    assert record["forwards"] == 1  # half of two steps
    assert record["start_sha256"] == pixels_digest(best.picture.image)
    assert edited.picture.record["prompt"] == "make it night"
    assert edited.picture.record["references_sha256"]
    assert edited.picture.record["chain_prompt"] == "a tea house"


def test_stages_can_be_left_out(models):
    links = list(run_chain(REQUEST, lambda: models["turbo"], None, None, brightness, Plan(drafts=1)))
    assert [link.stage for link in links] == ["draft"]


@pytest.mark.parametrize(
    ("plan", "score", "message"),
    [
        (Plan(instruction="x"), brightness, "needs an Edit model"),
        (Plan(drafts=0), brightness, "drafts is 0"),
        (Plan(drafts=2), lambda images, prompt: [1.0], "a number each"),
        (Plan(drafts=2), lambda images, prompt: [1.0, float("nan")], "a number each"),
    ],
)
def test_chains_that_cannot_be(models, plan, score, message):
    with pytest.raises(GenerationError, match=message):
        list(run_chain(REQUEST, lambda: models["turbo"], None, None, score, plan))


def test_sharpness_prefers_the_sharp():
    image = photo(64, 64, seed=3)
    grain = np.random.default_rng(0).normal(0, 20, (64, 64, 3))
    detailed = Image.fromarray(np.clip(pixels(image) + grain, 0, 255).astype(np.uint8))
    soft = detailed.filter(ImageFilter.GaussianBlur(2))
    first, second = sharpness([detailed, soft], "x")
    assert first > second
