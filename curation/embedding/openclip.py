"""OpenCLIP models: `openclip:ARCH/PRETRAINED`, or a local directory in OpenCLIP's hub layout."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import ConfigError
from .torch_batches import check_precision, resolve_device, unit_vectors

_WEIGHT_SUFFIXES = (".safetensors", ".bin", ".pt", ".pth")


class OpenClipEncoder:
    """CLIP-like model loaded by open_clip; the text tower is the model's own.

    Args:
        name: one of
            `ARCH/TAG`, e.g. `ViT-B-32/laion2b_s34b_b79k` (downloads, or reads open_clip's cache);
            `ARCH/FILE`, e.g. `ViT-B-32//models/b32.safetensors`, a weight file on disk;
            `DIRECTORY` with `open_clip_config.json` and a weight file;
            `hf-hub:OWNER/NAME`.
        device: `auto`, `cpu`, `cuda`, `cuda:1`.
        precision: `fp32` or `bf16`.
        batch_size: images or texts per forward pass.

    Weights are read from safetensors, or by torch with `weights_only`: nothing in them is executed.

    Raises:
        ConfigError: unknown architecture or tag, missing file or directory, weights that do not fit.
    """

    has_text = True

    def __init__(
        self, name: str, device: str = "auto", precision: str = "fp32", batch_size: int = 64
    ) -> None:
        self.name = f"openclip:{name}"
        self._source = name
        self._device_name = device
        self._precision = check_precision(precision)
        self._batch_size = batch_size
        self._model: Any = None
        self._dim: int | None = None

    @property
    def dim(self) -> int:
        if self._dim is None:
            self._dim = self._embed_dim()
        return self._dim

    def load(self) -> None:
        if self._model is not None:
            return
        import open_clip
        import torch

        architecture, weights = self._locate()
        self._device = resolve_device(self._device_name)
        try:
            model, self._preprocess = open_clip.create_model_from_pretrained(
                architecture,
                pretrained=weights,
                device=self._device,
                precision=self._precision,
                weights_only=True,
            )
            self._tokenizer = open_clip.get_tokenizer(architecture)
        except torch.serialization.pickle.UnpicklingError as e:
            raise ConfigError(f"{self.name}: the weight file holds more than weights; refused") from e
        except (OSError, RuntimeError, ValueError, KeyError) as e:
            raise ConfigError(f"{self.name}: cannot load: {e}") from e
        self._model = model.eval()
        self._dtype = open_clip.get_input_dtype(self._precision) or torch.float32

    def encode_images(self, images: list[np.ndarray]) -> np.ndarray:
        self.load()
        return unit_vectors(images, self.dim, self._batch_size, self._image_features)

    def encode_texts(self, texts: list[str]) -> np.ndarray:
        self.load()
        return unit_vectors(texts, self.dim, self._batch_size, self._text_features)

    def _image_features(self, images: Sequence[np.ndarray]) -> Any:
        import torch
        from PIL import Image

        pixels = torch.stack([self._preprocess(Image.fromarray(i)) for i in images])
        return self._model.encode_image(pixels.to(self._device, self._dtype))

    def _text_features(self, texts: Sequence[str]) -> Any:
        return self._model.encode_text(self._tokenizer(list(texts)).to(self._device))

    def _locate(self) -> tuple[str, str | None]:
        """(open_clip model name, pretrained tag or file)."""
        source = self._source
        if source.startswith("hf-hub:"):
            return source, None
        directory = Path(source).expanduser()
        if (directory / "open_clip_config.json").is_file():
            if not any(f.suffix in _WEIGHT_SUFFIXES for f in directory.iterdir()):
                raise ConfigError(
                    f"{self.name}: no weight file ({', '.join(_WEIGHT_SUFFIXES)}) in the directory"
                )
            return f"local-dir:{directory}", None
        if source.startswith(("/", ".", "~")):
            raise ConfigError(f"{self.name}: no directory with an open_clip_config.json there")
        architecture, _, weights = source.partition("/")
        if not weights:
            raise ConfigError(
                f"{self.name}: write openclip:ARCH/PRETRAINED, e.g. openclip:ViT-B-32/laion2b_s34b_b79k"
            )
        import open_clip

        if architecture not in open_clip.list_models():
            raise ConfigError(f"{self.name}: open_clip has no architecture {architecture!r}")
        if weights.endswith(_WEIGHT_SUFFIXES):
            file = Path(weights).expanduser()
            if not file.is_file():
                raise ConfigError(f"{self.name}: weight file {weights} does not exist")
            return architecture, str(file)
        tags = open_clip.list_pretrained_tags_by_model(architecture)
        if weights not in tags:
            raise ConfigError(
                f"{self.name}: {weights!r} is neither a weight file nor a tag of {architecture}; "
                f"tags: {', '.join(tags) or 'none'}"
            )
        return architecture, weights

    def _embed_dim(self) -> int:
        architecture, _ = self._locate()
        if architecture.startswith("local-dir:"):
            file = Path(architecture.removeprefix("local-dir:")) / "open_clip_config.json"
            try:
                return int(json.loads(file.read_text(encoding="utf-8"))["model_cfg"]["embed_dim"])
            except (ValueError, KeyError, TypeError) as e:
                raise ConfigError(f"{file}: not an open_clip configuration with model_cfg.embed_dim") from e
        if architecture.startswith("hf-hub:"):
            self.load()  # the hub's configuration comes with the model
            return int(self._model.visual.output_dim)
        import open_clip

        return int(open_clip.get_model_config(architecture)["embed_dim"])
