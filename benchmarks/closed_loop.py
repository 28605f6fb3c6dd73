"""Does going back to the data mend a model? One cycle of the loop against random additions and against more training.

    python benchmarks/closed_loop.py --seed 0              one seed; several: --seed 0 1 2
    python benchmarks/closed_loop.py --quick               minutes: shows that it runs, not what it reaches

A model that draws eight kinds of things (the bundled weights) is trained on a set with ten planted faults
(planted_world.py): that is the base, kept by fingerprint and shared by all arms. `zcurate diagnose` ranks what it draws
badly and says why. The loop then prunes what a diagnosis lists as wrong, augments from a pool of which 95% are
distractors and copies, and trains on. The others train on for equally many steps: with as many random pictures of the
pool in the same mix, and with nothing new. All four models are then probed alike, with prompts' seeds not used before.

Everything is done by the commands a user has; only the world, the random choice and the final sums are made here.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import planted_world
import yaml
from planted_world import CAUSES, Planted, Sizes, planted, save, shows, write_pool, write_training

import zcurate.model
from zcurate.model.data.shapes.world import SceneSpec

CACHE = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "zcurate" / "closed_loop"
ZCURATE = Path(sys.executable).with_name("zcurate")
VERIFIER = "shapes+rare"
#: Share of what a repaired run draws that is new; the rest is the training set as it was.
NEW_SHARE = 0.35
BATCH = 32
OPTIMIZER = {"lr": 2e-3, "warmup_steps": 50, "schedule": "cosine", "floor": 0.05, "ema_decay": 0.995}
ARM_LR = 1e-3
QUICK = Sizes(known=4, healthy=8, starved=2, poisoned=8, good=4)
START_WEIGHTS = Path(zcurate.model.__file__).with_name("tiny_shapes.safetensors")
ARMS = ("loop", "random", "more")


class Run:
    """One seed: its folder, and the commands run in it."""

    def __init__(self, args: argparse.Namespace, seed: int):
        self.args, self.seed = args, seed
        self.sizes = QUICK if args.quick else Sizes()
        self.world: Planted = planted(seed)
        # All that the base depends on.
        about = {
            "seed": seed,
            "sizes": vars(self.sizes),
            "training": [args.base_steps, OPTIMIZER, BATCH, args.compile],
            "files": [digest(Path(planted_world.__file__)), digest(START_WEIGHTS)],
        }
        self.key = hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()[:12]
        self.folder = args.folder / f"{seed}-{self.key}"
        self.folder.mkdir(parents=True, exist_ok=True)
        self.spent: Counter[str] = Counter()

    def __truediv__(self, name: str) -> Path:
        return self.folder / name

    def zcurate(self, what: str, *arguments: object) -> str:
        """Run a command; its wall time counts towards `what`."""
        start = time.perf_counter()
        environment = {**os.environ, "OMP_NUM_THREADS": str(self.args.threads)}
        command = [str(ZCURATE), *map(str, arguments)]
        done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
        self.spent[what] += time.perf_counter() - start
        if done.returncode not in (0, 3):
            raise SystemExit(f"{' '.join(command)}\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}")
        print(f"  {' '.join(map(str, arguments[:3]))} ... {time.perf_counter() - start:.0f} s", flush=True)
        return done.stdout

    def dataset(self, name: str, pictures: Path) -> Path:
        """Ingest, profile, embed; kept where it is there."""
        path, recipe = self / name, self / f"{name}.yaml"
        stages = {"profile": {"quality": False}, "embed": {"model": "embedded"}}
        sources = [{"root": str(pictures), "kind": "folder", "origin": "rendered"}]
        recipe.write_text(
            yaml.safe_dump(
                {"name": name, "dataset": str(path), "sources": sources, "stages": stages, "report": False},
                sort_keys=False,
            )
        )
        self.zcurate("data", "build", recipe, "--engine", self.args.engine)
        return path

    def export(self, dataset: Path, name: str) -> Path:
        out = self / name
        self.zcurate("data", "export", dataset, "--format", "webdataset", "--out", out)
        return out

    def train(self, name: str, start: Path, parts: list[dict], steps: int, **optimizer: float) -> Path:
        recipe = {
            "name": name,
            "out": str(self / name),
            "seed": self.seed,
            "start": str(start),
            "threads": self.args.threads,
            "data": {
                "kind": "shards",
                "parts": parts,
                "captions": {"text": 1},
                "resolution": {"side_px": 32},
                "token_budget": BATCH * 96,
                "max_samples": BATCH,
                "dropout": 0.1,
            },
            "optimizer": {**OPTIMIZER, **optimizer},
            "compile": self.args.compile,
            "stages": [{"name": "on", "steps": steps}],
            "checkpoint_every": 500,
            "keep": 1,
            "tensorboard": False,
        }
        file = self / f"{name}.train.yaml"
        file.write_text(yaml.safe_dump(recipe, sort_keys=False))
        self.zcurate(f"train {name}", "train", file)
        return self / name / "on" / "model"

    def diagnose(self, what: str, model: Path, out: Path, seed: int, *options: object) -> dict:
        concepts = self / "concepts.jsonl"
        concepts.write_text("".join(f"{json.dumps(c)}\n" for c in self.world.concepts))
        self.zcurate(
            what, "diagnose", f"s3dit:{model}", "--concepts", concepts, "--out", out, "--verifier", VERIFIER,
            "--no-ocr", "--size", "32*32", "--batch", 32, "--seed", seed, "--engine", self.args.engine, *options,
        )  # fmt: skip
        return json.loads((out / "diagnosis.json").read_text())


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def base(run: Run) -> tuple[Path, Path, list[SceneSpec]]:
    """The training set and the model trained on it. Returns the dataset, the model, and the scenes."""
    from zcurate.model.pipeline_folder import save_pipeline, shapes_pipeline

    specs = write_training(run / "pictures", run.world, run.sizes, run.seed)
    dataset = run.dataset("training", run / "pictures")
    exported = run.export(dataset, "export")
    start = run / "start"
    if not start.is_dir():
        p = shapes_pipeline()
        save_pipeline(start, p.transformer, p.text_encoder, p.vae, p.schedule, preset=p.preset)
    model = run.train("base", start, [{"url": str(exported)}], run.args.base_steps)
    return dataset, model, specs


def repair(
    run: Run, dataset: Path, training: Sequence[SceneSpec], pool: Path, found: dict, scenes: dict
) -> tuple[Path, dict]:
    """Prune and augment a copy of the dataset as the diagnosis says. Returns it, and what retrieval brought."""
    mended = run / "mended"
    shutil.rmtree(mended, ignore_errors=True)
    shutil.copytree(dataset, mended)
    failing = {f["concept"]["name"]: f["cause"]["name"] for f in found["findings"] if f["cause"]}
    for path in sorted((run / "diagnosis" / "wrong").glob("*.txt")):
        run.zcurate("repair", "prune", mended, "--ids", path, "--reason", "captions say something else")
    shutil.rmtree(run / "augment", ignore_errors=True)
    run.zcurate(
        "repair", "augment", mended, "--pool", pool, "--diagnosis", run / "diagnosis", "--out", run / "augment",
        *(x for name in failing for x in ("--concept", name)), "--per-concept", 100,
        "--verifier", VERIFIER, "--apply", "--engine", run.args.engine,
    )  # fmt: skip
    return mended, retrieved(run, training, pool, scenes)


def retrieved(run: Run, training: Sequence[SceneSpec], pool: Path, scenes: dict) -> dict:
    """Precision by the scenes that the pool was made from: an addition counts when it shows its concept, once, and is new."""
    names = {row["sample_id"].hex(): row["uri"] for row in samples(pool)}
    known = {spec.id for spec in training}
    right, total, seen = Counter(), Counter(), set()
    for sidecar in sorted((run / "augment" / "added").rglob("*.json")):
        facts = json.loads(sidecar.read_text())
        spec, concept = scenes[names[facts["provenance"]["sample_id"]]], facts["concept"]
        total[concept] += 1
        right[concept] += shows(spec, concept) and spec.id not in known and spec.id not in seen
        seen.add(spec.id)
    wanted = {c: len({s.id for s in scenes.values() if shows(s, c)} - known) for c in run.world.faults}
    planted_right = sum(right[c] for c in run.world.faults)
    return {
        "added": sum(total.values()),
        "precision": sum(right.values()) / max(1, sum(total.values())),
        "recall_of_planted": planted_right / sum(wanted.values()),
    }


def samples(dataset: Path) -> list[dict]:
    import pyarrow.parquet as pq

    return [
        row
        for path in sorted((dataset / "samples").glob("*.parquet"))
        for row in pq.read_table(path, columns=["sample_id", "uri", "source"]).to_pylist()
    ]


def parts_of(run: Run, exported: Path, dataset: Path, name: str) -> list[dict]:
    """The recipe mix: everything, and once more what was added."""
    ids = [r["sample_id"].hex() for r in samples(dataset) if r["source"].startswith(("augment-", "random"))]
    listed = run / f"{name}.ids.txt"
    listed.write_text("".join(f"{i}\n" for i in ids))
    whole = {"url": str(exported), "share": 1 - NEW_SHARE}
    return [whole, {"url": str(exported), "share": NEW_SHARE, "only": str(listed)}] if ids else [whole]


def at_random(run: Run, dataset: Path, scenes: dict, count: int) -> Path:
    """A copy of the dataset with so many pictures of the pool, drawn blindly."""
    mixed, folder = run / "mixed", run / "random"
    shutil.rmtree(mixed, ignore_errors=True)
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(dataset, mixed)
    rng = np.random.default_rng([run.seed, 4])
    for name in rng.choice(sorted(scenes), count, replace=False):
        sidecar = json.loads((run / "pool_pictures" / name).with_suffix(".json").read_text())
        save(folder, Path(str(name)).stem, scenes[str(name)], sidecar["caption"])
    run.zcurate("data", "ingest", folder, "--out", mixed, "--name", "random", "--origin", "rendered")
    for stage in ("profile", "embed"):
        run.zcurate("data", "run", stage, mixed, "--engine", run.args.engine)
    return mixed


def rates(found: dict) -> dict[str, float]:
    return {f["concept"]["name"]: f["rate"] for f in found["findings"]}


def one(args: argparse.Namespace, seed: int) -> dict:
    run = Run(args, seed)
    world, start = run.world, time.perf_counter()
    print(f"seed {seed}: {json.dumps(world.faults)}\n{run.folder}", flush=True)
    dataset, model, training = base(run)
    scenes = write_pool(run / "pool_pictures", world, run.sizes, seed, training)
    pool = run.dataset("pool", run / "pool_pictures")

    found = run.diagnose("diagnose", model, run / "diagnosis", seed, "--dataset", dataset)
    order = [f["concept"]["name"] for f in found["findings"]]
    causes = {f["concept"]["name"]: (f["cause"] or {}).get("name") for f in found["findings"]}
    ranked = [c for c in order[:12] if c in world.faults]
    explained = [c for c, fault in world.faults.items() if causes[c] == CAUSES[fault]]

    mended, brought = repair(run, dataset, training, pool, found, scenes)
    exports = {"loop": (run.export(mended, "export_loop"), mended)}
    mixed = at_random(run, dataset, scenes, brought["added"])
    exports["random"] = (run.export(mixed, "export_random"), mixed)
    exports["more"] = (run / "export", dataset)

    probes = ("--least", args.probes, "--most", args.probes)
    after = {"base": rates(run.diagnose("probe", model, run / "probe_base", seed + 1000, *probes))}
    for arm in ARMS:
        exported, of = exports[arm]
        made = run.train(arm, model, parts_of(run, exported, of, arm), args.steps, lr=ARM_LR)
        after[arm] = rates(run.diagnose("probe", made, run / f"probe_{arm}", seed + 1000, *probes))

    def mean(arm: str, names) -> float:
        return 100 * statistics.mean(after[arm][n] for n in names)

    print(f"\n{'concept':>16} {'fault':>9} {'cause said':>24} {'base':>6}" + "".join(f"{a:>8}" for a in ARMS))
    for name in [*world.faults, *world.healthy]:
        values = "".join(f"{100 * after[a][name]:>8.0f}" for a in ARMS)
        print(
            f"{name:>16} {world.faults.get(name, ''):>9} {causes[name] or '':>24} {100 * after['base'][name]:>6.0f}{values}"
        )
    result = {
        "seed": seed,
        "planted_in_top_12": len(ranked),
        "causes_right": len(explained),
        "healthy_called_failing": sum(causes[c] is not None for c in world.healthy),
        "retrieval_precision": round(brought["precision"], 4),
        "retrieval_recall": round(brought["recall_of_planted"], 4),
        "added": brought["added"],
        "planted_base": round(mean("base", world.faults), 1),
        **{f"gain_{a}": round(mean(a, world.faults) - mean("base", world.faults), 1) for a in ARMS},
        "healthy_base": round(mean("base", world.healthy), 1),
        **{f"healthy_{a}": round(mean(a, world.healthy) - mean("base", world.healthy), 1) for a in ARMS},
        "minutes": {k: round(v / 60, 1) for k, v in run.spent.items()},
        "wall_minutes": round((time.perf_counter() - start) / 60, 1),
    }
    (run / "result.json").write_text(json.dumps(result, indent=1))
    print(json.dumps(result), flush=True)
    return result


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seed", type=int, nargs="+", default=[0])
    parser.add_argument("--folder", type=Path, default=CACHE, help="kept: the base is trained once")
    parser.add_argument("--base-steps", type=int, default=2200)
    parser.add_argument("--steps", type=int, default=1600, help="of each arm")
    parser.add_argument(
        "--probes", type=int, default=48, help="pictures of each concept and model at the end"
    )
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--no-compile", dest="compile", action="store_false", help="without a C++ compiler")
    parser.add_argument("--engine", default="inline", help="inline | ray")
    parser.add_argument("--quick", action="store_true")
    args = parser.parse_args()
    if args.quick:
        args.folder = Path(tempfile.mkdtemp(prefix="closed_loop-"))
        args.base_steps, args.steps, args.probes, args.compile = 20, 10, 8, False
    results = [one(args, seed) for seed in args.seed]
    spread = {}
    for key in (
        "planted_in_top_12",
        "causes_right",
        "retrieval_precision",
        *(f"gain_{a}" for a in ARMS),
        "healthy_loop",
    ):
        values = [r[key] for r in results]
        spread[key] = {
            "mean": round(statistics.mean(values), 3),
            "std": round(statistics.stdev(values), 3) if len(values) > 1 else None,
            "values": values,
        }
    print(json.dumps({"seeds": len(results), **spread}))


if __name__ == "__main__":
    main()
