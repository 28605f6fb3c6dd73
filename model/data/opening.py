"""What a recipe says of its data, checked, and the feed that it asks for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from ..config import S3DiTConfig
from .caption_choice import CHOSEN, CaptionMix
from .errors import DataError
from .extra_texts import with_texts
from .features import FeatureStore
from .feed import ShardFeed
from .layout import Batching
from .lengths import TEXT_LENGTHS, CostModel, TextLengths, tokenizer_lengths
from .precompute import encoder_fingerprint
from .resolution import Resolution
from .shards import open_source
from .stage import Part
from .stage_lists import read_list

#: Of an edit pair: what changes, in both languages.
INSTRUCTIONS = {"en_short": 2.0, "en_long": 1.0, "zh_short": 2.0, "zh_long": 1.0}


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")


class ResolutionFields(_Strict):
    """Sizes of targets: about `side_px` squared, or from `min_px` to `max_px` squared, of any shape."""

    side_px: int | None = Field(None, ge=1, description="a stage at one area, e.g. 256")
    min_px: int | None = Field(None, ge=1)
    max_px: int | None = Field(None, ge=1, description="with min_px: each at its own size inside the range")
    max_upscale: float = Field(1.0, gt=0, description="largest factor by which a side may grow")
    max_aspect: float = Field(4.0, ge=1)
    area_slack: float = Field(0.2, ge=0, lt=1, description="share of the area given up for a better shape")

    @model_validator(mode="after")
    def _one_way(self) -> ResolutionFields:
        if (self.side_px is None) == (self.min_px is None) or (self.min_px is None) != (self.max_px is None):
            raise ValueError("give side_px, or min_px and max_px")
        return self

    def of(self, grid_px: int) -> Resolution:
        """Raises PlanError."""
        low = int(self.side_px**2 * (1 - self.area_slack)) if self.side_px else self.min_px**2  # type: ignore[operator]
        high = (self.side_px or self.max_px) ** 2  # type: ignore[operator]
        return Resolution(max(low, 1), high, grid_px, self.max_upscale, self.area_slack, self.max_aspect)


class PartFields(_Strict):
    """One export, and how it is drawn from."""

    url: str = Field(description="folder that `zcurate export` or `zcurate edits-export` wrote, or its URL")
    captions: dict[str, float] | None = Field(
        None, description="kind of text -> share; default: that of the stage, of edits their instructions"
    )
    dropout: float | None = Field(None, ge=0, le=1, description="default: that of the stage")
    share: float | None = Field(None, gt=0, description="of an epoch's samples, relative to other parts'")
    weighted: bool = Field(False, description="draw by the weights that the export holds")
    only: str | None = Field(None, description="list of samples: a plan of the balance stage, .npy or text")
    only_stage: str | None = Field(None, description="stage of that plan")
    split: Literal["train", "validation"] | None = Field("train", description="of edit pairs; null: both")
    resolution: ResolutionFields | None = Field(None, description="default: that of the stage")
    reference_resolution: ResolutionFields | None = Field(None, description="of an edit's sources")
    texts: str | None = Field(None, description="Parquet table of further texts: enhanced prompts, ...")
    include_placeholders: bool | None = Field(None, description="default: that of the stage")
    keep_untexted: bool | None = Field(None, description="default: that of the stage")
    latents: str | None = Field(None, description="stored latents; samples that they lack are decoded")
    text_features: str | None = Field(None, description="stored features of prompts")
    storage_options: dict[str, Any] = Field(default_factory=dict, description="of fsspec, for URLs")


class ShardFields(_Strict):
    """`data` of a training recipe, of kind `shards`."""

    parts: list[PartFields] = Field(min_length=1)
    resolution: ResolutionFields | None = None
    token_budget: int = Field(ge=1, description="tokens of a micro-batch, text included")
    max_samples: int | None = Field(None, ge=1, description="of a micro-batch")
    captions: dict[str, float] | None = Field(None, description="of pictures; default: as chosen at export")
    dropout: float = Field(0.1, ge=0, le=1, description="share trained without a condition")
    include_placeholders: bool = Field(False, description="train on captions that no model wrote too")
    keep_untexted: bool = Field(False, description="train samples without a text, unconditionally")
    text_lengths: Literal["auto", "byte", "estimate", "tokenizer"] = Field(
        "auto", description="exact or a bound; auto: exact for the tiny encoder, a bound for others"
    )
    semantic_tokens: int = Field(0, ge=0, description="of each source of an edit; 0: as the model says")
    cache_dir: str | None = Field(None, description="where scans of exports are kept")
    max_bad_share: float = Field(
        0.01, ge=0, le=1, description="of unreadable samples; beyond, training stops"
    )
    kept_mib: int = Field(
        1024, ge=1, description="of row groups of Parquet in memory, of each process and part"
    )
    threads: int = Field(2, ge=1, description="of each process, that read and decode")
    ahead: int = Field(4, ge=1, description="micro-batches prepared in advance")
    seed: int | None = Field(None, ge=0, description="of draws and orders; default: the recipe's")


def read_fields(values: Mapping[str, Any]) -> ShardFields:
    """Raises DataError that names every wrong field."""
    try:
        return ShardFields.model_validate(dict(values))
    except ValidationError as error:
        lines = [f"{'.'.join(map(str, e['loc'])) or 'data'}: {e['msg']}" for e in error.errors()]
        raise DataError(f"data of kind shards: {'; '.join(lines)}") from error


def open_feed(
    values: Mapping[str, Any],
    seed: int,
    rank: int,
    ranks: int,
    pipeline: Any = None,
) -> ShardFeed:
    """The feed of one rank.

    Args:
        values: fields of `ShardFields`.
        pipeline: `Pipeline` in use: its encoders decide the size of a token, lengths of texts and which stored
            features fit, its transformer the cost of a sample. None: those of the released model, and no features.

    Raises:
        DataError: a wrong field. SchemaError: an export, list or table that cannot be read. StaleFeaturesError: stored
            features of another encoder. PlanError: nothing is left to draw from.
    """
    fields = read_fields(values)
    parts = open_parts(fields, pipeline)
    config: S3DiTConfig | None = pipeline.transformer.config if pipeline is not None else None
    batching = Batching(
        fields.token_budget,
        fields.max_samples,
        None if config is None else CostModel.of(config),
        window_blocks=min(getattr(part.source, "window_blocks", 64) for part in parts),
        semantic_tokens=fields.semantic_tokens or _semantic_tokens(pipeline),
        token_px=_token_px(pipeline),
    )
    return ShardFeed(
        parts,
        batching,
        seed if fields.seed is None else fields.seed,
        rank,
        ranks,
        fields.max_bad_share,
        fields.threads,
        fields.ahead,
    )


def open_parts(fields: ShardFields, pipeline: Any = None) -> list[Part]:
    """The parts of a stage. Raises as `open_feed`."""
    lengths = _text_lengths(fields, pipeline)
    return [_part(fields, part, _token_px(pipeline), lengths, pipeline) for part in fields.parts]


def _token_px(pipeline: Any) -> int:
    return 16 if pipeline is None else pipeline.multiple_px


def _text_lengths(fields: ShardFields, pipeline: Any) -> TextLengths:
    encoder = getattr(pipeline, "text_encoder", None)
    encoder = getattr(encoder, "encoder", encoder)
    if fields.text_lengths == "tokenizer":
        if not hasattr(encoder, "tokenizer"):
            raise DataError("text_lengths: the model in use has no tokenizer; write auto, byte or estimate")
        return tokenizer_lengths(encoder.tokenizer)
    if fields.text_lengths != "auto":
        return TEXT_LENGTHS[fields.text_lengths]
    return TEXT_LENGTHS["byte" if getattr(encoder, "KIND", "") == "ByteTextEncoder" else "estimate"]


def _semantic_tokens(pipeline: Any) -> int:
    """Most that one picture has."""
    semantic = getattr(pipeline, "semantic", None)
    if semantic is None:
        return 0
    grid = getattr(semantic, "GRID", None)
    return grid * grid if grid else int(getattr(semantic.processor, "max_num_patches", 256))


def _part(fields: ShardFields, part: PartFields, token_px: int, lengths: Any, pipeline: Any) -> Part:
    resolution = part.resolution or fields.resolution
    if resolution is None:
        raise DataError(f"data of kind shards: {part.url}: give a resolution, here or for all parts")
    source = open_source(
        part.url, lengths, fields.cache_dir, part.split, part.storage_options, fields.kept_mib << 20
    )
    if part.texts:
        source = with_texts(source, part.texts, lengths)
    pairs = source.rows.references_px is not None
    captions = part.captions or (INSTRUCTIONS if pairs else fields.captions or {CHOSEN: 1.0})
    stores: dict[str, FeatureStore | None] = {"latents": None, "text": None}
    for kind, url, encoder in (
        ("latents", part.latents, "vae"),
        ("text", part.text_features, "text_encoder"),
    ):
        if url:
            if pipeline is None:
                raise DataError(f"{url}: stored features need the encoders in use to be checked against")
            expected = encoder_fingerprint(getattr(pipeline, encoder))
            stores[kind] = FeatureStore.open(url, kind, expected, part.storage_options)
    return Part(
        source,
        resolution.of(token_px),
        CaptionMix(captions, fields.dropout if part.dropout is None else part.dropout),
        part.share,
        part.weighted,
        read_list(part.only, part.only_stage, part.storage_options) if part.only else None,
        _or(part.include_placeholders, fields.include_placeholders),
        _or(part.keep_untexted, fields.keep_untexted),
        part.reference_resolution.of(token_px) if part.reference_resolution else None,
        stores["latents"],
        stores["text"],
    )


def _or(value: bool | None, default: bool) -> bool:
    return default if value is None else value
