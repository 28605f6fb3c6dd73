"""Experts that make pictures elsewhere: a folder, a real server, a real (tiny, random) diffusion pipeline."""

from __future__ import annotations

import base64
import http.server
import json
import threading

import cv2
import numpy as np
import pytest

from zcurate.curation.edits.encoding import encode_png
from zcurate.curation.edits.experts import NoProposalError
from zcurate.curation.edits.foreign import (
    DiffusersExpert,
    Edited,
    FolderExpert,
    Foreign,
    ForeignError,
    HttpExpert,
    Order,
    fitted,
)
from zcurate.curation.edits.library import Library
from zcurate.curation.edits.making import Maker, Plan
from zcurate.curation.edits.scene import Scene

HAT = {"en": "Put a hat on the statue.", "zh": "给雕像戴上帽子。"}


@pytest.fixture
def rgb():
    rng = np.random.default_rng(2)
    layers = [cv2.resize(rng.normal(0, 1, (64 // s, 96 // s, 3)), (96, 64)) * s for s in (1, 4, 8)]
    return np.clip(sum(layers) * 9 + 120, 0, 255).astype(np.uint8)


@pytest.fixture
def folder(tmp_path, rgb):
    target = rgb.copy()
    target[10:30, 20:50] = (20, 30, 200)
    mask = np.zeros_like(rgb)
    mask[10:30, 20:50] = 255
    (tmp_path / "hat.png").write_bytes(encode_png(target))
    (tmp_path / "mask.png").write_bytes(encode_png(mask))
    line = {"source": "k", "target": "hat.png", "mask": "mask.png", "type": "object.add", "instruction": HAT}
    (tmp_path / "edits.jsonl").write_text(json.dumps(line) + "\n")
    return tmp_path


def test_edits_of_a_folder_become_forward_pairs_beside_exact_ones(folder, rgb):
    expert = FolderExpert.open(folder)
    group = Maker(Plan(versions=40, chained_share=0, mixed_share=0), Library(), more=[Foreign(expert)]).make(
        rgb, "k"
    )
    made = [j for j in group.pairs if "image/0" in j.pair.spec.order]
    assert any(v.experts == ("folder",) for v in group.versions)
    assert made
    for judged in made:
        assert "hat on the statue" in judged.instructions["en_short"]
        assert "帽子" in judged.instructions["zh_long"]
        assert judged.verdict.status == "accept"
    scene = Scene("k", rgb)
    proposal = Foreign(expert).propose(scene, {}, np.random.default_rng(0))
    assert np.array_equal(
        scene.render(proposal.spec.apply({})), expert.edit(rgb, expert.orders(scene)[0], 0).rgb
    )
    assert scene.mask(proposal.spec, {}).sum() == 20 * 30
    with pytest.raises(NoProposalError):
        Foreign(expert).propose(Scene("other", rgb), {}, np.random.default_rng(0))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"target": "../hat.png"}, "outside"),
        ({"target": "gone.png"}, "line 1"),
        ({"type": "object.dream"}, "object.dream"),
        ({"instruction": {"en": "x"}}, "zh"),
    ],
)
def test_a_bad_line_is_named(folder, change, said):
    line = json.loads((folder / "edits.jsonl").read_text())
    (folder / "edits.jsonl").write_text(json.dumps(line | change) + "\n")
    with pytest.raises(ForeignError, match=said):
        FolderExpert.open(folder)


@pytest.fixture
def server(rgb):
    """Answers by what the instruction says."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            source = cv2.imdecode(np.frombuffer(base64.b64decode(body["image"]), np.uint8), 1)
            word = body["instruction"]
            answer = {"image": base64.b64encode(cv2.imencode(".png", 255 - source)[1].tobytes()).decode()}
            if word == "small":
                answer = {"image": base64.b64encode(cv2.imencode(".png", source[:16])[1].tobytes()).decode()}
            if word == "nonsense":
                answer = {"picture": 1}
            self.send_response(500 if word == "fail" else 200)
            self.end_headers()
            self.wfile.write(json.dumps(answer).encode())

        def log_message(self, *args):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{running.server_port}/edit"
        running.shutdown()


def test_a_server_edits(server, rgb):
    order = Order("foreign.edit", {"en": "Invert it.", "zh": "反相。"})
    expert = HttpExpert(server, (order,), "negative@1")
    scene = Scene("k", rgb)
    proposal = Foreign(expert).propose(scene, {}, np.random.default_rng(0))
    assert np.array_equal(scene.render(proposal.spec.apply({})), 255 - rgb)
    for word, said in (("fail", "500"), ("nonsense", "image"), ("small", "size")):
        bad = HttpExpert(server, (Order("foreign.edit", HAT, prompt=word),), "m")
        with pytest.raises(NoProposalError, match=said):
            Foreign(bad).propose(scene, {}, np.random.default_rng(0))
    gone = HttpExpert("http://127.0.0.1:9/edit", (order,), "m")
    with pytest.raises(NoProposalError, match=r"127\.0\.0\.1:9"):
        Foreign(gone).propose(scene, {}, np.random.default_rng(0))


def test_a_target_of_another_size_is_refused(rgb):
    with pytest.raises(ForeignError, match="own size"):
        fitted(Edited(rgb[:32]), Scene("k", rgb))
    with pytest.raises(ForeignError, match="mask"):
        fitted(Edited(rgb, np.ones((3, 3), bool)), Scene("k", rgb))


@pytest.mark.slow
def test_a_diffusion_pipeline_of_the_real_class_edits(tmp_path, rgb):
    diffusers = pytest.importorskip("diffusers")
    import torch
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

    torch.manual_seed(0)
    unet = diffusers.UNet2DConditionModel(
        block_out_channels=(32, 64),
        layers_per_block=1,
        sample_size=16,
        in_channels=8,
        out_channels=4,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        cross_attention_dim=32,
        norm_num_groups=8,
    )
    vae = diffusers.AutoencoderKL(
        block_out_channels=(32, 64),
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        latent_channels=4,
        norm_num_groups=8,
    )
    text = CLIPTextConfig(
        hidden_size=32, intermediate_size=37, num_attention_heads=4, num_hidden_layers=2, vocab_size=1000
    )
    letters = [chr(c) for c in range(33, 127)]
    vocabulary = {
        w: i
        for i, w in enumerate([*letters, *(x + "</w>" for x in letters), "<|startoftext|>", "<|endoftext|>"])
    }
    (tmp_path / "vocab.json").write_text(json.dumps(vocabulary))
    (tmp_path / "merges.txt").write_text("#version: 0.2\n")
    pipeline = diffusers.StableDiffusionInstructPix2PixPipeline(
        vae=vae,
        text_encoder=CLIPTextModel(text),
        tokenizer=CLIPTokenizer(
            str(tmp_path / "vocab.json"), str(tmp_path / "merges.txt"), model_max_length=77
        ),
        unet=unet,
        scheduler=diffusers.DDIMScheduler(),
        safety_checker=None,
        feature_extractor=None,
        image_encoder=None,
        requires_safety_checker=False,
    )
    pipeline.save_pretrained(tmp_path / "pipeline", safe_serialization=True)
    expert = DiffusersExpert(str(tmp_path / "pipeline"), (Order("foreign.edit", HAT),), "tiny", steps=2)
    scene = Scene("k", rgb)
    first = Foreign(expert).propose(scene, {}, np.random.default_rng(3)).spec.apply({})
    again = Foreign(expert).propose(scene, {}, np.random.default_rng(3)).spec.apply({})
    assert first == again
    assert scene.render(first).shape == rgb.shape
