"""Stage `video_pairs`: frames of clips as a child dataset, and beside them a table of pairs of frames."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import pyarrow as pa
from pydantic import Field, field_validator

from zcurate.curation.edits.encoding import encode_png
from zcurate.curation.edits.scene import on_grid
from zcurate.curation.edits.tables import PAIRS, VERSIONS, table_of
from zcurate.curation.edits.video.band import CLIP_BAND, Band, band_of
from zcurate.curation.edits.video.choosing import (
    Caps,
    Chosen,
    choose,
    clip_scores,
    frame_key,
    frame_row,
    pair_rows,
)
from zcurate.curation.edits.video.ladder import GAPS_S
from zcurate.curation.edits.video.motion import types_of
from zcurate.curation.edits.video.reading import Clip
from zcurate.curation.edits.video.shots import Shot
from zcurate.curation.edits.video.surveying import Frames, Survey, SurveyPlan, survey
from zcurate.curation.errors import ConfigError, SampleError
from zcurate.curation.stage import (
    ExpandStage,
    Expansion,
    Resources,
    RowMonitor,
    StageSpec,
    field_of,
    iter_rows,
)

from ..decisions import deciding
from ..pair_describing import DESCRIPTIONS, DescribingSettings, PairDescriber
from .clips import Limits
from .frames import CHILD_COLUMNS

if TYPE_CHECKING:
    import numpy as np

    from zcurate.pipelines.context import StageContext

VERSION = 1
_PLACE = ("source", "uri", "container", "member", "offset", "length")

#: One row per group (clip, or photos of one subject): what was tried and what became of it.
FUNNEL = pa.schema(
    [
        field_of("group_id", pa.string(), "as in the table of pairs"),
        field_of("shots", pa.int32(), "shots of the clip; null for photographs"),
        field_of("candidates", pa.int32(), "pairs that were looked at"),
        field_of("pairs", pa.int32(), "good ones that are stored; each there and back"),
        field_of("frames", pa.int32(), "pictures stored"),
        field_of("refused", pa.string(), "JSON: reason -> pairs"),
        field_of("error", pa.string(), "why nothing could be read; null where something could"),
    ]
)


class PairingSettings(DescribingSettings):
    """What pairs of real pictures need, from clips or from photographs."""

    model: str = Field("embedded", description="encoder whose similarity is banded, as in stages.embed")
    band: tuple[float, float] | None = Field(
        None,
        description="least and largest cosine of a pair; default: 0.80-0.97 for encoders of pictures and texts, "
        "the percentiles below for `embedded`",
    )
    band_percentiles: tuple[float, float] = Field(
        (5.0, 95.0), description="of the pairs of a shard, where there is no band"
    )
    max_side_px: int = Field(1280, ge=64, description="longer pictures are reduced to this")
    validation_share: float = Field(0.02, ge=0, le=0.5, description="share of groups in the validation split")

    @field_validator("engine", "revision", mode="before")
    @classmethod
    def _none_if_empty(cls, value: Any) -> Any:
        """A recipe's parameter may be left empty: no model then."""
        return value or None

    def fixed_band(self) -> Band | None:
        """The band that is the same everywhere; None where it comes from percentiles. Raises ConfigError."""
        for name, (low, high) in (("band", self.band or (0, 1)), ("band_percentiles", self.band_percentiles)):
            if not low < high:
                raise ConfigError(f"{name}: {low} is not below {high}")
        if self.band is not None:
            return Band(*self.band)
        return None if self.model == "embedded" else CLIP_BAND

    def written(self, *more: str) -> dict[str, Any]:
        """The settings that change what is written."""
        names = {"model", "band", "band_percentiles", "max_side_px", "validation_share", *more}
        return self.model_dump(mode="json", include=names)


