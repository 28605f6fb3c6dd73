"""Bytes that a computation holds at once, found by running it on the meta device: shapes, and no data.

What is counted are the storages made inside. A caching allocator's rounding and the workspaces of
convolution kernels come on top (`memory_plan.RESERVE`).
"""

from __future__ import annotations

import weakref
from dataclasses import replace
from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from .config import S3DiTConfig
from .model import Features, S3DiT
from .packed import Sample
from .packing import plan
from .quantize import PackedLinear, chosen
from .vae import AutoencoderKL, VaeConfig


class LiveBytes(TorchDispatchMode):
    """Counts bytes of the storages that are alive: `now`, and at most so far, `peak`."""

    def __init__(self) -> None:
        super().__init__()
        self.now = self.peak = 0
        self._sizes: dict[int, int] = {}

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        given = {t.untyped_storage()._cdata for t in tree_leaves((args, kwargs)) if isinstance(t, Tensor)}
        for tensor in tree_leaves(out):
            if isinstance(tensor, Tensor):
                storage = tensor.untyped_storage()
                key = storage._cdata
                if key not in given and key not in self._sizes:
                    self._sizes[key] = storage.nbytes()
                    self.now += storage.nbytes()
                    weakref.finalize(storage, self._freed, key)
        self.peak = max(self.peak, self.now)
        return out

    def _freed(self, key: int) -> None:
        self.now -= self._sizes.pop(key, 0)


class FusedAttention(TorchFunctionMode):
    """Attention as the kernels of GPUs run it: no scores are kept, only the result is made."""

    def __torch_function__(self, func, types, args=(), kwargs=None):
        if func is F.scaled_dot_product_attention:
            return torch.empty_like(args[0])
        return func(*args, **(kwargs or {}))


@lru_cache(maxsize=64)
@torch.no_grad()
def drawing_bytes(
    config: S3DiTConfig,
    latent: tuple[int, int],
    text_tokens: int,
    samples: int,
    dtype: torch.dtype,
    bits: int,
) -> int:
    """Most bytes held in one velocity of `samples` pictures of (height, width) latents, weights aside.

    bits: 8 and 4 include the copies of a matrix while `quantize.PackedLinear` unpacks it.
    """
    # Layers are alike, and what one holds is freed before the next: two of each kind show the peak.
    short = replace(config, n_layers=min(config.n_layers, 2))
    with torch.device("meta"):
        model = S3DiT(short).to(dtype).requires_grad_(False)
        pack_linears(model, bits)
    layout = plan([Sample(latent, (text_tokens,))] * samples, model.config, "meta")
    with LiveBytes() as live, FusedAttention(), torch.device("meta"):
        x = torch.empty(layout.tokens.target, config.patch_dim)
        encoded = model.encode(Features(torch.empty(layout.tokens.text, config.cap_feat_dim)), layout)
        model(x, torch.empty(1), encoded, layout)
    return live.peak


@torch.no_grad()
def reading_bytes(width: int, inner: int, tokens: int, dtype: torch.dtype, bits: int) -> int:
    """Most bytes held in the widest product of a text encoder's layer, [tokens, width] to [tokens, inner]."""
    with torch.device("meta"):
        stack = nn.ModuleDict({"layers": nn.ModuleList([nn.Linear(width, inner, bias=False)])}).to(dtype)
        pack_linears(stack, bits)
    with LiveBytes() as live, torch.device("meta"):
        x = torch.empty(tokens, width, dtype=dtype)
        gate, up = stack["layers"][0](x), torch.empty(tokens, inner, dtype=dtype)
        torch.mul(F.silu(gate), up)
    return live.peak


@lru_cache(maxsize=64)
@torch.no_grad()
def decoding_bytes(
    config: VaeConfig, latent: tuple[int, int], tile_px: int | None, dtype: torch.dtype
) -> int:
    """Most bytes held while a (height, width) latent is decoded, weights aside. tile_px: as the decoder's."""
    with torch.device("meta"):
        vae = AutoencoderKL(config).to(dtype).requires_grad_(False)
    vae.tile_px = tile_px
    with LiveBytes() as live, torch.device("meta"):
        vae.decode(torch.empty(config.latent_channels, *latent))
    return live.peak


def pack_linears(module: nn.Module, bits: int) -> None:
    """The plain form of quantization, in place, for 8 or 4 bits; nothing for others."""
    if bits not in (8, 4):
        return
    for name, part in list(chosen(module)):
        owner, _, own = name.rpartition(".")
        setattr(module.get_submodule(owner), own, PackedLinear(part, bits))
