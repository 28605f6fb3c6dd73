"""Pairs found by rows become undirected edges, each once, sorted on a torch device.

Importing this imports torch, so import it inside functions.
"""

from __future__ import annotations

import numpy as np
import torch

from .exact import Edges

#: Edges sorted at a time: 5 GB on the device.
_MERGE_EDGES = 1 << 27


def merge(
    pairs: list[tuple[torch.Tensor, torch.Tensor, torch.Tensor]], n: int, device: torch.device
) -> Edges:
    """Edges from (row, neighbor, cosine) on the host, each pair once; sorted on the device in ranges of rows.

    Raises:
        ValueError: more rows than a pair's 64-bit key has room for.
    """
    if n > 3_037_000_499:
        raise ValueError(f"{n} rows; at most 3,037,000,499 can be merged in one process")
    keys = [torch.minimum(a, b) * n + torch.maximum(a, b) for a, b, _ in pairs]
    total = sum(len(key) for key in keys)
    ranges = -(-total // _MERGE_EDGES) or 1
    src, dst, cos = [], [], []
    for i in range(ranges):
        low, high = n * i // ranges * n, n * (i + 1) // ranges * n
        inside = [(key >= low) & (key < high) for key in keys]
        key = torch.cat([x[m] for x, m in zip(keys, inside, strict=True)]).to(device)
        value = torch.cat([x[2][m] for x, m in zip(pairs, inside, strict=True)]).to(device)
        key, order = torch.sort(key)
        # A pair found twice has the same cosine both times, so either will do.
        first = torch.ones(len(key), dtype=torch.bool, device=device)
        first[1:] = key[1:] != key[:-1]
        key, value = key[first], value[order[first]]
        src.append(torch.div(key, n, rounding_mode="floor").cpu().numpy())
        dst.append((key % n).cpu().numpy())
        cos.append(value.cpu().numpy())
    return Edges(np.concatenate(src), np.concatenate(dst), np.concatenate(cos))


def contains(edges: Edges, a: np.ndarray, b: np.ndarray, n: int) -> np.ndarray:
    """bool [m]: whether the edges hold each pair, in either direction."""
    keys = edges.src * n + edges.dst
    wanted = np.minimum(a, b) * n + np.maximum(a, b)
    if not len(keys):
        return np.zeros(len(wanted), bool)
    return keys[np.searchsorted(keys, wanted).clip(max=len(keys) - 1)] == wanted