class Config(PairingSettings):
    """Settings of the video_pairs stage."""

    gaps_s: tuple[float, ...] = Field(
        GAPS_S, min_length=1, description="seconds between the frames of a pair"
    )
    anchors: int = Field(2, ge=1, le=50, description="pairs per gap and shot that are looked at")
    most_shots: int = Field(24, ge=1, description="shots per clip that are looked at, evenly spread")
    most_pairs: int = Field(12, ge=1, description="pairs stored per clip")
    most_frames: int = Field(16, ge=2, description="frames stored per clip")
    limits: Limits = Field(Limits(), description="as of the clips stage")
    clip_deadline_s: float = Field(1800.0, gt=0, description="longest work on one clip")


class VideoPairsStage:
    """Expanding stage: the children are frames; tables `versions`, `pairs`, `funnel` and `descriptions`."""

    def __init__(self, config: Config, ctx: StageContext) -> None:
        if min(config.gaps_s) <= 0:
            raise ConfigError("video_pairs.gaps_s: gaps are longer than 0 s")
        self._config, self._ctx = config, ctx
        self._band = config.fixed_band()
        self._describer = PairDescriber(config, ctx, "video_pairs")
        self._encoder: Any = None
        written = config.written("gaps_s", "anchors", "most_shots", "most_pairs", "most_frames", "limits")
        self.spec = StageSpec(
            name="video_pairs",
            version=VERSION,
            reads=(
                *(f"samples.{c}" for c in (*_PLACE, "text", "origin", "license")),
                "clips.shots",
            ),
            outputs={},
            config=written | self._describer.config,
            models={"encoder": ctx.identity(config.model)} | self._describer.models,
            where=deciding(ctx.groups),
            resources=Resources(memory_bytes=2 << 30, row_deadline_s=config.clip_deadline_s),
            deterministic=self._describer.identity is None,
            answers=self._describer.answers,
        )

    def setup_node(self) -> None:
        pass

    def setup(self) -> None:
        import cv2

        cv2.setNumThreads(1)
        self._blobs = self._ctx.blobs()
        self._encoder = self._ctx.encoder(self._config.model)
        self._encoder.load()
        self._describer.setup()

    def expand(self, table: pa.Table, monitor: RowMonitor) -> Iterator[Expansion]:
        """All clips are surveyed first, for the band; then the frames that are stored are decoded, clip by clip."""
        if self._encoder is None:
            self.setup()
        clips = [(i, row) for i, row in enumerate(iter_rows(table)) if row["clips.shots"] is not None]
        surveys: list[Survey | str] = []
        for i, row in clips:
            monitor.start(i, i)
            surveys.append(self._surveyed(row))
        band = self._band or _band_of([s for s in surveys if isinstance(s, Survey)], self._config)
        for (i, row), found in zip(clips, surveys, strict=True):
            monitor.start(i, i)
            yield self._expanded(row, found, band)

    def _surveyed(self, row: Mapping[str, Any]) -> Survey | str:
        config = self._config
        plan = SurveyPlan(config.gaps_s, config.anchors, config.most_shots)
        shots = [Shot(s["start_s"], s["end_s"]) for s in row["clips.shots"]]
        try:
            with self._blobs.stream(*(row[f"samples.{c}"] for c in _PLACE)) as file:
                return survey(Clip(file, config.limits.limits()), shots, self._encoder, plan)
        except SampleError as e:
            return f"{type(e).__name__}: {e}"

    def _expanded(self, row: Mapping[str, Any], found: Survey | str, band: Band) -> Expansion:
        group = row["sample_id"].hex()
        shots = len(row["clips.shots"])
        if isinstance(found, str):
            return expansion([], [], [], [funnel_row(group, shots, None, error=found)])
        chosen = choose(found, band, Caps(self._config.most_pairs, self._config.most_frames))
        try:
            with self._blobs.stream(*(row[f"samples.{c}"] for c in _PLACE)) as file:
                pictures = _pictures(
                    Clip(file, self._config.limits.limits()), chosen, self._config.max_side_px
                )
        except SampleError as e:
            error = f"{type(e).__name__}: {e}"
            return expansion([], [], [], [funnel_row(group, shots, None, error=error)])
        samples, versions = [], []
        keys = {at: frame_key(group, at) for at in pictures}
        for number, (at, (png, size_px)) in enumerate(pictures.items()):
            versions.append(frame_row(group, keys[at], number, size_px, chosen.skipped))
            samples.append(
                child(row, keys[at], png, {"group_id": group, "version": number, "time_s": round(at, 6)})
            )
        pairs: list[Mapping[str, Any]] = []
        for judged in chosen.pairs:
            c = judged.candidate
            if c.source_s in keys and c.target_s in keys:
                pairs += pair_rows(
                    group,
                    (keys[c.source_s], keys[c.target_s]),
                    types_of(c.motion),
                    judged.reason,
                    c.motion.changed_share,
                    clip_scores(judged, band, self._config.model),
                    self._config.validation_share,
                )
        by_key = {keys[at]: png for at, (png, _) in pictures.items()}
        told = self._describer.describe(pairs, by_key.__getitem__)
        good = sum(j.reason is None for j in chosen.pairs)
        row_of = funnel_row(
            group, shots, len(found.candidates) + sum(found.refused.values()), good, len(samples), chosen
        )
        return expansion(samples, versions, told.pairs, [row_of], told.descriptions)


