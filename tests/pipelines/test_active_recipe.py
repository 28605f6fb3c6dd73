"""The cycle of docs/active_curation.md, line by line as it stands there, on pictures of the procedural world."""

import json
import os
import re
import subprocess
import sys
from itertools import combinations
from pathlib import Path

import pytest

from zcurate.graph.store import Graph
from zcurate.pipelines.cycles import noted

from .test_diagnose import save, scene

DOCS = Path(__file__).parents[2] / "docs" / "active_curation.md"
NAMES = ("red circle", "green ring", "red bar", "cyan cross", "blue star")
#: What these drawings need, or what makes it short, by the command's first word.
MORE = {
    "build": "--set min_side_px=16 --set stages.dedup.threshold=0.999 --engine inline",
    "train": "--set stages.0.steps=30 --set checkpoint_every=0 --set threads=1",
    "diagnose": "--count 5 --least 4 --most 8 --size 32*32 --engine inline",
    "augment": "--engine inline",
}


def world(folder):
    """Four concepts with data (of one the captions lie), one with hardly any, which the pool has."""
    others = [f"{c} {s}" for c in ("yellow", "purple", "black") for s in ("bar", "ring", "cross", "star")]
    pairs = list(combinations(others, 2))
    for k, name in enumerate(NAMES):
        shown = "green cross" if name == "green ring" else name
        for i in range(2 if name == "blue star" else 10):
            more = pairs[(10 * k + i) % len(pairs)]
            caption = f"a {name}, a {more[0]} and a {more[1]}"
            save(folder / "pictures", f"{k}-{i}", scene(shown, *more), caption=caption)
    for i in range(12):
        name = "blue star" if i < 6 else "red circle"
        more = pairs[-1 - i]
        save(folder / "web", f"w{i}", scene(name, *more[::-1]), caption=f"a {name}, a {more[0]}, a {more[1]}")
    (folder / "links.tsv").write_text("".join(f"{a}\t{b}\n" for a, b in combinations(NAMES, 2)))


@pytest.mark.slow
def test_the_cycle_of_the_docs_runs_as_it_stands(tmp_path):
    world(tmp_path)
    (script,) = re.findall(r"```sh\n(JUDGE=.*?)```", DOCS.read_text(encoding="utf-8"), re.S)
    assert script.count("zcurate ") >= 11
    script = re.sub(r'^JUDGE=".*"$', 'JUDGE="--verifier shapes --no-ocr"', script, flags=re.M)
    # Only `augment` has no lettering to read; a graph that hardly wants the crosses makes something to reweight.
    script = re.sub(r"^(zcurate augment .*) \$JUDGE", r"\1 --verifier shapes", script, flags=re.M)
    wanted = 'zcurate graph weight "cyan cross" --set 0.05 --graph graph --reason "a test"'
    script = re.sub(r"^(zcurate graph build .*)$", rf"\1\n{wanted}", script, flags=re.M)
    for word, more in MORE.items():
        script = re.sub(rf"^(zcurate {word} .*)$", rf"\1 {more}", script, flags=re.M)
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{environment['PATH']}"
    done = subprocess.run(
        ["bash", "-euxc", script], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=280
    )
    assert done.returncode == 0, done.stderr[-4000:] + done.stdout[-2000:]
    findings = json.loads((tmp_path / "diagnosis" / "diagnosis.json").read_text())["findings"]
    causes = {f["concept"]["name"].casefold(): (f["cause"] or {}).get("name") for f in findings}
    assert causes["green ring"] == "bad_data"
    assert causes["blue star"] == "lacks_data"
    assert causes["cyan cross"] == "underweighted"
    lines = noted(tmp_path / "diagnosis")
    assert [x["action"] for x in lines] == ["diagnose", "prune", "augment", "reweight"]
    assert [len(x["concepts"]) for x in lines[2:]] == [1, 1]
    assert 1 <= lines[2]["concepts"][0]["accepted"] <= 6
    graph = Graph.open(tmp_path / "graph")
    assert graph.weight[graph.resolve("cyan cross")] > 0.05
    after = json.loads((tmp_path / "diagnosis2" / "diagnosis.json").read_text())
    now = {f["concept"]["name"].casefold(): f for f in after["findings"]}
    assert set(now) == set(causes)
    assert now["blue star"]["concept"]["samples"] > 2
    before = {f["concept"]["name"].casefold(): f["evidence"]["drawn_share"] for f in findings}
    assert now["cyan cross"]["evidence"]["drawn_share"] > 2 * before["cyan cross"]
    done = {c["concept"].casefold(): c["action"] for c in after["comparison"]["changes"]}
    assert done["green ring"] == "prune"
    assert done["blue star"] == "augment"
    assert done["cyan cross"] == "reweight"
    page = (tmp_path / "diagnosis2" / "diagnosis.html").read_text()
    assert re.search(r"added \d samples of blue star, from pool", page, re.I)
