"""Drawing SFT batches that hold a target prior over concepts, whatever the data's own frequencies are.

    deficit_t = max(0, target_t * W * l - seen_t)
    concept t ~ deficit_t;  sample ~ s_i among the samples that have t

W is the window, in draws; l the mean number of tags of a sample drawn for its target; seen_t how often tag t
came in the last W draws, counted on every tag of every sample. A common tag that comes along with rare ones
runs a surplus and is not asked for until the window has forgotten it: over-represented concepts go
down as well as rare ones up, within every window and not only in the long run. s_i is the sample's BM25
rarity, or any weight >= 0. A sample drawn for a concept is set aside there until the concept is used up.

A draw costs O(log m + log n) and O(log m) for each of its tags: a Fenwick tree (Fenwick, 1994) over the
deficits of the m concepts, and one per concept over its samples. Trees hold integers, so nothing drifts;
random numbers are SplitMix64 of (seed, number of the draw): a resampler restored from its state goes on
exactly as the saved one would have.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numba
import numpy as np

from .tagged import Tagged

FORMAT = 1
#: Integer units of one sample's score (the largest score) and of one occurrence of a tag.
WEIGHT_UNITS, DEFICIT_UNITS = 1 << 24, 1 << 20


class ConceptResampler:
    """An endless iterator of sample indices; also a `torch.utils.data.Sampler` for a DataLoader.

    Args:
        data: samples, tags and scores; samples without tags or of score 0 are never drawn.
        target: float64 [m] >= 0, wanted share of each concept among all tags drawn. Concepts without data
            are left out.
        window: draws over which the prior is kept, e.g. batch size times a few batches.
        length: draws in one pass of `iter` (what `len` says).
        seed: >= 0.

    Raises:
        ValueError: no concept has both a target and data, or an argument is out of range.
    """

    def __init__(self, data: Tagged, target: np.ndarray, window: int, length: int, seed: int = 0):
        target = np.asarray(target, np.float64)
        if target.shape != (data.m,) or not np.isfinite(target).all() or (target < 0).any():
            raise ValueError(f"target must hold one finite number >= 0 for each of {data.m} concepts")
        if window < 1 or length < 0 or not 0 <= seed < 2**63:
            raise ValueError("window must be >= 1, length >= 0, and seed in 0..2^63-1")
        if len(data.indices) * WEIGHT_UNITS >= 2**62 or window * DEFICIT_UNITS * 1000 >= 2**62:
            raise ValueError("too many samples, or too long a window, for 64-bit sums")
        self._data, self.window, self.length, self.seed = data, int(window), int(length), int(seed)
        self._start, self._member = _members(data)
        self._has = np.diff(self._start) > 0
        target = np.where(self._has, target, 0.0)
        if target.sum() <= 0:
            raise ValueError("no concept has both a target and a sample of positive score")
        self.target = target / target.sum()
        score = data.score.astype(np.float64)
        self._weight = np.maximum(1, score / score.max() * WEIGHT_UNITS).astype(np.int64)[self._member]
        tags = np.diff(data.indptr)
        mean_tags = np.bincount(data.indices, np.repeat(tags, tags), data.m) / np.maximum(
            np.bincount(data.indices, minlength=data.m), 1
        )
        self._goal = np.rint(
            self.target * self.window * float((self.target * mean_tags).sum()) * DEFICIT_UNITS
        ).astype(np.int64)
        self._goal[self.target > 0] = np.maximum(1, self._goal[self.target > 0])
        self.drawn = 0
        self._set(np.full(self.window, -1, np.int64), np.zeros(len(self._member), bool))

    def _set(self, recent: np.ndarray, taken: np.ndarray) -> None:
        """Everything that follows from the last draws and from the samples set aside."""
        self._recent, self._taken = recent, taken
        owner = np.repeat(np.arange(self._data.m), np.diff(self._start))
        self._left = np.bincount(owner[~taken], minlength=self._data.m)
        self._tree = np.where(taken, 0, self._weight)
        _plant_all(self._tree, self._start)
        self._seen = np.zeros(self._data.m, np.int64)
        _see(self._seen, recent, self._data.indptr, self._data.indices)
        self._deficit = np.maximum(0, self._goal - self._seen * DEFICIT_UNITS)
        _plant(self._deficit, 0, len(self._deficit))
        self._always = self._goal.copy()
        _plant(self._always, 0, len(self._always))

    def __len__(self) -> int:
        return self.length

    def __iter__(self) -> Iterator[int]:
        """The rest of the current pass of `length` draws: all of it, or what a restored state has left of it."""
        for _ in range(self.length - self.drawn % self.length if self.length else 0):
            yield int(self.draw(1)[0])

    def draw(self, count: int) -> np.ndarray:
        """int64 [count]: the next samples."""
        out = np.empty(count, np.int64)
        d = self._data
        _draw(
            out, d.indptr, d.indices, self._start, self._member, self._weight, self._tree, self._taken, self._left,
            self._goal, self._deficit, self._always, self._seen, self._recent, np.uint64(self.seed), self.drawn,
        )  # fmt: skip
        self.drawn += count
        return out

    def shares(self) -> np.ndarray:
        """float64 [m]: share of each concept among the tags of the window as it stands."""
        return self._seen / max(1, self._seen.sum())

    def state(self) -> dict[str, np.ndarray]:
        """Arrays from which `restore` goes on exactly."""
        facts = {"format": FORMAT, "drawn": self.drawn, "seed": self.seed, "length": self.length}
        return {
            "facts": np.frombuffer(json.dumps(facts).encode(), np.uint8),
            "recent": self._recent.copy(),
            "taken": np.packbits(self._taken),
        }

    def restore(self, state: dict[str, np.ndarray]) -> None:
        """Go on from a state of a resampler over the same data and window. Raises ValueError for another."""
        try:
            facts = json.loads(bytes(np.asarray(state["facts"], np.uint8)))
            recent = np.asarray(state["recent"], np.int64)
            taken = np.unpackbits(np.asarray(state["taken"], np.uint8), count=len(self._member)).astype(bool)
            drawn, seed = int(facts["drawn"]), int(facts["seed"])
        except (KeyError, ValueError, TypeError) as e:
            raise ValueError(f"this is no state of a resampler: {e}") from e
        fits = recent.shape == (self.window,) and recent.min(initial=-1) >= -1
        if facts.get("format") != FORMAT or not fits or recent.max(initial=-1) >= self._data.n or drawn < 0:
            raise ValueError("the state belongs to other data, or to another window")
        self.drawn, self.seed, self.length = drawn, seed, int(facts["length"])
        self._set(recent.copy(), taken)

    def save(self, path: str | Path) -> None:
        """Write the state as .npz (arrays only)."""
        with open(path, "wb") as f:
            np.savez_compressed(f, **self.state())

    def load(self, path: str | Path) -> None:
        """Go on from a file of `save`. Raises ValueError where it is none."""
        try:
            with np.load(path, allow_pickle=False) as file:
                state = {name: file[name] for name in file.files}
        except (OSError, ValueError, KeyError) as e:
            raise ValueError(f"{path}: not a saved state: {e}") from e
        self.restore(state)


@numba.njit(nogil=True, cache=True)
def _mix(z):
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


@numba.njit(nogil=True, cache=True)
def _uniform(seed, draw, which):
    z = _mix(_mix(seed + np.uint64(0x9E3779B97F4A7C15)) ^ np.uint64(2 * draw + which))
    return (_mix(z + np.uint64(0x9E3779B97F4A7C15)) >> np.uint64(11)) * 2.0**-53


@numba.njit(nogil=True, cache=True)
def _add(tree, base, size, at, value):
    """Add to element `at` of the Fenwick tree in tree[base : base + size]."""
    k = at + 1
    while k <= size:
        tree[base + k - 1] += value
        k += k & -k


@numba.njit(nogil=True, cache=True)
def _plant(tree, base, size):
    """Turn values into the Fenwick tree of them, in place and in linear time."""
    for k in range(1, size + 1):
        up = k + (k & -k)
        if up <= size:
            tree[base + up - 1] += tree[base + k - 1]


@numba.njit(nogil=True, cache=True)
def _plant_all(tree, start):
    for t in range(len(start) - 1):
        _plant(tree, start[t], start[t + 1] - start[t])


@numba.njit(nogil=True, cache=True)
def _sum(tree, base, size):
    total, k = np.int64(0), size
    while k > 0:
        total += tree[base + k - 1]
        k -= k & -k
    return total


@numba.njit(nogil=True, cache=True)
def _find(tree, base, size, goal):
    """The element in whose share of the whole `goal` lies, 0 <= goal < sum."""
    step = 1
    while step * 2 <= size:
        step *= 2
    at = 0
    while step > 0:
        if at + step <= size and tree[base + at + step - 1] <= goal:
            at += step
            goal -= tree[base + at - 1]
        step //= 2
    return at


@numba.njit(nogil=True, cache=True)
def _see(seen, recent, indptr, indices):
    for i in recent:
        if i >= 0:
            for k in range(indptr[i], indptr[i + 1]):
                seen[indices[k]] += 1


def _members(data: Tagged) -> tuple[np.ndarray, np.ndarray]:
    """CSR concept -> samples of positive score: (start int64 [m + 1], member int64)."""
    rows = np.repeat(np.arange(data.n), np.diff(data.indptr))
    fine = data.score[rows] > 0
    concepts, rows = data.indices[fine], rows[fine]
    order = np.argsort(concepts, kind="stable")
    start = np.concatenate([[0], np.cumsum(np.bincount(concepts, minlength=data.m))]).astype(np.int64)
    return start, rows[order].astype(np.int64)


@numba.njit(nogil=True, cache=True)
def _shift(tag, by, goal, deficit, seen):
    """Tag came (+1) or was forgotten (-1): its deficit follows."""
    before = max(np.int64(0), goal[tag] - seen[tag] * DEFICIT_UNITS)
    seen[tag] += by
    after = max(np.int64(0), goal[tag] - seen[tag] * DEFICIT_UNITS)
    if after != before:
        _add(deficit, 0, len(goal), tag, after - before)


@numba.njit(nogil=True, cache=True)
def _draw(
    out, indptr, indices, start, member, weight, tree, taken, left, goal, deficit, always, seen, recent, seed, drawn
):  # fmt: skip
    m, window = len(goal), len(recent)
    for number in range(len(out)):
        draw = drawn + number
        wanted = deficit if _sum(deficit, 0, m) > 0 else always
        t = _find(wanted, 0, m, np.int64(_uniform(seed, draw, 0) * _sum(wanted, 0, m)))
        base, size = start[t], start[t + 1] - start[t]
        if left[t] == 0:
            for k in range(base, base + size):
                taken[k] = False
                tree[k] = weight[k]
            _plant(tree, base, size)
            left[t] = size
        k = _find(tree, base, size, np.int64(_uniform(seed, draw, 1) * _sum(tree, base, size)))
        taken[base + k] = True
        left[t] -= 1
        _add(tree, base, size, k, -weight[base + k])
        i = member[base + k]
        out[number] = i
        old = recent[draw % window]
        if old >= 0:
            for k in range(indptr[old], indptr[old + 1]):
                _shift(indices[k], -1, goal, deficit, seen)
        recent[draw % window] = i
        for k in range(indptr[i], indptr[i + 1]):
            _shift(indices[k], 1, goal, deficit, seen)
