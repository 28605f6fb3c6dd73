"""Checkpoints of a run: sharded safetensors by torch.distributed.checkpoint, written in the background.

A checkpoint is a folder `step-00000100` with one file per rank and `checkpoint.json`, which lists them with
their sizes. It is written under another name and renamed when all of it is on disk, so that a folder of
that name is whole, and a crash or a full disk leaves the one before it as it was. No file holds pickles.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import threading
import warnings
from collections.abc import Mapping
from pathlib import Path

import torch
import torch.distributed.checkpoint as dcp
from safetensors import SafetensorError
from torch import Tensor
from torch.distributed.checkpoint.api import CheckpointException
from torch.distributed.checkpoint.metadata import TensorStorageMetadata

from .errors import CheckpointError
from .parallel import Group, local

FACTS = "checkpoint.json"
#: Facts of one rank (feed cursor, random state) travel as bytes among the tensors, under this name.
OWN = "rank"
NAMED = 5


class Checkpoints:
    """The checkpoints of one run. All ranks make the same calls."""

    def __init__(self, folder: Path | str, group: Group, keep: int = 3) -> None:
        self.folder, self.group, self.keep = Path(folder), group, keep
        self.failures = 0  # background writes in a row that failed
        self._thread: threading.Thread | None = None
        self._error: Exception | None = None
        if group.rank == 0:
            self.folder.mkdir(parents=True, exist_ok=True)
            for part in self.folder.glob(".step-*.part"):
                shutil.rmtree(part, ignore_errors=True)
        group.barrier()

    def save(
        self, step: int, tensors: Mapping[str, Tensor], facts: dict, own: dict, background: bool = True
    ) -> None:
        """Write a checkpoint. Tensors are copied first, so that training may go on at once.

        facts: JSON, the same on all ranks. own: JSON of this rank. Raises CheckpointError, in the
        foreground when this write failed, in the background when three in a row did.
        """
        self.wait(raises=False)
        state = {name: _copy(tensor) for name, tensor in tensors.items()}
        data = torch.frombuffer(bytearray(json.dumps(own).encode()), dtype=torch.uint8).clone()
        state[f"{OWN}/{self.group.rank}"] = data
        if not background:
            self._write(step, state, facts)
            self.wait()
            return
        self._thread = threading.Thread(target=self._write, args=(step, state, facts), daemon=True)
        self._thread.start()

    def wait(self, raises: bool = True) -> None:
        """Until the write under way has ended. Raises CheckpointError if it failed."""
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        error, self._error = self._error, None
        if error is None:
            return
        message = f"{self.folder}: a checkpoint could not be written ({_cause(error)}); "
        latest = self.latest()
        message += f"the last whole one is {latest.name}" if latest else "there is none before it"
        if raises or self.failures >= 3:
            raise CheckpointError(message) from error
        print(f"zcurate: {message}; training goes on", file=sys.stderr)

    def _write(self, step: int, state: dict[str, Tensor], facts: dict) -> None:
        part = self.folder / f".step-{step:08}.part"
        try:
            _quietly(
                dcp.save,
                state,
                storage_writer=dcp.HuggingFaceStorageWriter(str(part), save_distributed=True),
                process_group=self.group.storage,
                no_dist=self.group.storage is None,
            )
            if self.group.rank == 0:
                self._finish(part, step, facts)
            self.failures = 0
        except (CheckpointException, OSError, RuntimeError, SafetensorError) as error:
            self._error = error
            self.failures += 1
            if self.group.rank == 0:
                shutil.rmtree(part, ignore_errors=True)

    def _finish(self, part: Path, step: int, facts: dict) -> None:
        files = {file.name: file.stat().st_size for file in sorted(part.iterdir())}
        text = json.dumps({"step": step, "world": self.group.world, "files": files, **facts}, indent=1)
        with (part / FACTS).open("w", encoding="utf-8") as out:
            out.write(text)
            out.flush()
            os.fsync(out.fileno())
        final = self.folder / f"step-{step:08}"
        if final.exists():
            shutil.rmtree(final)
        part.rename(final)
        for old in self.all()[: -self.keep]:
            shutil.rmtree(old)

    def all(self) -> list[Path]:
        """Finished checkpoints, oldest first."""
        return sorted(path for path in self.folder.glob("step-*") if (path / FACTS).is_file())

    def latest(self) -> Path | None:
        """The newest whole checkpoint; damaged ones are named in a warning and passed over."""
        for path in reversed(self.all()):
            try:
                read_facts(path)
            except CheckpointError as error:
                warnings.warn(f"{error}; an older one is used", stacklevel=2)
                continue
            return path
        return None

    def load(self, path: Path, tensors: dict[str, Tensor]) -> tuple[dict, dict]:
        """Fill tensors in place, whatever the number of ranks that wrote them. Returns (facts, own).

        own is that of this rank, or rank 0's where the number of ranks has changed.
        Raises CheckpointError unless the checkpoint has exactly these tensors.
        """
        facts = read_facts(path)
        reader = dcp.HuggingFaceStorageReader(str(path))
        try:
            saved = reader.read_metadata().state_dict_metadata
        except (SafetensorError, OSError, ValueError, KeyError) as error:
            raise CheckpointError(f"{path}: cannot be read: {error}") from error
        rank = self.group.rank if facts["world"] == self.group.world else 0
        shapes = {k: tuple(v.size) for k, v in saved.items() if isinstance(v, TensorStorageMetadata)}
        _check(path, {k: s for k, s in shapes.items() if not k.startswith(f"{OWN}/")}, tensors)
        own = torch.zeros(shapes.get(f"{OWN}/{rank}", 0), dtype=torch.uint8)
        try:
            _quietly(
                dcp.load,
                {**tensors, f"{OWN}/{rank}": own},
                storage_reader=dcp.HuggingFaceStorageReader(str(path)),
                process_group=self.group.storage,
                no_dist=self.group.storage is None,
            )
            return facts, json.loads(bytes(own.tolist()))
        except (CheckpointException, SafetensorError, OSError, ValueError) as error:
            raise CheckpointError(f"{path}: cannot be read: {_cause(error)}") from error


def read_facts(path: Path) -> dict:
    """checkpoint.json. Raises CheckpointError where it is no such file, or a file it lists is missing or cut."""
    try:
        facts = json.loads((path / FACTS).read_text("utf-8"))
        sizes = {(path / name): size for name, size in facts["files"].items() if Path(name).name == name}
        facts["step"], facts["world"]
    except (OSError, ValueError, KeyError, AttributeError, TypeError) as error:
        raise CheckpointError(f"{path / FACTS}: not the facts of a checkpoint: {error!r}") from error
    for file, size in sizes.items():
        actual = file.stat().st_size if file.is_file() else 0
        if actual != size:
            raise CheckpointError(f"{file}: {actual} bytes where {size} were written; delete {path.name}")
    return facts


def _check(path: Path, saved: dict[str, tuple[int, ...]], wanted: Mapping[str, Tensor]) -> None:
    faults = [f"{n} missing" for n in wanted if n not in saved]
    faults += [f"{n} unexpected" for n in saved if n not in wanted]
    faults += [
        f"{n} is {list(saved[n])}, not {list(t.shape)}"
        for n, t in wanted.items()
        if n in saved and saved[n] != tuple(t.shape)
    ]
    if faults:
        more = f" and {len(faults) - NAMED} more" if len(faults) > NAMED else ""
        raise CheckpointError(
            f"{path}: is of another model, optimizer or set of networks: {', '.join(faults[:NAMED])}{more}. "
            "Use the recipe it was made with, or another folder for this one"
        )


def _copy(tensor: Tensor) -> Tensor:
    """A copy on the CPU, sharded as the tensor is."""
    data = local(tensor.detach())
    data = data.clone() if data.device.type == "cpu" else data.cpu()
    if not hasattr(tensor, "to_local"):
        return data
    from torch.distributed.tensor import DTensor

    mesh = tensor.device_mesh
    if mesh.device_type != "cpu":
        mesh = _cpu_mesh(mesh.size())
    return DTensor.from_local(
        data, mesh, tensor.placements, run_check=False, shape=tensor.shape, stride=tensor.stride()
    )


_MESHES: dict[int, object] = {}


def _cpu_mesh(size: int):
    from torch.distributed.device_mesh import init_device_mesh

    if size not in _MESHES:
        _MESHES[size] = init_device_mesh("cpu", (size,))
    return _MESHES[size]


def _quietly(call, *args, **options):
    """torch warns of its own defaults in these calls."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return call(*args, **options)


def _cause(error: BaseException) -> str:
    """The first failure of any rank, in one line."""
    if isinstance(error, CheckpointException):
        error = next(iter(error.failures.values()))[0]
    return f"{type(error).__name__}: {error}".splitlines()[0][:300]
