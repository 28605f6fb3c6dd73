"""From corrections to another captioner: an adapter with a version and scores, captions that are new rows."""

from __future__ import annotations

import json
import shutil
import sys

import pytest
import yaml

from zcurate.captioner.schema import KINDS
from zcurate.captioner.vlm.adapters import read_adapter
from zcurate.curation.active.review.decisions import ReviewLog
from zcurate.pipelines import registry
from zcurate.pipelines.chat_checks import check_chats
from zcurate.pipelines.context import StageContext
from zcurate.pipelines.conversations import ConversationOptions, split_of
from zcurate.pipelines.recipe import load_recipe
from zcurate.pipelines.reviewing import ReviewOptions, prepare
from zcurate.pipelines.stages import caption as caption_stage
from zcurate.pipelines.view import open_view

from ..captioner.server import Reply, VlmServer
from ..captioner.tiny_models import save_tiny
from .pictures import draw
from .test_review_conversations import decide

#: Prompts as short as they can be: a tiny model reads them in milliseconds.
PACKS = {
    "ocr": {"system": "Read.", "user": "Read. {place}", "place": "Give cell.", "location": "cell", "hint": "{lines}", "part": "Part."},
    "captions": {
        "system": "Write.",
        "user": "{lettering} {metadata} {plans} {languages} {closing}",
        "closing": "JSON.",
        "no_lettering": "None.",
        "no_metadata": "None.",
        "both_languages": "Both.",
        "one_language": "{language}.",
        "rest": "{kept} {fields}",
    },
}  # fmt: skip
SIGN = {
    "long": "A red sign stands before a gray wall, and the sky above is blue.",
    "medium": "A red sign stands before a gray wall.",
    "short": "A red sign before a gray wall.",
    "tags": ["red sign", "wall", "sky"],
    "user_prompts": ["red sign"],
}
#: What people make of it.
BOARD = {k: v.replace("red sign", "wooden board") for k, v in SIGN.items() if isinstance(v, str)}


def repetitive(body):
    wanted = body["response_format"]["json_schema"]["schema"]["properties"]
    answer = {"ocr": [], "contradicted": [], "entities": [], "en": SIGN}
    return Reply(json.dumps({k: answer[k] for k in wanted}))


def recipe_of(root, name, pictures, engine):
    caption = {
        "engine": engine,
        "prompts": str(root / "packs"),
        "languages": ["en"],
        "user_prompts": 1,
        "image_tokens": 64,
    }
    recipe = {
        "name": name,
        "dataset": str(root / name),
        "sources": [{"name": "s", "root": str(pictures), "kind": "folder"}],
        "stages": {"profile": {"quality": False}, "caption": caption | {"revision": "1"}},
        "report": False,
    }
    (root / f"{name}.yaml").write_text(yaml.safe_dump(recipe, sort_keys=False))
    return root / f"{name}.yaml"


@pytest.fixture(scope="module")
def corrected(tmp_path_factory):
    """A folder with a tiny model, short prompts, and `talks`: captions of signs, every one of them corrected."""
    from zcurate.pipelines.build import BuildOptions, build
    from zcurate.pipelines.reviewing import export

    root = tmp_path_factory.mktemp("corrected")
    save_tiny("qwen2_5_vl", root / "tiny", context=8192)
    (root / "packs").mkdir()
    for name, texts in PACKS.items():
        (root / f"packs/{name}.yaml").write_text(yaml.safe_dump({"name": name, "version": 1, "texts": texts}))
    (root / "pictures").mkdir()
    for i in range(30):
        draw(i, (96, 64)).save(root / f"pictures/{i:02d}.png")
    with VlmServer(repetitive) as server:
        recipe = recipe_of(root, "ds", root / "pictures", server.engine)
        assert build(load_recipe(recipe, []), BuildOptions(engine="inline", quiet=True)).exit_code == 0
    url = str(root / "ds")
    with ReviewLog(root / "ds/_review/decisions.sqlite") as log:
        prepare(url, ReviewOptions(), log)
        for task in log.tasks():
            fields = {f"en_{k}": v for k, v in BOARD.items()} | {"en_tags": ["wooden board", "wall", "sky"]}
            decide(log, task, "correct", fields=fields)
        contents = [t.pictures[0].content_id for t in log.tasks()]
    for seed in range(100):
        options = ConversationOptions(held_out=0.13, seed=seed)
        if [split_of((c,), options) for c in contents].count("held_out") == 4:
            break
    assert export(url, None, "conversations", root / "talks", conversations=options) == {
        "train.jsonl": 52,
        "held_out.jsonl": 8,
    }
    return root


