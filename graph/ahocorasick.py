"""All names that occur in a text, in one pass: an Aho-Corasick automaton over UTF-8 bytes, in flat arrays.

(Aho and Corasick, "Efficient string matching", 1975.) Names and texts are compared as given: fold both
first (`fold.py`). Of overlapping matches the leftmost counts, and of those the longest. Where words are set apart
by blanks (Latin, Greek, Cyrillic, ...) a match starts and ends at a word's end, and may take an English plural
along (`dog` in `dogs`, `box` in `boxes`); where they are not (Han, Kana, Hangul, Thai, ...) it may start anywhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numba
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

_OTHER, _SPACED, _UNSPACED, _INSIDE = 0, 1, 2, 3


@dataclass(frozen=True)
class Matches:
    """What was found, in order of texts and positions.

    Attributes:
        text: int64, which text. pattern: int64, which name. start, end: int64, bytes within the text.
    """

    text: np.ndarray
    pattern: np.ndarray
    start: np.ndarray
    end: np.ndarray


class Automaton:
    """Over names given once; `find` may be called from several threads.

    Args:
        names: unique, none empty; the number of a match is the place in this list.

    Raises ValueError for an empty or a repeated name.
    """

    def __init__(self, names: Sequence[str] | pa.Array):
        array = _large(names)
        data, offsets = _buffers(array)
        order = np.asarray(pc.array_sort_indices(array).to_numpy(), np.int64)
        total = int(offsets[-1] - offsets[0])
        parent, label, terminal, used, twice = _trie(data, offsets, order, total)
        if twice >= 0:
            name = array[int(twice)].as_py()
            raise ValueError(f"name {name!r} is empty or given twice")
        self._terminal = terminal[:used].copy()
        self._first, self._child = _edges(parent[:used])
        self._label = label[:used].copy()
        self._fail, self._next_terminal = _links(
            self._first, self._child, self._label, parent[:used], self._terminal
        )
        self._root = np.zeros(256, np.int64)
        for k in range(self._first[0], self._first[1]):
            self._root[self._label[self._child[k]]] = self._child[k]
        self._length = (offsets[1:] - offsets[:-1]).astype(np.int64)

    @property
    def nbytes(self) -> int:
        """Memory of the arrays."""
        return sum(a.nbytes for a in vars(self).values() if isinstance(a, np.ndarray))

    def find(self, texts: Sequence[str] | pa.Array) -> Matches:
        """Matches in every text; null texts have none."""
        array = _large(texts)
        data, offsets = _buffers(array)
        found = _search(
            data,
            offsets,
            self._root,
            self._first,
            self._child,
            self._label,
            self._fail,
            self._terminal,
            self._next_terminal,
            self._length,
        )
        return Matches(*(found[:, k].copy() for k in range(4)))


def _large(texts: Sequence[str] | pa.Array | pa.ChunkedArray) -> pa.Array:
    array = texts if isinstance(texts, pa.Array | pa.ChunkedArray) else pa.array(texts, pa.large_string())
    array = array.cast(pa.large_string())
    if isinstance(array, pa.ChunkedArray):
        array = pa.concat_arrays(array.chunks) if array.num_chunks else pa.array([], pa.large_string())
    return pc.fill_null(array, "")


def _buffers(array: pa.Array) -> tuple[np.ndarray, np.ndarray]:
    """(bytes uint8, offsets int64 [n + 1]) of a large_string array."""
    if not len(array):
        return np.zeros(0, np.uint8), np.zeros(1, np.int64)
    _, offsets, data = array.buffers()
    ends = np.frombuffer(offsets, np.int64, len(array) + 1, array.offset * 8)
    return np.frombuffer(data, np.uint8) if data is not None and data.size else np.zeros(0, np.uint8), ends


@numba.njit(nogil=True, cache=True)
def _trie(data, offsets, order, total):
    """Names in byte order become nodes by what they do not share with the name before."""
    parent = np.empty(total + 1, np.int64)
    label = np.empty(total + 1, np.uint8)
    terminal = np.full(total + 1, -1, np.int64)
    parent[0], label[0] = -1, 0
    used = 1
    longest = 0
    for j in order:
        longest = max(longest, offsets[j + 1] - offsets[j])
    path = np.zeros(longest + 1, np.int64)
    before, before_length = np.int64(0), np.int64(0)
    for j in order:
        start, length = offsets[j], offsets[j + 1] - offsets[j]
        shared = 0
        while shared < length and shared < before_length and data[start + shared] == data[before + shared]:
            shared += 1
        if shared == length:
            return parent, label, terminal, used, j
        for k in range(shared, length):
            parent[used], label[used] = path[k], data[start + k]
            path[k + 1] = used
            used += 1
        terminal[path[length]] = j
        before, before_length = start, length
    return parent, label, terminal, used, np.int64(-1)


@numba.njit(nogil=True, cache=True)
def _edges(parent):
    """CSR of children; nodes were made in the order of their labels."""
    n = len(parent)
    first = np.zeros(n + 1, np.int64)
    for v in range(1, n):
        first[parent[v] + 1] += 1
    for v in range(n):
        first[v + 1] += first[v]
    at = first[:-1].copy()
    child = np.empty(max(0, n - 1), np.int64)
    for v in range(1, n):
        child[at[parent[v]]] = v
        at[parent[v]] += 1
    return first, child


@numba.njit(nogil=True, cache=True)
def _step(first, child, label, node, byte):
    """The child of a node under a byte, or -1."""
    low, high = first[node], first[node + 1]
    while low < high:
        middle = (low + high) // 2
        value = label[child[middle]]
        if value == byte:
            return child[middle]
        if value < byte:
            low = middle + 1
        else:
            high = middle
    return -1


@numba.njit(nogil=True, cache=True)
def _links(first, child, label, parent, terminal):
    """Longest proper suffix that is a node too, and the next name among suffixes (0: none); breadth first."""
    n = len(parent)
    fail = np.zeros(n, np.int64)
    following = np.zeros(n, np.int64)
    queue = np.empty(n, np.int64)
    queue[0] = 0
    tail = 1
    at = 0
    while at < tail:
        v = queue[at]
        at += 1
        for k in range(first[v], first[v + 1]):
            queue[tail] = child[k]
            tail += 1
        if v == 0 or parent[v] == 0:
            continue
        f = fail[parent[v]]
        while True:
            to = _step(first, child, label, f, label[v])
            if to >= 0:
                fail[v] = to
                break
            if f == 0:
                break
            f = fail[f]
        following[v] = fail[v] if terminal[fail[v]] >= 0 else following[fail[v]]
    return fail, following


@numba.njit(nogil=True, cache=True)
def _class(cp):
    """How words are written in the script of a code point."""
    if cp < 0x80:
        letter = (97 <= cp <= 122) or (65 <= cp <= 90) or (48 <= cp <= 57)
        return _SPACED if letter else _OTHER
    if cp < 0xC0:
        return _SPACED if cp in (0xAA, 0xB5, 0xBA) else _OTHER
    if cp in (0xD7, 0xF7):
        return _OTHER
    if 0x0E00 <= cp < 0x1100 and not (cp >= 0x10A0):  # Thai, Lao, Tibetan, Myanmar
        return _UNSPACED
    if 0x1780 <= cp < 0x1800:  # Khmer
        return _UNSPACED
    if cp < 0x2000:
        return _SPACED
    if cp < 0x2E80:
        return _SPACED if 0x2C00 <= cp < 0x2E00 else _OTHER
    if 0x3000 <= cp < 0x3040:
        return _UNSPACED if 0x3005 <= cp <= 0x3007 else _OTHER
    if cp < 0xE000 or 0xF900 <= cp < 0xFB00:
        return _UNSPACED
    if 0xFE00 <= cp < 0x10000 or 0x1F000 <= cp < 0x20000 or cp < 0xF900:
        return _OTHER
    return _UNSPACED


@numba.njit(nogil=True, cache=True)
def _classes(data, start, end, out):
    """Class of the character that starts at every byte; `_INSIDE` within a character."""
    p = start
    while p < end:
        b = data[p]
        size, cp = 1, np.int64(b)
        if b >= 0xF0:
            size, cp = 4, np.int64(b & 7)
        elif b >= 0xE0:
            size, cp = 3, np.int64(b & 15)
        elif b >= 0xC0:
            size, cp = 2, np.int64(b & 31)
        for k in range(1, size):
            if p + k < end:
                cp = (cp << 6) | (data[p + k] & 63)
                out[p + k - start] = _INSIDE
        out[p - start] = _class(cp)
        p += size


@numba.njit(nogil=True, cache=True)
def _boundary(classes, p, length):
    """May a name start or end before byte p?"""
    if p == 0 or p == length:
        return True
    if classes[p] == _INSIDE:
        return False
    back = p - 1
    while classes[back] == _INSIDE:
        back -= 1
    return not (classes[p] == _SPACED and classes[back] == _SPACED)


@numba.njit(nogil=True, cache=True)
def _end(data, start, classes, e, length, size):
    """Where a name that ends before byte e ends with a plural, or -1 where it may not end at all."""
    if _boundary(classes, e, length):
        return e
    if size < 3 or data[start + e - 1] >= 128 or classes[e - 1] != _SPACED:
        return -1
    if data[start + e] == 115 and _boundary(classes, e + 1, length):
        return e + 1
    if (
        e + 1 < length
        and data[start + e] == 101
        and data[start + e + 1] == 115
        and _boundary(classes, e + 2, length)
    ):
        return e + 2
    return -1


@numba.njit(nogil=True, cache=True)
def _search(data, offsets, root, first, child, label, fail, terminal, following, lengths):
    out = np.empty((1024, 4), np.int64)
    used = 0
    for text in range(len(offsets) - 1):
        start, length = offsets[text], offsets[text + 1] - offsets[text]
        classes = np.empty(length, np.uint8)
        _classes(data, start, start + length, classes)
        best = np.zeros(length, np.int64)
        which = np.empty(length, np.int64)
        node = np.int64(0)
        for p in range(length):
            byte = data[start + p]
            while True:
                to = root[byte] if node == 0 else _step(first, child, label, node, byte)
                if to > 0 or node == 0:
                    node = max(np.int64(0), to)
                    break
                node = fail[node]
            hit = node if terminal[node] >= 0 else following[node]
            while hit > 0:
                size = lengths[terminal[hit]]
                s = p + 1 - size
                if _boundary(classes, s, length):
                    e = _end(data, start, classes, p + 1, length, size)
                    if e > best[s]:
                        best[s], which[s] = e, terminal[hit]
                hit = following[hit]
        p = np.int64(0)
        while p < length:
            if best[p] > 0:
                if used == len(out):
                    out = np.concatenate((out, np.empty_like(out)))
                out[used, 0], out[used, 1], out[used, 2], out[used, 3] = text, which[p], p, best[p]
                used += 1
                p = best[p]
            else:
                p += 1
    return out[:used]
