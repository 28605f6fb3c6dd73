"""A batch of conditions, and its guided velocity as samplers ask for it.

Guidance here is zero-normalized: u = cond + s (cond - uncond). s = 0 is none, and then no unconditional
sample is run. The textbook's weight is w = 1 + s (some tools ask for w).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from .model import Encoded, Features, Modulations, S3DiT
from .packed import Layout, Sample
from .packing import pack_siglip, patchify, plan


@dataclass(frozen=True)
class Guidance:
    """How far to go from the unconditional velocity.

    scale: s >= 0. normalization: 0 off; c > 0 bounds the norm of each guided sample by c times that of its
    conditional velocity. truncation: no guidance at times above it; 1: never cut.
    """

    scale: float = 0.0
    normalization: float = 0.0
    truncation: float = 1.0

    def active(self, t: float) -> bool:
        return self.scale > 0 and t <= self.truncation


@dataclass(frozen=True, eq=False)
class Condition:
    """What one image is drawn from. Latents are [channels, height, width], text is [tokens, width].

    text: the prompt; for editing its segments, one before every image and one behind the last.
    siglip: per reference its features [rows, columns, width]; None for a model that takes none.
    """

    size: tuple[int, int]  # (height, width) of the target's latent
    text: tuple[Tensor, ...]
    references: tuple[Tensor, ...] = ()
    siglip: tuple[Tensor, ...] | None = None

    @property
    def sample(self) -> Sample:
        return Sample(
            size=self.size,
            text=tuple(len(t) for t in self.text),
            references=tuple((r.shape[1], r.shape[2]) for r in self.references),
            siglip=None if self.siglip is None else tuple((s.shape[0], s.shape[1]) for s in self.siglip),
            omni=bool(self.references),
        )


def batch_of(conditions: Sequence[Condition], model: S3DiT) -> tuple[Layout, Features]:
    """Layout and features of conditions, on the device of the model."""
    device = model.x_pad_token.device
    references = [r for c in conditions for r in c.references]
    siglip = [s for c in conditions for s in c.siglip or ()]
    return plan([c.sample for c in conditions], model.config, device), Features(
        text=torch.cat([t.to(device, torch.float32) for c in conditions for t in c.text]),
        references=patchify(references).to(device) if references else None,
        siglip=pack_siglip(siglip, model.config).to(device) if siglip else None,
    )


def guide(cond: Tensor, uncond: Tensor, guidance: Guidance, counts: Sequence[int]) -> Tensor:
    """Guided velocity, float32 [tokens, patch_dim]. counts: tokens of each sample, which normalization needs."""
    cond, uncond = cond.float(), uncond.float()
    guided = cond + guidance.scale * (cond - uncond)
    if not guidance.normalization:
        return guided
    parts = []
    for own, part in zip(cond.split(list(counts)), guided.split(list(counts)), strict=True):
        limit = guidance.normalization * torch.linalg.vector_norm(own)
        parts.append(part * (limit / torch.linalg.vector_norm(part).clamp_min(1e-12)).clamp(max=1))
    return torch.cat(parts)


class Denoiser:
    """The velocity of a batch as `samplers` call it, with everything that steps share done once.

    Conditional and unconditional samples are one packed batch of unequal lengths; with guidance off at a
    time, or scale 0, only the conditional half runs. `forwards` counts calls of the model.
    """

    def __init__(
        self,
        model: S3DiT,
        conditions: Sequence[Condition],
        uncond: Sequence[Condition] = (),
        guidance: Guidance | None = None,
        times: Sequence[float] = (),
    ) -> None:
        self.model, self.guidance, self.forwards = model, guidance or Guidance(), 0
        if self.guidance.scale > 0 and len(uncond) != len(conditions):
            raise ValueError(
                f"guidance needs as many unconditional samples ({len(uncond)}) as {len(conditions)}"
            )
        needed = [t for t in times[:-1] if not self.guidance.active(t)]
        self._alone = self._encoded(conditions) if needed or not times else None
        self._both = None
        if any(self.guidance.active(t) for t in times[:-1]) or (self.guidance.scale > 0 and not times):
            self._both = self._encoded([*conditions, *uncond])
        self.counts = [c.size[0] * c.size[1] // 4 for c in conditions]
        self._modulations = self._prepared(times)

    def _encoded(self, conditions: Sequence[Condition]) -> tuple[Layout, Encoded]:
        layout, features = batch_of(conditions, self.model)
        return layout, self.model.encode(features, layout)

    def _prepared(self, times: Sequence[float]) -> dict[float, Modulations]:
        steps = [float(t) for t in times[:-1]]
        if not steps:
            return {}
        layout = (self._both or self._alone)[0]
        table = torch.tensor(steps, dtype=torch.float32, device=layout.target_index.device)
        return dict(zip(steps, self.model.schedule(table, layout), strict=True))

    def __call__(self, x: Tensor, t: float) -> Tensor:
        """Velocity of x [tokens, patch_dim] at time t, float32."""
        self.forwards += 1
        time = self._modulations.get(t)
        if time is None:
            time = torch.tensor([t], dtype=torch.float32, device=x.device)
        if not self.guidance.active(t):
            layout, encoded = self._alone
            return self.model(x, time, encoded, layout).float()
        layout, encoded = self._both
        cond, uncond = self.model(torch.cat((x, x)), time, encoded, layout).chunk(2)
        return guide(cond, uncond, self.guidance, self.counts)
