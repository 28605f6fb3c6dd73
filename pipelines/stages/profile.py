"""The `profile` stage: one decode per image, all raw measurements, metadata, model scores and a thumbnail."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import xxhash
from pydantic import BaseModel, ConfigDict, Field

from zcurate.curation.errors import ConfigError
from zcurate.curation.profile.columns import PROFILE_SCHEMA, QUALITY_SCHEMA, THUMBS_SCHEMA
from zcurate.curation.profile.metadata.columns import METADATA_SCHEMA
from zcurate.curation.stage import RowMonitor, StageSpec, map_rows

if TYPE_CHECKING:
    from zcurate.curation.profile.model_scores import ModelScores
    from zcurate.pipelines.context import StageContext

VERSION = 20


class Config(BaseModel):
    """Settings of the profile stage."""

    model_config = ConfigDict(extra="forbid")

    quality: bool = Field(
        True, description="score degradations and AI traces with the bundled models (null columns otherwise)"
    )
    max_pixels: int = Field(200_000_000, gt=0, description="pictures with more pixels are refused")
    max_file_bytes: int = Field(256 << 20, gt=0, description="files with more bytes are refused")
    decode_s: float = Field(30.0, gt=0, description="longest decode of an unusual file, in seconds")
    memory_bytes: int = Field(2 << 30, gt=0, description="most memory for the decode of an unusual file")


def _block_digest(block: frozenset[bytes]) -> str:
    """Stands for the block list in the fingerprint: a longer list must reach thumbnails already made."""
    return xxhash.xxh3_128_hexdigest(b"".join(sorted(block))) if block else ""


def _model_identities() -> dict[str, str]:
    """Digests of the bundled weights. Found without importing the models, which would import OpenVINO."""
    from zcurate.curation import profile

    root = Path(profile.__file__).parent
    names = {"quality": "quality/weights.safetensors", "forensic": "forensic/weights.safetensors"}
    try:
        return {role: hashlib.sha256((root / name).read_bytes()).hexdigest() for role, name in names.items()}
    except OSError as e:
        raise ConfigError(f"profile: cannot read weights ({e}); reinstall, or set quality: false") from e


class ProfileStage:
    """Map stage; outputs `profile`, `metadata`, `quality` and `thumbs`."""

    def __init__(self, config: Config, ctx: StageContext) -> None:
        self._ctx = ctx
        self._config = config
        self._measure: Callable[[dict[str, Any], ModelScores | None], dict[str, Any]] | None = None
        self._new_scores: Callable[[], ModelScores | None] = lambda: None
        columns = ("source", "uri", "container", "member", "offset", "length", "etag", "size_bytes")
        self.spec = StageSpec(
            name="profile",
            version=VERSION,
            # etag and size are read so that a file changed in place is profiled anew
            reads=tuple(f"samples.{c}" for c in columns),
            outputs={
                "profile": PROFILE_SCHEMA,
                "metadata": METADATA_SCHEMA,
                "quality": QUALITY_SCHEMA,
                "thumbs": THUMBS_SCHEMA,
            },
            config=config.model_dump() | {"block": _block_digest(ctx.block)},
            models=_model_identities() if config.quality else {},
            stills=True,
        )

    def setup_node(self) -> None:
        pass

    def setup(self) -> None:
        import cv2

        from zcurate.curation.profile.decode import DecodeLimits
        from zcurate.curation.profile.heap import keep_freed_memory
        from zcurate.curation.profile.measure import profile_image

        cv2.setNumThreads(1)
        keep_freed_memory()
        blobs, block = self._ctx.blobs(), self._ctx.block
        settings = self._config
        limits = DecodeLimits(
            settings.max_pixels, settings.max_file_bytes, settings.decode_s, settings.memory_bytes
        )
        if settings.quality:
            from zcurate.curation.profile.forensic import load_forensic
            from zcurate.curation.profile.model_scores import ModelScores
            from zcurate.curation.profile.quality.model import load_quality

            quality, forensic = load_quality(), load_forensic()
            self._new_scores = lambda: ModelScores(quality, forensic)

        def measure(row: dict[str, Any], models: ModelScores | None) -> dict[str, Any]:
            data = blobs.read(
                row["samples.source"],
                row["samples.uri"],
                row["samples.container"],
                row["samples.member"],
                row["samples.offset"],
                row["samples.length"],
            )
            return profile_image(data, limits, block, models)

        self._measure = measure

    def __call__(self, table: pa.Table, monitor: RowMonitor) -> pa.Table:
        if self._measure is None:
            self.setup()
        models = self._new_scores()
        finish = models.finish if models else lambda: None
        return map_rows(
            table, lambda row: self._measure(row, models), self.spec.schema, monitor, finish=finish
        )


def build(config: Config, ctx: StageContext) -> ProfileStage:
    """The stage; cheap, opens nothing."""
    return ProfileStage(config, ctx)
