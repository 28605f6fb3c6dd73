"""The stages `tags`, `filter_tags` and `enhance` in whole builds against a real server, and the commands on prompts."""

import json

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from zcurate.curation.errors import ConfigError
from zcurate.curation.store import Dataset
from zcurate.pipelines.build import BuildOptions, build
from zcurate.pipelines.recipe import build_recipe
from zcurate.pipelines.runlog import latest_record

from ..captioner.server import Reply

N = 6


@pytest.fixture
def source(tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for i in range(N):
        blobs = Image.fromarray(rng.integers(0, 255, (4, 4, 3), dtype=np.uint8))  # nothing like writing
        blobs.resize((256, 256)).save(folder / f"{i:02}.png")
        (folder / f"{i:02}.txt").write_text(f'{i + 2} red cats under a sign that reads "No. {i}"')
    return folder


def recipe(tmp_path, source, stages):
    raw = {
        "name": "p",
        "dataset": str(tmp_path / "ds"),
        "sources": [{"name": "s", "root": str(source), "kind": "folder"}],
        "stages": {"profile": {"quality": False}, **stages},
        "report": False,
    }
    return build_recipe(raw, "test")


def rows_of(tmp_path, group):
    """Rows of a group as the newest run wrote them."""
    out = tmp_path / "ds"
    folder = latest_record(Dataset.open(out)).folders[group]
    return [
        row for path in sorted((out / folder).glob("*.parquet")) for row in pq.read_table(path).to_pylist()
    ]


def tags_of(body):
    """A different answer per picture: the size of what was sent decides."""
    url = next(p for p in body["messages"][-1]["content"] if p["type"] == "image_url")["image_url"]["url"]
    people = sum(url.encode()) % 4
    value = {"objects": ["lantern"], "people": people, "nsfw_kind": "safe", "nsfw": 0.0}
    value["culture"] = [{"name": "舞狮", "english": "lion dance", "culture": "chinese"}] if people else []
    return Reply(json.dumps(value))


def test_tags_are_columns_that_rules_can_name(tmp_path, source, vlm_server):
    vlm_server.script = tags_of
    stages = {
        "tags": {"engine": vlm_server.engine, "revision": "test"},
        "filter_tags": {"rules": {"crowd": {"drop_if": "people >= 2", "reason": "more than one person"}}},
    }
    build(recipe(tmp_path, source, stages), BuildOptions(engine="inline"))
    tagged = rows_of(tmp_path, "tags")
    kept = [row["keep"] for row in rows_of(tmp_path, "decisions/tags")]
    people = [row["people"] for row in tagged]
    culture = [row["culture_ids"] for row in tagged]
    assert len(people) == N
    assert kept == [p < 2 for p in people]
    assert any(kept)
    assert not all(kept)
    assert all(bool(ids) == bool(p) for ids, p in zip(culture, people, strict=True))
    asked = vlm_server.asked
    assert asked == N
    build(recipe(tmp_path, source, stages), BuildOptions(engine="inline"))
    assert vlm_server.asked == asked


def enhanced_of(body):
    sent = body["messages"][-1]["content"]
    text = sent if isinstance(sent, str) else "".join(p.get("text", "") for p in sent)
    original = text.split('<untrusted name="request">\n')[1].split("\n</untrusted>")[0]
    number = int(original.split()[0])
    final = f"{original.replace('red cats', 'red cats sitting')}, soft light from the left"
    if number == 3:
        final = final.replace("No. 1", "Nr. 1")
    value = {"core_subject": "cats", "knowledge": "none", "aesthetics": "soft", "description": "cats"}
    return Reply(json.dumps(value | {"invented_text": [], "prompt": final}))


def test_prompts_of_a_dataset_are_enhanced_or_kept_with_a_reason(tmp_path, source, vlm_server):
    vlm_server.script = enhanced_of
    stages = {"enhance": {"engine": vlm_server.engine, "revision": "test", "of": "text"}}
    build(recipe(tmp_path, source, stages), BuildOptions(engine="inline"))
    rows = rows_of(tmp_path, "enhanced")
    assert len(rows) == N
    by_status = {}
    for row in rows:
        by_status.setdefault(row["status"], []).append(row)
    assert len(by_status["enhanced"]) == N - 1
    for row in by_status["enhanced"]:
        assert row["prompt"].endswith("from the left")
        assert json.loads(row["reasoning"])["core_subject"] == "cats"
        assert row["kept_share"] == 1.0
        assert row["growth"] > 1
        assert row["lang"] == "en"
    (kept,) = by_status["quotes"]
    assert kept["prompt"] == kept["original"]
    assert (kept["reasoning"], kept["attempts"]) == (None, 3)


def test_a_server_that_is_down_enhances_nothing_and_says_so(tmp_path, source, vlm_server, capsys):
    vlm_server.script = Reply("x", delay_s=float("inf"))
    stages = {
        "enhance": {
            "engine": vlm_server.engine,
            "revision": "test",
            "of": "text",
            "deadline_s": 0.3,
            "timeout_s": 0.3,
            "patience_s": 0,
        }
    }
    build(recipe(tmp_path, source, stages), BuildOptions(engine="inline"))
    assert "gray picture" in capsys.readouterr().err  # the model was asked whether it is there at all
    written = [p.relative_to(tmp_path / "ds") for p in (tmp_path / "ds").rglob("*.parquet")]
    assert any("profile" in p.parts for p in written)
    assert not any("enhanced" in p.parts for p in written)


@pytest.mark.parametrize(
    ("stage", "settings", "message"),
    [
        ("enhance", {"engine": "template"}, "template"),
        ("tags", {"engine": "openai:http://127.0.0.1:9/v1#m"}, "revision"),
        ("filter_tags", {"rules": {"a": {"drop_if": "peeple > 1", "reason": "x"}}}, "peeple"),
    ],
)
def test_wrong_settings_are_refused_before_any_work(tmp_path, source, stage, settings, message):
    with pytest.raises(ConfigError, match=message):
        build(recipe(tmp_path, source, {stage: settings}), BuildOptions(engine="inline"))


# Commands


def test_enhance_command(zcurate, vlm_server):
    good = {"core_subject": "a", "knowledge": "b", "aesthetics": "c", "description": "d", "invented_text": []}
    vlm_server.script = Reply(json.dumps(good | {"prompt": "A red cat on a mat, soft light from the left."}))
    code, out, _ = zcurate("enhance", "a red cat", "--vlm", vlm_server.engine, "--json")
    assert code == 0
    assert json.loads(out)["pe_status"] == "enhanced"
    vlm_server.script = Reply(json.dumps(good | {"prompt": "A blue cat."}))
    code, out, err = zcurate("enhance", "a red cat", "--vlm", vlm_server.engine)
    assert (code, out.strip()) == (1, "a red cat")
    assert "'red'" in err
    code, _, err = zcurate("enhance", "a cat", "--vlm", "template")
    assert code == 2
    assert "openai:URL#MODEL" in err


def test_elements_command(zcurate, tmp_path):
    file = tmp_path / "prompts.txt"
    file.write_text("a red car\n一只猫在箱子里\n", encoding="utf-8")
    code, out, _ = zcurate("elements", "--file", file, "--lines", "--json")
    records = [json.loads(line) for line in out.splitlines()]
    assert code == 0
    assert [r["lang"] for r in records] == ["en", "zh"]
    assert records[0]["elements"][1]["checker"] == "color"
    assert "left_of -> dog" in zcurate("elements", "a cat left of a dog")[1]


def test_prompt_lint_command(zcurate, tmp_path):
    code, out, _ = zcurate("prompt-lint", "a woman in a park")
    assert code == 1
    assert "missing-camera" in out
    assert zcurate("prompt-lint", "a woman in a park", "--fail-on", "error")[0] == 0
    code, out, _ = zcurate(
        "prompt-lint", "a woman in a park", "--negative", "blur", "--json", "--fail-on", "never"
    )
    assert "negative-turbo" in {f["rule"] for f in json.loads(out)["findings"]}
    assert zcurate("prompt-lint")[0] == 2
    assert zcurate("prompt-lint", "--file", tmp_path / "none")[0] == 2
