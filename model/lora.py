"""LoRA files merged into a model: W += scale * alpha / rank * B A.

Names as tools write them: `diffusion_model.` (ai-toolkit, ComfyUI), `transformer.` (diffusers) and
`lora_unet_` with underscores for dots (kohya); `lora_A`/`lora_B` or `lora_down`/`lora_up`, with or without
an `alpha`; modules under their official or their ComfyUI names.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import torch
from torch import Tensor

from .config import S3DiTConfig
from .errors import WeightsError
from .model import S3DiT
from .state_layouts import Part, comfy_name, halves, parts
from .weights import Source, open_source

PREFIXES = ("diffusion_model.", "transformer.", "lora_unet_")
SUFFIXES = {
    ".lora_A.weight": "a",
    ".lora_A.default.weight": "a",
    ".lora_down.weight": "a",
    ".lora_B.weight": "b",
    ".lora_B.default.weight": "b",
    ".lora_up.weight": "b",
    ".alpha": "alpha",
}


@dataclass(frozen=True)
class Target:
    """Rows of a weight of ours that a LoRA module changes."""

    parameter: str
    start: int
    stop: int
    columns: int
    rotated: bool


@lru_cache(maxsize=8)
def targets(config: S3DiTConfig) -> dict[str, tuple[Target, ...]]:
    """Every matrix of the model under its official and ComfyUI module names, with dots and underscores."""
    found: dict[str, tuple[Target, ...]] = {}
    for parameter, part in parts(config).items():
        for official, target in zip(part.official, _rows(parameter, part), strict=True):
            if target is None:
                continue
            found[official.removesuffix(".weight")] = (target,)
            comfy = comfy_name(official)[0].removesuffix(".weight")
            if comfy not in part.official:
                found[comfy] = (*found.get(comfy, ()), target) if comfy.endswith("qkv") else (target,)
    # diffusers and kohya write to_out without the list index as well.
    found |= {name.removesuffix(".0"): t for name, t in found.items() if name.endswith("to_out.0")}
    return found | {name.replace(".", "_"): t for name, t in found.items()}


def _rows(parameter: str, part: Part) -> list[Target | None]:
    rows, start = [], 0
    for official, shape, rotated in zip(part.official, part.shapes, part.rotated, strict=True):
        matrix = len(shape) == 2 and official.endswith(".weight") and not part.stacked
        rows.append(Target(parameter, start, start + shape[0], shape[1], rotated) if matrix else None)
        start += shape[0]
    return rows


def read_lora(source: Source, config: S3DiTConfig) -> dict[str, dict[str, Tensor]]:
    """Tensors a, b and perhaps alpha of every module, by module name without prefix.

    Raises WeightsError, with the first keys at fault, for keys that are no LoRA of this model.
    """
    known = targets(config)
    modules: dict[str, dict[str, Tensor]] = {}
    unknown = []
    for key in source.shapes:
        suffix = next((s for s in SUFFIXES if key.endswith(s)), None)
        prefix = next((p for p in PREFIXES if key.startswith(p)), "")
        name = key.removeprefix(prefix).removesuffix(suffix or "")
        if suffix is None or name not in known:
            unknown.append(key)
        else:
            modules.setdefault(name, {})[SUFFIXES[suffix]] = source.read(key)
    if unknown:
        raise WeightsError(
            f"{source.name}: {len(unknown)} keys are no LoRA matrices of this model: {', '.join(unknown[:5])}"
        )
    for name, module in modules.items():
        if not {"a", "b"} <= module.keys():
            raise WeightsError(
                f"{source.name}: {name} has only {sorted(module)}; both LoRA matrices are needed"
            )
        a, b = module["a"], module["b"]
        rows, columns = sum(t.stop - t.start for t in known[name]), known[name][0].columns
        if a.ndim != 2 or b.ndim != 2 or len(a) != b.shape[1] or (len(b), a.shape[1]) != (rows, columns):
            raise WeightsError(
                f"{source.name}: {name} has matrices {list(a.shape)} and {list(b.shape)}; "
                f"their product must be {rows} x {columns}"
            )
    return modules


@torch.no_grad()
def merge_lora(model: S3DiT, source: Source | Path | str, scale: float = 1.0) -> int:
    """Add a LoRA to the weights in place; with -scale, take it out again (up to rounding).

    Products are taken in float32 and rounded once to the weights' dtype. Returns the number of modules.
    Raises WeightsError as `read_lora`, before any weight is touched.
    """
    source = source if isinstance(source, Source) else open_source(source)
    modules = read_lora(source, model.config)
    for name, module in modules.items():
        a, b = module["a"].float(), module["b"].float()
        alpha = float(module["alpha"]) if "alpha" in module else len(a)
        start = 0
        for target in targets(model.config)[name]:
            rows = b[start : start + target.stop - target.start]
            start += len(rows)
            rows = halves(rows, model.config.head_dim) if target.rotated else rows
            weight = model.get_parameter(target.parameter)[target.start : target.stop]
            delta = rows.to(weight.device) @ a.to(weight.device) * (scale * alpha / len(a))
            weight.copy_(weight.float() + delta)
    return len(modules)
