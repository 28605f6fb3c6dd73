"""Length and cost of a sample, known before anything is decoded: tokens of its pictures and of its text."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..config import PAD_MULTIPLE, S3DiTConfig
from ..tiny_encoders import TOKEN

#: Token counts of texts, int [n]. Names go into the key of a cached index.
TextLengths = Callable[[Sequence[str]], np.ndarray]
#: Longest prompt that the released text encoder is given.
MAX_TEXT_TOKENS = 512
#: Tokens that the chat template puts around a prompt.
_TEMPLATE_TOKENS = 8
#: What a byte-pair vocabulary of 150 000 makes one token of, or less: up to 8 letters of a word, one Chinese character or
#: kana, one digit, any other visible character.
_PIECE = re.compile(r"[^\W\d_\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]{1,8}|\S")


def byte_lengths(texts: Sequence[str]) -> np.ndarray:
    """Exact, of `ByteTextEncoder`: its tokens and the start token."""
    return np.array([1 + len(TOKEN.findall(t)) for t in texts], np.int64)


def estimated_lengths(texts: Sequence[str]) -> np.ndarray:
    """A bound that byte-pair encoders of 150 000 entries keep to for usual English and Chinese: one token per word of
    up to 8 letters, per ideograph, per digit and per mark, and those of the chat template; cut at 512."""
    counts = [len(_PIECE.findall(t)) + _TEMPLATE_TOKENS for t in texts]
    return np.minimum(np.array(counts, np.int64), MAX_TEXT_TOKENS)


def tokenizer_lengths(tokenizer: Any) -> TextLengths:
    """Exact, of `Qwen3TextEncoder` with this tokenizer, its chat template included; about a tenth as fast as the bound."""
    mark = "\0"
    message = [{"role": "user", "content": mark}]
    template = tokenizer.apply_chat_template(
        message, tokenize=False, add_generation_prompt=True, enable_thinking=True
    )

    def lengths(texts: Sequence[str]) -> np.ndarray:
        tokens = tokenizer([template.replace(mark, t) for t in texts])["input_ids"] if len(texts) else []
        return np.minimum(np.array([len(t) for t in tokens], np.int64), MAX_TEXT_TOKENS)

    backend = tokenizer.backend_tokenizer.to_str()
    lengths.__name__ = f"tokenizer-{hashlib.sha256((template + backend).encode()).hexdigest()[:16]}"
    return lengths


#: By name, for recipes. Another tokenizer can be given as a function with a `__name__`.
TEXT_LENGTHS: dict[str, TextLengths] = {"byte": byte_lengths, "estimate": estimated_lengths}


def padded(tokens: np.ndarray) -> np.ndarray:
    """Rounded up to a multiple of 32, as the model pads each modality."""
    return -(-np.asarray(tokens, np.int64) // PAD_MULTIPLE) * PAD_MULTIPLE


def sequence_lengths(
    sizes_px: np.ndarray,
    text_tokens: np.ndarray,
    reference_sizes_px: np.ndarray | None = None,
    semantic_tokens: int = 0,
    token_px: int = 16,
) -> np.ndarray:
    """Tokens of each sample's whole sequence as the model sees it, pads of modalities included.

    Args:
        sizes_px: int [n, 2] of the targets.
        text_tokens: int [n] of the prompts, at least 1.
        reference_sizes_px: int [n, k, 2] of the sources of edits; 0 where there is none.
        semantic_tokens: per reference, of the semantic encoder (SigLIP), where the model has one.
        token_px: side of the square of a picture that one token stands for.

    Returns:
        int64 [n].
    """

    def image_tokens(sizes: np.ndarray) -> np.ndarray:
        return padded(np.prod(np.asarray(sizes, np.int64), axis=-1) // token_px**2)

    total = image_tokens(sizes_px) + padded(np.maximum(text_tokens, 1))
    if reference_sizes_px is None:
        return total
    count = (np.asarray(reference_sizes_px)[..., 0] > 0).sum(axis=1)
    # Of an edit with k references the text comes in k + 2 segments: beside the prompt short ones, of one pad each.
    # Each picture has semantic tokens or pads in their place; the target's slot has only pads.
    extra = (count + 1) * PAD_MULTIPLE
    if semantic_tokens:
        extra = extra + count * padded(np.array(semantic_tokens)) + PAD_MULTIPLE
    return total + image_tokens(reference_sizes_px).sum(axis=1) + np.where(count > 0, extra, 0)


@dataclass(frozen=True)
class CostModel:
    """Cost of a sample of S tokens: per_token * S + per_pair * S * S. The unit is one forward pass's FLOPs."""

    per_token: float = 1.0
    per_pair: float = 0.0

    @classmethod
    def of(cls, config: S3DiTConfig) -> CostModel:
        """From the sizes of a model: 2 FLOPs per weight and token of the main blocks (4 d^2 of attention, 3 d f of the
        feed-forward), and 4 d per pair of tokens and block. At 1024 x 1024 of the full model pairs are 15 %."""
        weights = 4 * config.dim**2 + 3 * config.dim * config.ffn_dim
        return cls(2.0 * config.n_layers * weights, 4.0 * config.n_layers * config.dim)

    def of_sample(self, lengths: np.ndarray) -> np.ndarray:
        """float64 of int lengths."""
        tokens = np.asarray(lengths, np.float64)
        return tokens * (self.per_token + self.per_pair * tokens)
