"""The stage `draw`: pictures of a manifest, by a model of this machine and by one that is bought."""

import json

import pyarrow as pa
import pytest
from PIL import Image

from zcurate.curation.errors import StageStopError
from zcurate.curation.stage import NullMonitor
from zcurate.curation.store import SourceInfo
from zcurate.model.api.credentials import Secret, endpoint_of
from zcurate.model.api.dashscope import ImageClient
from zcurate.model.api.generator import DashScopeGenerator
from zcurate.pipelines.context import StageContext
from zcurate.pipelines.stages.draw import Config, build

from ..model.api.fake_dashscope import FakeDashScope, answer, refusal
from ..model.api.running import IMPATIENT

PROMPTS = [{"path": f"a/{i}.png", "prompt": f"a red circle {i}", "seed": i, "concept": "red circle"} for i in range(5)]  # fmt: skip


def manifest(folder, rows):
    folder.mkdir(exist_ok=True)
    (folder / "prompts.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
    return folder


def drawn(zcurate, tmp_path, folder, model="s3dit:tiny", expect=0, **settings):
    recipe = {
        "name": "drawing", "dataset": str(tmp_path / "ds"), "report": False,
        "sources": [{"name": "asked", "root": str(folder), "kind": "manifest", "origin": "model"}],
        "stages": {"draw": {"model": model, "size": "32*32", "batch": 2, **settings}, "profile": {"quality": False}},
    }  # fmt: skip
    path = tmp_path / "recipe.yaml"
    path.write_text(json.dumps(recipe))
    code, _, err = zcurate("build", str(path), "--engine", "inline")
    assert code == expect, err
    return {p.relative_to(folder).as_posix(): p.stat().st_mtime_ns for p in folder.rglob("*.png")}


def test_only_what_is_not_there_as_asked_for_is_drawn(zcurate, tmp_path):
    folder = manifest(tmp_path / "pictures", PROMPTS)
    first = drawn(zcurate, tmp_path, folder)
    assert sorted(first) == [f"a/{i}.png" for i in range(5)]
    record = json.loads((folder / "a" / "3.json").read_text())
    assert (record["prompt"], record["seed"], record["concept"]) == ("a red circle 3", 3, "red circle")
    # Another dataset, as after a loss of this one: the pictures are still there. One lost its record, one is gone.
    (tmp_path / "ds").rename(tmp_path / "lost")
    (folder / "a" / "1.json").unlink()
    (folder / "a" / "2.png").unlink()
    again = drawn(zcurate, tmp_path, folder)
    assert {n for n in first if again[n] != first[n]} == {"a/1.png", "a/2.png"}
    # One more is asked for, and one with other words.
    rows = [
        *PROMPTS[:4],
        {**PROMPTS[4], "prompt": "a blue star"},
        {"path": "b/0.png", "prompt": "a green bar"},
    ]
    manifest(folder, rows)
    more = drawn(zcurate, tmp_path, folder)
    assert {n for n in more if more[n] != again.get(n)} == {"a/4.png", "b/0.png"}
    # What the manifest says of a picture beside its prompt is not what the model says of it.
    manifest(folder, [{**r, "model": "mine", "width": 7, "note": "x"} for r in rows])
    assert drawn(zcurate, tmp_path, folder) == more
    larger = drawn(zcurate, tmp_path, folder, size="64*32")
    assert not set(larger.values()) & set(more.values())
    assert {Image.open(folder / n).size for n in larger} == {(64, 32)}
    assert len(list(folder.rglob("*.json"))) == 6
    record = json.loads((folder / "b" / "0.json").read_text())
    assert (record["note"], record["width"], record["asked_size"]) == ("x", 64, "64*32")
    assert record["model"].startswith("tiny-untrained@sha256:")


def test_what_cannot_be_drawn_is_a_row_and_what_nobody_could_draw_ends_it(zcurate, tmp_path):
    rows = [
        *PROMPTS[:2],
        {"path": "a/9.png", "prompt": "  "},
        {"path": "a/8.gif", "prompt": "a cat"},
        {"path": "out/7.png", "prompt": "a cat"},
    ]
    folder = manifest(tmp_path / "pictures", rows)
    (folder / "out").symlink_to(tmp_path)
    assert len(drawn(zcurate, tmp_path, folder, expect=3)) == 2
    assert not (tmp_path / "7.png").exists()
    code, out, _ = zcurate("errors", str(tmp_path / "ds"))
    assert (code, "CannotDrawError" in out) == (0, True)
    recipe = json.loads((tmp_path / "recipe.yaml").read_text())
    recipe["stages"]["draw"] |= {"model": "folder:x"}
    (tmp_path / "recipe.yaml").write_text(json.dumps(recipe))
    code, _, err = zcurate("build", str(tmp_path / "recipe.yaml"), "--engine", "inline")
    assert (code, "draws nothing" in err) == (2, True)


def test_nothing_is_written_over_that_is_not_a_manifest_of_pictures_to_be_drawn(zcurate, tmp_path):
    mine = tmp_path / "mine"
    mine.mkdir()
    Image.new("RGB", (100, 80), "red").save(mine / "holiday.png")
    (mine / "holiday.txt").write_text("a beach")
    before = (mine / "holiday.png").read_bytes()
    for kind, origin in (("folder", "model"), ("folder", "camera")):
        recipe = {
            "name": "x", "dataset": str(tmp_path / f"ds-{origin}"), "report": False,
            "sources": [{"name": "mine", "root": str(mine), "kind": kind, "origin": origin}],
            "stages": {"draw": {"model": "s3dit:tiny", "size": "32*32"}},
        }  # fmt: skip
        (tmp_path / "recipe.yaml").write_text(json.dumps(recipe))
        assert zcurate("build", str(tmp_path / "recipe.yaml"), "--engine", "inline")[0] == 3
        assert (mine / "holiday.png").read_bytes() == before


@pytest.fixture
def bought(tmp_path, monkeypatch):
    """(the service, a stage that buys from it, a table of five prompts)"""
    monkeypatch.setenv("DASHSCOPE_API_KEY", "sk-key")
    sources = {"asked": SourceInfo("asked", str(tmp_path), "manifest", "model", None)}
    stage = build(Config(model="dashscope:z-image-turbo", size="1024*256", batch=2), StageContext(sources))
    rows = [
        {"samples.source": "asked", "samples.uri": r["path"], "samples.container": "file", "samples.text": r["prompt"],
         "samples.metadata": json.dumps({"seed": r["seed"], "concept": r["concept"]})}
        for r in PROMPTS
    ]  # fmt: skip
    with FakeDashScope() as service:
        client = ImageClient(endpoint_of(service.url, "beijing"), Secret("sk-key"), patience=IMPATIENT)
        stage._generator = DashScopeGenerator(client=client)
        yield service, stage, pa.Table.from_pylist(rows)
        client.close()


def test_a_refused_picture_costs_no_other(bought, tmp_path):
    service, stage, table = bought
    service.posts = [answer(), refusal(400, "DataInspectionFailed", "no"), answer()]
    done = stage(table, NullMonitor()).to_pylist()
    assert sorted(d["_status"] for d in done) == ["error"] + ["ok"] * 4
    assert len(list(tmp_path.rglob("*.png"))) == 4
    paid = service.count("POST")
    assert paid == 5
    again = stage(table, NullMonitor()).to_pylist()
    assert [d["_status"] for d in again] == ["ok"] * 5
    assert service.count("POST") == paid + 1


def test_what_is_paid_is_kept_when_another_ends_the_stage(bought, tmp_path):
    service, stage, table = bought
    service.posts = [answer(), refusal(403, "Arrearage", "no money"), answer()]
    with pytest.raises(StageStopError, match="money"):
        stage(table, NullMonitor())
    paid = service.count("POST") - 1
    assert len(list(tmp_path.rglob("*.png"))) == paid == 1
    assert {d["_status"] for d in stage(table, NullMonitor()).to_pylist()} == {"ok"}
    assert service.count("POST") == 6


def test_a_wrong_key_ends_the_stage_with_the_first_picture(bought, tmp_path):
    service, stage, table = bought
    service.posts = [refusal(401, "InvalidApiKey", "no such key")]
    with pytest.raises(StageStopError, match="key"):
        stage(table, NullMonitor())
    assert service.count("POST") <= 2
    assert not list(tmp_path.rglob("*.png"))


def test_a_diagnosis_never_spends_more_than_it_may(zcurate, tmp_path, monkeypatch):
    """A list price of 0.01434 USD: 0.05 pay for three, whatever was asked for, lost or left over before."""
    from zcurate.model.api import generator
    from zcurate.model.api.credentials import Endpoint

    with FakeDashScope() as service:
        host = service.url.removeprefix("http://")
        monkeypatch.setattr(generator, "endpoint_of", lambda *_: Endpoint(service.url, "beijing", host))
        monkeypatch.setenv("DASHSCOPE_API_KEY", "sk-key")

        def run(max_spend, *names):
            before = service.count("POST")
            concepts = [x for n in names for x in ("--concept", n)]
            code, out, err = zcurate("diagnose", "dashscope:z-image-turbo", *concepts, "--out", str(tmp_path / "d"), "--size", "1024*256", "--max-spend", max_spend, "--no-ocr", "--engine", "inline", "--json")  # fmt: skip
            return code, service.count("POST") - before, err

        assert run("0.05", "cat")[:2] == (0, 3)
        assert run("0.05", "cat")[:2] == (0, 3)
        # Refused pictures are not asked for for ever, and do not stand in the way of others.
        service.posts = [refusal(400, "DataInspectionFailed", "no")]
        assert run("0.05", "dog")[0] == 1
        service.posts = [answer()]
        assert run("0.05", "dog")[:2] == (0, 3)
        # What is asked for and lost has to be allowed again.
        for path in (tmp_path / "d" / "pictures").glob("dog-*/*.png"):
            path.unlink()
        code, bought, err = run("0.02", "dog")
        assert (code, bought, "still to be bought" in err) == (2, 0, True), err
        assert run("0.05", "dog")[:2] == (0, 3)
        assert run("0", "bird")[:2] == (0, 0)
