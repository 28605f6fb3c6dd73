"""`zcurate render-text`: pictures, pairs and records from a spec file; what cannot be drawn has a reason."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner

from zcurate.curation.edits.encoding import decode_mask
from zcurate.curation.edits.spec import EditSpec
from zcurate.pipelines.cli.app import app

CANVAS = {"width_px": 256, "height_px": 192, "color": "#e6e6e6", "to": None}


def run(*args: object) -> object:
    return CliRunner().invoke(app, ["render-text", *map(str, args), "--no-system-fonts"])


def written(path: Path, value: object) -> Path:
    path.write_text(json.dumps(value), "utf-8")
    return path


def rows(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def test_a_spec_becomes_pairs_with_all_that_is_known_about_them(tmp_path: Path) -> None:
    spec = {
        "canvas": CANVAS,
        "items": [{"text": "Hello", "size_px": 30, "position": [0.5, 0.3]}],
        "edit": {"0": {"text": "World"}},
    }
    file = written(tmp_path / "spec.json", spec)
    done = run(file, "--out", tmp_path / "a", "--n", 2, "--json")
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout) == {"made": 2, "rejected": 0, "out": str(tmp_path / "a")}
    records = rows(tmp_path / "a" / "records.jsonl")
    for record in records:
        one, other = (cv2.imread(str(tmp_path / "a" / record[k])) for k in ("source", "target"))
        mask = decode_mask((tmp_path / "a" / record["mask"]).read_bytes())
        assert one.shape == other.shape == (192, 256, 3)
        assert (one != other).any()
        assert not (one != other).any(axis=2)[~mask].any()
        assert record["edit"]["types"] == ["text.replace"]
        assert '"World"' in record["edit"]["instructions"]["en_short"]
        assert "“World”" in record["edit"]["instructions"]["zh_long"]
        change = EditSpec.from_json(json.dumps(record["edit"]["spec"])).changes[0]
        assert change.before == record["state"]["text/0"]
        x0, y0, x1, y1 = record["boxes"]["text/0"]
        assert 0 < x0 < x1 < 256
        assert 0 < y0 < y1 < 192
    run(file, "--out", tmp_path / "b", "--n", 2)
    for name in sorted(p.name for p in (tmp_path / "a").iterdir()):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes(), name


def test_bad_specs_are_listed_with_reasons_and_the_others_drawn(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "small.png"), np.zeros((40, 300, 3), np.uint8))
    cv2.imwrite(str(tmp_path / "good.png"), np.full((130, 203, 3), 90, np.uint8))
    (tmp_path / "torn.png").write_bytes((tmp_path / "good.png").read_bytes()[:60])
    specs = [
        {"photo": "good.png", "items": [{"text": "Fine"}]},
        {"photo": "small.png"},
        {"photo": "torn.png"},
        {"photo": "none.png"},
        {"photo": 3},
        {"canvas": CANVAS, "items": [{"text": "\ue123"}]},
        {"canvas": CANVAS, "items": [{"text": "\u0378\u1a5f" * 2}]},
        {"canvas": CANVAS, "items": [{"text": "long " * 80}]},
        {"canvas": {"width_px": 20}},
        {"canvas": CANVAS, "photo": "good.png"},
    ]
    file = tmp_path / "specs.jsonl"
    file.write_text("\n".join(map(json.dumps, specs)), "utf-8")
    done = run(file, "--out", tmp_path / "out")
    assert done.exit_code == 0, done.output
    (record,) = rows(tmp_path / "out" / "records.jsonl")
    assert (record["height_px"], record["width_px"]) == (128, 192)  # cropped to the grid of the models
    rejected = rows(tmp_path / "out" / "rejected.jsonl")
    assert [r["spec"] for r in rejected] == list(range(1, len(specs)))
    assert all(r["error"] for r in rejected)
    classes = [r["error_class"] for r in rejected]
    assert classes[0] == classes[7] == "PictureTooSmallError"
    assert classes[6] == "TextOverflowError"
    assert "none.png" in rejected[2]["error"]


@pytest.mark.parametrize("text", ["", "{", "[]", "3", "[1]", '{"a": ' + "[" * 100_000])
def test_a_file_that_holds_no_specs_is_a_config_error(tmp_path: Path, text: str) -> None:
    (tmp_path / "spec.json").write_text(text, "utf-8")
    done = run(tmp_path / "spec.json", "--out", tmp_path / "out")
    assert done.exit_code != 0
    assert "spec" in str(done.exception)
    assert not (tmp_path / "out").exists()


def test_nothing_drawn_is_a_failure(tmp_path: Path) -> None:
    done = run(written(tmp_path / "s.json", {"items": [{"font": "No Such"}]}), "--out", tmp_path / "out")
    assert done.exit_code != 0
    assert "No Such" in rows(tmp_path / "out" / "rejected.jsonl")[0]["error"]
