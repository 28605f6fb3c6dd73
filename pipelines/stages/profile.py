"""The `profile` stage: one decode per image, all raw measurements and a thumbnail."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import xxhash
from pydantic import BaseModel, ConfigDict, Field

from zcurate.curation.profile.columns import PROFILE_SCHEMA, THUMBS_SCHEMA
from zcurate.curation.stage import RowMonitor, StageSpec, map_rows

if TYPE_CHECKING:
    from zcurate.pipelines.context import StageContext

VERSION = 1


class Config(BaseModel):
    """Settings of the profile stage."""

    model_config = ConfigDict(extra="forbid")

    max_pixels: int = Field(100_000_000, gt=0, description="pictures with more pixels are refused")
    max_file_bytes: int = Field(256 << 20, gt=0, description="files with more bytes are refused")


def _block_digest(block: frozenset[bytes]) -> str:
    """Stands for the block list in the fingerprint: a longer list must reach thumbnails already made."""
    return xxhash.xxh3_128_hexdigest(b"".join(sorted(block))) if block else ""


class ProfileStage:
    """Map stage; outputs `profile` and `thumbs`."""

    def __init__(self, config: Config, ctx: StageContext) -> None:
        self._ctx = ctx
        self._config = config
        self._measure: Callable[[dict[str, Any]], dict[str, Any]] | None = None
        columns = ("source", "uri", "container", "member", "offset", "length", "etag", "size_bytes")
        self.spec = StageSpec(
            name="profile",
            version=VERSION,
            # etag and size are read so that a file changed in place is profiled anew
            reads=tuple(f"samples.{c}" for c in columns),
            outputs={"profile": PROFILE_SCHEMA, "thumbs": THUMBS_SCHEMA},
            config=config.model_dump() | {"block": _block_digest(ctx.block)},
        )

    def setup_node(self) -> None:
        pass

    def setup(self) -> None:
        import cv2

        from zcurate.curation.profile.decode import DecodeLimits
        from zcurate.curation.profile.measure import profile_image

        cv2.setNumThreads(1)
        blobs, block = self._ctx.blobs(), self._ctx.block
        limits = DecodeLimits(self._config.max_pixels, self._config.max_file_bytes)

        def measure(row: dict[str, Any]) -> dict[str, Any]:
            data = blobs.read(
                row["samples.source"],
                row["samples.uri"],
                row["samples.container"],
                row["samples.member"],
                row["samples.offset"],
                row["samples.length"],
            )
            return profile_image(data, limits, block)

        self._measure = measure

    def __call__(self, table: pa.Table, monitor: RowMonitor) -> pa.Table:
        if self._measure is None:
            self.setup()
        return map_rows(table, self._measure, self.spec.schema, monitor)


def build(config: Config, ctx: StageContext) -> ProfileStage:
    """The stage; cheap, opens nothing."""
    return ProfileStage(config, ctx)
