"""A small run that one process or several can make: run by torchrun, it writes what it saw to a folder."""

import json
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file

from zcurate.model.data.examples import Example
from zcurate.model.pipeline_folder import tiny_pipeline
from zcurate.model.tiny_encoders import PixelVae
from zcurate.model.train.checkpoint import Checkpoints
from zcurate.model.train.conditioning import Encoders, image_tensor
from zcurate.model.train.ema import Ema
from zcurate.model.train.loop import Network, Settings, Trainer
from zcurate.model.train.objective import FlowMatching
from zcurate.model.train.optim import learning_rate, optimizer_of
from zcurate.model.train.parallel import Group, checkpoint_activations, compile_blocks, join, shard, whole

GLOBAL_BATCH = 4


def picture(rng, height, width):
    """Soft colors, so that there is something to learn."""
    return np.clip(rng.normal(128, 20, 3) + rng.normal(0, 10, (height, width, 3)), 0, 255).astype(np.uint8)


def latent_of(pixels):
    """Of the tiny preset's autoencoder."""
    return PixelVae().encode(image_tensor(pixels))


def examples(count, edits=True):
    """Pictures of several sizes; every fourth is an edit of a source where `edits`."""
    out = []
    for i in range(count):
        rng = np.random.default_rng(i)
        size = [(16, 16), (16, 24), (8, 12), (20, 16)][i % 4]
        sources = (picture(rng, *size),) if edits and i % 4 == 3 else ()
        prompt = "" if i % 7 == 6 else " ".join(["a red thing"] * (1 + i % 5))
        out.append(Example(f"sample-{i:03}", prompt, picture(rng, *size), references=sources))
    return out


@dataclass
class ListFeed:
    """Global batches of `batch` examples in shuffled order; rank r takes every ranks-th of each."""

    data: list
    rank: int = 0
    ranks: int = 1
    batch: int = GLOBAL_BATCH
    epoch: int = 0
    at: int = 0

    def __iter__(self):
        order = np.random.default_rng(self.epoch).permutation(len(self.data))
        while (self.at + 1) * self.batch <= len(order):
            chosen = order[self.at * self.batch : (self.at + 1) * self.batch]
            self.at += 1
            yield [self.data[i] for i in chosen[self.rank :: self.ranks]]
        self.epoch, self.at = self.epoch + 1, 0

    def state_dict(self):
        return {"epoch": self.epoch, "at": self.at}

    def load_state_dict(self, state):
        self.epoch, self.at = state["epoch"], state["at"]


def trainer(
    folder=None,
    group=None,
    feed=None,
    accumulate=1,
    optimizer="adamw",
    remember=True,
    recompute=False,
    compiled=False,
    logs=None,
    spike_factor=0.0,
    lr=2e-3,
    semantic=True,
):
    group = group or Group()
    pipeline = tiny_pipeline(3, semantic=semantic)
    model = pipeline.transformer.train().requires_grad_(True)
    if recompute:
        checkpoint_activations(model)
    if compiled:
        compile_blocks(model)
    shard(model, group)
    network = Network(
        model,
        optimizer_of(model, optimizer, lr, weight_decay=0.01),
        lambda update: learning_rate(update, lr, warmup=4, total=40, shape="cosine"),
        ema=Ema(model, 0.9) if remember else None,
    )
    return Trainer(
        {"model": network},
        FlowMatching(),
        Encoders(pipeline),
        feed or ListFeed(examples(28), group.rank, group.world),
        group,
        Settings(seed=5, accumulate=accumulate, spike_factor=spike_factor),
        Checkpoints(folder, group, keep=2) if folder else None,
        logs,
    )


def tensors(run):
    """Everything that a checkpoint holds, whole and on this process."""
    return {name: whole(t).clone() for name, t in run.tensors().items()}


def main():
    """Curves and states of both ranks' shared run, for the tests to compare."""
    out = Path(sys.argv[1])
    torch.set_num_threads(1)
    group = join("cpu")
    run = trainer(out / "sharded", group)
    first = run.run(10)
    run.save()
    curve = first + run.run(20)
    run.checkpoints.wait()
    state = tensors(run)
    again = trainer(out / "sharded", group)
    resumed = again.resume()
    second = again.run(20)
    exact = all(torch.equal(a, b) for a, b in zip(state.values(), tensors(again).values(), strict=True))
    small = trainer(out / "eight", group, optimizer="adamw8bit")
    small.run(6)
    small.save(background=False)
    other = trainer(out / "alone", group)
    other.resume()
    widened = other.run(20)
    small_state = tensors(small)
    if group.rank == 0:
        save_file(state, out / "state.safetensors")
        save_file(small_state, out / "small.safetensors")
        facts = {
            "curve": curve,
            "resumed": resumed,
            "second": second,
            "exact": exact,
            "widened": widened,
            "world": group.world,
        }
        (out / "facts.json").write_text(json.dumps(facts))
    torch.distributed.destroy_process_group()


if __name__ == "__main__":
    main()
