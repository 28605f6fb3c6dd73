"""Train the quality networks from any folder of clean photographs.

    python -m zcurate.curation.profile.quality.train --photos DIR --fonts DIR --out weights.safetensors

A few hundred sharp, correctly exposed photographs without watermarks will do; each is seen thousands of
times, framed and distorted anew. Others, named by --validation, say how many clean pictures would be flagged, and
the biases are moved accordingly. What gave the bundled weights is in MODEL_CARD.md.
"""

from __future__ import annotations

import argparse
import functools
import json
import math
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import nn

from ..decode import decode
from ..errors import ImageError
from .clean_pictures import clean_copy
from .network import TileNetwork
from .train_blur import train_blur
from .train_color import calibrate_color, clean_logits, held_out_logits, train_color
from .train_marks import calibrate_marks, train_marks
from .train_tiles import train_tiles
from .watermarks import find_fonts

#: Photographs are kept in memory at most this large; more is not needed to cut windows from.
_BASE_SIDE_PX = {"tiles": 1000, "blur": 1800, "marks": 900, "color": 480}
#: Learning rates: of `descent.Descent`, of Adam for color.
_RATES = {"tiles": 0.025, "blur": 0.0125, "marks": 0.025, "color": 5e-3}
#: Share of clean photographs that may score over 0.5, for each score but those of tiles: nine scores together may flag 5 %.
_FLAGGED = 0.0055


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


def main(argv: Sequence[str] | None = None) -> None:
    """Command line; see the module's text."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--photos", required=True, help="folder of clean photographs")
    parser.add_argument("--fonts", nargs="+", required=True, help="folders with .ttf, .otf or .ttc files")
    parser.add_argument("--validation", help="folder of other clean photographs; default: no calibration")
    parser.add_argument("--out", required=True, help="safetensors file to write")
    parser.add_argument("--folds", type=int, default=5,
                        help="networks trained for the calibration of color alone, each without a part of the photos")  # fmt: skip
    parser.add_argument("--part", choices=["all", *_RATES], default="all",
                        help="train one part and keep the others as they are in --out; blur needs tiles")  # fmt: skip
    parser.add_argument("--start", help="weights to go on from (tiles, marks); default: from scratch")
    parser.add_argument("--rate", type=float, help=f"learning rate; default: {_RATES}")
    parser.add_argument("--steps", type=int, default=6000)
    parser.add_argument(
        "--minutes",
        type=float,
        default=math.inf,
        help="limit of the training of each network of convolutions",
    )
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
    for part in _RATES if args.part == "all" else (args.part,):
        photos = load_photos(args.photos, _BASE_SIDE_PX[part])
        if len(photos) < 2:
            parser.error(f"fewer than two usable pictures below {args.photos}")
        own = {k.removeprefix(part + "."): v for k, v in start.items() if k.startswith(part + ".")} or None
        keep = functools.partial(_keep, Path(args.out + ".part"), part)
        rate, limit_s = args.rate or _RATES[part], 60 * args.minutes
        about = {
            "photos": len(photos),
            "steps": args.steps,
            "batch": args.batch,
            "seed": args.seed,
            "rate": rate,
        }
        if part == "tiles":
            network = train_tiles(photos, fonts, args.steps, args.batch, args.seed, own, rate, limit_s, keep)
        elif part == "blur":
            known = {k.removeprefix("tiles."): v for k, v in state.items() if k.startswith("tiles.")}
            if not known:
                parser.error(
                    f"{args.out} holds no tile network, which blur is judged beside; train --part tiles first"
                )
            tiles = TileNetwork()
            tiles.load_state_dict(known)
            network = train_blur(photos, fonts, tiles, args.steps, args.batch, args.seed, rate)
        elif part == "marks":
            network = train_marks(photos, fonts, args.steps, args.batch, args.seed, own, rate, limit_s, keep)
        else:
            how = args.steps, args.batch, args.seed, rate
            network = train_color(photos, *how)
        if args.validation and part == "marks":
            others = load_photos(args.validation, _BASE_SIDE_PX[part])
            about["shift"] = calibrate_marks(network, others, args.seed, _FLAGGED)
        if args.validation and part == "color":
            others = load_photos(args.validation, _BASE_SIDE_PX[part])
            logits = clean_logits(network, others, args.seed)
            if args.folds:
                logits = torch.cat([logits, held_out_logits(photos, args.folds, *how)])
            about |= {"folds": args.folds, "shift": calibrate_color(network, logits, _FLAGGED)}
        state = {k: v for k, v in state.items() if not k.startswith(part + ".")}
        state |= {f"{part}.{k}": v.contiguous() for k, v in network.state_dict().items()}
        training[part] = about
    save_file(state, args.out, metadata={"training": json.dumps(training)})
    Path(args.out + ".part").unlink(missing_ok=True)


def _keep(path: Path, part: str, step: int, network: nn.Module) -> None:
    """Write the weights of a training under way, from which --start goes on."""
    save_file({f"{part}.{k}": v.contiguous() for k, v in network.state_dict().items()}, path)
    print(f"{part} after {step} steps: {path}", flush=True)


def _written(path: Path) -> tuple[dict[str, torch.Tensor], dict]:
    """The weights and the history of training of a file written before; empty without one."""
    if not path.exists():
        return {}, {}
    with safe_open(str(path), "pt") as f:
        return {k: f.get_tensor(k) for k in f.keys()}, json.loads(f.metadata()["training"])  # noqa: SIM118


if __name__ == "__main__":
    main()
