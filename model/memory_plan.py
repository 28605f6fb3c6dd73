"""What drawing needs of a device's memory, in each mode, computed from parameter counts and sizes.

Weights are exact. Activations are an estimate from the largest tensors that live at once; what the CUDA
context and libraries take (about 0.5 GB) is added to none of the rows.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import torch

from .config import PAD_MULTIPLE, PRESETS, S3DiTConfig
from .model import S3DiT
from .pipeline_folder import read_index
from .quantize import GROUP, chosen
from .residency import streamed_parts
from .vae import SCORES, AutoencoderKL, VaeConfig

GB = 1e9
#: Tokens of a long prompt, which the estimate of activations assumes.
TEXT_TOKENS = 512
TILE_PX = 512


@dataclass(frozen=True)
class Qwen3Size:
    """Sizes of a Qwen3; the defaults are those of the released 4B text encoder."""

    hidden_size: int = 2560
    intermediate_size: int = 9728
    num_hidden_layers: int = 36
    num_attention_heads: int = 32
    num_key_value_heads: int = 8
    head_dim: int = 128
    vocab_size: int = 151936

    @classmethod
    def read(cls, path: Path) -> Qwen3Size:
        values = json.loads(path.read_text("utf-8"))
        return cls(**{name: int(values[name]) for name in cls.__dataclass_fields__ if name in values})

    @property
    def layer(self) -> int:
        """Parameters of the matrices of one layer."""
        heads = (2 * self.num_attention_heads + 2 * self.num_key_value_heads) * self.head_dim
        return self.hidden_size * (heads + 3 * self.intermediate_size)

    @property
    def layers(self) -> int:
        """Parameters of all layers that are loaded: the last is not."""
        return self.layer * (self.num_hidden_layers - 1)

    @property
    def embedding(self) -> int:
        return self.vocab_size * self.hidden_size


@dataclass(frozen=True)
class Sizes:
    """Parameters of a pipeline. stack: of the layers that quantize; rest: of the others."""

    stack: int
    rest: int
    largest_part: int  # of what streams in sequential offload
    text: Qwen3Size | None
    vae: int
    config: S3DiTConfig
    vae_width: int  # channels at full resolution, inside the decoder's last level but one
    factor: int

    @classmethod
    def of(cls, config: S3DiTConfig, text: Qwen3Size | None, vae: VaeConfig | None) -> Sizes:
        with torch.device("meta"):
            model = S3DiT(config)
            decoder = AutoencoderKL(vae) if vae else None
        total = sum(p.numel() for p in model.parameters())
        stack = sum(linear.weight.numel() for _, linear in chosen(model))
        parts = [sum(p.numel() for p in part.parameters()) for part in streamed_parts(model)]
        widths = vae.block_out_channels if vae else (1, 1)
        return cls(
            stack=stack,
            rest=total - stack,
            largest_part=max(parts),
            text=text,
            vae=sum(p.numel() for p in decoder.parameters()) if decoder else 0,
            config=config,
            vae_width=widths[min(1, len(widths) - 1)],
            factor=2 ** (len(widths) - 1) if vae else 1,
        )

    @classmethod
    def full(cls) -> Sizes:
        """The released model: S3-DiT 6.15B, Qwen3-4B, FLUX.1's autoencoder."""
        return cls.of(PRESETS["full"], Qwen3Size(), VaeConfig())

    @classmethod
    def read(cls, folder: Path | str) -> Sizes:
        """Of a model folder, from its configurations alone. Raises ModelConfigError."""
        folder = Path(folder)
        index = read_index(folder)
        ours = {part for part, value in index.items() if isinstance(value, list) and value[0] == "zcurate"}
        return cls.of(
            S3DiTConfig.read(folder / "transformer" / "config.json"),
            None if "text_encoder" in ours else Qwen3Size.read(folder / "text_encoder" / "config.json"),
            None if "vae" in ours else VaeConfig.read(folder / "vae" / "config.json"),
        )


@dataclass(frozen=True)
class Mode:
    """A way to run. bits: of the layer stacks' weights; 16 and 32 are plain."""

    bits: int
    offload: str | None = None
    tiled: bool = False

    @property
    def options(self) -> str:
        dtype = "--dtype float32" if self.bits == 32 else "--dtype bfloat16"
        quantized = f" --quantize int{self.bits}" if self.bits < 16 else ""
        offload = f" --offload {self.offload}" if self.offload else ""
        return dtype + quantized + offload + (f" --vae-tile {TILE_PX}" if self.tiled else "")


