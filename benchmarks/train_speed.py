"""A training step of ours against a plain one with diffusers' ZImageTransformer2DModel: same weights, data, optimizer.

    python benchmarks/train_speed.py --threads 1 --clock cpu         # on a busy machine: processor time of one thread
    python benchmarks/train_speed.py                                 # CPU, `small`, float32, 2 threads
    python benchmarks/train_speed.py --quick                         # 2 layers, 2 rounds
    python benchmarks/train_speed.py --device cuda --preset full     # one GPU of 141 GB: MFU, no peer

Ours is `Trainer.train_step`, with everything that it does: drawing noise and times, planning, loss by decile, clipping,
guards, log. The peer's is the shortest that trains the same: noise, forward, mean squared error, backward, clipping,
fused AdamW. Both get latents and text features that are computed before. `ratio_equal`: four prompts of one length,
`ratio_unequal`: of 20, 60, 150 and 400 tokens. The first losses must agree before anything is timed. `mfu`: share of
the best matrix product measured in the same run, backward counted as twice forward, recomputation not counted.

On a GPU: bfloat16 with float32 masters, AdamW, activation checkpointing, compiled blocks; a batch of 1024 px, and a
mixed one from 512 to 1536 px under the same token budget. The last line is JSON.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn

from zcurate.model.config import PRESETS, S3DiTConfig
from zcurate.model.data.examples import Example
from zcurate.model.flow import interpolate
from zcurate.model.guidance import Condition
from zcurate.model.init import new_model
from zcurate.model.model import S3DiT
from zcurate.model.packing import unpatchify
from zcurate.model.state_layouts import to_official
from zcurate.model.train.estimate import matmul_rate
from zcurate.model.train.loop import Network, Settings, Trainer
from zcurate.model.train.objective import FlowMatching
from zcurate.model.train.optim import optimizer_of
from zcurate.model.train.parallel import DTYPES, checkpoint_activations, compile_blocks, join, shard

EQUAL, UNEQUAL = (60, 60, 60, 60), (20, 60, 150, 400)
#: Latent (height, width) of mixed batches on a GPU: 1536 x 1024, 1024 x 1024, 768 x 1280, 512 x 512 px.
MIXED = ((192, 128), (128, 128), (96, 160), (64, 64))
LR, TOLERANCE = 1e-5, 1e-3
CLOCKS = {"wall": time.perf_counter, "cpu": time.process_time}


class Data:
    """One batch again and again, as a feed, and what encoders would make of it."""

    def __init__(self, config: S3DiTConfig, sizes: Sequence[tuple[int, int]], text: Sequence[int]) -> None:
        generator = torch.Generator().manual_seed(1)
        self.text = [torch.randn(n, config.cap_feat_dim, generator=generator) for n in text]
        self.latents = [torch.randn(config.in_channels, *size, generator=generator) for size in sizes]
        self.batch = [
            Example(str(i), "", None, latents=x, text_features=f)
            for i, (x, f) in enumerate(zip(self.latents, self.text, strict=True))
        ]

    def __iter__(self) -> Iterator[list[Example]]:
        yield self.batch

    def state_dict(self) -> dict:
        return {}

    def load_state_dict(self, state: dict) -> None:
        pass

    def encode(self, examples: Sequence[Example]) -> tuple[list[Condition], list[Tensor]]:
        conditions = [
            Condition((e.latents.shape[1], e.latents.shape[2]), (e.text_features,)) for e in examples
        ]
        return conditions, [e.latents for e in examples]


def weights_(model: S3DiT) -> None:
    """Random, none zero, so that every gradient has something to do."""
    generator = torch.Generator(model.x_pad_token.device).manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim == 2 and min(parameter.shape) > 4:
                parameter.normal_(0, parameter.shape[1] ** -0.5, generator=generator)
            else:
                parameter.normal_(0.5, 0.1, generator=generator)


def trainer_of(model: S3DiT, data: Data, group) -> Trainer:
    network = Network(model, optimizer_of(model, lr=LR), lambda update: LR)
    settings = Settings(seed=0, spike_factor=0, peak_flops=0)
    return Trainer({"model": network}, FlowMatching(), data.encode, data, group, settings)


class Peer:
    """The plain training step."""

    def __init__(self, model: S3DiT) -> None:
        from diffusers import ZImageTransformer2DModel

        config = model.config
        fields = {k: v for k, v in config.to_dict().items() if k not in ("_class_name", "omni_quirks")}
        self.model = ZImageTransformer2DModel(**fields)
        self.model.load_state_dict(to_official(model.state_dict(), config), strict=True)
        self.model.train()
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=LR, betas=(0.9, 0.99), fused=True)

    def loss(self, x0: Sequence[Tensor], x1: Sequence[Tensor], t: Tensor, text: list[Tensor]) -> Tensor:
        noisy = [interpolate(a, b, float(s))[:, None] for a, b, s in zip(x0, x1, t, strict=True)]
        out = self.model(noisy, t, text, return_dict=False)[0]
        losses = [(u[:, 0] - (b - a)).square().mean() for u, a, b in zip(out, x0, x1, strict=True)]
        return torch.stack(losses).mean()

    def step(self, data: Data) -> None:
        x0 = [torch.randn_like(x) for x in data.latents]
        t = torch.sigmoid(torch.randn(len(x0)))
        self.loss(x0, data.latents, t, data.text).backward()
        nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)


def agree(trainer: Trainer, peer: Peer, data: Data) -> float:
    """Relative difference of the first losses. Ends the run where they are not those of one model."""
    with torch.no_grad():
        batch = trainer._drawn([data.batch])[0]
        ours = trainer.objective.losses("model", batch, trainer.models).mean()
        sizes = batch.layout.sizes
        theirs = peer.loss(unpatchify(batch.x0, sizes), unpatchify(batch.x1, sizes), batch.t, data.text)
    error = float((ours - theirs).abs() / theirs)
    if not error < TOLERANCE:
        raise SystemExit(
            f"losses {float(ours):.6f} and {float(theirs):.6f}: not the same model, nothing is timed"
        )
    return error


def on_cpu(args: argparse.Namespace, config: S3DiTConfig) -> dict:
    """Medians of steps made in turns."""
    clock, side = CLOCKS[args.clock], 2 * round(args.tokens**0.5)
    group, result = join("cpu"), {}
    rate = matmul_rate(torch.device("cpu"), torch.float32, clock)
    for name, text in (("equal", EQUAL), ("unequal", UNEQUAL)):
        model = new_model(config)
        weights_(model)
        data = Data(config, [(side, side)] * len(text), text)
        trainer = trainer_of(model.train(), data, group)
        try:
            peer = Peer(model)
            print(f"{name}: first losses differ by {agree(trainer, peer, data):.1e}", flush=True)
        except ImportError:
            peer = None
            print("diffusers is not installed: no peer, ratios are null")
        runs = {"ours": trainer.train_step} | ({"peer": lambda p=peer, d=data: p.step(d)} if peer else {})
        taken: dict[str, list[float]] = {key: [] for key in runs}
        for turn in range(args.rounds + 1):
            for key, run in runs.items():
                start = clock()
                record = run()
                if turn:  # the first is for warming up
                    taken[key].append(clock() - start)
                if key == "ours":
                    flops = record["flops"]
        s = {key: statistics.median(values) for key, values in taken.items()}
        result[f"ratio_{name}"] = round(s["peer"] / s["ours"], 3) if peer else None
        result[f"samples_per_s_{name}"] = round(len(text) / s["ours"], 3)
        result[f"mfu_{name}"] = round(flops / s["ours"] / rate, 3)
        print(
            f"{name}, {args.tokens} image tokens, text {text}: "
            + ", ".join(f"{k} {v:.2f} s" for k, v in s.items())
        )
        del model, trainer, peer
    return {**result, "mfu": result["mfu_equal"], "matmul_gflops": round(rate / 1e9, 1)}


def on_gpu(args: argparse.Namespace, config: S3DiTConfig) -> dict:
    """MFU of whole steps: of one size, and of a mixture."""
    group = join("cuda", sharded=True)
    model = new_model(config, device=group.device)
    weights_(model)
    model.train()
    checkpoint_activations(model)
    compile_blocks(model)
    shard(model, group, "bf16")
    rate = matmul_rate(group.device, DTYPES["bf16"])
    square = ((128, 128),) * args.images
    network_data = Data(config, square, [128] * len(square))
    trainer = trainer_of(model, network_data, group)
    result: dict = {"ratio_equal": None, "ratio_unequal": None}
    mixed = (MIXED * args.images)[: args.images]
    for name, sizes in (("1024", square), ("mixed", mixed)):
        data = Data(config, sizes, [64 + 37 * i % 200 for i in range(len(sizes))])
        trainer.feed, trainer.encode, trainer._stream = data, data.encode, None
        records = []
        for _ in range(args.rounds + 2):
            torch.cuda.synchronize()
            start = time.perf_counter()
            record = trainer.train_step()
            torch.cuda.synchronize()
            records.append((time.perf_counter() - start, record["flops"]))
        seconds = statistics.median(t for t, _ in records[2:])
        result[f"mfu_{name}"] = round(records[-1][1] / seconds / rate, 3)
        result[f"samples_per_s_{name}"] = round(len(sizes) / seconds, 3)
        print(
            f"{name}: {seconds:.2f} s a step of {len(sizes)} images, MFU {result[f'mfu_{name}']:.1%}",
            flush=True,
        )
    peak = torch.cuda.max_memory_allocated() / 2**30
    return {
        **result,
        "mfu": result["mfu_1024"],
        "matmul_tflops": round(rate / 1e12, 1),
        "peak_gib": round(peak, 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    parser.add_argument("--preset", default="small", choices=list(PRESETS))
    parser.add_argument("--layers", type=int, help="of the transformer, in place of the preset's")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--tokens", type=int, default=256, help="image tokens of a sample on a CPU")
    parser.add_argument("--images", type=int, default=8, help="of a batch on a GPU")
    parser.add_argument("--clock", default="wall", choices=list(CLOCKS), help="cpu: needs --threads 1")
    parser.add_argument("--quick", action="store_true", help="2 layers, 2 rounds")
    args = parser.parse_args()
    if args.clock == "cpu" and (args.threads != 1 or args.device != "cpu"):
        parser.error("--clock cpu measures one thread of a CPU: add --threads 1")
    torch.set_num_threads(args.threads)
    config = PRESETS[args.preset]
    if args.quick:
        args.layers, args.rounds = 2, 2
        config = replace(config, n_refiner_layers=1)
    if args.layers:
        config = replace(config, n_layers=args.layers)
    result = on_gpu(args, config) if args.device == "cuda" else on_cpu(args, config)
    facts = {"device": args.device, "preset": args.preset, "layers": config.n_layers, "threads": args.threads}
    gpu = {} if args.device == "cuda" else {"gpu": "not run"}
    print(json.dumps({**result, **facts, "clock": args.clock, **gpu}))


if __name__ == "__main__":
    main()
