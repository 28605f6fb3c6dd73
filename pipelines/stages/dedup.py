"""Stage `groups`: duplicates of the whole dataset, their keepers, and the side table `neighbors`."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from fnmatch import fnmatchcase
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import pyarrow as pa
import pyarrow.compute as pc
from pydantic import BaseModel, ConfigDict, Field

from zcurate.curation.embedding.encoder import Mirror, mirror_of
from zcurate.curation.embedding.symmetry import Symmetries, symmetries_of
from zcurate.curation.errors import ConfigError
from zcurate.curation.neighbors.dedup import (
    COLUMNS,
    GROUPS_SCHEMA,
    LEIDEN,
    NEIGHBORS_SCHEMA,
    Keeping,
    Settings,
    Turning,
    deduplicate,
)
from zcurate.curation.neighbors.keeper import KEEPER_ORDER
from zcurate.curation.neighbors.quantizer import Quantizer
from zcurate.curation.stage import GlobalInput, GlobalResult, GlobalStage, Resources, StageSpec, field_of

from ..decisions import deciding
from ..vectors import THUMB, VECTOR, embedded_thumbs, read_vectors, reference_digest, reference_of
from .embed import VERSION as EMBED_VERSION

if TYPE_CHECKING:
    from zcurate.pipelines.context import StageContext

_GROUP_OF = {"sample_id": "", "text": "samples."}

#: Measures of keepers, and the columns of other groups that some are made from.
MEASURES = (
    "pixels",
    "quality",
    "aesthetic",
    "bytes_per_pixel",
    "file_bytes",
    "caption_chars",
    "source_trust",
)
_GROUP_OF_MEASURE = {"quality": "quality", "aesthetic": "scores"}
_EXTRA = {
    "quality": tuple(f"quality.{s}" for s in ("blur", "noise", "jpeg_artifacts", "upscaled", "banding")),
    "aesthetic": ("scores.aesthetic",),
    "source_trust": ("samples.source",),
}

QUANTIZER_SCHEMA = pa.schema(
    [
        field_of("identity", pa.string(), "digest of the quantizer"),
        field_of("cells", pa.int32(), "cells; 1 stands for exact search"),
        field_of("probes", pa.int32(), "cells a row can be found in"),
        field_of("data", pa.binary(), "projection and centers, see curation/neighbors/quantizer.py"),
    ]
)
_Cosine = Annotated[float, Field(ge=-1, le=1)]

#: Cosine of near-duplicates per encoder: a threshold belongs to the vectors it was chosen on.
#: `embedded` (version 3): by two-fold cross-validation on photographs of garments, 0.956 of copies after one to three
#: random edits are found at a precision of 0.998; held-out figures are in embedding/EMBEDDED_CARD.md. Others: 0.94 is
#: what clip-retrieval uses with CLIP B and L.
THRESHOLDS: dict[str, float] = {"embedded*": 0.87, "*": 0.94}


class Config(BaseModel):
    """When two samples count as duplicates, and which of them stays."""

    model_config = ConfigDict(extra="forbid")

    encoder: str | None = Field(
        None,
        description="model string that the threshold was chosen for; another embed.model is refused. "
        "Default: the recipe's embed.model",
    )
    threshold: _Cosine | dict[str, _Cosine] | None = Field(
        None,
        description="cosine from which samples are near-duplicates: a number, or glob on the encoder -> number "
        "(first match); default: measured for `embedded`, 0.94 otherwise. Look with 'zcurate dedup-audit'",
    )
    floor: _Cosine | None = Field(
        None, description="smallest cosine stored in the neighbors table; default: threshold - 0.05"
    )
    k: int = Field(100, ge=1, le=10_000, description="nearest neighbors per sample")
    method: Literal["leiden", "components", "semdedup"] = Field(
        "leiden", description="rule of the groups; the other two for comparison"
    )
    recall: float = Field(
        0.99,
        ge=0,
        le=1,
        description="smallest measured recall of pairs at or above the threshold; below it the run fails",
    )
    cells: int | None = Field(
        None, ge=1, le=65_536, description="cells of the search; default: by the number of rows"
    )
    probes: int | None = Field(
        None, ge=1, le=1_024, description="cells a row can be found in; default: by measured recall"
    )
    device: str | None = Field(
        None,
        pattern="^(cpu|cuda(:[0-9]+)?)$",
        description="search on this torch device, e.g. cuda, and all rows on every run; default: on the CPUs, new rows only",
    )
    retrain: int = Field(
        0, ge=0, description="raise it to train the cells anew; until then they stay, whatever is added"
    )
    against: list[str] = Field(
        default_factory=list,
        description="other datasets, embedded with the same encoder: samples near to one of theirs are dropped",
    )
    phash_radius: int | None = Field(
        4, ge=0, le=15, description="bits two pHashes may differ in to become a candidate; null for none"
    )
    phash_min_bpp: float = Field(
        0.03, ge=0, description="pictures of fewer re-encoded bytes per pixel are too flat for pHash"
    )
    keeper: list[str] | None = Field(
        None,
        description=f"keeper order, most important first, of {', '.join(MEASURES)}; default: "
        f"{', '.join(KEEPER_ORDER)} (of those the recipe's stages give)",
    )
    source_trust: dict[str, float] = Field(
        default_factory=dict,
        description="glob on the source -> how much it is trusted, for keepers; larger is better",
    )
    mirror: bool = Field(
        True,
        description="also find copies mirrored left-right, where it is known what that does to the encoder's "
        "vectors (`embedded`; learned encoders are left to see it themselves)",
    )
    turned: bool = Field(
        True,
        description="also find copies turned by a quarter or half, or mirrored: by pHash, confirmed by the encoder where it is "
        "known what turning does to its vectors, else by `embedded` on the thumbnails",
    )


def settings_of(config: Config, mirror: Mirror | None = None, has: frozenset[str] = frozenset()) -> Settings:
    """The settings a config stands for.

    Args:
        has: groups that earlier stages write: measures of others are left out of the default keeper order.

    Raises:
        ConfigError: no threshold for the encoder, a floor above it, or an unknown keeper measure.
    """
    chosen = config.threshold if config.threshold is not None else THRESHOLDS
    if isinstance(chosen, dict):
        matches = [value for glob, value in chosen.items() if fnmatchcase(config.encoder, glob)]
        if not matches:
            raise ConfigError(f"dedup.threshold has no entry for encoder {config.encoder!r}; add one, or '*'")
        chosen = matches[0]
    floor = config.floor if config.floor is not None else round(max(-1.0, chosen - 0.05), 6)
    keeper = config.keeper
    if keeper is None:
        keeper = [m for m in KEEPER_ORDER if _GROUP_OF_MEASURE.get(m) is None or _GROUP_OF_MEASURE[m] in has]
        keeper += ["source_trust"] if config.source_trust else []
    unknown = [name for name in keeper if name not in MEASURES]
    if unknown or not keeper:
        raise ConfigError(f"dedup.keeper: use one or more of {', '.join(MEASURES)}, got {keeper}")
    absent = [m for m in keeper if _GROUP_OF_MEASURE.get(m) and _GROUP_OF_MEASURE[m] not in has]
    if absent:
        raise ConfigError(
            f"dedup.keeper: {absent[0]} needs group {_GROUP_OF_MEASURE[absent[0]]!r}, which no earlier stage writes"
        )
    try:
        return Settings(
            chosen,
            floor,
            config.k,
            config.phash_radius,
            config.phash_min_bpp,
            tuple(keeper),
            mirror,
            config.method,
            config.cells,
            config.probes,
            config.recall,
            config.retrain,
            config.device,
        )
    except ValueError as e:
        raise ConfigError(f"dedup: {e}") from e


def qualified(column: str) -> str:
    """The dataset's name of a column of `deduplicate`."""
    return _GROUP_OF.get(column, "profile.") + column


