"""The quality model's networks of convolutions as they run in the profile against the same ones in PyTorch, on one core.

    python benchmarks/quality_engine.py

Prints ms of CPU time a picture for each (least of all rounds, which take turns), PyTorch in floating point with 24 pictures at a time and
the weights in the memory order that it is fastest with; and the memory that a process takes with either library loaded and used.
The last line is JSON.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable

import numpy as np
import torch
from safetensors.torch import load_file

from zcurate.curation.profile.quality.inference import mark_engine, tile_engine
from zcurate.curation.profile.quality.model import WEIGHTS
from zcurate.curation.profile.quality.network import MarkNetwork, TileNetwork
from zcurate.curation.profile.quality.parameters import Parameters

PICTURES = 24
NETWORKS = {
    "tiles": (TileNetwork, tile_engine, (7, 32, 32, 16)),
    "marks": (MarkNetwork, mark_engine, (80, 80, 24)),
}


def contenders(part: str) -> dict[str, Callable[[], object]]:
    """PyTorch's and ours, on the same random input."""
    network, engine, shape = NETWORKS[part]
    prefix = part + "."
    state = {k.removeprefix(prefix): v for k, v in load_file(WEIGHTS).items() if k.startswith(prefix)}
    trained = network().eval().to(memory_format=torch.channels_last)
    trained.load_state_dict(state)
    ours = engine(Parameters({k: v.numpy() for k, v in state.items()}))
    given = np.random.default_rng(0).integers(0, 256, (PICTURES, *shape), np.uint8)

    def by_pytorch() -> object:
        with torch.inference_mode():
            return trained(torch.from_numpy(given))

    return {"pytorch": by_pytorch, "ours": lambda: ours(given)}


def least_ms(runs: dict[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    least = dict.fromkeys(runs, float("inf"))
    for _ in range(rounds + 1):  # the first loads libraries
        for name, run in runs.items():
            started = time.process_time()
            run()
            least[name] = min(least[name], 1000 * (time.process_time() - started) / PICTURES)
    return least


def resident_mb(library: str) -> int:
    """Resident memory of a fresh process that has used a library for one convolution."""
    used = {
        "pytorch": "import torch; torch.nn.Conv2d(8, 8, 3)(torch.zeros(1, 8, 16, 16))",
        "openvino": "from zcurate.curation.profile.engine import adds_up_whole_numbers as f; f()",
        "neither": "import numpy",
    }[library]
    code = f"{used}; print(next(int(x.split()[1]) // 1024 for x in open('/proc/self/status') if x.startswith('VmRSS')))"
    return int(
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=30, help="default: 30")
    rounds = parser.parse_args().rounds
    torch.set_num_threads(1)
    result: dict[str, float] = {}
    for part in NETWORKS:
        found = least_ms(contenders(part), rounds)
        print(f"{part:6s} PyTorch {found['pytorch']:.2f} ms, ours {found['ours']:.2f} ms a picture")
        result |= {f"{part}_{name}_ms": round(ms, 3) for name, ms in found.items()}
        result[f"{part}_over_pytorch"] = round(found["pytorch"] / found["ours"], 2)
    for library in ("neither", "pytorch", "openvino"):
        result[f"{library}_mb"] = resident_mb(library)
        print(f"{library:9s} {result[f'{library}_mb']} MB resident")
    print(json.dumps(result))


if __name__ == "__main__":
    main()
