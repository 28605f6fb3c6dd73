"""Elements of prompts as vectors: by the encoder's text tower, or by their words where it has none."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from typing import Protocol

import numpy as np
import xxhash

from ...embedding.encoder import Encoder

#: Kinds of elements, in the order of the one-hot part of a claim's vector; any other is the last.
KINDS = ("subject", "attribute", "count", "text", "action", "spatial", "style", "other")
#: Raised when `worded` words claims in another way: what was trained on one wording is not asked in another.
WORDING = 2
#: Length of the part that stands for words, where the encoder embeds no texts.
WORD_DIM = 256

_WORD = re.compile(r"[\u3400-\u9fff]|[^\W_]+")


class Claim(Protocol):
    """An element of a prompt, as the captioner takes it apart."""

    id: str
    kind: str
    name: str
    text: str
    parents: tuple[str, ...]
    negated: bool


def worded(claim: Claim, claims: Sequence[Claim]) -> str:
    """A claim in words that stand by themselves, the same in training and in use: `red car` and not `red`.

    A relation stands between what it relates: `cat on chair`. What must be absent is worded as if it were there: the
    network tells whether the picture shows it, and whoever asks turns that around.

    Args:
        claims: of the whole prompt, those it depends on among them.
    """
    names = {c.id: c.name for c in claims}
    of = [names[p] for p in claim.parents if p in names]
    said = claim.name.replace("_", " ")
    return " ".join([of[0], said, *of[1:]] if len(of) > 1 else [said, *of])


def claim_dim(encoder: Encoder) -> int:
    return len(KINDS) + (encoder.dim if encoder.has_text else WORD_DIM)


def claim_vectors(kinds: Sequence[str], texts: Sequence[str], encoder: Encoder) -> np.ndarray:
    """float32 [n, claim_dim]: one-hot kind, then the text.

    Args:
        kinds, texts: of each element. A text says all that is needed, e.g. `red car` and not `red`.
    """
    if not len(texts):
        return np.zeros((0, claim_dim(encoder)), np.float32)
    one_hot = np.zeros((len(texts), len(KINDS)), np.float32)
    one_hot[np.arange(len(texts)), [KINDS.index(k) if k in KINDS else len(KINDS) - 1 for k in kinds]] = 1
    unique = list(dict.fromkeys(texts))
    vectors = (
        encoder.encode_texts(unique) if encoder.has_text else np.stack([hashed_words(t) for t in unique])
    )
    at = {t: i for i, t in enumerate(unique)}
    return np.hstack([one_hot, np.asarray(vectors, np.float32)[[at[t] for t in texts]]])


def hashed_words(text: str) -> np.ndarray:
    """float32 [WORD_DIM], length 1 (0 for no words): signed feature hashing of words and of Chinese characters.

    Source: K. Weinberger et al., "Feature hashing for large scale multitask learning", ICML 2009.
    """
    out = np.zeros(WORD_DIM, np.float32)
    for word in _WORD.findall(unicodedata.normalize("NFKC", text).casefold()):
        digest = xxhash.xxh3_64_intdigest(word.encode())
        out[digest % WORD_DIM] += 1.0 if digest >> 63 else -1.0
    norm = float(np.linalg.norm(out))
    return out / norm if norm else out
