"""Search in cells: exact among the pairs compared, measured against brute force, growing without change."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zcurate.curation.embedding.encoder import Mirror
from zcurate.curation.errors import ConfigError, RecallError
from zcurate.curation.neighbors.audit import audit_of
from zcurate.curation.neighbors.cell_search import lay_out
from zcurate.curation.neighbors.exact import all_of, knn_edges
from zcurate.curation.neighbors.graph import grow
from zcurate.curation.neighbors.graph_files import GraphFolder, read_graph
from zcurate.curation.neighbors.pairs import SearchSettings, assigned, fill_all, near_pairs, searched
from zcurate.curation.neighbors.projection import fit_projection
from zcurate.curation.neighbors.quantizer import Quantizer, exact_quantizer, fit_quantizer, planned_cells
from zcurate.curation.neighbors.sweep import swept
from zcurate.curation.neighbors.workspace import in_threads, make_workspace


def unit(x):
    return (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32)


def clumps(rng, n, d=48, latent=8, noise=0.2):
    """Rows near a low-dimensional plane, in clumps of a few, with a common direction."""
    centers = rng.standard_normal((max(1, n // 4), latent)) @ rng.standard_normal((latent, d)) + 0.5
    x = centers[rng.integers(0, len(centers), n)]
    return unit(
        x + noise * rng.standard_normal((n, d)) * np.linalg.norm(x, axis=1, keepdims=True) / np.sqrt(d)
    )


def swap_mirror(d):
    return Mirror(np.arange(d) ^ 1, np.where(np.arange(d) // 2 % 2, -1, 1).astype(np.float32))


def as_set(edges):
    return set(zip(edges.src.tolist(), edges.dst.tolist(), strict=True))


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(2, 200), st.integers(2, 200))
def test_codes_bound_every_cosine_from_above(seed, n, d):
    rng = np.random.default_rng(seed)
    x = unit(rng.standard_normal((n, d)) * rng.uniform(0.01, 3, d))
    projection = fit_projection(x)
    codes = projection.codes(x)
    bound = codes.astype(np.float64) @ codes.astype(np.float64).T
    assert (bound + projection.margin >= x.astype(np.float64) @ x.astype(np.float64).T).all()
    assert projection.basis.shape[1] <= d


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**32 - 1), st.booleans(), st.sampled_from([np.float16, np.float32]))
def test_one_cell_is_brute_force(seed, mirrored, dtype):
    rng = np.random.default_rng(seed)
    x = clumps(rng, 300).astype(dtype)
    mirror = swap_mirror(48) if mirrored else None
    if mirrored:
        x[::3] = mirror.apply(x[::3])
    found = near_pairs(x, SearchSettings(300, 0.8, 0.9), mirror)
    expected = knn_edges(x, 300, 0.8, mirror=mirror)
    assert found.facts["method"] == "exact"
    assert as_set(found.edges) == as_set(expected)
    assert np.array_equal(found.edges.cos, expected.cos)
    assert found.facts["recall"] in (None, 1.0)


@settings(max_examples=4, deadline=None)
@given(st.integers(0, 2**32 - 1), st.booleans())
def test_cells_find_true_pairs_with_true_cosines(seed, mirrored):
    rng = np.random.default_rng(seed)
    x = clumps(rng, 3_000)
    mirror = swap_mirror(48) if mirrored else None
    if mirrored:
        x[::3] = mirror.apply(x[::3])
    found = near_pairs(x, SearchSettings(50, 0.8, 0.9, cells=32), mirror)
    expected = knn_edges(x, 3_000, 0.8, mirror=mirror)
    cosines = dict(
        zip(zip(expected.src.tolist(), expected.dst.tolist(), strict=True), expected.cos, strict=True)
    )
    for a, b, cos in zip(found.edges.src.tolist(), found.edges.dst.tolist(), found.edges.cos, strict=True):
        assert cosines[a, b] == cos
    strong = as_set(expected.above(0.9))
    assert len(as_set(found.edges) & strong) >= 0.98 * len(strong)
    assert found.facts["recall"] >= 0.99
    assert found.facts["cells"] in (1, 8, 32)


def test_too_few_probes_fail_below_the_recall_asked_for():
    x = clumps(np.random.default_rng(4), 6_000, latent=40, noise=0.5)
    with pytest.raises(RecallError, match=r"raise dedup\.probes \(now 1 of 128 cells\)"):
        near_pairs(x, SearchSettings(50, 0.7, 0.75, cells=128, probes=1))
    assert near_pairs(x, SearchSettings(50, 0.7, 0.75, cells=128)).facts["recall"] >= 0.99


def test_quantizer_survives_writing_and_refuses_what_it_is_not():
    x = clumps(np.random.default_rng(0), 2_000)
    quantizer = fit_quantizer(x, 16, 3)
    again = Quantizer.from_bytes(quantizer.to_bytes(), "here")
    assert again.identity == quantizer.identity
    codes = again.projection.codes(x)
    assert np.array_equal(again.assign(codes), quantizer.assign(codes))
    # a row's cells do not depend on which rows are beside it
    assert np.array_equal(again.assign(codes[1_234:1_236]), again.assign(codes)[1_234:1_236])
    for wrong in (b"", b"{}\n", quantizer.to_bytes()[:-9], b'{"format": 9, "probes": 1, "residual": 0}\n'):
        with pytest.raises(ConfigError, match="here"):
            Quantizer.from_bytes(wrong, "here")
    assert planned_cells(1_000, 8) == 1
    assert planned_cells(10**6, 8) < planned_cells(10**9, 8) <= 65_536


def names(n, salt=0):
    return np.array(
        [int(i).to_bytes(8, "big") + salt.to_bytes(8, "big").replace(b"\0", b"\1") for i in range(n)], "S16"
    )


@pytest.mark.parametrize("mirrored", [False, True])
def test_growing_gives_the_pairs_of_doing_all_at_once(tmp_path, mirrored):
    rng = np.random.default_rng(1)
    x = clumps(rng, 3_000).astype(np.float16)
    ids = names(3_000)
    mirror = swap_mirror(48) if mirrored else None
    if mirrored:
        x[::3] = mirror.apply(x[::3])
    chosen = SearchSettings(3_000, 0.8, 0.9)
    quantizer = fit_quantizer(x.astype(np.float32), 16, 4)
    whole, row_of = grow(ids, ids, x, chosen, mirror, quantizer=quantizer)
    assert np.array_equal(row_of, np.arange(3_000))
    asked = []

    def vectors(positions):
        asked.append(len(positions))
        return x[chosen_rows[positions]]

    steps = [rng.permutation(3_000)[:1_500], rng.permutation(3_000)[:2_800], np.arange(3_000)]
    for rows in steps:
        chosen_rows = np.sort(rows)
        grown, at = grow(
            ids[chosen_rows], ids[chosen_rows], vectors, chosen, mirror, tmp_path / "graph", "same", quantizer
        )
        assert (grown.ids[at] == ids[chosen_rows]).all()
        # pairs by id: all of the whole graph's between rows that are here
        got = {tuple(sorted((grown.ids[a], grown.ids[b]))) for a, b in as_set(grown.edges)}
        here = set(ids[chosen_rows].tolist())
        assert got == {(ids[a], ids[b]) for a, b in as_set(whole.edges) if ids[a] in here and ids[b] in here}
    assert sum(asked) < sum(len(s) for s in steps)
    assert asked[-1] < 400  # only what was in no earlier step
    assert grown.facts["rows_known"] + grown.facts["rows_new"] == 3_000
    # the same id with another content is another row; another encoder starts over
    keys = ids.copy()
    keys[5] = names(1, salt=9)[0]
    chosen_rows = np.arange(3_000)
    changed, at = grow(ids, keys, vectors, chosen, mirror, tmp_path / "graph", "same", quantizer)
    assert (asked[-1], changed.facts["rows_new"]) == (1, 1)
    grow(ids, keys, vectors, chosen, mirror, tmp_path / "graph", "another", quantizer)
    assert asked[-1] == 3_000


@settings(max_examples=12, deadline=None)
@given(
    st.integers(0, 2**32 - 1), st.booleans(), st.integers(1, 40), st.sampled_from([np.float16, np.float32])
)
def test_a_sweep_finds_what_a_search_of_the_same_cells_finds(seed, mirrored, k, dtype):
    rng = np.random.default_rng(seed)
    n, d = 1_200, int(rng.choice([8, 20, 48]))
    x = clumps(rng, n, d).astype(dtype)
    mirror = swap_mirror(d) if mirrored else None
    if mirrored:
        x[::3] = mirror.apply(x[::3])
    x[rng.integers(0, n, 5)] = 0
    quantizer = fit_quantizer(unit(x.astype(np.float32) + 1e-6), 16, 3)
    space = make_workspace(x, quantizer.projection.basis.shape[1] + 1, mirror)
    fill_all(space, quantizer, mirror, in_threads)
    space.inverse[rng.integers(0, n, 20)] = 0  # gone
    codes = assigned(space, quantizer, mirror, in_threads)
    chosen = SearchSettings(k, 0.7, 0.9, full_lists=True)
    first = n - int(rng.integers(1, 100))
    new = np.arange(n) >= first
    lists = [
        searched(x, codes, lay_out(codes, queries, columns), chosen, mirror, in_threads)[0]
        for queries, columns in ((new, ~new), (~new, new))
    ]
    expected = all_of(*lists)
    found, _ = swept(x, codes, first, chosen, mirror, in_threads)
    if not mirrored:
        assert as_set(found) == as_set(expected)
        assert np.array_equal(found.cos, expected.cos)
        return
    # A pair that cells bring together one way round, and that is nearer the other way round, is compared or passed
    # over depending on what the list holds by then, and so on the order of the rows: nearly all is the same.
    one, other = (dict(zip(zip(e.src.tolist(), e.dst.tolist(), strict=True), e.cos.tolist(), strict=True))
                  for e in (found, expected))  # fmt: skip
    assert all(one[p] == other[p] for p in set(one) & set(other))
    needed = nearest_of_each(one | other, k)
    assert len(needed - (set(one) & set(other))) <= 0.01 * len(needed)


def nearest_of_each(pairs, k):
    """Pairs that are surely among the k nearest of one of their rows: nearer than its k-th, or of few."""
    of = {}
    for pair, cos in pairs.items():
        for side in (0, 1):
            of.setdefault((side, pair[side]), []).append(cos)
    least = {row: sorted(all_of_it)[-k - 1] if len(all_of_it) > k else -1.0 for row, all_of_it in of.items()}
    return {p for p, cos in pairs.items() if any(cos > least[side, p[side]] for side in (0, 1))}


def test_the_audit_of_a_graph_that_grew_and_shrank_is_that_of_its_rows(tmp_path):
    rng = np.random.default_rng(8)
    x, ids = clumps(rng, 1_500).astype(np.float16), names(1_500)
    chosen = SearchSettings(20, 0.8, 0.9, audited=300)
    quantizer = fit_quantizer(x.astype(np.float32), 16, 4)
    for rows in (np.arange(1_300), np.arange(60, 1_350), np.arange(60, 1_500), np.arange(1_500)):
        args = (ids[rows], ids[rows], x[rows], chosen, None)
        grown, _ = grow(*args, tmp_path, "same", quantizer)
        whole, _ = grow(*args, quantizer=quantizer)
        kept = read_graph(GraphFolder(tmp_path), "same", quantizer).audit
        fresh = audit_of(whole.space, ids[rows], whole.alive, 0, None, chosen, None, quantizer, in_threads)
        assert set(grown.ids[kept.rows]) == set(ids[rows][fresh.rows])
        assert len(kept.rows) == 300
        named = lambda of, pairs: set(zip(of[pairs.src].tolist(), of[pairs.dst].tolist(), strict=True))  # noqa: E731
        assert named(grown.ids, kept.pairs) == named(ids[rows], fresh.pairs)
        assert grown.facts["recall"] == pytest.approx(whole.facts["recall"])
        assert grown.facts["recall_pairs"] == whole.facts["recall_pairs"] > 100


def test_a_killed_writer_leaves_a_graph_that_works(tmp_path):
    x = clumps(np.random.default_rng(2), 1_000).astype(np.float16)
    ids, chosen = names(1_000), SearchSettings(1_000, 0.8, 0.9)
    first, _ = grow(ids[:900], ids[:900], x[:900], chosen, None, tmp_path, "one")
    for name in ("stored.bin", "codes.bin", "edges.bin", "ids.bin"):  # what a run wrote before it was killed
        with open(tmp_path / name, "ab") as f:
            f.write(b"\x7f" * 12_345)
    grown, _ = grow(ids, ids, x, chosen, None, tmp_path, "one", first.quantizer)
    whole, _ = grow(ids, ids, x, chosen, None, quantizer=first.quantizer)
    assert as_set(grown.edges) == as_set(whole.edges)
    assert grown.facts["rows_new"] == 100
    (tmp_path / "stored.bin").write_bytes(b"short")
    again, _ = grow(ids, ids, x, chosen, None, tmp_path, "one", first.quantizer)
    assert again.facts["rows_new"] == 1_000
    assert as_set(again.edges) == as_set(whole.edges)


def test_odd_vectors():
    rng = np.random.default_rng(3)
    x = clumps(rng, 50)
    x[7] = 0
    found = near_pairs(x, SearchSettings(100, -1.0, 0.9))
    assert not np.isin(7, np.concatenate([found.edges.src, found.edges.dst]))
    x[9, 3] = np.nan
    with pytest.raises(ValueError, match="row 9 holds NaN"):
        near_pairs(x, SearchSettings(5, 0.5, 0.9))
    same = np.tile(unit(rng.standard_normal((1, 32))), (400, 1))
    alike = near_pairs(same, SearchSettings(5, 0.5, 0.9)).edges
    assert len(np.unique(np.concatenate([alike.src, alike.dst]))) == 400
    for few in (0, 1, 2):
        assert len(near_pairs(x[:few], SearchSettings(5, -1.0, 0.9)).edges) == few // 2
    with pytest.raises(ValueError, match="it belongs to another encoder"):
        near_pairs(
            x[:5], SearchSettings(5, 0.5, 0.9), quantizer=exact_quantizer(unit(rng.standard_normal((50, 40))))
        )


def test_very_many_near_identical_rows_end_soon_and_hang_together():
    rng = np.random.default_rng(5)
    x = unit(rng.standard_normal((1, 16)) + 0.02 * rng.standard_normal((50_000, 16))).astype(np.float16)
    from zcurate.curation.neighbors.components import component_labels

    found = near_pairs(x, SearchSettings(20, 0.85, 0.9))
    assert len(np.unique(component_labels(len(x), found.edges.src, found.edges.dst))) == 1
    assert len(found.edges) <= 20 * len(x)
