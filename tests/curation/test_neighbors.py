"""k-NN, components, completion, communities, pHash candidates: each against a naive version."""

import networkx as nx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zcurate.curation.embedding.encoder import Mirror
from zcurate.curation.neighbors.complete import MERGE_ABOVE, complete
from zcurate.curation.neighbors.components import component_labels, members_of
from zcurate.curation.neighbors.contract import contract_identical
from zcurate.curation.neighbors.exact import knn_edges, undirected
from zcurate.curation.neighbors.leiden import communities
from zcurate.curation.neighbors.mirrored import halves
from zcurate.curation.neighbors.phash import hamming_candidates
from zcurate.curation.neighbors.vectors import pair_cosines


def unit(rng, n, d):
    x = rng.standard_normal((n, d))
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def around(rng, center, n, spread):
    """Unit vectors at about `spread` (tangent of the angle) from a unit vector."""
    x = center + spread * rng.standard_normal((n, len(center))) / np.sqrt(len(center))
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def random_mirror(rng, d):
    """A signed permutation that is its own inverse: some components exchanged, some negated."""
    pairs = rng.permutation(d)[: 2 * int(rng.integers(0, d // 2 + 1))].reshape(-1, 2)
    source, sign = np.arange(d), rng.choice([-1.0, 1.0], d).astype(np.float32)
    source[pairs[:, 0]], source[pairs[:, 1]] = pairs[:, 1], pairs[:, 0]
    sign[pairs[:, 1]] = sign[pairs[:, 0]]
    return Mirror(source, sign)


def naive_knn(x, k, floor, mirror=None):
    x = x.astype(np.float64)
    x = x / np.linalg.norm(x, axis=1, keepdims=True)
    # rows multiplied one by one: equal rows then have equal cosines
    cos = np.array([[np.float32((a * b).sum()) for b in x] for a in x])
    if mirror is not None:
        turned = np.array([[np.float32((a * b).sum()) for b in mirror.apply(x)] for a in x])
        cos = np.maximum(cos, turned)
    found = {}
    for i, row in enumerate(cos):
        others = sorted((-c, j) for j, c in enumerate(row) if j != i and c >= floor)
        for c, j in others[:k]:
            found[min(i, j), max(i, j)] = -c
    return found


@settings(max_examples=40, deadline=None)
@given(
    st.integers(1, 40),
    st.integers(1, 9),
    st.integers(1, 50),
    st.sampled_from([np.float16, np.float32]),
    st.booleans(),
    st.integers(0, 2**32 - 1),
)
def test_knn_equals_naive(n, d, k, dtype, mirrored, seed):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((n, d)).astype(dtype)
    x[rng.random(n) < 0.3] = x[0]  # exact copies: self must be removed by id, ties go by id
    mirror = random_mirror(rng, d) if mirrored else None
    # With a mirror, equal cosines come from different products, and the naive sums part them at random:
    # give every row all the others, so that no tie decides.
    k = n if mirrored else k
    expected = naive_knn(x, k, 0.2, mirror)
    for row_block, col_block in ((7, 5), (64, 64)):
        edges = knn_edges(x, k, 0.2, row_block, col_block, mirror)
        found = dict(zip(zip(edges.src.tolist(), edges.dst.tolist(), strict=True), edges.cos, strict=True))
        near_floor = {p for p, c in expected.items() if abs(c - 0.2) < 1e-6}
        assert {p for p in found if p not in near_floor} == {p for p in expected if p not in near_floor}
        assert all(abs(found[p] - expected[p]) < 1e-6 for p in found)
        assert (edges.src < edges.dst).all()
        assert list(found) == sorted(found)


def test_knn_takes_blocks_and_refuses_nonsense():
    x = unit(np.random.default_rng(1), 50, 8).astype(np.float16)
    whole, blocks = knn_edges(x, 5), knn_edges(iter([x[:13], x[13:]]), 5)
    assert np.array_equal(whole.src, blocks.src)
    assert np.array_equal(whole.cos, blocks.cos)
    assert len(knn_edges(x[:1], 5)) == len(knn_edges(x[:0], 5)) == 0
    x[3, 2] = np.nan
    with pytest.raises(ValueError, match="row 3 holds NaN"):
        knn_edges(x, 5)
    with pytest.raises(ValueError, match="k must be"):
        knn_edges(x, 0)


def test_cosines_do_not_depend_on_order_or_blocks():
    rng = np.random.default_rng(2)
    x = unit(rng, 300, 100).astype(np.float32)
    order = rng.permutation(300)
    a = knn_edges(x, 20, 0.0, 64, 64)
    b = knn_edges(x[order], 20, 0.0, 100, 30)
    back = undirected(order[b.src], order[b.dst], b.cos)
    assert np.array_equal(a.src, back.src)
    assert np.array_equal(a.dst, back.dst)
    assert np.array_equal(a.cos, back.cos)
    assert np.array_equal(a.cos, pair_cosines(x, a.dst, a.src))


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 40), st.sampled_from([np.float16, np.float32]), st.integers(0, 2**32 - 1))
def test_mirrored_cosines_are_symmetric_to_the_bit(d, dtype, seed):
    rng = np.random.default_rng(seed)
    mirror = random_mirror(rng, d)
    x = rng.standard_normal((60, d)).astype(dtype)
    i, j = np.triu_indices(60, 1)
    s = pair_cosines(x, i, j, mirror=mirror)
    assert np.array_equal(s, pair_cosines(x, j, i, mirror=mirror))
    both = pair_cosines(np.concatenate([x, mirror.apply(x)]), i, j + 60)
    assert np.allclose(s, np.maximum(pair_cosines(x, i, j), both), atol=1e-6)
    even, odd = halves(x.astype(np.float64), mirror)
    assert np.allclose(even @ even.T + odd @ odd.T, x.astype(np.float64) @ x.astype(np.float64).T)
    assert np.allclose(
        even @ even.T - odd @ odd.T, x.astype(np.float64) @ mirror.apply(x.astype(np.float64)).T
    )
    order = rng.permutation(60)
    a, b = (knn_edges(y, 5, 0.0, 16, 16, mirror) for y in (x, x[order]))
    back = undirected(order[b.src], order[b.dst], b.cos)
    same = [np.array_equal(getattr(a, f), getattr(back, f)) for f in ("src", "dst", "cos")]
    assert all(same) or d == 1  # one component: all cosines are 1, and ties go by position


def test_a_mirror_must_be_its_own_inverse():
    for source, sign in (([1, 2, 0], [1, 1, 1]), ([1, 0], [1, -1]), ([0, 0], [1, 1]), ([0], [2])):
        with pytest.raises(ValueError, match="mirror"):
            Mirror(np.array(source), np.array(sign, np.float32))


def test_merged_nodes_turn_mirrored_members():
    rng = np.random.default_rng(6)
    mirror = random_mirror(rng, 64)
    centers = unit(rng, 3, 64)
    x = np.concatenate([around(rng, c, 120, 0.03) for c in centers])
    x[::2] = mirror.apply(x[::2])
    assert len(x) > MERGE_ABOVE
    graph = complete(x, 0.94, -1.0, mirror)
    assert len(graph.sizes) == 3
    similar = np.maximum(x @ x.T, x @ mirror.apply(x).T)
    for s, t, w in zip(graph.src, graph.dst, graph.weight, strict=True):
        pairs = similar[np.ix_(graph.node_of == s, graph.node_of == t)]
        assert pairs.sum() - 1e-3 * pairs.size <= w <= pairs.sum() + 1e-6 * pairs.size  # rounded to 1e-6


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 30), st.lists(st.tuples(st.integers(0, 29), st.integers(0, 29)), max_size=40))
def test_components_equal_networkx(n, pairs):
    pairs = [(a % n, b % n) for a, b in pairs]
    graph = nx.Graph(pairs)
    graph.add_nodes_from(range(n))
    src, dst = (np.array(side, np.int64) for side in (zip(*pairs, strict=True) if pairs else ([], [])))
    groups = members_of(component_labels(n, src, dst))
    assert [g.tolist() for g in groups] == sorted(sorted(c) for c in nx.connected_components(graph))


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.integers(0, 2**64 - 1), min_size=1, max_size=6),
    st.lists(st.tuples(st.integers(0, 5), st.lists(st.integers(0, 63), max_size=7)), max_size=30),
    st.integers(0, 6),
)
def test_hamming_candidates_equal_naive(bases, picks, radius):
    values = [bases[i % len(bases)] ^ sum(1 << b for b in set(bits)) for i, bits in picks]
    a, b = hamming_candidates(np.array(values, np.uint64), radius=radius)
    naive = [
        (i, j)
        for i in range(len(values))
        for j in range(i + 1, len(values))
        if (values[i] ^ values[j]).bit_count() <= radius
    ]
    assert list(zip(a.tolist(), b.tolist(), strict=True)) == naive


