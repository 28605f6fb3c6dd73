"""Stage `photo_groups`: photographs of one subject in one folder (or under one metadata value) become pairs.

With `frame_rate_hz` every folder is a clip instead, its pictures the frames in order of their names. Groups are formed
within a shard: of a folder that lies across two shards, each part is paired by itself, under one group id.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import xxhash
from pydantic import Field

from zcurate.curation.edits.encoding import encode_png
from zcurate.curation.edits.video.band import Band, band_of
from zcurate.curation.edits.video.choosing import Caps, choose, clip_scores, frame_row, pair_rows
from zcurate.curation.edits.video.ladder import GAPS_S
from zcurate.curation.edits.video.motion import MotionRules, types_of
from zcurate.curation.edits.video.photos import FrameFolder, choose_photos, survey_photos
from zcurate.curation.edits.video.shots import PER_S, SMALL_HEIGHT_PX, SMALL_WIDTH_PX, shots, signatures
from zcurate.curation.edits.video.surveying import Survey, SurveyPlan, survey
from zcurate.curation.errors import SampleError
from zcurate.curation.stage import ExpandStage, Expansion, Resources, RowMonitor, StageSpec, iter_rows

from ..decisions import deciding
from ..pair_describing import PairDescriber
from .caption import metadata_of
from .video_pairs import PairingSettings, child, expansion, funnel_row, reduced

if TYPE_CHECKING:
    import numpy as np

    from zcurate.pipelines.context import StageContext

VERSION = 1
_PLACE = ("source", "uri", "container", "member", "offset", "length")


class Config(PairingSettings):
    """Settings of the photo_groups stage."""

    by: str = Field(
        "folder", description="what photographs of one subject share: `folder`, or a key of their metadata"
    )
    sources: list[str] = Field(
        [], description="names of the sources whose pictures are grouped; default: all"
    )
    most_photos: int = Field(
        24, ge=2, le=200, description="photographs of a group that are looked at, by hash of their ids"
    )
    most_pairs: int = Field(20, ge=1, description="pairs stored per group")
    frame_rate_hz: float | None = Field(
        None,
        gt=0,
        description="the pictures of a group are frames of a clip, so many a second; default: photographs",
    )


class PhotoGroupsStage:
    """Expanding stage: the children are the photographs of pairs; tables `versions`, `pairs`, `funnel` and
    `descriptions`."""

    def __init__(self, config: Config, ctx: StageContext) -> None:
        self._config, self._ctx = config, ctx
        self._band = config.fixed_band()
        self._describer = PairDescriber(config, ctx, "photo_groups")
        self._encoder: Any = None
        self.spec = StageSpec(
            name="photo_groups",
            version=VERSION,
            reads=(
                *(f"samples.{c}" for c in (*_PLACE, "key", "text", "metadata", "origin", "license")),
                "profile.content_id",
                *self._describer.reads,
            ),
            outputs={},
            config=config.written("by", "sources", "most_photos", "most_pairs", "frame_rate_hz")
            | self._describer.config,
            models={"encoder": ctx.identity(config.model)} | self._describer.models,
            where=deciding(ctx.groups),
            resources=Resources(memory_bytes=3 << 30, row_deadline_s=600.0),
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
        """All groups are surveyed first, for the band. A picture that cannot be read is in no pair."""
        if self._encoder is None:
            self.setup()
        groups = self._groups(table)
        surveys: dict[str, Survey] = {}
        for key, rows in groups.items():
            monitor.start(rows[0]["at"], rows[0]["at"])
            surveys[key] = self._surveyed(rows)
        known = [c.similarity for s in surveys.values() for c in s.candidates if c.reason is None]
        band = self._band or band_of(known, *self._config.band_percentiles)
        for key, rows in groups.items():
            monitor.start(rows[0]["at"], rows[0]["at"])
            yield self._expanded(key, rows, surveys[key], band)

    def _groups(self, table: pa.Table) -> dict[str, list[dict[str, Any]]]:
        """group id -> its rows in order of their keys; groups of one picture are none."""
        found: dict[str, list[dict[str, Any]]] = {}
        for at, row in enumerate(iter_rows(table)):
            named = not self._config.sources or row["samples.source"] in self._config.sources
            value = self._value(row) if named else None
            if value is not None:
                group = xxhash.xxh3_128_hexdigest(f"photos|{row['samples.source']}|{value}".encode())
                found.setdefault(group, []).append({**row, "at": at})
        groups = {}
        for group, rows in found.items():
            if self._config.frame_rate_hz is None and len(rows) > self._config.most_photos:
                rows = sorted(rows, key=lambda r: xxhash.xxh3_64_intdigest(r["sample_id"]))
                rows = rows[: self._config.most_photos]
            if len(rows) > 1:
                groups[group] = sorted(rows, key=lambda r: (r["samples.key"], r["at"]))
        return groups

    def _value(self, row: Mapping[str, Any]) -> str | None:
        """What a picture shares with others of its group. Pictures that lie in no folder at all are no group."""
        if self._config.by == "folder":
            folder = (row["samples.key"] or "").rpartition("/")[0]
            return folder or None
        value = (metadata_of(row["samples.metadata"]) or {}).get(self._config.by)
        return str(value) if isinstance(value, str | int) and value != "" else None

    def _loaded(self, row: Mapping[str, Any]) -> np.ndarray | None:
        from zcurate.curation.profile.decode import decode

        try:
            rgb = decode(self._blobs.read(*(row[f"samples.{c}"] for c in _PLACE))).rgb
            return reduced(rgb, self._config.max_side_px)
        except (SampleError, ValueError):
            return None  # unreadable, or smaller than the grid

    def _surveyed(self, rows: Sequence[Mapping[str, Any]]) -> Survey:
        if self._config.frame_rate_hz is None:
            return survey_photos([self._loaded(r) for r in rows], self._encoder, MotionRules())
        folder = self._folder(rows)
        found = shots(signatures(folder.small_frames(SMALL_WIDTH_PX, SMALL_HEIGHT_PX, PER_S)))
        return survey(folder, found, self._encoder, SurveyPlan(GAPS_S))

    def _folder(self, rows: Sequence[Mapping[str, Any]]) -> FrameFolder:
        return FrameFolder(lambda i: self._loaded(rows[i]), len(rows), self._config.frame_rate_hz or 1.0)

    def _expanded(
        self, group: str, rows: Sequence[Mapping[str, Any]], found: Survey, band: Band
    ) -> Expansion:
        rate = self._config.frame_rate_hz
        caps = Caps(self._config.most_pairs, self._config.most_photos)
        chosen = choose_photos(found, band, caps, group) if rate is None else choose(found, band, caps)
        samples, versions, keys = [], [], {}
        pictures: dict[str, bytes] = {}
        parents: dict[str, Mapping[str, Any]] = {}
        for number, at in enumerate(chosen.times_s):
            row = rows[int(at) if rate is None else round(at * rate)]
            rgb = self._loaded(row)
            if rgb is None:
                continue
            keys[at] = f"{group}-{row['sample_id'].hex()}.png"
            pictures[keys[at]], parents[keys[at]] = encode_png(rgb), row
            versions.append(frame_row(group, keys[at], number, (rgb.shape[1], rgb.shape[0]), chosen.skipped))
            samples.append(child(row, keys[at], pictures[keys[at]], {"group_id": group, "version": number}))
        pairs: list[Mapping[str, Any]] = []
        for judged in chosen.pairs:
            c = judged.candidate
            if c.source_s in keys and c.target_s in keys:
                scores = clip_scores(judged, band, self._config.model)
                if rate is None:
                    scores = {k: scores[k] for k in ("similarity", "band", "encoder") if k in scores}
                pairs += pair_rows(
                    group,
                    (keys[c.source_s], keys[c.target_s]),
                    types_of(c.motion),
                    judged.reason,
                    c.motion.changed_share if rate is not None else None,
                    scores,
                    self._config.validation_share,
                )
        told = self._describer.describe(pairs, pictures.__getitem__, parents)
        good = sum(j.reason is None for j in chosen.pairs)
        total = len(found.candidates) + sum(found.refused.values())
        row_of = funnel_row(group, None, total, good, len(samples), chosen)
        return expansion(samples, versions, told.pairs, [row_of], told.descriptions)


def build(config: Config, ctx: StageContext) -> ExpandStage:
    return PhotoGroupsStage(config, ctx)
