"""Stage `groups`: duplicates of the whole dataset, their keepers, and the side table `neighbors`."""

from __future__ import annotations

from collections.abc import Iterator
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Annotated

import numpy as np
import pyarrow as pa
from pydantic import BaseModel, ConfigDict, Field

from zcurate.curation.embedding.encoder import Mirror, mirror_of
from zcurate.curation.errors import ConfigError, DatasetError
from zcurate.curation.neighbors.dedup import (
    COLUMNS,
    GROUPS_SCHEMA,
    NEIGHBORS_SCHEMA,
    Settings,
    deduplicate,
)
from zcurate.curation.neighbors.keeper import KEEPER_ORDER
from zcurate.curation.stage import GlobalInput, GlobalResult, GlobalStage, Resources, StageSpec

from ..decisions import deciding

if TYPE_CHECKING:
    from zcurate.pipelines.context import StageContext

VECTOR = "embedding.vector"
_GROUP_OF = {"sample_id": "", "text": "samples."}
_Cosine = Annotated[float, Field(ge=-1, le=1)]

#: Cosine of near-duplicates per encoder: a threshold belongs to the vectors it was chosen on.
#: `embedded`: keeps every color photograph of scikit-image and scikit-learn together
#: with its copies at half and quarter size, at JPEG quality 15, 10% brighter, of more contrast, and with
#: 5% of each side's length cropped about the center; distinct unrelated photographs stay below 0.7, but
#: two views of one scene reach 0.95. Others: 0.94 is what clip-retrieval uses with CLIP B and L.
THRESHOLDS: dict[str, float] = {"embedded*": 0.94, "*": 0.94}


class Config(BaseModel):
    """When two samples count as duplicates, and which of them stays."""

    model_config = ConfigDict(extra="forbid")

    encoder: str | None = Field(
        None,
        description="model string the embedding was made with; picks the threshold and the mirror; "
        "default: the recipe's embed.model",
    )
    threshold: _Cosine | dict[str, _Cosine] | None = Field(
        None,
        description="cosine from which samples are near-duplicates: a number, or glob on the encoder -> number "
        "(first match); default: measured for `embedded`, 0.94 otherwise",
    )
    floor: _Cosine | None = Field(
        None, description="smallest cosine stored in the neighbors table; default: threshold - 0.1"
    )
    k: int = Field(100, ge=1, le=10_000, description="nearest neighbors per sample")
    phash_radius: int | None = Field(
        4, ge=0, le=15, description="bits two pHashes may differ in to become a candidate; null for none"
    )
    phash_min_bpp: float = Field(
        0.03, ge=0, description="pictures of fewer re-encoded bytes per pixel are too flat for pHash"
    )
    keeper: list[str] = Field(
        default_factory=lambda: list(KEEPER_ORDER),
        description="keeper order, most important first: pixels, bytes_per_pixel, file_bytes, caption_chars",
    )
    mirror: bool = Field(
        True,
        description="also find copies mirrored left-right, where it is known what that does to the encoder's "
        "vectors (`embedded`; learned encoders are left to see it themselves)",
    )


def settings_of(config: Config, mirror: Mirror | None = None) -> Settings:
    """The settings a config stands for.

    Raises:
        ConfigError: no threshold for the encoder, a floor above it, or an unknown keeper measure.
    """
    chosen = config.threshold if config.threshold is not None else THRESHOLDS
    if isinstance(chosen, dict):
        matches = [value for glob, value in chosen.items() if fnmatchcase(config.encoder, glob)]
        if not matches:
            raise ConfigError(f"dedup.threshold has no entry for encoder {config.encoder!r}; add one, or '*'")
        chosen = matches[0]
    floor = config.floor if config.floor is not None else round(max(-1.0, chosen - 0.1), 6)
    known = {*KEEPER_ORDER, "file_bytes"}
    unknown = [name for name in config.keeper if name not in known]
    if unknown or not config.keeper:
        raise ConfigError(f"dedup.keeper: use one or more of {', '.join(sorted(known))}, got {config.keeper}")
    try:
        return Settings(
            chosen, floor, config.k, config.phash_radius, config.phash_min_bpp, tuple(config.keeper), mirror
        )
    except ValueError as e:
        raise ConfigError(f"dedup: {e}") from e


