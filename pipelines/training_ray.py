"""The same training recipe under Ray Train: workers on any nodes of a cluster in place of torchrun."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path

from zcurate.curation.errors import ConfigError, ZcurateError

from .execution.ray_engine import connect
from .training import find_recipe, run_recipe


def run_on_ray(path: Path, sets: Sequence[str], workers: int, gpu: bool) -> dict:
    """Train a recipe on `workers` processes, each with one GPU or one CPU. Returns what rank 0's run returned.

    The cluster of RAY_ADDRESS, or one of this machine. `out` and the data must be reachable from every node; what is
    finished or begun there is gone on with, as without Ray. Raises ZcurateError with the worker's message.
    """
    from ray.train import RunConfig, ScalingConfig
    from ray.train.torch import TorchConfig, TorchTrainer

    text = find_recipe(path).read_text("utf-8")
    ray, _ = connect()
    available = int(ray.cluster_resources().get("GPU" if gpu else "CPU", 0))
    if workers > available:
        raise ConfigError(f"--ray-workers {workers}: the cluster has {available} {'GPUs' if gpu else 'CPUs'}")
    with tempfile.TemporaryDirectory() as folder:
        answer = Path(folder) / "answer.json"
        trainer = TorchTrainer(
            work,
            train_loop_config={"recipe": text, "sets": list(sets), "answer": str(answer), "cwd": os.getcwd()},
            scaling_config=ScalingConfig(
                num_workers=workers, use_gpu=gpu, resources_per_worker=None if gpu else {"CPU": 1}
            ),
            run_config=RunConfig(name="zcurate", storage_path=folder),
            torch_config=TorchConfig(backend="nccl" if gpu else "gloo"),
        )
        try:
            trainer.fit()
        except Exception as error:  # Ray wraps whatever a worker raised in errors of its own
            raise ZcurateError(f"training on Ray failed: {last_line(error)}") from error
        return json.loads(answer.read_text("utf-8")) if answer.exists() else {}


def work(config: dict) -> None:
    """One worker: the recipe's own loop. Ray has joined the processes before."""
    if os.path.isdir(config["cwd"]):
        os.chdir(config["cwd"])  # paths of the recipe are relative to where the command was given
    with tempfile.TemporaryDirectory() as folder:
        recipe = Path(folder) / "recipe.yaml"
        recipe.write_text(config["recipe"], "utf-8")
        facts = run_recipe(recipe, config["sets"], estimate=False)
    if facts is not None:
        # Where rank 0 runs on another node, its answer stays there; models and logs are in `out`.
        Path(config["answer"]).parent.mkdir(parents=True, exist_ok=True)
        Path(config["answer"]).write_text(json.dumps(facts), "utf-8")


def last_line(error: BaseException) -> str:
    lines = [line for line in str(error).splitlines() if line.strip()]
    return lines[-1].strip() if lines else type(error).__name__
