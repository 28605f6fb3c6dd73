"""What one training stage draws from, and what comes in one of its epochs."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field

import numpy as np

from .caption_choice import ALT_TEXT, CHOSEN, DROPPED, NONE, CaptionMix, draw_kinds, pick
from .drawing_numbers import copies
from .errors import PlanError
from .features import FeatureStore
from .lengths import sequence_lengths
from .resolution import Resolution, map_sizes
from .rows import Source
from .stage_lists import StageList, find_rows

_COPIES_SALT = 4


@dataclass(frozen=True, eq=False)
class Part:
    """One source of a stage.

    Attributes:
        share: of the samples of an epoch, relative to the other parts' (T2I 4, I2I 1). The first part comes once
            per epoch (by its list or weights), the others as often as their share asks for. None for all: each comes once.
        weighted: draw by the weights stored with the samples.
        only: the samples to draw from. Kinds of text that it names come before the mix.
        include_placeholders: train on captions that no model wrote too; else they count as missing.
        keep_untexted: train samples that have no text of the mix, without a condition; else they are left out.
        references: sizes of the sources of edits; by default those of the targets.
        latents, text_features: computed before; samples that they lack are decoded.
    """

    source: Source
    resolution: Resolution
    captions: CaptionMix = field(default_factory=CaptionMix)
    share: float | None = None
    weighted: bool = False
    only: StageList | None = None
    include_placeholders: bool = False
    keep_untexted: bool = False
    references: Resolution | None = None
    latents: FeatureStore | None = None
    text_features: FeatureStore | None = None


@dataclass(frozen=True, eq=False)
class Chosen:
    """The rows of a part that a stage draws from. Left out: those without a size or text, or too small, or not listed."""

    part: Part
    rows: np.ndarray  # int64 [m]; a row listed twice is here twice
    weight: np.ndarray  # float64 [m]
    sizes: np.ndarray  # int32 [n, 2] of all rows of the source
    references: np.ndarray | None  # int32 [n, 4, 2]
    kinds: tuple[str, ...]  # those of the mix, then what a list names besides
    fixed: np.ndarray  # int64 [m]: kind that a list asks for, into `kinds`; NONE
    has: np.ndarray  # bool [n, kinds]
    tokens: np.ndarray  # uint16 [n, kinds]
    unlisted: int  # listed ids that the source does not hold
    unsized: int  # rows that no size fits
    untexted: int  # rows left out for want of a text


@dataclass(frozen=True, eq=False)
class Epoch:
    """The samples of an epoch, before they are laid out. All int arrays [n]; `lengths` are tokens of the sequences.

    `kind` is an index into the part's `Chosen.kinds`, DROPPED or NONE; `which` in [0, 1) picks one of several simulated prompts.
    """

    part: np.ndarray
    row: np.ndarray
    kind: np.ndarray
    which: np.ndarray
    text_tokens: np.ndarray
    lengths: np.ndarray
    blocks: np.ndarray | None


def choose(part: Part) -> Chosen:
    """Raises PlanError where nothing is left to draw from."""
    rows, mix = part.source.rows, part.captions
    sizes = map_sizes(rows.sizes_px[:, 0], rows.sizes_px[:, 1], part.resolution)
    usable = sizes[:, 0] > 0
    references = None
    if rows.references_px is not None:
        shape = rows.references_px.shape
        flat = rows.references_px.reshape(-1, 2)
        references = map_sizes(flat[:, 0], flat[:, 1], part.references or part.resolution).reshape(shape)
        usable &= ((references[..., 0] > 0) == (rows.references_px[..., 0] > 0)).all(axis=1)
    listed_kinds = set(part.only.kind or ()) - {None} if part.only is not None else set()
    kinds = (*mix.kinds, *sorted(listed_kinds - set(mix.kinds)))
    tokens = rows.tokens_of(kinds)
    has = tokens > 0
    if not part.include_placeholders:
        for k, kind in enumerate(kinds):
            if kind != ALT_TEXT:
                has[:, k] &= ~rows.placeholder | (rows.alt_chosen if kind == CHOSEN else False)
    texted = has.any(axis=1) | part.keep_untexted | (mix.dropout == 1)
    index, unlisted = np.arange(len(rows)), 0
    fixed = np.full(len(rows), NONE)
    weight = rows.weight if part.weighted else np.ones(len(rows))
    if part.only is not None:
        found = find_rows(part.only.ids, rows.ids)
        listed = found >= 0
        index, unlisted = found[listed], int((~listed).sum())
        weight = weight[index] * (1.0 if part.only.weight is None else part.only.weight[listed])
        fixed = np.full(len(index), NONE)
        if part.only.kind is not None:
            place = {k: i for i, k in enumerate(kinds)}
            fixed = np.array([place.get(k, NONE) for k in part.only.kind], np.int64)[listed]
    keep = usable[index] & texted[index] & (weight > 0)
    if not keep.any():
        raise PlanError(
            f"{part.source.name}: none of {len(rows)} samples is left: {unlisted} listed ids are not in it, "
            f"{int((~usable).sum())} samples are smaller than the resolution allows or have no known size, "
            f"{int((~texted).sum())} have none of the texts {', '.join(kinds)}"
            f"{'' if part.include_placeholders else ' that a model or a person wrote'}"
        )
    return Chosen(
        part,
        index[keep],
        weight[keep],
        sizes,
        references,
        kinds,
        fixed[keep],
        has,
        tokens,
        unlisted,
        unsized=int((~usable[index]).sum()),
        untexted=int((usable & ~texted)[index].sum()),
    )


def draw_epoch(
    parts: Sequence[Chosen], seed: int, epoch: int, semantic_tokens: int = 0, token_px: int = 16
) -> Epoch:
    """The samples of an epoch: the same on every rank. semantic_tokens, token_px: see `sequence_lengths`."""
    columns: list[list[np.ndarray]] = [[] for _ in range(6)]
    blocks, base = [], 0
    for number, (chosen, total) in enumerate(zip(parts, _totals(parts), strict=True)):
        times = copies(chosen.weight, total, seed, epoch, _COPIES_SALT + number)
        at = np.repeat(np.arange(len(times)), times)
        turns = np.arange(len(at)) - np.repeat(np.cumsum(times) - times, times)
        row = chosen.rows[at]
        rows = chosen.part.source.rows
        # A row that is listed twice draws twice.
        listed_before = _earlier(chosen.rows)[at]
        turns = turns + listed_before * (int(times.max(initial=1)) + 1)
        ids = rows.ids[row]
        mix = chosen.part.captions
        kind = draw_kinds(mix, chosen.has[row][:, : len(mix.kinds)], ids, seed, epoch, turns)
        asked = chosen.fixed[at]
        use = (asked >= 0) & (kind != DROPPED)
        use[use] &= chosen.has[row[use], asked[use]]
        kind = np.where(use, asked, kind)
        text = np.where(kind >= 0, chosen.tokens[row, np.maximum(kind, 0)].astype(np.int64), 1)
        references = None if chosen.references is None else chosen.references[row]
        lengths = sequence_lengths(chosen.sizes[row], text, references, semantic_tokens, token_px)
        which = pick(ids, seed, epoch, turns)
        for column, values in zip(
            columns, (np.full(len(row), number), row, kind, which, text, lengths), strict=True
        ):
            column.append(values)
        blocks.append(base + rows.block[row])
        base += int(rows.block.max(initial=0)) + 1
    joined = [np.concatenate(c) for c in columns]
    in_blocks = any(len(np.unique(c.part.source.rows.block)) < len(c.part.source.rows) for c in parts)
    return Epoch(*joined, np.concatenate(blocks) if in_blocks else None)


def _earlier(rows: np.ndarray) -> np.ndarray:
    """int64 [n]: how often each value occurred before."""
    order = np.argsort(rows, kind="stable")
    ordered = rows[order]
    first = np.concatenate([[True], ordered[1:] != ordered[:-1]])
    run = np.maximum.accumulate(np.where(first, np.arange(len(rows)), 0))
    result = np.empty(len(rows), np.int64)
    result[order] = np.arange(len(rows)) - run
    return result


def _totals(parts: Sequence[Chosen]) -> list[int]:
    shares = [c.part.share for c in parts]
    sizes = [len(c.rows) for c in parts]
    if all(s is None for s in shares):
        return sizes
    if any(s is None or not 0 < s < float("inf") for s in shares):
        raise PlanError(f"shares {shares}: give every part a share above 0, or none any")
    return [max(1, round(sizes[0] * s / shares[0])) for s in shares]  # type: ignore[operator]


def key_of(parts: Sequence[Part], settings: object) -> str:
    """Tells cursors of other data or settings apart: what decides which samples come in which order."""
    digest = hashlib.sha256(repr(settings).encode())
    for part in parts:
        facts = [asdict(part.resolution), asdict(part.references) if part.references else None]
        facts += [dict(part.captions.shares), part.captions.dropout, part.share, part.weighted]
        facts += [part.include_placeholders, part.keep_untexted]
        digest.update(json.dumps(facts, sort_keys=True).encode())
        rows = part.source.rows
        arrays = [rows.ids, rows.weight, rows.sizes_px, rows.tokens_of(part.captions.kinds), rows.placeholder]
        if part.only is not None:
            digest.update(repr(part.only.kind).encode())
            arrays += [part.only.ids, *([] if part.only.weight is None else [part.only.weight])]
        for values in arrays:
            digest.update(np.ascontiguousarray(values).data)
    return digest.hexdigest()[:32]
