"""Pipelines of the tiny preset whose weights are random: what they draw depends on everything, and means nothing."""

import contextlib

import numpy as np
from PIL import Image

from zcurate.model.generate import Generator, Runtime
from zcurate.model.pipeline_folder import tiny_pipeline

from .peer import random_model


def pipeline(semantic=False, std=0.12):
    made = tiny_pipeline(semantic=semantic, name="lively")
    made.transformer = random_model(made.transformer.config, std).requires_grad_(False)
    return made


def generator(semantic=False, **runtime):
    return Generator(pipeline(semantic), Runtime(device="cpu", **runtime))


def photo(width, height, seed=0, mode="RGB"):
    """Smooth random colors."""
    rng = np.random.default_rng(seed)
    small = Image.fromarray(rng.integers(0, 256, (4, 4, len(mode)), np.uint8), mode)
    return small.resize((width, height), Image.Resampling.BICUBIC)


def pixels(image):
    return np.asarray(image.convert("RGB"), int)


def draw(generator, *requests, batch=1):
    """Pixels of each picture."""
    return [pixels(p.image) for p in generator.generate(requests, batch)]


@contextlib.contextmanager
def counted(model):
    """Samples of each forward of the model."""
    seen = []
    handle = model.register_forward_pre_hook(lambda m, args: seen.append(len(args[3].samples)))
    yield seen
    handle.remove()
