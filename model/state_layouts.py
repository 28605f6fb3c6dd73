"""Names and shapes of checkpoints, and how their tensors become ours and back.

Three layouts of the same numbers:

- *official*: the repository's and diffusers' names, one tensor per projection (521 for the full model).
- *comfy*: the single file of ComfyUI, with query, key and value in one tensor (453), often under the
  prefix `model.diffusion_model.` and with a `norm_final.weight` that no code reads.
- ours: query, key, value and w1, w3 in one tensor each, the norms of a block in one, and the query and key
  channels of each head reordered so that `rope.rotate` works on halves.

Every parameter of ours is a `Part`: the official tensors that it is made of, and how.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

from .config import S3DiTConfig
from .model import S3DiT

COMFY_PREFIX = "model.diffusion_model."
DEAD = frozenset({"norm_final.weight"})
#: Ours to official, outside the blocks.
TOP = {
    "x_embedder.weight": "all_x_embedder.2-1.weight",
    "x_embedder.bias": "all_x_embedder.2-1.bias",
    "x_pad_token": "x_pad_token",
    "cap_pad_token": "cap_pad_token",
    "siglip_pad_token": "siglip_pad_token",
    "head.linear.weight": "all_final_layer.2-1.linear.weight",
    "head.linear.bias": "all_final_layer.2-1.linear.bias",
    "head.modulation.weight": "all_final_layer.2-1.adaLN_modulation.1.weight",
    "head.modulation.bias": "all_final_layer.2-1.adaLN_modulation.1.bias",
    "t_embedder.hidden.weight": "t_embedder.mlp.0.weight",
    "t_embedder.hidden.bias": "t_embedder.mlp.0.bias",
    "t_embedder.out.weight": "t_embedder.mlp.2.weight",
    "t_embedder.out.bias": "t_embedder.mlp.2.bias",
    **{
        f"{kind}_embedder.{ours}": f"{kind}_embedder.{official}"
        for kind in ("cap", "siglip")
        for ours, official in (("norm", "0.weight"), ("linear.weight", "1.weight"), ("linear.bias", "1.bias"))
    },
}
#: The same inside a block.
BLOCK = {
    "attention.qkv.weight": ("attention.to_q.weight", "attention.to_k.weight", "attention.to_v.weight"),
    "attention.qk_norm": ("attention.norm_q.weight", "attention.norm_k.weight"),
    "attention.out.weight": ("attention.to_out.0.weight",),
    "feed_forward.w13.weight": ("feed_forward.w1.weight", "feed_forward.w3.weight"),
    "feed_forward.w2.weight": ("feed_forward.w2.weight",),
    "norms": ("attention_norm1.weight", "attention_norm2.weight", "ffn_norm1.weight", "ffn_norm2.weight"),
    "modulation.weight": ("adaLN_modulation.0.weight",),
    "modulation.bias": ("adaLN_modulation.0.bias",),
}
STACKED = ("attention.qk_norm", "norms")
ROTATED = (
    "attention.to_q.weight",
    "attention.to_k.weight",
    "attention.norm_q.weight",
    "attention.norm_k.weight",
)
#: Official to comfy, by the end or the start of a name. Query, key and value become thirds of one tensor.
COMFY = (
    ("attention.to_out.0.", "attention.out."),
    ("attention.norm_q.", "attention.q_norm."),
    ("attention.norm_k.", "attention.k_norm."),
    ("all_x_embedder.2-1.", "x_embedder."),
    ("all_final_layer.2-1.", "final_layer."),
)


@dataclass(frozen=True)
class Part:
    """One parameter of ours: what of the official layout it holds."""

    official: tuple[str, ...]
    shapes: tuple[tuple[int, ...], ...]
    rotated: tuple[bool, ...]
    stacked: bool
    head_dim: int

    def join(self, tensors: Sequence[Tensor]) -> Tensor:
        """Our parameter, of the official tensors in order."""
        tensors = [halves(t, self.head_dim) if r else t for t, r in zip(tensors, self.rotated, strict=True)]
        if self.stacked:
            return torch.stack(list(tensors))
        return tensors[0] if len(tensors) == 1 else torch.cat(list(tensors))

    def split(self, tensor: Tensor) -> list[Tensor]:
        """The official tensors, of our parameter: contiguous copies where rows are reordered, else views."""
        tensors = tensor.unbind() if self.stacked else tensor.split([shape[0] for shape in self.shapes])
        return [pairs(t, self.head_dim) if r else t for t, r in zip(tensors, self.rotated, strict=True)]


def halves(x: Tensor, head_dim: int) -> Tensor:
    """Rows of each head from (0, 1, 2, 3, ...) to (0, 2, ..., 1, 3, ...)."""
    return x.unflatten(0, (-1, head_dim // 2, 2)).transpose(1, 2).reshape(x.shape)


def pairs(x: Tensor, head_dim: int) -> Tensor:
    """The inverse of `halves`."""
    return x.unflatten(0, (-1, 2, head_dim // 2)).transpose(1, 2).reshape(x.shape)


@lru_cache(maxsize=8)
def parts(config: S3DiTConfig) -> dict[str, Part]:
    """Every parameter of the model, in its order."""
    with torch.device("meta"):
        shapes = {name: tuple(p.shape) for name, p in S3DiT(config).named_parameters()}
    return {name: _part(name, shape, config.head_dim) for name, shape in shapes.items()}


def _part(name: str, shape: tuple[int, ...], head_dim: int) -> Part:
    if name in TOP:
        return Part((TOP[name],), (shape,), (False,), False, head_dim)
    group, number, rest = name.split(".", 2)
    ends = BLOCK[rest]
    stacked = rest in STACKED
    own = shape[1:] if stacked else (shape[0] // len(ends), *shape[1:])
    return Part(
        official=tuple(f"{group}.{number}.{end}" for end in ends),
        shapes=(own,) * len(ends),
        rotated=tuple(end in ROTATED for end in ends),
        stacked=stacked,
        head_dim=head_dim,
    )


def official_shapes(config: S3DiTConfig) -> dict[str, tuple[int, ...]]:
    """Names and shapes of a checkpoint in the official layout."""
    return {n: s for part in parts(config).values() for n, s in zip(part.official, part.shapes, strict=True)}


def comfy_name(official: str) -> tuple[str, int | None]:
    """The comfy tensor that holds an official one, and which third of its rows; None: all of it."""
    for end, third in (("to_q.weight", 0), ("to_k.weight", 1), ("to_v.weight", 2)):
        if official.endswith(f"attention.{end}"):
            return official.removesuffix(end) + "qkv.weight", third
    for ours, theirs in COMFY:
        official = official.replace(ours, theirs)
    return official, None


def comfy_shapes(config: S3DiTConfig) -> dict[str, tuple[int, ...]]:
    """Names, without prefix, and shapes of a checkpoint in the comfy layout."""
    shapes: dict[str, tuple[int, ...]] = {}
    for official, shape in official_shapes(config).items():
        name, third = comfy_name(official)
        shapes[name] = shape if third is None else (3 * shape[0], *shape[1:])
    return shapes


def to_official(state: Mapping[str, Tensor], config: S3DiTConfig) -> dict[str, Tensor]:
    """A state dict of ours in the official layout."""
    return {
        official: tensor
        for name, part in parts(config).items()
        for official, tensor in zip(part.official, part.split(state[name]), strict=True)
    }


def to_comfy(state: Mapping[str, Tensor], config: S3DiTConfig) -> dict[str, Tensor]:
    """A state dict of ours in the comfy layout, without prefix."""
    out: dict[str, Tensor] = {}
    thirds: dict[str, list[Tensor]] = {}
    for official, tensor in to_official(state, config).items():
        name, third = comfy_name(official)
        if third is None:
            out[name] = tensor
        else:
            thirds.setdefault(name, []).append(tensor)
    return out | {name: torch.cat(tensors) for name, tensors in thirds.items()}
