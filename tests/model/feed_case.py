"""Feeds of a training stage on real exports of pictures and pairs, for the tests of what comes out of them."""

import pytest

from zcurate.model.data.opening import open_feed
from zcurate.model.pipeline_folder import tiny_pipeline

from .data_case import export, export_pairs, pair

PIPELINE = tiny_pipeline(0)


def feed(*parts, seed=0, rank=0, ranks=1, pipeline=PIPELINE, **fields):
    values = {"resolution": {"side_px": 32}, "token_budget": 1024, "dropout": 0.0, **fields}
    return open_feed({**values, "parts": list(parts)}, seed, rank, ranks, pipeline)


def part(url, **fields):
    return {"url": str(url), **fields}


def epoch(one):
    return [e for batch in one for e in batch]


def facts(batches):
    return [[(e.id, e.prompt, e.pixels.tobytes()) for e in b] for b in batches]


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    folder = tmp_path_factory.mktemp("feed") / "pictures"
    return folder, export(folder, 40)


@pytest.fixture(scope="module")
def pairs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("feed") / "pairs"
    made = [pair(i, sources=1 + i % 2) for i in range(12)]
    export_pairs(folder, made)
    return folder, made
