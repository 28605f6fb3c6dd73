"""Stage `scores`: aesthetics, AI-generated, text-image alignment, tags, faces, culture, safety."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

import pyarrow as pa
from pydantic import BaseModel, ConfigDict, Field

from zcurate.curation.errors import ConfigError
from zcurate.curation.stage import MapStage, Resources, RowMonitor, StageSpec, field_of, map_rows

if TYPE_CHECKING:
    import numpy as np

    from zcurate.pipelines.context import StageContext

VERSION = 7

_VECTORS = ("embedding.vector", "embedding.text_vector")
_QUALITY = ("blur", "noise", "cast", "overexposed", "underexposed", "jpeg_artifacts", "ai_forensic")
_METADATA = ("ai_declared", "ai_evidence", "title", "caption", "keywords")
_TEXT_FIELDS = ("title", "caption", "description", "alt", "alt_text", "keywords", "tags")
_HEURISTIC = "embedded"


class Config(BaseModel):
    """Settings of the scores stage."""

    model_config = ConfigDict(extra="forbid")

    aesthetic: str | None = Field(
        _HEURISTIC,
        description="embedded: a heuristic from measurements, no substitute for a trained model; or "
        "linear:FILE, a head on the embedding ('zcurate train-head', or LAION's predictor as .pth or "
        ".safetensors), its range mapped to 1..10; or null",
    )
    ai_generated: str | None = Field(
        None,
        description="linear:FILE, a logistic head; default: the forensic classifier where `quality` is there",
    )
    tags: bool = Field(True, description="zero-shot tags, where the encoder has a text tower; null otherwise")
    tag_languages: list[Literal["en", "zh"]] | None = Field(
        None, min_length=1, description="languages of the tags' phrases; default: zh for cnclip, en otherwise"
    )
    tag_threshold: float = Field(0.3, gt=0, le=1, description="least probability of a tag within its facet")
    tag_temperature: float = Field(
        0.01, gt=0, description="cosines are divided by it; 0.01 is CLIP's logit scale"
    )
    text_languages: list[Literal["en", "zh", "other"]] | None = Field(
        None,
        min_length=1,
        description="languages of alt text that the encoder understands; text_image is null for others. "
        "Default: all; cosines of different languages do not compare, so use text_language in rules",
    )
    faces: Literal["nudenet"] | None = Field(
        None, description="nudenet (pip install 'zcurate[safety]'); default: faces are not counted, null"
    )
    face_threshold: float = Field(0.4, gt=0, le=1, description="least score of a face that counts")
    nsfw: Literal["nudenet"] | None = Field(None, description="nudenet; default: not scored, null")
    batch_size: int = Field(256, gt=0, description="embeddings scored at once")


class ScoresStage:
    """Map stage; output `scores`. Reads what the recipe has, and leaves null what nothing can tell."""

    def __init__(self, config: Config, ctx: StageContext) -> None:
        self._config, self._ctx = config, ctx
        self._model = str(ctx.settings.get("embed", {}).get("model") or "embedded")
        self._embedded = ctx.has("embedding")
        self._encoder = ctx.encoder(self._model) if self._embedded else None
        self._heads = self._checked_heads()
        self._tagging = config.tags and self._encoder is not None and self._encoder.has_text
        self._detecting = config.faces is not None or config.nsfw is not None
        if self._detecting:
            ctx.detector("nudenet")  # says now that its package is missing
        self._tagger: Any = None
        self._detector: Any = None
        self.spec = StageSpec(
            name="scores",
            version=VERSION,
            reads=self._reads(),
            outputs={"scores": self._schema()},
            config=config.model_dump(),
            models=self._models(),
            resources=Resources(memory_bytes=2 << 30),
        )

    def _checked_heads(self) -> dict[str, Any]:
        """Column -> head; refuses what does not fit the recipe's encoder before any work."""
        wanted = {"aesthetic": self._config.aesthetic, "ai_generated": self._config.ai_generated}
        heads = {}
        for column, model in wanted.items():
            if model is None or (column == "aesthetic" and model == _HEURISTIC):
                continue
            if column == "aesthetic" and ":" not in model:
                raise ConfigError(f"scores.aesthetic {model!r}: it is {_HEURISTIC}, linear:FILE or null")
            if self._encoder is None:
                raise ConfigError(f"scores.{column} {model}: the recipe has no embed stage before scores")
            from zcurate.curation.scoring.head import check_fit

            head = self._ctx.head(model)
            identity = self._ctx.encoder_identity(self._model)
            check_fit(head, self._model, identity, self._encoder.dim)
            if column == "ai_generated" and head.info.kind != "logistic":
                raise ConfigError(
                    f"scores.ai_generated {model}: a logistic head is needed, this is a regression"
                )
            heads[column] = head
        return heads

    def _reads(self) -> tuple[str, ...]:
        # content_id is read so that the shard follows the bytes even where thumbnails coincide
        reads = ["samples.text", "samples.metadata", "samples.origin", "profile.content_id"]
        if self._config.aesthetic == _HEURISTIC:
            reads += ["profile.sharpness", "profile.noise_sigma"]
        if self._config.aesthetic == _HEURISTIC or self._detecting:
            reads.append("thumbs.thumb")
        if self._embedded:
            reads += _VECTORS
        if self._ctx.has("metadata"):
            reads += [f"metadata.{c}" for c in _METADATA]
        if self._ctx.has("quality"):
            reads += [f"quality.{c}" for c in _QUALITY]
        return tuple(reads)

    def _models(self) -> dict[str, str]:
        from zcurate.curation.scoring.data_files import data_digest

        models = {"lists": data_digest()}
        models |= {column: self._ctx.identity(head.name) for column, head in self._heads.items()}
        if self._tagging:
            models["encoder"] = self._ctx.encoder_identity(self._model)
        if self._detecting:
            models["detector"] = self._ctx.identity("nudenet")
        return models

    def _schema(self) -> pa.Schema:
        c = self._config
        looks = {
            None: "not scored",
            _HEURISTIC: "heuristic from color, contrast, sharpness, exposure and composition; "
            "not trained on ratings",
        }.get(c.aesthetic, f"head {c.aesthetic}")
        ai = f"head {c.ai_generated}" if c.ai_generated else "forensic classifier"
        strings = pa.list_(pa.string())
        return pa.schema(
            [
                field_of("aesthetic", pa.float32(), looks, "1 (poor) .. 10 (good)"),
                field_of(
                    "ai_generated", pa.float32(), f"made by a model: 1 if declared, else {ai}", "probability"
                ),
                field_of(
                    "ai_evidence",
                    strings,
                    "declarations and hints in the file, and models that find it likely",
                ),
                field_of("text_image", pa.float32(), "alt text against image, by the encoder", "cosine"),
                field_of("text_language", pa.string(), "zh, en or other, by script; null without alt text"),
                field_of("tags", strings, "zero-shot tags, best first; null without a text tower"),
                field_of("faces", pa.int16(), f"faces seen by {c.faces or 'no detector'}"),
                field_of("people", pa.int16(), "people; no bundled engine counts them"),
                field_of("culture", strings, "ids of the Chinese culture lexicon, from texts and tags"),
                field_of(
                    "nsfw", pa.float32(), f"exposed private parts, by {c.nsfw or 'no detector'}", "0..1"
                ),
            ]
        )

    def setup_node(self) -> None:
        pass

    def setup(self) -> None:
        import cv2

        cv2.setNumThreads(1)
        for head in self._heads.values():
            head.load()
        if self._tagging:
            from zcurate.curation.scoring.zero_shot import ZeroShotTagger

            c = self._config
            default = ["zh"] if self._model.startswith("cnclip:") else ["en"]
            self._encoder.load()
            self._tagger = ZeroShotTagger(
                self._encoder, c.tag_languages or default, c.tag_temperature, c.tag_threshold
            )
        if self._detecting:
            self._detector = self._ctx.detector("nudenet")
            self._detector.load()

    def __call__(self, table: pa.Table, monitor: RowMonitor) -> pa.Table:
        if (self._tagging and self._tagger is None) or (self._detecting and self._detector is None):
            self.setup()
        if self._embedded:
            if table.num_rows:
                monitor.start(0, table.num_rows - 1)
            scored = [
                self._of_vectors(table.slice(first, self._config.batch_size))
                for first in range(0, table.num_rows, self._config.batch_size)
            ]
            values = [row for batch in scored for row in batch]
            table = table.drop_columns(list(_VECTORS)).append_column(
                "of_vectors", pa.array(values, _OF_VECTORS)
            )
        return map_rows(table, self._row, self.spec.schema, monitor)

    def _of_vectors(self, batch: pa.Table) -> list[dict[str, Any]]:
        """What embeddings alone tell, for a batch at once."""
        import numpy as np

        images, has_image = _matrix(batch[_VECTORS[0]])
        texts, has_text = _matrix(batch[_VECTORS[1]])
        finite = np.isfinite(images).all(axis=1) & np.isfinite(texts).all(axis=1) & has_image
        images = np.where(finite[:, None], images, 0)
        columns: dict[str, Any] = {"finite": finite}
        for column, head in self._heads.items():
            scores = head.score(images)
            if column == "aesthetic":
                low, high = head.info.range
                scores = 1 + 9 * (scores - low) / (high - low)
            columns[column] = scores
        norms = np.linalg.norm(images, axis=1) * np.linalg.norm(texts, axis=1)
        cosine = np.einsum("nd,nd->n", images, texts) / np.maximum(norms, 1e-12)
        tags = self._tagger.tags(images) if self._tagger else [None] * len(images)
        return [
            {n: v[i].item() for n, v in columns.items()}
            | {"text_image": float(np.clip(cosine[i], -1, 1)) if has_text[i] else None, "tags": tags[i]}
            for i in range(len(images))
        ]

    def _row(self, row: Mapping[str, Any]) -> dict[str, Any]:
        from zcurate.curation.scoring.ai_generated import ai_generated
        from zcurate.curation.scoring.culture import find_culture
        from zcurate.curation.scoring.errors import VectorError
        from zcurate.curation.scoring.semantics import Semantics, merged
        from zcurate.curation.scoring.text import language_of

        known = row.get("of_vectors") or {}
        if known and not known["finite"]:
            raise VectorError("the embedding holds NaN or infinity")
        rgb = _pixels(row.get("thumbs.thumb"))
        tags = known.get("tags")
        culture = find_culture([*_texts(row), *(tags or ())])
        named = self._culture_tags(tags)
        found = merged(
            self._detected(rgb),
            Semantics(tags=None if tags is None else tuple(tags), culture=named),
            Semantics(culture=tuple(culture)),
        )
        probability, evidence = ai_generated(
            row.get("metadata.ai_declared"),
            row.get("metadata.ai_evidence"),
            row["samples.origin"],
            known.get("ai_generated"),
            row.get("quality.ai_forensic"),
        )
        language = language_of(row["samples.text"])
        understood = self._config.text_languages
        return {
            "aesthetic": self._aesthetic(row, known, rgb),
            "ai_generated": probability,
            "ai_evidence": evidence,
            "text_image": known.get("text_image") if understood is None or language in understood else None,
            "text_language": language,
            "tags": found.tags,
            "faces": found.faces,
            "people": found.people,
            "culture": found.culture,
            "nsfw": found.nsfw,
        }

    def _aesthetic(self, row: Mapping[str, Any], known: Mapping[str, Any], rgb: Any) -> float | None:
        if self._config.aesthetic != _HEURISTIC:
            return known.get("aesthetic")
        from zcurate.curation.scoring.aesthetics import aesthetic_score

        profile = {c: row[f"profile.{c}"] for c in ("sharpness", "noise_sigma")}
        return aesthetic_score(rgb, profile, {c: row.get(f"quality.{c}") for c in _QUALITY})

    def _detected(self, rgb: Any) -> Any:
        from zcurate.curation.scoring.detector import count_faces, nsfw_score
        from zcurate.curation.scoring.semantics import Semantics

        if self._detector is None:
            return Semantics()
        found, c = self._detector.detect(rgb), self._config
        return Semantics(
            faces=count_faces(found, c.face_threshold) if c.faces else None,
            nsfw=nsfw_score(found) if c.nsfw else None,
        )

    def _culture_tags(self, tags: list[str] | None) -> tuple[str, ...]:
        from zcurate.curation.scoring.culture import lexicon

        ids = {entry.id for entry in lexicon()}
        return tuple(t for t in tags or () if t in ids)


