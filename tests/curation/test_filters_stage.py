"""The filter stage: what it reads, and what makes its fingerprint change."""

import pyarrow as pa
import pytest

from zcurate.curation.errors import ConfigError
from zcurate.curation.stage import MapStage, NullMonitor
from zcurate.pipelines.stages import filter as filter_stage
from zcurate.pipelines.stages import filter_scores


def stage(rules, sources=None):
    return filter_stage.build(filter_stage.Config(rules=rules, sources=sources or {}), None)


def test_reads_and_output():
    one = stage({"small": {"drop_if": "short_side_px < 256"}})
    assert isinstance(one, MapStage)
    assert one.spec.reads == ("profile.height_px", "profile.width_px", "samples.source")
    table = pa.table(
        {
            "sample_id": pa.array([b"a" * 16, b"b" * 16], pa.binary(16)),
            "profile.width_px": pa.array([500, 100], pa.int32()),
            "profile.height_px": pa.array([500, 500], pa.int32()),
            "samples.source": ["s", "s"],
        }
    )
    out = one(table, NullMonitor())
    assert out.schema.equals(filter_stage.OUTPUT)
    assert out.to_pydict() == {"keep": [True, False], "reasons": [[], ["small"]]}
    assert one(table.slice(0, 0), NullMonitor()).num_rows == 0


def test_fingerprint_follows_thresholds_not_spelling_or_reason():
    one = stage({"small": {"drop_if": "width_px < 256", "reason": "small"}}).spec.config
    assert one == stage({"small": "profile.width_px<256"}).spec.config
    assert one != stage({"small": "width_px < 257"}).spec.config
    assert one != stage({"small": "width_px < 256"}, {"x*": {"small": False}}).spec.config


def test_no_rules_keep_everything_and_mistakes_are_found_before_data():
    assert stage({}).spec.reads == ("samples.source",)
    with pytest.raises(ConfigError, match="did you mean 'sharpness'"):
        stage({"blur": {"drop_if": "sharpnes < 10"}})


def test_rules_on_scores_are_the_same_stage_under_another_name():
    rules = {"ugly": "aesthetic < 4", "logos": '"logo" in scores.tags and width_px < 500'}
    one = filter_scores.build(filter_scores.Config(rules=rules), None)
    assert one.spec.name == "decisions/scores"
    assert list(one.spec.outputs) == ["decisions/scores"]
    assert one.spec.reads == ("profile.width_px", "samples.source", "scores.aesthetic", "scores.tags")
    table = pa.table(
        {
            "sample_id": pa.array([b"a" * 16, b"b" * 16], pa.binary(16)),
            "profile.width_px": pa.array([100, 100], pa.int32()),
            "samples.source": ["s", "s"],
            "scores.aesthetic": pa.array([None, 3.0], pa.float32()),
            "scores.tags": pa.array([["logo"], []], pa.list_(pa.string())),
        }
    )
    assert one(table, NullMonitor())["reasons"].to_pylist() == [["logos"], ["ugly"]]
    with pytest.raises(ConfigError, match=r"unknown column 'scores\.aesthetic'"):
        stage({"ugly": "scores.aesthetic < 4"})


@pytest.mark.skipif(
    not {"metadata", "quality"} <= set(filter_stage.profiled_groups()),
    reason="the profile stage writes no metadata or quality",
)
def test_rules_read_metadata_and_quality_and_bare_names_stay_clear():
    one = stage({"ai": "ai_declared", "stock": '"stock" in lower(keywords)', "blur": "quality.blur > 0.6"})
    assert one.spec.reads == (
        *("metadata.ai_declared", "metadata.keywords", "quality.blur", "samples.source"),
    )
    assert stage({"blur": "blur > 0.6"}).spec.config == stage({"blur": "quality.blur > 0.6"}).spec.config
    assert stage({"e": "count(ai_evidence) > 0"}).spec.reads == ("metadata.ai_evidence", "samples.source")
    with pytest.raises(ConfigError, match=r"write one of metadata\.ai_evidence, scores\.ai_evidence"):
        filter_scores.build(filter_scores.Config(rules={"e": "count(ai_evidence) > 0"}), None)
