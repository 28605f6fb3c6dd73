"""Weights of linear layers in 8 or 4 bits; activations stay as they are.

torchao's kernels where they run (they need a matching pair of torch and torchao, and for 4 bits a GPU), else
the plain form below: packed weights, unpacked into the activations' dtype layer by layer. That form saves
the same memory on any device, but no time.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .errors import GenerationError, ModelWarning

BITS = {"int8": 8, "int4": 4}
#: Inputs that share a scale and an offset in 4 bits; in 8 bits a whole row shares a scale.
GROUP = 64
#: Layer lists of the transformer and of Qwen3. What is outside (embedders, head) is small and sensitive.
STACKS = ("layers.", "noise_refiner.", "context_refiner.", "siglip_refiner.")
#: Time modulation also stays as it is: its errors would act on every token.
KEPT = ("modulation",)


class PackedLinear(nn.Module):
    """Linear with weights in 8 bits (symmetric, scale per row) or 4 (scale and offset per group of 64)."""

    def __init__(self, linear: nn.Linear, bits: int) -> None:
        super().__init__()
        self.bits, self.in_features, self.out_features = bits, linear.in_features, linear.out_features
        weight = linear.weight.detach().float()
        if bits == 8:
            scale = weight.abs().amax(dim=1, keepdim=True).clamp_min(1e-12) / 127
            packed = (weight / scale).round().clamp(-127, 127).to(torch.int8)
            offset = None
        else:
            groups = weight.unflatten(1, (-1, GROUP))
            low, high = groups.amin(-1, keepdim=True), groups.amax(-1, keepdim=True)
            scale, offset = ((high - low).clamp_min(1e-12) / 15), low
            steps = ((groups - offset) / scale).round().clamp(0, 15).to(torch.uint8).flatten(1)
            packed = steps[:, 0::2] | steps[:, 1::2] << 4
        dtype = linear.weight.dtype
        self.register_buffer("packed", packed)
        self.register_buffer("scale", scale.to(dtype))
        self.register_buffer("offset", None if offset is None else offset.to(dtype))
        self.bias = linear.bias

    def weight_in(self, dtype: torch.dtype) -> Tensor:
        """[out, in], unpacked."""
        if self.bits == 8:
            return self.packed.to(dtype) * self.scale.to(dtype)
        steps = torch.stack((self.packed & 15, self.packed >> 4), dim=-1).flatten(1)
        groups = steps.unflatten(1, (-1, GROUP)).to(dtype)
        return (groups * self.scale.to(dtype) + self.offset.to(dtype)).flatten(1)

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight_in(x.dtype), self.bias)


def chosen(module: nn.Module) -> Iterator[tuple[str, nn.Linear]]:
    """Linear layers that are quantized: those of the layer stacks whose width divides into groups."""
    for name, part in module.named_modules():
        inside = name.startswith(STACKS) and not any(word in name for word in KEPT)
        if inside and isinstance(part, nn.Linear) and part.in_features % GROUP == 0:
            yield name, part


def quantize(module: nn.Module, kind: str, device: torch.device | str = "cpu", fast: bool = True) -> str:
    """Quantize in place; kind int8 or int4. Returns the form taken, `torchao` or `plain`.

    fast: try torchao first (its weights do not stream from the CPU, so offloading passes False). A warning
    says why, where it does not work. Raises GenerationError for another kind, or when nothing would change.
    """
    if kind not in BITS:
        raise GenerationError(f"quantize={kind!r}: there are {', '.join(BITS)}")
    layers = list(chosen(module))
    if not layers:
        raise GenerationError(
            f"quantize={kind!r}: no layer is {GROUP} wide or a multiple of it; this model is too small for it"
        )
    if fast:
        try:
            _torchao(module, kind, {id(part) for _, part in layers}, torch.device(device))
            return "torchao"
        except (ImportError, RuntimeError, AssertionError, NotImplementedError, ValueError) as error:
            warnings.warn(
                f"torchao's {kind} does not run here ({str(error).splitlines()[0][:120]}); "
                "plain packed weights are used: the same memory, no gain in speed",
                ModelWarning,
                stacklevel=2,
            )
    for name, part in layers:
        owner, _, own = name.rpartition(".")
        setattr(module.get_submodule(owner), own, PackedLinear(part, BITS[kind]))
    return "plain"


def _torchao(module: nn.Module, kind: str, layers: set[int], device: torch.device) -> None:
    """By torchao, after a layer of its own has run on the device. Raises what torchao raises."""
    from torchao.quantization import Int4WeightOnlyConfig, Int8WeightOnlyConfig, quantize_

    if kind == "int4" and device.type != "cuda":
        raise NotImplementedError(f"4-bit kernels need a CUDA GPU, not {device.type}")
    config = (
        Int8WeightOnlyConfig()
        if kind == "int8"
        else Int4WeightOnlyConfig(group_size=GROUP, int4_packing_format="tile_packed_to_4d")
    )
    probe = nn.Sequential(nn.Linear(256, 256)).to(device, torch.bfloat16)
    quantize_(probe, config)
    if not probe(torch.ones(2, 256, device=device, dtype=torch.bfloat16)).isfinite().all():
        raise RuntimeError("a probe layer gave values that are not finite")
    quantize_(module, config, filter_fn=lambda part, name: id(part) in layers, device=device)
