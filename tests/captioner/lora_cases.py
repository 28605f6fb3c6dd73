"""A tiny model with an adapter that was trained on a folder of conversations: what tests of training share."""

import asyncio
import hashlib
import json

import pytest
from PIL import Image

from zcurate.captioner.training.conversations import Conversation, ImagePath
from zcurate.captioner.training.examples import Encoder
from zcurate.captioner.training.fitting import FitSettings, attach, fit
from zcurate.captioner.training.saving import save_adapter
from zcurate.captioner.training.scoring import scores
from zcurate.captioner.vlm.transformers_chat import LocalSettings, TransformersChat

from .tiny_models import save_tiny

CPU = LocalSettings(device="cpu", image_tokens=64)
QUICK = FitSettings(rank=8, alpha=16, rate=1e-2, steps=60, batch=4)
READ = json.dumps({"ocr": [{"text": "OPEN", "kind": "content"}]})
FACTS = {
    "base": "b", "base_name": "tiny", "conversations": {"name": "talks", "digest": "0" * 64, "family": "default"},
    "settings": {"rank": 8}, "fitted": {"drawn": {"ocr": 1}, "steps": 1},
}  # fmt: skip


@pytest.fixture(scope="session", params=["qwen2_5_vl", "qwen3_vl"])
def base(request, tmp_path_factory):
    return save_tiny(request.param, tmp_path_factory.mktemp(request.param), context=1024)


@pytest.fixture(scope="session")
def talks(tmp_path_factory):
    folder = tmp_path_factory.mktemp("talks")
    (folder / "images").mkdir()
    for i in range(6):
        Image.new("RGB", (60 + 7 * i, 60), (40 * i, 90, 200)).save(folder / f"images/{i}.png")
    return folder


def talk(i, answer=READ, task="ocr", **changes):
    given = {"parts": (ImagePath(f"images/{i}.png"), "Read it."), "split": "train", "system": "You read."}
    return Conversation(task=task, answer=answer, **(given | changes))


def loaded(folder):
    chat = TransformersChat(str(folder), CPU)
    chat.load()
    return chat


def weights(network):
    return {
        n: hashlib.sha256(p.detach().numpy().tobytes()).hexdigest() for n, p in network.named_parameters()
    }


def ask(chat, request):
    async def go():
        try:
            return await chat.ask(request)
        finally:
            await chat.close()

    return asyncio.run(go())


@pytest.fixture(scope="session")
def trained(base, talks, tmp_path_factory):
    """(chat in training, scores, the saved adapter, digests of the weights beforehand)."""
    chat = loaded(base)
    before = weights(chat._network)
    model = attach(chat._network, QUICK)
    encoder = Encoder(chat, talks)
    held_out = [talk(4), talk(5)]
    found = {"before": scores(chat, encoder, held_out, 2)}
    fit(model, encoder, [talk(i) for i in range(4)], QUICK)
    found["after"] = scores(chat, encoder, held_out, 2)
    adapter = save_adapter(model, tmp_path_factory.mktemp("out") / "v1", None, FACTS, found)
    return chat, found, adapter, before
