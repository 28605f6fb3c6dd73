"""The models see a few pictures at a time, and every row gets its own scores."""

from __future__ import annotations

import cv2
import pyarrow as pa
import pytest
import simplejpeg
from skimage import data as pictures

from zcurate.curation.profile.columns import QUALITY_SCHEMA
from zcurate.curation.profile.forensic import load_forensic
from zcurate.curation.profile.measure import profile_image
from zcurate.curation.profile.model_scores import AT_A_TIME, ModelScores
from zcurate.curation.profile.quality.model import load_quality
from zcurate.curation.stage import NullMonitor, map_rows

NAMES = QUALITY_SCHEMA.names


def as_jpeg(rgb, quality: int = 90) -> bytes:
    return simplejpeg.encode_jpeg(rgb.copy(), quality=quality, colorsubsampling="420")


def various() -> list[bytes]:
    """Pictures that score differently: sharp, blurred, compressed, grey, flat, smaller than a tile."""
    coffee, cat = pictures.coffee(), pictures.chelsea()
    soft = cv2.GaussianBlur(coffee, (0, 0), 4)
    camera = simplejpeg.encode_jpeg(
        pictures.camera()[..., None].copy(), colorspace="gray", colorsubsampling="Gray"
    )
    flat = as_jpeg(coffee * 0 + 90)
    return [
        as_jpeg(coffee),
        as_jpeg(soft),
        as_jpeg(cat, 8),
        camera,
        flat,
        as_jpeg(cat[:40, :50]),
        as_jpeg(cat),
    ]


def alone(data: bytes) -> dict[str, float]:
    models = ModelScores(load_quality(), load_forensic())
    row = profile_image(data, models=models)
    assert row["blur"] is None
    models.finish()
    return {name: row[name] for name in NAMES}


def test_every_row_gets_its_own_scores_among_rows_that_fail():
    some = various()
    expected = [alone(data) for data in some]
    assert len({row["blur"] for row in expected}) == len(some)
    times = AT_A_TIME // len(some) + 1
    files, expected = some * times, expected * times
    assert AT_A_TIME < len(files) < 2 * AT_A_TIME, "some fill the first lot, the last ones are fewer"
    given = [files[0], b"not a picture", *files[1:4], b"", *files[4:], files[1][:500]]
    models = ModelScores(load_quality(), load_forensic())
    out = map_rows(
        pa.table({"data": given}),
        lambda row: profile_image(row["data"], models=models),
        QUALITY_SCHEMA,
        NullMonitor(),
        finish=models.finish,
    )
    rows = out.to_pylist()
    assert [row["_status"] for row in rows].count("error") == 3
    found = [{name: row[name] for name in NAMES} for row in rows if row["_status"] == "ok"]
    for one, together in zip(expected, found, strict=True):
        assert together == pytest.approx(one, abs=1e-4)
    assert all(row[name] is None for row in rows if row["_status"] == "error" for name in NAMES)


def test_the_same_pictures_in_the_same_order_give_the_same_bits():
    def run() -> list[dict[str, float]]:
        models = ModelScores(load_quality(), load_forensic())
        rows = [profile_image(data, models=models) for data in various()]
        models.finish()
        return [{name: row[name] for name in NAMES} for row in rows]

    once = run()
    alone(various()[0])  # another number of pictures in between
    assert run() == once


def test_without_the_classifier_its_column_stays_empty():
    models = ModelScores(load_quality())
    row = profile_image(various()[0], models=models)
    models.finish()
    assert row["ai_forensic"] is None
    assert 0 <= row["blur"] <= 1


def test_rows_may_be_completed_after_some_hundred():
    """What `map_rows` holds on to is completed before it is read, however many rows there are."""
    waiting, finishes = [], []

    def add(row):
        if row["x"] % 7 == 3:
            raise ValueError("bad row")
        values = {"y": None}
        waiting.append((values, row["x"]))
        return values

    def finish():
        finishes.append(len(waiting))
        for values, x in waiting:
            values["y"] = 2 * x
        waiting.clear()

    table = pa.table({"x": range(600)})
    out = map_rows(table, add, pa.schema([("y", pa.int64())]), NullMonitor(), finish=finish)
    assert out["y"].to_pylist() == [None if x % 7 == 3 else 2 * x for x in range(600)]
    assert len(finishes) > 1