MODES = (
    Mode(32),
    Mode(16),
    Mode(16, "model"),
    Mode(16, "sequential", True),
    Mode(8),
    Mode(8, None, True),
    Mode(8, "model"),
    Mode(4),
    Mode(4, "model"),
    Mode(4, "model", True),
    Mode(4, "sequential", True),
)


def stack_bytes(parameters: int, width: int, bits: int) -> float:
    """Bytes of quantized matrices, their scales (2 bytes a row of `width`, or 4 a group) included."""
    if bits >= 16:
        return parameters * bits / 8
    extra = 2 / width if bits == 8 else 4 / GROUP
    return parameters * (bits / 8 + extra)


def peak_bytes(sizes: Sizes, mode: Mode, size: tuple[int, int], samples: int = 1) -> dict[str, float]:
    """Peak bytes on the device while encoding the prompt, drawing and decoding, and of all three.

    size: (width, height) px. samples: pictures drawn at once, doubled by guidance.
    """
    plain = mode.bits if mode.bits > 16 else 16
    value = plain // 8
    transformer = stack_bytes(sizes.stack, sizes.config.dim, mode.bits) + sizes.rest * value
    text = 0.0
    text_resident = 0.0
    if sizes.text:
        text = (
            stack_bytes(sizes.text.layers, sizes.text.hidden_size, mode.bits) + sizes.text.embedding * value
        )
        text_resident = sizes.text.embedding * value + stack_bytes(
            sizes.text.layer, sizes.text.hidden_size, mode.bits
        )
    vae = sizes.vae * value
    drawing = drawing_bytes(sizes, size, samples, value, mode.bits)
    decoding = decoding_bytes(sizes, size, value, mode.tiled)
    reading = 0.1 * GB if sizes.text else 0.0
    if mode.offload == "sequential":
        part = stack_bytes(sizes.largest_part, sizes.config.dim, mode.bits)
        stages = (text_resident + reading, sizes.rest * value + part + drawing, vae + decoding)
    elif mode.offload == "model":
        stages = (text + reading, transformer + drawing, vae + decoding)
    else:
        whole = transformer + text + vae
        stages = (whole + reading, whole + drawing, whole + decoding)
    return {"encode": stages[0], "draw": stages[1], "decode": stages[2], "peak": max(stages)}


def drawing_bytes(sizes: Sizes, size: tuple[int, int], samples: int, value: int, bits: int) -> float:
    """Largest sum of tensors that live at once in a block, and the largest matrix, unpacked, when packed."""
    config = sizes.config
    image = -(-size[0] * size[1] // (config.patch_size * sizes.factor) ** 2 // PAD_MULTIPLE) * PAD_MULTIPLE
    tokens = samples * (image + TEXT_TOKENS)
    # Attention: residual, qkv, and queries and keys in float32, twice; feed-forward: residual, input, w1|w3,
    # gate and product, and one float32 copy of the residual.
    attention = 5 * config.dim * value + 4 * config.dim * 4
    feed_forward = 2 * config.dim * value + 4 * config.ffn_dim * value + config.dim * 4
    # The plain form's copies of the matrix while it is unpacked (`quantize.PackedLinear`).
    copies = {8: 2.0, 4: 3.5}.get(bits, 0.0)
    unpacked = 2 * config.dim * config.ffn_dim * value * copies
    rotation = tokens * config.head_dim * 4
    return tokens * max(attention, feed_forward) + rotation + unpacked


def decoding_bytes(sizes: Sizes, size: tuple[int, int], value: int, is_tiled: bool) -> float:
    """Four tensors at full resolution, of the width of the level before the last, live at once."""
    if not sizes.vae:
        return 0.0
    pixels = size[0] * size[1]
    inside = min(pixels, TILE_PX**2) if is_tiled else pixels
    return 4 * sizes.vae_width * inside * value + SCORES * 8 + pixels * 3 * 4 * 2


def table(sizes: Sizes, size: tuple[int, int], samples: int = 1) -> list[dict]:
    """One row per mode: its options and peaks in GB (10^9 bytes)."""
    rows = []
    for mode in MODES:
        peaks = peak_bytes(sizes, mode, size, samples)
        rows.append({"options": mode.options, **{f"{k}_gb": round(v / GB, 2) for k, v in peaks.items()}})
    return rows
