"""The `embed` stage: image vectors from thumbnails, text vectors from alt text."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa
from pydantic import BaseModel, ConfigDict, Field

from zcurate.curation.stage import OK, RowMonitor, StageSpec, error_row, field_of

if TYPE_CHECKING:
    import numpy as np

    from zcurate.pipelines.context import StageContext

VERSION = 3


class Config(BaseModel):
    """Settings of the embed stage."""

    model_config = ConfigDict(extra="forbid")

    model: str = Field(
        "embedded",
        description="encoder: embedded, openclip:ARCH/PRETRAINED, cnclip:HF_ID_OR_DIR, siglip:HF_ID_OR_DIR",
    )
    text: bool = Field(True, description="also embed the alt text, where the encoder has a text tower")
    batch_size: int = Field(64, gt=0, description="rows decoded and encoded at once")


class EmbedStage:
    """Map stage; output `embedding`: unit vectors in half precision."""

    def __init__(self, config: Config, ctx: StageContext) -> None:
        self._config = config
        self._encoder = ctx.encoder(config.model)
        self._text = config.text and self._encoder.has_text
        vector = pa.list_(pa.float16(), self._encoder.dim)
        schema = pa.schema(
            [
                field_of("vector", vector, "image embedding, L2-normalized"),
                field_of(
                    "text_vector", vector, "embedding of the alt text, L2-normalized; null without text"
                ),
            ]
        )
        self.spec = StageSpec(
            name="embedding",
            version=VERSION,
            # content_id is read so that the shard follows the bytes even where thumbnails coincide
            reads=("thumbs.thumb", "samples.text", "profile.content_id"),
            outputs={"embedding": schema},
            config=config.model_dump(),
            models={"encoder": ctx.identity(config.model)},
        )

    def setup_node(self) -> None:
        pass

    def setup(self) -> None:
        import cv2

        cv2.setNumThreads(1)
        self._encoder.load()

    def __call__(self, table: pa.Table, monitor: RowMonitor) -> pa.Table:
        images, texts, marks = [], [], []
        for first in range(0, table.num_rows, self._config.batch_size):
            batch = table.slice(first, self._config.batch_size)
            monitor.start(first, first + batch.num_rows - 1)
            vectors, batch_marks = self._encode_thumbs(batch["thumbs.thumb"].to_pylist())
            images += vectors
            marks += batch_marks
            texts += self._encode_texts(batch["samples.text"].to_pylist(), vectors)
        dim = self._encoder.dim
        columns = {"vector": _half_vectors(images, dim), "text_vector": _half_vectors(texts, dim)}
        for key in ("_status", "_error_class", "_error_message"):
            columns[key] = pa.array([m[key] for m in marks], pa.string())
        return pa.table(columns)

    def _encode_thumbs(self, thumbs: list[bytes]) -> tuple[list[np.ndarray | None], list[dict]]:
        from zcurate.curation.profile.decode import decode
        from zcurate.curation.profile.errors import ImageError

        pixels, rows, marks = [], [], []
        for row, thumb in enumerate(thumbs):
            try:
                pixels.append(decode(thumb).rgb)
            except ImageError as e:
                marks.append(error_row(e))
                continue
            rows.append(row)
            marks.append({"_status": OK, "_error_class": None, "_error_message": None})
        vectors: list[np.ndarray | None] = [None] * len(thumbs)
        if pixels:
            for row, vector in zip(rows, self._encoder.encode_images(pixels), strict=True):
                vectors[row] = vector
        return vectors, marks

    def _encode_texts(
        self, texts: list[str | None], images: list[np.ndarray | None]
    ) -> list[np.ndarray | None]:
        vectors: list[np.ndarray | None] = [None] * len(texts)
        rows = [
            i
            for i, (t, image) in enumerate(zip(texts, images, strict=True))
            if image is not None and t and t.strip()
        ]
        if self._text and rows:
            encoded = self._encoder.encode_texts([texts[i] for i in rows])
            for row, vector in zip(rows, encoded, strict=True):
                vectors[row] = vector
        return vectors


def _half_vectors(vectors: list[np.ndarray | None], dim: int) -> pa.FixedSizeListArray:
    """Rows as fixed-size lists of float16; None becomes null."""
    import numpy as np

    missing = np.array([v is None for v in vectors], bool)
    flat = np.zeros((len(vectors), dim), np.float16)
    for row, vector in enumerate(vectors):
        if vector is not None:
            flat[row] = vector
    return pa.FixedSizeListArray.from_arrays(
        pa.array(flat.ravel(), pa.float16()), dim, mask=pa.array(missing)
    )


def build(config: Config, ctx: StageContext) -> EmbedStage:
    """The stage; cheap: the encoder reads its weights in `setup`."""
    return EmbedStage(config, ctx)
