"""Whole runs of diffusers' Z-Image pipelines against `Generator` on the same saved folder: prompts to pixels."""

import numpy as np
import pytest
import torch
from PIL import Image

from zcurate.model.canvas import Start
from zcurate.model.generate import Generator
from zcurate.model.packing import unpatchify
from zcurate.model.request import Request, Settings

from .peer_pipeline import save_omni_peer, save_peer

pytest.importorskip("diffusers", minversion="0.38")  # eight steps are eight forwards from then on

WIDTH, HEIGHT = 256, 320
PROMPT = 'a red kite over "the sea", 红色的风筝'


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    folder = tmp_path_factory.mktemp("peer")
    return save_peer(folder), Generator.load(folder)


@pytest.fixture(scope="module")
def omni_pair(tmp_path_factory):
    folder = tmp_path_factory.mktemp("omni")
    return save_omni_peer(folder), Generator.load(folder)


def ours_latent(generator, request):
    """The latent that the sampler ends at."""
    with torch.no_grad():
        x, _ = generator._sample(generator._encode([request]))
    factor = generator.pipeline.vae.factor
    return unpatchify(x, [(request.canvas[1] // factor, request.canvas[0] // factor)])[0]


def worst(ours, theirs):
    return float(((ours - theirs).abs().max() / theirs.abs().max()).detach())


@pytest.mark.parametrize(
    "settings",
    [
        Settings(steps=8),
        Settings(steps=3, guidance=4.0),
        Settings(steps=4, guidance=4.0, cfg_normalization=0.8),
        Settings(steps=6, guidance=2.0, cfg_truncation=0.3),
    ],
    ids=["turbo", "guided", "normalized", "truncated"],
)
def test_latents_and_pictures_are_those_of_diffusers(pair, settings):
    peer, generator = pair
    negative = "blurry" if settings.guidance else ""
    options = {
        "prompt": PROMPT,
        "negative_prompt": negative,
        "width": WIDTH,
        "height": HEIGHT,
        "num_inference_steps": settings.steps,
        "guidance_scale": settings.guidance,
        "cfg_normalization": settings.cfg_normalization,
        "cfg_truncation": settings.cfg_truncation,
    }

    def theirs(kind):
        return peer(**options, output_type=kind, generator=torch.Generator().manual_seed(7)).images[0]

    request = Request(PROMPT, (WIDTH, HEIGHT), 7, settings, negative)
    assert worst(ours_latent(generator, request), theirs("latent")) < 2e-5
    ours = np.asarray(next(generator.generate([request])).image, int)
    assert ours.std() > 5  # a picture, not a flat color
    assert np.abs(ours - np.asarray(theirs("pil"), int)).max() <= 1  # rounding of the last bit


def test_steps_of_img2img_are_those_of_diffusers(pair):
    from diffusers import ZImageImg2ImgPipeline

    peer, generator = pair
    peer = ZImageImg2ImgPipeline(**peer.components)
    image = Image.new("RGB", (WIDTH, HEIGHT), "gray")
    for steps in (1, 4, 8, 50):
        for strength in (0.1, 0.3, 0.6, 0.75, 1.0):
            peer.scheduler.set_timesteps(sigmas=np.linspace(1.0, 1 / steps, steps).tolist())
            left, count = peer.get_timesteps(steps, strength, "cpu")
            times = generator._times(Request("x", start=Start(image, strength), settings=Settings(steps)))
            if count == 0:  # diffusers refuses; here one step runs
                assert len(times) == 2
                continue
            assert len(times) - 1 == count
            assert np.allclose([1 - t for t in times[:-1]], left.numpy() / 1000, atol=1e-6)


@pytest.mark.parametrize("count", [1, 2])
def test_editing_is_that_of_diffusers(omni_pair, count):
    """References of black and white: diffusers rounds what it encodes to bfloat16, where those are exact."""
    peer, generator = omni_pair
    rng = np.random.default_rng(3)
    sizes = [(256, 256), (272, 260)][:count]  # the second is cropped to 272 * 256
    references = tuple(
        Image.fromarray((rng.random((h // 4, w // 4)) > 0.5).astype(np.uint8) * 255)
        .resize((w, h), Image.Resampling.NEAREST)
        .convert("RGB")
        for w, h in sizes
    )
    encode = peer.vae.encode
    peer.vae.encode = lambda x: encode(x.float())  # its autoencoder is float32 here
    theirs = peer(
        image=list(references),
        prompt="make it night",
        negative_prompt="noise",
        width=WIDTH,
        height=HEIGHT,
        num_inference_steps=3,
        guidance_scale=2.0,
        cfg_normalization=False,
        generator=torch.Generator().manual_seed(5),
        output_type="latent",
    ).images[0]
    peer.vae.encode = encode
    request = Request("make it night", (WIDTH, HEIGHT), 5, Settings(3, 2.0), "noise", references=references)
    assert worst(ours_latent(generator, request), theirs) < 2e-5


def test_long_prompts_are_cut_where_diffusers_cuts_them(pair):
    peer, generator = pair
    prompt = "word " * 200
    theirs = peer.encode_prompt(prompt, do_classifier_free_guidance=False)[0][0]
    with pytest.warns(UserWarning, match="first 512"):
        (ours,) = generator.pipeline.text_encoder.encode(prompt)
    assert ours.shape == theirs.shape == (512, 64)
    assert worst(ours, theirs) < 1e-5
