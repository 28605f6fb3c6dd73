"""One sample of an epoch, read and decoded into an example."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from .caption_choice import text_of
from .decoding import decode
from .errors import BadSampleError
from .examples import Example
from .features import latent_variant, text_variant
from .stage import Chosen, Epoch


def load_example(parts: Sequence[Chosen], epoch: Epoch, number: int) -> Example:
    """Sample `number` of an epoch. Safe from several threads.

    Pictures are not read where the part's stored latents hold the target and there are no sources to decode.
    Raises BadSampleError, which names the sample.
    """
    chosen, row = parts[int(epoch.part[number])], int(epoch.row[number])
    sample_id = chosen.part.source.rows.id_of(row)
    try:
        return _load(chosen, row, sample_id, epoch, number)
    except BadSampleError as error:
        raise BadSampleError(f"sample {sample_id}: {error}") from error


def _load(chosen: Chosen, row: int, sample_id: str, epoch: Epoch, number: int) -> Example:
    part = chosen.part
    size = (int(chosen.sizes[row, 0]), int(chosen.sizes[row, 1]))
    source, latents = part.source, None
    record = None
    if part.latents is not None:
        alone = chosen.references is None
        record = source.read(row, pictures=not alone)
        latents = part.latents.get(sample_id, latent_variant(*size, record.content))
        if latents is None and alone:
            record = None
    record = record or source.read(row)
    prompt = _prompt(chosen, record.texts, epoch, number)
    references = ()
    if chosen.references is not None:
        places = [tuple(map(int, r)) for r in chosen.references[row] if r[0] > 0]
        if len(record.references) < len(places):
            raise BadSampleError(f"holds {len(record.references)} sources, not {len(places)}: index it anew")
        references = tuple(decode(data, at) for data, at in zip(record.references, places, strict=False))
    return Example(
        sample_id,
        prompt,
        decode(record.target, size) if latents is None else None,
        latents,
        references,
        int(epoch.text_tokens[number]),
        _features(chosen, sample_id, prompt, bool(references)),
    )


def _prompt(chosen: Chosen, texts: object, epoch: Epoch, number: int) -> str:
    kind = int(epoch.kind[number])
    if kind < 0:
        return ""
    name = chosen.kinds[kind]
    text = text_of(texts.get(name), name, float(epoch.which[number]))  # type: ignore[attr-defined]
    if not text.strip():
        raise BadSampleError(f"has no text {name} any more: index it anew")
    return text


def _features(chosen: Chosen, sample_id: str, prompt: str, edit: bool) -> torch.Tensor | None:
    """Stored features of the very prompt. The texts of an edit are cut where its pictures go, so none are stored."""
    if chosen.part.text_features is None or edit:
        return None
    return chosen.part.text_features.get(sample_id if prompt else "", text_variant(prompt))


def picture_bytes(example: Example) -> int:
    """Memory that an example holds, bytes."""
    arrays: list[np.ndarray] = [*example.references, *([] if example.pixels is None else [example.pixels])]
    tensors = [t for t in (example.latents, example.text_features) if t is not None]
    return sum(a.nbytes for a in arrays) + sum(t.numel() * t.element_size() for t in tensors)
