"""Attention of packed samples: each token sees its own sample, and nothing is padded or masked."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from .linear import applies, product
from .packed import Packed

try:
    from torch.nn.attention.varlen import varlen_attn
except ImportError:  # torch before 2.10
    varlen_attn = None

HALF = (torch.float16, torch.bfloat16)
#: On a CPU: queries per block, and the shortest mean sample for which blocks pay.
BLOCK, MIN_BLOCKED = 512, 256
#: Compiled on a CPU: samples up to this many tokens are plain products, which is 1.7 times torch's kernel.
SHORT = 256


def attend(q: Tensor, k: Tensor, v: Tensor, packed: Packed) -> Tensor:
    """softmax(q k^T / sqrt(channels)) v within each sample.

    q, k, v: [tokens, heads, channels] of the samples of `packed`, one behind the other; the result has
    the same shape. Samples of one length are one batched call; unequal ones go to the variable-length
    kernel on a GPU in half precision, else each to its own call. No call carries a mask, since masks
    shut out the fastest kernels and are dropped silently by some.
    """
    if len(q) >= MIN_BLOCKED * packed.batch and applies(q, k, v) and not needs_gradient(q, k, v):
        parts = zip(*(x.split(packed.lengths) for x in (q, k, v)), strict=True)
        return torch.cat([blocked(*part) for part in parts])
    if packed.equal:
        q, k, v = (x.unflatten(0, (packed.batch, -1)).transpose(1, 2) for x in (q, k, v))
        if torch.compiler.is_compiling() and q.device.type == "cpu" and q.shape[2] <= SHORT:
            weights = (q * q.shape[-1] ** -0.5 @ k.transpose(2, 3)).softmax(dim=-1)
            return (weights @ v).transpose(1, 2).flatten(0, 1)
        return F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(0, 1)
    if q.is_cuda and q.dtype in HALF and varlen_attn is not None:
        cu, longest = packed.cu_seqlens, packed.longest
        return varlen_attn(q.contiguous(), k.contiguous(), v.contiguous(), cu, cu, longest, longest)
    parts = zip(*(x.transpose(0, 1)[None].split(packed.lengths, dim=2) for x in (q, k, v)), strict=True)
    out = [F.scaled_dot_product_attention(*part) for part in parts]
    return torch.cat(out, dim=2)[0].transpose(0, 1)


def needs_gradient(*tensors: Tensor) -> bool:
    return torch.is_grad_enabled() and any(t.requires_grad for t in tensors)


def blocked(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Attention of one sample, [tokens, heads, channels], by `linear.product`: 1.6 times torch's own on a CPU.

    A block of queries against all keys of a head, so that scores stay in the cache.
    """
    q = q.transpose(0, 1).contiguous() * q.shape[-1] ** -0.5
    k = k.transpose(0, 1).contiguous()
    v = v.permute(1, 2, 0).contiguous()
    out = torch.empty_like(q)
    for head in range(len(q)):
        for start in range(0, q.shape[1], BLOCK):
            block = slice(start, start + BLOCK)
            weights = product(q[head, block], k[head]).softmax(dim=-1)
            out[head, block] = product(weights, v[head])
    return out.transpose(0, 1)
