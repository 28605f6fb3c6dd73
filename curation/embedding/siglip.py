"""SigLIP and SigLIP 2 through transformers: `siglip:HF_ID_OR_DIR`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .hf_model import HfParts, load_parts, pooled, read_config
from .torch_batches import check_precision, unit_vectors

_MODEL_CLASSES = {"siglip": "SiglipModel", "siglip2": "Siglip2Model"}


class SiglipEncoder:
    """SigLIP (Zhai et al., arXiv:2303.15343) and SigLIP 2 (arXiv:2502.14786).

    SigLIP 2 models of fixed resolution are of type `siglip`; those of type `siglip2` (NaFlex) keep the
    aspect ratio. Texts are padded to the length of the text tower, as in training.

    Args:
        name: hub id such as `google/siglip2-base-patch16-224`, or a directory in that layout.
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
        self.name = f"siglip:{name}"
        self._source = name
        self._device_name = device
        self._precision = check_precision(precision)
        self._batch_size = batch_size
        self._parts: HfParts | None = None
        self._settings: dict[str, Any] | None = None

    @property
    def dim(self) -> int:
        # configurations leave out values equal to the class's default, which is 768 for both towers
        return int(self._config().get("vision_config", {}).get("hidden_size", 768))

    def load(self) -> None:
        if self._parts is None:
            model_class = _MODEL_CLASSES[self._config()["model_type"]]
            self._parts = load_parts(self.name, self._source, model_class, self._device_name, self._precision)

    def encode_images(self, images: list[np.ndarray]) -> np.ndarray:
        self.load()
        return unit_vectors(images, self.dim, self._batch_size, self._image_features)

    def encode_texts(self, texts: list[str]) -> np.ndarray:
        self.load()
        return unit_vectors(texts, self.dim, self._batch_size, self._text_features)

    def _config(self) -> dict[str, Any]:
        if self._settings is None:
            self._settings = read_config(self.name, self._source, tuple(_MODEL_CLASSES))
        return self._settings

    def _image_features(self, images: Sequence[np.ndarray]) -> Any:
        parts = self._parts
        inputs = parts.image_processor(
            images=list(images), return_tensors="pt", input_data_format="channels_last"
        )
        inputs = inputs.to(parts.device)
        inputs["pixel_values"] = inputs["pixel_values"].to(parts.dtype)
        return pooled(parts.model.get_image_features(**inputs))

    def _text_features(self, texts: Sequence[str]) -> Any:
        parts = self._parts
        length = parts.model.config.text_config.max_position_embeddings
        tokens = parts.tokenizer(
            list(texts), padding="max_length", truncation=True, max_length=length, return_tensors="pt"
        )
        # no attention mask: the models were trained attending to their padding
        return pooled(parts.model.get_text_features(input_ids=tokens["input_ids"].to(parts.device)))
