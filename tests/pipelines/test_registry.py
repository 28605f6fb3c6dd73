"""Model strings: what they resolve to, what they stand for, and what is said when they are wrong."""

import threading

import pyarrow as pa
import pytest

from zcurate.curation.errors import ConfigError
from zcurate.pipelines import registry
from zcurate.pipelines.context import StageContext
from zcurate.pipelines.planned import plan_stages
from zcurate.pipelines.recipe import build_recipe

from .conftest import words_dataset
from .test_runner import WORDS, run


def test_identity_follows_the_files_and_not_their_place(tmp_path):
    a, b = tmp_path / "a", tmp_path / "b"
    for folder in (a, b):
        (folder / "sub").mkdir(parents=True)
        (folder / "config.json").write_text("{}")
        (folder / "sub" / "weights.bin").write_bytes(b"1234")
    same = registry.identity(f"cnclip:{a}")
    assert same.startswith("cnclip:sha256:")
    assert registry.identity(f"cnclip:{b}") == same
    (b / "sub" / "weights.bin").write_bytes(b"12345")
    assert registry.identity(f"cnclip:{b}") != same
    assert "unverified" in registry.identity("cnclip:org/model", "abc123")
    assert "abc123" in registry.identity("cnclip:org/model", "abc123")


def test_a_changed_model_changes_the_folder_of_what_read_it(tmp_path):
    weights = tmp_path / "head.safetensors"

    def folder():
        from zcurate.curation.stage import StageSpec
        from zcurate.curation.store import bind

        spec = StageSpec("s", 1, ("samples.uri",), {"s": pa.schema([("x", pa.int32())])})
        models = {"head": StageContext().identity(f"linear:{weights}")}
        return bind([StageSpec(**{**spec.__dict__, "models": models})])[0].folder

    weights.write_bytes(b"one")
    before = folder()
    assert folder() == before
    weights.write_bytes(b"another")
    assert folder() != before


@pytest.mark.parametrize(
    ("role", "model", "message"),
    [
        ("encoder", "clip:x", "no encoder engine"),
        ("encoder", "openclip:", "names no model"),
        ("encoder", "embedded:x", "takes nothing"),
        ("ocr", "tesseract", "no ocr engine"),
    ],
)
def test_wrong_model_strings(role, model, message):
    with pytest.raises(ConfigError, match=message):
        registry.split_model(role, model)


def test_unknown_models_are_found_when_planning(tmp_path):
    raw = {"name": "x", "dataset": str(tmp_path), "stages": {"profile": {}, "embed": {"model": "clap:x"}}}
    with pytest.raises(ConfigError, match="clap:x"):
        plan_stages(build_recipe(raw, "test"), {})
    raw["stages"] = {"profile": {}, "embed": {}, "dedup": {"keepr": []}}
    with pytest.raises(ConfigError, match=r"stages\.dedup\.keepr"):
        plan_stages(build_recipe(raw, "test"), {})


def test_two_recipes_at_the_same_time_do_no_harm(tmp_path, stages):
    d = words_dataset(tmp_path / "ds", WORDS)
    results = {}
    threads = [
        threading.Thread(target=lambda s=salt: results.__setitem__(s, run(d, salt=s)))
        for salt in (1, 2, 1, 2)
    ]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert all(r.complete for r, _ in results.values())
    for _, plan in results.values():
        assert not d.index(plan.stages[2].primary).invalid
        assert sum(m.rows for m in d.index(plan.stages[2].primary).metas.values()) == 45
