"""What a scoring head is."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

import numpy as np

from .errors import HeadError

Kind = Literal["regression", "logistic"]

#: Layouts published by LAION, without metadata: heads on L2-normalized embeddings of OpenAI's CLIP.
LAION_LAYOUTS = ("laion-mlp", "laion-linear")


@dataclass(frozen=True)
class HeadInfo:
    """What a head file says of itself.

    Attributes:
        dim: length of the embeddings it takes.
        kind: `regression` (a value in `range`) or `logistic` (a probability).
        range: smallest and largest score; predictions are clipped to it.
        encoder: identity of the encoder it was trained with; None where the file does not say.
        layout: `zcurate`, `laion-mlp` or `laion-linear`.
    """

    dim: int
    kind: Kind
    range: tuple[float, float]
    encoder: str | None
    layout: str


class Head(Protocol):
    """Unit vectors of one encoder to one number each. Cheap to construct; reads its file on first use."""

    name: str

    @property
    def info(self) -> HeadInfo: ...

    def load(self) -> None: ...

    def score(self, vectors: np.ndarray) -> np.ndarray:
        """float [n, dim] L2-normalized embeddings to float32 [n]; raises VectorError unless all finite."""


def check_fit(head: Head, encoder: str, identity: str, dim: int) -> None:
    """Refuse a head on embeddings it was not made for.

    A file that names its encoder must name this one. LAION's files name none: they are refused where
    the model string shows another encoder than OpenAI's CLIP, and otherwise go by their dimension.

    Args:
        encoder: model string of the recipe's encoder, e.g. `openclip:ViT-L-14/openai`.
        identity: what it stands for, as training recorded it.
        dim: length of its vectors.

    Raises:
        HeadError: says what the head needs and what the recipe has.
    """
    info = head.info
    if info.dim != dim:
        raise HeadError(
            f"{head.name} takes embeddings of {info.dim} numbers, but {encoder} gives {dim}: "
            "set embed.model to the encoder the head was trained with"
        )
    if info.encoder is not None and info.encoder != identity:
        raise HeadError(
            f"{head.name} was trained with {info.encoder}, but embed.model is {encoder} ({identity}): "
            "train a head for this encoder with 'zcurate train-head'"
        )
    if info.layout in LAION_LAYOUTS and not _may_be_openai_clip(encoder):
        raise HeadError(
            f"{head.name} has the layout of LAION's predictors, which read OpenAI's CLIP, but embed.model is "
            f"{encoder}: use e.g. openclip:ViT-L-14/openai, or train a head with 'zcurate train-head'"
        )


def _may_be_openai_clip(encoder: str) -> bool:
    prefix, _, source = encoder.partition(":")
    if prefix != "openclip":
        return False
    if source.startswith("hf-hub:"):
        return source.startswith("hf-hub:openai/")
    tag = re.fullmatch(r"[\w.-]+/([\w.-]+)", source)
    return tag is None or tag.group(1) == "openai" or Path(source).is_dir()
