"""Flow matching (report, section 4.2): what is drawn for a step, and the loss of every sample.

Everything random in a step is a function of (seed, step, the samples of the step), whichever rank or
micro-batch they are in: one process with accumulation, or many, compute the same step, and a resumed run
goes on exactly.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn

from ..flow import Schedule, interpolate, logit_normal_times
from ..guidance import Condition, batch_of
from ..model import Features, S3DiT
from ..packed import Layout
from ..packing import patchify

DECILES = 10


@dataclass(frozen=True)
class Times:
    """Logit-normal times, shifted toward noise by the number of image tokens.

    mu is linear in tokens (0.5 at 256, 1.15 at 4096: Flux's, in `flow.Schedule`) and kept below max_mu,
    since the line alone would give a shift of 25 at 2048 px. shift: a fixed e^mu instead of the line.
    """

    mean: float = 0.0
    std: float = 1.0
    shift: float | None = None
    max_mu: float = 2.1

    def mu(self, tokens: int) -> float:
        schedule = Schedule(dynamic=True)
        return torch.tensor(self.shift).log().item() if self.shift else min(schedule.mu(tokens), self.max_mu)

    def at(self, quantiles: Tensor, tokens: Sequence[int]) -> Tensor:
        """Times [samples], float32, at these quantiles of the distribution of each sample."""
        mu = torch.tensor([self.mu(n) for n in tokens], dtype=torch.float64)
        normal = torch.special.ndtri(quantiles.double())
        return logit_normal_times(normal, mu, self.mean, self.std).float()


def draw_key(seed: int, step: int, text: str) -> int:
    """63 bits that decide a sample's place among the draws of a step."""
    digest = hashlib.blake2b(f"{seed}\0{step}\0{text}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1


def strata(own: Sequence[int], before: Sequence[int], after: Sequence[int] = ()) -> list[int]:
    """Places of own keys among all keys of the step in ascending order; `before`: those of lower ranks.

    All places of a step are different, and do not depend on who holds which sample.
    """
    keys = torch.tensor([*before, *own, *after], dtype=torch.int64)
    places = keys.argsort(stable=True).argsort()
    return places[len(before) : len(before) + len(own)].tolist()


@dataclass(frozen=True, eq=False)
class Batch:
    """One micro-batch as objectives read it: packed, on the model's device.

    x1: data, x0: noise, float32 [target tokens, patch_dim]; t: float32 [samples]. weight: 1 over the
    number of samples of the whole step, all ranks and micro-batches together.
    """

    ids: tuple[str, ...]
    conditions: tuple[Condition, ...]
    layout: Layout
    features: Features
    x0: Tensor
    x1: Tensor
    t: Tensor
    weight: float


@dataclass(frozen=True)
class Draw:
    """What is drawn for one sample: a place among the `count` samples of a step."""

    seed: int
    step: int
    stratum: int
    count: int

    def generator(self) -> torch.Generator:
        """Always on the CPU, so that every device sees the same numbers."""
        return torch.Generator().manual_seed(draw_key(self.seed, self.step, f"draw {self.stratum}"))


def batch_from(
    ids: Sequence[str],
    conditions: Sequence[Condition],
    latents: Sequence[Tensor],
    draws: Sequence[Draw],
    times: Times,
    model: S3DiT,
) -> Batch:
    """Noise and times for samples that are encoded. latents: float32 [channels, height, width] each."""
    device = model.x_pad_token.device
    generators = [draw.generator() for draw in draws]
    jitter = torch.stack([torch.rand((), generator=g, dtype=torch.float64) for g in generators])
    places = torch.tensor([d.stratum for d in draws], dtype=torch.float64)
    counts = torch.tensor([d.count for d in draws], dtype=torch.float64)
    quantiles = ((places + jitter) / counts).clamp(1e-6, 1 - 1e-6)
    noise = [torch.randn(x.shape, generator=g) for x, g in zip(latents, generators, strict=True)]
    t = times.at(quantiles, [x.shape[1] * x.shape[2] // 4 for x in latents])
    layout, features = batch_of(conditions, model)
    return Batch(
        ids=tuple(ids),
        conditions=tuple(conditions),
        layout=layout,
        features=features,
        x0=patchify(noise).to(device, non_blocking=True),
        x1=patchify(latents).to(device, torch.float32, non_blocking=True),
        t=t.to(device),
        weight=1 / draws[0].count,
    )


class Objective(Protocol):
    """What is trained, on what. One loop serves one network or several (teacher, fake, student)."""

    def turns(self, step: int) -> Sequence[str]:
        """Names of the networks that are updated in this step, in order."""
        ...

    def losses(self, name: str, batch: Batch, models: Mapping[str, nn.Module]) -> Tensor:
        """float32 [samples], to be minimized in the weights of network `name`."""
        ...


@dataclass(frozen=True)
class FlowMatching:
    """mean (u_theta - (x1 - x0))^2 at x_t = t x1 + (1 - t) x0, unweighted as in the report."""

    name: str = "model"

    def turns(self, step: int) -> Sequence[str]:
        return (self.name,)

    def losses(self, name: str, batch: Batch, models: Mapping[str, nn.Module]) -> Tensor:
        t = batch.t[batch.layout.target_sample, None]
        x = interpolate(batch.x0, batch.x1, t)
        u = models[name](x, batch.t, batch.features, batch.layout)
        return sample_means((u.float() - (batch.x1 - batch.x0)).square(), batch.layout)


def sample_means(values: Tensor, layout: Layout) -> Tensor:
    """Mean of [target tokens, width] over each sample's own tokens: [samples]."""
    sums = values.new_zeros(len(layout.samples)).index_add(0, layout.target_sample, values.mean(-1))
    counts = torch.tensor([h * w // 4 for h, w in layout.sizes], dtype=values.dtype)
    return sums / counts.to(values.device)


def by_decile(losses: Tensor, t: Tensor) -> Tensor:
    """Sums and counts of losses in ten equal ranges of t: float64 [2, 10], on the CPU."""
    decile = (t.detach().cpu() * DECILES).long().clamp(0, DECILES - 1)
    table = torch.zeros(2, DECILES, dtype=torch.float64)
    table[0].index_add_(0, decile, losses.detach().cpu().double())
    table[1].index_add_(0, decile, torch.ones(len(decile), dtype=torch.float64))
    return table