_OF_VECTORS = pa.struct(
    [
        pa.field("finite", pa.bool_()),
        pa.field("aesthetic", pa.float32()),
        pa.field("ai_generated", pa.float32()),
        pa.field("text_image", pa.float32()),
        pa.field("tags", pa.list_(pa.string())),
    ]
)


def _matrix(column: pa.ChunkedArray) -> tuple[np.ndarray, np.ndarray]:
    """(float32 [n, dim] with zeros for nulls, bool [n] of rows that are not null)."""
    import numpy as np

    dim = column.type.list_size
    there = np.asarray(column.is_valid().to_numpy(zero_copy_only=False), bool)
    out = np.zeros((len(there), dim), np.float32)
    flat = column.drop_null().combine_chunks().flatten().to_numpy(zero_copy_only=False)
    out[there] = flat.reshape(-1, dim)
    return out, there


def _pixels(thumb: bytes | None) -> Any:
    if thumb is None:
        return None
    from zcurate.curation.profile.decode import decode

    return decode(thumb).rgb


def _texts(row: Mapping[str, Any]) -> list[str]:
    """Everything written about the picture: alt text, its metadata's text fields, and the file's own."""
    texts = [row["samples.text"], row.get("metadata.title"), row.get("metadata.caption")]
    texts += row.get("metadata.keywords") or []
    try:
        given = json.loads(row["samples.metadata"] or "{}")
    except (ValueError, RecursionError):
        given = {}
    for field in _TEXT_FIELDS if isinstance(given, dict) else ():
        value = given.get(field)
        texts += value[:100] if isinstance(value, list) else [value]
    return [t for t in texts if isinstance(t, str) and t]


def build(config: Config, ctx: StageContext) -> MapStage:
    """The stage; reads the description of its heads, so that one that does not fit is refused here."""
    return ScoresStage(config, ctx)
