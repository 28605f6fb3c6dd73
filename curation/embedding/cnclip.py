"""Chinese-CLIP through transformers: `cnclip:HF_ID_OR_DIR`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .hf_model import HfParts, load_parts, pooled, read_config
from .torch_batches import check_precision, unit_vectors

#: Text length the published models were trained with, in tokens.
_CONTEXT_TOKENS = 52


class ChineseClipEncoder:
    """Chinese-CLIP (Yang et al., arXiv:2211.01335): images, and texts in Chinese.

    Args:
        name: hub id such as `OFA-Sys/chinese-clip-vit-base-patch16`, or a directory in that layout.
        device: `auto`, `cpu`, `cuda`, `cuda:1`.
        precision: `fp32` or `bf16`.
        batch_size: images or texts per forward pass.

    Raises:
        ConfigError: missing or unfitting files.
    """

    has_text = True

    def __init__(
        self, name: str, device: str = "auto", precision: str = "fp32", batch_size: int = 64
    ) -> None:
        self.name = f"cnclip:{name}"
        self._source = name
        self._device_name = device
        self._precision = check_precision(precision)
        self._batch_size = batch_size
        self._parts: HfParts | None = None
        self._dim: int | None = None

    @property
    def dim(self) -> int:
        if self._dim is None:
            self._dim = int(
                read_config(self.name, self._source, ("chinese_clip",)).get("projection_dim", 512)
            )
        return self._dim

    def load(self) -> None:
        if self._parts is None:
            _ = self.dim  # a model of another type is refused before its weights are read
            self._parts = load_parts(
                self.name, self._source, "ChineseCLIPModel", self._device_name, self._precision
            )

    def encode_images(self, images: list[np.ndarray]) -> np.ndarray:
        self.load()
        return unit_vectors(images, self.dim, self._batch_size, self._image_features)

    def encode_texts(self, texts: list[str]) -> np.ndarray:
        self.load()
        return unit_vectors(texts, self.dim, self._batch_size, self._text_features)

    def _image_features(self, images: Sequence[np.ndarray]) -> Any:
        parts = self._parts
        inputs = parts.image_processor(
            images=list(images), return_tensors="pt", input_data_format="channels_last"
        )
        return pooled(parts.model.get_image_features(inputs["pixel_values"].to(parts.device, parts.dtype)))

    def _text_features(self, texts: Sequence[str]) -> Any:
        parts = self._parts
        tokens = parts.tokenizer(
            list(texts), padding=True, truncation=True, max_length=_CONTEXT_TOKENS, return_tensors="pt"
        ).to(parts.device)
        return pooled(parts.model.get_text_features(**tokens))
