"""AdamW, its moments in float32 or in 8 bits, and schedules of the learning rate."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Literal

import torch
from torch import Tensor, nn

from .parallel import local

Kind = Literal["adamw", "adamw8bit"]
Shape = Literal["constant", "cosine", "linear"]
#: Values of a row that share one scale in 8 bits; rows that it does not divide have one scale each.
BLOCK = 256


def decays(name: str) -> bool:
    """Whether weight decay pulls on a parameter: matrices of products only, no norms, biases or pads."""
    return name.endswith(".weight") or name.endswith((".lora_a", ".lora_b"))


def optimizer_of(
    model: nn.Module,
    kind: Kind = "adamw",
    lr: float = 1e-4,
    betas: tuple[float, float] = (0.9, 0.99),
    eps: float = 1e-8,
    weight_decay: float = 0.0,
    seed: int = 0,
) -> torch.optim.Optimizer:
    """An optimizer over what is trained, after the model is sharded. Raises ValueError when nothing is."""
    named = [(n, p) for n, p in model.named_parameters() if p.requires_grad]
    if not named:
        raise ValueError("no parameter of the model requires a gradient: nothing to train")
    groups = [
        {"params": [p for n, p in named if decays(n)], "weight_decay": weight_decay},
        {"params": [p for n, p in named if not decays(n)], "weight_decay": 0.0},
    ]
    groups = [g for g in groups if g["params"]]
    if kind == "adamw8bit":
        return AdamW8bit(groups, lr, betas, eps, seed)
    return torch.optim.AdamW(groups, lr=lr, betas=betas, eps=eps, fused=True)


def learning_rate(
    step: int, peak: float, warmup: int, total: int, shape: Shape = "constant", floor: float = 0.0
) -> float:
    """Of the update with this number, from 0: a line up to `peak`, then `shape` down to floor * peak."""
    if step < warmup:
        return peak * (step + 1) / warmup
    if shape == "constant" or total <= warmup:
        return peak
    done = min((step - warmup) / (total - warmup), 1.0)
    left = (1 + math.cos(math.pi * done)) / 2 if shape == "cosine" else 1 - done
    return peak * (floor + (1 - floor) * left)


def state_of(model: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """The optimizer's tensors as `parameter name/state name`, sharded as their parameters."""
    names = {id(p): n for n, p in model.named_parameters()}
    return {
        f"{names[id(p)]}/{key}": value
        for p, values in optimizer.state.items()
        for key, value in values.items()
        if isinstance(value, Tensor)
    }


def prepare_state(optimizer: torch.optim.Optimizer) -> None:
    """Make a new optimizer's tensors, all zero. Parameters do not change.

    Optimizers make them at the first gradient, so that otherwise a checkpoint would lack those of
    parameters that no batch has used yet.
    """
    rates = [group["lr"] for group in optimizer.param_groups]
    for group in optimizer.param_groups:
        group["lr"] = 0.0
        for p in group["params"]:
            p.grad = torch.zeros_like(p)
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    for group, rate in zip(optimizer.param_groups, rates, strict=True):
        group["lr"] = rate
    for values in optimizer.state.values():
        for value in values.values():
            value.zero_()


class AdamW8bit(torch.optim.Optimizer):
    """AdamW with both moments in 8 bits: 2 bytes a weight where AdamW has 8. Vectors keep float32.

    A moment is a code per value and a float32 scale per block of a row, so that sharding by rows never
    divides a block. Codes are companded (squares for the first moment, fourth powers for the second) since
    magnitudes in a block differ by orders, and rounded at random in proportion, since a second moment
    changes by less than a code's distance per step and would stand still. Random numbers follow from
    (seed, step, place of the parameter), so a resumed run goes on exactly.
    """

    def __init__(
        self,
        params: Iterable[dict],
        lr: float = 1e-4,
        betas: tuple[float, float] = (0.9, 0.99),
        eps: float = 1e-8,
        seed: int = 0,
    ) -> None:
        super().__init__(params, {"lr": lr, "betas": betas, "eps": eps, "weight_decay": 0.0})
        self.seed = seed

    @torch.no_grad()
    def step(self, closure: None = None) -> None:
        place = 0
        for group in self.param_groups:
            for p in group["params"]:
                place += 1
                if p.grad is not None:
                    self._update(p, group, place)

    def _update(self, p: Tensor, group: dict, place: int) -> None:
        state = self.state[p]
        if not state:
            state["step"] = torch.zeros(())
            for name in ("exp_avg", "exp_avg_sq"):
                if p.ndim == 2:
                    state[name] = torch.zeros_like(
                        p, dtype=torch.uint8 if name.endswith("sq") else torch.int8
                    )
                    state[f"{name}_scale"] = _scales(p)
                else:
                    state[name] = torch.zeros_like(p)
        state["step"] += 1
        step, (b1, b2) = int(state["step"]), group["betas"]
        grad, weights = local(p.grad), local(p.detach())
        if not weights.numel():
            return
        m, v = _Moment(state, "exp_avg", 2), _Moment(state, "exp_avg_sq", 4)
        exp_avg, exp_avg_sq = m.read().lerp_(grad, 1 - b1), v.read().lerp_(grad.square(), 1 - b2)
        generator = torch.Generator(weights.device).manual_seed((self.seed * 1_000_003 + step) * 8191 + place)
        m.write(exp_avg, generator)
        v.write(exp_avg_sq, generator)
        weights.mul_(1 - group["lr"] * group["weight_decay"])
        scale = (exp_avg_sq / (1 - b2**step)).sqrt_().add_(group["eps"])
        weights.addcdiv_(exp_avg, scale, value=-group["lr"] / (1 - b1**step))


def _width(columns: int) -> int:
    return BLOCK if columns % BLOCK == 0 else columns


def _scales(p: Tensor) -> Tensor:
    """Zeros [rows, blocks], sharded by rows as p is."""
    blocks = p.shape[1] // _width(p.shape[1])
    if not hasattr(p, "to_local"):
        return p.new_zeros(len(p), blocks)
    from torch.distributed.tensor import zeros

    return zeros(len(p), blocks, device_mesh=p.device_mesh, placements=p.placements)


class _Moment:
    """A moment of one parameter: `values = scale * sign * (|code| / top)^power`, or plain float32."""

    def __init__(self, state: dict[str, Tensor], name: str, power: int) -> None:
        self.codes = local(state[name])
        self.scale = local(state[f"{name}_scale"]) if f"{name}_scale" in state else None
        self.power, self.top = power, 127 if self.codes.dtype == torch.int8 else 255

    def read(self) -> Tensor:
        """float32, of the parameter's shape; a copy."""
        if self.scale is None:
            return self.codes.clone()
        codes = self.codes.float().unflatten(1, (self.scale.shape[1], -1))
        values = (codes.abs() / self.top).pow(self.power) * codes.sign() * self.scale[..., None]
        return values.flatten(1)

    def write(self, values: Tensor, generator: torch.Generator) -> None:
        if self.scale is None:
            self.codes.copy_(values)
            return
        values = values.unflatten(1, (self.scale.shape[1], -1))
        self.scale.copy_(values.abs().amax(-1))
        share = (values.abs() / self.scale[..., None].clamp_min(1e-38)).clamp(max=1)
        low = (share.pow(1 / self.power) * self.top).floor().clamp(max=self.top - 1)
        below, above = (low / self.top).pow(self.power), ((low + 1) / self.top).pow(self.power)
        draw = torch.rand(share.shape, generator=generator, device=share.device)
        codes = low + (draw < (share - below) / (above - below))
        self.codes.copy_((codes * values.sign()).flatten(1))
