"""Stage `edits`: pictures become groups of edited versions, and every group a table of instructed, judged pairs."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import xxhash
from pydantic import BaseModel, ConfigDict, Field

from zcurate.curation.edits.library import Library, build_library
from zcurate.curation.edits.making import Group, Maker, Plan
from zcurate.curation.edits.tables import (
    PAIRS,
    REFUSED,
    VERSIONS,
    pair_rows,
    refused_row,
    table_of,
    version_key,
    version_rows,
)
from zcurate.curation.edits.things import referent_of
from zcurate.curation.errors import ConfigError, SampleError
from zcurate.curation.stage import ExpandStage, Expansion, Resources, RowMonitor, StageSpec, iter_rows

from ..decisions import deciding
from ..edit_judging import JudgeSettings, PairJudge
from ..edit_plugins import ForeignSettings, TextSettings, foreign_experts
from .caption import metadata_of
from .frames import CHILD_COLUMNS

if TYPE_CHECKING:
    import numpy as np

    from zcurate.pipelines.context import StageContext

VERSION = 1
#: Pictures whose versions are held in memory together.
PIECE_ROWS = 16
_PLACE = ("source", "uri", "container", "member", "offset", "length")
_PICTURES = (".png", ".jpg", ".jpeg", ".webp")


class Config(BaseModel):
    """Settings of the edits stage."""

    model_config = ConfigDict(extra="forbid")

    versions: int = Field(4, ge=1, le=12, description="edited versions per picture; N give N(N+1) pairs")
    mixed_share: float = Field(0.25, ge=0, le=1, description="share of versions that join two experts")
    chained_share: float = Field(0.35, ge=0, le=1, description="share of versions made from another version")
    reference_share: float = Field(
        0.5, ge=0, le=1, description="share of pictures that get a pair of several sources, of each kind"
    )
    most_changes: int = Field(3, ge=1, description="changes one pair may hold")
    cap: int | None = Field(None, ge=1, description="pairs per group at most")
    max_side_px: int = Field(768, ge=64, description="longer pictures are reduced to this first")
    share: float = Field(
        1.0, gt=0, le=1, description="share of selected pictures that get a group, by hash of their id"
    )
    validation_share: float = Field(0.02, ge=0, le=0.5, description="share of groups in the validation split")
    weights: dict[str, float] = Field(
        {}, description="expert -> how often it is tried; 0 for never, 1 by default"
    )
    sprites: list[str] = Field(
        [],
        description="folders of things to set into pictures: alpha PNGs, or photographs on plain ground; "
        "their folders' names say what they show; empty names are left out",
    )
    most_sprites: int = Field(200, ge=1, description="sprites kept")
    seed: int = Field(0, ge=0, description="of all choices, with the picture's id")
    texts: TextSettings | None = Field(None, description="rendered text; default: none, {} for the usual")
    experts: list[ForeignSettings] = Field([], description="experts that make pictures elsewhere")
    encoder: str | None = Field(
        None, description="stores how alike both pictures of a pair are; an encoder as in stages.embed"
    )
    judge: JudgeSettings | None = Field(None, description="a model that looks at every accepted pair")


class EditsStage:
    """Expanding stage: the children are the versions, beside them the tables `versions`, `pairs` and `refused`."""

    def __init__(self, config: Config, ctx: StageContext) -> None:
        self._config, self._ctx = config, ctx
        self._folders = [folder for folder in config.sprites if folder]
        for folder in self._folders:
            if not Path(folder).expanduser().is_dir():
                raise ConfigError(f"edits.sprites: {folder!r} is no folder on this machine")
        self._maker: Maker | None = None
        self._judge = PairJudge(config.judge, ctx, "edits")
        foreign = foreign_experts(config.experts, ctx)
        known = {f"sprites{i}": ctx.identity(f"sprites:{folder}") for i, folder in enumerate(self._folders)}
        known |= {f"expert:{e.name}": e.expert.identity for e in foreign}
        written = config.model_dump(exclude={"sprites", "texts", "experts", "encoder", "judge"})
        if config.texts is not None:
            written["texts"], models = config.texts.written(ctx)
            known |= models
        if config.experts:
            written["experts"] = [
                e.model_dump(exclude={"folder", "device", "timeout_s"}) for e in config.experts
            ]
        if config.encoder is not None:
            known["encoder"] = ctx.identity(config.encoder)
        self.spec = StageSpec(
            name="edits",
            version=VERSION,
            reads=(
                *(f"samples.{c}" for c in (*_PLACE, "key", "text", "metadata", "origin", "license")),
                "profile.content_id",
            ),
            outputs={},
            config=written | self._judge.config,
            models=known | self._judge.models,
            where=deciding(ctx.groups),
            resources=Resources(memory_bytes=2 << 30, row_deadline_s=_deadline_s(config)),
            deterministic=config.judge is None and all(e.kind == "folder" for e in config.experts),
            answers=self._judge.answers,
        )

    def setup_node(self) -> None:
        pass

    def setup(self) -> None:
        config = self._config
        self._blobs = self._ctx.blobs()
        texts = None if config.texts is None else config.texts.lettering(self._ctx)
        weights = (
            {} if texts is None else dict.fromkeys((e.name for e in texts.experts()), config.texts.weight)
        )
        plan = Plan(
            versions=config.versions,
            reference_share=config.reference_share,
            mixed_share=config.mixed_share,
            chained_share=config.chained_share,
            max_side_px=config.max_side_px,
            most_changes=config.most_changes,
            cap=config.cap,
            weights=weights | config.weights,
            seed=config.seed,
        )
        encoder = None
        if config.encoder is not None:
            encoder = self._ctx.encoder(config.encoder)
            encoder.load()
        self._judge.setup()
        try:
            self._maker = Maker(
                plan,
                sprite_library(self._folders, config.most_sprites),
                more=foreign_experts(config.experts, self._ctx),
                texts=texts,
                encoder=encoder,
            )
        except ValueError as e:
            raise ConfigError(f"stages.edits.{e}") from e

    def expand(self, table: pa.Table, monitor: RowMonitor) -> Iterator[Expansion]:
        """A picture that cannot be read or is too small has no versions, and a row in the table `refused`."""
        if self._maker is None:
            self.setup()
        for start in range(0, len(table), PIECE_ROWS):
            yield self._expanded(table.slice(start, PIECE_ROWS), start, monitor)

    def _expanded(self, table: pa.Table, start: int, monitor: RowMonitor) -> Expansion:
        samples: list[dict[str, Any]] = []
        versions: list[Mapping[str, Any]] = []
        pairs: list[Mapping[str, Any]] = []
        refused: list[Mapping[str, Any]] = []
        pictures: dict[str, bytes] = {}
        for i, row in enumerate(iter_rows(table), start):
            monitor.start(i, i)
            key = row["sample_id"].hex()
            drawn = xxhash.xxh3_64_intdigest(f"edits|{self._config.seed}|{key}".encode()) / 2**64
            if drawn >= self._config.share:
                continue
            try:
                group = self._made(row, key)
            except SampleError as e:
                refused.append(refused_row(key, row["samples.key"], e))
                continue
            samples += (_child(row, group, number) for number in range(len(group.versions)))
            pictures |= {version_key(group, n): v.png for n, v in enumerate(group.versions)}
            versions += version_rows(group)
            pairs += pair_rows(group, self._config.validation_share)
        return Expansion(
            pa.Table.from_pylist(samples, schema=CHILD_COLUMNS),
            {
                "versions": table_of(versions, VERSIONS),
                "pairs": table_of(self._judge.judge(pairs, pictures.__getitem__), PAIRS),
                "refused": table_of(refused, REFUSED),
            },
        )

    def _made(self, row: Mapping[str, Any], key: str) -> Group:
        from zcurate.curation.profile.decode import decode

        data = self._blobs.read(*(row[f"samples.{c}"] for c in _PLACE))
        also = (row["samples.key"] or "", hashlib.sha256(data).hexdigest()) if self._config.experts else ()
        return self._maker.make(decode(data).rgb, key, label_of(row), also)


def _deadline_s(config: Config) -> float:
    """Longest work on one picture: foreign experts and judges take their time."""
    foreign = sum(e.timeout_s if e.kind == "http" else 600.0 for e in config.experts)
    return 120.0 + foreign + (0.0 if config.judge is None else config.judge.row_timeout_s)


def _child(row: Mapping[str, Any], group: Group, number: int) -> dict[str, Any]:
    real = number == 0
    return {
        "parent_ids": [row["sample_id"]],
        "key": version_key(group, number),
        "bytes": group.versions[number].png,
        "text": row["samples.text"] if real else None,
        "metadata": json.dumps({"group_id": group.key, "version": number}),
        "origin": row["samples.origin"] if real else "rendered",
        "license": row["samples.license"],
    }


def label_of(row: Mapping[str, Any]) -> str | None:
    """A class label for what a picture shows: its metadata's, its short alt text, or the name of its folder."""
    metadata = metadata_of(row["samples.metadata"]) or {}
    folder = (row["samples.key"] or "").replace("\\", "/").rsplit("/", 2)
    told = (*(metadata.get(k) for k in ("class", "label", "category")), row["samples.text"])
    for label in (*told, folder[-2] if len(folder) > 1 else None):
        if isinstance(label, str) and referent_of(label) is not None:
            return label
    return None


def sprite_library(folders: list[str], most: int) -> Library:
    """Sprites of the pictures below some folders, labelled by the folder each lies in."""
    return build_library(_labelled(folders), most) if folders else Library()


def _labelled(folders: list[str]) -> Iterator[tuple[np.ndarray, str]]:
    import numpy as np
    from PIL import Image

    from zcurate.curation.profile.decode import decode

    for folder in folders:
        root = Path(folder).expanduser()
        for path in sorted(p for p in root.rglob("*") if p.suffix.lower() in _PICTURES and p.is_file()):
            label = re.sub(r"[-_\d]+$", "", path.parent.name if path.parent != root else path.stem)
            if referent_of(label) is None:
                continue
            data = path.read_bytes()
            try:
                rgb = decode(data).rgb
            except SampleError:
                continue
            if path.suffix.lower() == ".png":
                with Image.open(path) as image:
                    if image.mode in ("RGBA", "LA", "PA") and image.size == (rgb.shape[1], rgb.shape[0]):
                        yield np.asarray(image.convert("RGBA")), label
                        continue
            yield rgb, label


def build(config: Config, ctx: StageContext) -> ExpandStage:
    return EditsStage(config, ctx)
