"""S3-DiT against diffusers' ZImageTransformer2DModel: the same weights, device, dtype and inputs.

    python benchmarks/s3dit_speed.py                                 # CPU, `small`, float32, 2 threads
    python benchmarks/s3dit_speed.py --quick                         # fewer rounds and layers
    python benchmarks/s3dit_speed.py --device cuda --preset full     # 8-step denoise loop in bfloat16
    python benchmarks/s3dit_speed.py --loop --preset tiny            # the same compiled loop on a CPU

On a CPU a batch of four goes through both models in turns, once with prompts of one length and once with
20, 60, 150 and 400 tokens. `ratio_*` is the peer's median time over ours for a whole forward, text
refiners included; `ratio_*_hoisted` leaves out what a sampling loop does once per prompt;
`ratio_*_same_kernels` has ours multiply with torch's default library as the peer does. The outputs must
agree before anything is timed. `ceiling_share` is our rate over the best matrix product of the same run;
operations on padding do not count.

On a GPU: the denoise loop of one image (Turbo: 8 Euler steps, shift 3), blocks compiled, text and
modulations made before the loop, against the peer's forward without compilation. The last line is JSON.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import torch
import torch.nn.functional as F

from zcurate.model import linear
from zcurate.model.config import PRESETS, S3DiTConfig
from zcurate.model.model import Encoded, Features, Modulations, S3DiT
from zcurate.model.packed import Layout, Sample
from zcurate.model.packing import patchify, plan, unpatchify
from zcurate.model.state_layouts import to_official

EQUAL, UNEQUAL = (60, 60, 60, 60), (20, 60, 150, 400)
STEPS, SHIFT = 8, 3.0
TOLERANCE = {torch.float32: 1e-4, torch.bfloat16: 0.1}

#: What `seconds` reads; `--clock cpu` replaces it.
CLOCKS = {"wall": time.perf_counter, "cpu": time.process_time}

lines: list[str] = []
clock = CLOCKS["wall"]


def say(text: str) -> None:
    print(text, flush=True)
    lines.append(text)


def build(
    config: S3DiTConfig, device: torch.device, dtype: torch.dtype
) -> tuple[S3DiT, torch.nn.Module | None]:
    """Ours with random weights, none zero, and the peer with the same ones (None: not installed)."""
    with torch.device("meta"):
        model = S3DiT(config).to(dtype)
    model.to_empty(device=device).eval()
    generator = torch.Generator(device).manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim == 2 and min(parameter.shape) > 4:
                parameter.normal_(0, parameter.shape[1] ** -0.5, generator=generator)
            else:
                parameter.normal_(0.5, 0.1, generator=generator)
    try:
        from diffusers import ZImageTransformer2DModel
    except ImportError:
        say("diffusers is not installed: no peer, ratios are null")
        return model, None
    fields = {k: v for k, v in config.to_dict().items() if k not in ("_class_name", "omni_quirks")}
    with torch.device("meta"):
        peer = ZImageTransformer2DModel(**fields)
    peer.load_state_dict(to_official(model.state_dict(), config), strict=True, assign=True)
    return model, peer.eval()


def forward_flops(config: S3DiTConfig, layout: Layout, hoisted: bool) -> float:
    """Operations of products and attention, two per multiply-add, on the tokens that exist."""
    block = 2 * (4 * config.dim**2 + 3 * config.dim * config.ffn_dim)
    image, text, joint = layout.image.lengths, layout.text.lengths, layout.joint.lengths
    streams = [(config.n_refiner_layers, image), (config.n_layers, joint)]
    if not hoisted:
        streams.append((config.n_refiner_layers, text))
    total = sum(n * sum(block * s + 4 * config.dim * s * s for s in lengths) for n, lengths in streams)
    ends = 2 * 2 * config.patch_dim * config.dim * layout.tokens.target
    return total + ends + (0 if hoisted else 2 * config.cap_feat_dim * config.dim * layout.tokens.text)


def seconds(run: Callable[[], object], device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize()
    start = clock()
    run()
    if device.type == "cuda":
        torch.cuda.synchronize()
    return clock() - start


def ceiling(rows: int, config: S3DiTConfig, device: torch.device, dtype: torch.dtype) -> dict[str, float]:
    """Operations per second of matrix products alone, of each library at hand: best of some tries."""
    n, k = 2 * config.ffn_dim, config.dim
    if device.type == "cuda":
        rows, n, k = 8192, 8192, 8192
    x, w = torch.randn(rows, k, device=device).to(dtype), torch.randn(n, k, device=device).to(dtype)
    runs = {"torch": lambda: F.linear(x, w)}
    if linear.applies(x, w):
        runs["onednn"] = lambda: linear.product(x, w)
    best = {}
    for name, run in runs.items():
        run()
        best[name] = 2 * rows * n * k / min(seconds(run, device) for _ in range(10))
    return best


class Case:
    """One batch, as both models take it."""

    def __init__(self, config: S3DiTConfig, model: S3DiT, text: tuple[int, ...], side: int) -> None:
        parameter = model.x_embedder.weight
        generator = torch.Generator().manual_seed(1)

        def normal(*shape: int) -> torch.Tensor:
            return torch.randn(*shape, generator=generator).to(parameter)

        self.layout = plan([Sample((side, side), (n,)) for n in text], config, parameter.device)
        self.latents = [normal(config.in_channels, side, side) for _ in text]
        self.text = [normal(n, config.cap_feat_dim) for n in text]
        self.x, self.features = patchify(self.latents), Features(torch.cat(self.text))
        self.t = torch.full((len(text),), 0.3, device=parameter.device)
        self.encoded = model.encode(self.features, self.layout)
        self.modulations = model.modulations(self.t[:1], self.layout)

    def ours(self, model: S3DiT) -> torch.Tensor:
        return model(self.x, self.t, self.features, self.layout)

    def ours_hoisted(self, model: S3DiT) -> torch.Tensor:
        return model(self.x, self.modulations, self.encoded, self.layout)

    def ours_same_kernels(self, model: S3DiT) -> torch.Tensor:
        fast, linear.FAST = linear.FAST, False
        try:
            return self.ours(model)
        finally:
            linear.FAST = fast

    def theirs(self, peer: torch.nn.Module) -> list[torch.Tensor]:
        return peer([x[:, None] for x in self.latents], self.t, self.text, return_dict=False)[0]

    def check(self, model: S3DiT, peer: torch.nn.Module) -> float:
        """The largest difference over the largest magnitude. Raises where the models disagree."""
        pairs = zip(unpatchify(self.ours(model), self.layout.sizes), self.theirs(peer), strict=True)
        error = max(float((a - b[:, 0]).abs().max() / b.abs().max()) for a, b in pairs)
        if not error < TOLERANCE[self.x.dtype]:
            raise SystemExit(f"the models differ by {error:.2e}: not the same computation, nothing is timed")
        return error


def compare(case: Case, model: S3DiT, peer: torch.nn.Module | None, rounds: int) -> dict[str, float]:
    """Median seconds of each variant, measured in turns."""
    device = case.x.device
    runs: dict[str, Callable[[], object]] = {
        "ours": lambda: case.ours(model),
        "hoisted": lambda: case.ours_hoisted(model),
        "same_kernels": lambda: case.ours_same_kernels(model),
    }
    if peer is not None:
        runs["peer"] = lambda: case.theirs(peer)
    taken: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(rounds):
        for name, run in runs.items():
            taken[name].append(seconds(run, device))
    return {name: statistics.median(times) for name, times in taken.items()}


def run_forwards(args: argparse.Namespace, config: S3DiTConfig) -> dict:
    device, dtype = torch.device(args.device), torch.float32
    model, peer = build(config, device, dtype)
    result: dict = {}
    for tokens in args.tokens:
        side = 2 * round(tokens**0.5)
        tail = "" if tokens == args.tokens[0] else f"_{tokens}"
        for name, text in (("equal", EQUAL), ("unequal", UNEQUAL)):
            case = Case(config, model, text, side)
            case.ours(model)
            if not result:
                result["peak_rss_gb"] = round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, 2)
            error = case.check(model, peer) if peer is not None else None
            s = compare(case, model, peer, args.rounds)
            limits = ceiling(len(case.layout.joint.cos), config, device, dtype)
            rate = forward_flops(config, case.layout, False) / s["ours"]
            say(
                f"{name}, {tokens} latent tokens, text {text}: "
                + ", ".join(f"{k} {1e3 * v:.0f} ms" for k, v in s.items())
                + f"; {rate / 1e9:.0f} of {max(limits.values()) / 1e9:.0f} GFLOP/s"
                + (f"; largest relative difference {error:.1e}" if error is not None else "")
            )
            for key, ours in (("", "ours"), ("_hoisted", "hoisted"), ("_same_kernels", "same_kernels")):
                result[f"ratio_{name}{tail}{key}"] = (
                    round(s["peer"] / s[ours], 3) if peer is not None else None
                )
            if not tail and name == "equal":
                result |= {
                    "ceiling_share": round(rate / max(limits.values()), 3),
                    "ms_per_forward": round(1e3 * s["ours"], 1),
                    "tflops": round(rate / 1e12, 4),
                    **{f"{k}_matmul_tflops": round(v / 1e12, 4) for k, v in limits.items()},
                }
    return result


def turbo_times(device: torch.device) -> torch.Tensor:
    """Times 0 ... 1 of the loop, one more than steps: sigma from 1 to 1/steps, shifted, then 0."""
    sigma = torch.linspace(1, 1 / STEPS, STEPS)
    sigma = SHIFT * sigma / (1 + (SHIFT - 1) * sigma)
    return (1 - torch.cat([sigma, torch.zeros(1)])).to(device)


def denoise(
    model: S3DiT, x: torch.Tensor, steps: list[Modulations], dt: torch.Tensor, text: Encoded, layout: Layout
) -> torch.Tensor:
    """Euler steps of x float32; dt stays on the device, so nothing waits for it."""
    for i, step in enumerate(steps):
        x = x + dt[i] * model(x, step, text, layout)
    return x


def kernels(device: torch.device):
    """cuDNN's attention first, where there is a choice."""
    if device.type != "cuda":
        return nullcontext()
    from torch.nn.attention import SDPBackend, sdpa_kernel

    order = [SDPBackend.CUDNN_ATTENTION, SDPBackend.FLASH_ATTENTION, SDPBackend.EFFICIENT_ATTENTION]
    return sdpa_kernel(order, set_priority=True)


