"""What `zcurate plan` says about chat models, and what model strings of the role vlm resolve to."""

import json

import pytest

from zcurate.curation.errors import ConfigError
from zcurate.pipelines import registry
from zcurate.pipelines.chat_checks import check_chats
from zcurate.pipelines.recipe import build_recipe

from ..captioner.server import MODEL, VlmServer


@pytest.fixture(autouse=True)
def _no_keys(monkeypatch):
    for name in ("ZCURATE_VLM_API_KEY", "ZCURATE_VLM_API_HOST", "OPENAI_API_KEY"):
        monkeypatch.delenv(name, raising=False)


def check(model, tmp_path):
    stages = {"profile": {}, "caption": {"engine": model}}
    return check_chats(build_recipe({"name": "x", "dataset": str(tmp_path), "stages": stages}, "test"))


def test_a_server_that_is_there(vlm_server, tmp_path):
    assert check(vlm_server.engine, tmp_path) == ([], [])
    assert [s.path for s in vlm_server.seen] == ["/v1/models"]  # nothing that costs


def test_a_model_the_server_does_not_have(vlm_server, tmp_path):
    (missing,), _ = check(vlm_server.engine.replace(MODEL, "other"), tmp_path)
    assert "does not list 'other'" in missing
    assert MODEL in missing


def test_a_server_that_is_not_there(tmp_path):
    with VlmServer() as server:
        engine = server.engine
    (missing,), _ = check(engine, tmp_path)
    assert "cannot connect" in missing


def test_a_key_that_belongs_to_nobody(tmp_path, monkeypatch):
    monkeypatch.setenv("ZCURATE_VLM_API_KEY", "sk-4711")
    (missing,), _ = check("openai:https://models.example/v1#m", tmp_path)
    assert "ZCURATE_VLM_API_HOST=models.example" in missing
    assert "4711" not in missing


def test_a_folder_that_is_no_model(tmp_path):
    (missing,), _ = check(f"transformers:{tmp_path}", tmp_path)
    assert "safetensors" in missing
    (missing,), _ = check(f"transformers:{tmp_path}/nothing", tmp_path)
    assert "no directory" in missing


def test_plan_counts_an_absent_server_as_missing(tmp_path, vlm_server):
    from zcurate.curation.store.selection import Limit
    from zcurate.pipelines.preflight import preflight

    recipe = {
        "name": "x",
        "dataset": str(tmp_path / "d"),
        "stages": {"profile": {}, "ocr": {}, "caption": {}},
    }
    recipe["stages"]["caption"] = {"engine": vlm_server.engine.replace(MODEL, "other"), "revision": "r"}
    report = preflight(build_recipe(recipe, "test"), Limit())
    assert any("does not list" in m for m in report.missing)


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ("openai", "names no model"),
        ("openai:localhost:8000", "write openai:http://"),
        ("openai:http://localhost:8000/v1", "names no model"),
        ("openai:http://me:secret@localhost/v1#m", "user name or password"),
        ("transformers:", "names no model"),
    ],
)
def test_wrong_model_strings_are_config_errors(model, message):
    with pytest.raises(ConfigError, match=message) as caught:
        registry.resolve("vlm", model)
    if "secret" in model:
        assert "me:secret" not in str(caught.value)


def test_resolved_engines_are_cheap_and_can_be_shipped():
    chat = registry.resolve("vlm", "openai:http://localhost:8000/v1#Qwen/Qwen3-VL-8B-Instruct")
    assert (chat.engine, chat.placeholder) == ("openai", False)
    assert registry.resolve("vlm", "transformers:org/model").engine == "transformers"


def test_identity_is_the_model_and_not_where_it_runs(tmp_path):
    here = registry.identity("openai:http://localhost:8000/v1#org/model", "r1")
    assert here == registry.identity("openai:https://models.example/v1#org/model", "r1")
    assert here != registry.identity("openai:http://localhost:8000/v1#org/model", "r2")
    assert json.dumps(here)  # plain text
