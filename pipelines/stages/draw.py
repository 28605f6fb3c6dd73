"""Stage `draw`: the pictures of a manifest of prompts, drawn by a generator to where the manifest says they lie.

A picture that lies there, of the same model, prompt, size and seed, is not drawn again, whatever happened to the run that
drew it. The seed is `seed` of the row's metadata, else a hash of prompt and place.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import xxhash
from pydantic import BaseModel, ConfigDict, Field

from zcurate.curation.errors import ConfigError, SampleError, StageStopError, UnsafeUriError
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
_SUFFIXES = (".png", ".jpg", ".webp")
OUTPUT = pa.schema(
    [
        field_of("model", pa.string(), "what drew it, with a digest of its weights"),
        field_of("seed", pa.int64(), "of the noise it was drawn from"),
        field_of("digest", pa.binary(16), "xxh3-128 of the file, big-endian"),
    ]
)


class CannotDrawError(SampleError):
    """This picture is not to be had: refused, broken, or not to be written where the manifest says."""


#: USD, list price, of every batch that this process bought.
_spent: list[float] = []


def spent_usd() -> float:
    """What this process spent so far, by list prices."""
    return sum(_spent)


@dataclass(frozen=True)
class _Wanted:
    """A picture to draw: position of its row, its file, what is asked, and the rest of the row's metadata."""

    row: int
    path: Path
    request: Request
    facts: Mapping[str, Any]


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
        self._config, self._sources = config, dict(ctx.sources)
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
            models={"generator": drawn_by(config.model)},
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
        wanted: list[_Wanted] = []
        for i, row in enumerate(rows):
            try:
                path, (request, facts) = self._place(row), self._request(row)
            except SampleError as e:
                done[i] = error_row(e)
                continue
            if self._lies_there(path, request):
                done[i] = self._output(path, request)
            else:
                wanted.append(_Wanted(i, path, request, facts))
        if self._paid:
            from zcurate.model.api.generator import MAX_CONNECTIONS

            most, before = min(self._config.batch, MAX_CONNECTIONS), self._generator.spent_usd
            with ThreadPoolExecutor(most, thread_name_prefix="draw") as pool:
                outcomes = list(pool.map(self._bought, wanted))
            _spent.append(self._generator.spent_usd - before)
        else:
            outcomes = self._together(wanted) if wanted else []
        # Not before all are saved: they are paid.
        for outcome in outcomes:
            if isinstance(outcome, StageStopError):
                raise outcome
        for one, outcome in zip(wanted, outcomes, strict=True):
            done[one.row] = error_row(outcome) if outcome else self._output(one.path, one.request)
        return [done[i] for i in range(len(rows))]

    def _together(self, wanted: Sequence[_Wanted]) -> list[Exception | None]:
        """What went wrong with each, None for those that are saved. Raises StageStopError."""
        from zcurate.model.errors import ModelError

        saved = 0
        try:
            pictures = self._generator.generate([w.request for w in wanted], self._config.batch)
            for one, picture in zip(wanted, pictures, strict=True):
                self._save(one, picture)
                saved += 1
        except ModelError as e:
            fault = _blamed(e)
            if isinstance(fault, StageStopError):
                raise fault from e
            if len(wanted) == 1:
                return [fault]
            # each by itself tells which of them it is
            return [None] * saved + [f for one in wanted[saved:] for f in self._together([one])]
        return [None] * saved

    def _bought(self, one: _Wanted) -> Exception | None:
        """What went wrong, None if it is saved. Runs in a thread."""
        from zcurate.model.errors import ModelError

        try:
            self._save(one, next(iter(self._generator.generate([one.request]))))
        except ModelError as e:
            return _blamed(e)
        except StageStopError as e:
            return e
        return None

    def _save(self, one: _Wanted, picture: Picture) -> None:
        """In place of what lies there: another picture, or one never finished."""
        # The record is told by the model alone; of the row it takes what the model says nothing of.
        record = one.facts | picture.record | self._asked(one.request)
        try:
            for left in (one.path, one.path.with_suffix(".json")):
                left.unlink(missing_ok=True)
            replace(picture, record=record).save(one.path.parent, one.path.stem, one.path.suffix)
        except OSError as e:
            raise StageStopError(f"{one.path}: {e.strerror or e}") from e

    def _place(self, row: Mapping[str, Any]) -> Path:
        source = self._sources[row["samples.source"]]
        if (source.kind, source.origin) != ("manifest", "model") or row["samples.container"] != "file":
            raise CannotDrawError(
                f"source {source.name!r} is not what is drawn: that is a manifest of origin model; nothing else is "
                "written over"
            )
        if not is_local(source.root):
            raise CannotDrawError(f"{source.root}: pictures are drawn into a local or shared folder")
        try:
            path = Path(resolve_inside(base_of(source.root), row["samples.uri"]))
            path.parent.mkdir(parents=True, exist_ok=True)
            path.with_suffix(".json").exists()  # as long a name as there will be
        except (UnsafeUriError, OSError) as e:
            raise CannotDrawError(str(e)) from e
        if path.suffix.lower() not in _SUFFIXES:
            raise CannotDrawError(f"{path.name}: pictures are written as {', '.join(_SUFFIXES)}")
        return path

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
        asked = self._asked(request)
        return isinstance(record, dict) and asked == {k: record.get(k) for k in asked}

    def _asked(self, request: Request) -> dict[str, Any]:
        """What a picture must be of to be the one asked for. A service may draw another size than it was asked for."""
        size = "*".join(map(str, request.size))
        generator = self.spec.models["generator"]
        return {"prompt": request.prompt, "seed": request.seed, "asked_size": size, "generator": generator}

    def _output(self, path: Path, request: Request) -> dict[str, Any]:
        return {
            "model": self._generator.identity,
            "seed": request.seed,
            "digest": xxhash.xxh3_128_digest(path.read_bytes()),
            "_status": OK,
        }


def _blamed(error: Exception) -> CannotDrawError | StageStopError:
    """The error of a picture that is itself at fault, or of the stage where no other picture would fare better."""
    from zcurate.model.api import errors as api
    from zcurate.model.errors import GenerationError, MemoryShortError, SizeError

    of_one = (
        GenerationError,
        SizeError,
        api.RequestError,
        api.ContentRefusedError,
        api.PictureGoneError,
        api.DownloadError,
    )
    if isinstance(error, MemoryShortError) or not isinstance(error, of_one):
        return StageStopError(str(error))
    return CannotDrawError(str(error))


def drawn_by(model: str) -> str:
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
    # Without a GPU a large model takes several CPUs, or as many workers as there are CPUs would fill the memory.
    cpus = 1 if gpus else min(len(os.sched_getaffinity(0)), max(1, weights >> 32))
    # weights pass through memory, or stay there when they are moved to the GPU layer by layer
    return Resources(cpus, gpus, memory_bytes=(4 << 30) + int(1.25 * weights), row_deadline_s=1800.0)


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
