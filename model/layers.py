"""Layers of S3-DiT: the block, time and feature embedders, and the head.

Norms, rotations and modulations are computed in float32 and rounded once. (The official code squares in
the dtype of its input, diffusers takes only the variance in float32; in float32 all three agree.)
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .attention import attend
from .config import S3DiTConfig
from .linear import Linear
from .packed import Packed
from .rope import rotate

#: In float16, what goes into the two output projections of a block is scaled by this, since their results
#: can pass 65504. The norm behind them divides it out again, exactly: eps shrinks by its square.
FLOAT16_SHRINK = 2.0**-6


def normalize(x: Tensor, eps: float) -> Tensor:
    """x / sqrt(mean(x^2) + eps) over the last axis, float32: an RMSNorm whose weight is applied later."""
    x = x.float()
    return x * torch.rsqrt(x.square().mean(-1, keepdim=True) + eps)


def take(table: Tensor, rows: Tensor | None) -> Tensor:
    """A row of [rows, width] for each token; the only row, to be broadcast, for rows None."""
    return table if rows is None else table[rows]


class Attention(nn.Module):
    """Multi-head self-attention within samples, with RMSNorm on queries and keys, then rotation.

    Query and key channels of each head are stored in the order of `rope.rotate`.
    """

    def __init__(self, config: S3DiTConfig) -> None:
        super().__init__()
        self.heads, self.head_dim, self.eps = config.n_heads, config.head_dim, config.norm_eps
        self.qkv = Linear(config.dim, 3 * config.dim, bias=False)
        self.qk_norm = nn.Parameter(torch.ones(2, config.head_dim))
        self.out = Linear(config.dim, config.dim, bias=False)

    def forward(self, x: Tensor, packed: Packed, shrink: float) -> Tensor:
        qkv = self.qkv(x).unflatten(-1, (3, self.heads, self.head_dim))  # [tokens, 3, heads, channels]
        qk = normalize(qkv[:, :2], self.eps) * self.qk_norm[:, None].float()
        cos, sin = packed.rotation.cos[:, None], packed.rotation.sin[:, None]
        q, k = rotate(qk, cos, sin).to(qkv.dtype).unbind(1)
        out = attend(q, k, qkv[:, 2], packed).flatten(1)
        return self.out(out if shrink == 1.0 else out * shrink)


class FeedForward(nn.Module):
    """SwiGLU: w2(silu(w1 x) * w3 x), w1 and w3 in one product."""

    def __init__(self, config: S3DiTConfig) -> None:
        super().__init__()
        self.w13 = Linear(config.dim, 2 * config.ffn_dim, bias=False)
        self.w2 = Linear(config.ffn_dim, config.dim, bias=False)

    def forward(self, x: Tensor, shrink: float) -> Tensor:
        gate, up = self.w13(x).chunk(2, dim=-1)
        gate = F.silu(gate)
        return self.w2((gate if shrink == 1.0 else gate * shrink) * up)


class Block(nn.Module):
    """Attention and feed-forward, each between two RMSNorms (sandwich), on the residual stream.

    Modulated: x += tanh(gate) * norm2(f(norm1(x) * (1 + scale))), scales and gates a linear function of
    the time vector shared by all layers. Unmodulated: scale 0, and in place of tanh(gate), 1.
    """

    def __init__(self, config: S3DiTConfig, modulated: bool = True) -> None:
        super().__init__()
        self.eps = config.norm_eps
        self.attention = Attention(config)
        self.feed_forward = FeedForward(config)
        #: Weights of the norms before and behind attention, before and behind the feed-forward.
        self.norms = nn.Parameter(torch.ones(4, config.dim))
        self.modulation = Linear(config.cond_dim, 4 * config.dim) if modulated else None

    def scales(self, cond: Tensor | None) -> Tensor:
        """float32 [rows, 4, dim]: what each of the four normalized streams is multiplied by.

        cond: time vectors [rows, cond_dim]; None for an unmodulated block. Norm weights are included.
        """
        norms = self.norms.float()
        if self.modulation is None or cond is None:
            return norms[None]
        scale_a, gate_a, scale_f, gate_f = self.modulation(cond).float().chunk(4, dim=-1)
        return torch.stack((1 + scale_a, gate_a.tanh(), 1 + scale_f, gate_f.tanh()), dim=1) * norms

    def forward(self, x: Tensor, cond: Tensor | None, packed: Packed, rows: Tensor | None = None) -> Tensor:
        """x: [tokens, dim]. cond: time vectors [rows, cond_dim], or what `scales` made of them.

        rows: int64 [tokens], the row of cond that each token takes; None: all take the only one.
        """
        scales = cond if cond is not None and cond.ndim == 3 else self.scales(cond)
        if not packed.chunks:
            return self._run(x, scales, packed, rows)
        out = []
        for chunk in packed.chunks:
            part = slice(chunk.start, chunk.stop)
            if rows is None:
                own, own_rows = scales, None
            elif chunk.packed.batch == 1 and packed.clean is None:
                own, own_rows = scales[chunk.first_sample, None], None
            else:
                own, own_rows = scales, rows[part]
            out.append(self._run(x[part], own, chunk.packed, own_rows))
        return torch.cat(out)

    def _run(self, x: Tensor, scales: Tensor, packed: Packed, rows: Tensor | None) -> Tensor:
        scale_a, gate_a, scale_f, gate_f = scales.unbind(1)
        shrink = FLOAT16_SHRINK if x.dtype == torch.float16 else 1.0
        eps = self.eps * shrink**2
        h = (normalize(x, self.eps) * take(scale_a, rows)).to(x.dtype)
        h = normalize(self.attention(h, packed, shrink), eps)
        x = torch.addcmul(x.float(), h, take(gate_a, rows)).to(x.dtype)
        h = (normalize(x, self.eps) * take(scale_f, rows)).to(x.dtype)
        h = normalize(self.feed_forward(h, shrink), eps)
        return torch.addcmul(x.float(), h, take(gate_f, rows)).to(x.dtype)


class TimeEmbedder(nn.Module):
    """Time t in [0, 1] to the vector that all layers share: cosines and sines of t_scale * t, then an MLP."""

    FREQUENCIES, HIDDEN, MAX_PERIOD = 128, 1024, 10_000

    def __init__(self, config: S3DiTConfig) -> None:
        super().__init__()
        self.t_scale = config.t_scale
        self.hidden = Linear(2 * self.FREQUENCIES, self.HIDDEN)
        self.out = Linear(self.HIDDEN, config.cond_dim)

    def forward(self, t: Tensor) -> Tensor:
        """[rows] to [rows, cond_dim]."""
        index = torch.arange(self.FREQUENCIES, dtype=torch.float32, device=t.device)
        frequency = torch.exp(-math.log(self.MAX_PERIOD) * index / self.FREQUENCIES)
        angle = (t.float() * self.t_scale)[:, None] * frequency
        waves = torch.cat((angle.cos(), angle.sin()), dim=-1)
        return self.out(F.silu(self.hidden(waves.to(self.hidden.weight.dtype))))


class FeatureEmbedder(nn.Module):
    """RMSNorm, then Linear, from an encoder's width to the model's."""

    def __init__(self, feat_dim: int, config: S3DiTConfig) -> None:
        super().__init__()
        self.eps = config.norm_eps
        self.norm = nn.Parameter(torch.ones(feat_dim))
        self.linear = Linear(feat_dim, config.dim)

    def forward(self, features: Tensor) -> Tensor:
        h = normalize(features, self.eps) * self.norm.float()
        return self.linear(h.to(self.linear.weight.dtype))


class Head(nn.Module):
    """LayerNorm without weights * (1 + scale), then Linear to a patch. (LayerNorm here, unlike the report.)"""

    EPS = 1e-6

    def __init__(self, config: S3DiTConfig) -> None:
        super().__init__()
        self.modulation = Linear(config.cond_dim, config.dim)
        self.linear = Linear(config.dim, config.patch_dim)

    def scales(self, cond: Tensor) -> Tensor:
        """float32 [rows, dim] of time vectors [rows, cond_dim]."""
        return 1 + self.modulation(F.silu(cond)).float()

    def forward(self, x: Tensor, scales: Tensor, rows: Tensor | None) -> Tensor:
        h = F.layer_norm(x.float(), x.shape[-1:], eps=self.EPS) * take(scales, rows)
        return self.linear(h.to(x.dtype))
