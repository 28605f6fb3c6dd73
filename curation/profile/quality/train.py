"""Train the quality networks from any folder of clean photographs.

    python -m zcurate.curation.profile.quality.train --photos DIR --fonts DIR --out weights.safetensors

A few hundred sharp, correctly exposed photographs without watermarks will do; each is seen thousands of
times, framed and distorted anew. Others, named by --validation, say how many clean pictures would be flagged, and
the biases are moved accordingly. Cast is trained by scikit-learn (the extra `demo` has it). What gave the bundled weights is in MODEL_CARD.md.
"""

from __future__ import annotations

import argparse
import functools
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import nn

from ..decode import decode
from ..errors import ImageError
from .calibration import clean_logits, held_out_logits, lower
from .clean_pictures import clean_copy
from .network import TileNetwork
from .train_blur import train_blur
from .train_exposure import train_exposure
from .train_marks import calibrate_marks, train_marks
from .train_tiles import train_tiles
from .watermarks import find_fonts

#: Photographs are kept in memory at most this large; more is not needed to cut windows from.
_BASE_SIDE_PX = {"tiles": 1000, "blur": 1800, "marks": 900, "cast": 512, "exposure": 480}
#: The same of those that calibrate.
_CALIBRATED_SIDE_PX = {"marks": 900, "cast": 512, "exposure": 480}
#: Learning rates: of `descent.Descent`, of boosting for cast, of AdamW for exposure.
_RATES = {"tiles": 0.025, "blur": 0.0125, "marks": 0.025, "cast": 0.06, "exposure": 3e-3}
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
                        help="models trained for the calibration of cast and exposure alone, each without a part of the photos")  # fmt: skip
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
        if part == "blur" and not _part(state, "tiles"):
            parser.error(
                f"{args.out} holds no tile network, which blur is judged beside; train --part tiles first"
            )
        calibrated = args.validation and part in _CALIBRATED_SIDE_PX
        others = load_photos(args.validation, _CALIBRATED_SIDE_PX[part]) if calibrated else []
        if calibrated and not others:
            parser.error(f"no usable pictures below {args.validation}")
        weights, about = _trained(part, photos, others, fonts, state, _part(start, part) or None, args)
        state = {k: v for k, v in state.items() if not k.startswith(part + ".")}
        state |= {f"{part}.{k}": v.contiguous() for k, v in weights.items()}
        training[part] = about
    save_file(state, args.out, metadata={"training": json.dumps(training)})
    Path(args.out + ".part").unlink(missing_ok=True)


def _trained(
    part: str,
    photos: Sequence[np.ndarray],
    others: Sequence[np.ndarray],
    fonts: Sequence[str],
    state: Mapping[str, torch.Tensor],
    start: Mapping[str, torch.Tensor] | None,
    args: argparse.Namespace,
) -> tuple[Mapping[str, torch.Tensor], dict[str, Any]]:
    """Weights of one part, trained and calibrated, and what to note of its training.

    Args:
        others: clean photographs to calibrate by; without any, it is not calibrated.
        state: weights of the parts trained before.
        start: weights of this part to go on from.
    """
    rate = args.rate or _RATES[part]
    how = args.steps, args.batch, args.seed
    limited = start, rate, 60 * args.minutes, functools.partial(_keep, Path(args.out + ".part"), part)
    about = dict(zip(("photos", "steps", "batch", "seed", "rate"), (len(photos), *how, rate), strict=True))
    if part == "tiles":
        return train_tiles(photos, fonts, *how, *limited).state_dict(), about
    if part == "blur":
        tiles = TileNetwork()
        tiles.load_state_dict(_part(state, "tiles"))
        return train_blur(photos, fonts, tiles, *how, rate).state_dict(), about
    if part == "marks":
        marks = train_marks(photos, fonts, *how, *limited)
        if others:
            about["shift"] = calibrate_marks(marks, others, args.seed, _FLAGGED)
        return marks.state_dict(), about
    about |= {"folds": args.folds} if others else {}
    if part == "cast":
        from .train_cast import train_cast  # takes scikit-learn, which nothing else here does

        weights, about["shift"] = train_cast(photos, fonts, *how, rate, args.folds, others, _FLAGGED)
        return weights, about
    network = train_exposure(photos, fonts, *how, rate)
    if others:
        logits = clean_logits(network, others, args.seed)
        if args.folds:
            held_out = held_out_logits(
                lambda some: train_exposure(some, fonts, *how, rate), photos, args.folds, args.seed
            )
            logits = torch.cat([logits, held_out])
        about["shift"] = lower(network[-1].bias, logits, _FLAGGED)
    return network.state_dict(), about


def _part(state: Mapping[str, torch.Tensor], part: str) -> dict[str, torch.Tensor]:
    """The weights of one network, by their names in it."""
    return {k.removeprefix(part + "."): v for k, v in state.items() if k.startswith(part + ".")}


def _keep(path: Path, part: str, step: int, network: nn.Module) -> None:
    """Write the weights of a training under way, from which --start goes on."""
    save_file({f"{part}.{k}": v.contiguous() for k, v in network.state_dict().items()}, path)
    print(f"{part} after {step} steps: {path}", flush=True)


def _written(path: Path) -> tuple[dict[str, torch.Tensor], dict]:
    """The weights and the history of training of a file written before, of the parts there are; empty without one."""
    if not path.exists():
        return {}, {}
    with safe_open(str(path), "pt") as f:
        kept = [k for k in f.keys() if k.split(".")[0] in _RATES]  # noqa: SIM118
        training = json.loads(f.metadata()["training"])
        return {k: f.get_tensor(k) for k in kept}, {k: v for k, v in training.items() if k in _RATES}


if __name__ == "__main__":
    main()
