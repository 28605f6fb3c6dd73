"""Reference images to semantic tokens: what such an encoder is, and SigLIP-2."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from torch import Tensor, nn

from .errors import ModelConfigError
from .text_encoders import quiet_transformers


class SemanticEncoder(Protocol):
    """Features of an image [3, height, width] in [-1, 1]: [rows, columns, feat_dim]."""

    feat_dim: int
    module: nn.Module | None

    def encode(self, image: Tensor) -> Tensor: ...


class Siglip2Encoder:
    """Last hidden state of SigLIP-2's vision tower (NaFlex: the grid follows the shape of the image)."""

    def __init__(self, model: nn.Module, processor) -> None:
        self.module, self.processor = model, processor
        self.feat_dim = model.config.hidden_size

    @classmethod
    def load(
        cls, model: Path | str, processor: Path | str, dtype: torch.dtype = torch.float32
    ) -> Siglip2Encoder:
        """From the siglip and siglip_processor folders of a pipeline. Raises ModelConfigError."""
        from transformers import Siglip2ImageProcessor, Siglip2VisionModel

        try:
            with quiet_transformers():
                tower = Siglip2VisionModel.from_pretrained(
                    model, dtype=dtype, use_safetensors=True, local_files_only=True
                )
            processor = Siglip2ImageProcessor.from_pretrained(processor, local_files_only=True)
        except (OSError, ValueError, TypeError, ImportError) as error:
            raise ModelConfigError(f"{model}: not a SigLIP-2 vision model: {error}") from error
        return cls(tower.eval().requires_grad_(False), processor)

    @torch.no_grad()
    def encode(self, image: Tensor) -> Tensor:
        """[rows, columns, feat_dim] of an image [3, height, width] in [-1, 1]."""
        weight = next(self.module.parameters())
        pixels = ((image.float() + 1) * 127.5).round().clamp(0, 255).byte().permute(1, 2, 0).cpu().numpy()
        inputs = self.processor(images=[np.ascontiguousarray(pixels)], return_tensors="pt")
        inputs = inputs.to(weight.device)
        rows, columns = inputs["spatial_shapes"][0].tolist()
        states = self.module(
            pixel_values=inputs["pixel_values"].to(weight.dtype),
            pixel_attention_mask=inputs["pixel_attention_mask"],
            spatial_shapes=inputs["spatial_shapes"],
        ).last_hidden_state
        return states[0, : rows * columns].unflatten(0, (rows, columns))
