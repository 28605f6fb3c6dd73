"""Loading a two-tower model through transformers, from a hub id or a directory."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import ConfigError
from .torch_batches import local_directory, resolve_device


@dataclass(frozen=True)
class HfParts:
    """A loaded model with what prepares its inputs."""

    model: Any
    image_processor: Any
    tokenizer: Any
    device: Any
    dtype: Any


def read_config(label: str, name: str, model_types: tuple[str, ...]) -> dict[str, Any]:
    """The model's configuration as a dict, without its weights.

    Args:
        label: the model string, for messages.
        name: hub id or directory.
        model_types: the `model_type` values accepted.

    Raises:
        ConfigError: missing, unreadable, or of another type of model.
    """
    directory = _directory(label, name)
    if directory is not None:
        file = directory / "config.json"
        try:
            config = json.loads(file.read_text(encoding="utf-8"))
        except FileNotFoundError as e:
            raise ConfigError(f"{label}: no config.json in {directory}") from e
        except ValueError as e:
            raise ConfigError(f"{label}: {file} is not JSON: {e}") from e
    else:
        from transformers import AutoConfig

        try:
            config = AutoConfig.from_pretrained(name).to_dict()
        except (OSError, ValueError) as e:
            raise ConfigError(f"{label}: neither a directory nor a model the hub gives: {e}") from e
    if config.get("model_type") not in model_types:
        raise ConfigError(
            f"{label}: model_type is {config.get('model_type')!r}, expected {' or '.join(model_types)}"
        )
    return config


def load_parts(label: str, name: str, model_class: str, device: str, precision: str) -> HfParts:
    """Load weights, image processor and tokenizer. No remote code; pickled weights by `weights_only`.

    Args:
        model_class: name of a class of transformers.
        precision: `fp32` or `bf16`.

    Raises:
        ConfigError: a part is missing, or the weights do not fit the configuration.
    """
    import torch
    import transformers

    directory = _directory(label, name)
    source = str(directory) if directory is not None else name
    placed = resolve_device(device)
    dtype = {"fp32": torch.float32, "bf16": torch.bfloat16}[precision]
    try:
        model, report = getattr(transformers, model_class).from_pretrained(source, output_loading_info=True)
        image_processor = transformers.AutoImageProcessor.from_pretrained(source)
        tokenizer = transformers.AutoTokenizer.from_pretrained(source)
    except (OSError, ValueError, RuntimeError, KeyError) as e:
        raise ConfigError(f"{label}: cannot load: {e}") from e
    absent = sorted(report["missing_keys"])
    if absent:
        # transformers would leave these at random values, and every vector would be meaningless
        raise ConfigError(f"{label}: {len(absent)} weights are missing, e.g. {absent[0]}")
    return HfParts(model.to(placed, dtype).eval(), image_processor, tokenizer, placed, dtype)


def pooled(output: Any) -> Any:
    """The features of `get_image_features`: a tensor up to transformers 4, an output object since 5."""
    return getattr(output, "pooler_output", output)


def _directory(label: str, name: str) -> Path | None:
    try:
        return local_directory(name)
    except ConfigError as e:
        raise ConfigError(f"{label}: {e}") from e