def child(row: Mapping[str, Any], key: str, png: bytes, metadata: Mapping[str, Any]) -> dict[str, Any]:
    """A row of `CHILD_COLUMNS`: a picture as it came, cut out of its parent."""
    return {
        "parent_ids": [row["sample_id"]],
        "key": key,
        "bytes": png,
        "text": row["samples.text"],
        "metadata": json.dumps(metadata),
        "origin": row["samples.origin"],
        "license": row["samples.license"],
    }


def expansion(
    samples: list[Mapping[str, Any]],
    versions: list[Mapping[str, Any]],
    pairs: list[Mapping[str, Any]],
    funnel: list[Mapping[str, Any]],
    descriptions: list[Mapping[str, Any]] | None = None,
) -> Expansion:
    return Expansion(
        pa.Table.from_pylist(samples, schema=CHILD_COLUMNS),
        {
            "versions": table_of(versions, VERSIONS),
            "pairs": table_of(pairs, PAIRS),
            "funnel": table_of(funnel, FUNNEL),
            "descriptions": table_of(descriptions or [], DESCRIPTIONS),
        },
    )


def funnel_row(
    group: str,
    shots: int | None,
    candidates: int | None,
    pairs: int = 0,
    frames: int = 0,
    chosen: Chosen | None = None,
    error: str | None = None,
) -> dict[str, Any]:
    refused = dict(sorted(chosen.refused.items())) if chosen else {}
    return {
        "group_id": group,
        "shots": shots,
        "candidates": candidates,
        "pairs": pairs,
        "frames": frames,
        "refused": json.dumps(refused),
        "error": error,
    }


def reduced(rgb: np.ndarray, max_side_px: int) -> np.ndarray:
    """An (H, W, 3) uint8 picture, its long side at most `max_side_px`, its sides on the models' grid."""
    import cv2

    factor = max_side_px / max(rgb.shape[:2])
    if factor < 1:
        rgb = cv2.resize(rgb, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)
    return on_grid(rgb)


def _band_of(surveys: list[Survey], config: PairingSettings) -> Band:
    known = [
        c.similarity for s in surveys for c in s.candidates if c.reason is None and c.similarity is not None
    ]
    return band_of(known, *config.band_percentiles)


def _pictures(frames: Frames, chosen: Chosen, max_side_px: int) -> dict[float, tuple[bytes, tuple[int, int]]]:
    """time -> (PNG, (width, height) in px) of the chosen frames that can be decoded once more."""
    found = {}
    for wanted, _, rgb in frames.frames_at(chosen.times_s):
        rgb = reduced(rgb, max_side_px)
        found[wanted] = encode_png(rgb), (rgb.shape[1], rgb.shape[0])
    return found


def build(config: Config, ctx: StageContext) -> ExpandStage:
    return VideoPairsStage(config, ctx)
