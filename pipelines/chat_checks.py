"""Are the chat models of a recipe there? Asked before any work, without a question that costs."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from zcurate.captioner.chat import ChatError
from zcurate.captioner.vlm.adapters import AdapterError, read_adapter, split_adapter
from zcurate.captioner.vlm.address import AddressError
from zcurate.curation.errors import ConfigError

from . import registry
from .loop_thread import LoopThread
from .recipe import Recipe


def check_chats(recipe: Recipe) -> tuple[list[str], list[str]]:
    """(what is missing, warnings) about every `openai:` and `transformers:` model of the recipe's stages."""
    missing: list[str] = []
    warnings: list[str] = []
    loop = LoopThread()
    for model in sorted(set(_models(recipe.stages))):
        try:
            if model.startswith("openai:"):
                warnings += loop.run(_check_server(registry.resolve("vlm", model)))
            else:
                warnings += _check_local(model)
        except (ChatError, ConfigError, AdapterError, AddressError) as e:
            missing.append(f"{model.partition(':')[0]}: {e}")
    return missing, warnings


def _models(settings: Any) -> Iterator[str]:
    if isinstance(settings, dict):
        for value in settings.values():
            yield from _models(value)
    elif isinstance(settings, list):
        for value in settings:
            yield from _models(value)
    elif isinstance(settings, str) and settings.startswith(("openai:", "transformers:")):
        yield settings


async def _check_server(chat: Any) -> list[str]:
    """Reachable, and does it list the model? Raises ChatError where it is not or does not."""
    try:
        chat.load()
        listed = await chat.models()
    except ChatError as e:
        if e.reason == "missing_model":  # some servers list nothing; asking will tell
            return [f"{chat.address.url} has no list of models; {chat.address.model!r} is not checked"]
        raise
    finally:
        await chat.close()
    if chat.address.model not in listed:
        some = ", ".join(repr(m) for m in listed[:5]) or "none"
        raise ChatError(
            "missing_model",
            f"{chat.address.url} does not list {chat.address.model!r}; it has {some}",
            fatal=True,
        )
    return []


def _check_local(model: str) -> list[str]:
    name, adapter = split_adapter(model.partition(":")[2])
    for package in ("torch", "transformers", *(("peft",) if adapter else ())):
        if find_spec(package) is None:
            raise ConfigError(f"{name} needs {package}: pip install {package}")
    folder = Path(name).expanduser()
    if folder.is_dir():
        if not (folder / "config.json").is_file() or not any(folder.glob("*.safetensors")):
            raise ConfigError(f"{folder} has no config.json with *.safetensors beside it")
    elif name.startswith((".", "/", "~")):
        raise ConfigError(f"{folder} is no directory")
    warnings = []
    if adapter is not None:
        made_for = read_adapter(adapter).record.get("base")
        base = registry.identity(f"transformers:{name}")
        if made_for not in (None, base):
            warnings.append(f"{adapter} was trained on another base ({made_for}) than {name} ({base})")
    if not Path("/dev/nvidia0").exists():
        warnings.append(f"{model}: no GPU here; expect minutes per picture")
    return warnings
