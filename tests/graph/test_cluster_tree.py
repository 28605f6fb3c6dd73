"""The taxonomy of new concepts."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zcurate.graph.cluster_tree import (
    MEDOID,
    Settings,
    attach,
    build_tree,
    name_parents,
    ngram_vectors,
    upgrade,
)
from zcurate.graph.journal import Author
from zcurate.graph.store import ALIASES, NODES, Graph
from zcurate.graph.writing import write_graph

AUTHOR = Author("tester", "a test")


class First:
    """A namer that calls a parent after the first of its children, and gives up on some."""

    identity = "first-child"

    def name(self, children):
        return "" if children[0].startswith("b") else f"kind of {children[0]}"


def clouds(groups=6, size=30, dim=16, seed=0):
    rng = np.random.default_rng(seed)
    centers = rng.standard_normal((groups, dim))
    x = np.repeat(centers, size, axis=0) + 0.05 * rng.standard_normal((groups * size, dim))
    return [f"{'abcdefgh'[i // size]}{i:03}" for i in range(len(x))], x


def reached(tree):
    """Leaves that a walk from the roots comes to."""
    todo, seen = np.flatnonzero(tree.parent < 0).tolist(), set()
    while todo:
        v = todo.pop()
        assert v not in seen
        seen.add(v)
        todo += tree.children(v)
    return {v for v in seen if v < tree.n_leaves}


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 90), st.integers(0, 5), st.integers(2, 20))
def test_every_leaf_is_reached_once_and_no_parent_is_crowded(n, seed, most):
    x = np.random.default_rng(seed).standard_normal((n, 5))
    tree = build_tree([f"t{i}" for i in range(n)], x, Settings(max_children=most, seed=seed))
    assert reached(tree) == set(range(n))
    assert ((tree.parent > np.arange(len(tree.parent))) | (tree.parent < 0)).all()
    report = tree.report()
    assert report["leaves"] == n
    assert report["fan_out_max"] <= most
    assert report["parents"] == len(tree.parent) - n


def test_groups_are_found_and_runs_agree():
    names, x = clouds()
    tree = build_tree(names, x, Settings(levels=(12, 3), seed=1))
    for v in range(len(names), len(tree.parent)):
        if tree.level[v] == 1:
            assert len({names[c][0] for c in tree.children(v)}) == 1
            assert tree.names[v][0] == names[tree.children(v)[0]][0]
    again = build_tree(names, x, Settings(levels=(12, 3), seed=1))
    np.testing.assert_array_equal(again.parent, tree.parent)
    assert again.names == tree.names
    assert tree.report()["depth"] == 2
    assert set(tree.named_by[len(names) :]) == {MEDOID}


def test_resampling_spreads_centroids():
    """One cloud a hundred times as dense as four others: rounds on the closest points give the others their own."""
    rng = np.random.default_rng(3)
    sizes = [800, 8, 8, 8, 8]
    x = np.concatenate([np.eye(5)[i] + 0.08 * rng.standard_normal((k, 5)) for i, k in enumerate(sizes)])
    truth = np.repeat(np.arange(5), sizes)

    def clusters_in_dense(rounds):
        total = 0
        for seed in range(5):
            tree = build_tree(
                [str(i) for i in range(len(x))], x, Settings((10,), rounds, max_children=10**6, seed=seed)
            )
            total += len(set(tree.parent[: len(x)][truth == 0].tolist()))
        return total

    assert clusters_in_dense(6) <= clusters_in_dense(0)


def test_namer_and_its_gaps():
    names, x = clouds(3, 10)
    tree = build_tree(names, x, Settings(levels=(3,)), namer=First())
    how = dict(zip(tree.names[30:], tree.named_by[30:], strict=True))
    assert sorted(how.values()) == ["first-child", "first-child", MEDOID]
    assert name_parents(tree, First()).names == tree.names


def graph_at(path) -> Graph:
    nodes = pa.table(
        {
            name: pa.array(
                [
                    {"name": "Thing", "lang": "en", "kind": "article", "pagerank": 1.0, "origin": "test"}.get(
                        name
                    )
                ],
                NODES.field(name).type,
            )
            for name in NODES.names
        }
    )
    row = {"folded": "thing", "text": "Thing", "lang": "en", "node": 0, "source": "title"}
    return write_graph(path, nodes, pa.Table.from_pylist([row], ALIASES), {}, ["en"], [], {"nodes": 1})


def test_attached_to_a_graph_and_renamed_in_place(tmp_path):
    names, x = clouds(4, 10)
    tree = build_tree(names, x, Settings(levels=(4, 2)))
    graph = graph_at(tmp_path / "g")
    nodes = attach(graph, tree, AUTHOR, under=0)
    graph = Graph.open(tmp_path / "g")
    assert graph.n == 1 + len(tree.parent)
    for v, node in enumerate(nodes):
        up = int(tree.parent[v])
        assert graph.parents(node) == [nodes[up] if up >= 0 else 0]
    assert graph.labels([nodes[0]]) == [names[0]]
    inner = len(names)
    assert graph.nodes["origin"][nodes[inner]].as_py() == "captions, named by medoid"
    # the parent named by a tag does not take the tag's name away
    medoid = int(tree.medoid[inner])
    assert graph.find(names[medoid]) == [nodes[medoid]]
    named = upgrade(graph, tree, nodes, First(), AUTHOR)
    graph = Graph.open(tmp_path / "g")
    renamed = [v for v in range(inner, len(tree.parent)) if named.named_by[v] == "first-child"]
    assert renamed
    assert graph.labels([nodes[v] for v in renamed]) == [named.names[v] for v in renamed]
    assert graph.parents(nodes[0]) == [nodes[int(tree.parent[0])]]


def test_ngrams_know_spelling():
    a, b, c = ngram_vectors(["red car", "blue car", "zebra"])
    assert a @ b > a @ c + 0.2
    assert np.linalg.norm(a) == pytest.approx(1, abs=1e-5)


def test_wrong_input():
    with pytest.raises(ValueError, match="levels"):
        Settings(levels=(3, 5))
    with pytest.raises(ValueError, match="finite"):
        build_tree(["a"], np.array([[np.nan]]))
    with pytest.raises(ValueError, match="finite"):
        build_tree(["a", "b"], np.zeros((1, 3)))
