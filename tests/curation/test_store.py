"""The dataset store: commits that prove themselves, reuse, growth, takedown."""

import random

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
import xxhash
from hypothesis import given, settings
from hypothesis import strategies as st

from zcurate.curation.errors import ConfigError, DatasetError, ShardInvalidError
from zcurate.curation.stage import NullMonitor, StageSpec, map_rows
from zcurate.curation.store import SAMPLES, Dataset, Limit, append, bind, read_selection
from zcurate.curation.store.digest import column_digest, row_keys
from zcurate.curation.store.lineage import split_column
from zcurate.curation.store.maintenance import diff, garbage, group_paths, verify
from zcurate.curation.store.overlay import add_decisions
from zcurate.curation.store.rows import run_map_shard
from zcurate.curation.store.samples import LISTED, SCHEMA
from zcurate.curation.store.selection import expected_inputs, sampled
from zcurate.curation.store.shard import ShardMeta, read_table, serialize
from zcurate.curation.store.takedown import take_down

LISTED_SCHEMA = pa.schema([SCHEMA.field(n) for n in LISTED])


def listing(names, texts=None, source="s", etag="1"):
    rows = [
        {
            "sample_id": xxhash.xxh3_128_digest(f"{source}/{n}".encode()),
            "source": source,
            "uri": n,
            "key": n,
            "container": "file",
            "etag": etag,
            "text": (texts or {}).get(n, f"text of {n}"),
            "origin": "camera",
        }
        for n in names
    ]
    return [pa.RecordBatch.from_pylist(rows, schema=LISTED_SCHEMA)]


class Length:
    """A real little stage: length of the text, and whether it is short; a text 'bad' fails."""

    def __init__(self, limit=20, version=1, name="length", seen=None):
        self.seen = [] if seen is None else seen
        self.spec = StageSpec(
            name=name,
            version=version,
            reads=("samples.text", "samples.uri"),
            outputs={name: pa.schema([("n", pa.int32()), ("keep", pa.bool_())])},
            config={"limit": limit},
        )

    def __call__(self, table, monitor):
        def one(row):
            self.seen.append(row["samples.uri"])
            if row["samples.text"] == "bad":
                raise ValueError("a bad text")
            n = len(row["samples.text"])
            return {"n": n, "keep": n < self.spec.config["limit"]}

        return map_rows(table, one, self.spec.schema, monitor)


class Upper:
    """Downstream of Length: runs on kept rows only."""

    def __init__(self, seen=None, where=("length",)):
        self.seen = [] if seen is None else seen
        self.spec = StageSpec(
            name="upper",
            version=1,
            reads=("samples.text", "length.n"),
            outputs={"upper": pa.schema([("text", pa.string()), ("vector", pa.list_(pa.float16(), 4))])},
            where=where,
        )

    def __call__(self, table, monitor):
        def one(row):
            self.seen.append(row["samples.text"])
            return {"text": row["samples.text"].upper(), "vector": np.full(4, row["length.n"], np.float16)}

        return map_rows(table, one, self.spec.schema, monitor)


def run(dataset, stages, limit=None, redo_errors=False):
    """The smallest possible runner: every stale shard of every stage, in order."""
    bound = bind([s.spec for s in stages], limit)
    selection = read_selection(dataset, dataset.samples(), limit)
    done = 0
    for b, stage in zip(bound, stages, strict=True):
        siblings = tuple(p.split("/")[-1] for p in dataset.groups().get(b.spec.name, ()))
        siblings = tuple(s for s in siblings if s[:8] == b.fingerprint[:8])
        for shard in selection.shards:
            indexes = {p: dataset.index(p) for p in b.paths.values()}
            inputs = expected_inputs(b, shard, indexes, selection.bases[shard])
            out = [indexes[b.paths[g]].metas.get(shard) for g in b.spec.outputs]
            if not redo_errors and all(m and m.inputs == inputs and m.lineage == b.lineage for m in out):
                continue
            done += 1
            run_map_shard(
                dataset,
                b,
                stage,
                shard,
                selection.bases[shard],
                inputs,
                NullMonitor(),
                {},
                redo_errors,
                siblings,
            )
    return bound, done


