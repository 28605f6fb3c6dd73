"""Memory of each mode: counted weights, activations traced on shapes, and the promises for small GPUs."""

import json

import pytest
import torch
from torch import nn

from zcurate.model.config import PRESETS
from zcurate.model.errors import ModelConfigError
from zcurate.model.memory_plan import GB, MODES, Mode, Qwen3Size, Sizes, peak_bytes, stack_bytes, table
from zcurate.model.memory_trace import FusedAttention, LiveBytes, decoding_bytes, drawing_bytes
from zcurate.model.model import Features, S3DiT
from zcurate.model.packed import Sample
from zcurate.model.packing import plan
from zcurate.model.quantize import PackedLinear
from zcurate.model.vae import AutoencoderKL, VaeConfig

from . import peer_pipeline

SQUARE = (1024, 1024)


@pytest.fixture(scope="module")
def full():
    return Sizes.full()


def peaks(sizes, *modes, size=SQUARE, samples=1):
    return [peak_bytes(sizes, mode, size, samples)["peak"] / GB for mode in modes]


def test_parameters_are_those_of_the_released_model(full):
    assert full.stack + full.rest == 6_154_908_736
    assert full.vae == pytest.approx(83.8e6, rel=0.01)
    # Qwen3-4B has 4.02 B parameters with all 36 layers, the embedding being the head too.
    assert full.text.layers + full.text.layer + full.text.embedding == pytest.approx(4.02e9, rel=0.005)
    # The reference: bf16 weights of 12.31, 8.0 and 0.17 GB; the last text layer is not loaded.
    assert peak_bytes(full, Mode(16), (256, 256))["draw"] / GB == pytest.approx(12.31 + 8.0 + 0.17, abs=0.3)


def test_the_full_model_fits_small_gpus(full):
    """With half a gigabyte for the CUDA context."""
    for mode in (Mode(16, "model"), Mode(16, "sequential", True), Mode(8), Mode(8, "model")):
        assert peaks(full, mode)[0] + 0.5 < 16, mode
    for mode in (Mode(4, "model"), Mode(4, "model", True), Mode(4, "sequential", True)):
        assert peaks(full, mode)[0] + 0.5 < 8, mode


def test_each_option_saves_memory(full):
    assert peaks(full, Mode(32), Mode(16), Mode(8), Mode(4)) == sorted(
        peaks(full, Mode(32), Mode(16), Mode(8), Mode(4)), reverse=True
    )
    whole, model, sequential = peaks(full, Mode(16), Mode(16, "model"), Mode(16, "sequential"))
    assert whole > model > sequential
    wide = {"size": (2048, 2048)}
    assert peaks(full, Mode(16, "model"), **wide)[0] > peaks(full, Mode(16, "model"))[0]
    untiled, tiled = (peak_bytes(full, Mode(16, None, t), (2048, 2048))["decode"] for t in (False, True))
    assert untiled - tiled > 5 * GB
    assert peaks(full, Mode(16), samples=4)[0] > peaks(full, Mode(16))[0]


def test_the_table_names_options_that_exist(full):
    rows = table(full, SQUARE)
    assert len(rows) == len(MODES)
    for row in rows:
        assert row["peak_gb"] == max(row[f"{stage}_gb"] for stage in ("encode", "draw", "decode"))
        flags = {word for word in row["options"].split() if word.startswith("--")}
        assert flags <= {"--dtype", "--quantize", "--offload", "--vae-tile"}


def test_packed_weights_take_what_is_counted():
    linear = nn.Linear(256, 512, bias=False).bfloat16()
    for bits in (8, 4):
        packed = PackedLinear(linear, bits)
        held = sum(t.nbytes for t in packed.buffers())
        assert held == stack_bytes(linear.weight.numel(), 256, bits)


def test_live_bytes_are_counted():
    with LiveBytes() as live:
        a = torch.empty(1000, device="meta")  # 4,000 bytes
        b = a + a  # 8,000
        c = (b * 2) + 1  # 12,000, then 16,000, and the product goes
        d = c.view(10, 100)  # nothing new
        del b
        e = a.half()
    assert live.peak == 16_000
    assert live.now == 4_000 + 4_000 + 2_000
    del a, c, d, e
    assert live.now == 0


@torch.no_grad()
def test_a_shortened_model_has_the_peak_of_the_whole():
    config = PRESETS["small"]
    with torch.device("meta"):
        model = S3DiT(config).bfloat16().requires_grad_(False)
    layout = plan([Sample((64, 96), (100,))] * 2, config, "meta")
    with LiveBytes() as live, FusedAttention(), torch.device("meta"):
        x, text = torch.empty(layout.tokens.target, 64), torch.empty(200, 1024)
        model(x, torch.empty(1), model.encode(Features(text), layout), layout)
    assert drawing_bytes(config, (64, 96), 100, 2, torch.bfloat16, 16) == pytest.approx(live.peak, rel=0.02)


@torch.no_grad()
def test_the_trace_on_shapes_is_that_of_a_run_with_data():
    config = VaeConfig((16, 32, 32, 32), norm_num_groups=8)
    vae = AutoencoderKL(config).requires_grad_(False)
    with LiveBytes() as live:
        vae.decode(torch.randn(16, 24, 16))
    traced = decoding_bytes(config, (24, 16), None, torch.float32)
    assert traced == pytest.approx(live.peak, rel=0.05)
    assert decoding_bytes(config, (96, 96), 128, torch.float32) < decoding_bytes(
        config, (96, 96), None, torch.float32
    )


def test_a_folder_is_planned_from_its_configurations(tmp_path):
    peer_pipeline.save_peer(tmp_path)
    for weights in tmp_path.rglob("*.safetensors"):
        weights.unlink()
    sizes = Sizes.read(tmp_path)
    assert sizes.text == Qwen3Size(64, 128, peer_pipeline.QWEN3_LAYERS, 4, 2, 16, 512)
    assert sizes.factor == 8
    assert all(row["peak_gb"] < 1 for row in table(sizes, (256, 256)))
    (tmp_path / "text_encoder" / "config.json").write_text(json.dumps({"hidden_size": "wide"}))
    with pytest.raises(ModelConfigError, match="text_encoder"):
        Sizes.read(tmp_path)
    with pytest.raises(ModelConfigError, match=r"model_index\.json"):
        Sizes.read(tmp_path / "nothing")
