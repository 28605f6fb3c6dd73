"""The hierarchy of communities, its engines, medoids, and the rules that communities are compared with."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zcurate.curation.neighbors.components import component_labels, members_of
from zcurate.curation.neighbors.exact import Edges, knn_edges, undirected
from zcurate.curation.neighbors.hierarchy import community_path, connected, ladder, modularity
from zcurate.curation.neighbors.leiden import modularity_igraph
from zcurate.curation.neighbors.medoids import medoids
from zcurate.curation.neighbors.methods import RULES
from zcurate.curation.neighbors.vectors import inverse_norms, pair_cosines

ENGINES = ("networkit", "leidenalg")
NONE = Edges(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0, np.float32))


def random_edges(rng, n, m):
    return undirected(rng.integers(0, n, m), rng.integers(0, n, m), rng.uniform(0.05, 1, m))


def partition(labels):
    return {frozenset(m.tolist()) for m in members_of(np.asarray(labels))}


def tree(seed, d=24):
    """500 vectors: five clusters, each of five groups of 20; and their (cluster, group) numbers."""
    rng = np.random.default_rng(seed)
    clusters = np.repeat(np.eye(d)[:5] * 3, 5, axis=0)
    groups = np.repeat(clusters + 0.25 * rng.standard_normal((25, d)), 20, axis=0)
    x = groups + 0.08 * rng.standard_normal((500, d))
    return x.astype(np.float32), np.arange(500) // 100, np.arange(500) // 20


@settings(max_examples=30, deadline=None)
@given(
    st.integers(1, 60),
    st.integers(0, 150),
    st.sampled_from(ENGINES),
    st.lists(st.sampled_from([0.3, 1.0, 5.0, 30.0]), min_size=1, max_size=4),
    st.integers(1, 10),
    st.integers(0, 2**31 - 1),
)
def test_levels_are_nested_connected_and_repeatable(n, m, engine, resolutions, min_size, seed):
    edges = random_edges(np.random.default_rng(seed), n, m)
    path = community_path(edges, n, engine, resolutions, seed, min_size)
    assert path.shape == (n, len(resolutions))
    assert path.dtype == np.int32
    assert np.array_equal(path, community_path(edges, n, engine, resolutions, seed, min_size))
    alone = np.bincount(np.concatenate([edges.src, edges.dst]), minlength=n) == 0
    for level, labels in enumerate(path.T):
        inside = labels[edges.src] == labels[edges.dst]
        parts = component_labels(n, edges.src[inside], edges.dst[inside])
        assert partition(parts) == partition(labels)
        assert (np.diff(np.unique(labels, return_index=True)[1]) > 0).all()
        assert all(np.count_nonzero(labels == labels[i]) == 1 for i in np.flatnonzero(alone))
        if level:
            for community in members_of(path[:, level - 1]):
                fine = path[community, level]
                assert np.isin(labels, fine).sum() == len(community)
                if len(community) < min_size:
                    assert len(set(fine)) == 1


@pytest.mark.parametrize("engine", ENGINES)
def test_planted_levels_are_found_whatever_the_order_of_the_rows(engine):
    x, cluster, group = tree(1)
    edges = knn_edges(x, 19, 0.0)
    path = community_path(edges, 500, engine, (0.5, 2.0), 3)
    assert partition(path[:, 1]) == partition(group)
    assert all(len(set(cluster[m])) == 1 for m in members_of(path[:, 0]))
    # the same graph under other numbers: the same communities, as these are clear
    order = np.random.default_rng(2).permutation(500)
    name = np.argsort(order)
    moved = community_path(
        undirected(name[edges.src], name[edges.dst], edges.cos), 500, engine, (0.5, 2.0), 3
    )
    assert partition(moved[name][:, 1]) == partition(path[:, 1])


def test_engines_agree_on_modularity_and_on_planted_cliques():
    pairs = [(a, b) for c in range(8) for a in range(c * 6, c * 6 + 6) for b in range(a + 1, c * 6 + 6)]
    pairs += [(c * 6, (c * 6 + 6) % 48) for c in range(8)]
    edges = undirected(*np.array(pairs).T, np.full(len(pairs), 0.9))
    planted = np.arange(48) // 6
    for engine in ENGINES:
        assert partition(community_path(edges, 48, engine, (1.0,))[:, 0]) == partition(planted)
    assert partition(modularity_igraph(edges, 48, 1.0, 1)) == partition(planted)
    assert np.array_equal(modularity_igraph(edges, 48, 1.0, 1), modularity_igraph(edges, 48, 1.0, 1))
    import networkx as nx

    graph = nx.Graph()
    graph.add_weighted_edges_from(
        zip(edges.src.tolist(), edges.dst.tolist(), edges.cos.tolist(), strict=True)
    )
    expected = nx.community.modularity(graph, partition(planted))
    assert modularity(edges, planted, 48) == pytest.approx(expected, abs=1e-6)
    assert modularity(NONE, np.arange(3), 3) == 0.0


def test_disconnected_communities_are_cut_and_counted():
    edges = undirected([0, 2, 4], [1, 3, 5], [0.5, 0.5, 0.5])
    labels, cut = connected(np.array([0, 0, 0, 0, 1, 1]), edges, 6)
    assert (labels.tolist(), cut) == ([0, 0, 1, 1, 2, 2], 1)


def test_an_engine_that_returns_disconnected_communities_is_mended(monkeypatch):
    from zcurate.curation.neighbors import hierarchy

    everything = lambda edges, n, resolution, seed: np.zeros(n, np.int64)  # noqa: E731
    monkeypatch.setattr(hierarchy, "engine_of", lambda engine: everything)
    edges = undirected([0, 2], [1, 3], [0.5, 0.5])
    assert community_path(edges, 5, resolutions=(1.0, 2.0)).tolist() == [
        [0, 0],
        [0, 0],
        [1, 1],
        [1, 1],
        [2, 2],
    ]


def test_levels_of_next_to_nothing():
    for engine in ENGINES:
        assert community_path(NONE, 0, engine, (1.0, 2.0)).shape == (0, 2)
        assert community_path(NONE, 3, engine, (1.0,)).tolist() == [[0], [1], [2]]
        negative = Edges(np.array([0]), np.array([1]), np.array([-0.5], np.float32))
        assert community_path(negative, 2, engine, (1.0,)).tolist() == [[0], [1]]
    assert ladder(0) == ladder(250) == (1.0,)
    assert ladder(1_000) == (1.0, 10.0)
    assert ladder(2_000_000) == (1.0, 10.0, 100.0, 1_000.0, 10_000.0)
    for wrong in (
        {"resolutions": ()},
        {"resolutions": (0.0,)},
        {"resolutions": (float("nan"),)},
        {"engine": "x"},
    ):
        with pytest.raises(ValueError, match=r"resolutions|engine"):
            community_path(NONE, 3, **wrong)
    with pytest.raises(ValueError, match=r"nodes 0\.\.1"):
        community_path(undirected([0], [2], [0.5]), 2)


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 50), st.integers(1, 8), st.integers(0, 2**32 - 1), st.integers(2, 20))
def test_medoids_equal_naive(n, c, seed, step):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((n, 6)).astype(np.float32)
    _, labels = np.unique(rng.integers(0, c, n), return_inverse=True)
    from zcurate.curation.neighbors import medoids as module

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_STEP", step)  # communities larger and smaller than a step
        found = medoids(x, inverse_norms(x), labels)
    unit = x.astype(float) / np.linalg.norm(x.astype(float), axis=1, keepdims=True)
    for number, members in enumerate(members_of(labels)):
        near = unit[members] @ unit[members].sum(axis=0)
        assert found.size[number] == len(members)
        assert near[members == found.medoid[number]] == pytest.approx(near.max())
        assert found.mean_cos[number] == pytest.approx(
            (unit[members] @ unit[found.medoid[number]]).mean(), abs=1e-6
        )


def test_medoid_of_zero_and_identical_vectors():
    x = np.array([[0, 0], [0, 0], [3, 0], [3, 0], [3, 0]], np.float16)
    found = medoids(x, inverse_norms(x), np.array([0, 0, 1, 1, 1]))
    assert found.medoid.tolist() == [0, 2]
    assert found.mean_cos.tolist() == [0.5, 1.0]


def chain(n, degrees):
    angles = np.radians(degrees) * np.arange(n)
    return np.column_stack([np.cos(angles), np.sin(angles)]).astype(np.float32)


def test_plain_components_drop_the_far_end_of_a_chain():
    x = chain(8, 10)
    edges = knn_edges(x, 7, 0.5)
    rank = np.array([3, 1, 2, 0, 4, 5, 6, 7])
    keeper_of, sim = RULES["components"](x, inverse_norms(x), edges, rank, 0.98)
    assert keeper_of.tolist() == [3] * 8
    assert np.allclose(sim, pair_cosines(x, np.arange(8), np.full(8, 3)), atol=1e-6)
    assert sim.min() < 0.98
    apart, _ = RULES["components"](x, inverse_norms(x), edges, rank, 0.99)
    assert apart.tolist() == list(range(8))


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 60), st.integers(0, 2**32 - 1))
def test_semdedup_follows_its_rule_in_one_cluster(n, seed):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((n, 3)).astype(np.float32)
    inverse = inverse_norms(x)
    keeper_of, sim = RULES["semdedup"](x, inverse, NONE, np.arange(n), 0.9)
    unit = x * inverse[:, None]
    center = unit.mean(axis=0)
    order = np.argsort(unit @ center, kind="stable")  # farthest from the centroid first
    cos = np.triu(unit[order] @ unit[order].T, 1)
    kept = np.empty(n, bool)
    kept[order] = cos.max(axis=0) <= 0.9
    assert np.array_equal(keeper_of == np.arange(n), kept)
    assert kept[keeper_of].all()
    assert np.allclose(sim, pair_cosines(x, np.arange(n), keeper_of), atol=1e-6)


def test_semdedup_misses_copies_across_cells_and_drops_along_chains(monkeypatch):
    from zcurate.curation.neighbors import methods

    x = chain(12, 10)
    chained, sim = RULES["semdedup"](x, inverse_norms(x), NONE, np.arange(12), 0.98)
    assert (chained != np.arange(12)).sum() >= 8
    assert sim.min() < 0.98
    monkeypatch.setattr(methods, "ROWS_PER_CLUSTER", 2)
    celled, _ = RULES["semdedup"](x, inverse_norms(x), NONE, np.arange(12), 0.98)
    assert (celled == np.arange(12)).sum() > (chained == np.arange(12)).sum()


@pytest.mark.parametrize("rule", list(RULES))
def test_rules_on_next_to_nothing_and_on_identical_rows(rule):
    one = np.ones((1, 4), np.float32)
    assert RULES[rule](one, inverse_norms(one), NONE, np.arange(1), 0.9)[0].tolist() == [0]
    assert len(RULES[rule](one[:0], inverse_norms(one[:0]), NONE, np.arange(0), 0.9)[0]) == 0
    same = np.ones((1_600, 4), np.float32)
    edges = knn_edges(same, 10, 0.5)
    keeper_of, sim = RULES[rule](same, inverse_norms(same), edges, np.arange(1_600)[::-1].copy(), 0.9)
    assert len(set(keeper_of)) <= 2  # SemDeDup: one per cluster
    assert np.allclose(sim, 1)