def test_many_equal_hashes_stay_linear_and_connected():
    hashes = np.full(5_000, 12345, np.uint64)
    a, b = hamming_candidates(hashes)
    assert len(a) < 10_000
    assert len(set(component_labels(5_000, a, b))) == 1


def test_contraction_follows_any_key():
    content = np.array([b"a", b"b", b"a", b"c", b"d", b""], "S16")
    pixels = np.array([b"1", b"2", b"2", b"3", b"3", b""], "S16")
    valid = np.array([True] * 5 + [False])
    none = np.zeros(6, bool)
    assert contract_identical((content, valid), (pixels, valid)).tolist() == [0, 0, 0, 3, 3, 5]
    assert contract_identical((content, valid), (pixels, none)).tolist() == [0, 1, 0, 3, 4, 5]


def test_two_thousand_mutual_near_copies_are_one_community():
    rng = np.random.default_rng(3)
    x = around(rng, unit(rng, 1, 128)[0], 2_000, 0.2)
    assert (x @ x.T).min() > 0.9
    assert len(set(communities(complete(x, 0.9, 0.8), 0.9, 1))) == 1


def test_large_copies_group_with_a_fringe_is_not_shredded():
    rng = np.random.default_rng(4)
    center = unit(rng, 1, 128)[0]
    core, fringe = around(rng, center, 1_900, 0.05), around(rng, center, 100, 0.33)
    labels = communities(complete(np.concatenate([core, fringe]), 0.94, 0.84), 0.94, 1)
    assert len(set(labels[:1_900])) == 1
    similar = (fringe @ core.T).mean(axis=1)
    joined = labels[1_900:] == labels[0]
    assert joined[similar > 0.95].all()
    assert not joined[similar < 0.93].any()