def column(dataset, bound, name):
    group, c = split_column(name)
    path = next(b.paths[group] for b in bound if group in b.spec.outputs)
    return [
        v for s in sorted(dataset.index(path).metas) for v in dataset.read(path, s, [c]).column(0).to_pylist()
    ]


def all_bytes(dataset, below):
    return {p: dataset.storage.get(p) for p in sorted(dataset.storage.walk(below))}


@pytest.fixture(params=["local", "memory"])
def dataset(request, tmp_path):
    url = tmp_path / "ds" if request.param == "local" else f"memory://{tmp_path.name}-{random.random()}"
    return Dataset.create(url, rows_per_shard=4)


NAMES = [f"n{i:02d}" for i in range(10)]


def test_commit_then_read_and_done_means_present_valid_and_equal(dataset):
    summary = append(dataset, "s", listing(NAMES))
    assert (summary.new, summary.shards) == (10, 3)
    stage = Length()
    bound, done = run(dataset, [stage])
    assert done == 3
    assert column(dataset, bound, "length.n") == [len(f"text of {n}") for n in NAMES]
    assert run(dataset, [stage])[1] == 0


@given(st.data())
@settings(max_examples=40, deadline=None)
def test_any_flipped_bit_or_truncation_makes_a_shard_absent(data):
    table = pa.table(
        {"sample_id": pa.array([bytes(16)] * 5, pa.binary(16)), "x": [1.5, None, 3.0, 4.0, float("nan")]}
    )
    raw, _ = serialize(table, ShardMeta("g", "0", {}, "f", "l", {}))
    assert read_table(raw, "here")[0].num_rows == 5
    at = data.draw(st.integers(0, len(raw) - 1))
    flipped = bytearray(raw)
    flipped[at] ^= 1 << data.draw(st.integers(0, 7))
    for hurt in (bytes(flipped), raw[:at]):
        with pytest.raises(ShardInvalidError, match="here"):
            read_table(hurt, "here")