def captions_in(folder):
    """Rows of the newest run."""
    view = open_view(str(folder))
    names = ["captions.en_short", "captions.model", "captions._status", "captions._error_message"]
    return [row for _, table in view.tables(names) for row in table.to_pylist()]


TRAIN = ("--device", "cpu", "--rank", 32, "--alpha", 64, "--rate", "1e-2", "--batch", 4)


def test_versions_scores_and_what_a_training_leaves(corrected, zcurate, tmp_path):
    base, talks = f"transformers:{corrected / 'tiny'}", corrected / "talks"
    before = registry.identity(base)
    train = ("train-captioner", "--conversations", talks, *TRAIN)
    code, out, err = zcurate(
        *train, "--model", base, "--out", tmp_path / "v1", "--steps", 12, "--answers", 0, "--json"
    )
    assert code == 0, err
    facts = json.loads(out)
    assert facts["warnings"] == []
    first, scores = read_adapter(tmp_path / "v1"), json.loads((tmp_path / "v1/scores.json").read_text())
    assert (first.version, facts["version"], scores) == (1, 1, facts["scores"])
    for task in ("ocr", "caption"):
        assert scores["after"][task]["loss"] < 0.75 * scores["before"][task]["loss"]
        assert scores["before"][task]["conversations"] == 4
    fields = scores["after"]["caption"]["fields"]
    assert set(fields) == {f"en.{kind}" for kind in KINDS}
    assert all(f["loss"] < scores["before"]["caption"]["fields"][n]["loss"] for n, f in fields.items())
    assert facts["fitted"]["drawn"] == {"caption": 24, "ocr": 24}
    # The base's files are as they were; with the adapter it is another model, and a wrong base is told.
    assert registry.identity(base) == before == first.record["base"]
    assert facts["identity"] == registry.identity(facts["model"]) == f"{before}+{first.identity}"
    assert facts["model"] == f"{base}+{tmp_path / 'v1'}"
    card = (tmp_path / "v1/README.md").read_text()
    assert f"version {first.version}" in card
    assert f"{scores['after']['ocr']['loss']:.3f}" in card
    # On from the first; and from the base again, counted on.
    code, out, err = zcurate(
        *train, "--model", facts["model"], "--out", tmp_path / "v2", "--steps", 1, "--answers", 0
    )
    assert code == 0, err
    assert f"version 2: {before}+lora:v2:" in out
    assert "en.user_prompts" in out
    second = read_adapter(tmp_path / "v2")
    assert second.record["started_from"] == second.record["previous"]["digest"] == first.digest
    again = ("--previous", tmp_path / "v2", "--out", tmp_path / "v3", "--steps", 1, "--answers", 0)
    assert zcurate(*train, "--model", base, *again)[0] == 0
    third = read_adapter(tmp_path / "v3")
    assert (third.version, third.record["started_from"]) == (3, None)
    assert third.record["previous"] == {"version": 2, "digest": second.digest}
    assert len({first.digest, second.digest, third.digest}) == 3
    # A stage with another version is another stage: nothing that was written by the first counts for it.
    stages = {}
    for version in ("v1", "v2"):
        recipe = load_recipe(
            recipe_of(corrected, "x", corrected / "pictures", f"{base}+{tmp_path / version}"), []
        )
        config = caption_stage.Config(**recipe.stages["caption"])
        stages[version] = caption_stage.build(config, StageContext())
        assert check_chats(recipe)[0] == []
    assert stages["v1"].spec.models != stages["v2"].spec.models
    assert stages["v1"].spec.answers != stages["v2"].spec.answers
    other = save_tiny("qwen2_5_vl", tmp_path / "other", context=8192, seed=1)
    recipe = load_recipe(
        recipe_of(corrected, "x", corrected / "pictures", f"transformers:{other}+{tmp_path / 'v1'}"), []
    )
    assert any("trained on another base" in w for w in check_chats(recipe)[1])


