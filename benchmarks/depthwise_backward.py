"""Forward and backward pass of depthwise convolutions on one core: ours against PyTorch's, as training runs them.

    python benchmarks/depthwise_backward.py

Prints, for the sizes of the watermark network and a batch of 32, milliseconds of both and their ratio (the median of
rounds in which they take turns). Ends with one line of JSON.
"""

from __future__ import annotations

import argparse
import json
import time

import numpy as np
import torch
from torch import nn

from zcurate.curation.profile.quality.depthwise import DepthwiseConv2d

#: Channels, and cells along each side.
SIZES = ((48, 40), (64, 20), (96, 10))


def seconds(layer: nn.Module, x: torch.Tensor) -> float:
    given = x.clone().requires_grad_()
    layer.zero_grad()
    started = time.perf_counter()
    with torch.autocast("cpu", torch.bfloat16):
        out = layer(given)
    out.backward(torch.ones_like(out))
    return time.perf_counter() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--batch", type=int, default=32)
    args = parser.parse_args()
    torch.set_num_threads(1)
    result = {}
    for channels, side in SIZES:
        layers = [DepthwiseConv2d(channels, 5), nn.Conv2d(channels, channels, 5, padding=2, groups=channels)]
        x = torch.randn(args.batch, channels, side, side).contiguous(memory_format=torch.channels_last)
        for layer in layers:
            seconds(layer.to(memory_format=torch.channels_last), x)  # compiles, fills caches
        ours, theirs = np.median(
            [[seconds(layer, x) for layer in layers] for _ in range(args.rounds)], axis=0
        )
        print(
            f"{channels} x {side} x {side}: ours {ours * 1e3:.1f} ms, PyTorch {theirs * 1e3:.1f} ms, {theirs / ours:.1f}x"
        )
        result[f"{channels}x{side}"] = round(float(theirs / ours), 2)
    print(json.dumps(result))


if __name__ == "__main__":
    main()
