"""Training of the tile network: see `train`, which calls it."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset

from .chains import MEASURED, measure_bounds
from .clean_pictures import clean_picture
from .crops import native_tiles, ranked_places
from .descent import Descent
from .distortions import Rng
from .inputs import tile_input
from .network import TileNetwork
from .scores import TILE_SCORES
from .synthesis import distorted

#: Samples kept to be drawn from, and times that each is drawn on average: making one takes longer than learning from it.
_KEPT, _DRAWN = 12_000, 3


#: Sides of the windows that photographs are cut to, in pixels.
_LEAST_PX, _LARGEST_PX = 224, 352


@dataclass(
    frozen=True
)  # a tuple's arrays would come from the loader as files of shared memory, thousands at once
class TileSample:
    """Attributes:
    pixels: uint8, tiles as the network sees them, see `crops.native_tiles`.
    target, weight: of `synthesis.distorted`.
    """

    pixels: np.ndarray
    target: np.ndarray
    weight: np.ndarray


def tile_sample(photos: Sequence[np.ndarray], fonts: Sequence[str], rng: Rng) -> TileSample:
    """Tiles of a clean picture, `distorted`."""
    side = int(rng.integers(_LEAST_PX, _LARGEST_PX + 1))
    rgb, target, weight = distorted(clean_picture(photos, fonts, side, rng), rng)
    return TileSample(native_tiles(rgb, ranked_places(rgb)), target, weight)


class Samples(IterableDataset):
    """Endless samples; the k-th depends on the arguments and k alone."""

    def __init__(self, photos: Sequence[np.ndarray], fonts: Sequence[str], seed: int):
        self.photos, self.fonts, self.seed = photos, fonts, seed

    def __iter__(self) -> Iterator[TileSample]:
        rng = np.random.default_rng([self.seed, 0])
        while True:
            yield tile_sample(self.photos, self.fonts, rng)


def train_tiles(
    photos: Sequence[np.ndarray],
    fonts: Sequence[str],
    steps: int,
    batch: int,
    seed: int,
    start: Mapping[str, Tensor] | None = None,
    rate: float = 0.025,
    limit_s: float = math.inf,
    checkpoint: Callable[[int, TileNetwork], None] = lambda step, network: None,
) -> TileNetwork:
    """Muon for convolutions and AdamW for the rest, cosine rate, averaged weights (EMA 0.9995); with `start`, on from there.

    The loss is binary cross-entropy with the planted score as soft label, plus the absolute error, which still pulls
    where cross-entropy is flat. Samples are drawn several times, mirrored and turned, which changes no score.

    Args:
        rate: of Muon at first, relative to the weights.
        limit_s: the rate falls so much faster that training ends after so many seconds.
        checkpoint: called with the averaged network every 1,000 steps.
    """
    torch.manual_seed(seed)
    rng = np.random.default_rng([seed, 1])
    network = TileNetwork().to(memory_format=torch.channels_last)
    if start is not None:
        network.load_state_dict(start)
    descent = Descent(network, rate)
    made = iter(DataLoader(Samples(photos, fonts, seed), batch_size=None, num_workers=1, prefetch_factor=64))
    kept = deque(islice(made, 4 * batch), maxlen=_KEPT)
    started, running = time.perf_counter(), np.zeros(len(TILE_SCORES))
    for step in range(steps):
        done = max(step / steps, (time.perf_counter() - started) / limit_s)
        if done >= 1:
            break
        kept.extend(islice(made, math.ceil(batch / _DRAWN)))
        tiles, target, weight = drawn(kept, batch, rng)
        with torch.autocast("cpu", torch.bfloat16):
            logits = network(tiles)
        logits = logits.float()
        loss = F.binary_cross_entropy_with_logits(logits, target, weight)
        loss = loss + 2 * ((torch.sigmoid(logits) - target).abs() * weight).mean()
        descent.step(loss, done)
        with torch.no_grad():
            error = ((torch.sigmoid(logits) - target).abs() * weight).sum(0) / weight.sum(0).clamp(min=1)
        running += (error.numpy() - running) * (0.02 if step > 50 else 0.2)
        if step % 200 == 0:
            seconds = time.perf_counter() - started
            shown = " ".join(f"{n} {e:.3f}" for n, e in zip(TILE_SCORES, running, strict=True))
            print(f"tiles step {step} {seconds:.0f} s, mean absolute error: {shown}", flush=True)
        if step % 1000 == 999:
            checkpoint(step + 1, descent.average)
    measure_bounds(descent.average, (drawn(kept, batch, rng)[0] for _ in range(MEASURED)))
    return descent.average


def drawn(kept: Sequence[TileSample], batch: int, rng: np.random.Generator) -> tuple[Tensor, Tensor, Tensor]:
    """Input [batch, TILES, 32, 32, 16], target and weight [batch, scores] of samples mirrored and turned."""
    chosen = [kept[k] for k in rng.integers(0, len(kept), batch)]
    tiles = []
    for sample in chosen:
        pixels = np.rot90(sample.pixels, rng.integers(4), axes=(1, 2))
        tiles.append(tile_input(pixels[:, ::-1] if rng.random() < 0.5 else pixels))
    target, weight = (np.stack([getattr(s, name) for s in chosen]) for name in ("target", "weight"))
    return torch.from_numpy(np.stack(tiles)), torch.from_numpy(target), torch.from_numpy(weight)
