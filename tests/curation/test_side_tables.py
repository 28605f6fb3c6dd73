"""Side tables in parts: what is listed counts, what an earlier run left goes, a damaged part is missed."""

from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pytest

from zcurate.curation.errors import ShardInvalidError
from zcurate.curation.neighbors.group_table import NEIGHBORS_SCHEMA
from zcurate.curation.neighbors.neighbor_table import Parts
from zcurate.curation.stage import StageSpec
from zcurate.curation.store import Dataset
from zcurate.curation.store.lineage import bind
from zcurate.curation.store.maintenance import verify
from zcurate.curation.store.tables import commit_table, read_parts, table_is_current
from zcurate.curation.store.takedown import take_down

SPEC = StageSpec(
    "groups", 1, (), {"groups": pa.schema([("x", pa.int64())])}, side_tables={"neighbors": NEIGHBORS_SCHEMA}
)


def pairs(count, seed=0):
    """`count` random pairs of 500 samples with random ids."""
    rng = np.random.default_rng(seed)
    data = rng.integers(1, 255, (500, 16), dtype=np.uint8)
    ids = np.sort(data.reshape(-1).view("S16"))
    key = np.sort(rng.choice(500 * 499 // 2, count, replace=False))
    src, dst = (side[key] for side in np.triu_indices(500, 1))
    return Parts(ids, src, dst, rng.random(count).astype(np.float32), np.ones(count, np.int8))


@pytest.fixture
def place(tmp_path):
    dataset = Dataset.create(tmp_path / "ds")
    [bound] = bind([SPEC])
    return SimpleNamespace(dataset=dataset, bound=bound, path=bound.table_path("neighbors"))


def test_parts_hold_ranges_of_the_source_and_all_pairs_together():
    for count in (0, 1, 700, 5_000):
        whole = pairs(count)
        parts = dict(whole.by_source(pairs=300))
        assert pa.concat_tables(parts.values()).equals(whole.table())
        of = len(parts)
        assert list(parts) == [f"{i:04x}-of-{of:04x}" for i in range(of)]
        assert of == 1 if count <= 300 else of >= count / 300
        for i, table in enumerate(parts.values()):
            lead = [int.from_bytes(v[:2], "big") for v in table["src_id"].to_pylist()]
            assert all(i * 65_536 // of <= x < (i + 1) * 65_536 // of for x in lead)


def test_what_an_earlier_run_left_is_no_part(place):
    for count in (5_000, 900):
        commit_table(
            place.dataset, place.bound, "neighbors", pairs(count).by_source(300), str(count), {"n": 1}
        )
        assert table_is_current(place.dataset, place.path, {"all": str(count)})
        found = pa.concat_tables(read_parts(place.dataset, place.path))
        assert found.equals(pairs(count).table())
    assert len(place.dataset.index(place.path).metas) == 1 + len(list(pairs(900).by_source(300)))
    assert not table_is_current(place.dataset, place.path, {"all": "5000"})
    few = next(iter(read_parts(place.dataset, place.path, ["cos"])))
    assert few.column_names == ["cos"]
    commit_table(place.dataset, place.bound, "neighbors", pairs(10).table(), "one", {})
    assert [len(t) for t in read_parts(place.dataset, place.path)] == [10]
    assert list(place.dataset.index(place.path).metas) == ["all"]


def test_a_damaged_part_is_noticed_and_a_sample_taken_down_is_in_none(place):
    whole = pairs(2_000)
    commit_table(place.dataset, place.bound, "neighbors", whole.by_source(300), "now", {})
    gone = whole.ids[whole.src[1_000]]
    report = take_down(place.dataset, [gone], "me", "asked to")
    at = whole.ids.tolist().index(gone)
    assert report.table_rows == int(((whole.src == at) | (whole.dst == at)).sum()) > 0
    left = pa.concat_tables(read_parts(place.dataset, place.path))
    assert len(left) == 2_000 - report.table_rows
    assert gone not in {*left["src_id"].to_pylist(), *left["dst_id"].to_pylist()}
    assert table_is_current(place.dataset, place.path, {"all": "now"})
    broken = place.dataset.storage.local / f"{place.path}/0001-of-0008.parquet"
    broken.write_bytes(broken.read_bytes()[:-20])
    assert len(verify(place.dataset).damaged) == 1
    assert not table_is_current(place.dataset, place.path, {"all": "now"})
    with pytest.raises(ShardInvalidError, match="0001-of-0008"):
        list(read_parts(place.dataset, place.path))