def qualified(column: str) -> str:
    """The dataset's name of a column of `deduplicate`."""
    return _GROUP_OF.get(column, "profile.") + column


class DedupStage:
    """Reads every shard, groups, writes every shard."""

    def __init__(self, settings: Settings, where: tuple[str, ...]):
        self.settings = settings
        self.spec = StageSpec(
            name="groups",
            version=2,
            reads=(VECTOR, *(qualified(c) for c in COLUMNS if c != "sample_id")),
            outputs={"groups": GROUPS_SCHEMA},
            config={
                "threshold": settings.threshold,
                "floor": settings.floor,
                "k": settings.k,
                "phash_radius": settings.phash_radius,
                "phash_min_bpp": settings.phash_min_bpp,
                "keeper": list(settings.keeper_order),
                "mirror": settings.mirror is not None,
            },
            where=where,
            side_tables={"neighbors": NEIGHBORS_SCHEMA},
            resources=Resources(memory_bytes=4 << 30),
        )

    def setup_node(self) -> None:
        pass

    def setup(self) -> None:
        pass

    def run(self, data: GlobalInput) -> GlobalResult:
        names = [qualified(c) for c in COLUMNS]
        shards = data.shards()
        parts = [data.read(s, tuple(names[1:])).select(names).rename_columns(list(COLUMNS)) for s in shards]
        if not parts:
            return GlobalResult([], {"neighbors": NEIGHBORS_SCHEMA.empty_table()}, {"rows": 0})
        rows = pa.concat_tables(parts, promote_options="permissive")
        mirror = self.settings.mirror

        def vectors(positions: np.ndarray) -> np.ndarray:
            return _vectors(data, shards, rows.num_rows, positions, len(mirror.source) if mirror else None)

        result = deduplicate(rows, vectors, self.settings)
        lengths = [p.num_rows for p in parts]
        return GlobalResult(
            _aligned(result.groups, shards, lengths), {"neighbors": result.neighbors}, dict(result.figures)
        )


def _vectors(
    data: GlobalInput, shards: list[str], n: int, positions: np.ndarray, dim: int | None
) -> np.ndarray:
    """[m, d] in the dtype stored, of the rows at `positions` of n; filled shard by shard: held once."""
    place = np.full(n, -1, np.int64)
    place[positions] = np.arange(len(positions))
    out: np.ndarray | None = None
    at = 0
    for shard in shards:
        column = data.read(shard, (VECTOR,))[VECTOR].combine_chunks()
        if column.null_count:
            raise DatasetError(
                f"shard {shard}: {column.null_count} selected rows have no {VECTOR}; run embed again"
            )
        width = column.type.list_size
        block = column.flatten().to_numpy(zero_copy_only=False).reshape(-1, width)
        if out is None:
            out = np.empty((len(positions), width), block.dtype)
            if dim not in (None, width):
                raise ConfigError(
                    f"{VECTOR} has {width} dimensions, but the encoder dedup takes it for has {dim}; set "
                    "dedup.encoder to the embedding's own, or dedup.mirror to false"
                )
        if width != out.shape[1]:
            raise DatasetError(f"shard {shard}: vectors of {width} dimensions, others have {out.shape[1]}")
        places = place[at : at + len(block)]
        out[places[places >= 0]] = block[places >= 0]
        at += len(block)
    assert out is not None
    return out


def _aligned(groups: pa.Table, shards: list[str], lengths: list[int]) -> Iterator[tuple[str, pa.Table]]:
    at = 0
    for shard, length in zip(shards, lengths, strict=True):
        yield shard, groups.slice(at, length)
        at += length


def build(config: Config, ctx: StageContext) -> GlobalStage:
    if config.encoder is None:
        config = config.model_copy(update={"encoder": ctx.settings.get("embed", {}).get("model", "embedded")})
    mirror = mirror_of(ctx.encoder(config.encoder)) if config.mirror else None
    return DedupStage(settings_of(config, mirror), deciding(ctx.groups))
