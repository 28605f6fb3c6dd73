"""Communities of components: completion, merging, splitting and the batch that does many."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zcurate.curation.embedding.encoder import Mirror
from zcurate.curation.neighbors import complete as completing
from zcurate.curation.neighbors.cluster import cluster_components
from zcurate.curation.neighbors.community_kernels import best_partition
from zcurate.curation.neighbors.complete import MERGE_ABOVE, complete
from zcurate.curation.neighbors.components import component_labels, members_of
from zcurate.curation.neighbors.cpm import leiden_cpm
from zcurate.curation.neighbors.exact import Edges, knn_edges
from zcurate.curation.neighbors.leiden import communities, cpm_leidenalg
from zcurate.curation.neighbors.merging import balls, in_one_ball, leaders
from zcurate.curation.neighbors.split import bounded_components, capped_parts

TAU, FLOOR = 0.9, 0.8
MIRROR = Mirror(
    np.concatenate([np.arange(16), np.arange(24, 32), np.arange(16, 24)]), np.ones(32, np.float32)
)


def around(rng, centers, spread):
    """A unit vector at about `spread` (tangent of the angle) from each row."""
    x = centers + spread * rng.standard_normal(centers.shape) / np.sqrt(centers.shape[1])
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def copies(rng, n, spread, d=32):
    """Unit vectors around one random direction."""
    return around(rng, np.repeat(around(rng, np.zeros((1, d)), 1.0), n, 0), spread)


def partition(labels):
    """A partition as a set of sets of positions."""
    return {frozenset(m.tolist()) for m in members_of(np.asarray(labels))}


def quality(x, labels, tau=TAU):
    """What CPM maximizes, pair by pair."""
    gain = np.triu(np.round(x @ x.T, 6) - tau, 1)
    return gain[labels[:, None] == labels].sum()


def partitions(n):
    """Every partition of n things, as labels by first member."""
    out = [[0]] if n else [[]]
    for _ in range(n - 1):
        out = [[*p, c] for p in out for c in range(max(p) + 2)]
    return out


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 7), st.integers(0, 2**32 - 1))
def test_small_components_get_the_best_of_all_partitions(n, seed):
    rng = np.random.default_rng(seed)
    gain = rng.integers(-5, 6, (n, n)).astype(float)
    gain = np.triu(gain, 1) + np.triu(gain, 1).T
    out = np.empty(n, np.int64)
    best_partition(gain, out)

    def value(labels):
        labels = np.asarray(labels)
        return np.triu(gain, 1)[labels[:, None] == labels].sum()

    assert value(out) == max(value(p) for p in partitions(n))
    assert out.tolist() in partitions(n)  # numbered by first member


def test_a_pair_exactly_at_the_threshold_is_together():
    x = np.array([[1, 0], [0.94, np.sqrt(1 - 0.94**2)]])
    assert cluster_components(x, [0, 2], [1], 0.94, 0.84).tolist() == [0, 0]
    assert communities(complete(x, 0.94, 0.84), 0.94, 1).tolist() == [0, 0]
    assert cluster_components(x, [0, 2], [1], 0.940001, 0.84).tolist() == [0, 1]


@pytest.mark.parametrize("n", [150, 2_000])
def test_mutual_copies_fall_apart_on_their_lists_and_are_one_when_completed(n):
    x = copies(np.random.default_rng(5), n, 0.2, 128)
    assert (x @ x.T).min() > TAU
    edges = knn_edges(x.astype(np.float32), 100, TAU)
    assert len(set(component_labels(n, edges.src, edges.dst))) == 1
    on_lists = leiden_cpm(n, edges.src, edges.dst, edges.cos.astype(float), np.ones(n, int), TAU, 1)
    assert len(set(on_lists)) > 1
    assert set(communities(complete(x, TAU, FLOOR), TAU, 1)) == {0}
    assert set(cluster_components(x, [0, n], [1], TAU, FLOOR)) == {0}


@pytest.mark.parametrize("n", [40, 400])
def test_a_drifting_chain_is_cut_into_runs(n):
    angles = np.radians(8) * (np.arange(n) % 40)  # ten copies of each picture where there are 400
    x = np.column_stack([np.cos(angles), np.sin(angles)])
    labels = communities(complete(x, TAU, FLOOR), TAU, 3)
    assert len(set(labels)) >= 5
    for community in members_of(labels):
        assert (x[community] @ x[community].T).mean() >= TAU


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 60), st.integers(0, 2**32 - 1), st.booleans())
def test_the_batch_does_not_matter_and_scaling_neither(n, seed, mirrored):
    rng = np.random.default_rng(seed)
    mirror = MIRROR if mirrored else None
    sizes = rng.integers(1, 25, n)
    offsets = np.concatenate([[0], np.cumsum(sizes)])
    x = np.concatenate([copies(rng, m, rng.choice([0.1, 0.35, 0.5])) for m in sizes])
    if mirrored:
        turned = rng.random(len(x)) < 0.5
        x[turned] = MIRROR.apply(x[turned])
    x = x.astype(np.float32)
    seeds = rng.integers(0, 2**63, n).astype(np.uint64)
    together = cluster_components(x, offsets, seeds, TAU, FLOOR, mirror)
    for i in rng.integers(0, n, 5):
        rows = slice(offsets[i], offsets[i + 1])
        alone = cluster_components(
            x[rows] * np.float32(4), [0, sizes[i]], seeds[i : i + 1], TAU, FLOOR, mirror
        )
        assert np.array_equal(together[rows], alone)
        unit = x[rows].astype(float)
        unit /= np.linalg.norm(unit, axis=1, keepdims=True)
        same = communities(complete(unit, TAU, FLOOR, mirror), TAU, int(seeds[i]))
        assert np.array_equal(together[rows], same)
        assert len(set(alone)) == alone.max() + 1
        assert (np.diff(np.unique(alone, return_index=True)[1]) > 0).all()


def test_batches_that_make_no_sense_are_refused():
    x = np.ones((4, 3), np.float32)
    for offsets, seeds, named in (
        ([0, 3], [1], "offsets"),
        ([0, 0, 4], [1, 1], "offsets"),
        ([0, 4], [], "seeds"),
    ):
        with pytest.raises(ValueError, match=named):
            cluster_components(x, offsets, seeds, TAU, FLOOR)
    with pytest.raises(ValueError, match="float16"):
        cluster_components(x.astype(np.float16), [0, 4], [1], TAU, FLOOR)
    assert len(cluster_components(x[:0], [0], [], TAU, FLOOR)) == 0


@pytest.mark.parametrize("tau", [0.5, 0.94, 1.0])
@pytest.mark.parametrize("n", [2, 11, 13, 300, 4_000])
def test_identical_vectors_are_one_community(n, tau):
    x = np.repeat(copies(np.random.default_rng(8), 1, 0.1), n, 0)
    assert set(cluster_components(x, [0, n], [1], tau, tau - 0.1)) == {0}
    zero = cluster_components(np.zeros((n, 4)), [0, n], [1], tau, tau - 0.1)
    assert len(set(zero)) == n  # a zero vector is near to nothing


def test_a_hundred_thousand_near_copies_are_one_node():
    x = np.repeat(copies(np.random.default_rng(9), 1, 0.1, 16), 100_000, 0)
    x = around(np.random.default_rng(10), x, 0.01)
    graph = complete(x, 0.94, 0.84)
    assert graph.sizes.tolist() == [100_000]
    # with strangers among them the mean is no help, and leaders merge
    some = np.concatenate([x[:60_000], np.eye(16)[:5], x[60_000:]])
    labels = communities(complete(some, 0.94, 0.84), 0.94, 1)
    assert np.bincount(labels).max() == 100_000


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from([0.5, 0.8, 0.94, 0.99]), st.booleans())
def test_merged_members_are_never_below_the_threshold(seed, tau, mirrored):
    rng = np.random.default_rng(seed)
    angle = np.arccos(tau)
    x = np.concatenate([copies(rng, 60, angle * share) for share in (0.1, 0.25, 0.4, 0.55)])
    if mirrored:
        turned = rng.random(len(x)) < 0.5
        x[turned] = MIRROR.apply(x[turned])
    even, odd = (np.ascontiguousarray(h) for h in completing.halves(x, MIRROR if mirrored else None))
    similar = np.round(np.maximum(x @ x.T, x @ MIRROR.apply(x).T) if mirrored else x @ x.T, 6)
    node_of, facing = leaders(even, odd, tau)
    turned_alike = even @ even.T + (odd * facing[:, None]) @ (odd * facing[:, None]).T
    for node in members_of(node_of):
        assert similar[np.ix_(node, node)].min() >= round(np.sqrt((1 + tau) / 2), 6)
        assert turned_alike[np.ix_(node, node)].min() >= np.sqrt((1 + tau) / 2) - 1e-9
    assert (np.diff(np.unique(node_of, return_index=True)[1]) > 0).all()  # numbered by first member
    coarse, _ = balls(even, odd, tau, node_of, facing)
    assert coarse.max() <= node_of.max()
    for node in members_of(coarse):
        assert similar[np.ix_(node, node)].min() >= tau
    if in_one_ball(even, odd, tau):
        assert similar.min() >= tau


@settings(max_examples=20, deadline=None)
@given(st.integers(13, 80), st.integers(0, 2**32 - 1))
def test_compiled_leiden_is_stable_and_as_good_as_leidenalg(n, seed):
    rng = np.random.default_rng(seed)
    x = copies(rng, n, 0.345)
    g = complete(x, TAU, FLOOR)
    arguments = (n, g.src, g.dst, g.weight, g.sizes, TAU, seed)
    ours, theirs = leiden_cpm(*arguments), cpm_leidenalg(*arguments)
    assert quality(x, ours) >= 0.95 * quality(x, theirs) - 1e-6
    assert np.array_equal(ours, leiden_cpm(*arguments))
    for node, target in itertools.product(range(n), set(ours) | {n}):
        moved = ours.copy()
        moved[node] = target
        assert quality(x, moved) <= quality(x, ours) + 1e-6


def test_pairs_do_not_depend_on_the_blocks(monkeypatch):
    x = around(np.random.default_rng(12), copies(np.random.default_rng(11), 700, 0.3, 48), 0.1)
    whole = complete(x, TAU, FLOOR)
    monkeypatch.setattr(completing, "_CELLS", 3_000)
    blocks = complete(x, TAU, FLOOR)
    monkeypatch.setattr(completing, "tolerance_of", lambda dim, bits=52: 1.0)  # every dot product done again
    again = complete(x, TAU, FLOOR)
    for other in (blocks, again):
        for name in ("node_of", "sizes", "src", "dst", "weight"):
            assert np.array_equal(getattr(whole, name), getattr(other, name))
    assert np.array_equal(np.round(whole.mean(), 6), whole.mean())


def test_large_components_take_the_sparse_way_and_group_alike(monkeypatch):
    rng = np.random.default_rng(14)
    centers = around(rng, np.repeat(np.eye(64)[:1], 12, 0), 0.5)
    truth = np.repeat(np.arange(12), 40)
    x = around(rng, centers[truth], 0.2)
    assert len(x) > MERGE_ABOVE
    dense = communities(complete(x, TAU, FLOOR), TAU, 1)
    assert partition(dense) == partition(truth)
    monkeypatch.setattr(completing, "DENSE_LIMIT", 20)
    sparse = complete(x, TAU, FLOOR)
    assert not sparse.all_pairs
    assert partition(communities(sparse, TAU, 1)) == partition(truth)
    monkeypatch.setattr(completing, "MAX_PAIRS", 3_000)
    crowded = complete(x, TAU, FLOOR)  # balls
    assert len(crowded.sizes) < len(sparse.sizes)
    assert partition(communities(crowded, TAU, 1)) == partition(truth)
    monkeypatch.setattr(completing, "balls", lambda even, odd, tau, node_of, facing: (node_of, facing))
    split = complete(x, TAU, FLOOR)  # parts of at most 2 * 3,000 / 480 nodes
    assert len(split.src) <= 3_000
    parts = component_labels(len(split.sizes), split.src, split.dst)
    assert np.bincount(parts).max() <= 12
    for community in members_of(communities(split, TAU, 1)):
        assert len(set(truth[community])) == 1


@settings(max_examples=60, deadline=None)
@given(st.integers(2, 40), st.integers(1, 12), st.integers(0, 2**32 - 1))
def test_parts_are_connected_bounded_and_follow_the_strongest_edges(n, limit, seed):
    rng = np.random.default_rng(seed)
    src, dst = rng.integers(0, n, 3 * n), rng.integers(0, n, 3 * n)
    keep = src < dst
    src, dst = src[keep], dst[keep]
    cos = np.round(rng.uniform(0.9, 1, len(src)), 2).astype(np.float32)
    parts = capped_parts(n, src, dst, cos, limit)
    assert np.bincount(parts).max() <= limit
    inside = parts[src] == parts[dst]
    assert np.array_equal(component_labels(n, src[inside], dst[inside]), parts)
    # the rule, naively
    group = {i: {i} for i in range(n)}
    for _, a, b in sorted(zip(-cos.astype(float), src, dst, strict=True)):
        if group[a] is not group[b] and len(group[a]) + len(group[b]) <= limit:
            group[a] |= group[b]
            for i in group[a]:
                group[i] = group[a]
    assert parts.tolist() == [min(group[i]) for i in range(n)]
    shuffle = rng.permutation(len(src))
    assert np.array_equal(parts, capped_parts(n, src[shuffle], dst[shuffle], cos[shuffle], limit))


def test_an_oversized_component_is_split_where_it_is_thin_but_copies_stay_together():
    rng = np.random.default_rng(15)
    ring = np.radians(12) * np.arange(30)
    x = np.column_stack([np.cos(ring), np.sin(ring)])  # 30 pictures in a ring, neighbors at 0.978
    crowd = around(rng, np.repeat(x[:1], 500, 0), 0.005)  # and 500 copies of the first
    edges = knn_edges(np.concatenate([x, crowd]).astype(np.float32), 20, 0.5)
    plain = component_labels(530, *(getattr(edges.above(0.95), f) for f in ("src", "dst")))
    assert set(plain) == {0}
    assert np.array_equal(bounded_components(530, edges, 0.95), plain)
    assert np.array_equal(bounded_components(530, edges, 0.95, limit=529), plain)
    labels = bounded_components(530, edges, 0.95, limit=60)
    assert len(set(labels[30:])) <= 2  # lists of 20 leave some 25 leaders among the copies
    tight = bounded_components(530, edges, 0.95, limit=10)
    assert len(set(tight)) > 3
    strong = edges.above(0.95)
    inside = tight[strong.src] == tight[strong.dst]
    assert np.array_equal(component_labels(530, strong.src[inside], strong.dst[inside]), tight)
    with pytest.raises(ValueError, match="limit"):
        capped_parts(2, np.array([0]), np.array([1]), np.array([1.0]), 0)


def test_components_of_any_other_edges_are_left_alone():
    edges = Edges(np.array([0, 3]), np.array([1, 4]), np.array([0.95, 0.85], np.float32))
    assert bounded_components(5, edges, 0.9, limit=1).tolist() == [0, 1, 2, 3, 4]
    assert bounded_components(5, edges, 0.9, limit=2).tolist() == [0, 0, 2, 3, 4]
    none = np.zeros(0, np.int64)
    assert bounded_components(0, Edges(none, none, none.astype(np.float32)), 0.9).tolist() == []
