"""From noise to data along a velocity field: Euler, Heun, and the SDE with the same marginals.

A sampler knows nothing of models. `velocity(x, t)` gives u for the packed state x, float32
[tokens, patch_dim], at one time t for all samples. All of it is differentiable; callers that only want
pictures disable gradients. `after(x, t)`, where given, may change the state after each step (inpainting).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

Velocity = Callable[[Tensor, float], Tensor]
After = Callable[[Tensor, float], Tensor]


def keep(x: Tensor, t: float) -> Tensor:
    """The `after` that changes nothing."""
    return x


def euler(velocity: Velocity, x: Tensor, times: Sequence[float], after: After = keep) -> Tensor:
    """One velocity per step: len(times) - 1 in all."""
    for t, following in pairwise(times):
        x = after(x + (following - t) * velocity(x, t).float(), following)
    return x


def heun(velocity: Velocity, x: Tensor, times: Sequence[float], after: After = keep) -> Tensor:
    """Second order: the mean of the velocities at both ends of a step. 2 n - 1 velocities for n steps.

    The last step is Euler's: models are hardly trained at t = 1 (as in Karras et al. 2022, algorithm 1).
    """
    for t, following in pairwise(times):
        u = velocity(x, t).float()
        ahead = x + (following - t) * u
        if following < times[-1]:
            ahead = x + (following - t) / 2 * (u + velocity(ahead, following).float())
        x = after(ahead, following)
    return x


@dataclass(frozen=True)
class SdeStep:
    """A step of `sde`, with what policy gradients need.

    log_prob: float32 [samples], of `next_x` given `x`: mean over the values of each sample, so that ratios
    stay near 1 whatever the size. Its gradient holds `next_x` fixed, as policy gradients want it; that of
    `next_x` itself is the path's. None for a step without noise, which has no density.
    """

    t: float
    next_t: float
    x: Tensor
    next_x: Tensor
    mean: Tensor
    std: float
    log_prob: Tensor | None


def sde_mean_std(x: Tensor, u: Tensor, t: float, next_t: float, a: float) -> tuple[Tensor, float]:
    """Mean and standard deviation of the next state (Flow-GRPO, arXiv 2505.05470, in this time direction).

    Noise rate s = a sqrt((1 - t) / t); at t = 0, where that is infinite, the next time divides.
    a = 0 is Euler's step exactly.
    """
    dt = next_t - t
    if a == 0:
        return x + dt * u, 0.0
    s2 = a * a * (1 - t) / (t if t > 0 else next_t)
    mean = x * (1 - s2 * dt / (2 * (1 - t))) + u * (1 + s2 * t / (2 * (1 - t))) * dt
    return mean, math.sqrt(s2 * dt)


def log_prob(next_x: Tensor, mean: Tensor, std: float, counts: Sequence[int]) -> Tensor:
    """Normal log density, mean over the values of each sample: [samples]. counts: tokens of each sample."""
    squares = ((next_x - mean) / std).square().mean(-1)
    means = torch.stack([part.mean() for part in squares.split(list(counts))])
    return -0.5 * means - math.log(std) - 0.5 * math.log(2 * math.pi)


def sde_steps(
    velocity: Velocity,
    x: Tensor,
    times: Sequence[float],
    noise: Callable[[], Tensor],
    counts: Sequence[int],
    a: float | Sequence[float] = 0.7,
    after: After = keep,
) -> Iterator[SdeStep]:
    """Steps of the SDE with the marginals of the ODE. Always float32: half precision overflows.

    noise: a fresh standard normal of x's shape at every call. a: noise level, one or one per step (a window
    of steps with noise among ones without). The last `next_x` is the result.
    """
    levels = [a] * (len(times) - 1) if isinstance(a, float | int) else list(a)
    x = x.float()
    for (t, following), level in zip(pairwise(times), levels, strict=True):
        mean, std = sde_mean_std(x, velocity(x, t).float(), t, following, level)
        next_x = mean + std * noise() if std else mean
        density = log_prob(next_x.detach(), mean, std, counts) if std else None
        next_x = after(next_x, following)
        yield SdeStep(t, following, x, next_x, mean, std, density)
        x = next_x
