"""The Ray engine: elastic pools of actors, a deadline for every row, and nothing big in the object store.

An actor is bound to resources, not to a stage, so CPU stages share actors and no pool can
starve another. Actors read and write the dataset themselves; only small records travel.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from zcurate.curation.errors import ConfigError

from ..threads import thread_environment
from .outcome import Outcome
from .rowclock import GLOBAL, ROWS, SETUP, ClockReading, RowClock, clock_dir, read_clocks
from .worker import GlobalTask, MapTask, ShardWorker, TaskFailure

SETUP_DEADLINE_S = 1800.0
IO_DEADLINE_S = 1800.0
GLOBAL_DEADLINE_S = 86_400.0
START_DEADLINE_S = 600.0
_POLL_S = 1.0
#: An idle actor above this share of its memory limit is replaced: stages it has loaded pile up.
_RECYCLE_SHARE = 0.75

Shape = tuple[float, float]


@dataclass
class _Slot:
    """An actor and what it is doing."""

    name: str
    actor: Any
    shape: Shape
    where: Any
    started: float
    memory_bytes: int
    node: str | None = None
    task: MapTask | GlobalTask | None = None
    ref: Any = None
    killed: str | None = None
    reading: ClockReading | None = None


def connect(address: str | None = None) -> tuple[Any, bool]:
    """Start Ray on this machine, or join the cluster that `address` or RAY_ADDRESS names.

    Returns the `ray` module and whether this call made the connection. Raises ConfigError with the fix when Ray cannot start.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    import ray

    if ray.is_initialized():
        return ray, False
    address = address or os.environ.get("RAY_ADDRESS") or "local"
    options: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
    if address == "local":
        options |= {"include_dashboard": False, "object_store_memory": 100 << 20}
    try:
        ray.init(address=address, **options)
    except (ConnectionError, RuntimeError, ValueError, OSError) as e:
        hint = "unset RAY_ADDRESS to run on this machine" if address != "local" else "or use --engine inline"
        raise ConfigError(f"Ray did not start at {address!r}: {e} ({hint})") from e
    return ray, True


