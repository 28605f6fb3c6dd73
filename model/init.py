"""Weights to train from scratch with."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .config import S3DiTConfig
from .layers import Attention, Block, FeatureEmbedder, FeedForward, Head, TimeEmbedder
from .model import S3DiT

PAD_STD = TIME_STD = 0.02


def new_model(
    config: S3DiTConfig,
    seed: int = 0,
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float32,
) -> S3DiT:
    """A model with fresh weights: the same for one seed on one kind of device."""
    with torch.device("meta"):
        model = S3DiT(config).to(dtype)
    model.to_empty(device=device)
    initialize(model, seed)
    return model


@torch.no_grad()
def initialize(model: S3DiT, seed: int = 0) -> None:
    """Gates and head zero, so that modulated blocks start as the identity and the velocity as zero.

    The report gives only the zero gates (its figure 10). The rest is ours: Xavier uniform for every
    projection, each on its own fan even where several are stored in one tensor; small normal pads and
    time embedder; norms one, biases zero.
    """
    generator = torch.Generator(next(model.parameters()).device).manual_seed(seed)

    def xavier(weight: Tensor, count: int = 1) -> None:
        for part in weight.chunk(count):
            bound = (6 / (part.shape[0] + part.shape[1])) ** 0.5
            part.uniform_(-bound, bound, generator=generator)

    for module in model.modules():
        match module:
            case Attention():
                xavier(module.qkv.weight, 3)
                xavier(module.out.weight)
                module.qk_norm.fill_(1)
            case FeedForward():
                xavier(module.w13.weight, 2)
                xavier(module.w2.weight)
            case Block():
                module.norms.fill_(1)
                if module.modulation is not None:
                    zero(module.modulation)
            case TimeEmbedder():
                for linear in (module.hidden, module.out):
                    linear.weight.normal_(0, TIME_STD, generator=generator)
                    linear.bias.zero_()
            case FeatureEmbedder():
                module.norm.fill_(1)
                xavier(module.linear.weight)
                module.linear.bias.zero_()
            case Head():
                zero(module.modulation)
                zero(module.linear)
    xavier(model.x_embedder.weight)
    model.x_embedder.bias.zero_()
    for name, parameter in model.named_parameters():
        if name.endswith("pad_token"):
            parameter.normal_(0, PAD_STD, generator=generator)


def zero(linear: nn.Linear) -> None:
    """Weight and bias."""
    linear.weight.zero_()
    linear.bias.zero_()
