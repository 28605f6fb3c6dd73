"""What drawing needs of a device's memory, in each mode, computed without the weights.

Weights are counted exactly. Activations are found by running the model's own code on shapes alone
(`memory_trace`), plus RESERVE. What the CUDA context and libraries take (about 0.5 GB) is in none of the rows.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import torch

from .config import PRESETS, S3DiTConfig
from .errors import ModelConfigError
from .memory_trace import decoding_bytes, drawing_bytes, reading_bytes
from .model import S3DiT
from .pipeline_folder import read_index
from .quantize import GROUP, chosen
from .residency import streamed_parts
from .vae import AutoencoderKL, VaeConfig

GB = 1e9
#: Tokens of a long prompt, which the estimate of activations assumes.
TEXT_TOKENS = 512
TILE_PX = 512
#: On top of activations, for rounding of the allocator and workspaces of kernels. Ours, not measured.
RESERVE = 1.2


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
        """From a config.json of transformers. Raises ModelConfigError."""
        try:
            values = json.loads(path.read_text("utf-8"))
            return cls(**{name: int(values[name]) for name in cls.__dataclass_fields__ if name in values})
        except (OSError, ValueError, TypeError) as error:
            raise ModelConfigError(f"{path}: not the configuration of a Qwen3: {error}") from error

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
    vae_config: VaeConfig | None  # None: pixels in place of latents

    @property
    def factor(self) -> int:
        """Pixels of a side per latent pixel."""
        return 2 ** (len(self.vae_config.block_out_channels) - 1) if self.vae_config else 1

    @classmethod
    def of(cls, config: S3DiTConfig, text: Qwen3Size | None, vae: VaeConfig | None) -> Sizes:
        with torch.device("meta"):
            model = S3DiT(config)
            decoder = AutoencoderKL(vae) if vae else None
        total = sum(p.numel() for p in model.parameters())
        stack = sum(linear.weight.numel() for _, linear in chosen(model))
        parts = [sum(p.numel() for p in part.parameters()) for part in streamed_parts(model)]
        return cls(
            stack=stack,
            rest=total - stack,
            largest_part=max(parts),
            text=text,
            vae=sum(p.numel() for p in decoder.parameters()) if decoder else 0,
            config=config,
            vae_config=vae,
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
    dtype = torch.float32 if mode.bits == 32 else torch.bfloat16
    value = dtype.itemsize
    config = sizes.config
    latent = (size[1] // sizes.factor, size[0] // sizes.factor)
    transformer = stack_bytes(sizes.stack, config.dim, mode.bits) + sizes.rest * value
    drawing = RESERVE * drawing_bytes(config, latent, TEXT_TOKENS, samples, dtype, mode.bits)
    text = text_streamed = reading = 0.0
    if sizes.text:
        width, embedding = sizes.text.hidden_size, sizes.text.embedding * value
        text = stack_bytes(sizes.text.layers, width, mode.bits) + embedding
        text_streamed = stack_bytes(sizes.text.layer, width, mode.bits) + embedding
        inner = sizes.text.intermediate_size
        reading = RESERVE * reading_bytes(width, inner, TEXT_TOKENS, dtype, mode.bits)
    vae, decoding = sizes.vae * value, 0.0
    if sizes.vae_config:
        tile_px = TILE_PX if mode.tiled else None
        decoding = RESERVE * decoding_bytes(sizes.vae_config, latent, tile_px, dtype)
    if mode.offload == "sequential":
        part = stack_bytes(sizes.largest_part, config.dim, mode.bits)
        stages = (text_streamed + reading, sizes.rest * value + part + drawing, vae + decoding)
    elif mode.offload == "model":
        stages = (text + reading, transformer + drawing, vae + decoding)
    else:
        whole = transformer + text + vae
        stages = (whole + reading, whole + drawing, whole + decoding)
    return {"encode": stages[0], "draw": stages[1], "decode": stages[2], "peak": max(stages)}


def table(sizes: Sizes, size: tuple[int, int], samples: int = 1) -> list[dict]:
    """One row per mode: its options and peaks in GB (10^9 bytes)."""
    rows = []
    for mode in MODES:
        peaks = peak_bytes(sizes, mode, size, samples)
        rows.append({"options": mode.options, **{f"{k}_gb": round(v / GB, 2) for k, v in peaks.items()}})
    return rows
