"""S3-DiT: text, semantic and image tokens of a packed batch to the velocity of its noisy images.

Time runs as in the report: t = 0 is noise x0, t = 1 data x1, x_t = t x1 + (1 - t) x0, and the output is
the velocity u = x1 - x0. One path serves text-to-image and editing; what differs is in the `Layout`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from .config import S3DiTConfig
from .errors import ModelError, SizeError
from .layers import Block, FeatureEmbedder, Head, TimeEmbedder
from .linear import Linear
from .packed import Layout, Packed


@dataclass(frozen=True, eq=False)
class Features:
    """What a batch is conditioned on, as encoders give it. Rows in the order of the layout's samples.

    Tensors of any floating dtype, on the model's device.
    """

    text: Tensor  # [text tokens, cap_feat_dim]: all prompts (omni: all segments) one behind the other
    references: Tensor | None = None  # [tokens, patch_dim]: `patchify` of all reference latents
    siglip: Tensor | None = None  # [tokens, siglip_feat_dim]: `pack_siglip` of all their features


@dataclass(frozen=True, eq=False)
class Encoded:
    """`Features` in the model's width, pads in place. Does not depend on time or noise: made once."""

    text: Tensor  # [text tokens and pads, dim]
    references: Tensor | None  # [tokens, dim]
    siglip: Tensor | None  # [tokens and pads, dim]


@dataclass(frozen=True, eq=False)
class Modulations:
    """All that the model computes from the times of one step: float32, one row per distinct time."""

    noise_refiner: tuple[Tensor, ...]  # [rows, 4, dim] each
    layers: tuple[Tensor, ...]
    head: Tensor  # [rows, dim]


