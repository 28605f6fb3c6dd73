"""The filter stage: what it reads, and what makes its fingerprint change."""

import pyarrow as pa
import pytest

from zcurate.curation.errors import ConfigError
from zcurate.curation.stage import MapStage, NullMonitor
from zcurate.pipelines.stages import filter as filter_stage


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
