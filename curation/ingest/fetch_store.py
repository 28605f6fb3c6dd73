"""The files of a fetch: NNNNN.tar with the images, NNNNN.parquet with every row's outcome.

These files are the whole state. The tar is put in place first and the table last, each by an atomic
rename: a shard is finished when its table exists.
"""

from __future__ import annotations

import io
import json
import os
import re
import shutil
import tarfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from ..errors import SourceError

STATUS_SCHEMA = pa.schema(
    [
        pa.field("row", pa.int64(), metadata={"meaning": "row of the manifest, from 0"}),
        pa.field("key", pa.string()),
        pa.field("url", pa.string()),
        pa.field("text", pa.string()),
        pa.field("metadata", pa.string(), metadata={"meaning": "JSON of the manifest's other columns"}),
        pa.field("status", pa.string(), metadata={"meaning": "ok | error"}),
        pa.field("error_class", pa.string()),
        pa.field("error_message", pa.string()),
        pa.field("retryable", pa.bool_()),
        pa.field("http_status", pa.int32()),
        pa.field("attempts", pa.int32()),
        pa.field("seconds", pa.float32(), metadata={"unit": "s", "meaning": "with waits between attempts"}),
        pa.field("member", pa.string(), metadata={"meaning": "name in the tar"}),
        pa.field("size_bytes", pa.int64()),
        pa.field("sha256", pa.string()),
        pa.field("final_url", pa.string()),
    ]
)
_SHARD = re.compile(r"^(\d{5,})\.parquet$")
_STATE = "_fetch.json"


@dataclass(frozen=True)
class Job:
    """A manifest row to fetch. `expected`: (md5 or sha256, hex digest)."""

    row: int
    url: str
    text: str | None
    metadata: str | None
    expected: tuple[str, str] | None = None
    problem: Exception | None = None


class FetchStore:
    """The output folder."""

    def __init__(self, folder: str) -> None:
        self.folder = Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self._lock: io.TextIOWrapper | None = None

    def lock(self) -> None:
        """Takes the folder for this process; freed by the system when the process ends, however it ends."""
        import fcntl

        self._lock = (self.folder / ".lock").open("w")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as e:
            raise SourceError(f"{self.folder}: another fetch is writing here; wait for it to end") from e
        for leftover in self.folder.glob(".part-*"):
            shutil.rmtree(leftover) if leftover.is_dir() else leftover.unlink()

    def unlock(self) -> None:
        if self._lock is not None:
            self._lock.close()

    def check_same(self, state: dict[str, Any]) -> None:
        """Refuses to continue with another manifest or shard size than the folder was begun with."""
        path = self.folder / _STATE
        if not path.exists():
            self._write_atomic(path, json.dumps(state, sort_keys=True, indent=1).encode())
            return
        before = json.loads(path.read_text())
        changed = [k for k in state if before.get(k) != state[k]]
        if changed:
            raise SourceError(
                f"{self.folder} was begun with other settings ({', '.join(changed)}); use a new folder, "
                "or the same manifest and settings"
            )

    def finished(self) -> list[int]:
        """Numbers of finished shards, ascending."""
        return sorted(int(m.group(1)) for p in self.folder.iterdir() if (m := _SHARD.match(p.name)))

    def outcomes(self, columns: Sequence[str]) -> Iterator[pa.Table]:
        for number in self.finished():
            yield pq.read_table(self.folder / f"{number:05d}.parquet", columns=list(columns))

    def part_folder(self, number: int) -> Path:
        """Scratch for the bodies of a shard in flight; cleared by the next run if this one is killed."""
        folder = self.folder / f".part-{number:05d}"
        folder.mkdir()
        return folder

    def finish(self, number: int, outcomes: list[dict[str, Any]], bodies: dict[int, Path]) -> None:
        """Writes the tar (if it has members), then the table, then removes the scratch folder."""
        tar_path = self.folder / f"{number:05d}.tar"
        if bodies:
            temporary = self.folder / f".part-{number:05d}.tar"
            with temporary.open("wb") as file:
                with tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT) as tar:
                    for outcome in outcomes:
                        if outcome["row"] in bodies:
                            _add_sample(tar, outcome, bodies[outcome["row"]])
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(tar_path)
        else:
            tar_path.unlink(missing_ok=True)  # left by a run killed between tar and table
        sink = io.BytesIO()
        columns = {n: [o.get(n) for o in outcomes] for n in STATUS_SCHEMA.names}
        pq.write_table(pa.table(columns, schema=STATUS_SCHEMA), sink, compression="zstd")
        self._write_atomic(self.folder / f"{number:05d}.parquet", sink.getvalue())
        shutil.rmtree(self.folder / f".part-{number:05d}", ignore_errors=True)

    def _write_atomic(self, path: Path, data: bytes) -> None:
        temporary = path.with_name(f".part-{path.name}")
        with temporary.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
        descriptor = os.open(path.parent, os.O_RDONLY)
        os.fsync(descriptor)
        os.close(descriptor)

    def failed(self, permanent: bool) -> list[Job]:
        """Rows whose last outcome is an error that another attempt may change (or any error)."""
        last: dict[int, dict[str, Any]] = {}
        for table in self.outcomes(["row", "url", "text", "metadata", "status", "retryable"]):
            for row in table.filter(pc.equal(table["status"], "error")).to_pylist():
                last[row["row"]] = row
            for row in table.filter(pc.equal(table["status"], "ok"))["row"].to_pylist():
                last.pop(row, None)
        again = [r for _, r in sorted(last.items()) if r["url"] and (permanent or r["retryable"])]
        return [
            Job(r["row"], r["url"], r["text"], r["metadata"], expected_hash(r["metadata"])) for r in again
        ]


def expected_hash(metadata: str | None) -> tuple[str, str] | None:
    """The sha256 or md5 that a manifest's columns promise."""
    values = json.loads(metadata) if metadata else {}
    lower = {k.lower(): v for k, v in values.items()}
    for name, digits in (("sha256", 64), ("md5", 32)):
        value = lower.get(name)
        if isinstance(value, str) and re.fullmatch(rf"[0-9a-fA-F]{{{digits}}}", value.strip()):
            return name, value.strip().lower()
    return None


def _add_sample(tar: tarfile.TarFile, outcome: dict[str, Any], body: Path) -> None:
    """key.EXT, key.json and, with a caption, key.txt; no times or owners, so equal input gives equal bytes."""
    with body.open("rb") as file:
        info = tarfile.TarInfo(outcome["member"])
        info.size = body.stat().st_size
        tar.addfile(info, file)
    about = {n: outcome[n] for n in ("url", "final_url", "sha256", "row")}
    about["http"] = outcome["headers"]
    if outcome["metadata"]:
        about["manifest"] = json.loads(outcome["metadata"])
    members = [("json", json.dumps(about, sort_keys=True, ensure_ascii=False))]
    if outcome["text"]:
        members.append(("txt", outcome["text"]))
    for extension, text in members:
        data = text.encode("utf-8")
        info = tarfile.TarInfo(f"{outcome['key']}.{extension}")
        info.size = len(data)
        tar.addfile(info, io.BytesIO(data))
