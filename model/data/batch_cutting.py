"""Sorted lengths cut into batches under a token budget, and their number brought to a multiple of the ranks."""

from __future__ import annotations

import heapq

import numpy as np


def cut(lengths: np.ndarray, token_budget: int, most_samples: int | None = None) -> np.ndarray:
    """int64 [batches + 1] starts of the batches, as full as the budget lets them be.

    Args:
        lengths: int [n], n > 0, each at most the budget. Fastest when sorted in few runs of equal values; a batch
            never spans a place where they fall.
    """
    ends = np.flatnonzero(np.append(np.diff(lengths) != 0, True)) + 1
    parts: list[np.ndarray] = [np.zeros(1, np.int64)]
    open_at, run_start, previous = 0, 0, 0  # the open batch starts at `open_at`
    for end, length in zip(ends.tolist(), lengths[ends - 1].tolist(), strict=True):
        room = max(1, min(token_budget // length, most_samples or token_budget))
        if open_at < run_start and (length < previous or run_start - open_at >= room):
            parts.append(np.array([run_start]))
            open_at = run_start
        closed = np.arange(open_at + room, end + 1, room)
        parts.append(closed)
        open_at = int(closed[-1]) if len(closed) else open_at
        run_start, previous = end, length
    if open_at < len(lengths):
        parts.append(np.array([len(lengths)]))
    return np.concatenate(parts).astype(np.int64)


def evened(
    starts: np.ndarray, lengths: np.ndarray, token_budget: int, ranks: int
) -> tuple[np.ndarray, np.ndarray]:
    """Batches in a number that is a multiple of `ranks`.

    Where r are over, r neighboring batches are cut anew into as many equal ones as there are ranks. Where no such
    batches hold enough samples the largest are halved, and where none can be halved samples are left out.

    Returns:
        (int64 starts over the samples that stay, int64 places of those left out).
    """
    none = np.zeros(0, np.int64)
    over = (len(starts) - 1) % ranks
    if not over:
        return starts, none
    firsts = np.arange(len(starts) - over)
    samples = starts[firsts + over] - starts[firsts]
    most = -(-samples // ranks)
    longest = np.maximum.reduceat(lengths, starts[:-1])
    # Where lengths fall inside a run of batches its last one is not the longest; such runs are passed over.
    falls = np.concatenate([[0], np.cumsum(np.diff(longest) < 0)])
    limit = longest[firsts + over - 1]
    uneven = (most - samples // ranks) / np.maximum(most, 1)
    spread = 1 - longest[firsts] / limit
    ok = (samples >= ranks) & (most * limit <= token_budget) & (falls[firsts] == falls[firsts + over - 1])
    if ok.any():
        at = int(np.argmin(np.where(ok, uneven + spread, np.inf)))
        inner = starts[at] + np.arange(1, ranks) * samples[at] // ranks
        return np.concatenate([starts[: at + 1], inner, starts[at + over :]]).astype(np.int64), none
    return _halved(starts, ranks - over, over)


def _halved(starts: np.ndarray, wanted: int, over: int) -> tuple[np.ndarray, np.ndarray]:
    sizes = np.diff(starts)
    if (sizes - 1).sum() >= wanted:
        largest = [(-int(size), int(start)) for size, start in zip(sizes, starts, strict=False) if size > 1]
        heapq.heapify(largest)
        added = []
        for _ in range(wanted):
            size, start = heapq.heappop(largest)
            half = -size // 2
            added.append(start + half)
            for rest, at in ((half, start), (-size - half, start + half)):
                if rest > 1:
                    heapq.heappush(largest, (-rest, at))
        return np.sort(np.concatenate([starts, added])).astype(np.int64), np.zeros(0, np.int64)
    # Nearly every batch is one sample: leave out the smallest, no more than make the last step partial.
    drop = np.argsort(sizes, kind="stable")[:over]
    keep = np.ones(len(sizes), bool)
    keep[drop] = False
    places = np.concatenate([np.arange(starts[b], starts[b + 1]) for b in drop])
    return np.concatenate([[0], np.cumsum(sizes[keep])]).astype(np.int64), places