class DedupStage:
    """Reads every shard, groups, writes every shard."""

    def __init__(
        self,
        config: Config,
        settings: Settings,
        where: tuple[str, ...],
        encoder: str,
        against: Mapping[str, str],
        symmetries: Symmetries | None = None,
    ):
        self.settings, self.config, self.encoder, self.symmetries = settings, config, encoder, symmetries
        extra = [_EXTRA[m] for m in settings.keeper_order if m in _EXTRA]
        self.columns = [*COLUMNS, *(m for m in settings.keeper_order if m in _EXTRA)]
        self.spec = StageSpec(
            name="groups",
            version=3,
            reads=(
                VECTOR,
                *((THUMB,) if config.turned and symmetries is None else ()),
                *(qualified(c) for c in COLUMNS if c != "sample_id"),
                *(c for columns in extra for c in columns),
            ),
            outputs={"groups": GROUPS_SCHEMA},
            config={
                "threshold": settings.threshold,
                "floor": settings.floor,
                "k": settings.k,
                "method": settings.method,
                "recall": settings.recall,
                "cells": settings.cells,
                "probes": settings.probes,
                "retrain": settings.seed,
                "phash_radius": settings.phash_radius,
                "phash_min_bpp": settings.phash_min_bpp,
                "keeper": list(settings.keeper_order),
                "source_trust": dict(config.source_trust),
                "mirror": settings.mirror is not None,
                "turned": config.turned,
                "against": dict(against),
                # Pairs that cells miss by chance differ between the engines.
                **({"device": settings.device} if settings.device else {}),
            },
            where=where,
            side_tables={"neighbors": NEIGHBORS_SCHEMA, "quantizer": QUANTIZER_SCHEMA},
            resources=Resources(
                memory_bytes=4 << 30, gpus=1 if (settings.device or "").startswith("cuda") else 0
            ),
        )

    def setup_node(self) -> None:
        pass

    def setup(self) -> None:
        pass

    def run(self, data: GlobalInput) -> GlobalResult:
        shards = data.shards()
        parts = [self._rows(data, s) for s in shards]
        empty = {"neighbors": NEIGHBORS_SCHEMA.empty_table(), "quantizer": QUANTIZER_SCHEMA.empty_table()}
        if not parts:
            return GlobalResult([], empty, {"rows": 0})
        rows = pa.concat_tables(parts, promote_options="permissive")
        lengths = [p.num_rows for p in parts]
        dim = len(self.settings.mirror.source) if self.settings.mirror else None
        folder = data.cache()
        with _locked(folder) as usable:
            result = deduplicate(
                rows,
                lambda positions: read_vectors(data, shards, lengths, positions, dim),
                self.settings,
                [reference_of(url, self.encoder) for url in self.config.against],
                _frozen(data.earlier("quantizer")),
                self._keeping(folder) if usable else None,
                self._turning(data, shards, lengths),
                data.fan_out,
            )
        tables = {"neighbors": result.pairs.by_source(), "quantizer": _quantizer_table(result.quantizer)}
        return GlobalResult(_aligned(result.groups, shards, lengths), tables, dict(result.figures))

    def _keeping(self, folder: Path) -> Keeping | None:
        searches_all = self.settings.method != LEIDEN or self.settings.device is not None
        return None if searches_all else Keeping(folder, self.encoder)

    def _turning(self, data: GlobalInput, shards: list[str], lengths: list[int]) -> Turning | None:
        """By the encoder's own symmetries; an encoder without any is helped out by `embedded` on the thumbnails."""
        if not self.config.turned:
            return None
        if self.symmetries is not None:
            return Turning(self.symmetries, self.settings.threshold)
        from zcurate.curation.embedding.embedded import EmbeddedEncoder

        helper = EmbeddedEncoder()
        looker = partial(embedded_thumbs, helper, data, shards, lengths)
        return Turning(helper.symmetries, THRESHOLDS["embedded*"], looker)

    def _rows(self, data: GlobalInput, shard: str) -> pa.Table:
        wanted = [c for c in self.spec.reads if c not in (VECTOR, THUMB)]
        table = data.read(shard, tuple(wanted))
        columns = {c: table[c if c == "sample_id" else qualified(c)] for c in COLUMNS}
        if "quality" in self.columns:
            columns["quality"] = _quality(table)
        if "aesthetic" in self.columns:
            columns["aesthetic"] = table["scores.aesthetic"]
        if "source_trust" in self.columns:
            columns["source_trust"] = _trust(table["samples.source"], self.config.source_trust)
        return pa.table(columns)


