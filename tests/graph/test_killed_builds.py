"""What a killed build leaves behind is cleaned up by the next one, and people may change one graph at a time."""

import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from zcurate.graph import journal, writing
from zcurate.graph.build import Sources, build
from zcurate.graph.errors import GraphError
from zcurate.graph.journal import Author
from zcurate.graph.store import Graph
from zcurate.graph.upkeep import NewConcept, add_concepts, set_weight

KILLED = """
import os, signal, sys
from pathlib import Path
from zcurate.graph import writing
from zcurate.graph.build import Sources, build
writing.write_edge_table = lambda *a: os.kill(os.getpid(), signal.SIGKILL)
build(Sources(lists=(Path(sys.argv[1]),)), sys.argv[2])
"""


@pytest.fixture
def links(tmp_path):
    path = tmp_path / "links.tsv"
    path.write_text("Cat\tMouse\nMouse\tCheese\nCheese\tCat\n", encoding="utf-8")
    return path


def hidden(folder):
    return sorted(p.name for p in folder.iterdir() if p.name.startswith(".kg."))


def test_half_a_build_is_removed_by_the_next_one(tmp_path, links):
    out = tmp_path / "kg"
    done = subprocess.run([sys.executable, "-c", KILLED, str(links), str(out)], check=False)
    assert done.returncode == -signal.SIGKILL
    assert not out.exists()
    assert len(hidden(tmp_path)) == 1
    other = tmp_path / ".kg.building-alive"
    other.mkdir()
    with writing._held(other):  # another build that goes on
        build(Sources(lists=(links,)), out)
    assert hidden(tmp_path) == [other.name]
    writing.clean_up(out)
    assert hidden(tmp_path) == []


def test_a_graph_that_lost_its_name_gets_it_back(tmp_path, links):
    out = tmp_path / "kg"
    graph = build(Sources(lists=(links,)), out)
    set_weight(graph, graph.resolve("Cat"), 3.0, Author("ann", "why not"))
    os.rename(out, tmp_path / ".kg.replaced-0123")  # killed between the two renames of an update
    again = build(Sources(lists=(links,)), out, update=True)
    assert again.version == 3
    assert again.weight[again.resolve("Cat")] == 3.0
    assert hidden(tmp_path) == []


def test_changes_by_many_at_once_all_stand(tmp_path, links):
    out = tmp_path / "kg"
    build(Sources(lists=(links,)), out)

    def change(i):
        set_weight(Graph.open(out), i % 3, float(i), Author(f"a{i}", "test"))

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(change, range(40)))
    events = journal.read(out / journal.CHANGES)
    assert [e["id"] for e in events] == list(range(1, 41))
    assert [e["version"] for e in events] == list(range(2, 42))
    assert len({e["author"] for e in events}) == 40


def test_concepts_of_two_people_do_not_take_each_others_numbers(tmp_path, links):
    out = tmp_path / "kg"
    build(Sources(lists=(links,)), out)
    one, two = Graph.open(out), Graph.open(out)
    assert (one.n, two.n) == (3, 3)
    add_concepts(one, [NewConcept("Labubu", "en", "a list")], Author("ann", "trend"))
    with pytest.raises(GraphError, match="changed meanwhile"):
        add_concepts(two, [NewConcept("Hanfu", "en", "a list")], Author("bo", "trend"))
    set_weight(two, 1, 2.0, Author("bo", "of a node that is where it was"))
    found = Graph.open(out)
    assert found.labels([3]) == ["Labubu"]
    assert np.isclose(found.weight[1], 2.0)
