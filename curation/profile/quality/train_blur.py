"""Training of the blur network, beside a tile network that is trained already: see `train`, which calls it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset, get_worker_info

from ..shrink import shrink
from .blur_network import BlurNetwork
from .blur_traces import blur_traces
from .blur_windows import blur_windows
from .clean_pictures import clean_picture
from .crops import large_enough, native_tiles, overview, ranked_places
from .descent import Descent
from .distortions import Rng
from .edge_kernels import DIRECTIONS
from .inputs import tile_input
from .network import TileNetwork
from .scores import TILE_SCORES
from .synthesis import distorted

#: Sides of the windows that photographs are cut to, in pixels; few are as large as the last.
_LEAST_PX, _LARGE_PX, _LARGEST_PX = 224, 1200, 2000
_LARGE = 0.2
#: The widest blur is this share of the short side, at least `_WIDEST_PX`.
_WIDEST, _WIDEST_PX = 1 / 60, 8.0
#: Samples are made once, at most so many, and seen several times.
_MOST_SAMPLES = 90_000
#: Share of samples in which what the tile network has seen is hidden: it knows these photographs, and is surer here than
#: elsewhere.
_HIDDEN = 0.15
_BLUR = TILE_SCORES.index("blur")


class BlurSample(NamedTuple):
    """Attributes:
    shares, spectra, octaves: of `blur_traces.BlurTraces`, the first two float16.
    seen: float32 [64], of `TileNetwork.seen`.
    target: score of blur in [0, 1].
    weight: 0 where blur cannot be told from another distortion.
    """

    shares: np.ndarray
    spectra: np.ndarray
    octaves: float
    seen: np.ndarray
    target: float
    weight: float


def blur_sample(
    photos: Sequence[np.ndarray], fonts: Sequence[str], tiles: TileNetwork, rng: Rng
) -> BlurSample:
    """A clean picture of any size, distorted, and what is seen of it."""
    largest = _LARGEST_PX if rng.random() < _LARGE else _LARGE_PX
    side = int(math.exp(rng.uniform(math.log(_LEAST_PX), math.log(largest))))
    clean = clean_picture(photos, fonts, side, rng)
    widest = max(_WIDEST_PX, _WIDEST * min(clean.rgb.shape[:2]))
    rgb, target, weight = distorted(clean, rng, widest)
    whole, rgb = overview(shrink(rgb, 336)), large_enough(rgb)
    places = ranked_places(rgb)
    with torch.inference_mode():
        seen = tiles.seen(torch.from_numpy(tile_input(native_tiles(rgb, places)))[None])[0].numpy()
    shares, spectra, octaves = blur_traces(blur_windows(rgb, places), whole)
    halves = shares.astype(np.float16), spectra.astype(np.float16)
    return BlurSample(*halves, octaves, seen, float(target[_BLUR]), float(weight[_BLUR]))


class _Samples(IterableDataset):
    """Endless samples; what a worker makes depends on the arguments and its number alone."""

    def __init__(self, photos: Sequence[np.ndarray], fonts: Sequence[str], tiles: TileNetwork, seed: int):
        self.photos, self.fonts, self.tiles, self.seed = photos, fonts, tiles, seed

    def __iter__(self) -> Iterator[BlurSample]:
        worker = get_worker_info()
        rng = np.random.default_rng([self.seed, worker.id if worker else 0])
        while True:
            yield blur_sample(self.photos, self.fonts, self.tiles, rng)


def train_blur(
    photos: Sequence[np.ndarray],
    fonts: Sequence[str],
    tiles: TileNetwork,
    steps: int,
    batch: int,
    seed: int,
    rate: float = 0.0125,
) -> BlurNetwork:
    """AdamW, cosine rate, averaged weights (EMA 0.9995). The loss is that of the tile network, for blur alone.

    Args:
        rate: see `descent.Descent`.
    """
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    tiles = tiles.eval()
    count = min(_MOST_SAMPLES, steps * batch)
    made = DataLoader(
        _Samples(photos, fonts, tiles, seed), batch_size=None, num_workers=2, prefetch_factor=32
    )
    data = _gathered(iter(made), count)
    network = BlurNetwork()
    descent = Descent(network, rate)
    running = 0.0
    for step in range(steps):
        chosen = torch.from_numpy(rng.integers(0, count, batch))
        shares, spectra, octaves, seen, target, weight = (column[chosen] for column in data)
        shown = torch.from_numpy(rng.random((batch, 1)) >= _HIDDEN)
        logits = network(*turned(shares.float(), spectra.float(), rng), octaves, seen * shown)
        error = ((torch.sigmoid(logits) - target).abs() * weight).mean()
        loss = F.binary_cross_entropy_with_logits(logits, target, weight) + 2 * error
        descent.step(loss, step / steps)
        running += (error.item() - running) * (0.02 if step > 50 else 0.2)
        if step % 200 == 0:
            print(f"blur step {step}: mean absolute error {running:.3f}", flush=True)
    return descent.average.eval()


def _gathered(samples: Iterator[BlurSample], count: int) -> tuple[Tensor, ...]:
    """Columns of so many samples."""
    columns = None
    for k in range(count):
        sample = next(samples)
        if columns is None:
            columns = tuple(np.empty((count, *np.shape(v)), np.asarray(v).dtype) for v in sample)
        for column, value in zip(columns, sample, strict=True):
            column[k] = value
        if k % 5000 == 0:
            print(f"blur sample {k} of {count}", flush=True)
    return tuple(torch.from_numpy(c).to(torch.float32 if c.dtype == np.float64 else None) for c in columns)


def turned(shares: Tensor, spectra: Tensor, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    """What the same pictures would leave when turned by an angle, and at times mirrored, all of them alike.

    Args:
        shares, spectra: [n, windows, values, DIRECTIONS].
    """
    if rng.random() < 0.5:
        shares, spectra = shares.flip(3), spectra.flip(3)
    angle = int(rng.integers(DIRECTIONS))
    return shares.roll(angle, 3), spectra.roll(angle, 3)
