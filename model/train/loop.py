"""The loop: micro-batches to updates of one network or several, on one process or many."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor, nn

from ..data.examples import Example, Feed
from ..errors import ModelError
from ..guidance import Condition
from ..model import S3DiT
from .checkpoint import Checkpoints
from .ema import Ema
from .errors import CheckpointError
from .estimate import TRAIN, forward_flops
from .logs import Guard, Logs
from .objective import DECILES, Batch, Draw, Objective, Times, batch_from, by_decile, draw_key, strata
from .optim import prepare_state, state_of
from .parallel import Group, anchor, local, repeatable, whole

Encode = Callable[[Sequence[Example]], tuple[list[Condition], list[Tensor]]]


@dataclass
class Network:
    """A model with what updates it. `rate`: learning rate of the update with this number, from 0.

    A network without an optimizer is frozen: objectives may use it, no step may train it.
    """

    model: S3DiT
    optimizer: torch.optim.Optimizer | None = None
    rate: Callable[[int], float] = lambda update: 0.0
    clip_norm: float = 1.0
    ema: Ema | None = None
    updates: int = 0

    def tensors(self) -> dict[str, Tensor]:
        """Everything a checkpoint holds of it: trained weights, their averages, moments."""
        if self.optimizer is None:
            return {}
        out = {f"model/{n}": p.detach() for n, p in self.model.named_parameters() if p.requires_grad}
        out |= {f"optimizer/{n}": t for n, t in state_of(self.model, self.optimizer).items()}
        return out | {f"ema/{n}": t for n, t in (self.ema.shadow if self.ema else {}).items()}

    def update(self) -> None:
        assert self.optimizer is not None
        for group in self.optimizer.param_groups:
            group["lr"] = self.rate(self.updates)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        if self.ema is not None:
            self.ema.update()
        self.updates += 1


@dataclass(frozen=True)
class Settings:
    """Of a loop. accumulate: micro-batches of each rank in a step. every: steps between ..., 0 for never."""

    seed: int = 0
    accumulate: int = 1
    times: Times = field(default_factory=Times)
    checkpoint_every: int = 0
    sample_every: int = 0
    spike_factor: float = 5.0
    #: Operations per second of one device that MFU is a share of; 0: MFU is not logged.
    peak_flops: float = 0.0


class Trainer:
    """One run. All ranks construct it alike and make the same calls.

    sample: called as sample(step) by all ranks every `sample_every` steps.
    """

    def __init__(
        self,
        networks: Mapping[str, Network],
        objective: Objective,
        encode: Encode,
        feed: Feed,
        group: Group,
        settings: Settings,
        checkpoints: Checkpoints | None = None,
        logs: Logs | None = None,
        sample: Callable[[int], None] | None = None,
    ) -> None:
        self.networks, self.objective, self.encode, self.feed = dict(networks), objective, encode, feed
        self.group, self.settings, self.checkpoints, self.sample = group, settings, checkpoints, sample
        self.logs = logs or Logs(None)
        self.models: dict[str, nn.Module] = {name: n.model for name, n in self.networks.items()}
        self.guard = Guard(settings.spike_factor)
        self.step = 0
        for network in self.networks.values():
            if network.optimizer is not None and not network.optimizer.state:
                prepare_state(network.optimizer)
        self._stream: Iterator[list[Example]] | None = None

    def run(self, until: int) -> list[dict]:
        """Train up to step `until`; returns the records of the steps made. Epochs follow one another.

        Raises TrainingHaltedError, CheckpointError, and ValueError for a feed without batches.
        """
        records = []
        while self.step < until:
            records.append(self.train_step())
            due = self.settings.checkpoint_every
            if self.checkpoints and due and self.step % due == 0 and self.step < until:
                self.save()
            if self.sample and self.settings.sample_every and self.step % self.settings.sample_every == 0:
                self.sample(self.step)
        return records

    def train_step(self) -> dict:
        """One step: every network whose turn it is, on `accumulate` micro-batches of each rank."""
        start = time.perf_counter()
        micro = [self._next() for _ in range(self.settings.accumulate)]
        waited = time.perf_counter() - start
        batches = self._drawn(micro)
        prepared = time.perf_counter() - start
        record: dict = {"step": self.step + 1}
        flops = tokens = pads = 0.0
        for name in self.objective.turns(self.step):
            network = self.networks[name]
            losses = self._backward(name, batches)
            loss, deciles = self._reduced(losses, batches)
            norm = self._clipped(network)
            worst = [
                (float(x), id_)
                for values, b in zip(losses, batches, strict=True)
                for x, id_ in zip(values.tolist(), b.ids, strict=True)
            ]
            tag = "" if len(self.networks) == 1 else f"{name}/"
            try:
                self.guard.check(self.step + 1, name, loss, norm, worst)
            except Exception as error:
                self.logs.write({"event": "halted", "step": self.step + 1, "why": str(error)})
                raise
            record |= {f"{tag}loss": loss, f"{tag}grad_norm": norm, f"{tag}lr": network.rate(network.updates)}
            record[f"{tag}loss_by_decile"] = deciles
            network.update()
            config = network.model.config
            flops += TRAIN * sum(forward_flops(config, b.layout) for b in batches)
        for b in batches:
            lengths, real = b.layout.joint.lengths, b.layout.tokens
            tokens += sum(lengths)
            pads += sum(lengths) - real.target - real.references - real.text - real.siglip
        self.step += 1
        samples = sum(len(b.ids) for b in batches)
        sums = self.group.total(torch.tensor([flops, tokens, pads, samples], dtype=torch.float64)).tolist()
        taken = time.perf_counter() - start
        record |= {
            "samples": int(sums[3]),
            "flops": sums[0],
            "seconds": taken,
            "samples_per_s": sums[3] / taken,
            "tokens_per_s": sums[1] / taken,
            "pad_share": sums[2] / sums[1],
            "data_wait_share": waited / taken,
            "encode_share": (prepared - waited) / taken,
        }
        if self.settings.peak_flops:
            record["mfu"] = sums[0] / taken / (self.settings.peak_flops * self.group.world)
        self.logs.write(record)
        return record

    def _next(self) -> list[Example]:
        for _ in range(2):
            if self._stream is None:
                self._stream = iter(self.feed)
            batch = next(self._stream, None)
            if batch:
                return batch
            self._stream = None  # the epoch has ended
        raise ValueError("the feed has no batches")

    def _drawn(self, micro: list[list[Example]]) -> list[Batch]:
        """Encoded micro-batches with noise and times that follow from the samples of the whole step."""
        seed, model = self.settings.seed, next(iter(self.networks.values())).model
        keys = [draw_key(seed, self.step, f"{e.id}\0{e.prompt}") for batch in micro for e in batch]
        everyone = self.group.gather(keys)
        before = [key for rank in everyone[: self.group.rank] for key in rank]
        after = [key for rank in everyone[self.group.rank + 1 :] for key in rank]
        count = len(before) + len(keys) + len(after)
        places = iter(strata(keys, before, after))
        batches = []
        for examples in micro:
            draws = [Draw(seed, self.step, next(places), count) for _ in examples]
            conditions, latents = self.encode(examples)
            ids = [e.id for e in examples]
            batches.append(batch_from(ids, conditions, latents, draws, self.settings.times, model))
        return batches

    def _backward(self, name: str, batches: list[Batch]) -> list[Tensor]:
        """Gradients of the mean loss over all samples of the step; losses of every sample."""
        model, out = self.models[name], []
        for batch in batches:
            # The forward pass, too: compiled code is one piece with its backward.
            with repeatable(self.group.device):
                losses = self.objective.losses(name, batch, self.models)
                # Sharding averages gradients over ranks, so that the sum needs their number.
                (losses.sum() * (batch.weight * self.group.world) + anchor(model)).backward()
            out.append(losses.detach())
        return out

    def _reduced(self, losses: list[Tensor], batches: list[Batch]) -> tuple[float, list[float | None]]:
        """Mean over all samples of the step, and by decile of t (None where no sample fell)."""
        table = sum(by_decile(x, b.t) for x, b in zip(losses, batches, strict=True))
        sums, counts = self.group.total(table)
        means = [float(s / n) if n else None for s, n in zip(sums, counts, strict=True)]
        assert len(means) == DECILES
        return float(sums.sum() / counts.sum()), means

    def _clipped(self, network: Network) -> float:
        """Norm of the gradients of all ranks before they are clipped."""
        parameters = [p for p in network.model.parameters() if p.grad is not None]
        norm = torch.nn.utils.get_total_norm([p.grad for p in parameters])
        norm = whole(norm)
        if network.clip_norm:
            factor = (network.clip_norm / (norm + 1e-6)).clamp(max=1.0)
            torch._foreach_mul_([local(p.grad) for p in parameters], factor)
        return float(norm)

    def tensors(self) -> dict[str, Tensor]:
        return {f"{name}/{k}": t for name, n in self.networks.items() for k, t in n.tensors().items()}

    def save(self, background: bool = True) -> None:
        """Checkpoint this step. Raises CheckpointError as `Checkpoints.save`."""
        assert self.checkpoints is not None
        facts = {
            "networks": {
                name: {"updates": n.updates, "ema_updates": n.ema.updates if n.ema else 0}
                for name, n in self.networks.items()
            },
            "seed": self.settings.seed,
            "losses": {name: list(seen) for name, seen in self.guard.seen.items()},
        }
        own = {"feed": self.feed.state_dict(), "random": random_state()}
        self.checkpoints.save(self.step, self.tensors(), facts, own, background)

    def resume(self, path: Path | None = None) -> bool:
        """Go on from a checkpoint, by default the latest; False where there is none.

        Raises CheckpointError for a checkpoint of another model, optimizer or seed.
        """
        assert self.checkpoints is not None
        path = path or self.checkpoints.latest()
        if path is None:
            return False
        facts, own = self.checkpoints.load(path, self.tensors())
        try:
            self._restore(path, facts, own)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise CheckpointError(f"{path}: its facts are not those of this run: {error!r}") from error
        self.logs.write({"event": "resumed", "at": self.step, "world": self.group.world})
        return True

    def _restore(self, path: Path, facts: dict, own: dict) -> None:
        if facts["seed"] != self.settings.seed:
            raise CheckpointError(f"{path}: was made with seed {facts['seed']}, not {self.settings.seed}")
        try:
            self.feed.load_state_dict(own["feed"])
        except (ValueError, ModelError) as error:
            raise CheckpointError(f"{path}: {error}") from error
        for name, values in facts["networks"].items():
            self.networks[name].updates = int(values["updates"])
            if self.networks[name].ema:
                self.networks[name].ema.updates = int(values["ema_updates"])
        for name, losses in facts["losses"].items():
            self.guard.remember(name, losses)
        self.step = int(facts["step"])
        self._stream = None
        if facts["world"] == self.group.world:
            set_random_state(own["random"])


def random_state() -> dict[str, str]:
    """State of torch's generators in this process, as hex."""
    state = {"cpu": bytes(torch.get_rng_state().tolist()).hex()}
    if torch.cuda.is_available():
        state["cuda"] = bytes(torch.cuda.get_rng_state().tolist()).hex()
    return state


def set_random_state(state: dict[str, str]) -> None:
    torch.set_rng_state(torch.tensor(list(bytes.fromhex(state["cpu"])), dtype=torch.uint8))
    if "cuda" in state and torch.cuda.is_available():
        torch.cuda.set_rng_state(torch.tensor(list(bytes.fromhex(state["cuda"])), dtype=torch.uint8))
