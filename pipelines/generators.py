"""The engines of the role `generator`: pictures from prompts, drawn here, bought, or made elsewhere."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Protocol

from .generating import generator_engine, model_errors

if TYPE_CHECKING:
    from zcurate.model.generate import Picture
    from zcurate.model.request import Request


class GeneratorEngine(Protocol):
    """What `registry.resolve("generator", ...)` returns. `identity` names the model in fingerprints."""

    @property
    def identity(self) -> str: ...

    def generate(self, requests: Sequence[Request], batch: int = 1) -> Iterator[Picture]:
        """Pictures in the order of the requests, up to `batch` at a time. Raises ModelError."""


def s3dit(argument: str) -> GeneratorEngine:
    """`s3dit:DIR`, or `s3dit:tiny`. Raises ConfigError: no model there."""
    with model_errors():
        return generator_engine(argument)


def dashscope(argument: str) -> GeneratorEngine:
    """`dashscope:z-image-turbo`. Raises ConfigError: no key, an unknown region, another model."""
    from zcurate.model.api.generator import DashScopeGenerator

    with model_errors():
        return DashScopeGenerator(argument)


def folder(argument: str) -> GeneratorEngine:
    """`folder:DIR`. Raises ConfigError: no such folder, or no picture with a prompt in it."""
    from zcurate.model.folder_images import FolderImages

    with model_errors():
        return FolderImages(argument)
