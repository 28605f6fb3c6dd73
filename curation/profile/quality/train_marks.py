"""Training of the watermark network: see `train`, which calls it."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch.utils.data import DataLoader, IterableDataset

from .averaging import averaged_step
from .inputs import mark_cells
from .marks_synthesis import Bank, framings
from .network import MarkNetwork


class MarkPairs(IterableDataset):
    """Endless pairs; the k-th depends on the arguments and k alone."""

    def __init__(self, photos: Sequence[np.ndarray], fonts: Sequence[str], seed: int, size: int, easy: float):
        self.photos, self.fonts, self.seed, self.size, self.easy = photos, fonts, seed, size, easy

    def __iter__(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        bank = Bank(self.photos, self.fonts, np.random.default_rng(self.seed), self.size, self.easy)
        while True:
            pair = bank.pair()
            yield pair.cells, pair.mask


def train_marks(
    photos: Sequence[np.ndarray],
    fonts: Sequence[str],
    steps: int,
    batch: int,
    seed: int,
    start: Mapping[str, torch.Tensor] | None = None,
    rate: float = 4e-3,
    limit_s: float = math.inf,
    checkpoint: Callable[[int, MarkNetwork], None] = lambda step, network: None,
) -> MarkNetwork:
    """AdamW, cosine rate from `rate`, averaged weights (EMA 0.999); with `start`, on from there.

    Learned are the map of where the mark is, and whether there is one, from `batch // 2` pairs at a time.
    Arithmetic is in bfloat16 where PyTorch holds it safe.

    Args:
        limit_s: the rate falls so much faster that training ends after so many seconds.
        checkpoint: called with the averaged network every 1,000 steps.
    """
    torch.manual_seed(seed)
    network = MarkNetwork().to(memory_format=torch.channels_last)
    if start is not None:
        network.load_state_dict(start)
    average = copy.deepcopy(network)
    optimizer = torch.optim.AdamW(network.parameters(), lr=rate, weight_decay=0.02)
    easy = 50.0 if start is None else 10.0
    pairs = MarkPairs(photos, fonts, seed, size=2500 if steps > 500 else 20, easy=easy)
    loader = DataLoader(pairs, max(1, batch // 2), num_workers=1)
    started, running = time.perf_counter(), np.zeros(3)
    for step, (cells, mask) in enumerate(loader):
        done = max(step / steps, (time.perf_counter() - started) / limit_s)
        if done >= 1:
            break
        share = min(1.0, (step + 1) / 300) * 0.5 * (1 + math.cos(math.pi * done))
        for group in optimizer.param_groups:
            group["lr"] = rate * max(share, 0.003)
        target = torch.tensor([0.0, 1.0]).repeat(len(cells))
        with torch.autocast("cpu", torch.bfloat16):
            logits, where = network.score_and_mask(cells.flatten(0, 1))
        logits, where = logits.float(), where.float()
        covered = torch.stack([torch.zeros_like(mask), mask], dim=1).flatten(0, 1)
        by_map = F.binary_cross_entropy_with_logits(where, covered, pos_weight=torch.tensor(3.0))
        by_score = F.binary_cross_entropy_with_logits(logits, target)
        loss = by_map + by_score
        averaged_step(loss, network, average, optimizer, step)
        right = ((logits > 0) == (target > 0.5)).float().mean()
        running += (np.array([by_map.item(), by_score.item(), right.item()]) - running) * (
            0.01 if step > 100 else 0.2
        )
        if step % 100 == 0:
            seconds = time.perf_counter() - started
            print(
                f"marks step {step} {seconds:.0f} s, map {running[0]:.3f} score {running[1]:.3f}, "
                f"right {running[2]:.3f}",
                flush=True,
            )
        if step % 1000 == 999:
            checkpoint(step + 1, average)
    return average


def calibrate_marks(network: MarkNetwork, photos: Sequence[np.ndarray], seed: int, flagged: float) -> float:
    """Shift the last bias so that so large a share of clean photographs, never trained on, scores over 0.5.

    Each photograph counts once as it is, and in three other framings.

    Returns:
        the shift, in logits.
    """
    network.eval()
    with torch.inference_mode():
        cells = torch.from_numpy(np.stack([mark_cells(x) for x in framings(photos, seed)]))
        logits = torch.cat([network(part) for part in cells.split(64)])
    shift = -float(logits.quantile(1 - flagged))
    with torch.no_grad():
        network.out.bias += shift
    return shift
