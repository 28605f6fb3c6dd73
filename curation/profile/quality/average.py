"""The mean of weights that were trained apart from one start, which is often better than any of them.

    python -m zcurate.curation.profile.quality.average --part marks --out weights.safetensors A B [C ...]

After Wortsman et al., "Model soups" (2022). Runs of different seeds at a low rate end near enough to each other; their mean is
then written in place of that part of the first file. It is to be calibrated anew: what is flagged is that of no run.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file

from ...errors import ConfigError


def average(files: Sequence[str], part: str) -> dict[str, torch.Tensor]:
    """All weights of the first file, those of one part replaced by their mean over the files.

    Raises:
        ConfigError: a file that is none of weights, or lacks what the first has, or has it in another shape.
    """
    states = []
    for file in files:
        try:
            states.append(load_file(file))
        except (OSError, SafetensorError) as e:
            raise ConfigError(f"{file} holds no weights: {e}") from e
    first = states[0]
    chosen = [name for name in first if name.startswith(part + ".")]
    if not chosen:
        raise ConfigError(f"{files[0]} has no part {part!r}; train it first with --part {part}")
    for file, state in zip(files[1:], states[1:], strict=True):
        for name in chosen:
            if name not in state or state[name].shape != first[name].shape:
                raise ConfigError(
                    f"{file} has no {name} of shape {tuple(first[name].shape)}, as {files[0]} has"
                )
    means = {
        name: torch.stack([state[name].double() for state in states]).mean(dim=0).to(first[name].dtype)
        for name in chosen
    }
    return first | means


def main(argv: Sequence[str] | None = None) -> None:
    """Command line; see the module's text."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("files", nargs="+", help="weights as the training wrote them, two or more")
    parser.add_argument("--part", choices=["tiles", "marks"], required=True)
    parser.add_argument("--out", required=True, help="safetensors file to write")
    args = parser.parse_args(argv)
    if len(args.files) < 2:
        parser.error("name two files or more")
    weights = average(args.files, args.part)
    histories = []
    for file in args.files:
        with safe_open(file, "pt") as f:
            histories.append(json.loads((f.metadata() or {}).get("training", "{}")))
    training = histories[0] | {args.part: {"mean_of": [history.get(args.part) for history in histories]}}
    save_file(weights, args.out, metadata={"training": json.dumps(training)})


if __name__ == "__main__":
    main()
