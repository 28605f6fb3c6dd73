"""LoRA adapters of local chat models: `transformers:MODEL+ADAPTER`, a folder in PEFT's format.

`adapter_config.json` and `adapter_model.safetensors` are what PEFT and vLLM read as well; `adapter.json` is ours: the
version, and the digest of the two files it belongs to. Nothing here unpickles, and of a configuration only fields that
name numbers and layers are taken, so an adapter from a stranger can at worst write bad captions.
"""

from __future__ import annotations

import hashlib
import json
import os
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from .address import AddressError

FORMAT = 1
CONFIG, WEIGHTS, RECORD = "adapter_config.json", "adapter_model.safetensors", "adapter.json"
MAX_CONFIG_BYTES = 1 << 20

#: Fields of a LoRA configuration that are followed; name -> types. Others must have the value beside them, or be empty.
_FOLLOWED: dict[str, tuple[type, ...]] = {
    "r": (int,),
    "lora_alpha": (int, float),
    "lora_dropout": (int, float),
    "target_modules": (str, list),
    "exclude_modules": (str, list),
    "use_rslora": (bool,),
    "rank_pattern": (dict,),
    "alpha_pattern": (dict,),
    "layers_to_transform": (int, list),
    "layers_pattern": (str, list),
}
_FIXED: dict[str, Any] = {"peft_type": "LORA", "bias": "none", "fan_in_fan_out": False}
#: Those that change nothing about how the two matrices are used once they are trained.
_INERT = frozenset(
    ("base_model_name_or_path", "revision", "inference_mode", "task_type", "peft_version", "auto_mapping",
     "ensure_weight_tying", "qalora_group_size", "megatron_core", "loftq_config", "runtime_config",
     "corda_config", "eva_config", "lora_ga_config")
)  # fmt: skip


class AdapterError(ValueError):
    """An adapter is missing, damaged, or of a kind that is not read; the message names the file and the fix."""


@dataclass(frozen=True)
class Adapter:
    """A folder that was looked at, without its weights.

    Attributes:
        config: fields of PEFT's `LoraConfig` to follow.
        digest: sha256 (hex) of configuration and weights.
        version: number of the training that made it, from 1; None for one that was not made here.
        record: the rest of `adapter.json`; empty for a foreign one.
    """

    folder: Path
    config: Mapping[str, Any]
    digest: str
    version: int | None
    record: Mapping[str, Any]

    @property
    def identity(self) -> str:
        """What enters fingerprints behind the base model's own identity."""
        version = "" if self.version is None else f"v{self.version}:"
        return f"lora:{version}sha256:{self.digest}"


def split_adapter(argument: str) -> tuple[str, str | None]:
    """`MODEL+ADAPTER` -> both; (argument, None) where there is no adapter.

    A name with a plus that exists as a whole is a model: folders may be called `c++`.

    Raises:
        AddressError: nothing before or after the plus.
    """
    if "+" not in argument or Path(argument).expanduser().exists():
        return argument, None
    cuts = [i for i, c in enumerate(argument) if c == "+"]
    at = next((i for i in reversed(cuts) if Path(argument[i + 1 :]).expanduser().is_dir()), cuts[-1])
    base, adapter = argument[:at].strip(), argument[at + 1 :].strip()
    if not base or not adapter:
        raise AddressError(f"{argument!r}: write transformers:MODEL+ADAPTER, with a model and a folder")
    return base, adapter


def read_adapter(folder: str | Path) -> Adapter:
    """Look at an adapter. Reads its files through once, for the digest; weights are not kept.

    Raises:
        AdapterError: a file is missing, is no LoRA configuration that is followed here, or `adapter.json` belongs to
            other weights.
    """
    folder = Path(folder).expanduser()
    if not (folder / WEIGHTS).is_file() or not (folder / CONFIG).is_file():
        pickled = " (pickled weights are not read: save them as safetensors)"
        found = pickled if (folder / "adapter_model.bin").exists() else ""
        raise AdapterError(f"{folder}: no adapter: it must hold {CONFIG} and {WEIGHTS}{found}")
    config = _checked_config(folder / CONFIG)
    digest = adapter_digest(folder)
    record = _json_object(folder / RECORD) if (folder / RECORD).is_file() else {}
    version = record.get("version")
    if record:
        if record.get("format") != FORMAT or type(version) is not int or version < 1:
            raise AdapterError(f"{folder / RECORD}: not a record of format {FORMAT} with a version from 1")
        if record.get("digest") != digest:
            raise AdapterError(
                f"{folder}: configuration or weights were changed after version {version} was trained; "
                f"remove {RECORD} to use them as a foreign adapter"
            )
    return Adapter(folder, config, digest, version, record)


