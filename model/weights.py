"""Checkpoints in safetensors: read strictly, in either published layout, and written back.

A file is checked by its header, names and shapes, before any weight is read; parameters are then read one
by one, so that loading needs the memory of the model and one parameter.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from .config import S3DiTConfig
from .errors import WeightsError
from .model import S3DiT
from .state_layouts import (
    COMFY_PREFIX,
    DEAD,
    comfy_name,
    comfy_shapes,
    official_shapes,
    parts,
    to_comfy,
    to_official,
)

STEM = "diffusion_pytorch_model"
INDEX = f"{STEM}.safetensors.index.json"
NAMED = 5  # keys that an error lists


@dataclass(frozen=True)
class Source:
    """Tensors by name, read on demand."""

    name: str  # for messages
    shapes: Mapping[str, tuple[int, ...]]
    read: Callable[[str], Tensor]


def open_source(path: Path | str) -> Source:
    """A .safetensors file, a .safetensors.index.json, or a folder that holds one of them.

    Raises WeightsError for anything else, for damaged files, and for an index that names files elsewhere.
    """
    path = Path(path)
    if path.is_dir():
        found = sorted(path.glob("*.safetensors.index.json")) or sorted(path.glob("*.safetensors"))
        if len(found) != 1:
            raise WeightsError(
                f"{path}: holds {len(found)} checkpoints; name one .safetensors file or .index.json in it"
            )
        path = found[0]
    files = _indexed(path) if path.name.endswith(".json") else [path]
    handles, shapes, owner = [], {}, {}
    for file in files:
        if file.suffix != ".safetensors":
            raise WeightsError(f"{file}: only .safetensors is read; convert other formats first")
        try:
            handle = safe_open(file, framework="pt", device="cpu")
            for name in handle.keys():  # noqa: SIM118  (not a mapping)
                shapes[name] = tuple(handle.get_slice(name).get_shape())
                owner[name] = handle
        except (OSError, SafetensorError) as error:
            raise WeightsError(f"{file}: not a readable safetensors file: {error}") from error
        handles.append(handle)
    return Source(str(path), shapes, lambda name: owner[name].get_tensor(name))


def _indexed(path: Path) -> list[Path]:
    """The files that an index names, all beside it."""
    try:
        names = sorted(set(json.loads(path.read_text("utf-8"))["weight_map"].values()))
    except (OSError, ValueError, KeyError, AttributeError, TypeError) as error:
        raise WeightsError(f"{path}: not an index with a weight_map of names to files: {error!r}") from error
    for name in names:
        if not isinstance(name, str) or Path(name).name != name:
            raise WeightsError(f"{path}: names the file {name!r}; only files beside the index are read")
    missing = [name for name in names if not (path.parent / name).is_file()]
    if missing:
        raise WeightsError(f"{path}: the file {missing[0]} that it names is missing ({len(missing)} in all)")
    return [path.parent / name for name in names]


def in_memory(state: Mapping[str, Tensor], name: str = "state dict") -> Source:
    """A state dict in one of the published layouts as a source."""
    return Source(name, {k: tuple(v.shape) for k, v in state.items()}, state.__getitem__)


def official_reader(source: Source, config: S3DiTConfig) -> Callable[[str], Tensor]:
    """Reads official tensors by name from a source in either layout.

    Raises WeightsError, with the first keys and shapes at fault, unless the source holds exactly the model.
    """
    prefix = COMFY_PREFIX if any(name.startswith(COMFY_PREFIX) for name in source.shapes) else ""
    names = {name.removeprefix(prefix): shape for name, shape in source.shapes.items()}
    names = {name: shape for name, shape in names.items() if name not in DEAD}
    comfy = any(name.startswith(("x_embedder.", "final_layer.")) or ".qkv." in name for name in names)
    expected = comfy_shapes(config) if comfy else official_shapes(config)
    faults = [
        _fault("missing", (f"{n} {list(expected[n])}" for n in expected if n not in names)),
        _fault("unexpected", (f"{n} {list(names[n])}" for n in names if n not in expected)),
        _fault(
            "of another shape",
            (
                f"{n} {list(names[n])}, not {list(expected[n])}"
                for n in expected
                if n in names and names[n] != expected[n]
            ),
        ),
    ]
    if any(faults):
        layout = "ComfyUI" if comfy else "official (diffusers)"
        raise WeightsError(
            f"{source.name}: does not fit the configuration, read in the {layout} layout: "
            + "; ".join(f for f in faults if f)
        )

    def read(official: str) -> Tensor:
        if not comfy:
            return source.read(prefix + official)
        name, third = comfy_name(official)
        tensor = source.read(prefix + name)
        return tensor if third is None else tensor.chunk(3)[third]

    return read


def _fault(what: str, items: Iterable[str]) -> str:
    items = list(items)
    more = f" and {len(items) - NAMED} more" if len(items) > NAMED else ""
    return f"{len(items)} {what}: {', '.join(items[:NAMED])}{more}" if items else ""


@torch.no_grad()
def load_weights(model: S3DiT, source: Source | Path | str) -> None:
    """Fill a model in place, keeping its dtypes and devices. Raises WeightsError as `official_reader`."""
    source = source if isinstance(source, Source) else open_source(source)
    read = official_reader(source, model.config)
    for name, part in parts(model.config).items():
        parameter = model.get_parameter(name)
        parameter.copy_(part.join([read(official) for official in part.official]))


def load_model(
    path: Path | str,
    config: S3DiTConfig | None = None,
    device: torch.device | str = "cpu",
    dtype: torch.dtype | None = None,
) -> S3DiT:
    """A model from a checkpoint, in evaluation mode.

    config: by default that of config.json beside the weights. dtype: by default the weights' own.
    Raises WeightsError and ModelConfigError.
    """
    source = open_source(path)
    if config is None:
        folder = Path(path) if Path(path).is_dir() else Path(path).parent
        if not (folder / "config.json").is_file():
            raise WeightsError(f"{path}: no config.json beside it; pass a config, such as PRESETS['full']")
        config = S3DiTConfig.read(folder / "config.json")
    read = official_reader(source, config)
    with torch.device("meta"):
        model = S3DiT(config)
    for name, part in parts(config).items():
        tensor = part.join([read(official) for official in part.official]).to(device, dtype)
        owner, _, own = name.rpartition(".")
        setattr(model.get_submodule(owner), own, torch.nn.Parameter(tensor.contiguous()))
    return model.eval()


def save_weights(
    state: Mapping[str, Tensor],
    config: S3DiTConfig,
    folder: Path | str,
    comfy: bool = False,
    shard_bytes: int = 10 * 2**30,
) -> Path:
    """Write a state dict of ours as a folder that diffusers (or, with `comfy`, ComfyUI) reads.

    Files of at most `shard_bytes` each where tensors allow, an index where there are several, and
    config.json last. Comfy checkpoints are one file. Returns the path of the file or the index.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    state = to_comfy(state, config) if comfy else to_official(state, config)
    shards: list[dict[str, Tensor]] = [{}]
    size = 0
    for name, tensor in state.items():
        if shards[-1] and not comfy and size + tensor.nbytes > shard_bytes:
            shards.append({})
            size = 0
        shards[-1][name] = tensor.detach()
        size += tensor.nbytes
    count = len(shards)
    files = (
        [f"{STEM}.safetensors"]
        if count == 1
        else [f"{STEM}-{i:05}-of-{count:05}.safetensors" for i in range(1, count + 1)]
    )
    for name, shard in zip(files, shards, strict=True):
        part = folder / f".{name}.part"
        save_file({k: v.contiguous().cpu().clone() for k, v in shard.items()}, part, {"format": "pt"})
        os.replace(part, folder / name)
    path = folder / files[0]
    if count > 1:
        path = folder / INDEX
        index = {
            "metadata": {"total_size": sum(t.nbytes for t in state.values())},
            "weight_map": {key: name for name, shard in zip(files, shards, strict=True) for key in shard},
        }
        path.write_text(json.dumps(index, indent=2), "utf-8")
    (folder / "config.json").write_text(json.dumps(config.to_dict(), indent=2), "utf-8")
    return path
