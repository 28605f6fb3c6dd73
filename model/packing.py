"""Many samples of any size as one sequence: patches, positions, pads, and who sees whom.

A batch is *packed*: the tokens of its samples stand one behind the other, [tokens, width], with no
padding between samples. `plan` works out once per batch everything that follows from sizes and lengths
alone; the model then reads only its tensors. Two orders exist, as in the released code:

- text-to-image: [image, text]. Text takes frames 1, 2, ...; the image one frame behind the padded text.
- omni (editing): [text segments, images (references, target), SigLIP tokens]. Segment j takes its length
  in frames, image j the next frame, and its SigLIP tokens the one after. Rows and columns of all images
  start at 0. References and the text before them are conditioned as clean (t = 1).

Each modality of a sample is padded to a multiple of 32 with a learned token. Those pads are attended.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from .config import PAD_MULTIPLE, S3DiTConfig
from .errors import SizeError
from .packed import Counts, Layout, Packed, Sample, Size, pack


def patchify(latents: Sequence[Tensor]) -> Tensor:
    """[channels, height, width] latents, of any sizes, as packed tokens [tokens, 4 * channels].

    Tokens run by rows; within one, channels run fastest, then columns.
    """
    tokens = []
    for x in latents:
        channels, height, width = x.shape
        x = x.reshape(channels, height // 2, 2, width // 2, 2).permute(1, 3, 2, 4, 0)
        tokens.append(x.reshape(-1, 4 * channels))
    return torch.cat(tokens)


def unpatchify(tokens: Tensor, sizes: Sequence[Size]) -> list[Tensor]:
    """The inverse of `patchify` for latents of these (height, width)."""
    latents = []
    for x, (height, width) in zip(tokens.split([h * w // 4 for h, w in sizes]), sizes, strict=True):
        x = x.reshape(height // 2, width // 2, 2, 2, -1).permute(4, 0, 2, 1, 3)
        latents.append(x.reshape(-1, height, width))
    return latents


def pack_siglip(features: Sequence[Tensor], config: S3DiTConfig) -> Tensor:
    """SigLIP grids [height, width, width of features] as packed tokens [tokens, width of features].

    Tokens run by rows. With `config.omni_quirks` they are the released code's, which moves channels to
    the front and then reads the memory as tokens: values of different places and channels mix.
    """
    quirks = config.omni_quirks
    return torch.cat([(x.permute(2, 0, 1) if quirks else x).reshape(-1, x.shape[-1]) for x in features])


def check_size(width_px: int, height_px: int, multiple_px: int = 16) -> None:
    """Raise SizeError, with the nearest size that works, unless both sides are positive multiples."""
    if min(width_px, height_px) > 0 and not (width_px % multiple_px or height_px % multiple_px):
        return
    nearest = [max(multiple_px, round(side / multiple_px) * multiple_px) for side in (width_px, height_px)]
    raise SizeError(
        f"size {width_px}*{height_px}: both sides must be multiples of {multiple_px} px; "
        f"nearest: {nearest[0]}*{nearest[1]}"
    )


@dataclass
class _Stream:
    """One modality of the batch while it is laid out."""

    tokens: int = 0  # real ones so far
    index: list[np.ndarray] = field(default_factory=list)  # -1: pad
    positions: list[np.ndarray] = field(default_factory=list)
    clean: list[np.ndarray] = field(default_factory=list)
    lengths: list[int] = field(default_factory=list)

    def start_sample(self) -> None:
        self.lengths.append(0)

    def add(self, positions: np.ndarray, clean: bool, pad_frame: int | None = None, empty: bool = False):
        """Tokens at `positions`, then pads at (0, 0, 0), or in frames from `pad_frame` on."""
        n = 0 if empty else len(positions)
        pads = PAD_MULTIPLE if empty else -n % PAD_MULTIPLE
        at = np.zeros((pads, 3), np.int64)
        if pad_frame is not None:
            at[:, 0] = pad_frame + np.arange(pads)
        self.index += [self.tokens + np.arange(n), np.full(pads, -1)]
        self.positions += [positions[:n], at]
        self.clean.append(np.full(n + pads, clean))
        self.tokens += n
        self.lengths[-1] += n + pads

    def rows(self) -> np.ndarray:
        """Into [tokens, pad]."""
        index = np.concatenate(self.index)
        return np.where(index < 0, self.tokens, index)


def _grid(frame: int, size: Size) -> np.ndarray:
    rows, columns = np.indices(size).reshape(2, -1)
    return np.stack([np.full(rows.size, frame), rows, columns], axis=1)


def _line(frame: int, length: int) -> np.ndarray:
    positions = np.zeros((length, 3), np.int64)
    positions[:, 0] = frame + np.arange(length)
    return positions


def _displaced(positions: list[np.ndarray]) -> np.ndarray:
    """Text positions as the released omni code has them, of alternate tokens and pads of each segment.

    It lists pads twice, the second time at 0, and cuts the end off, so later segments move back.
    """
    twice = [p for i, p in enumerate(positions) for p in ((p, np.zeros_like(p)) if i % 2 else (p,))]
    return np.concatenate(twice)[: sum(map(len, positions))]


def _siglip_grid(frame: int, size: Size, latent: Size, quirks: bool) -> np.ndarray:
    """SigLIP tokens spread over their image: over its latent pixels with quirks, else over its tokens."""
    positions = _grid(frame, size)
    for axis, (count, extent) in enumerate(zip(size, latent, strict=True), start=1):
        extent = extent if quirks else extent // 2
        share = positions[:, axis].astype(np.float32) / np.float32(max(count - 1, 1))
        positions[:, axis] = (share * np.float32(extent - 1)).astype(np.int64)
    return positions


def _check(sample: Sample) -> None:
    for height, width in (sample.size, *sample.references):
        if height < 2 or width < 2 or height % 2 or width % 2:
            nearest = [max(2, round(side / 2) * 2) for side in (width, height)]
            raise SizeError(
                f"latent of {width}x{height} (width x height): both sides must be even and at least 2; "
                f"nearest: {nearest[0]}x{nearest[1]}"
            )
    if not sample.text or min(sample.text) < 1:
        raise SizeError(f"text lengths {sample.text}: every prompt or segment needs at least one token")
    if not sample.omni and (len(sample.text) > 1 or sample.references or sample.siglip):
        raise SizeError("a text-to-image sample has one prompt and no references; set omni=True for more")
    if sample.omni and len(sample.text) < len(sample.references) + 1:
        raise SizeError(
            f"{len(sample.text)} text segments for {len(sample.references)} references: "
            "omni mode needs one before every image, the target included"
        )
    if sample.siglip is not None and len(sample.siglip) != len(sample.references):
        raise SizeError(f"{len(sample.siglip)} SigLIP sizes for {len(sample.references)} references")


def plan(
    samples: Sequence[Sample],
    config: S3DiTConfig,
    device: torch.device | str = "cpu",
) -> Layout:
    """Lay out a batch. Text-to-image and omni samples may be mixed.

    Raises SizeError for odd latent sizes, empty prompts, and positions that the model does not have.
    """
    quirks = config.omni_quirks
    if not samples:
        raise SizeError("a batch needs at least one sample")
    image, text, siglip = streams = _Stream(), _Stream(), _Stream()
    references = sum(h * w // 4 for s in samples for h, w in s.references)
    is_target: list[np.ndarray] = []
    for sample in samples:
        _check(sample)
        for stream in streams:
            stream.start_sample()
        images = (*sample.references, sample.size)
        frames, frame, start = [], 1, len(text.positions)
        for j, length in enumerate(sample.text):
            padded = -(-length // PAD_MULTIPLE) * PAD_MULTIPLE
            text.add(_line(frame, length), j < len(images) - 1, pad_frame=frame + length)
            frame += length if sample.omni and quirks else padded
            frames.append(frame)
            frame += 2
        if sample.omni and quirks:
            text.positions[start:] = [_displaced(text.positions[start:])]
        for j, size in enumerate(images):
            last = j == len(images) - 1
            patches = (size[0] // 2, size[1] // 2)
            image.add(_grid(frames[j], patches), not last)
            is_target.append(np.full(patches[0] * patches[1], last))
            is_target.append(np.zeros(-(patches[0] * patches[1]) % PAD_MULTIPLE, bool))
            if sample.siglip is not None:
                tokens = None if last else sample.siglip[j]
                at = _siglip_grid(frames[j] + 1, tokens or (1, 1), size, quirks)
                siglip.add(at, not last, empty=tokens is None)
    clean = any(s.references for s in samples)

    # Target tokens come first in the image bank, so that a sampler's state is one contiguous tensor.
    target = np.concatenate(is_target)
    image_rows = image.rows()
    reference = (image_rows < image.tokens) & ~target
    count = int(target.sum())
    image_rows[target] = np.arange(count)
    image_rows[reference] = count + np.arange(references)

    starts = [np.concatenate([[0], np.cumsum(s.lengths)]) for s in streams]
    bases = np.cumsum([0, *(s[-1] for s in starts)])[:3]
    order = []
    for i, sample in enumerate(samples):
        for m in (1, 0, 2) if sample.omni else (0, 1):
            order.append(bases[m] + np.arange(starts[m][i], starts[m][i + 1]))
    joint = np.concatenate(order)
    positions = [np.concatenate(s.positions) if s.positions else np.zeros((0, 3), np.int64) for s in streams]
    cleans = [np.concatenate(s.clean) if s.clean else np.zeros(0, bool) for s in streams]
    is_target_joint = np.concatenate([target, np.zeros(len(positions[1]) + len(positions[2]), bool)])[joint]
    lengths = [sum(parts) for parts in zip(*(s.lengths for s in streams), strict=True)]

    def packed(at: np.ndarray, marks: np.ndarray, parts: list[int]) -> Packed:
        return pack(
            torch.from_numpy(at),
            torch.from_numpy(marks) if clean else None,
            parts,
            config,
            torch.device(device),
        )

    def index(rows: np.ndarray, of: int) -> Tensor | None:
        identity = len(rows) == of and bool((rows == np.arange(of)).all())
        return None if identity else torch.from_numpy(rows).to(device)

    whole = packed(np.concatenate(positions)[joint], np.concatenate(cleans)[joint], lengths)
    rows = np.flatnonzero(is_target_joint)
    return Layout(
        image=packed(positions[0], cleans[0], image.lengths),
        text=packed(positions[1], cleans[1], text.lengths),
        siglip=packed(positions[2], cleans[2], siglip.lengths) if sum(siglip.lengths) else None,
        joint=whole,
        image_index=index(image_rows, image.tokens),
        text_index=index(text.rows(), text.tokens),
        siglip_index=index(siglip.rows(), siglip.tokens) if sum(siglip.lengths) else None,
        joint_index=index(joint, len(joint)),
        target_index=torch.from_numpy(rows).to(device),
        target_sample=whole.sample[torch.from_numpy(rows).to(device)],
        samples=tuple(samples),
        tokens=Counts(count, references, text.tokens, siglip.tokens),
    )
