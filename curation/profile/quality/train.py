"""Train the quality network from any folder of clean photographs.

    python -m zcurate.curation.profile.quality.train --photos DIR --fonts DIR --out weights.safetensors

A few hundred sharp, correctly exposed photographs without watermarks will do; each is seen thousands of
times, framed and distorted anew. What gave the bundled weights is in MODEL_CARD.md.
"""

from __future__ import annotations

import argparse
import copy
import json
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from torch.utils.data import DataLoader, IterableDataset

from ..decode import decode
from ..errors import ImageError
from .inputs import overview_input, tile_input
from .network import OVERVIEW_SCORES, TILE_SCORES, OverviewNetwork, TileNetwork
from .synthesis import clean_copy, overview_pair, tile_sample
from .watermarks import find_fonts

#: Photographs are kept in memory at most this large; more is not needed to cut windows from.
_BASE_SIDE_PX = {"tiles": 1000, "overview": 480}


def load_photos(folder: str | Path, short_side_px: int) -> list[np.ndarray]:
    """Every readable picture below a folder, short side at most `short_side_px`, in order of path."""
    photos = []
    for path in sorted(Path(folder).rglob("*")):
        if not path.is_file():
            continue
        try:
            rgb = decode(path.read_bytes()).rgb
        except ImageError as e:
            print(f"left out {path}: {e}")
            continue
        short = min(rgb.shape[:2])
        if short < 200 or max(rgb.shape[:2]) > 6 * short:
            continue
        photos.append(clean_copy(rgb, short_side_px) if short > short_side_px else rgb)
    return photos


class Synthesis(IterableDataset):
    """Endless samples; the k-th of a worker depends on (seed, worker, k) alone."""

    def __init__(self, part: str, photos: Sequence[np.ndarray], fonts: Sequence[str], seed: int):
        self.part, self.photos, self.fonts, self.seed = part, photos, fonts, seed

    def __iter__(self) -> Iterator[tuple[tuple[np.ndarray, ...], np.ndarray, np.ndarray, np.ndarray]]:
        info = torch.utils.data.get_worker_info()
        rng = np.random.default_rng([self.seed, info.id if info else 0])
        while True:
            base = self.photos[rng.integers(len(self.photos))]
            if self.part == "tiles":
                samples = (tile_sample(base, rng),)
            else:
                samples = overview_pair(base, self.fonts, rng)
            for s in samples:
                tiles = s.pixels.ndim == 4
                inputs = (tile_input(s.pixels),) if tiles else overview_input(s.pixels)
                yield inputs, s.target, s.weight, s.mask


def train_part(
    part: str,
    photos: Sequence[np.ndarray],
    fonts: Sequence[str],
    steps: int,
    batch: int,
    seed: int,
    start: Mapping[str, torch.Tensor] | None = None,
    rate: float = 3e-3,
) -> torch.nn.Module:
    """Train one half: AdamW, cosine rate from `rate`, averaged weights (EMA 0.999).

    With `start` (a state of that half) training goes on from there.

    The loss is binary cross-entropy with the planted score as soft label, plus the absolute error, which still pulls
    where cross-entropy is flat.
    """
    torch.manual_seed(seed)
    network = TileNetwork() if part == "tiles" else OverviewNetwork()
    names = TILE_SCORES if part == "tiles" else OVERVIEW_SCORES
    if start is not None:
        network.load_state_dict(start)
    average = copy.deepcopy(network)
    optimizer = torch.optim.AdamW(network.parameters(), lr=rate, weight_decay=0.01)
    loader = DataLoader(Synthesis(part, photos, fonts, seed), batch_size=batch, num_workers=1)
    started, running = time.perf_counter(), np.zeros(len(names))
    for step, (inputs, target, weight, mask) in enumerate(loader):
        if step == steps:
            break
        share = min(1.0, (step + 1) / 200) * 0.5 * (1 + math.cos(math.pi * step / steps))
        for group in optimizer.param_groups:
            group["lr"] = rate * max(share, 0.003)
        if part == "tiles":
            logits, loss = network(*inputs), torch.zeros(())
        else:  # where the mark is, besides that there is one: without it nothing is learned for long
            logits, where = network.scores_and_mask(*inputs)
            rare = torch.tensor(4.0)  # few cells are covered
            loss = F.binary_cross_entropy_with_logits(where, mask, pos_weight=rare)
        loss = loss + F.binary_cross_entropy_with_logits(logits, target, weight)
        loss = loss + 2 * ((torch.sigmoid(logits) - target).abs() * weight).mean()
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        decay = min(0.999, (step + 1) / (step + 10))
        with torch.no_grad():
            for a, p in zip(average.parameters(), network.parameters(), strict=True):
                a.lerp_(p, 1 - decay)
            for a, b in zip(average.buffers(), network.buffers(), strict=True):
                a.copy_(b)  # statistics of batch normalization
            error = ((torch.sigmoid(logits) - target).abs() * weight).sum(0) / weight.sum(0).clamp(min=1)
        running += (error.numpy() - running) * (0.02 if step > 50 else 0.2)
        if step % 200 == 0:
            seconds = time.perf_counter() - started
            shown = " ".join(f"{n} {e:.3f}" for n, e in zip(names, running, strict=True))
            print(f"{part} step {step} {seconds:.0f} s, mean absolute error: {shown}", flush=True)
    return average


def main(argv: Sequence[str] | None = None) -> None:
    """Command line; see the module's text."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--photos", required=True, help="folder of clean photographs")
    parser.add_argument("--fonts", nargs="+", required=True, help="folders with .ttf, .otf or .ttc files")
    parser.add_argument("--out", required=True, help="safetensors file to write")
    parser.add_argument("--part", choices=["both", "tiles", "overview"], default="both",
                        help="train one half and keep the other as it is in --out")  # fmt: skip
    parser.add_argument("--start", help="weights to go on from; default: from scratch")
    parser.add_argument("--rate", type=float, default=3e-3, help="learning rate")
    parser.add_argument("--steps", type=int, default=6000)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args(argv)
    torch.set_num_threads(1)
    cv2.setNumThreads(1)  # before the first use: a pool of threads does not survive the fork of the loader
    fonts = find_fonts(args.fonts)
    if not fonts:
        parser.error(f"no fonts below {', '.join(args.fonts)}")
    start = load_file(args.start) if args.start else {}
    state = load_file(args.out) if args.part != "both" and Path(args.out).exists() else {}
    for part in ("tiles", "overview") if args.part == "both" else (args.part,):
        photos = load_photos(args.photos, _BASE_SIDE_PX[part])
        if len(photos) < 2:
            parser.error(f"fewer than two usable pictures below {args.photos}")
        own = {k.removeprefix(part + "."): v for k, v in start.items() if k.startswith(part + ".")}
        network = train_part(part, photos, fonts, args.steps, args.batch, args.seed, own or None, args.rate)
        state |= {f"{part}.{k}": v.contiguous() for k, v in network.state_dict().items()}
    about = {"photos": len(photos), "steps": args.steps, "batch": args.batch, "seed": args.seed}
    save_file(state, args.out, metadata={"training": json.dumps(about)})


if __name__ == "__main__":
    main()
