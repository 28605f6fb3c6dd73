"""Stages `tags`, `filter_tags` and `enhance` in one recipe with captions, through Ray and a kill, to the exports."""

import json
import os
import signal
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from zcurate.curation.store import Dataset, Limit
from zcurate.pipelines.preflight import preflight
from zcurate.pipelines.recipe import build_recipe
from zcurate.pipelines.runlog import latest_record

from ..captioner.server import Reply
from .pictures import asked_for, honest, make_folder

#: Neither printed, nor logged, nor kept in any file of the dataset.
SECRET = "sk-never-to-be-seen-4711"
SPEAKS = ("core_subject", "knowledge", "aesthetics", "description")


def answers(body):
    """What a good model says to all questions of the recipe."""
    schema, i = asked_for(body)
    if schema == "picture_tags" and i is not None:
        tags = {
            "objects": ["sign", "wall"],
            "people": i % 3,
            "culture": [],
            "nsfw_kind": "safe",
            "nsfw": 0.01,
        }
        return Reply(json.dumps(tags), tokens=(700, 40))
    if schema == "enhanced_prompt":
        said = body["messages"][-1]["content"]
        text = said if isinstance(said, str) else "".join(p.get("text", "") for p in said)
        color = next(c for c in ("red", "green", "blue", "gray sign", "gray") if f"A {c} wooden" in text)
        if color == "green":
            return Reply("I'm sorry, but I can't help with that.")
        prompt = f"A {color} wooden sign with a round white plate stands before a gray wall in soft light from the left."
        return Reply(
            json.dumps({k: f"thought on {k}" for k in SPEAKS} | {"invented_text": [], "prompt": prompt})
        )
    return honest(body)


def recipe(folder, out, server):
    model = {"engine": server.engine, "revision": "1"}
    return {
        "name": "asking",
        "dataset": str(out),
        "rows_per_shard": 6,
        "sources": [{"root": str(folder)}],
        "report": False,
        "stages": {
            "profile": {"quality": False},
            "tags": model,
            "filter_tags": {"rules": {"crowd": {"drop_if": "people >= 2"}}},
            "caption": model,
            "enhance": model | {"of": "en_short"},
        },
        "export": [
            {"format": "parquet", "out": f"{out}/export", "images": False, "caption_mix": {"en_enhanced": 1, "zh_short": 0.2}}
        ],
    }  # fmt: skip


def run(file, cwd):
    environment = {**os.environ, "ZCURATE_VLM_API_KEY": SECRET}
    return [str(Path(sys.executable).parent / "zcurate"), "build", str(file)], {
        "cwd": cwd,
        "env": environment,
    }


def rows_of(out, group):
    folder = latest_record(Dataset.open(out)).folders[group]
    rows = {}
    for path in sorted((out / folder).glob("*.parquet")):
        uris = pq.read_table(out / "samples" / path.name, columns=["uri"]).column(0).to_pylist()
        rows |= {int(u[:3]): r for u, r in zip(uris, pq.read_table(path).to_pylist(), strict=True)}
    return rows


@pytest.mark.slow
def test_a_killed_build_goes_on_and_exports_enhanced_prompts(tmp_path, vlm_server):
    folder, out = make_folder(tmp_path / "in", range(18)), tmp_path / "ds"
    file = tmp_path / "recipe.json"
    file.write_text(json.dumps(recipe(folder, out, vlm_server)))
    reached, count = threading.Event(), []

    def slow(body):
        count.append(1)
        if len(count) == 40:
            reached.set()
        return replace(answers(body), delay_s=0.1)

    vlm_server.script = slow
    command, where = run(file, tmp_path)
    driver = subprocess.Popen(command, **where, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    assert reached.wait(120)
    os.kill(driver.pid, signal.SIGKILL)
    driver.wait()
    vlm_server.script = answers
    done = subprocess.run(command, **where, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr
    kept = [i for i in range(18) if i % 3 < 2]
    tags = rows_of(out, "tags")
    assert {i: (r["people"], r["tokens_in"]) for i, r in tags.items()} == {i: (i % 3, 700) for i in range(18)}
    captions = rows_of(out, "captions")
    assert [i for i, r in captions.items() if r["_status"] == "ok"] == kept, "the rule holds for captions"
    enhanced = rows_of(out, "enhanced")
    for i in kept:
        row, short = enhanced[i], captions[i]["en_short"]
        assert row["original"] == short
        refused = i % 4 == 1  # green ones
        assert row["status"] == ("refusal" if refused else "enhanced")
        assert (row["prompt"] == short) is refused
        assert (json.loads(row["reasoning"])["knowledge"] == "thought on knowledge") if not refused else True
    table = pq.read_table(out / "export" / "captions-00000.parquet").to_pylist()
    assert len(table) == len(kept)
    by_number = {int(r["uri"][:3]): r for r in table}
    for i, row in by_number.items():
        enhanced_one = enhanced[i]["prompt"] if i % 4 != 1 else None
        assert row["en_enhanced"] == enhanced_one, "what was not enhanced is no enhanced prompt"
        assert row["zh_enhanced"] is None
        assert row["caption"] == row[row["caption_kind"]]
        assert row["caption_kind"] == "zh_short" or i % 4 != 1
    assert {r["caption_kind"] for r in table} == {"en_enhanced", "zh_short"}
    sent = {s.headers.get("Authorization") for s in vlm_server.seen}
    assert sent == {f"Bearer {SECRET}"}, "the workers have the key"
    files = [p for p in tmp_path.rglob("*") if p.is_file()]
    assert len(files) > 40
    assert [p for p in files if SECRET.encode() in p.read_bytes()] == []
    assert SECRET not in done.stdout + done.stderr


def test_plan_tells_what_each_of_them_will_ask(tmp_path, vlm_server):
    folder = make_folder(tmp_path / "in", range(10))
    vlm_server.script = answers
    raw = recipe(folder, tmp_path / "ds", vlm_server)
    for name in ("tags", "caption", "enhance"):
        raw["stages"][name] = raw["stages"][name] | {"price_in": 1, "price_out": 2}
    plan = {s.stage: s for s in preflight(build_recipe(raw, "here"), Limit()).stages}
    assert [plan[n].asking.requests for n in ("tags", "caption", "enhance")] == [10, 20, 10]
    for name in ("tags", "caption", "enhance"):
        asking = plan[name].asking
        assert asking.money == pytest.approx((asking.tokens_in + 2 * asking.tokens_out) / 1e6)
    assert plan["tags"].asking.tokens_in > 10 * 1280, "a picture each"
    assert plan["enhance"].asking.tokens_in < 10 * 1280, "no picture"
    assert plan["filter_tags"].asking is None
    assert plan["filter_tags"].seconds is not None
