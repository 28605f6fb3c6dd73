"""What `Generator` refuses or cannot finish: typed errors that name the size, the setting or the option."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from zcurate.model.canvas import check_canvas, parse_size
from zcurate.model.errors import (
    BrokenPictureError,
    GenerationError,
    MemoryShortError,
    ModelWarning,
    SizeError,
)
from zcurate.model.failures import advice, memory_advice
from zcurate.model.generate import Runtime
from zcurate.model.request import Request, Settings
from zcurate.model.tiny_encoders import PixelVae

from . import lively
from .lively import draw

QUICK = Settings(steps=3)


@pytest.fixture(scope="module")
def generator():
    return lively.generator()


@pytest.mark.parametrize(
    ("size", "nearest"),
    [
        ((1000, 1024), "992*1024"),
        ((1000, 1001), "992*1008"),
        ((100, 1024), "256*1024"),
        ((9000, 512), "8192*512"),
    ],
)
def test_sizes_are_refused_with_the_nearest_allowed(size, nearest):
    with pytest.raises(SizeError, match="nearest: " + nearest.replace("*", r"\*")) as found:
        check_canvas(size, 16, 256, 8192)
    check_canvas(parse_size(str(found.value).rpartition("nearest: ")[2]), 16, 256, 8192)


def test_nothing_is_drawn_of_a_list_with_a_bad_request(generator):
    requests = [Request("x", (32, 32)), Request("y", (33, 32))]
    with lively.counted(generator.pipeline.transformer) as seen, pytest.raises(SizeError, match=r"32\*32"):
        list(generator.generate(requests))
    assert seen == []


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"seed": -1}, "seed is -1"),
        ({"seed": 2**63}, "seed is"),
        ({"prompt": "caf\udce9"}, "not valid text"),
        ({"prompt": "字" * 2000}, "1536"),
    ],
)
def test_requests_that_cannot_be(generator, change, message):
    with pytest.raises((GenerationError, SizeError), match=message):
        draw(generator, replace(Request("x", (32, 32), 0, QUICK), **change))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"steps": 0}, "steps"),
        ({"guidance": float("nan")}, "guidance"),
        ({"cfg_truncation": 1.5}, "cfg_truncation"),
        ({"sampler": "ddim"}, "euler, heun, sde"),
        ({"shift": "wide"}, "dynamic"),
        ({"shift": 0.0}, "positive"),
        ({"sde_noise": -1}, "sde_noise"),
    ],
)
def test_settings_that_cannot_be(values, message):
    with pytest.raises(GenerationError, match=message):
        Settings(**values)


def test_a_negative_prompt_without_guidance_warns(generator):
    with pytest.warns(ModelWarning, match="guidance is 0"):
        draw(generator, Request("x", (32, 32), 1, QUICK, negative="blurry"))


def broken(value=None, **runtime):
    """A generator one of whose weights is `value`."""
    made = lively.generator(**runtime)
    with torch.no_grad():
        made.pipeline.transformer.head.linear.bias.fill_(value)
    return made


@pytest.mark.parametrize(
    ("runtime", "settings", "named"),
    [
        ({"dtype": "float16"}, QUICK, "dtype=float16"),
        ({"dtype": "bfloat16", "quantize": "int4"}, QUICK, "quantize=int4"),
        ({"dtype": "float32"}, Settings(2, guidance=30.0), "guidance=30"),
        ({"dtype": "float32"}, QUICK, "weights themselves"),
    ],
)
@pytest.mark.filterwarnings("ignore::zcurate.model.errors.ModelWarning")
def test_nan_names_the_setting(runtime, settings, named):
    made = lively.generator(**runtime)
    with torch.no_grad():
        made.pipeline.transformer.head.linear.bias.fill_(float("nan"))
    with pytest.raises(BrokenPictureError, match=named):
        draw(made, Request("x", (32, 32), 1, settings))


def test_black_is_an_error():
    made = broken(-50.0)
    with pytest.raises(BrokenPictureError, match="black"):
        draw(made, Request("x", (32, 32), 1, QUICK))


def test_nan_of_the_decoder_is_an_error():
    class Overflowing(PixelVae):
        def decode(self, latent):
            return latent * float("inf")

    made = lively.generator()
    made.pipeline.vae = Overflowing()
    with pytest.raises(BrokenPictureError, match="the decoder gave NaN"):
        draw(made, Request("x", (32, 32), 1, QUICK))


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_half_precision_is_near(generator, dtype):
    request = Request("a red circle", (32, 32), 1)
    (want,), (got,) = draw(generator, request), draw(lively.generator(dtype=dtype), request)
    assert np.abs(want - got).mean() < 4


# Out of memory


def test_advice_on_memory_comes_in_order():
    steps = advice((1024, 1024), 4, torch.float32, None, None)
    words = ["--size 512*512", "--batch 1", "bfloat16", "int4", "offload model", "offload sequential"]
    assert len(steps) == len(words)
    assert all(word in step for word, step in zip(words, steps, strict=True))
    assert advice((256, 256), 1, torch.bfloat16, "int4", "model") == ["--offload sequential"]
    assert advice((256, 256), 1, torch.bfloat16, "int4", "sequential")[0] == "--vae-tile 512"
    assert advice((256, 1024), 1, torch.bfloat16, None, None)[0] == "--size 256*512"


def test_a_real_shortage_is_told_with_the_advice():
    with (
        pytest.raises(
            MemoryShortError, match=r"while drawing \(64\*64 px, batch 2\).*1\. --batch 1; 2\. "
        ) as e,
        memory_advice("drawing", (64, 64), 2, torch.float32, None, None),
    ):
        torch.empty(1 << 52)
    assert isinstance(e.value.__cause__, RuntimeError)


def test_other_faults_stay_themselves():
    with (
        pytest.raises(RuntimeError, match="shape"),
        memory_advice("drawing", (1, 1), 1, torch.float32, None, None),
    ):
        raise RuntimeError("shape mismatch")


@pytest.mark.parametrize(
    ("values", "message"),
    [({"dtype": "int8"}, "dtype"), ({"offload": "disk"}, "offload"), ({"vae_tile_px": 8}, "64")],
)
def test_runtimes_that_cannot_be(values, message):
    with pytest.raises(GenerationError, match=message):
        Runtime(**values)
