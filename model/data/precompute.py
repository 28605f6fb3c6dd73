"""Writing latents and text features of a part before training, for stages that see the same sizes and texts many times."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
import xxhash
from torch import Tensor

from .caption_choice import text_of
from .decoding import decode
from .errors import BadSampleError
from .features import FeatureWriter, fingerprint, latent_variant, text_variant
from .rows import Record
from .stage import Part, choose

#: Samples that are read and decoded while one is encoded.
_AHEAD = 16


class PictureEncoder(Protocol):
    def encode(self, image: Tensor) -> Tensor: ...


class PromptEncoder(Protocol):
    def encode(self, prompt: str, references: int = 0) -> tuple[Tensor, ...]: ...


@dataclass(frozen=True)
class Precomputed:
    """written: values in the group. bad: samples that could not be read. first: why not the first of them."""

    written: int
    bad: int
    first: str = ""


def encoder_fingerprint(encoder: Any) -> str:
    """What tells encoders apart whose outputs differ: class, configuration, tokenizer with its template, and weights.

    Of an autoencoder or text encoder of a loaded pipeline, with or without `PromptCache`. Two precisions of the same
    weights are two encoders. Raises TypeError for an encoder that shows none of these.
    """
    encoder = getattr(encoder, "encoder", encoder) if hasattr(encoder, "entries") else encoder
    module = encoder.module
    config = getattr(encoder, "config", None) or getattr(module, "config", None)
    tokenizer = getattr(encoder, "tokenizer", None)
    facts: dict[str, Any] = {
        "class": type(encoder).__name__,
        "config": config.to_json_string() if hasattr(config, "to_json_string") else repr(config),
        "tile_px": getattr(encoder, "tile_px", None),
    }
    if tokenizer is not None:
        backend = getattr(tokenizer, "backend_tokenizer", None)
        facts["template"] = repr(tokenizer.chat_template)
        facts["tokenizer"] = backend.to_str() if backend is not None else repr(tokenizer)
    tensors = dict(module.state_dict()) if module is not None else {}
    if getattr(encoder, "table", None) is not None:
        tensors["table"] = encoder.table
    if not tensors and config is None and not hasattr(encoder, "KIND"):
        raise TypeError(f"{type(encoder).__name__} has neither weights nor a configuration to tell it by")
    digest = xxhash.xxh3_128()
    for name in sorted(tensors):
        tensor = tensors[name].detach().cpu().contiguous()
        digest.update(f"{name}\0{tensor.dtype}\0{tuple(tensor.shape)}\0".encode())
        if tensor.numel():
            digest.update(tensor.reshape(-1).view(torch.uint8).numpy())
    return fingerprint({**facts, "weights": digest.hexdigest()})


def write_latents(
    part: Part,
    vae: PictureEncoder,
    folder: str | Path,
    dtype: str = "bfloat16",
    threads: int = 2,
    device: str = "cpu",
) -> Precomputed:
    """Latents of all targets that a stage draws from the part, at the sizes it trains them at.

    Raises PlanError where the part leaves nothing, DataError for a folder that is in use.
    """
    chosen = choose(part)
    bad: list[str] = []

    def load(row: int) -> tuple[Record, np.ndarray] | BadSampleError:
        try:
            record = part.source.read(row)
            width, height = map(int, chosen.sizes[row])
            return record, decode(record.target, (width, height))
        except BadSampleError as error:
            return error

    written = 0
    with FeatureWriter(folder, "latents", encoder_fingerprint(vae), dtype) as writer:
        for row, found in _ahead(load, np.unique(chosen.rows).tolist(), threads):
            if isinstance(found, BadSampleError):
                bad.append(str(found))
                continue
            record, pixels = found
            image = torch.from_numpy(pixels).permute(2, 0, 1).float() / 127.5 - 1
            variant = latent_variant(pixels.shape[1], pixels.shape[0], record.content)
            writer.add(part.source.rows.id_of(row), variant, vae.encode(image.to(device)))
            written += 1
    return Precomputed(written, len(bad), bad[0] if bad else "")


def write_text_features(
    part: Part, text_encoder: PromptEncoder, folder: str | Path, dtype: str = "bfloat16", threads: int = 2
) -> Precomputed:
    """Features of every text that the part's mix may draw, and of the empty one. Edits have none: their texts are cut
    where their pictures go.

    Raises PlanError where the part leaves nothing, DataError for a folder that is in use.
    """
    chosen = choose(part)
    bad: list[str] = []

    def load(row: int) -> Record | BadSampleError:
        try:
            return part.source.read(row, pictures=False)
        except BadSampleError as error:
            return error

    written = 1
    with FeatureWriter(folder, "text", encoder_fingerprint(text_encoder), dtype) as writer:
        writer.add("", text_variant(""), text_encoder.encode("")[0])
        for row, record in _ahead(load, np.unique(chosen.rows).tolist(), threads):
            if isinstance(record, BadSampleError):
                bad.append(str(record))
                continue
            sample_id = part.source.rows.id_of(row)
            kinds = [k for i, k in enumerate(chosen.kinds) if chosen.has[row, i]]
            texts = [t for k in kinds for t in _texts(record.texts.get(k), k)]
            for text in dict.fromkeys(texts):
                writer.add(sample_id, text_variant(text), text_encoder.encode(text)[0])
                written += 1
    return Precomputed(written, len(bad), bad[0] if bad else "")


def _texts(value: Any, kind: str) -> list[str]:
    """Every text that `text_of` may give."""
    if isinstance(value, list) and kind.endswith("prompts"):
        return [v for v in value if isinstance(v, str) and v.strip()]
    text = text_of(value, kind, 0.0)
    return [text] if text.strip() else []


def _ahead(load: Any, rows: Sequence[int], threads: int) -> Iterator[tuple[int, Any]]:
    with ThreadPoolExecutor(threads) as pool:
        for start in range(0, len(rows), _AHEAD * threads):
            some = rows[start : start + _AHEAD * threads]
            yield from zip(some, pool.map(load, some), strict=True)
