"""The tiny preset from scratch on the procedural world, then held-out prompts read back by its exact reader.

    python benchmarks/train_shapes.py                      90 minutes on two free cores, then 500 prompts
    python benchmarks/train_shapes.py --quick              under a minute: shows that it runs, not what it reaches
    python benchmarks/train_shapes.py --evaluate           of what a run has reached so far

The budget is CPU time, `--minutes` times `--threads`, so that a shared machine trains as long as an idle one;
both clocks are printed. A run that was stopped goes on where it was, and a finished one is only evaluated.

Training draws scenes of one to four things from a long-tailed distribution in which 15% of the (color, shape)
combinations never occur. Prompts are of two sets, half each. `unseen`: every thing is such a combination, so
that nothing can be remembered. `pairs`: two things, each of which was trained, head and tail alike.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path

import numpy as np

PROMPTS, BATCH, MOST_TEXT_TOKENS = 500, 32, 32
#: Exponent of the weight of a concept over its rank: the first of 54 is drawn seven times as often as the last.
ZIPF = 0.5
COOLING = 0.3  # share of the budget over which the learning rate falls to 0
CACHE = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "zcurate" / "train_shapes"
#: Texts that fit into 32 tokens, so that all sequences are equally long and go through in one call.
MIX = {"en_prompt": 5, "en_short": 2, "en_medium": 1, "en_user_prompts": 1, "en_tags": 1, "zh_short": 1}


def distribution():
    from zcurate.model.data.shapes.world import Distribution

    return Distribution(counts=(0.4, 0.45, 0.1, 0.05), zipf=ZIPF, glyph_share=0.08, held_out=0.15)


def feed(seed: int, rank: int, ranks: int, batch: int):
    from zcurate.model.data.shapes.feed import ShapesFeed
    from zcurate.model.data.shapes.words import prompt_of
    from zcurate.model.tiny_encoders import TOKEN

    def fitting(spec, text: str) -> str:
        for tried in (text, prompt_of(spec), ", ".join(t.concept for t in spec.things)):
            if len(TOKEN.findall(tried)) < MOST_TEXT_TOKENS:
                return tried
        return ""

    return ShapesFeed(
        seed=seed,
        batch=batch,
        steps=1000,
        distribution=distribution(),
        caption_mix=MIX,
        rank=rank,
        ranks=ranks,
        change=fitting,
    )


class Budget:
    """CPU time of all processes of a run, over all its starts, and the learning rate that follows from it."""

    def __init__(self, folder: Path, group, seconds: float, wall_seconds: float, lr: float) -> None:
        self.file, self.group, self.lr = folder / "spent.json", group, lr
        self.seconds, self.wall_seconds = seconds, wall_seconds
        self.before, self.wall_before = 0.0, 0.0
        self.start, self.wall = time.process_time(), time.perf_counter()
        self.spent = self.share = 0.0

    def resume(self, step: int) -> None:
        table = json.loads(self.file.read_text())
        self.before, self.wall_before = table.get(str(step), [0.0, 0.0])
        self.measure()

    def measure(self) -> None:
        """All ranks call it: they agree on what was spent, and so on the learning rate and the end."""
        import torch

        own = torch.tensor(time.process_time() - self.start, dtype=torch.float64)
        self.spent = self.before + float(self.group.total(own))
        wall = self.group.largest(self.wall_before + time.perf_counter() - self.wall)
        self.share = max(self.spent / self.seconds, wall / self.wall_seconds)

    def save(self, step: int) -> None:
        if self.group.rank:
            return
        table = json.loads(self.file.read_text()) if self.file.exists() else {}
        wall = self.wall_before + time.perf_counter() - self.wall
        self.file.write_text(json.dumps({**table, str(step): [self.spent, wall]}))

    def rate(self, update: int) -> float:
        warm = min(1.0, (update + 1) / 200)
        return self.lr * warm * float(np.clip((1 - self.share) / COOLING, 0.01, 1.0))


def work(args: argparse.Namespace) -> None:
    """One process of the run, to the end of the budget; leaves FOLDER/model."""
    import torch

    from zcurate.model.pipeline_folder import tiny_pipeline
    from zcurate.model.train.checkpoint import Checkpoints
    from zcurate.model.train.conditioning import Encoders
    from zcurate.model.train.ema import Ema
    from zcurate.model.train.export import export
    from zcurate.model.train.logs import Logs
    from zcurate.model.train.loop import Network, Settings, Trainer
    from zcurate.model.train.objective import FlowMatching
    from zcurate.model.train.optim import optimizer_of
    from zcurate.model.train.parallel import compile_blocks, join, shard

    torch.set_num_threads(1)
    group = join("cpu")
    budget = Budget(args.folder, group, args.minutes * args.threads * 60, args.wall_minutes * 60, args.lr)
    pipeline = tiny_pipeline(args.seed)
    model = pipeline.transformer.train().requires_grad_(True)
    if args.compile:
        compile_blocks(model, fixed=True)
    shard(model, group)
    network = Network(
        model,
        optimizer_of(model, lr=args.lr, betas=(0.9, 0.98), weight_decay=0.01),
        budget.rate,
        ema=Ema(model, 0.999),
    )
    trainer = Trainer(
        {"model": network},
        FlowMatching(),
        Encoders(pipeline),
        feed(args.seed, group.rank, group.world, args.batch),
        group,
        Settings(seed=args.seed),
        Checkpoints(args.folder / "checkpoints", group, keep=2),
        Logs(args.folder if group.rank == 0 else None),
    )
    if trainer.resume():
        budget.resume(trainer.step)
    saved = time.perf_counter()
    while budget.share < 1:
        record = trainer.run(trainer.step + 20)[-1]
        budget.measure()
        if group.rank == 0 and trainer.step % 200 == 0:
            print(
                f"step {trainer.step}, {trainer.step * args.batch * group.world} scenes, {budget.share:.1%} of the "
                f"budget: loss {record['loss']:.4f}, lr {record['lr']:.2g}, {record['samples_per_s']:.0f} samples/s",
                flush=True,
            )
        if group.largest(time.perf_counter() - saved) > 180 or budget.share >= 1:
            budget.save(trainer.step)
            trainer.save(background=False)
            export(args.folder / "model", network, pipeline, group)
            saved = time.perf_counter()
    if group.rank == 0:
        (args.folder / "done.json").write_text(json.dumps({"step": trainer.step}))
    trainer.logs.close()


def prompts(count: int, seed: int) -> list[tuple[str, object]]:
    """(set, scene): half of each set, `unseen` with one and two things in turn."""
    from zcurate.model.data.shapes.world import held_out_concepts, scene_of

    rng = np.random.default_rng([seed, 11])
    trained, unseen = distribution().concepts(), held_out_concepts(0.15)
    out: list[tuple[str, object]] = []
    for i in range(count):
        name, source, things = ("unseen", unseen, 1 + i // 2 % 2) if i % 2 else ("pairs", trained, 2)
        chosen = rng.choice(len(source), things, replace=False)
        out.append((name, scene_of([source[int(c)] for c in chosen], rng)))
    return out


def evaluate(args: argparse.Namespace) -> dict:
    """Draw and read back. Returns the shares of what holds."""
    import torch

    from zcurate.model.data.shapes.reading import Claim, claims_of, holds, read
    from zcurate.model.data.shapes.words import prompt_of
    from zcurate.model.pipeline_folder import load_pipeline
    from zcurate.model.train.grids import draw, page

    torch.set_num_threads(args.threads)
    pipeline = load_pipeline(args.folder / "model")
    ranks = {f"{c} {s}": i for i, (c, s) in enumerate(distribution().concepts())}
    asked = prompts(args.prompts, args.seed)
    by_concept: dict[str, list[bool]] = defaultdict(list)
    tally: dict[str, list[bool]] = defaultdict(list)
    shown = []
    for start in range(0, len(asked), 50):
        part = asked[start : start + 50]
        texts = [prompt_of(spec) for _, spec in part]
        images = draw(pipeline.transformer, pipeline, texts, (32, 32), args.steps, args.guidance)
        shown += images[:8]
        for (name, spec), image in zip(part, images, strict=True):
            reading = read(np.asarray(image))
            right = [holds(Claim("object", t.concept), reading) for t in spec.things]
            for thing, true in zip(spec.things, right, strict=True):
                by_concept[thing.concept].append(true)
                rank = ranks.get(thing.concept)
                place = "unseen" if rank is None else "head" if rank < len(ranks) / 2 else "tail"
                tally[f"object_{place}"].append(true)
                tally["object"].append(true)
            if len(right) == 2:
                tally["binding"].append(all(right))
                tally[f"binding_{name}"].append(all(right))
            for claim in claims_of(spec):
                if claim.kind != "object":
                    tally[claim.kind].append(holds(claim, reading))
    page(
        [(f"row {i + 1}", shown[i * 8 : i * 8 + 8]) for i in range(min(6, len(shown) // 8))],
        args.folder / "grid.png",
    )
    print(f"{'concept':>18}  rank  right of asked")
    for concept in sorted(by_concept, key=lambda c: ranks.get(c, 999)):
        values, rank = by_concept[concept], ranks.get(concept)
        print(f"{concept:>18}  {'new' if rank is None else rank + 1:>4}  {sum(values):>3} of {len(values)}")
    print(
        "object: color and shape of a thing that was asked for; binding: both things of two; by kind and set:"
    )
    for kind in sorted(tally):
        print(f"{kind:>18}  {np.mean(tally[kind]):.3f} of {len(tally[kind])}")
    return {kind: round(float(np.mean(values)), 4) for kind, values in tally.items()}


def bundle(folder: Path, file: Path, facts: dict) -> None:
    """The model's weights in float16 under their official names, with what they were measured at, as one file."""
    import torch
    from safetensors.torch import save_file

    from zcurate.model.pipeline_folder import load_pipeline
    from zcurate.model.state_layouts import to_official

    model = load_pipeline(folder / "model").transformer
    state = to_official(model.state_dict(), model.config)
    about = {"format": "pt", "config": json.dumps(model.config.to_dict()), "measured": json.dumps(facts)}
    save_file({name: tensor.to(torch.float16).contiguous() for name, tensor in state.items()}, file, about)
    print(f"{file}: {file.stat().st_size / 1e6:.1f} MB")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=90, help="budget: CPU minutes of each thread")
    parser.add_argument("--wall-minutes", type=float, default=math.inf, help="end after these in any case")
    parser.add_argument("--threads", type=int, default=2, help="processes of one thread each")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", type=Path, help=f"of the run, kept; default {CACHE}-SEED")
    parser.add_argument("--lr", type=float, default=3e-3)
    parser.add_argument("--batch", type=int, default=BATCH, help="scenes of one thread's step")
    parser.add_argument("--no-compile", dest="compile", action="store_false", help="without a C++ compiler")
    parser.add_argument("--prompts", type=int, default=PROMPTS)
    parser.add_argument("--steps", type=int, default=20, help="of the sampler")
    parser.add_argument("--guidance", type=float, default=2.0)
    parser.add_argument("--evaluate", action="store_true", help="train no further")
    parser.add_argument("--bundle", type=Path, help="also write the weights as this safetensors file")
    parser.add_argument("--quick", action="store_true")
    args = parser.parse_args()
    if args.quick:
        args.minutes, args.prompts, args.compile, args.steps = 0.2, 40, False, 8
        args.folder = args.folder or Path(tempfile.mkdtemp(prefix="train_shapes-"))
    args.folder = args.folder or CACHE.with_name(f"{CACHE.name}-{args.seed}")
    if "RANK" in os.environ:
        work(args)
        return
    args.folder.mkdir(parents=True, exist_ok=True)
    if not args.evaluate and not (args.folder / "done.json").exists():
        launcher = [
            sys.executable,
            "-m",
            "torch.distributed.run",
            "--standalone",
            "--nproc-per-node",
            str(args.threads),
        ]
        own = [
            __file__,
            "--folder",
            str(args.folder),
            "--minutes",
            str(args.minutes),
            "--threads",
            str(args.threads),
        ]
        own += [
            "--wall-minutes",
            str(args.wall_minutes),
            "--seed",
            str(args.seed),
            "--lr",
            str(args.lr),
            "--batch",
            str(args.batch),
        ]
        own += [] if args.compile else ["--no-compile"]
        subprocess.run([*launcher, *own], check=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
    shares = evaluate(args)
    spent = json.loads((args.folder / "spent.json").read_text())
    step = max(spent, key=int)
    facts = {
        "shape_color_acc": shares["object"],
        "binding_acc": shares["binding"],
        "minutes": round(spent[step][0] / 60 / args.threads, 1),
        "cpu_minutes": round(spent[step][0] / 60, 1),
        "wall_minutes": round(spent[step][1] / 60, 1),
        "samples": int(step) * args.batch * args.threads,
        "prompts": args.prompts,
        "guidance": args.guidance,
        "sampler_steps": args.steps,
        "by_kind": shares,
    }
    if args.bundle:
        bundle(args.folder, args.bundle, facts)
    print(json.dumps(facts))


if __name__ == "__main__":
    main()
