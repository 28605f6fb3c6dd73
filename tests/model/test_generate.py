"""What `Generator` promises: forwards, seeds, batches, starts, masks, references, and errors that name the fix."""

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from zcurate.model.canvas import OUTPAINT_OVERLAP_PX, Start, outpaint
from zcurate.model.errors import (
    GenerationError,
    ModelWarning,
    SizeError,
)
from zcurate.model.generate import Generator
from zcurate.model.request import PRESETS, Request, Settings, preset_of

from . import lively
from .lively import counted, draw, photo, pixels

QUICK = Settings(steps=3)


@pytest.fixture(scope="module")
def generator():
    return lively.generator()


@pytest.fixture(scope="module")
def editor():
    return lively.generator(semantic=True)


def test_turbo_is_eight_forwards(generator):
    with counted(generator.pipeline.transformer) as seen:
        picture = next(generator.generate([Request("a red circle", (32, 48), 1)]))
    assert seen == [1] * 8
    assert picture.record["forwards"] == 8
    assert picture.image.size == (32, 48)


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        (Settings(3, sampler="heun"), [1] * 5),
        (Settings(3, sampler="sde"), [1] * 3),
        (Settings(3, guidance=2.0), [2] * 3),
        (Settings(4, guidance=2.0, cfg_truncation=0.2, shift=1.0), [2, 1, 1, 1]),
    ],
    ids=["heun", "sde", "guided", "truncated"],
)
def test_forwards_of_other_settings(generator, settings, expected):
    """Conditional and unconditional samples are one forward of two; behind the truncation, of one."""
    with counted(generator.pipeline.transformer) as seen:
        next(generator.generate([Request("x", (32, 32), 1, settings)]))
    assert seen == expected


def test_seed_prompt_and_negative_decide(generator):
    guided = Settings(3, guidance=2.0)
    base = Request("a cat", (32, 32), 5, guided, "dog")
    (first,) = draw(generator, base)
    assert np.array_equal(draw(generator, base)[0], first)
    for change in ({"seed": 6}, {"prompt": "a cot"}, {"negative": "fog"}, {"settings": Settings(4, 2.0)}):
        assert not np.array_equal(draw(generator, replace(base, **change))[0], first), change


def test_a_batch_of_unequal_requests_is_each_alone(generator):
    settings = Settings(4, guidance=2.0, cfg_normalization=1.0)
    requests = [
        Request("one", (32, 32), 1, settings, "blurry"),
        Request("a much longer prompt about two things and three more " * 3, (48, 16), 2, settings),
        Request("三", (32, 64), 3, settings, "糊"),
    ]
    together = draw(generator, *requests, batch=3)
    for request, picture in zip(requests, together, strict=True):
        assert np.abs(draw(generator, request)[0] - picture).max() <= 1


def test_only_requests_with_equal_settings_share_a_run(generator):
    requests = [Request("a", (32, 32), i, QUICK) for i in range(3)]
    requests += [Request("b", (32, 32), i, Settings(2)) for i in range(2)]
    with counted(generator.pipeline.transformer) as seen:
        pictures = list(generator.generate(requests, batch=2))
    assert seen == [2] * 3 + [1] * 3 + [2] * 2
    assert [p.request for p in pictures] == requests


def test_the_shift_of_settings_moves_the_steps(generator):
    def sigmas(shift):
        request = Request("x", (64, 64), 1, Settings(4, shift=shift))
        return next(generator.generate([request])).record["sigmas"]

    assert sigmas(None) == sigmas(3.0)  # that of the model
    assert sigmas(1.0) == [1.0, 0.75, 0.5, 0.25, 0.0]
    dynamic = sigmas("dynamic")  # e^mu(256 tokens) = e^0.5
    factor = np.exp(0.5)
    assert np.allclose(dynamic, [factor * s / (1 + (factor - 1) * s) for s in sigmas(1.0)], atol=1e-3)


# Starts and masks


def test_strength_decides_what_is_left_of_the_picture(generator):
    image = photo(32, 32)
    shares = []
    for strength in (0.125, 0.5, 1.0):
        request = Request("x", seed=3, settings=PRESETS["turbo"], start=Start(image, strength))
        picture = next(generator.generate([request]))
        assert picture.record["forwards"] == round(8 * strength)
        assert picture.record["strength"] == strength
        shares.append(float(np.abs(pixels(picture.image) - pixels(image)).mean()))
    assert shares == sorted(shares)
    fresh = draw(generator, Request("x", (32, 32), 3))[0]
    assert np.array_equal(draw(generator, Request("x", seed=3, start=Start(image, 1.0)))[0], fresh)


def disk(width, height):
    y, x = np.ogrid[:height, :width]
    inside = (x - width / 2) ** 2 + (y - height / 2) ** 2 < (width / 4) ** 2
    return Image.fromarray(inside.astype(np.uint8) * 255)


