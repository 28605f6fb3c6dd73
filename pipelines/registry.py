"""Engines by name: one string in a recipe names a model; here it becomes an object.

Imports are lazy, so that a recipe pays only for what it uses.
"""

from __future__ import annotations

import hashlib
import importlib
import os
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

from zcurate.curation.errors import ConfigError, MissingDependencyError

#: Names of the stages a recipe may use -> module with `Config` and `build`.
STAGES = {
    name: f"zcurate.pipelines.stages.{name}"
    for name in (
        *("profile", "filter", "embed", "scores", "filter_scores", "dedup", "sampling", "communities"),
        *("ocr", "caption", "tags", "filter_tags", "enhance", "concepts", "balance", "frames", "edits"),
        *("clips", "video_pairs", "photo_groups", "draw", "judge", "retrieve", "probe_prompts"),
    )
}

#: role -> engine prefix -> (module, class, package to install, does it take the text after ':').
ENGINES: dict[str, dict[str, tuple[str, str, str, bool]]] = {
    "encoder": {
        "embedded": ("zcurate.curation.embedding.embedded", "EmbeddedEncoder", "", False),
        "openclip": ("zcurate.curation.embedding.openclip", "OpenClipEncoder", "open_clip_torch", True),
        "cnclip": ("zcurate.curation.embedding.cnclip", "ChineseClipEncoder", "transformers", True),
        "siglip": ("zcurate.curation.embedding.siglip", "SiglipEncoder", "transformers", True),
    },
    "ocr": {"rapidocr": ("zcurate.captioner.ocr.rapid", "RapidOcr", "rapidocr onnxruntime", False)},
    "vlm": {
        "template": ("zcurate.captioner.template", "TemplateEngine", "", False),
        "openai": ("zcurate.captioner.vlm.openai_chat", "OpenAiChat", "aiohttp", True),
        "transformers": (
            "zcurate.captioner.vlm.transformers_chat",
            "TransformersChat",
            "'transformers>=4.57' torch pillow",
            True,
        ),
    },
    "head": {"linear": ("zcurate.curation.scoring.linear", "LinearHead", "", True)},
    "generator": {
        "s3dit": ("zcurate.pipelines.generators", "s3dit", "torch", True),
        "dashscope": ("zcurate.pipelines.generators", "dashscope", "httpx", True),
        "folder": ("zcurate.pipelines.generators", "folder", "pillow", True),
    },
    "detector": {
        "nudenet": ("zcurate.curation.scoring.detector", "NudeNetDetector", "zcurate[safety]", False)
    },
}


def stage_module(name: str) -> Any:
    """The module of a stage: one of `STAGES`, or the dotted path of your own module.

    A stage module has a pydantic model `Config` and `build(config, context)`. Your own must be
    importable on every worker. Raises ConfigError for an unknown name.
    """
    if name in STAGES:
        return importlib.import_module(STAGES[name])
    if "." not in name:
        raise ConfigError(
            f"unknown stage {name!r}; there are {', '.join(STAGES)}, or your own as package.module"
        )
    try:
        module = importlib.import_module(name)
    except ImportError as e:
        raise ConfigError(
            f"stage module {name!r} cannot be imported: {e}; put it on PYTHONPATH of every node"
        ) from e
    if not (hasattr(module, "Config") and hasattr(module, "build")):
        raise ConfigError(f"stage module {name!r} has no Config and build()")
    return module


def resolve(role: str, model: str) -> Any:
    """Construct the engine that a model string names.

    Raises:
        ConfigError: unknown engine, or a missing argument after ':'.
        MissingDependencyError: its package is not installed; the message has the pip command.
    """
    prefix, argument = split_model(role, model)
    module, cls, package, _ = ENGINES[role][prefix]
    try:
        factory: Callable[..., Any] = getattr(importlib.import_module(module), cls)
        return factory(argument) if argument else factory()
    except ModuleNotFoundError as e:
        if e.name and e.name.startswith("zcurate"):
            raise
        raise MissingDependencyError(f"{model!r} needs {e.name}: pip install {package or e.name}") from e
    except ValueError as e:
        # Not the string itself: it may hold a password, which is what is wrong with it.
        raise ConfigError(f"{role} engine {prefix!r}: {e}") from e


