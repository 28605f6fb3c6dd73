"""Training of the watermark network: see `train`, which calls it."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice

import numpy as np
import torch
import torch.nn.functional as F
from torch.utils.data import DataLoader, IterableDataset

from ..shrink import shrink
from ..thumbnail import SHORT_SIDE_PX
from .chains import MEASURED, measure_bounds
from .clean_views import clean_views
from .crops import overview
from .descent import Descent
from .inference import mark_engine
from .inputs import mark_cells
from .marks_synthesis import Bank
from .network import MarkNetwork
from .parameters import Parameters


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
    rate: float = 0.025,
    limit_s: float = math.inf,
    checkpoint: Callable[[int, MarkNetwork], None] = lambda step, network: None,
) -> MarkNetwork:
    """Muon for convolutions and AdamW for the rest, cosine rate, averaged weights (EMA 0.9995); with `start`, on from there.

    Learned are maps of where the mark is, coarse and fine, and whether there is one, from `batch // 2` pairs at a
    time. Arithmetic is in bfloat16 where PyTorch holds it safe.

    Args:
        rate: of Muon at first, relative to the weights; AdamW's is 0.16 of it.
        limit_s: the rate falls so much faster that training ends after so many seconds.
        checkpoint: called with the averaged network every 1,000 steps.
    """
    torch.manual_seed(seed)
    network = MarkNetwork().to(memory_format=torch.channels_last)
    if start is not None:
        network.load_state_dict(start)
    descent = Descent(network, rate)
    easy = 40.0 if start is None else 10.0
    pairs = MarkPairs(photos, fonts, seed, size=2500 if steps > 500 else 20, easy=easy)
    made = iter(DataLoader(pairs, max(1, batch // 2), num_workers=1))
    started, running = time.perf_counter(), np.zeros(3)
    for step, (cells, mask) in enumerate(made):
        done = max(step / steps, (time.perf_counter() - started) / limit_s)
        if done >= 1:
            break
        target = torch.tensor([0.0, 1.0]).repeat(len(cells))
        with torch.autocast("cpu", torch.bfloat16):
            logits, where, fine = network.score_and_maps(cells.flatten(0, 1))
        logits = logits.float()
        covered = torch.stack([torch.zeros_like(mask), mask], dim=1).flatten(0, 1)
        by_map = _map_loss(where, covered) + 0.3 * _map_loss(fine, covered)
        by_score = F.binary_cross_entropy_with_logits(logits, target)
        loss = by_map + by_score
        descent.step(loss, done)
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
            checkpoint(step + 1, descent.average)
    measure_bounds(descent.average, (cells.flatten(0, 1) for cells, _ in islice(made, MEASURED)))
    return descent.average


def _map_loss(logits: torch.Tensor, covered: torch.Tensor) -> torch.Tensor:
    """Cross-entropy of a map [n, h, h] against the cells that are covered [n, h', h']."""
    target = F.interpolate(covered[:, None], size=logits.shape[1:])[:, 0]
    return F.binary_cross_entropy_with_logits(logits.float(), target, pos_weight=torch.tensor(3.0))


def calibrate_marks(network: MarkNetwork, photos: Sequence[np.ndarray], seed: int, flagged: float) -> float:
    """Shift the last bias so that so large a share of clean photographs, never trained on, scores over 0.5 as a whole, and set
    `network.sure` so that half of them are not looked at closer. A closer look flags none that the whole does not.

    Args:
        photos: see `clean_views` for what each counts as.

    Returns:
        the shift of the bias, in logits.
    """
    weights = {name: values.numpy() for name, values in network.state_dict().items()}
    fast = mark_engine(Parameters(weights))  # its rounding counts
    small = (overview(shrink(view, SHORT_SIDE_PX)) for view in clean_views(photos, seed))
    logits = torch.cat([torch.from_numpy(fast(mark_cells(x)[None])[0]) for x in small])
    shift = -float(logits.quantile(1 - flagged))
    with torch.no_grad():
        network.out.bias += shift
        network.sure.copy_(logits.median() + shift)
    return shift
