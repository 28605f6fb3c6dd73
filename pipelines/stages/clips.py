"""Stage `clips`: what every clip is and where its shots lie, in one pass of decoding. What `profile` is to pictures."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import pyarrow as pa
from pydantic import BaseModel, ConfigDict, Field

from zcurate.curation.edits.video.reading import Clip, ClipLimits
from zcurate.curation.edits.video.shots import PER_S, SMALL_HEIGHT_PX, SMALL_WIDTH_PX, shots, signatures
from zcurate.curation.ingest.rows import is_image_name
from zcurate.curation.stage import MapStage, Resources, RowMonitor, StageSpec, field_of, map_rows

if TYPE_CHECKING:
    from zcurate.pipelines.context import StageContext

VERSION = 1
NAME = "clips"
_PLACE = ("source", "uri", "container", "member", "offset", "length")

SCHEMA = pa.schema(
    [
        field_of("clip_container", pa.string(), "demuxer: mov, matroska or avi"),
        field_of("codec", pa.string(), "decoder of its pictures"),
        field_of("clip_width_px", pa.int32(), "width as shown: upright, square pixels", "px"),
        field_of("clip_height_px", pa.int32(), "height as shown", "px"),
        field_of("rotation_deg", pa.int32(), "turn that makes it upright, counterclockwise", "degrees"),
        field_of("duration_s", pa.float64(), "from the first to the last frame looked at", "s"),
        field_of(
            "rate_hz", pa.float32(), "mean frame rate as the container tells it; null: it does not", "Hz"
        ),
        field_of("frames_seen", pa.int32(), "frames looked at; at most 10 a second"),
        field_of("key_frames_only", pa.bool_(), "so long that only key frames were decoded"),
        field_of(
            "shots",
            pa.list_(pa.struct([("start_s", pa.float64()), ("end_s", pa.float64())])),
            "its shots; null: a picture",
            "s",
        ),
    ]
)


class Limits(BaseModel):
    """What clips may be; longer, larger or broken ones end as error rows."""

    model_config = ConfigDict(extra="forbid")

    max_s: float = Field(4 * 3600.0, gt=0, description="longest clip, in seconds")
    max_frames: int = Field(2_000_000, ge=1, description="most frames of a clip")
    max_pixels: int = Field(4096 * 2304, ge=1, description="most pixels of a frame")
    full_decode_frames: int = Field(
        40_000, ge=1, description="clips of more frames are cut into shots by their key frames alone"
    )

    def limits(self) -> ClipLimits:
        return ClipLimits(self.max_s, self.max_frames, self.max_pixels, self.full_decode_frames)


class Config(Limits):
    """Settings of the clips stage."""

    clip_deadline_s: float = Field(3600.0, gt=0, description="longest work on one clip")


class ClipsStage:
    """Map stage; output `clips`. A file that is no clip, or a damaged one, is an error row.

    Pictures of a recipe that takes both are passed over: their rows are ok, and hold nothing.
    """

    def __init__(self, config: Config, ctx: StageContext) -> None:
        self._config, self._ctx = config, ctx
        self._blobs: Any = None
        self.spec = StageSpec(
            name=NAME,
            version=VERSION,
            reads=tuple(f"samples.{c}" for c in (*_PLACE, "etag", "size_bytes")),
            outputs={NAME: SCHEMA},
            config=config.model_dump(exclude={"clip_deadline_s"}),
            resources=Resources(memory_bytes=1 << 30, row_deadline_s=config.clip_deadline_s),
        )

    def setup_node(self) -> None:
        pass

    def setup(self) -> None:
        import cv2

        cv2.setNumThreads(1)
        self._blobs = self._ctx.blobs()

    def __call__(self, table: pa.Table, monitor: RowMonitor) -> pa.Table:
        if self._blobs is None:
            self.setup()
        return map_rows(table, self._row, self.spec.schema, monitor)

    def _row(self, row: Mapping[str, Any]) -> dict[str, Any]:
        if is_image_name(row["samples.member"] or row["samples.uri"]):
            return {}
        with self._blobs.stream(*(row[f"samples.{c}"] for c in _PLACE)) as file:
            clip = Clip(file, self._config.limits())
            seen = signatures(clip.small_frames(SMALL_WIDTH_PX, SMALL_HEIGHT_PX, PER_S))
            facts = clip.facts
            return {
                "clip_container": facts.container,
                "codec": facts.codec,
                "clip_width_px": facts.width_px,
                "clip_height_px": facts.height_px,
                "rotation_deg": facts.rotation_deg,
                "duration_s": float(seen.times_s[-1]) if len(seen.times_s) else 0.0,
                "rate_hz": facts.rate_hz,
                "frames_seen": len(seen.times_s),
                "key_frames_only": clip.key_frames_only,
                "shots": [{"start_s": s.start_s, "end_s": s.end_s} for s in shots(seen)],
            }


def build(config: Config, ctx: StageContext) -> MapStage:
    return ClipsStage(config, ctx)
