"""Stage `draw`: the pictures of a manifest of prompts, drawn by a generator to where the manifest says they lie.

A picture that lies there, of the same model, prompt, size and seed, is not drawn again, whatever happened to the run that
drew it. The seed is `seed` of the row's metadata, else a hash of prompt and place.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import xxhash
from pydantic import BaseModel, ConfigDict, Field

from zcurate.curation.errors import ConfigError, SampleError, StageStopError
from zcurate.curation.stage import OK, Resources, RowMonitor, StageSpec, error_row, field_of, iter_rows
from zcurate.curation.uris import base_of, is_local, resolve_inside

from ..generating import SIZE, TINY_SIZE, folder_of, generator_engine, model_errors
from ..registry import identity, resolve, split_model

if TYPE_CHECKING:
    from zcurate.model.generate import Picture
    from zcurate.model.request import Request
    from zcurate.pipelines.context import StageContext

VERSION = 1
NAME = "draw"
#: A model that is bought; its pictures are asked for one by one, so that a refused one costs no other.
PAID = "dashscope"
OUTPUT = pa.schema(
    [
        field_of("model", pa.string(), "what drew it, with a digest of its weights"),
        field_of("seed", pa.int64(), "of the noise it was drawn from"),
        field_of("digest", pa.binary(16), "xxh3-128 of the file, big-endian"),
    ]
)


class CannotDrawError(SampleError):
    """This picture is not to be had: refused, broken, or not to be written where the manifest says."""


class Config(BaseModel):
    """Settings of the draw stage."""

    model_config = ConfigDict(extra="forbid")

    model: str = Field(
        description="`s3dit:DIR`, `s3dit:shapes`, `s3dit:tiny`, or `dashscope:z-image-turbo`, which costs money"
    )
    size: str | None = Field(None, description="`W*H` px; default: the model's own")
    batch: int = Field(4, ge=1, le=256, description="pictures drawn, or asked for, at once")
    max_spend: float | None = Field(
        None,
        ge=0,
        description="USD that one worker may spend on a model that is bought; changes nothing written",
    )


class DrawStage:
    """Writes files beside the dataset, in the folder of the source; its own columns say only what drew them."""

    def __init__(self, config: Config, ctx: StageContext):
        self._config, self._roots = config, {n: s.root for n, s in ctx.sources.items()}
        prefix, _ = split_model("generator", config.model)
        if prefix == "folder":
            raise ConfigError(f"stages.{NAME}: {config.model} draws nothing; judge its pictures as a source")
        self._paid = prefix == PAID
        if config.size is not None:
            with model_errors():
                _parse(config.size)
        self.spec = StageSpec(
            name=NAME,
            version=VERSION,
            reads=("samples.source", "samples.uri", "samples.container", "samples.text", "samples.metadata"),
            outputs={NAME: OUTPUT},
            config={"size": config.size},
            models={"generator": _identity(config.model)},
            resources=_resources(config.model),
            deterministic=not self._paid,
        )
        self._generator: Any = None

    def setup_node(self) -> None:
        pass

    def setup(self) -> None:
        if self._paid and self._config.max_spend is not None:
            from zcurate.model.api.generator import SPEND_VARIABLE

            os.environ[SPEND_VARIABLE] = str(self._config.max_spend)
        try:
            self._generator = resolve("generator", self._config.model)
        except ConfigError as e:
            raise StageStopError(str(e)) from e

    def __call__(self, table: pa.Table, monitor: RowMonitor) -> pa.Table:
        if self._generator is None:
            self.setup()
        rows = list(iter_rows(table))
        done: list[Mapping[str, Any]] = []
        with model_errors():  # for its warnings: what it raises is told apart where it is raised
            for first in range(0, len(rows), self._config.batch):
                chunk = rows[first : first + self._config.batch]
                monitor.start(first, first + len(chunk) - 1)
                done += self._draw(chunk)
                monitor.finished(len(done), len(rows))
        marks = {"_status": pa.string(), "_error_class": pa.string(), "_error_message": pa.string()}
        fields = [*OUTPUT, *(pa.field(n, t) for n, t in marks.items())]
        return pa.Table.from_pylist([dict(d) for d in done], schema=pa.schema(fields))

    def _draw(self, rows: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
        done: dict[int, Mapping[str, Any]] = {}
        wanted: list[tuple[int, Path, Request, dict[str, Any]]] = []
        for i, row in enumerate(rows):
            try:
                path, (request, facts) = self._place(row), self._request(row)
            except SampleError as e:
                done[i] = error_row(e)
                continue
            if self._lies_there(path, request):
                done[i] = self._output(path, request)
            else:
                wanted.append((i, path, request, facts))
        for (i, path, request, facts), picture in zip(
            wanted, self._pictures([request for _, _, request, _ in wanted]), strict=True
        ):
            try:
                if isinstance(picture, SampleError):
                    raise picture
                _save(replace(picture, record=picture.record | facts), path)
                done[i] = self._output(path, request)
            except SampleError as e:
                done[i] = error_row(e)
        return [done[i] for i in range(len(rows))]

    def _pictures(self, requests: Sequence[Request]) -> Iterator[Picture | CannotDrawError]:
        """In order, each as soon as it is there. Raises StageStopError for what no other row could do better."""
        if self._paid:
            with ThreadPoolExecutor(self._config.batch, thread_name_prefix="draw") as pool:
                yield from pool.map(self._one, requests)
            return
        from zcurate.model.errors import ModelError

        got = 0
        try:
            for picture in self._generator.generate(requests, self._config.batch):
                got += 1
                yield picture
        except ModelError as e:
            at_fault = _blamed(e)
            if len(requests) == 1:
                yield at_fault
            else:  # each by itself tells which of them it is
                for request in requests[got:]:
                    yield from self._pictures([request])

    def _one(self, request: Request) -> Picture | CannotDrawError:
        from zcurate.model.errors import ModelError

        try:
            return next(iter(self._generator.generate([request])))
        except ModelError as e:
            return _blamed(e)

    def _place(self, row: Mapping[str, Any]) -> Path:
        root = self._roots[row["samples.source"]]
        if row["samples.container"] != "file" or not is_local(root):
            raise CannotDrawError(
                "pictures are drawn into a local or shared folder that a manifest names file by file"
            )
        return Path(resolve_inside(base_of(root), row["samples.uri"]))

    def _request(self, row: Mapping[str, Any]) -> tuple[Request, dict[str, Any]]:
        """What is drawn for a row, and the rest of its metadata, which goes beside the picture."""
        from zcurate.model.request import PRESETS, Request, preset_of

        facts = _facts(row["samples.metadata"])
        prompt = facts.get("prompt") or row["samples.text"]
        if not isinstance(prompt, str) or not prompt.strip():
            raise CannotDrawError('no prompt: give the manifest a column "prompt"')
        pipeline = getattr(self._generator, "pipeline", None)
        size = self._config.size or (TINY_SIZE if pipeline is not None and pipeline.in_pixels else SIZE)
        settings = PRESETS["turbo" if pipeline is None else preset_of(pipeline)]
        seed = facts.get("seed")
        if not isinstance(seed, int):
            seed = xxhash.xxh3_64_intdigest(f"{row['samples.uri']}\0{prompt}".encode()) >> 33
        return Request(prompt, _parse(size), seed, settings), {
            k: v for k, v in facts.items() if k not in ("prompt", "seed")
        }

    def _lies_there(self, path: Path, request: Request) -> bool:
        if not path.exists():
            return False
        try:
            record = json.loads(path.with_suffix(".json").read_text("utf-8"))
        except (OSError, ValueError):
            return False
        asked = (self._generator.identity, request.prompt, request.seed)
        return isinstance(record, dict) and asked == tuple(record.get(k) for k in ("model", "prompt", "seed")) and (
            self._paid or request.size == (record.get("width"), record.get("height"))
        )  # fmt: skip

    def _output(self, path: Path, request: Request) -> dict[str, Any]:
        return {
            "model": self._generator.identity,
            "seed": request.seed,
            "digest": xxhash.xxh3_128_digest(path.read_bytes()),
            "_status": OK,
        }


def _blamed(error: Exception) -> CannotDrawError:
    """The error of a picture that is itself at fault. Raises StageStopError where no other would fare better."""
    from zcurate.model.api import errors as api
    from zcurate.model.errors import GenerationError, MemoryShortError

    of_one = (
        GenerationError,
        api.RequestError,
        api.ContentRefusedError,
        api.PictureGoneError,
        api.DownloadError,
    )
    if isinstance(error, MemoryShortError) or not isinstance(error, of_one):
        raise StageStopError(str(error)) from error
    return CannotDrawError(str(error))


def _identity(model: str) -> str:
    """What draws, for the fingerprint; nothing here can check what a service serves."""
    if model.partition(":")[0] == "s3dit" and folder_of(model) is None:
        return generator_engine(model.partition(":")[2]).identity  # bundled, and small
    return identity(model)


def _resources(model: str) -> Resources:
    if model.partition(":")[0] == PAID:
        return Resources(cpus=0.5, memory_bytes=2 << 30, row_deadline_s=900.0)
    folder = folder_of(model)
    weights = 0 if folder is None else sum(f.stat().st_size for f in folder.rglob("*.safetensors"))
    gpus = 1 if os.path.exists("/dev/nvidia0") else 0
    # weights pass through memory, or stay there when they are loaded to the GPU layer by layer
    return Resources(1, gpus, memory_bytes=(4 << 30) + int(1.25 * weights), row_deadline_s=1800.0)


def _save(picture: Picture, path: Path) -> None:
    """In place of what lies there: another picture, or one never finished."""
    try:
        for left in (path, path.with_suffix(".json")):
            left.unlink(missing_ok=True)
        picture.save(path.parent, path.stem, path.suffix)
    except OSError as e:
        raise StageStopError(f"{path}: {e.strerror or e}") from e


def _facts(metadata: str | None) -> dict[str, Any]:
    try:
        found = json.loads(metadata) if metadata else {}
    except ValueError:
        found = {}
    return found if isinstance(found, dict) else {}


def _parse(size: str) -> tuple[int, int]:
    from zcurate.model.canvas import parse_size

    return parse_size(size)


def build(config: Config, ctx: StageContext) -> DrawStage:
    """The stage; loads no model. Raises ConfigError."""
    return DrawStage(config, ctx)
