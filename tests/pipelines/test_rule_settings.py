"""Settings of rules, rates and quotas are checked, and stages ordered by them, before any work."""

import pytest

from zcurate.curation.errors import ConfigError
from zcurate.curation.store import Limit
from zcurate.pipelines.planned import plan_stages
from zcurate.pipelines.preflight import preflight
from zcurate.pipelines.recipe import build_recipe

from .rules_dataset import STAGES, fill, recipe, run, scores_module  # noqa: F401 - fixtures among them

# ruff: noqa: F811


def test_plan_names_settings_for_sources_that_are_not_there(tmp_path, scores_module):
    fill(tmp_path / "in")
    stages = {**STAGES, "sampling": {"sources": {"wbe-*": {"quota": 5}, "web-*": {"rate": 0.5}}}}
    warned = preflight(recipe(tmp_path / "in", tmp_path / "ds", stages), Limit()).warnings
    assert [w for w in warned if "such a name" in w] == [
        "stages.sampling.sources.wbe-*: no source has such a name; there are museum, web-a, web-b"
    ]


def test_rules_on_scores_in_filter_are_told_where_to_go(tmp_path, scores_module):
    fill(tmp_path / "in")
    stages = {"profile": {}, "filter": {"rules": {"ugly": "aesthetic < 4"}}}
    with pytest.raises(ConfigError, match=r"(?s)unknown column 'aesthetic'.*under `filter_scores`"):
        run(recipe(tmp_path / "in", tmp_path / "ds", stages))
    stages["filter"]["rules"] = {"ugly": "wdth_px < 4"}
    with pytest.raises(ConfigError, match="unknown column") as e:
        run(recipe(tmp_path / "in", tmp_path / "ds", stages))
    assert "filter_scores" not in str(e.value)


def test_later_stages_honor_every_decision_made_before_them(tmp_path, scores_module):
    def where(*order):
        recipe = build_recipe(
            {"name": "x", "dataset": str(tmp_path), "stages": {n: STAGES[n] for n in order}}, "test"
        )
        return {s.name: set(s.bound.spec.where) for s in plan_stages(recipe, {}).stages}

    found = where("profile", "filter", "embed", "sampling", "dedup", "ocr", "caption", "concepts", "balance")
    assert found["sampling"] == {"decisions/filter"}
    assert found["dedup"] == {"decisions/filter", "decisions/sampling"}
    for name in ("ocr", "caption", "concepts", "balance"):
        assert found[name] == {"decisions/filter", "decisions/sampling", "groups"}
    found = where("profile", "embed", "zcrules.scores", "filter_scores", "dedup", "sampling", "ocr")
    assert found["dedup"] == {"decisions/scores"}
    assert found["sampling"] == {"decisions/scores", "groups"}
    with pytest.raises(ConfigError, match="'scores': no earlier stage"):
        where("profile", "filter_scores")


def test_wrong_settings_are_named_before_any_work(tmp_path, scores_module):
    def plan(**stages):
        raw = {"name": "x", "dataset": str(tmp_path), "stages": {"profile": {}, **stages}}
        plan_stages(build_recipe(raw, "test"), {})

    with pytest.raises(ConfigError, match=r"stages\.sampling\.sources\.web\.rate"):
        plan(sampling={"sources": {"web": {"rate": 2}}})
    with pytest.raises(ConfigError, match=r"stages\.sampling\.sources\.web\.quotas"):
        plan(sampling={"sources": {"web": {"quotas": 2}}})
    with pytest.raises(ConfigError, match=r"sources\.web: no rule named 'flt'; did you mean 'flat'"):
        plan(filter={"rules": {"flat": "reencode_bpp < 0.1"}, "sources": {"web": {"flt": "width_px < 3"}}})
