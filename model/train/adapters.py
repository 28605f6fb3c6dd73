"""LoRA: low-rank additions to the matrices of the blocks, trained in place of them.

The names of the model's weights do not change. What is saved are the layers' official names, query, key
and value each for itself, in the layout that diffusers and `lora.merge_lora` read.
"""

from __future__ import annotations

from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import Tensor, nn

from ..linear import Linear
from ..model import S3DiT
from ..state_layouts import parts
from .parallel import blocks, whole

MATRICES = ("attention.qkv", "attention.out", "feed_forward.w13", "feed_forward.w2")


class LoraLinear(Linear):
    """x W^T + alpha / rank * x A^T B^T. A starts random and B zero, so that nothing changes at first."""

    lora_a: nn.Parameter  # [rank, in]
    lora_b: nn.Parameter  # [out, rank]
    scale: float

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) + self.scale * F.linear(F.linear(x, self.lora_a), self.lora_b)


def add_lora(model: S3DiT, rank: int, alpha: float | None = None, seed: int = 0) -> None:
    """Freeze the model and add trained matrices to every block, in place, before it is sharded.

    alpha: by default the rank. Matrices that make several of the official ones share one A.
    """
    model.requires_grad_(False)
    generator = torch.Generator(model.x_pad_token.device).manual_seed(seed)
    for block in blocks(model):
        for path in MATRICES:
            linear = block.get_submodule(path)
            linear.__class__ = LoraLinear
            a = linear.weight.new_empty(rank, linear.in_features)
            bound = linear.in_features**-0.5
            linear.lora_a = nn.Parameter(a.uniform_(-bound, bound, generator=generator))
            linear.lora_b = nn.Parameter(linear.weight.new_zeros(linear.out_features, rank))
            linear.scale = (rank if alpha is None else alpha) / rank


def lora_state(model: S3DiT) -> dict[str, Tensor]:
    """`transformer.MODULE.lora_A.weight`, `.lora_B.weight` and `.alpha` by official module names. All ranks call it."""
    known, out = parts(model.config), {}
    for name, module in model.named_modules():
        if not isinstance(module, LoraLinear):
            continue
        a, b = whole(module.lora_a.detach()).cpu(), whole(module.lora_b.detach()).cpu()
        part = known[f"{name}.weight"]
        for official, rows in zip(part.official, part.split(b), strict=True):
            key = f"transformer.{official.removesuffix('.weight')}"
            out |= {f"{key}.lora_A.weight": a.clone(), f"{key}.lora_B.weight": rows.contiguous().clone()}
            out[f"{key}.alpha"] = torch.tensor(module.scale * len(a))
    return out


def save_lora(state: dict[str, Tensor], path: Path | str) -> None:
    """Write what `lora_state` gathered as one safetensors file."""
    save_file(state, path, {"format": "pt"})


def merged_state(model: S3DiT) -> dict[str, Tensor]:
    """Weights of the plain model with the additions in them, float32 sums, on the CPU."""
    out = {}
    for name, tensor in model.named_parameters():
        if name.endswith((".lora_a", ".lora_b")):
            continue
        value = whole(tensor.detach()).cpu().clone()
        module = model.get_submodule(name.rpartition(".")[0]) if "." in name else model
        if isinstance(module, LoraLinear) and name.endswith(".weight"):
            a, b = whole(module.lora_a.detach()).cpu(), whole(module.lora_b.detach()).cpu()
            value = (value.float() + module.scale * b.float() @ a.float()).to(value.dtype)
        out[name] = value
    return out