def run_loop(args: argparse.Namespace, config: S3DiTConfig) -> dict:
    device = torch.device(args.device)
    dtype = torch.bfloat16 if device.type == "cuda" else torch.float32
    model, peer = build(config, device, dtype)
    limits = ceiling(1024, config, device, dtype)
    times = turbo_times(device)
    cases = {size: Case(config, model, (64,), size // 8) for size in args.sizes}
    if peer is not None:
        error = cases[args.sizes[-1]].check(model, peer)
        say(f"largest relative difference before compilation {error:.1e}")
    for block in (*model.noise_refiner, *model.layers):
        block.compile(fullgraph=True, mode=args.mode)
    result: dict = {}
    for size, case in cases.items():
        x, dt = case.x.float(), times.diff()
        schedule = model.schedule(times[:-1], case.layout)

        def ours(x=x, schedule=schedule, dt=dt, case=case):
            return denoise(model, x, schedule, dt, case.encoded, case.layout)

        def theirs(case=case):
            for _ in range(STEPS):
                case.theirs(peer)

        with kernels(device):
            start = time.perf_counter()
            finite = bool(ours().isfinite().all())
            say(
                f"{size} px: first loop, with compilation, {time.perf_counter() - start:.1f} s, finite: {finite}"
            )
            ours()
            if device.type == "cuda":
                torch.cuda.reset_peak_memory_stats()
            own, other = [], []
            for _ in range(args.rounds):
                own.append(seconds(ours, device))
                if peer is not None:
                    other.append(seconds(theirs, device))
        loop_s = statistics.median(own)
        rate = STEPS * forward_flops(config, case.layout, True) / loop_s
        row = {
            "loop_s": round(loop_s, 4),
            "ms_per_forward": round(1e3 * loop_s / STEPS, 2),
            "tflops": round(rate / 1e12, 4),
            "ceiling_share": round(rate / max(limits.values()), 3),
            "ratio_equal": round(statistics.median(other) / loop_s, 3) if other else None,
        }
        say(f"{size} px, {STEPS} steps: {row}")
        result |= row if size == args.sizes[0] else {f"{k}_{size}": v for k, v in row.items()}
    if device.type == "cuda":
        result["peak_gpu_gb"] = round(torch.cuda.max_memory_allocated() / 2**30, 2)
    return {"ratio_unequal": None, **result, "matmul_tflops": round(max(limits.values()) / 1e12, 4)}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    parser.add_argument("--preset", default="small", choices=list(PRESETS))
    parser.add_argument("--threads", type=int, default=2, help="CPU threads")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument(
        "--tokens", type=int, nargs="+", default=[1024, 256], help="latent tokens of an image"
    )
    parser.add_argument("--loop", action="store_true", help="the compiled denoise loop, also on a CPU")
    parser.add_argument("--sizes", type=int, nargs="+", help="image sides of the loop, px")
    parser.add_argument("--mode", default="default", help="torch.compile mode of the blocks")
    parser.add_argument(
        "--quick", action="store_true", help="under a minute on a free machine: 2 layers, 2 rounds"
    )
    parser.add_argument("--record", help="keep the output as benchmarks/results/NAME.txt")
    parser.add_argument(
        "--clock",
        default="wall",
        choices=list(CLOCKS),
        help="cpu: processor time of one thread, on a busy machine",
    )
    args = parser.parse_args()
    if args.clock == "cpu" and (args.threads != 1 or args.device != "cpu"):
        parser.error("--clock cpu measures one thread of a CPU: add --threads 1")
    global clock
    clock = CLOCKS[args.clock]
    torch.set_num_threads(args.threads)
    config = PRESETS[args.preset]
    loop = args.loop or args.device == "cuda"
    args.sizes = args.sizes or ([1024, 2048, 512] if args.device == "cuda" else [256])
    if args.quick:
        config = replace(config, n_layers=min(config.n_layers, 2), n_refiner_layers=1)
        args.rounds, args.tokens, args.sizes = 2, args.tokens[:1], args.sizes[:1]
    say(
        f"torch {torch.__version__}, {args.device}, {args.preset}, {config.n_layers} layers, threads {args.threads}"
    )
    with torch.inference_mode():
        result = run_loop(args, config) if loop else run_forwards(args, config)
    result |= {"device": args.device, "preset": args.preset, "layers": config.n_layers}
    result |= {"threads": args.threads, "clock": args.clock}
    print(json.dumps(result))
    if args.record:
        folder = Path(__file__).parent / "results"
        folder.mkdir(exist_ok=True)
        (folder / f"{args.record}.txt").write_text("\n".join([*lines, json.dumps(result), ""]), "utf-8")


if __name__ == "__main__":
    main()