class S3DiT(nn.Module):
    """Scalable single-stream diffusion transformer (Z-Image report, section 4.1)."""

    def __init__(self, config: S3DiTConfig) -> None:
        super().__init__()
        self.config = config
        refiners = range(config.n_refiner_layers)
        self.x_embedder = Linear(config.patch_dim, config.dim)
        self.x_pad_token = nn.Parameter(torch.zeros(1, config.dim))
        self.noise_refiner = nn.ModuleList(Block(config) for _ in refiners)
        self.t_embedder = TimeEmbedder(config)
        self.cap_embedder = FeatureEmbedder(config.cap_feat_dim, config)
        self.cap_pad_token = nn.Parameter(torch.zeros(1, config.dim))
        self.context_refiner = nn.ModuleList(Block(config, modulated=False) for _ in refiners)
        if config.siglip_feat_dim is not None:
            self.siglip_embedder = FeatureEmbedder(config.siglip_feat_dim, config)
            self.siglip_pad_token = nn.Parameter(torch.zeros(1, config.dim))
            self.siglip_refiner = nn.ModuleList(Block(config, modulated=False) for _ in refiners)
        self.layers = nn.ModuleList(Block(config) for _ in range(config.n_layers))
        self.head = Head(config)

    def encode(self, features: Features, layout: Layout) -> Encoded:
        """Embed and refine everything but the noisy images. For sampling: once per prompt, not per step.

        Raises SizeError when the numbers of tokens are not those of the layout.
        """
        check_tokens(features.text, layout.tokens.text, "text")
        check_tokens(features.references, layout.tokens.references, "reference")
        check_tokens(features.siglip, layout.tokens.siglip, "SigLIP")
        text = gather([self.cap_embedder(features.text)], self.cap_pad_token, layout.text_index)
        for block in self.context_refiner:
            text = block(text, None, layout.text)
        references = siglip = None
        if features.references is not None:
            references = self.embed_patches(features.references)
        if layout.siglip is not None:
            if self.config.siglip_feat_dim is None:
                raise SizeError("this model has no SigLIP tokens; build it from config.with_siglip()")
            tokens = [] if features.siglip is None else [self.siglip_embedder(features.siglip)]
            siglip = gather(tokens, self.siglip_pad_token, layout.siglip_index)
            for block in self.siglip_refiner:
                siglip = block(siglip, None, layout.siglip)
        return Encoded(text, references, siglip)

    def modulations(self, t: Tensor, layout: Layout) -> Modulations:
        """Everything that follows from time alone. t: [1] for all samples, or [samples]."""
        cond = self._times(t, layout)
        return Modulations(
            noise_refiner=tuple(block.scales(cond) for block in self.noise_refiner),
            layers=tuple(block.scales(cond) for block in self.layers),
            head=self.head.scales(cond),
        )

    def schedule(self, times: Tensor, layout: Layout) -> list[Modulations]:
        """`modulations` of every step at times [steps], all samples at one time: one product per layer."""
        whole = self.modulations(times, layout)
        clean = [len(times)] if layout.has_clean else []
        steps = [torch.tensor([i, *clean], device=times.device) for i in range(len(times))]
        return [
            Modulations(
                noise_refiner=tuple(table[rows] for table in whole.noise_refiner),
                layers=tuple(table[rows] for table in whole.layers),
                head=whole.head[rows],
            )
            for rows in steps
        ]

    def forward(
        self, x: Tensor, t: Tensor | Modulations, condition: Features | Encoded, layout: Layout
    ) -> Tensor:
        """Velocity x1 - x0 of noisy tokens: [target tokens, patch_dim], in the model's dtype.

        x: the `patchify` of all targets at time t, of any floating dtype. t: float [1] (all samples) or
        [samples] in [0, 1], or the `Modulations` of that time. condition: what `encode` returned, or its
        input, which training gives: wrappers that gather sharded weights see only calls of this method.
        Raises SizeError when the numbers of tokens or times are not those of the layout.
        """
        check_tokens(x, layout.tokens.target, "noisy image")
        if isinstance(condition, Features):
            condition = self.encode(condition, layout)
        if isinstance(t, Modulations):
            refiner_conds, layer_conds, head = t.noise_refiner, t.layers, t.head
        else:
            cond = self._times(t, layout)
            refiner_conds, layer_conds = [cond] * len(self.noise_refiner), [cond] * len(self.layers)
            head = self.head.scales(cond)

        references = [] if condition.references is None else [condition.references]
        image = gather([self.embed_patches(x), *references], self.x_pad_token, layout.image_index)
        image = run(self.noise_refiner, image, refiner_conds, layout.image, len(head))
        siglip = [] if condition.siglip is None else [condition.siglip]
        joint = gather([image, condition.text, *siglip], None, layout.joint_index)
        joint = run(self.layers, joint, layer_conds, layout.joint, len(head))
        target = joint[layout.target_index]
        shared = len(head) == 1 + layout.has_clean
        return self.head(target, head[:1] if shared else head, None if shared else layout.target_sample)

    def embed_patches(self, tokens: Tensor) -> Tensor:
        """[tokens, patch_dim] of any floating dtype to [tokens, dim] of the model's."""
        return self.x_embedder(tokens.to(self.x_embedder.weight.dtype))

    def _times(self, t: Tensor, layout: Layout) -> Tensor:
        """Time vectors [rows, cond_dim]: those of t and, where tokens are clean, that of 1 behind them."""
        if t.dtype not in (torch.float32, torch.float64):
            raise ModelError(
                f"times are {t.dtype}, which cannot tell neighboring steps apart: pass float32 "
                "(FSDP2: MixedPrecisionPolicy(cast_forward_inputs=False) for the root module)"
            )
        if layout.has_clean:
            t = torch.cat((t, t.new_ones(1)))
        return self.t_embedder(t)


def gather(parts: Sequence[Tensor], pad: Tensor | None, index: Tensor | None) -> Tensor:
    """Rows `index` of parts and pad, one behind the other; all rows of the parts for index None."""
    if index is None:
        return parts[0] if len(parts) == 1 else torch.cat(list(parts))
    return torch.cat([*parts, *([] if pad is None else [pad])])[index]


def run(blocks: nn.ModuleList, x: Tensor, conds: Sequence[Tensor], packed: Packed, count: int) -> Tensor:
    """The modulated blocks one after another; `count` is the number of distinct times in conds."""
    rows = packed.rows(count)
    for block, cond in zip(blocks, conds, strict=True):
        x = block(x, cond, packed, rows)
    return x


def check_tokens(tokens: Tensor | None, expected: int, what: str) -> None:
    """Raise SizeError unless there are as many tokens as the layout was planned for."""
    count = 0 if tokens is None else len(tokens)
    if count != expected:
        raise SizeError(f"{count} {what} tokens, but the layout was planned for {expected}")