def split_model(role: str, model: str) -> tuple[str, str]:
    """(`openclip`, `ViT-B-32/laion2b`) of a model string."""
    prefix, _, argument = model.partition(":")
    engines = ENGINES[role]
    if prefix not in engines:
        raise ConfigError(f"{model!r} is no {role} engine; there are {', '.join(sorted(engines))}")
    takes = engines[prefix][3]
    if takes and not argument:
        raise ConfigError(f"{model!r} names no model: write {prefix}:MODEL or {prefix}:DIRECTORY")
    if argument and not takes:
        raise ConfigError(f"{model!r}: engine {prefix!r} takes nothing after ':'")
    return prefix, argument


def identity(model: str, revision: str | None = None) -> str:
    """What a model string stands for, as it enters fingerprints.

    A local file or directory: a digest of its files' contents; a LoRA adapter behind a model adds its version and
    digest, so that the same base with another adapter is another model. A package's bundled model: the
    package's version, and ours of what is done around it. A hub id, or the model a server is asked for (wherever the server is): its
    name and the `revision` the recipe gives, marked unverified, because nothing here can check
    what a server serves.
    """
    prefix, _, argument = model.partition(":")
    if prefix == "transformers" and "+" in argument:
        base, adapter = _with_adapter(argument)
        if adapter is not None:
            return f"{identity(f'{prefix}:{base}', revision)}+{adapter}"
    if argument and Path(argument).expanduser().exists():
        return f"{prefix}:sha256:{_tree_digest(str(Path(argument).expanduser().resolve()))}"
    if argument:
        if prefix == "openai":
            argument = argument.partition("#")[2]
        return f"{prefix}:{argument}@{revision or 'unspecified'} (unverified)"
    bundled = {"rapidocr": ("rapidocr", "onnxruntime"), "nudenet": ("nudenet", "onnxruntime")}
    packages = bundled.get(prefix, ())
    if packages:
        from importlib.metadata import version

        made_of = [f"{p}=={version(p)}" for p in packages]
        if prefix == "rapidocr":  # what is done around the engine: large pictures, spaces, reading order
            from zcurate.captioner.ocr.rapid import READING_VERSION

            made_of.append(f"reading=={READING_VERSION}")
        return f"{prefix}:" + ",".join(made_of)
    if model == "embedded":
        from zcurate.curation.embedding.embedded import WEIGHTS_FILE, EmbeddedEncoder

        return f"embedded:{EmbeddedEncoder.version}:sha256:{_tree_digest(str(WEIGHTS_FILE))}"
    return model


def _with_adapter(argument: str) -> tuple[str, str | None]:
    """(model, identity of its adapter). Raises ConfigError for an adapter that cannot be used."""
    from zcurate.captioner.vlm.adapters import AdapterError, read_adapter, split_adapter
    from zcurate.captioner.vlm.address import AddressError

    try:
        base, adapter = split_adapter(argument)
        return base, None if adapter is None else read_adapter(adapter).identity
    except (AdapterError, AddressError) as e:
        raise ConfigError(f"vlm engine 'transformers': {e}") from e


def _tree_digest(path: str) -> str:
    """sha256 over (relative name, sha256 of content) of every file below a path."""
    root = Path(path)
    files = [root] if root.is_file() else sorted(p for p in root.rglob("*") if p.is_file())
    total = hashlib.sha256()
    for file in files:
        st = os.stat(file)
        digest = _file_digest(str(file), st.st_size, st.st_mtime_ns)
        name = file.name if file == root else file.relative_to(root).as_posix()
        total.update(f"{name}\0{digest}\n".encode())
    return total.hexdigest()


@lru_cache(maxsize=4096)
def _file_digest(path: str, size_bytes: int, mtime_ns: int) -> str:
    with open(path, "rb") as f:
        return hashlib.file_digest(f, "sha256").hexdigest()