def _quality(table: pa.Table) -> pa.ChunkedArray:
    """1 less the worst of the scores that keepers go by."""
    worst = pc.max_element_wise(*(table[c] for c in _EXTRA["quality"]))
    return pc.subtract(1.0, worst)


def _trust(sources: pa.ChunkedArray, trust: Mapping[str, float]) -> pa.Array:
    """Of the first glob that matches; 0 where none does."""
    known: dict[str, float] = {}
    for name in pc.unique(sources).to_pylist():
        known[name] = next((v for glob, v in trust.items() if fnmatchcase(name or "", glob)), 0.0)
    return pa.array([known[s] for s in sources.to_pylist()], pa.float64())


def _frozen(table: pa.Table | None) -> Quantizer | None:
    if table is None or not table.num_rows:
        return None
    return Quantizer.from_bytes(table["data"][0].as_py(), "_tables/quantizer")


def _quantizer_table(quantizer: Quantizer) -> pa.Table:
    row = {
        "identity": quantizer.identity,
        "cells": quantizer.cells,
        "probes": quantizer.probes,
        "data": quantizer.to_bytes(),
    }
    return pa.table({k: [v] for k, v in row.items()}, schema=QUANTIZER_SCHEMA)


@contextmanager
def _locked(folder: Path | None) -> Iterator[bool]:
    """Whether the graph's folder may be used: not by two runs at once."""
    if folder is None:
        yield False
        return
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / "lock", "w") as f:
        try:
            fcntl.flock(f, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            yield False
            return
        yield True


def _aligned(groups: pa.Table, shards: list[str], lengths: list[int]) -> Iterator[tuple[str, pa.Table]]:
    at = 0
    for shard, length in zip(shards, lengths, strict=True):
        yield shard, groups.slice(at, length)
        at += length


def build(config: Config, ctx: StageContext) -> GlobalStage:
    embedded_with = ctx.settings.get("embed", {}).get("model")
    if config.encoder is None:
        config = config.model_copy(update={"encoder": embedded_with or "embedded"})
    elif embedded_with and embedded_with != config.encoder:
        raise ConfigError(
            f"dedup.encoder is {config.encoder!r}, which its threshold was chosen for, but embed.model is "
            f"{embedded_with!r}: choose a threshold for that one ('zcurate dedup-audit'), and name it here"
        )
    encoder = ctx.encoder(config.encoder)
    mirror = mirror_of(encoder) if config.mirror else None
    settings = settings_of(config, mirror, ctx.groups)
    against = {url: reference_digest(url) for url in config.against}
    identity = f"{ctx.identity(config.encoder)}@{EMBED_VERSION}"
    return DedupStage(config, settings, deciding(ctx.groups), identity, against, symmetries_of(encoder))
