"""Downloading the images of a URL manifest into WebDataset tars.

    fetch("laion.parquet", "fetched")              # again: continues where it stopped
    fetch("laion.parquet", "fetched", retry=True)  # also tries the rows that failed for a passing reason

By default robots.txt is obeyed, and so are responses that opt out (`X-Robots-Tag` with noai,
noimageai, noindex or noimageindex, and `TDM-Reservation: 1`).
"""

from __future__ import annotations

import asyncio
import hashlib
import random
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pyarrow.parquet as pq
import xxhash

from ..errors import SourceError, ZcurateError
from ..uris import check_http_url, quoted
from .fetch_errors import FetchError, NotAnImageError, WrongHashError
from .fetch_http import Client, FetchOptions, HostLimits, Response
from .fetch_store import FetchStore, Job, expected_hash
from .lines import Row, open_table_file, read_rows
from .manifest import clean_surrogates
from .problems import BadLineError
from .rows import find_name, metadata_json, split_text
from .source import Tree

URL_NAMES = ("url", "image_url", "img_url", "uri", "link")
_MAX_MESSAGE_CHARS = 500

#: (offset, magic bytes, extension) of image formats, first match wins.
_MAGIC = (
    *((0, b"\xff\xd8\xff", "jpg"), (0, b"\x89PNG\r\n\x1a\n", "png"), (0, b"GIF8", "gif")),
    *((8, b"WEBP", "webp"), (4, b"ftypavif", "avif"), (4, b"ftypavis", "avif"), (4, b"ftyphei", "heic")),
    *((4, b"ftyphev", "heic"), (4, b"ftypmif1", "heic"), (0, b"BM", "bmp"), (0, b"II*\0", "tiff")),
    *((0, b"MM\0*", "tiff"), (0, b"\0\0\0\x0cjP  ", "jp2"), (0, b"\xff\x0a", "jxl")),
    *((0, b"\0\0\0\x0cJXL ", "jxl"), (0, b"\0\0\x01\0", "ico"), (0, b"qoif", "qoi")),
)


@dataclass(frozen=True)
class FetchReport:
    """Counts over the whole folder after a run: rows by their last outcome.

    Attributes:
        fetched_now: rows attempted by this run.
        errors: error class -> rows.
        retryable: failed rows that `retry=True` would try again.
    """

    rows: int
    ok: int
    fetched_now: int
    errors: dict[str, int]
    retryable: int
    seconds: float


