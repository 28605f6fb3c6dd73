"""What a step costs: operations, memory, hours, dollars."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

from ..config import PAD_MULTIPLE, S3DiTConfig
from ..linear import applies, product
from ..packed import Layout

#: H800-hours of the report's stages (its table of costs).
REPORT_HOURS = {"low_resolution": 147_500, "omni": 142_500, "post": 24_000}
#: Backward passes cost twice a forward pass; computing blocks again once more.
TRAIN, RECOMPUTED = 3, 4


def forward_flops(config: S3DiTConfig, layout: Layout) -> float:
    """Operations of products and attention of one forward pass, two per multiply-add, pads included."""
    siglip = layout.siglip.lengths if layout.siglip is not None else ()
    ends = layout.tokens
    return (
        _stream(config, layout.image.lengths) * config.n_refiner_layers
        + _stream(config, [*layout.text.lengths, *siglip]) * config.n_refiner_layers
        + _stream(config, layout.joint.lengths) * config.n_layers
        + 2 * config.dim * config.patch_dim * (2 * ends.target + ends.references)
        + 2 * config.dim * config.cap_feat_dim * ends.text
    )


def _stream(config: S3DiTConfig, lengths: Sequence[int]) -> float:
    """One block over samples of these lengths."""
    matrices = 2 * (4 * config.dim**2 + 3 * config.dim * config.ffn_dim)
    return sum(matrices * s + 4 * config.dim * s * s for s in lengths)


def sample_flops(config: S3DiTConfig, image_tokens: int, text_tokens: int, references: int = 0) -> float:
    """`forward_flops` of one sample by its lengths; `references` images of the target's size."""
    image, text = (-(-n // PAD_MULTIPLE) * PAD_MULTIPLE for n in (image_tokens, text_tokens))
    image *= 1 + references
    refiners = config.n_refiner_layers * (_stream(config, [image]) + _stream(config, [text]))
    ends = (
        2
        * config.dim
        * (config.patch_dim * image_tokens * (2 + references) + config.cap_feat_dim * text_tokens)
    )
    return refiners + config.n_layers * _stream(config, [image + text]) + ends


def parameters(config: S3DiTConfig) -> int:
    """Number of weights."""
    from ..model import S3DiT

    with torch.device("meta"):
        return sum(p.numel() for p in S3DiT(config).parameters())


@dataclass(frozen=True)
class Memory:
    """Bytes on one GPU."""

    weights: float
    gradients: float
    optimizer: float
    ema: float
    gathered: float
    activations: float

    @property
    def total(self) -> float:
        return self.weights + self.gradients + self.optimizer + self.ema + self.gathered + self.activations


def memory(
    config: S3DiTConfig,
    gpus: int,
    tokens: int,
    optimizer: str = "adamw",
    ema: bool = True,
    checkpointing: bool = True,
    trained: int | None = None,
) -> Memory:
    """Of a sharded run in bf16 with fp32 master weights and gradients, `tokens` per GPU and micro-batch.

    trained: weights that are trained, if not all. Activations: the bf16 input of every block, and what one
    block holds while it is computed again, counted as 34 bf16 values of width dim per token (an estimate;
    FFN width is 8/3 dim). Gathered: two blocks and what belongs to none, in bf16.
    """
    count = parameters(config)
    trained = count if trained is None else trained
    per_weight = {"adamw": 8.0, "adamw8bit": 2.03}[optimizer]
    blocks = config.n_layers + 2 * config.n_refiner_layers
    block = 4 * config.dim**2 + 3 * config.dim * config.ffn_dim
    inputs = 2 * config.dim * tokens * blocks
    return Memory(
        weights=4 * count / gpus,
        gradients=4 * trained / gpus,
        optimizer=per_weight * trained / gpus,
        ema=4 * trained / gpus if ema else 0,
        gathered=2 * (2 * block + count - blocks * block),
        activations=inputs + 34 * 2 * config.dim * tokens * (1 if checkpointing else blocks),
    )


@dataclass(frozen=True)
class Cost:
    """Of `samples` samples."""

    flops: float
    gpu_hours: float
    dollars: float


def cost(flops: float, tflops_per_gpu: float, dollars_per_hour: float) -> Cost:
    """Hours and dollars of this many operations at a sustained rate."""
    hours = flops / (tflops_per_gpu * 1e12) / 3600
    return Cost(flops, hours, hours * dollars_per_hour)


def matmul_rate(
    device: torch.device, dtype: torch.dtype, clock: Callable[[], float] = time.perf_counter
) -> float:
    """Operations per second, by this clock, of matrix products alone: the measured ceiling that MFU is a share of."""
    n = 8192 if device.type == "cuda" else 1024
    x, w = (torch.randn(n, n, device=device).to(dtype) for _ in range(2))
    run = product if applies(x, w) else torch.nn.functional.linear
    best = float("inf")
    for _ in range(6):
        start = clock()
        run(x, w)
        if device.type == "cuda":
            torch.cuda.synchronize()
        best = min(best, clock() - start)
    return 2 * n**3 / best