@pytest.mark.slow  # 170 steps
def test_from_corrections_to_a_captioner_that_writes_them(corrected, zcurate, tmp_path):
    """Trained on corrections, captions of other pictures say what people wrote; another version makes other rows."""
    base = f"transformers:{corrected / 'tiny'}"
    train = ("train-captioner", "--conversations", corrected / "talks", *TRAIN)
    code, _, err = zcurate(*train, "--model", base, "--out", tmp_path / "v1", "--steps", 170, "--answers", 0)
    assert code == 0, err
    code, _, err = zcurate(*train, "--model", f"{base}+{tmp_path / 'v1'}", "--out", tmp_path / "v2", "--steps", 1, "--rate", "1e-4", "--answers", 2)  # fmt: skip
    assert code == 0, err
    scores = json.loads((tmp_path / "v2/scores.json").read_text())
    assert scores["after"]["ocr"]["answers"]["exact"] == 1.0
    assert scores["after"]["caption"]["answers"]["en.claims_f1"] >= 0.5
    fresh = tmp_path / "fresh"
    fresh.mkdir()
    for i in (33, 35, 37):
        draw(i, (96, 64)).save(fresh / f"{i}.png")
    shorts, models = {}, {}
    for version in ("v1", "v2"):
        engine = f"{base}+{tmp_path / version}"
        recipe = recipe_of(corrected, "fresh", fresh, engine)
        code, _, err = zcurate("build", recipe, "--engine", "inline")
        assert code in (0, 3), err
        rows = captions_in(corrected / "fresh")
        shorts[version] = [r["captions.en_short"] for r in rows if r["captions._status"] == "ok"]
        models[version] = {r["captions.model"] for r in rows if r["captions._status"] == "ok"}
        assert shorts[version], [r["captions._error_message"] for r in rows]
        assert models[version] == {registry.identity(engine)}
    assert all("wooden board" in s for s in shorts["v1"])
    assert not any("red sign" in s for s in shorts["v1"])
    folders = [p.name for p in (corrected / "fresh/captions").iterdir()]
    assert len(folders) == 2  # the rows of the first version are still there


def test_bad_input_is_named(corrected, zcurate, tmp_path, monkeypatch):
    base, talks = f"transformers:{corrected / 'tiny'}", corrected / "talks"

    def refused(*changes, folder=talks, model=base, out=tmp_path / "out"):
        code, _, err = zcurate("train-captioner", "--conversations", folder, "--model", model, "--out", out, *TRAIN, "--answers", 0, *changes)  # fmt: skip
        assert code == 2, err
        assert "Traceback" not in err
        assert not (tmp_path / "out").exists()
        return err

    assert "review-export" in refused(folder=tmp_path / "nothing")
    assert "only transformers:" in refused(model="openai:http://localhost:1/v1#m")
    assert "no vlm engine" in refused(model="llama:7b")
    assert "safetensors" in refused(model=f"transformers:{tmp_path / 'nowhere'}")
    assert "no adapter" in refused(model=f"{base}+{tmp_path / 'nowhere'}")
    assert "no adapter" in refused("--previous", tmp_path)
    assert "--rank" in refused("--rank", 0)
    assert "--rate" in refused("--rate", 7)
    assert "--mix" in refused("--mix", 2)
    assert "too long" in refused("--max-tokens", 64)
    assert "exists" in refused(out=talks)
    assert "plus" in refused(out=tmp_path / "a+b")
    assert "inside the model" in refused(out=corrected / "tiny/adapter")
    bad = shutil.copytree(talks, tmp_path / "bad")
    (bad / "held_out.jsonl").write_text(
        (talks / "train.jsonl").read_text().replace('"split": "train"', '"split": "held_out"')
    )
    assert "both sides" in refused(folder=bad)
    (bad / "held_out.jsonl").write_text("")
    assert "held_out.jsonl" in refused(folder=bad)
    (bad / "held_out.jsonl").write_text("{}\n")
    assert "line 1" in refused(folder=bad)
    shutil.copy(talks / "held_out.jsonl", bad / "held_out.jsonl")
    for image in (bad / "images").iterdir():
        image.write_bytes(b"no picture")
    assert "decoded" in refused(folder=bad)
    shutil.rmtree(bad / "images")
    assert "No such file" in refused(folder=bad)
    (bad / "conversations.json").write_text("[]")
    assert "conversations.json" in refused(folder=bad)
    monkeypatch.setitem(sys.modules, "peft", None)
    assert "pip install peft" in refused()
