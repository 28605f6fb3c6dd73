"""Train the quality networks from any folder of clean photographs.

    python -m zcurate.curation.profile.quality.train --photos DIR --fonts DIR --out weights.safetensors

A few hundred sharp, correctly exposed photographs without watermarks will do; each is seen thousands of
times, framed and distorted anew. Others, named by --validation, say how many clean pictures would be flagged, and
the biases are moved accordingly. What gave the bundled weights is in MODEL_CARD.md.
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
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch.utils.data import DataLoader, IterableDataset

from ..decode import decode
from ..errors import ImageError
from .averaging import averaged_step
from .inputs import tile_input
from .network import TILE_SCORES, TileNetwork
from .synthesis import clean_copy, tile_sample
from .train_color import calibrate_color, clean_logits, held_out_logits, train_color
from .train_marks import calibrate_marks, train_marks
from .watermarks import find_fonts

#: Photographs are kept in memory at most this large; more is not needed to cut windows from.
_BASE_SIDE_PX = {"tiles": 1000, "marks": 480, "color": 480}
#: Share of clean validation photographs that may score over 0.5, for each score. Of color: nine scores together may flag 5 %.
_FLAGGED_MARKS, _FLAGGED_COLOR = 0.025, 0.0055


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


class Tiles(IterableDataset):
    """Endless samples; the k-th depends on the arguments and k alone."""

    def __init__(self, photos: Sequence[np.ndarray], seed: int):
        self.photos, self.seed = photos, seed

    def __iter__(self) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        rng = np.random.default_rng([self.seed, 0])
        while True:
            sample = tile_sample(self.photos[rng.integers(len(self.photos))], rng)
            yield tile_input(sample.pixels), sample.target, sample.weight


def train_tiles(
    photos: Sequence[np.ndarray],
    steps: int,
    batch: int,
    seed: int,
    start: Mapping[str, torch.Tensor] | None = None,
    rate: float = 3e-3,
) -> TileNetwork:
    """AdamW, cosine rate from `rate`, averaged weights (EMA 0.999); with `start`, on from there.

    The loss is binary cross-entropy with the planted score as soft label, plus the absolute error, which still pulls
    where cross-entropy is flat.
    """
    torch.manual_seed(seed)
    network = TileNetwork()
    if start is not None:
        network.load_state_dict(start)
    average = copy.deepcopy(network)
    optimizer = torch.optim.AdamW(network.parameters(), lr=rate, weight_decay=0.01)
    loader = DataLoader(Tiles(photos, seed), batch_size=batch, num_workers=1)
    started, running = time.perf_counter(), np.zeros(len(TILE_SCORES))
    for step, (tiles, target, weight) in enumerate(loader):
        if step == steps:
            break
        share = min(1.0, (step + 1) / 200) * 0.5 * (1 + math.cos(math.pi * step / steps))
        for group in optimizer.param_groups:
            group["lr"] = rate * max(share, 0.003)
        logits = network(tiles)
        loss = F.binary_cross_entropy_with_logits(logits, target, weight)
        loss = loss + 2 * ((torch.sigmoid(logits) - target).abs() * weight).mean()
        averaged_step(loss, network, average, optimizer, step)
        with torch.no_grad():
            error = ((torch.sigmoid(logits) - target).abs() * weight).sum(0) / weight.sum(0).clamp(min=1)
        running += (error.numpy() - running) * (0.02 if step > 50 else 0.2)
        if step % 200 == 0:
            seconds = time.perf_counter() - started
            shown = " ".join(f"{n} {e:.3f}" for n, e in zip(TILE_SCORES, running, strict=True))
            print(f"tiles step {step} {seconds:.0f} s, mean absolute error: {shown}", flush=True)
    return average


def main(argv: Sequence[str] | None = None) -> None:
    """Command line; see the module's text."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--photos", required=True, help="folder of clean photographs")
    parser.add_argument("--fonts", nargs="+", required=True, help="folders with .ttf, .otf or .ttc files")
    parser.add_argument("--validation", help="folder of other clean photographs; default: no calibration")
    parser.add_argument("--out", required=True, help="safetensors file to write")
    parser.add_argument("--folds", type=int, default=5,
                        help="networks trained for the calibration of color alone, each without a part of the photos")  # fmt: skip
    parser.add_argument("--part", choices=["all", "tiles", "marks", "color"], default="all",
                        help="train one part and keep the others as they are in --out")  # fmt: skip
    parser.add_argument("--start", help="weights to go on from (tiles, marks); default: from scratch")
    parser.add_argument("--rate", type=float, default=3e-3, help="learning rate")
    parser.add_argument("--steps", type=int, default=6000)
    parser.add_argument("--minutes", type=float, default=math.inf, help="limit of the training of marks")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args(argv)
    torch.set_num_threads(1)
    cv2.setNumThreads(1)  # before the first use: a pool of threads does not survive the fork of the loader
    fonts = find_fonts(args.fonts)
    if not fonts:
        parser.error(f"no fonts below {', '.join(args.fonts)}")
    start = load_file(args.start) if args.start else {}
    state, training = _written(Path(args.out)) if args.part != "all" else ({}, {})
    for part in ("tiles", "marks", "color") if args.part == "all" else (args.part,):
        photos = load_photos(args.photos, _BASE_SIDE_PX[part])
        if len(photos) < 2:
            parser.error(f"fewer than two usable pictures below {args.photos}")
        own = {k.removeprefix(part + "."): v for k, v in start.items() if k.startswith(part + ".")} or None
        about = {"photos": len(photos), "steps": args.steps, "batch": args.batch, "seed": args.seed}
        if part == "tiles":
            network = train_tiles(photos, args.steps, args.batch, args.seed, own, args.rate)
        elif part == "marks":
            limit_s = 60 * args.minutes
            network = train_marks(photos, fonts, args.steps, args.batch, args.seed, own, args.rate, limit_s)
        else:
            how = args.steps, args.batch, args.seed, args.rate
            network = train_color(photos, *how)
        if args.validation and part == "marks":
            others = load_photos(args.validation, _BASE_SIDE_PX[part])
            about["shift"] = calibrate_marks(network, others, args.seed, _FLAGGED_MARKS)
        if args.validation and part == "color":
            others = load_photos(args.validation, _BASE_SIDE_PX[part])
            logits = clean_logits(network, others, args.seed)
            if args.folds:
                logits = torch.cat([logits, held_out_logits(photos, args.folds, *how)])
            about |= {"folds": args.folds, "shift": calibrate_color(network, logits, _FLAGGED_COLOR)}
        state = {k: v for k, v in state.items() if not k.startswith(part + ".")}
        state |= {f"{part}.{k}": v.contiguous() for k, v in network.state_dict().items()}
        training[part] = about
    save_file(state, args.out, metadata={"training": json.dumps(training)})


def _written(path: Path) -> tuple[dict[str, torch.Tensor], dict]:
    """The weights and the history of training of a file written before; empty without one."""
    if not path.exists():
        return {}, {}
    with safe_open(str(path), "pt") as f:
        return {k: f.get_tensor(k) for k in f.keys()}, json.loads(f.metadata()["training"])  # noqa: SIM118


if __name__ == "__main__":
    main()
