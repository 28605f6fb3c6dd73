"""PageRank against NetworkX; category graphs made acyclic and shallow."""

import networkx as nx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zcurate.graph import csr
from zcurate.graph.categories import is_acyclic, taxonomy
from zcurate.graph.errors import GraphError
from zcurate.graph.pagerank import pagerank


@st.composite
def graphs(draw, most=30):
    n = draw(st.integers(1, most))
    edge = st.tuples(st.integers(0, n - 1), st.integers(0, n - 1))
    pairs = draw(st.lists(edge, max_size=4 * n))
    return n, np.array(pairs, np.int64).reshape(-1, 2)


def as_networkx(n, pairs):
    g = nx.DiGraph()
    g.add_nodes_from(range(n))
    g.add_edges_from(map(tuple, np.asarray(pairs).tolist()))
    return g


@given(graphs(), st.floats(0.1, 0.95))
@settings(max_examples=100, deadline=None)
def test_equal_to_networkx(graph, damping):
    n, pairs = graph
    edges = csr.from_pairs(pairs[:, 0], pairs[:, 1], n)
    found = pagerank(*edges, damping=damping, tolerance=1e-12)
    theirs = nx.pagerank(as_networkx(n, pairs), alpha=damping, tol=1e-15, max_iter=5000)
    assert np.abs(found.scores - [theirs[i] for i in range(n)]).max() < 1e-10
    assert found.scores.sum() == pytest.approx(1)
    assert found.change < 1e-12


def planted(n=3000, edges=40_000, seed=5):
    rng = np.random.default_rng(seed)
    s = rng.integers(0, n // 2, edges)  # half of the nodes have no links: dangling
    near = s // 100 * 100 + rng.integers(0, 100, edges)
    return s, np.where(rng.random(edges) < 0.95, near, rng.integers(0, n, edges))


def test_slow_mixing_graph_and_threads():
    s, t = planted()
    edges = csr.from_pairs(s, t, 3000)
    one, two = pagerank(*edges, threads=1), pagerank(*edges, threads=2)
    assert np.array_equal(one.scores, two.scores)  # bit for bit
    assert one.iterations == two.iterations
    theirs = nx.pagerank(as_networkx(3000, np.stack([s, t], 1)), tol=1e-14, max_iter=5000)
    assert np.abs(one.scores - [theirs[i] for i in range(3000)]).max() < 1e-9


def test_nodes_that_take_no_part_change_nothing():
    s, t = planted(400, 4000)
    alone = pagerank(*csr.from_pairs(s, t, 400))
    more = np.arange(500)
    members = more % 5 != 4  # every fifth node takes no part
    number = np.flatnonzero(members)
    some = pagerank(*csr.from_pairs(number[s], number[t], 500), members)
    assert np.abs(some.scores[members] - alone.scores).max() < 1e-12
    assert not some.scores[~members].any()


def test_wrong_parameters():
    edges = csr.from_pairs(np.array([0]), np.array([1]), 2)
    for damping, tolerance in ((0, 1e-9), (1, 1e-9), (0.85, 0)):
        with pytest.raises(GraphError):
            pagerank(*edges, damping=damping, tolerance=tolerance)
    with pytest.raises(GraphError, match="outside"):
        csr.from_pairs(np.array([0]), np.array([2]), 2)


@given(graphs())
@settings(deadline=None)
def test_csr_holds_the_distinct_pairs(graph):
    n, pairs = graph
    edges = csr.from_pairs(pairs[:, 0], pairs[:, 1], n)
    expected = sorted(set(map(tuple, pairs.tolist())))
    assert list(zip(*(a.tolist() for a in csr.pairs(*edges)), strict=True)) == expected
    back = csr.transpose(*csr.transpose(*edges))
    assert all(np.array_equal(a, b) for a, b in zip(edges, back, strict=True))


@given(graphs(), st.integers(1, 5))
@settings(max_examples=300, deadline=None)
def test_taxonomy(graph, cap):
    n, pairs = graph
    tree = taxonomy(*csr.from_pairs(pairs[:, 0], pairs[:, 1], n), cap)
    before, after = as_networkx(n, pairs), as_networkx(n, np.stack(csr.pairs(*tree.csr), 1))
    assert nx.is_directed_acyclic_graph(after)
    assert is_acyclic(*tree.csr)
    assert nx.dag_longest_path_length(after) == tree.depth <= cap
    assert is_acyclic(*csr.from_pairs(pairs[:, 0], pairs[:, 1], n)) == nx.is_directed_acyclic_graph(before)
    # Whatever is above a node now was above it before, if further away.
    assert all(nx.has_path(before, child, parent) for child, parent in after.edges)
    if nx.is_directed_acyclic_graph(before) and nx.dag_longest_path_length(before) <= cap:
        assert set(after.edges) == set(before.edges)
    # A node loses all its parents only where its cycle has nothing above it, and then one node of it does.
    components = nx.condensation(before)
    for c in components:
        members = components.nodes[c]["members"]
        orphans = [v for v in members if after.out_degree(v) == 0 and before.out_degree(v) > 0]
        entered = components.out_degree(c) > 0
        if len(members) > 1 or before.has_edge(*[next(iter(members))] * 2):
            assert len(orphans) <= (0 if entered else 1)
        else:
            assert not orphans


def test_deep_nodes_hang_on_their_ancestor_under_the_cap():
    chain = np.arange(9)
    tree = taxonomy(*csr.from_pairs(chain + 1, chain, 10), 3)
    assert sorted(zip(*(a.tolist() for a in csr.pairs(*tree.csr)), strict=True)) == [
        (1, 0),
        (2, 1),
        *((v, 2) for v in range(3, 10)),
    ]
    assert (tree.depth, tree.lifted, tree.sideways_edges) == (3, 6, 0)
