"""Flow matching: conventions, and the times at which a sampler asks for velocities.

t = 0 is noise x0, t = 1 data x1, x_t = t x1 + (1 - t) x0, velocity u = x1 - x0. Other libraries count
sigma = 1 - t; it appears only here, where their configurations are read and their tables reproduced.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from .errors import ModelConfigError

#: scheduler_config.json fields that are supported in one value only; absent means that value.
FIXED = {
    "num_train_timesteps": 1000,
    "invert_sigmas": False,
    "shift_terminal": None,
    "use_karras_sigmas": False,
    "use_exponential_sigmas": False,
    "use_beta_sigmas": False,
    "stochastic_sampling": False,
    "time_shift_type": "exponential",
}


def shift_sigma(sigma: float, factor: float) -> float:
    """factor * sigma / (1 + (factor - 1) * sigma): more steps near noise for a factor above 1 (SD3, eq. 23)."""
    return factor * sigma / (1 + (factor - 1) * sigma)


@dataclass(frozen=True)
class Schedule:
    """Where steps lie. Static: one shift for all sizes (released: Turbo 3, Base 6). Dynamic: Flux's e^mu(L)."""

    shift: float = 3.0
    dynamic: bool = False
    #: mu is linear in image tokens L, through (base_tokens, base_mu) and (max_tokens, max_mu).
    base_mu: float = 0.5
    max_mu: float = 1.15
    base_tokens: int = 256
    max_tokens: int = 4096

    def __post_init__(self) -> None:
        if not (math.isfinite(self.shift) and self.shift > 0):
            raise ModelConfigError(f"shift is {self.shift!r}; it must be a positive number")
        if self.max_tokens <= self.base_tokens:
            raise ModelConfigError(
                f"max_image_seq_len {self.max_tokens} must exceed base_image_seq_len {self.base_tokens}"
            )

    def mu(self, tokens: int) -> float:
        """Flux's log shift of an image of this many tokens (height_px * width_px / 256 for an 8x VAE)."""
        slope = (self.max_mu - self.base_mu) / (self.max_tokens - self.base_tokens)
        return self.base_mu + slope * (tokens - self.base_tokens)

    def factor(self, tokens: int) -> float:
        """What sigma is shifted by for an image of this many tokens."""
        return math.exp(self.mu(tokens)) if self.dynamic else self.shift

    def times(self, steps: int, tokens: int) -> tuple[float, ...]:
        """steps + 1 times from 0 to 1. `steps` velocities are asked for, none at 1.

        Before the shift, sigma runs from 1 to 1/steps in equal steps, and a last 0 follows.
        """
        if steps < 1:
            raise ModelConfigError(f"steps is {steps}; at least 1 is needed")
        factor = self.factor(tokens)
        # 1 - shift_sigma(sigma), written so that both ends are exact.
        return tuple(i / (i + factor * (steps - i)) for i in range(steps + 1))

    def to_config(self) -> dict:
        """The scheduler_config.json that diffusers' FlowMatchEulerDiscreteScheduler reads."""
        return {
            "_class_name": "FlowMatchEulerDiscreteScheduler",
            "num_train_timesteps": 1000,
            "shift": self.shift,
            "use_dynamic_shifting": self.dynamic,
            "base_shift": self.base_mu,
            "max_shift": self.max_mu,
            "base_image_seq_len": self.base_tokens,
            "max_image_seq_len": self.max_tokens,
        }

    @classmethod
    def read(cls, path: Path | str) -> Schedule:
        """From a scheduler_config.json. Raises ModelConfigError, with the path and field, for unsupported ones."""
        try:
            values = json.loads(Path(path).read_text("utf-8"))
            wrong = next((k for k, v in FIXED.items() if values.get(k, v) != v), None)
            if wrong:
                raise ModelConfigError(f"{wrong} is {values[wrong]!r}; only {FIXED[wrong]!r} is supported")
            return cls(
                shift=float(values.get("shift", 1.0)),
                dynamic=bool(values.get("use_dynamic_shifting", False)),
                base_mu=float(values.get("base_shift", cls.base_mu)),
                max_mu=float(values.get("max_shift", cls.max_mu)),
                base_tokens=int(values.get("base_image_seq_len", cls.base_tokens)),
                max_tokens=int(values.get("max_image_seq_len", cls.max_tokens)),
            )
        except (OSError, ValueError, TypeError, AttributeError, ModelConfigError) as error:
            raise ModelConfigError(f"{path}: {error}") from error


def sigmas(times: Sequence[float]) -> list[float]:
    """The same times as diffusers counts them."""
    return [1 - t for t in times]


def interpolate(x0: Tensor, x1: Tensor, t: float | Tensor) -> Tensor:
    """x_t between noise x0 and data x1. t: a number, or a tensor that broadcasts against them."""
    return t * x1 + (1 - t) * x0


def data_of(x: Tensor, u: Tensor, t: float | Tensor) -> Tensor:
    """The data x1 that a velocity at x_t points to."""
    return x + (1 - t) * u


def noise_of(x: Tensor, u: Tensor, t: float | Tensor) -> Tensor:
    """The noise x0 that a velocity at x_t comes from."""
    return x - t * u


def score_of(x: Tensor, u: Tensor, t: float | Tensor) -> Tensor:
    """Gradient of the log density at x_t, t < 1: -x0 / (1 - t)."""
    return (t * u - x) / (1 - t)


def logit_normal_times(normal: Tensor, mu: float | Tensor, mean: float = 0.0, std: float = 1.0) -> Tensor:
    """Training times of standard normal draws: t = sigmoid(mean - mu + std * normal).

    The shift by e^mu of sigma = 1 - t is a translation of its logit, so one line holds both.
    """
    return torch.sigmoid(mean - mu + std * normal)