@pytest.mark.parametrize("sampler", ["euler", "heun", "sde"])
@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
def test_pixels_under_black_are_kept_bit_for_bit(generator, sampler, mode):
    image, mask = photo(32, 48, mode=mode), disk(32, 48)
    start = Start(image, 1.0, mask)
    (got,) = draw(generator, Request("x", seed=3, settings=Settings(3, sampler=sampler), start=start))
    black = np.asarray(mask) == 0
    own = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image) if mode == "RGBA" else image
    assert np.array_equal(got[black], pixels(own)[black])
    assert np.abs(got[~black] - pixels(own)[~black]).mean() > 5


def test_what_is_drawn_sees_what_is_kept(generator):
    """Inpainting is no pasting: other surroundings, other inside."""
    mask = disk(32, 32)
    white = np.asarray(mask) > 0
    one, two = (
        draw(generator, Request("x", seed=3, settings=QUICK, start=Start(photo(32, 32, seed), 1.0, mask)))[0]
        for seed in (0, 1)
    )
    assert not np.array_equal(one[white], two[white])


def test_starts_and_plain_requests_share_a_run(generator):
    settings = Settings(4)
    requests = [
        Request("a", (32, 32), 1, settings),
        Request("b", seed=2, settings=settings, start=Start(photo(32, 48), 1.0, disk(32, 48))),
        Request("c", seed=3, settings=settings, start=Start(photo(64, 32), 1.0)),
    ]
    with counted(generator.pipeline.transformer) as seen:
        together = draw(generator, *requests, batch=3)
    assert seen == [3] * 4
    for request, picture in zip(requests, together, strict=True):
        assert np.abs(draw(generator, request)[0] - picture).max() <= 1


def test_outpainting_keeps_the_inner_picture(generator):
    image = photo(48, 40)
    start = outpaint(image, 16, 0, 8, 24, multiple_px=2)
    assert start.image.size == (48 + 16 + 8, 40 + 24)
    (got,) = draw(generator, Request("x", seed=3, settings=QUICK, start=start))
    strip = min(OUTPAINT_OVERLAP_PX, 48 // 4, 40 // 4)
    kept = got[: 40 - strip, 16 + strip : 16 + 48 - strip]
    assert np.array_equal(kept, pixels(image)[: 40 - strip, strip : 48 - strip])
    assert not np.array_equal(got[40:], pixels(start.image)[40:])


@pytest.mark.parametrize(
    ("sides", "message"),
    [((0, 0, 0, 0), "some somewhere"), ((-16, 0, 16, 0), "0 or more"), ((1, 0, 0, 0), r"right 15, bottom 0")],
)
def test_outpainting_that_cannot_be(sides, message):
    with pytest.raises(SizeError, match=message):
        outpaint(photo(64, 64), *sides, multiple_px=16)


# Editing


@pytest.mark.parametrize("count", [1, 2, 3, 4])
def test_every_reference_counts(editor, count):
    references = tuple(photo(16 + 8 * i, 16, seed=i) for i in range(count))
    request = Request("combine them", (16, 24), 4, Settings(2), references=references)
    (got,) = draw(editor, request)
    assert got.shape == (24, 16, 3)
    for i in range(count):
        other = list(references)
        other[i] = photo(*references[i].size, seed=50)
        assert not np.array_equal(draw(editor, replace(request, references=tuple(other)))[0], got), i


def test_edits_and_plain_requests_share_a_run(editor):
    requests = [
        Request("draw", (32, 32), 1, Settings(2, 1.5), "bad"),
        Request("edit", (32, 32), 2, Settings(2, 1.5), "bad", references=(photo(48, 32),)),
    ]
    together = draw(editor, *requests, batch=2)
    for request, picture in zip(requests, together, strict=True):
        assert np.abs(draw(editor, request)[0] - picture).max() <= 1


def test_references_that_cannot_be(editor):
    with pytest.raises(GenerationError, match="5 references; at most 4"):
        draw(editor, Request("x", (32, 32), references=(photo(32, 32),) * 5))
    with pytest.raises(SizeError, match="differ at most"):
        draw(editor, Request("x", (32, 32), references=(photo(320, 32),)))
    with pytest.raises(GenerationError, match="exclude each other"):
        draw(editor, Request("x", (32, 32), references=(photo(32, 32),), start=Start(photo(32, 32))))
    turbo = lively.pipeline()
    turbo.preset = "turbo"
    with pytest.raises(GenerationError, match="takes no reference pictures"):
        draw(Generator(turbo), Request("x", (32, 32), references=(photo(32, 32),)))
    turbo.preset = ""
    with pytest.warns(ModelWarning, match="does not say that it can edit"):
        draw(Generator(turbo), Request("x", (32, 32), 0, QUICK, references=(photo(32, 32),)))


def test_the_preset_follows_from_the_model():
    pipeline = lively.pipeline()
    assert preset_of(pipeline) == "tiny"
    assert preset_of(pipeline, references=True) == "edit"
    pipeline.preset = ""
    assert preset_of(pipeline) == "turbo"
    pipeline.schedule = replace(pipeline.schedule, shift=6.0)
    assert preset_of(pipeline) == "base"
    pipeline.preset = "turbo"
    assert preset_of(pipeline) == "turbo"
    assert (PRESETS["turbo"].steps, PRESETS["turbo"].guidance) == (8, 0)