def test_damaged_shard_is_named_by_verify_and_computed_again(dataset):
    append(dataset, "s", listing(NAMES))
    bound, _ = run(dataset, [Length()])
    before = all_bytes(dataset, bound[0].paths["length"])
    path = sorted(before)[1]
    hurt = bytearray(before[path])
    hurt[len(hurt) // 2] ^= 4
    dataset.storage.put(path, bytes(hurt))
    dataset.storage.put(sorted(before)[2], before[sorted(before)[2]][:-9])
    assert set(verify(dataset).damaged) == set(sorted(before)[1:3])
    assert run(dataset, [Length()])[1] == 2
    assert all_bytes(dataset, bound[0].paths["length"]) == before
    assert not verify(dataset).damaged


def test_bad_samples_are_rows_and_retry_redoes_just_those(dataset):
    append(dataset, "s", listing(NAMES, {"n03": "bad"}))
    seen = []
    bound, _ = run(dataset, [Length(seen=seen)])
    assert column(dataset, bound, "length._status") == ["ok"] * 3 + ["error"] + ["ok"] * 6
    assert column(dataset, bound, "length._error_message")[3] == "a bad text"
    seen.clear()
    run(dataset, [Length(seen=seen)], redo_errors=True)
    assert seen == ["n03"]


def test_changed_threshold_reruns_decisions_and_widened_selection_only_new_rows(dataset):
    texts = {n: "x" * i for i, n in enumerate(NAMES)}
    append(dataset, "s", listing(NAMES, texts))
    seen = []
    run(dataset, [Length(limit=4), Upper(seen)])
    assert seen == ["x" * i for i in range(4)]
    bound, _ = run(dataset, [Length(limit=7), Upper(seen)])
    assert seen == ["x" * i for i in range(7)], "finished rows are copied, not computed again"
    assert column(dataset, bound, "upper.text") == ["X" * i for i in range(7)] + [None] * 3
    assert column(dataset, bound, "upper._status") == ["ok"] * 7 + ["not_selected"] * 3
    assert column(dataset, bound, "upper.vector")[2] == [2.0] * 4
    narrow, done = run(dataset, [Length(limit=4), Upper(seen)])
    assert done == 0, "the first recipe's folders are untouched"
    assert narrow[1].paths["upper"] != bound[1].paths["upper"]


def test_changed_version_reruns_what_read_it(dataset):
    append(dataset, "s", listing(NAMES))
    seen = []
    run(dataset, [Length(), Upper(seen, where=())])
    n = len(seen)
    a, done = run(dataset, [Length(version=2), Upper(seen, where=())])
    assert done == 6, "both stages have new folders"
    assert len(seen) == n, "and rows whose inputs turned out equal are copied"


def test_a_retry_that_changes_upstream_makes_downstream_stale(dataset):
    append(dataset, "s", listing(NAMES, {"n00": "bad"}))
    first, upper = Length(), Upper()
    run(dataset, [first, upper])
    first.spec.config["limit"]  # the same stage, whose environment has been mended:
    first_call = Length.__call__

    class Mended(Length):
        def __call__(self, table, monitor):
            rows = [t if t != "bad" else "fine" for t in table.column("samples.text").to_pylist()]
            return first_call(self, table.set_column(1, "samples.text", pa.array(rows)), monitor)

    run(dataset, [Mended()], redo_errors=True)
    bound, done = run(dataset, [first, upper])
    assert done == 1, "only the shard downstream of the mended row"
    assert column(dataset, bound, "upper._status")[0] == "ok"


def test_reingest_after_files_were_added_changed_and_removed(dataset):
    append(dataset, "s", listing(NAMES))
    bound, _ = run(dataset, [Length()])
    before = all_bytes(dataset, SAMPLES)
    names = ["a-new", *[n for n in NAMES if n != "n05"], "n05b"]
    batches = listing(names, {"n02": "changed text"})
    summary = append(dataset, "s", batches)
    assert (summary.new, summary.changed, summary.missing, summary.unchanged) == (2, 1, 1, 8)
    after = all_bytes(dataset, SAMPLES)
    assert {p: after[p] for p in before} == before, "existing rows never move"
    seen = []
    bound, _ = run(dataset, [Length(seen=seen)])
    assert sorted(seen) == ["a-new", "n02", "n05b"]
    rows = dict(zip(range(14), column(dataset, bound, "length._status"), strict=True))
    assert [i for i, s in rows.items() if s == "not_selected"] == [2, 5, 13]  # superseded, gone, tombstone
    assert append(dataset, "s", batches).shards == 0
    back = append(dataset, "s", listing([*names, "n05"], {"n02": "changed text"}))
    assert back.changed == 1
    bound, _ = run(dataset, [Length()])
    assert column(dataset, bound, "length._status").count("ok") == 12


def test_two_appenders_reserve_different_shards(dataset):
    a, b = Dataset.open(dataset.storage.url), Dataset.open(dataset.storage.url)

    def interleaved():
        yield from listing(NAMES[:4], source="a")
        append(b, "b", listing(NAMES, source="b"))
        yield from listing(NAMES[4:], source="a")

    append(a, "a", interleaved())
    rows = [r for s in sorted(dataset.samples().metas) for r in dataset.read(SAMPLES, s).to_pylist()]
    assert sorted((r["source"], r["key"]) for r in rows) == sorted((s, n) for s in "ab" for n in NAMES)
    assert not dataset.samples().invalid


def test_people_decide_last_and_reruns_keep_it(dataset):
    append(dataset, "s", listing(NAMES, {n: "x" * i for i, n in enumerate(NAMES)}))
    ids = [r["sample_id"] for r in listing(NAMES)[0].to_pylist()]
    add_decisions(dataset, "prune", ids[:1], "me", "ugly")
    add_decisions(dataset, "review", ids[9:], "me", "I like it", keep=True)
    bound, _ = run(dataset, [Length(limit=4), Upper()])
    assert [i for i, s in enumerate(column(dataset, bound, "upper._status")) if s == "ok"] == [1, 2, 3, 9]
    add_decisions(dataset, "review", ids[:1], "you", "not so bad", keep=True)
    bound, _ = run(dataset, [Length(limit=4), Upper()])
    assert [i for i, s in enumerate(column(dataset, bound, "upper._status")) if s == "ok"] == [0, 1, 2, 3, 9]


def test_takedown_leaves_no_trace_and_reingest_does_not_bring_it_back(dataset):
    secret = "a very private text"
    append(dataset, "s", listing(NAMES, {"n01": secret}))
    run(dataset, [Length(limit=99), Upper()])
    target = listing(NAMES)[0].to_pylist()[1]["sample_id"]
    report = take_down(dataset, [target], "me", "asked for")
    assert report.samples == 1

    def trace():
        for path in group_paths(dataset):
            for shard in dataset.index(path).metas:
                for row in dataset.read(path, shard).to_pylist():
                    assert target not in row.values()
                    if row["sample_id"] is None:
                        assert {k for k, v in row.items() if v is not None} <= {
                            "_status",
                            "op",
                            "supersedes",
                            "origin",
                        }
                        assert row.get("_status", "not_selected") == "not_selected"
                    assert secret not in repr(row).lower()
                    assert secret.upper() not in repr(row)

    trace()
    append(dataset, "s", listing(NAMES, {"n01": secret}))
    seen = []
    bound, _ = run(dataset, [Length(limit=99, seen=seen), Upper(seen)])
    assert seen == [], "the rest is copied"
    trace()
    assert column(dataset, bound, "upper._status").count("ok") == 9


def test_trial_run_is_reused_by_the_full_run(dataset):
    append(dataset, "s", listing(NAMES))
    seen = []
    bound, _ = run(dataset, [Length(seen=seen)], Limit(rows=6))
    assert seen == NAMES[:6]
    run(dataset, [Length(seen=seen)])
    assert seen == NAMES
    assert verify(dataset).damaged == {}


def test_gc_removes_what_no_recipe_uses(dataset):
    append(dataset, "s", listing(NAMES))
    old, _ = run(dataset, [Length(limit=4), Upper()])
    new, _ = run(dataset, [Length(limit=7), Upper()])
    used = {p for b in new for p in b.paths.values()}
    for path in garbage(dataset, used):
        dataset.storage.delete(path)
    assert run(dataset, [Length(limit=7), Upper()])[1] == 0
    assert run(dataset, [Length(limit=4), Upper()])[1] == 6
    with pytest.raises(DatasetError, match="recipes"):
        garbage(dataset, [])


def test_diff_tells_ids_exactly_and_numbers_within_tolerance(dataset, tmp_path):
    other = Dataset.create(tmp_path / "other", rows_per_shard=4)
    for d in (dataset, other):
        append(d, "s", listing(NAMES, {"n00": "different" if d is other else "same"}))
        bound, _ = run(d, [Length(limit=99), Upper()])
    pairs = [(g, bound[i].paths[g], bound[i].paths[g]) for i, g in enumerate(["length", "upper"])]
    notes, found = diff(dataset, other, pairs)
    assert notes == []
    assert {(d.group, d.column, d.different) for d in found} == {
        ("length", "n", 1),
        ("upper", "text", 1),
        ("upper", "vector", 1),
    }


def test_wiring_mistakes_are_found_before_any_work():
    with pytest.raises(ConfigError, match="no earlier stage"):
        bind([Upper().spec])
    with pytest.raises(ConfigError, match="an earlier stage writes"):
        bind([Length().spec, Length(limit=3).spec])


def test_foreign_directories_are_refused(tmp_path):
    with pytest.raises(DatasetError, match=r"dataset\.json"):
        Dataset.open(tmp_path)
    with pytest.raises(DatasetError, match="not a path inside"):
        Dataset.create(tmp_path / "x").storage.get("../secret")


def test_leftovers_of_killed_writers_are_not_shards(tmp_path):
    d = Dataset.create(tmp_path / "ds", rows_per_shard=4)
    append(d, "s", listing(NAMES))
    (tmp_path / "ds/samples/.tmp-1-abc").write_bytes(b"half a shard")
    assert sorted(d.samples().metas) == ["00000000", "00000001", "00000002"]
    assert "samples/.tmp-1-abc" in garbage(d, ["x"])


def test_the_index_is_only_a_cache(tmp_path):
    d = Dataset.create(tmp_path / "ds", rows_per_shard=4)
    append(d, "s", listing(NAMES))
    index = d.samples()
    index.save()
    (tmp_path / "ds" / index.cache_path).write_bytes(b"rubbish")
    assert d.samples().metas == index.metas


ARRAYS = st.one_of(
    st.lists(st.one_of(st.none(), st.text(max_size=5))).map(lambda v: pa.array(v, pa.string())),
    st.lists(st.one_of(st.none(), st.integers(-5, 5))).map(lambda v: pa.array(v, pa.int32())),
    st.lists(st.one_of(st.none(), st.booleans())).map(lambda v: pa.array(v, pa.bool_())),
    st.lists(st.one_of(st.none(), st.lists(st.one_of(st.none(), st.text(max_size=3)), max_size=3))).map(
        lambda v: pa.array(v, pa.list_(pa.string()))
    ),
    st.lists(st.one_of(st.none(), st.tuples(st.floats(0, 1, width=16), st.floats(0, 1, width=16)))).map(
        lambda v: pa.array(
            [None if x is None else [np.float16(y) for y in x] for x in v], pa.list_(pa.float16(), 2)
        )
    ),
    st.lists(
        st.one_of(st.none(), st.fixed_dictionaries({"a": st.integers(0, 3), "b": st.text(max_size=2)}))
    ).map(lambda v: pa.array(v, pa.struct([("a", pa.int64()), ("b", pa.string())]))),
)


@given(ARRAYS, ARRAYS, st.integers(0, 3))
@settings(max_examples=200, deadline=None)
def test_digests_follow_values_and_nothing_else(a, b, pad):
    shifted = pa.concat_arrays([a.slice(0, 0), a, a])[0 : len(a)] if len(a) else a
    chunked = pa.chunked_array([a.slice(0, pad), a.slice(pad)], type=a.type)
    assert column_digest(shifted) == column_digest(chunked) == column_digest(a)
    same = a.type == b.type and a.to_pylist() == b.to_pylist()
    assert (column_digest(a) == column_digest(b)) == same
    keys = row_keys(pa.table({"a": a}), ["a"]).to_pylist()
    values = [repr(v) for v in a.to_pylist()]
    assert [x == keys[0] for x in keys] == [v == values[0] for v in values]


def test_sampled_fractions_nest():
    ids = [xxhash.xxh3_128_digest(str(i).encode()) for i in range(4000)]
    small, large = sampled(ids, 0.1), sampled(ids, 0.5)
    assert (large | ~small).all()
    assert abs(small.mean() - 0.1) < 0.03
    assert sampled(ids, 1.0).all()


def test_shards_hold_what_the_schema_says(dataset):
    append(dataset, "s", listing(NAMES))
    table = dataset.read(SAMPLES, "00000000")
    assert table.schema.equals(SCHEMA)
    assert pc.all(pc.equal(table.column("op"), "put")).as_py()