def drifting_chain(n, step_degrees):
    angles = np.radians(step_degrees) * np.arange(n)
    return np.column_stack([np.cos(angles), np.sin(angles)])


def test_a_drifting_chain_is_cut():
    x = drifting_chain(12, 15)  # neighbors at cos 0.966, next but one at 0.866
    graph = complete(x, 0.94, 0.84)
    labels = communities(graph, 0.94, 7)
    assert len(set(labels)) >= 4
    for label in set(labels):
        inside = x[labels == label]
        assert (inside @ inside.T).mean() >= 0.9
    assert np.array_equal(labels, communities(graph, 0.94, 7))


@settings(max_examples=40, deadline=None)
@given(st.integers(2, 6), st.integers(0, 2**32 - 1), st.floats(0.2, 0.9))
def test_communities_reach_the_best_cpm_quality(n, seed, gamma):
    rng = np.random.default_rng(seed)
    x = around(rng, unit(rng, 1, 6)[0], n, 0.9)
    labels = communities(complete(x, gamma, 0.0), gamma, 5)
    gain = np.triu(x @ x.T - gamma, 1)

    def quality(assignment):
        assignment = np.asarray(assignment)
        return gain[assignment[:, None] == assignment].sum()

    def partitions(prefix):
        if len(prefix) == n:
            yield prefix
        else:
            for c in range(max(prefix, default=-1) + 2):
                yield from partitions([*prefix, c])

    best = max(quality(p) for p in partitions([]))
    # Leiden is a heuristic: no node may gain by moving alone; up to three nodes it is the optimum.
    if n <= 3:
        assert quality(labels) == pytest.approx(best)
    for node in range(n):
        for target in range(n + 1):
            moved = labels.copy()
            moved[node] = target
            assert quality(moved) <= quality(labels) + 1e-9