class RayEngine:
    """Runs tasks on Ray actors.

    Args:
        run_id: names the row clocks of this run.
        max_workers: most actors at once; default: what the cluster's CPUs allow.

    Attributes:
        peak_rss_bytes: largest resident size of any worker, looked at once a second.
    """

    name = "ray"

    def __init__(
        self,
        dataset_url: str,
        options: dict[str, Any],
        run_id: str,
        address: str | None = None,
        max_workers: int | None = None,
    ):
        self.ray, self._mine = connect(address)
        self.dataset_url, self.options, self.run_id = dataset_url, options, run_id
        self.max_workers = max_workers
        self.peak_rss_bytes = 0
        self._slots: list[_Slot] = []
        self._count = 0
        self._here = self.ray.get_runtime_context().get_node_id()
        self._watchers: dict[str, Any] = {}
        self._polled = time.monotonic()
        self._cluster = self.ray.cluster_resources()
        self._cluster_at = time.monotonic()

    # --- starting work -----------------------------------------------------------------

    def can_start(self, task: MapTask | GlobalTask) -> bool:
        """Is there an idle actor of the right shape, or room to make one?"""
        shape = _shape(task)
        return self._idle(shape) is not None or self._has_room(shape)

    def start(self, task: MapTask | GlobalTask) -> None:
        shape = _shape(task)
        slot = self._idle(shape) or self._new_slot(shape)
        slot.task = task
        if isinstance(task, GlobalTask):  # its tasks may use the CPUs that nobody else does
            for idle in [s for s in self._slots if s.task is None]:
                self._release(idle)
        slot.memory_bytes = task.bound.spec.resources.memory_bytes
        slot.started = time.monotonic()
        slot.ref = slot.actor.run.remote(task)

    def _idle(self, shape: Shape) -> _Slot | None:
        return next((s for s in self._slots if s.task is None and s.shape == shape), None)

    def _has_room(self, shape: Shape) -> bool:
        if time.monotonic() - self._cluster_at > 10:  # clusters grow and shrink
            self._cluster, self._cluster_at = self.ray.cluster_resources(), time.monotonic()
        cpus, gpus = self._cluster.get("CPU", 0.0), self._cluster.get("GPU", 0.0)
        if shape[0] > cpus or shape[1] > gpus:
            raise ConfigError(
                f"a stage asks for {shape[0]:g} CPUs and {shape[1]:g} GPUs; the cluster has {cpus:g} and {gpus:g}"
            )
        busy = [s for s in self._slots if s.task is not None]
        if self.max_workers is not None and len(busy) >= self.max_workers:
            return False
        return (
            sum(s.shape[0] for s in busy) + shape[0] <= cpus
            and sum(s.shape[1] for s in busy) + shape[1] <= gpus
        )

    def _new_slot(self, shape: Shape) -> _Slot:
        """Make an actor. Idle ones of other shapes give up their CPUs first when it needs them."""
        for idle in [s for s in self._slots if s.task is None]:
            cpus = sum(s.shape[0] for s in self._slots) + shape[0]
            gpus = sum(s.shape[1] for s in self._slots) + shape[1]
            if cpus <= self._cluster.get("CPU", 0.0) and gpus <= self._cluster.get("GPU", 0.0):
                break
            self._release(idle)
        self._count += 1
        name = f"w{self._count:05d}"
        cls = self.ray.remote(_RayWorker)
        actor = cls.options(
            num_cpus=shape[0],
            num_gpus=shape[1],
            max_restarts=0,
            runtime_env={"env_vars": thread_environment(shape[0])},
        ).remote(self.dataset_url, self.options, shape[0], self.run_id, name)
        slot = _Slot(name, actor, shape, actor.where.remote(), time.monotonic(), 2 << 30)
        self._slots.append(slot)
        return slot

    def _release(self, slot: _Slot) -> None:
        self._slots.remove(slot)
        self.ray.kill(slot.actor, no_restart=True)

    # --- watching ----------------------------------------------------------------------

    def wait(self, seconds: float) -> Iterator[Outcome]:
        """Outcomes of tasks that ended within the time; also enforces deadlines and memory limits."""
        refs = {s.ref: s for s in self._slots if s.ref is not None}
        if refs:
            ready, _ = self.ray.wait(list(refs), num_returns=1, timeout=seconds)
            if ready:
                ready, _ = self.ray.wait(list(refs), num_returns=len(refs), timeout=0)
            for ref in ready:
                yield self._collect(refs[ref])
        if time.monotonic() - self._polled >= _POLL_S:
            self._polled = time.monotonic()
            self._watch()

    def _collect(self, slot: _Slot) -> Outcome:
        task, ref = slot.task, slot.ref
        slot.task = slot.ref = None
        errors = self.ray.exceptions
        try:
            result = self.ray.get(ref)
        except errors.OutOfMemoryError as e:
            return self._buried(slot, task, "memory", str(e))
        except errors.RayActorError as e:
            if slot.killed:
                return self._buried(slot, task, slot.killed, f"killed: {slot.killed}")
            text = str(e)
            if e.preempted or self._node_is_gone(slot):
                return self._buried(slot, task, "lost", "its node was lost")
            # Ray's memory monitor says so; the kernel's killer leaves only a size near the limit.
            near = slot.reading is not None and slot.reading.rss_bytes > 0.8 * slot.memory_bytes
            kind = "memory" if near or "OUT_OF_MEMORY" in text or "memory monitor" in text else "died"
            return self._buried(slot, task, kind, "its process ended without a word")
        except errors.RayTaskError as e:
            return Outcome(task, failure=TaskFailure("stage", str(e.cause)[:300], trace=str(e)[:4000]))
        if slot.reading and slot.reading.rss_bytes > _RECYCLE_SHARE * slot.memory_bytes:
            self._release(slot)
        return Outcome.of(task, result)

    def _buried(self, slot: _Slot, task: Any, kind: str, message: str) -> Outcome:
        """The outcome of a dead actor: what its row clock says it was doing."""
        if slot in self._slots:
            self._slots.remove(slot)
        reading = self._read([slot]).get(slot.name) or slot.reading
        suspects: tuple[int, ...] = ()
        if reading and reading.task == task.number and reading.phase == ROWS and reading.first >= 0:
            suspects = tuple(range(reading.first, reading.last + 1))
        return Outcome(task, failure=TaskFailure(kind, message), suspects=suspects)

    def _watch(self) -> None:
        busy = [s for s in self._slots if s.task is not None]
        readings = self._read(busy)
        for slot in busy:
            reading = readings.get(slot.name)
            if reading is None or reading.task != slot.task.number:
                if time.monotonic() - slot.started > START_DEADLINE_S:
                    self._kill(slot, "lost")
                continue
            slot.reading = reading
            self.peak_rss_bytes = max(self.peak_rss_bytes, reading.rss_bytes)
            resources = slot.task.bound.spec.resources
            if reading.seconds > _deadline(reading, resources.row_deadline_s):
                self._kill(slot, "deadline")
            elif reading.rss_bytes > resources.memory_bytes and isinstance(slot.task, MapTask):
                self._kill(slot, "memory")

    def _kill(self, slot: _Slot, why: str) -> None:
        slot.killed = why
        self.ray.kill(slot.actor, no_restart=True)

    def _read(self, slots: list[_Slot]) -> dict[str, ClockReading]:
        by_node: dict[str, list[str]] = {}
        for s in slots:
            if s.node is None:
                done, _ = self.ray.wait([s.where], timeout=0)
                if done:
                    try:
                        s.node = self.ray.get(s.where)
                    except self.ray.exceptions.RayError:
                        s.node = self._here  # died in its constructor; there is nothing to read
            if s.node is not None:
                by_node.setdefault(s.node, []).append(s.name)
        found: dict[str, ClockReading] = {}
        for node, names in by_node.items():
            if node == self._here:
                found |= read_clocks(self.run_id, names)
                continue
            try:
                found |= self.ray.get(self._watcher(node).read.remote(self.run_id, names), timeout=10)
            except self.ray.exceptions.RayError:
                self._watchers.pop(node, None)  # the node is going; its actors will report that themselves
        return found

    def _watcher(self, node: str) -> Any:
        if node not in self._watchers:
            from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

            self._watchers[node] = (
                self.ray.remote(_NodeWatcher)
                .options(num_cpus=0, scheduling_strategy=NodeAffinitySchedulingStrategy(node, soft=False))
                .remote()
            )
        return self._watchers[node]

    def _node_is_gone(self, slot: _Slot) -> bool:
        return slot.node is not None and not any(
            n["NodeID"] == slot.node and n["Alive"] for n in self.ray.nodes()
        )

    def running(self) -> list[str]:
        """What every busy worker is on, for people."""
        lines = []
        for s in self._slots:
            if s.task is not None:
                shard = getattr(s.task, "shard", "all shards")
                where = ""
                if s.reading and s.reading.task == s.task.number and s.reading.of:
                    where = f", {s.reading.done} of {s.reading.of} rows"
                elif s.reading and s.reading.phase == ROWS and s.reading.first >= 0 and s.reading.seconds > 5:
                    where = f", row {s.reading.first} for {s.reading.seconds:.0f} s"
                lines.append(f"{s.task.ref.name} {shard}{where}")
        return lines

    def close(self) -> None:
        """Let go of the actors, and of Ray itself when this engine connected to it."""
        for slot in list(self._slots):
            self._release(slot)
        for watcher in self._watchers.values():
            self.ray.kill(watcher, no_restart=True)
        for record in clock_dir(self.run_id).glob("w*"):
            record.unlink(missing_ok=True)
        clock_dir(self.run_id).rmdir()
        if self._mine:
            self.ray.shutdown()


def _shape(task: MapTask | GlobalTask) -> Shape:
    r = task.bound.spec.resources
    return (r.cpus, r.gpus)


def _deadline(reading: ClockReading, row_deadline_s: float) -> float:
    if reading.phase == ROWS and reading.first >= 0:
        return row_deadline_s * (reading.last - reading.first + 1)
    return {SETUP: SETUP_DEADLINE_S, GLOBAL: GLOBAL_DEADLINE_S}.get(reading.phase, IO_DEADLINE_S)


class _RayWorker:
    """The actor: a ShardWorker with a row clock."""

    def __init__(self, dataset_url: str, options: dict[str, Any], cpus: float, run_id: str, name: str):
        self._worker = ShardWorker(dataset_url, options, cpus, RowClock(clock_dir(run_id) / name))

    def where(self) -> str:
        import ray

        return ray.get_runtime_context().get_node_id()

    def run(self, task: MapTask | GlobalTask) -> Any:
        return self._worker.run(task)


class _NodeWatcher:
    """Reads the row clocks of another machine."""

    def read(self, run_id: str, names: list[str]) -> dict[str, ClockReading]:
        return read_clocks(run_id, names)
