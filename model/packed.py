"""A packed batch as the model reads it: tensors and lengths, made once per batch by `packing.plan`."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from .config import S3DiTConfig
from .errors import SizeError
from .rope import rope_tables

#: Values of the widest intermediate that a block makes at once on a CPU (16 MB in float32). Beyond it,
#: the allocator asks the system for fresh pages on every call, and caches stop helping.
CHUNK_VALUES = 2**22
#: The variable-length kernels take an upper bound of the longest sample; few bounds mean few recompiles.
LONGEST_MULTIPLE = 512

Size = tuple[int, int]


@dataclass(frozen=True)
class Sample:
    """What one sample holds. Sizes are (height, width): of latents in latent pixels, of SigLIP in tokens."""

    size: Size
    #: Tokens of the prompt; in omni mode of each segment, one before every image and one behind the last.
    text: tuple[int, ...]
    references: tuple[Size, ...] = ()
    #: One entry per reference (None: no tokens for it, only pads); the target's slot is added here.
    siglip: tuple[Size | None, ...] | None = None
    omni: bool = False


class Rotation:
    """cos and sin of every token, float32 [tokens, 1, head_dim / 2].

    A plain class on purpose: mixed-precision wrappers cast every floating tensor that they find in the
    tuples, lists and dataclasses among a module's inputs, and positions do not survive bfloat16.
    """

    def __init__(self, cos: Tensor, sin: Tensor) -> None:
        self.cos, self.sin = cos, sin


@dataclass(frozen=True, eq=False)
class Packed:
    """Tokens of several samples, one sample behind the other."""

    rotation: Rotation
    lengths: tuple[int, ...]
    cu_seqlens: Tensor  # int32 [samples + 1]
    sample: Tensor  # int64 [tokens]
    clean: Tensor | None  # bool [tokens]: conditioned as t = 1
    batch: int
    equal: bool
    longest: int
    chunks: tuple[Chunk, ...] = ()

    def rows(self, count: int) -> Tensor | None:
        """Which of `count` modulations each token takes; None: all take the only one.

        The modulations are one that all samples share or one per sample, and behind them, where some
        tokens are clean, that of t = 1.
        """
        times = count - (self.clean is not None)
        if times not in (1, self.batch):
            raise SizeError(f"{times} times for {self.batch} samples: give one, or one per sample")
        if self.clean is None:
            return None if times == 1 else self.sample
        return torch.where(self.clean, times, 0 if times == 1 else self.sample)


@dataclass(frozen=True, eq=False)
class Chunk:
    """Whole samples of a sequence that a CPU takes through a block together."""

    start: int
    stop: int
    first_sample: int
    packed: Packed


@dataclass(frozen=True)
class Counts:
    """Tokens of a batch without pads."""

    target: int
    references: int
    text: int
    siglip: int


@dataclass(frozen=True, eq=False)
class Layout:
    """Everything about a batch that does not depend on its pixels, prompts or times. From `plan`.

    An index builds one sequence out of others by rows; None where it would be the identity.
    """

    image: Packed
    text: Packed
    siglip: Packed | None
    joint: Packed
    image_index: Tensor | None  # into [target tokens, reference tokens, pad]
    text_index: Tensor | None  # into [text tokens, pad]
    siglip_index: Tensor | None  # into [SigLIP tokens, pad]
    joint_index: Tensor | None  # into [image, text, siglip]
    target_index: Tensor  # int64 [target tokens]: their rows of the joint sequence
    target_sample: Tensor  # int64 [target tokens]
    samples: tuple[Sample, ...]
    tokens: Counts

    @property
    def sizes(self) -> list[Size]:
        """Latent (height, width) of each sample's target."""
        return [s.size for s in self.samples]

    @property
    def has_clean(self) -> bool:
        return self.joint.clean is not None


def pack(
    positions: Tensor, clean: Tensor | None, lengths: list[int], config: S3DiTConfig, device: torch.device
) -> Packed:
    """Samples of these lengths, from int64 positions [tokens, 3] and bool [tokens], both on the CPU."""
    cos, sin = (table[:, None] for table in rope_tables(positions, config))
    limit = max(CHUNK_VALUES // (2 * config.ffn_dim), 1)
    chunks = _chunks(cos, sin, clean, lengths, limit) if device.type == "cpu" else ()
    return _packed(cos, sin, clean, lengths, chunks, device)


def _packed(cos, sin, clean, lengths, chunks, device) -> Packed:
    counts = torch.tensor(lengths)
    return Packed(
        rotation=Rotation(cos.to(device), sin.to(device)),
        lengths=tuple(lengths),
        cu_seqlens=torch.cat([torch.zeros(1, dtype=torch.int64), counts.cumsum(0)]).int().to(device),
        sample=torch.arange(len(lengths)).repeat_interleave(counts).to(device),
        clean=None if clean is None else clean.to(device),
        batch=len(lengths),
        equal=len(set(lengths)) == 1,
        longest=-(-max(lengths) // LONGEST_MULTIPLE) * LONGEST_MULTIPLE,
        chunks=chunks,
    )


def _chunks(cos, sin, clean, lengths: list[int], limit: int) -> tuple[Chunk, ...]:
    """Runs of samples of at most `limit` tokens together, or one longer sample. () when one run holds all."""
    runs: list[list[int]] = [[]]
    for length in lengths:
        if runs[-1] and sum(runs[-1]) + length > limit:
            runs.append([])
        runs[-1].append(length)
    if len(runs) == 1:
        return ()
    chunks, start, first = [], 0, 0
    for run in runs:
        stop = start + sum(run)
        part = slice(start, stop)
        marks = None if clean is None else clean[part]
        packed = _packed(cos[part], sin[part], marks, run, (), cos.device)
        chunks.append(Chunk(start, stop, first, packed))
        start, first = stop, first + len(run)
    return tuple(chunks)