def fetch(
    manifest: str,
    out_dir: str,
    *,
    url_column: str | None = None,
    text_column: str | None = None,
    rows_per_shard: int = 1000,
    retry: bool = False,
    retry_permanent: bool = False,
    options: FetchOptions | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> FetchReport:
    """Fetches every row of a manifest that is not finished in `out_dir`.

    Args:
        manifest: .parquet, .jsonl or .csv (.gz) with a URL column; a `sha256` or `md5` column is verified.
        out_dir: local folder; afterwards a source of kind `webdataset`.
        retry: after the first pass, rows that failed for a passing reason go into new shards.
        retry_permanent: with `retry`, rows that failed for any reason.
        progress: called with (ok, failed) rows of this run after every shard.

    Raises:
        SourceError: no URL column; another manifest was begun in this folder; another fetch runs there.
    """
    started = time.monotonic()
    options = options or FetchOptions()
    store = FetchStore(out_dir)
    store.lock()
    try:
        store.check_same(
            {
                "manifest_xxh3": _digest(manifest),
                "rows_per_shard": rows_per_shard,
                "url_column": url_column,
                "text_column": text_column,
            }
        )
        run = _Run(store, options, progress)
        _run_anywhere(run.first_pass, _jobs(manifest, url_column, text_column), rows_per_shard)
        if retry:
            jobs = store.failed(retry_permanent)
            _run_anywhere(run.retry_pass, jobs, rows_per_shard)
        return _report(store, run.done, time.monotonic() - started)
    finally:
        store.unlock()


def _run_anywhere(function: Callable[..., Any], *args: Any) -> None:
    """`asyncio.run`, in a thread of its own when a loop already runs here (notebooks)."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        asyncio.run(function(*args))
        return
    with ThreadPoolExecutor(1) as pool:
        pool.submit(lambda: asyncio.run(function(*args))).result()


class _Run:
    def __init__(
        self, store: FetchStore, options: FetchOptions, progress: Callable[[int, int], None] | None
    ) -> None:
        self._store, self._options, self._progress = store, options, progress
        self.done = self._ok = 0

    async def first_pass(self, jobs: Iterator[Job], rows_per_shard: int) -> None:
        await self._shards(_grouped(jobs, rows_per_shard, set(self._store.finished())))

    async def retry_pass(self, jobs: list[Job], rows_per_shard: int) -> None:
        first = max(self._store.finished(), default=-1) + 1
        await self._shards((first + n, group) for n, group in _grouped(iter(jobs), rows_per_shard, set()))

    async def _shards(self, shards: Iterator[tuple[int, list[Job]]]) -> None:
        """Works on a few shards at once, in order of their numbers."""
        loop = asyncio.get_running_loop()
        loop.set_default_executor(ThreadPoolExecutor(max(8, self._options.concurrency)))  # DNS look-ups block
        self._client = Client(self._options)
        self._all = asyncio.Semaphore(self._options.concurrency)
        self._hosts = HostLimits(self._options.per_host)
        running: set[asyncio.Task[None]] = set()
        try:
            for number, jobs in shards:
                running.add(asyncio.create_task(self._shard(number, jobs)))
                if len(running) >= self._options.shards_in_flight:
                    done, running = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
                    for task in done:
                        task.result()
            await asyncio.gather(*running)
        finally:
            for task in running:
                task.cancel()
            await self._client.close()

    async def _shard(self, number: int, jobs: list[Job]) -> None:
        folder = self._store.part_folder(number)
        outcomes = await asyncio.gather(*(self._row(job, folder / str(job.row)) for job in jobs))
        bodies = {
            j.row: folder / str(j.row) for j, o in zip(jobs, outcomes, strict=True) if o["status"] == "ok"
        }
        self._store.finish(number, outcomes, bodies)
        self.done += len(jobs)
        self._ok += len(bodies)
        if self._progress is not None:
            self._progress(self._ok, self.done - self._ok)

    async def _row(self, job: Job, target: Path) -> dict[str, Any]:
        """The outcome of a row, after as many attempts as it takes and is allowed."""
        key = f"{job.row:09d}"
        outcome: dict[str, Any] = {
            "row": job.row,
            "key": key,
            "url": job.url,
            "text": job.text,
            "metadata": job.metadata,
            "status": "error",
            "attempts": 0,
        }
        started = time.monotonic()
        jitter = random.Random(job.row)  # spreads the rows, not the runs
        while True:
            outcome["attempts"] += 1
            try:
                if job.problem is not None:
                    raise job.problem
                host = urlsplit(check_http_url(job.url)).hostname or ""
                async with self._hosts.hold(host), self._all:
                    response = await self._client.fetch_one(job.url, target)
                extension = _verify(job, response, target)
            except ZcurateError as e:  # a full disk is not the row's fault: OSError ends the run
                error = e
            else:
                outcome.update(
                    status="ok",
                    error_class=None,
                    error_message=None,
                    retryable=None,
                    http_status=response.http_status,
                    member=f"{key}.{extension}",
                    size_bytes=response.size_bytes,
                    sha256=response.sha256,
                    final_url=response.final_url,
                    headers=response.headers,
                )
                break
            wait = self._wait_s(error, outcome["attempts"], jitter)
            if wait is None:
                outcome.update(_failure(error))
                break
            await asyncio.sleep(wait)
        outcome["seconds"] = time.monotonic() - started
        return outcome

    def _wait_s(self, error: ZcurateError, attempts: int, jitter: random.Random) -> float | None:
        """Seconds until the next attempt; None when there is to be none."""
        if not (isinstance(error, FetchError) and error.retryable) or attempts >= self._options.attempts:
            return None
        backoff = self._options.backoff_s * 2 ** (attempts - 1) * (0.5 + jitter.random())
        wait = backoff if error.wait_s is None else max(error.wait_s, backoff)
        return wait if wait <= self._options.max_wait_s else None


def _failure(error: ZcurateError) -> dict[str, Any]:
    message = str(error).encode("utf-8", "replace").decode("utf-8")
    return {
        "error_class": type(error).__name__,
        "error_message": message[:_MAX_MESSAGE_CHARS],
        "retryable": isinstance(error, FetchError) and error.retryable,
        "http_status": error.http_status if isinstance(error, FetchError) else None,
    }


def _verify(job: Job, response: Response, body: Path) -> str:
    """The file extension by content; checks the expected hash."""
    if job.expected is not None:
        kind, expected = job.expected
        actual = response.sha256 if kind == "sha256" else hashlib.md5(body.read_bytes()).hexdigest()
        if actual != expected:
            raise WrongHashError(f"{quoted(job.url)}: {kind} is {actual}, the manifest says {expected}")
    for offset, magic, extension in _MAGIC:
        if response.head[offset : offset + len(magic)] == magic:
            return extension
    kind = response.headers.get("content-type", "none")
    raise NotAnImageError(
        f"{quoted(job.url)}: {response.size_bytes} bytes of no known image format ({quoted(kind)})"
    )


def _grouped(jobs: Iterator[Job], size: int, finished: set[int]) -> Iterator[tuple[int, list[Job]]]:
    """(shard number, its jobs) of the shards that are not finished."""
    number, group = 0, []
    for job in jobs:
        group.append(job)
        if len(group) == size:
            if number not in finished:
                yield number, group
            number, group = number + 1, []
    if group and number not in finished:
        yield number, group


def _jobs(manifest: str, url_column: str | None, text_column: str | None) -> Iterator[Job]:
    """Every row of the manifest, in order; rows without a URL carry their problem."""
    found_any = False
    for number, row in enumerate(_manifest_rows(manifest)):
        if isinstance(row.value, Exception):
            problem = row.value if isinstance(row.value, ZcurateError) else BadLineError(str(row.value))
            yield Job(number, "", None, None, problem=problem)
            continue
        values = row.value
        name = url_column or find_name(values, URL_NAMES)
        url = values.get(name) if name is not None else None
        rest = {k: v for k, v in values.items() if k != name and not k.startswith("__index_level_")}
        text, rest = split_text(rest, text_column)
        metadata = metadata_json(rest)
        if not isinstance(url, str):
            if not found_any and name not in values:
                columns = ", ".join(map(quoted, list(values)[:20]))
                raise SourceError(
                    f"{quoted(manifest)} has no URL column (columns: {columns}); give url_column"
                )
            yield Job(number, "", text, metadata, problem=BadLineError(f"row {number} has no URL"))
            continue
        found_any = True
        clean = clean_surrogates(url.strip()) or ""
        yield Job(number, clean, text, metadata, expected_hash(metadata))


def _manifest_rows(manifest: str) -> Iterator[Row]:
    tree, name = _beside(manifest)
    if not name.lower().endswith(".parquet"):
        with open_table_file(tree, name) as file:
            yield from read_rows(file, name)
        return
    with tree.open(name) as file:
        number = 0
        for batch in pq.ParquetFile(file).iter_batches(batch_size=4096):
            for values in batch.to_pylist():
                yield Row(number, values)
                number += 1


def _beside(manifest: str) -> tuple[Tree, str]:
    file = Tree(manifest)
    file.require()
    folder, _, name = file.root.rpartition("/")
    return Tree(folder or "/"), name


def _digest(manifest: str) -> str:
    tree, name = _beside(manifest)
    digest = xxhash.xxh3_128()
    with tree.open(name) as file:
        while chunk := file.read(8 << 20):
            digest.update(chunk)
    return digest.hexdigest()


def _report(store: FetchStore, done: int, seconds: float) -> FetchReport:
    last: dict[int, tuple[str | None, bool]] = {}
    for table in store.outcomes(["row", "error_class", "retryable"]):
        columns = (table[n].to_pylist() for n in ("row", "error_class", "retryable"))
        last.update({row: (error, bool(again)) for row, error, again in zip(*columns, strict=True)})
    errors: dict[str, int] = {}
    for error, _ in last.values():
        if error is not None:
            errors[error] = errors.get(error, 0) + 1
    failed = sum(errors.values())
    again = sum(a for e, a in last.values() if e is not None)
    return FetchReport(len(last), len(last) - failed, done, dict(sorted(errors.items())), again, seconds)


__all__ = ["FetchOptions", "FetchReport", "fetch"]
