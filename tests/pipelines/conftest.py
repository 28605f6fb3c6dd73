"""Shared pieces of the pipeline tests: a stage module that behaves as told, and small datasets."""

import sys
import textwrap

import pyarrow as pa
import pytest
import xxhash

from zcurate.curation.store import Dataset, SourceInfo, append, register_source
from zcurate.curation.store.samples import LISTED, SCHEMA

STAGE = '''
"""A stage for tests: reads a word per row and obeys it."""
import os, time
import pyarrow as pa
from pathlib import Path
from pydantic import BaseModel
from zcurate.curation.stage import GlobalResult, Resources, StageSpec, map_rows


class Config(BaseModel):
    salt: int = 0
    pause_s: float = 0.0
    deadline_s: float = 60.0
    memory_mb: int = 2000
    log: str = ""
    kind: str = "words"
    row_ms: float = 0.0


class Words:
    def __init__(self, c, name, reads, where=()):
        self.c = c
        self.spec = StageSpec(
            name=name, version=1, reads=reads,
            outputs={name: pa.schema([("length", pa.int64()), ("keep", pa.bool_())])},
            config={"salt": c.salt}, where=where,
            resources=Resources(row_deadline_s=c.deadline_s, memory_bytes=c.memory_mb << 20),
        )

    def setup_node(self):
        pass

    def setup(self):
        pass

    def __call__(self, table, monitor):
        def one(row):
            word = row["samples.text"]
            if self.c.log:
                with open(self.c.log, "a") as f:
                    f.write(f"{self.spec.name} {word}\\n")
            if self.c.row_ms:
                time.sleep(self.c.row_ms / 1000)
            if word == "error":
                raise ValueError("told to")
            if word == "hang":
                while True:
                    pass
            if word == "crash":
                os._exit(139)
            if word == "crash-once" and not Path(self.c.log + ".crashed").exists():
                Path(self.c.log + ".crashed").touch()
                os._exit(139)
            if word == "hog":
                hoard = bytearray(os.urandom(1 << 20)) * 600
                time.sleep(30)
            if word == "bug":
                raise RuntimeError("a bug in the stage")
            return {"length": len(word) + self.c.salt, "keep": len(word) % 2 == 0}

        return map_rows(table, one, self.spec.schema, monitor)


class Total:
    def __init__(self, c):
        self.spec = StageSpec(
            name="total", version=1, reads=("words.length",), where=("words",),
            outputs={"total": pa.schema([("share", pa.float64())])},
            side_tables={"totals": pa.schema([("total", pa.int64())])},
        )

    def setup_node(self):
        pass

    def setup(self):
        pass

    def run(self, data):
        total = sum(sum(data.read(s).column("words.length").to_pylist()) for s in data.shards())
        def shares():
            for s in data.shards():
                t = data.read(s, ("words.length",))
                yield s, pa.table({"share": pa.array([n / total for n in t.column(1).to_pylist()], pa.float64())})
        return GlobalResult(shares(), {"totals": pa.table({"total": [total]})}, {"total": total})


def build(config, context):
    if config.kind == "total":
        return Total(config)
    if config.kind == "after":
        return Words(config, "after", ("samples.text", "total.share"))
    return Words(config, "words", ("samples.text",))
'''

MODULES = {"zc_words": "words", "zc_total": "total", "zc_after": "after"}


@pytest.fixture(scope="session")
def stage_modules(tmp_path_factory):
    """A folder with the test stages as importable modules `zcteststages.*`; put it on PYTHONPATH."""
    folder = tmp_path_factory.mktemp("stages")
    package = folder / "zcteststages"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "words.py").write_text(textwrap.dedent(STAGE))
    for name in ("total", "after"):
        (package / f"{name}.py").write_text(
            f"from .words import Config as Base, build\nclass Config(Base):\n    kind: str = {name!r}\n"
        )
    return folder


@pytest.fixture
def stages(stage_modules, monkeypatch):
    """The test stages, importable in this process."""
    monkeypatch.syspath_prepend(str(stage_modules))


def words_rows(words):
    """A listing of one batch: a sample per word."""
    rows = [
        {
            "sample_id": xxhash.xxh3_128_digest(str(i).encode()),
            "source": "s",
            "uri": f"{i}.txt",
            "key": str(i),
            "container": "file",
            "text": w,
            "origin": "camera",
        }
        for i, w in enumerate(words)
    ]
    return pa.RecordBatch.from_pylist(rows, schema=pa.schema([SCHEMA.field(n) for n in LISTED]))


def words_dataset(url, words, rows_per_shard=10, options=None):
    """A dataset whose samples are words, in shards of ten."""
    dataset = Dataset.create(url, rows_per_shard, options)
    register_source(dataset, SourceInfo("s", str(url), "folder"))
    append(dataset, "s", [words_rows(words)])
    return dataset


def words_recipe(url, **settings):
    """The three test stages over a dataset: map, global, map."""
    return {
        "name": "words",
        "dataset": str(url),
        "stages": {f"zcteststages.{n}": dict(settings) for n in ("words", "total", "after")},
        "report": False,
    }


def group_bytes(root):
    """Every committed shard of groups and side tables of a local dataset: path -> bytes."""
    return {
        str(p.relative_to(root)): p.read_bytes()
        for p in sorted(root.rglob("*.parquet"))
        if not str(p.relative_to(root)).startswith(("_index", "_runs"))
    }


@pytest.fixture
def zcurate(capsys, monkeypatch, tmp_path):
    """Run a command in this process, in an empty directory: (exit code, stdout, stderr)."""
    from zcurate.pipelines.cli import main

    monkeypatch.chdir(tmp_path)

    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["zcurate", *map(str, arguments)])
        try:
            main()
            code = 0
        except SystemExit as e:
            code = e.code or 0
        out, err = capsys.readouterr()
        return code, out, err

    return call
