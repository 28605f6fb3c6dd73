"""The vector index: against exact search, through updates, and with files and vectors that are not what they should be."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zcurate.curation.errors import ConfigError, DatasetError
from zcurate.curation.retrieval import building, files, search
from zcurate.curation.retrieval.building import update_index
from zcurate.curation.retrieval.files import DamagedIndexError
from zcurate.curation.retrieval.index import Source, open_index
from zcurate.curation.retrieval.tuning import nearest

IDENTITY = {"encoder": "test", "fingerprint": "1"}


def vectors_of(seed, n, d=32):
    """Clustered unit vectors with a common direction, as embeddings are."""
    rng = np.random.default_rng(seed)
    centers = np.random.default_rng(99).standard_normal((40, d))
    x = centers[rng.integers(0, 40, n)] + 0.6 * rng.standard_normal((n, d)) + 0.5
    return (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float16)


def source(name, vectors, digest=None):
    ids = np.frombuffer(np.random.default_rng(int(name) + 7).bytes(16 * len(vectors)), np.uint8).reshape(
        -1, 16
    )
    return Source(name, digest or f"{name}:{len(vectors)}", lambda: (np.arange(len(vectors)), ids, vectors))


def shards(count, rows=400, d=32):
    return [source(f"{i:04d}", vectors_of(i, rows, d)) for i in range(count)]


@pytest.fixture
def small_cells(monkeypatch):
    """Cells from 1,000 rows, so that the search in cells is tested on few rows."""
    monkeypatch.setattr(building, "CELLS_FROM", 1_000)
    monkeypatch.setattr("zcurate.curation.retrieval.index.FEW_ROWS", 50)


def data_of(folder):
    """Name of each part -> bytes, whatever the files are called."""
    manifest = json.loads((folder / "manifest.json").read_text())
    return {part: (folder / record["name"]).read_bytes() for part, record in manifest["files"].items()}


@settings(max_examples=25, deadline=None)
@given(n=st.integers(1, 80), k=st.integers(1, 90), share=st.floats(0, 1), seed=st.integers(0, 2**31))
def test_exact_search_is_that_of_all_cosines(tmp_path_factory, n, k, share, seed):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((n, 9)).astype(np.float16) * rng.choice([1e-2, 1, 50], (n, 1)).astype(np.float16)
    x[rng.random(n) < 0.4] = x[0]
    shard = source("0000", x)
    index = update_index(tmp_path_factory.mktemp("i"), [shard], IDENTITY)
    query = rng.standard_normal(9).astype(np.float32) * 1e6
    allowed = rng.random(n) < share
    rows, cos = index.search(query, k, allowed)
    hexes = np.array([bytes(i).hex() for i in shard.load()[1]])
    want, want_cos = search([(hexes[allowed], x[allowed])], query / np.float32(1e6), k)
    assert len(rows) == min(k, allowed.sum())
    assert hexes[rows].tolist() == want.tolist()
    assert np.allclose(cos, want_cos, atol=2e-7)


def test_cells_find_nearly_all_and_their_settings_are_measured(tmp_path, small_cells):
    index = update_index(tmp_path, shards(20), IDENTITY)
    assert len(index) == 8_000
    assert len(index.starts) > 100
    queries = vectors_of(1234, 100).astype(np.float32)
    truth = nearest(index, queries, 100)
    found = [index.search(q, 100)[0] for q in queries]
    recall = np.mean([len(np.intersect1d(f, t)) for f, t in zip(found, truth, strict=True)]) / 100
    assert recall >= 0.95
    assert abs(recall - index.facts["recall"]) < 0.05, "what the index says of itself is so"
    exact = [index.search(q, 100, exact=True)[0] for q in queries]
    assert all(len(np.intersect1d(e, t)) >= 99 for e, t in zip(exact, truth, strict=True))


def test_cosines_found_in_cells_are_the_exact_ones(tmp_path, small_cells):
    index = update_index(tmp_path, shards(5), IDENTITY)
    query = vectors_of(77, 1)[0].astype(np.float32)
    rows, cos = index.search(query, 20)
    every, all_cos = index.search(query, len(index), exact=True)
    place = {int(r): c for r, c in zip(every, all_cos, strict=True)}
    assert [place[int(r)] for r in rows] == cos.tolist()
    assert (np.diff(cos) <= 0).all()


@pytest.mark.parametrize("share", [0.5, 0.05, 0.012])
def test_filtered_search_returns_k_allowed_rows_and_the_right_ones(tmp_path, small_cells, share):
    index = update_index(tmp_path, shards(20), IDENTITY)
    allowed = np.random.default_rng(3).random(len(index)) < share
    hits = total = 0
    for q in vectors_of(55, 40).astype(np.float32):
        rows, _ = index.search(q, 60, allowed)
        want, _ = index.search(q, 60, allowed, exact=True)
        assert len(rows) == min(60, allowed.sum())
        assert allowed[rows].all()
        hits, total = hits + len(np.intersect1d(rows, want)), total + len(want)
    assert hits / total >= 0.95
    assert len(index.search(q, len(index), allowed)[0]) == allowed.sum(), "all of them when asked for all"
    assert len(index.search(q, 5, np.zeros(len(index), bool))[0]) == 0


def test_an_update_ends_with_the_bytes_of_a_rebuild(tmp_path, small_cells):
    """Added, changed and removed shards, in any order: with the same quantizer, the same files."""
    some = shards(12)
    update_index(tmp_path / "a", some[:6], IDENTITY)
    changed = source("0003", vectors_of(500, 350))
    last = [changed if s.name == "0003" else s for s in some if s.name != "0001"]
    index = update_index(tmp_path / "a", last[:9][::-1], IDENTITY)
    assert index.facts["rows_encoded"] == sum(len(s.load()[0]) for s in last[:9]) - 4 * 400
    index = update_index(tmp_path / "a", last, IDENTITY)
    whole = update_index(tmp_path / "b", last, IDENTITY, like=index)
    assert data_of(tmp_path / "a") == data_of(tmp_path / "b")
    query, settings_ = vectors_of(9, 1)[0], {"probes": 8, "refine": 200}
    assert (
        index.search(query, 50, **settings_)[0].tolist() == whole.search(query, 50, **settings_)[0].tolist()
    )
    assert len(list((tmp_path / "a").iterdir())) == len(data_of(tmp_path / "a")) + 2, (
        "files of before are gone"
    )


def test_nothing_is_read_when_nothing_changed(tmp_path):
    update_index(tmp_path, shards(2), IDENTITY)
    before = {p.name: p.stat().st_mtime_ns for p in tmp_path.iterdir() if p.name != "lock"}

    def fail():
        raise AssertionError("read again")

    current = [Source(s.name, s.digest, fail) for s in shards(2)]
    index = update_index(tmp_path, current, IDENTITY)
    assert {p.name: p.stat().st_mtime_ns for p in tmp_path.iterdir() if p.name != "lock"} == before
    with pytest.raises(AssertionError, match="read again"):
        update_index(tmp_path, [*current, Source("0009", "new", fail)], IDENTITY)
    assert len(open_index(tmp_path)) == len(index), "a failed update leaves the old index"


def test_removed_vectors_are_gone_from_the_files(tmp_path):
    secret = np.full((1, 32), 0.171875, np.float16)
    first = np.concatenate([vectors_of(1, 50), secret])
    update_index(tmp_path, [source("0000", first)], IDENTITY)
    assert any(secret.tobytes() in p.read_bytes() for p in tmp_path.iterdir())
    update_index(tmp_path, [source("0000", first[:-1])], IDENTITY)
    assert not any(secret.tobytes() in p.read_bytes() for p in tmp_path.iterdir())


def test_the_quantizer_is_trained_anew_once_rows_have_doubled(tmp_path, small_cells):
    first = update_index(tmp_path, shards(5), IDENTITY)
    kept = update_index(tmp_path, shards(8), IDENTITY)
    assert kept.quantizer.identity == first.quantizer.identity
    grown = update_index(tmp_path, shards(14), IDENTITY)
    assert grown.quantizer.identity != first.quantizer.identity
    assert grown.facts["trained_rows"] == len(grown)


def test_vectors_of_two_widths_are_refused_by_name(tmp_path):
    mixed = [source("0000", vectors_of(0, 20, 32)), source("0001", vectors_of(1, 20, 48))]
    with pytest.raises(
        DatasetError, match=r"shard 0001: vectors of 48 dimensions, earlier shards have 32.*encoder"
    ):
        update_index(tmp_path, mixed, IDENTITY)


def test_vectors_of_another_encoder_are_refused_by_name(tmp_path):
    update_index(tmp_path, shards(1), IDENTITY)
    with pytest.raises(DatasetError, match=r"encoder test.*encoder other"):
        update_index(tmp_path, shards(2), {"encoder": "other", "fingerprint": "2"})


def test_unusable_vectors_are_left_out_and_counted(tmp_path):
    x = vectors_of(0, 30).astype(np.float32)
    x[3, 5], x[4], x[5, 0], x[6] = np.nan, 0, np.inf, 1e-30
    index = update_index(tmp_path, [source("0000", x), *shards(3)[1:]], IDENTITY)
    assert index.unusable == {"0000": 4}
    assert set(range(30)) - set(index.rows[:26].tolist()) == {3, 4, 5, 6}
    assert np.isfinite(index.search(x[0], 1000)[1]).all()


@pytest.mark.parametrize(
    ("query", "message"),
    [
        (np.zeros(32), "zero"),
        (np.full(32, np.nan), "NaN"),
        (np.r_[np.ones(31), np.inf], "infinity"),
        (np.ones(31), "31 dimensions, the dataset's vectors 32.*encoder"),
        (np.ones((2, 32)), "one vector"),
        (np.array(["a"] * 32), "one vector"),
    ],
)
def test_bad_queries(tmp_path, query, message):
    index = update_index(tmp_path, shards(1), IDENTITY)
    with pytest.raises(ConfigError, match=message):
        index.search(query, 3)
    with pytest.raises(ConfigError, match="at least 1"):
        index.search(np.ones(32), 0)


def test_an_index_of_nothing(tmp_path):
    for sources in ([], [source("0000", np.zeros((3, 4), np.float16))]):
        index = update_index(tmp_path, sources, IDENTITY)
        assert len(index) == 0


def test_every_damaged_file_is_noticed_and_the_index_made_anew(tmp_path, small_cells):
    update_index(tmp_path, shards(4), IDENTITY)
    sound = data_of(tmp_path)
    rng = np.random.default_rng(0)
    for path in sorted(p for p in tmp_path.iterdir() if p.name not in ("lock", "manifest.json")):
        data = bytearray(path.read_bytes())
        if not data:
            continue
        data[rng.integers(len(data))] ^= 1 << rng.integers(8)
        path.write_bytes(data)
        with pytest.raises(DamagedIndexError):
            open_index(tmp_path)
        update_index(tmp_path, shards(4), IDENTITY)
        assert data_of(tmp_path) == sound, path.name


@pytest.mark.parametrize(
    "change",
    [
        lambda m: m.pop("segments"),
        lambda m: m.update(n=10**9),
        lambda m: m.update(dim=-1),
        lambda m: m.update(scale=[1.0]),
        lambda m: m.update(format=99),
        lambda m: m["segments"].reverse(),
        lambda m: m["files"]["vectors"].update(name="../../etc/passwd"),
        lambda m: m["files"]["codes"].update(m["files"]["vectors"]),
    ],
)
def test_a_manifest_that_lies_is_refused(tmp_path, small_cells, change):
    update_index(tmp_path, shards(4), IDENTITY)
    manifest = json.loads((tmp_path / "manifest.json").read_text())
    change(manifest)
    (tmp_path / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(DamagedIndexError):
        open_index(tmp_path)


def test_order_that_points_outside_is_refused_even_with_right_digests(tmp_path, small_cells):
    """Compiled code reads where `order` says: it is checked, not trusted."""
    update_index(tmp_path, shards(4), IDENTITY)
    manifest = json.loads((tmp_path / "manifest.json").read_text())
    bad = np.full(manifest["n"], 10**8, np.int32)
    manifest["files"]["order"] = files.write_file(tmp_path, "order-bad.bin", bad)
    (tmp_path / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(DamagedIndexError, match="do not fit"):
        open_index(tmp_path)


def test_what_a_killed_writer_left_is_cleared_away(tmp_path):
    update_index(tmp_path, shards(1), IDENTITY)
    (tmp_path / ".tmp-1-abc").write_bytes(b"half")
    (tmp_path / "vectors-0123.bin").write_bytes(b"a file no manifest names")
    index = update_index(tmp_path, shards(2), IDENTITY)
    names = {p.name for p in tmp_path.iterdir()}
    assert not {".tmp-1-abc", "vectors-0123.bin"} & names
    assert len(index) == 800


def test_readers_keep_what_they_opened_while_it_is_replaced(tmp_path):
    old = update_index(tmp_path, shards(1), IDENTITY)
    query = vectors_of(5, 1)[0]
    before = old.search(query, 10)
    new = update_index(tmp_path, shards(3)[1:], IDENTITY)
    after = old.search(query, 10)
    assert before[0].tolist() == after[0].tolist()
    assert before[1].tolist() == after[1].tolist()
    assert len(new) == 800
