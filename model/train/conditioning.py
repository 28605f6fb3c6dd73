"""Examples to what the model takes: frozen encoders, a copy on every rank."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from ..data.examples import Example
from ..guidance import Condition
from ..pipeline_folder import Pipeline


class Encoders:
    """Text encoder, autoencoder and, where the model takes its tokens, semantic encoder of a pipeline."""

    def __init__(self, pipeline: Pipeline, device: torch.device | str = "cpu") -> None:
        self.text, self.vae, self.semantic = pipeline.text_encoder, pipeline.vae, pipeline.semantic
        for part in (self.text, self.vae, self.semantic):
            if part is not None and part.module is not None:
                part.module.to(device)

    @torch.no_grad()
    def __call__(self, examples: Sequence[Example]) -> tuple[list[Condition], list[Tensor]]:
        """Conditions, and target latents float32 [channels, height, width].

        Raises ValueError, with the example's id, where it has neither pixels nor latents.
        """
        conditions, targets = [], []
        for example in examples:
            if example.latents is None and example.pixels is None:
                raise ValueError(f"example {example.id} has neither pixels nor latents")
            target = self._latent(example.pixels) if example.latents is None else example.latents.float()
            references = [image_tensor(picture) for picture in example.references]
            stored = getattr(example, "text_features", None)
            text = (
                self.text.encode(example.prompt, len(references))
                if stored is None or references
                else (stored.float(),)
            )
            conditions.append(
                Condition(
                    size=(target.shape[1], target.shape[2]),
                    text=text,
                    references=tuple(self.vae.encode(x) for x in references),
                    siglip=tuple(self.semantic.encode(x) for x in references)
                    if self.semantic is not None and references
                    else None,
                )
            )
            targets.append(target)
        return conditions, targets

    def _latent(self, pixels: np.ndarray) -> Tensor:
        return self.vae.encode(image_tensor(pixels)).float()


def image_tensor(pixels: np.ndarray) -> Tensor:
    """uint8 [height, width, 3] as float32 [3, height, width] in [-1, 1]."""
    return torch.from_numpy(np.require(pixels, requirements=["C", "W"])).permute(2, 0, 1).float() / 127.5 - 1
