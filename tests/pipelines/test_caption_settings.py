"""Settings of the caption stage: what decides the words, what is refused, what the plan says, and a model in this process."""

import json

import pytest

from zcurate.curation.errors import ConfigError
from zcurate.curation.store import Limit
from zcurate.pipelines.build import BuildOptions, build
from zcurate.pipelines.context import StageContext
from zcurate.pipelines.inspecting import error_rows
from zcurate.pipelines.planned import plan_stages
from zcurate.pipelines.preflight import preflight
from zcurate.pipelines.stages import caption

from ..captioner.tiny_models import save_tiny
from .pictures import honest, make_folder
from .test_caption_stage import built, recipe_of


@pytest.fixture
def folder(tmp_path):
    return make_folder(tmp_path / "in", range(8))


def spec(**settings):
    config = caption.Config(**({"engine": "openai:http://localhost:8000/v1#m", "revision": "1"} | settings))
    return caption.build(config, StageContext(groups=frozenset({"ocr"}))).spec


def fingerprint(s):
    return json.dumps([s.name, s.version, dict(s.config), dict(s.models)], sort_keys=True)


def test_the_fingerprint_has_what_decides_the_words_and_nothing_else():
    base = fingerprint(spec())
    for same in (
        {"engine": "openai:https://elsewhere.example/v1#m"},
        {"rows_at_once": 7, "requests": 3, "timeout_s": 5.0, "row_timeout_s": 50.0},
        {"price_in": 1.0, "price_out": 2.0, "max_cost": 5.0, "max_tokens": 100},
        {"languages": ["zh", "en"]},
    ):
        assert fingerprint(spec(**same)) == base, same
    for other in (
        {"engine": "openai:http://localhost:8000/v1#n"},
        {"revision": "2"},
        {"seed": 1},
        {"one_call": True},
        {"ocr_hint": True},
        {"languages": ["en"]},
        {"user_prompts": 4},
        {"image_tokens": 640},
        {"family": "qwen3-vl"},
    ):
        assert fingerprint(spec(**other)) != base, other
    assert not spec().deterministic
    assert caption.build(caption.Config(), StageContext()).spec.deterministic


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"engine": "openai:http://localhost:8000/v1#m"}, "revision"),
        ({"engine": "openai:localhost#m", "revision": "1"}, "http"),
        ({"engine": "openai:http://h/v1", "revision": "1"}, "names no model"),
        ({"engine": "gpt:x", "revision": "1"}, "no vlm engine"),
        ({"revision": "1", "engine": "openai:http://h/v1#m", "family": "gpt"}, "unknown prompt family"),
    ],
)
def test_wrong_settings_are_named(settings, message):
    with pytest.raises(ConfigError, match=message):
        caption.build(caption.Config(**settings), StageContext())


def test_a_cap_without_prices_is_refused_before_any_question(folder, tmp_path, vlm_server):
    with pytest.raises(ConfigError, match="price_in and price_out"):
        built(folder, tmp_path / "ds", vlm_server, "stages.caption.max_cost=1")
    assert vlm_server.asked == 0


def test_the_plan_says_what_it_will_take(folder, tmp_path, vlm_server, zcurate):
    vlm_server.script = honest
    out = tmp_path / "ds"
    prices = ["stages.caption.price_in=1", "stages.caption.price_out=2"]
    recipe = recipe_of(folder, out, vlm_server.engine, *prices)
    (estimate,) = [s for s in preflight(recipe, Limit()).stages if s.asking]
    assert estimate.asking.requests == 16
    assert not estimate.asking.measured
    cost = (estimate.asking.tokens_in + 2 * estimate.asking.tokens_out) / 1e6
    assert estimate.asking.money == pytest.approx(cost)
    built(folder, out, vlm_server, limit=Limit(rows=3))
    (estimate,) = [s for s in preflight(recipe, Limit()).stages if s.asking]
    assert estimate.asking.measured
    assert estimate.asking.tokens_out == 40 * estimate.rows
    arguments = [f"source={folder}", f"vlm={vlm_server.engine}", f"out={out}", *prices]
    code, printed, _ = zcurate("plan", "caption", *(x for a in arguments for x in ("--set", a)))
    assert code == 0
    assert "requests" in printed
    assert "at the prices given" in printed


def test_without_a_model_the_recipe_says_what_to_set(zcurate, folder):
    code, _, errors = zcurate("build", "caption", "--set", f"source={folder}")
    assert code == 2
    assert "--set vlm=VALUE" in errors
    assert "openai:http://HOST:PORT/v1#MODEL" in errors
    assert "--set source" not in errors


def test_a_model_in_this_process_is_asked_the_same_way(tmp_path):
    """A tiny untrained model of the real class, whose context is too short for the prompts: every row says so."""
    pytest.importorskip("torch")
    folder, out = make_folder(tmp_path / "in", range(4)), tmp_path / "ds"
    model = save_tiny("qwen3_vl", tmp_path / "model", context=1024)
    recipe = recipe_of(folder, out, f"transformers:{model}")
    outcome = build(recipe, BuildOptions(engine="inline", quiet=True))
    assert outcome.exit_code == 3, outcome.record.failed
    errors = list(error_rows(str(out)))
    assert len(errors) == 4
    assert {(e["error_class"], e["error_message"].partition(":")[0]) for e in errors} == {
        ("ChatError", "rejected")
    }
    plan = plan_stages(recipe, {})
    assert plan.stages[-1].bound.spec.models["vlm"].startswith("transformers:sha256:"), (
        "no revision is needed"
    )