def adapter_digest(folder: Path) -> str:
    """sha256 (hex) over the digests of configuration and weights. Cards and scores beside them do not count."""
    total = hashlib.sha256()
    for name in (CONFIG, WEIGHTS):
        st = os.stat(folder / name)
        total.update(f"{name}\0{_file_digest(str(folder / name), st.st_size, st.st_mtime_ns)}\n".encode())
    return total.hexdigest()


def insert(network: Any, adapter: Adapter, trainable: bool = False) -> Any:
    """Put an adapter into a network, in place: its forward uses it from then on; weights of the base stay as they are.

    Returns:
        PEFT's model around the network, for training; for inference the network itself is enough.

    Raises:
        AdapterError: the weights do not fit the network. ModuleNotFoundError: peft is not installed.
    """
    import torch
    from peft import get_peft_model_state_dict, set_peft_model_state_dict
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    where = adapter.folder / WEIGHTS
    try:
        weights = load_file(where)
    except (SafetensorError, OSError) as e:
        raise AdapterError(f"{where}: damaged: {str(e)[:200]}") from e
    if not all(torch.isfinite(w).all() for w in weights.values()):
        raise AdapterError(f"{where}: holds NaN or infinity")
    try:
        model = lora_model(network, {**adapter.config, "inference_mode": not trainable})
    except (ValueError, TypeError, KeyError) as e:
        raise AdapterError(f"{adapter.folder / CONFIG}: does not fit the model: {str(e)[:300]}") from e
    wanted = {name: tuple(w.shape) for name, w in get_peft_model_state_dict(model).items()}
    given = {name: tuple(w.shape) for name, w in weights.items()}
    if wanted != given:
        odd = sorted(n for n in wanted.keys() | given.keys() if wanted.get(n) != given.get(n))
        raise AdapterError(
            f"{where}: made for another model: {len(odd)} of {len(wanted)} matrices differ, e.g. {odd[0]}: "
            f"{given.get(odd[0], 'absent')} where the model takes {wanted.get(odd[0], 'none')}"
        )
    set_peft_model_state_dict(model, weights)
    return model


def lora_model(network: Any, config: Mapping[str, Any]) -> Any:
    """PEFT's model around a network, with untrained matrices. `config`: fields of `LoraConfig`; raises as PEFT does."""
    from peft import LoraConfig, get_peft_model

    with warnings.catch_warnings():
        # It reads names that transformers is about to change, which is nothing that a user could do something about.
        warnings.simplefilter("ignore", FutureWarning)
        return get_peft_model(network, LoraConfig(**config))


def _checked_config(path: Path) -> dict[str, Any]:
    raw = _json_object(path)
    for name, value in _FIXED.items():
        if raw.get(name, value) != value or (name == "peft_type" and name not in raw):
            raise AdapterError(f"{path}: {name} is {raw.get(name)!r}; only {value!r} is read")
    taken: dict[str, Any] = {}
    if raw.get("init_lora_weights", True) not in (True, "gaussian"):
        # PiSSA, OLoRA and alike take their start out of the base model, whose weights are then other ones.
        raise AdapterError(
            f"{path}: init_lora_weights {raw['init_lora_weights']!r}: convert it to plain LoRA"
        )
    for name, value in raw.items():
        if name in _FIXED or name in _INERT or name == "init_lora_weights" or not value:
            continue  # a field at None, false or empty asks for nothing
        if name not in _FOLLOWED:
            raise AdapterError(f"{path}: {name} is {str(value)[:60]!r}; plain LoRA has no such setting")
        if not isinstance(value, _FOLLOWED[name]) or (isinstance(value, bool) != (name == "use_rslora")):
            raise AdapterError(f"{path}: {name} is {str(value)[:60]!r}, of the wrong type")
        taken[name] = value
    if not 1 <= taken.get("r", 0) <= 4096 or "target_modules" not in taken:
        raise AdapterError(f"{path}: r must be 1 to 4096, and target_modules must name layers")
    return taken


def _json_object(path: Path) -> dict[str, Any]:
    try:
        if path.stat().st_size > MAX_CONFIG_BYTES:
            raise AdapterError(f"{path}: larger than {MAX_CONFIG_BYTES >> 10} KiB")
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as e:
        if isinstance(e, AdapterError):
            raise
        raise AdapterError(f"{path}: cannot be read: {str(e)[:200]}") from e
    if not isinstance(value, dict):
        raise AdapterError(f"{path}: must hold a JSON object")
    return value


@lru_cache(maxsize=256)
def _file_digest(path: str, size_bytes: int, mtime_ns: int) -> str:
    with open(path, "rb") as f:
        return hashlib.file_digest(f, "sha256").hexdigest()
