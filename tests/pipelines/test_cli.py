"""The command line as a user meets it: one real dataset, every command, and the usual mistakes."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image, ImageDraw

# Its pictures and models are made once, not once per worker.
pytestmark = pytest.mark.xdist_group("cli")


def picture(seed, size=(320, 240)):
    """A picture with detail: colored shapes on a textured ground."""
    rng = np.random.default_rng(seed)
    ground = rng.uniform(60, 200, 3) + rng.normal(0, 8, (size[1], size[0], 3))
    image = Image.fromarray(np.clip(ground, 0, 255).astype(np.uint8))
    draw = ImageDraw.Draw(image)
    for _ in range(12):
        x, y, r = rng.integers(0, size[0]), rng.integers(0, size[1]), rng.integers(10, 70)
        draw.ellipse([x - r, y - r, x + r, y + r], fill=tuple(int(c) for c in rng.integers(0, 255, 3)))
    return image


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """Twelve pictures, a copy, a small one and two broken files, some with captions."""
    folder = tmp_path_factory.mktemp("in") / "pictures"
    folder.mkdir()
    for i in range(12):
        picture(i).save(folder / f"p{i:02d}.jpg", quality=92)
        if i % 2:
            (folder / f"p{i:02d}.txt").write_text(f"colored circles number {i}")
    (folder / "copy.jpg").write_bytes((folder / "p03.jpg").read_bytes())
    picture(50, (90, 70)).save(folder / "small.png")
    (folder / "broken.jpg").write_bytes((folder / "p01.jpg").read_bytes()[:900])
    (folder / "空的.png").write_bytes(b"")
    return folder


#: Rules on what these drawings are known to be; the bundled ones are made for photographs.
RULES = 'stages.filter.rules={too_small: {drop_if: "short_side_px < 200", reason: too few pixels}}'


@pytest.fixture(scope="module")
def built(images, tmp_path_factory):
    """A finished build of the bundled photo recipe."""
    out = tmp_path_factory.mktemp("built") / "photos"
    command = [Path(sys.executable).parent / "zcurate", "build", "photos", "--engine", "inline", "--json"]
    command += ["--set", f"source={images}", "--set", f"out={out}", "--set", "stages.ocr={}", "--set", RULES]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 3, done.stderr
    return out, json.loads(done.stdout)


def test_build_says_what_it_did(built):
    out, record = built
    assert record["state"] == "done"
    stages = record["stages"]
    assert (stages["profile"]["rows_ok"], stages["profile"]["rows_error"]) == (14, 2)
    assert [e["rows"] for e in record["exports"]] == [12, 12]
    assert (out / "report.html").stat().st_size > 20_000
    assert (out / "export/webdataset/00000.tar").exists()


def test_looking_at_it(built, zcurate):
    out, _ = built
    code, text, _ = zcurate("status", out, "--json")
    facts = json.loads(text)
    assert (code, facts["samples"], facts["live"]) == (0, 16, 16)
    code, text, _ = zcurate("errors", out, "--json")
    rows = [json.loads(line) for line in text.splitlines()]
    assert {r["uri"] for r in rows} == {"broken.jpg", "空的.png"}
    assert zcurate("errors", out)[0] == 0
    code, text, _ = zcurate("whatif", out, "--rule", "short_side_px < 230", "--json", "--html", "near.html")
    facts = json.loads(text)
    assert (facts["matched"], facts["total"], facts["null"]) == (1, 16, 2)
    assert "data:image/jpeg" in Path("near.html").read_text()
    sample = facts["examples"][0]["sample_id"]
    code, text, _ = zcurate("explain", out, sample, "--json")
    facts = json.loads(text)
    assert facts["groups"]["samples"]["key"] == "small"
    assert [r["rule"] for r in facts["rules"] if r["verdict"] == "drop"] == ["too_small"]
    assert "too_small" in zcurate("explain", out, sample)[1]


def test_searching_by_image_finds_the_image(built, images, zcurate):
    out, _ = built
    code, text, _ = zcurate("search", out, "--image", images / "p05.jpg", "-k", "2", "--json")
    hits = [json.loads(line) for line in text.splitlines()]
    assert code == 0
    assert (hits[0]["key"], round(hits[0]["score"], 2)) == ("p05", 1.0)
    code, _, err = zcurate("search", out, "a red circle", "--vector-only")
    assert code == 2
    assert "no text side" in err


def test_plan_before_and_after(built, images, zcurate, tmp_path):
    out, _ = built
    code, text, _ = zcurate(
        "plan", "photos", "--set", f"source={images}", "--set", f"out={tmp_path / 'new'}", "--json"
    )
    report = json.loads(text)
    assert (code, report["rows"], report["missing"]) == (0, 16, [])
    assert not (tmp_path / "new").exists(), "a plan changes nothing"
    _, text, _ = zcurate("plan", "photos", "--set", f"source={images}", "--set", f"out={out}", "--json")
    stages = {s["stage"]: s for s in json.loads(text)["stages"]}
    assert (stages["profile"]["rows"], stages["profile"]["done_rows"]) == (0, 16)
    code, text, _ = zcurate("plan", "photos", "--set", "source=/nowhere/at/all")
    assert code == 2
    assert "/nowhere/at/all" in text


def test_run_one_stage_with_another_setting(built, zcurate):
    out, record = built
    before = sorted(out.glob("decisions/filter/*/*.parquet"))
    code, _, err = zcurate("run", "filter", out, "--engine", "inline", "--set", "rules={}")
    assert code == 3, err
    after = sorted(out.glob("decisions/filter/*/*.parquet"))
    assert len(after) == len(before) + 1
    code, text, _ = zcurate("gc", out)
    assert code == 0
    assert "decisions/filter" in text
    # the next build of the recipe is current again
    code, text, _ = zcurate(
        *("build", "photos", "--engine", "inline", "--json"),
        *("--set", f"source={record['recipe']['params']['source']}", "--set", f"out={out}", "--set", RULES),
    )
    assert code == 3
    assert all(s["rows_computed"] == 0 for s in json.loads(text)["stages"].values())


def test_export_report_and_remove(built, zcurate, images, tmp_path):
    _, record = built
    out = tmp_path / "mine"
    arguments = ["build", "photos", "--engine", "inline", "--set", RULES]
    arguments += ["--set", f"source={images}", "--set", f"out={out}"]
    assert zcurate(*arguments)[0] == 3
    code, text, _ = zcurate("export", out, "--format", "datacomp", "--out", tmp_path / "uids", "--json")
    assert (code, json.loads(text)["rows"]) == (0, 12)
    facts = json.loads(zcurate("whatif", out, "--rule", "width_px < 9999", "--json")[1])
    rows = {e["key"]: e["sample_id"] for e in facts["examples"]}
    key, target = next((k, i) for k, i in rows.items() if k not in ("small", "copy", "p03"))
    Path("ids.txt").write_text(f"# taken down\n{target}\n{'0' * 32}\n")
    code, text, _ = zcurate("remove", out, "--ids", "ids.txt", "--reason", "asked for", "--json")
    facts = json.loads(text)
    assert (code, facts["samples"], facts["unknown"]) == (0, 1, 1)
    assert sorted(facts["exports"].values()) == [1, 1, 1]
    assert zcurate(*arguments)[0] == 3
    mentions = [
        p.relative_to(out)
        for p in out.rglob("*")
        if p.is_file() and (bytes.fromhex(target) in p.read_bytes() or target.encode() in p.read_bytes())
    ]
    assert all(str(p).startswith("overlay/takedown") for p in mentions), (key, mentions)
    assert zcurate("verify", out)[0] == 0


def test_verify_names_damage_and_build_mends_it(zcurate, images, tmp_path):
    out = tmp_path / "ds"
    recipe = tmp_path / "r.yaml"
    recipe.write_text(
        yaml.safe_dump(
            {
                "name": "r",
                "dataset": str(out),
                "sources": [{"root": str(images)}],
                "stages": {"profile": {}},
                "report": False,
            }
        )
    )
    assert zcurate("build", recipe, "--engine", "inline")[0] == 3
    shard = next(out.glob("profile/*/*.parquet"))
    shard.write_bytes(shard.read_bytes()[:-40])
    code, text, _ = zcurate("verify", out)
    assert code == 1
    assert str(shard.relative_to(out)) in text
    assert zcurate("build", recipe, "--engine", "inline")[0] == 3
    assert zcurate("verify", out)[0] == 0


def test_ingest_and_diff(zcurate, images, tmp_path):
    for name in ("a", "b"):
        assert (
            zcurate("ingest", images, "--out", tmp_path / name, "--name", "pictures", "--origin", "rendered")[
                0
            ]
            == 0
        )
        assert zcurate("run", "profile", tmp_path / name, "--engine", "inline")[0] == 3
    code, text, _ = zcurate("diff", tmp_path / "a", tmp_path / "b")
    assert (code, text.strip()) == (0, "the same")


MISTAKES = [
    (["build", "nothere.yaml"], 2, "no such recipe"),
    (["build", "photos"], 2, "--set source=VALUE"),
    (["build", "photos", "--set", "source=/nowhere"], 2, "/nowhere"),
    (["build", "photos", "--set", "nonsense=1"], 2, "nonsense"),
    (["build", "photos", "--set", "source=."], 2, "holds no images"),
    (["build", "photos", "--set", "stages.dedup.treshold=0.9", "--set", "source=/tmp"], 2, "treshold"),
    (["build", "photos", "--set", "source=https://example.org/x"], 2, "fetch"),
    (["build", "photos", "--engine", "spark", "--set", "source=/tmp"], 2, "spark"),
    (["build", "photos", "--max-quarantined", "lots", "--set", "source=/tmp"], 2, "lots"),
    (["status", "nothere"], 1, "no dataset here"),
    (["explain", "nothere", "xyz"], 1, "no dataset here"),
    (["run", "nostage", "nothere"], 2, "unknown stage"),
    (["frobnicate"], 2, "frobnicate"),
]


@pytest.mark.parametrize(
    ("arguments", "code", "message"), MISTAKES, ids=lambda v: " ".join(v) if isinstance(v, list) else ""
)
def test_mistakes_end_with_one_message(arguments, code, message, zcurate):
    got, out, err = zcurate(*arguments)
    assert got == code, err
    assert message in err + out
    assert "Traceback" not in err


def test_every_command_has_help_with_an_example(zcurate):
    code, text, _ = zcurate("--help")
    assert code == 0
    commands = [c for c in text.split() if c in COMMANDS]
    assert sorted(set(commands)) == sorted(COMMANDS)
    for command in COMMANDS:
        code, text, _ = zcurate(command, "--help")
        assert code == 0
        assert "xample" in text, command


COMMANDS = [
    *("demo", "build", "plan", "ingest", "fetch", "run", "retry", "export"),
    *("status", "errors", "whatif", "explain", "search", "index", "report"),
    *("verify", "gc", "diff", "remove", "prune"),
]
