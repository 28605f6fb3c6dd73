"""What a stage adapter is given when it is built: sources, earlier groups, engines."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from zcurate.curation.store import SourceInfo

from . import registry


@dataclass(frozen=True)
class StageContext:
    """Small and picklable: it travels to workers with every stage.

    Attributes:
        sources: source name -> SourceInfo.
        groups: groups that earlier stages of the recipe write.
        settings: earlier stage -> its checked settings, for defaults that depend on them.
        block: content ids (16 bytes) that must not be shown or processed.
        storage_options: fsspec options for source roots.
        revisions: model string -> revision, for models that live on a server or hub.
        dataset: URL of the dataset; "" outside of one. Stages keep there what a model answered.
    """

    sources: Mapping[str, SourceInfo] = field(default_factory=dict)
    groups: frozenset[str] = frozenset()
    settings: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    block: frozenset[bytes] = frozenset()
    storage_options: Mapping[str, Any] = field(default_factory=dict)
    revisions: Mapping[str, str] = field(default_factory=dict)
    dataset: str = ""

    def has(self, group: str) -> bool:
        """Does an earlier stage of this recipe write that group?"""
        return group in self.groups

    def blobs(self) -> Any:
        """A reader of original bytes under the sources' roots."""
        from zcurate.curation.blobs import BlobReader

        return BlobReader({name: s.root for name, s in self.sources.items()}, **self._blob_options())

    def _blob_options(self) -> dict[str, Any]:
        options = {name: self.storage_options for name, s in self.sources.items() if "://" in s.root}
        return {"storage_options": options} if self.storage_options and options else {}

    def encoder(self, model: str) -> Any:
        return registry.resolve("encoder", model)

    def ocr(self, model: str) -> Any:
        return registry.resolve("ocr", model)

    def vlm(self, model: str) -> Any:
        return registry.resolve("vlm", model)

    def head(self, model: str) -> Any:
        return registry.resolve("head", model)

    def detector(self, model: str) -> Any:
        return registry.resolve("detector", model)

    def encoder_identity(self, model: str) -> str:
        """Identity of an encoder, with the version of one that is code: what heads are tied to."""
        version = getattr(self.encoder(model), "version", None)
        return self.identity(model) + ("" if version is None else f"@{version}")

    def identity(self, model: str) -> str:
        """What a model string stands for; goes into `StageSpec.models`."""
        return registry.identity(model, self.revisions.get(model))
