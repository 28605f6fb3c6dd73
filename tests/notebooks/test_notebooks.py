"""The notebooks run from top to bottom, and what is saved in them came from such a run."""

import re
import tempfile
from pathlib import Path

import nbformat
import pytest

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))


def printed(notebook):
    """Everything that the cells of a notebook print."""
    cells = [c for c in notebook.cells if c.cell_type == "code"]
    return "".join(
        o.text for c in cells for o in c.outputs if o.output_type == "stream" and o.name == "stdout"
    )


@pytest.fixture
def execute(monkeypatch):
    """Run a notebook by its name in folders of its own; what it printed."""
    from nbclient import NotebookClient

    def call(name):
        notebook = nbformat.read(ROOT / "notebooks" / f"{name}.ipynb", as_version=4)
        with tempfile.TemporaryDirectory(prefix="nb") as folder:  # a short path: Ray's sockets lie in it
            monkeypatch.setenv("TMPDIR", folder)
            NotebookClient(notebook, timeout=240, kernel_name="python3").execute()
        left = {p.name for p in (ROOT / "notebooks").iterdir()} - {".ipynb_checkpoints"}
        assert left == {p.name for p in NOTEBOOKS}, "a notebook writes into its own folder"
        return printed(notebook)

    return call


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_saved_outputs_are_whole_and_of_no_machine(path):
    assert path.stat().st_size < 1_000_000
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    counts = [c.execution_count for c in notebook.cells if c.cell_type == "code"]
    assert counts == list(range(1, len(counts) + 1)), "saved without being run from top to bottom"
    outputs = [o for c in notebook.cells for o in c.get("outputs", ())]
    assert all(o.output_type != "error" for o in outputs)
    assert not any(o.output_type == "stream" and o.name == "stderr" for o in outputs)
    text = path.read_text()
    for folder in (str(ROOT), str(Path.home()), tempfile.gettempdir()):
        assert f"{folder}/" not in text


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_links_lead_somewhere(path):
    notebook = nbformat.read(path, as_version=4)
    text = "\n".join(c.source for c in notebook.cells if c.cell_type == "markdown")
    linked = re.findall(r"\]\((?!https?:)([^)#\s]+)\)", text)
    named = [n for n in re.findall(r"`([\w./]+\.(?:py|md|yaml))`", text) if "/" in n]
    missing = [x for x in linked if not (path.parent / x).exists()]
    assert missing + [x for x in named if not (ROOT / x).exists()] == []


@pytest.mark.slow
@pytest.mark.ray
@pytest.mark.timeout(400)
@pytest.mark.xdist_group("ray")
def test_the_quick_start_runs(execute, monkeypatch):
    pytest.importorskip("skimage", reason="the demo's photographs: pip install 'zcurate[demo]'")
    monkeypatch.setenv("RAY_ADDRESS", "local")
    text = execute("01_quickstart")
    assert "exit code 3" in text, "the corpus has unreadable files, each a row and not a crash"
    assert "shards run: 0" in text, "a second build finds everything done"
    listed, readable, kept, unique = map(
        int, re.search(r"ingested (\d+) → readable (\d+) .* (\d+) → unique (\d+)", text).groups()
    )
    assert listed > readable > kept > unique > 0
    read_back, from_folder, same = map(
        int, re.search(r"(\d+) samples read back, (\d+) .*, (\d+) byte", text).groups()
    )
    assert read_back == unique
    assert from_folder == same > 0


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_tuned_filters_drop_fewer_good_pictures_and_find_as_many_faults(execute, monkeypatch):
    pytest.importorskip("skimage", reason="the demo's photographs: pip install 'zcurate[demo]'")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    text = execute("02_tune_filters")
    kept = [int(n) for n in re.findall(r"kept by filter (\d+)", text)]
    assert kept[1] > kept[0], "the tuned recipe keeps more"
    rows = re.findall(r"^(draft|tuned) +(\w+) +(\d+) +(\d+) +(\d+) +([\d.]+) ", text, re.M)
    figures = {(recipe, rule): (int(p), int(f), float(x)) for recipe, rule, p, f, _, x in rows}
    assert len(figures) == 4
    for rule, least, gain in (("watermarked", 0.75, 0.0), ("plain_border", 0.8, 0.2)):
        planted, found, precision = figures["tuned", rule]
        assert precision >= max(least, figures["draft", rule][2] + gain), "on pictures that had no say"
        assert found >= 0.8 * planted
    cost = dict(re.findall(r"^(draft|tuned) +good pictures dropped by any rule: (\d+)", text, re.M))
    assert int(cost["tuned"]) < int(cost["draft"]) / 2


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_a_graph_merges_names_and_a_plan_comes_closer_to_the_prior(execute, monkeypatch):
    pytest.importorskip("skimage", reason="the demo's photographs: pip install 'zcurate[demo]'")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    text = execute("03_graph_and_sampling")
    tags, nodes = (int(n) for n in re.findall(r"(\d+) concepts, \d+ of them once", text))
    assert nodes < tags / 2, "two languages and whole sentences are one node each, or none"
    assert {"horse", "bridge", "bicycle"} <= set(re.search(r"^voids: (.+)$", text, re.M)[1].split(", "))
    after = re.findall(r"^(natural|halfway|balanced) +after +\d+ +([\d.]+)", text, re.M)
    kl = {stage: float(x) for stage, x in after}
    assert kl["balanced"] < kl["halfway"] < kl["natural"]
    methods = {m: float(x) for m, x in re.findall(r"^(\w+) +\d+ +(\d\.\d+) ", text, re.M)}
    assert methods["ours"] == min(methods.values())
    supply, asked, more, before, now = map(
        float, re.search(r"^village +(\d+) +([\d.]+) +([\d.]+) +([\d.]+) +([\d.]+)$", text, re.M).groups()
    )
    assert more > asked
    assert before < now <= supply, "a weight that somebody set changes the plan"


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_a_cycle_of_the_active_loop_finds_the_causes_and_mends(execute, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    text = execute("04_active_loop")
    tables = re.findall(r"^(blue crescent|red heart) +fails .* (bad_data|lacks_data) ", text, re.M)
    assert dict(tables[:2]) == {"blue crescent": "bad_data", "red heart": "lacks_data"}
    assert dict(tables[2:]) == {"blue crescent": "lacks_data", "red heart": "lacks_data"}, "once it is pruned"
    assert "24 samples no longer marked out" in text
    assert "2 made by model" in text
    exported, pruned, added = map(
        int, re.search(r"(\d+) pictures: 120 there were, (\d+) pruned, (\d+) added", text).groups()
    )
    assert (pruned, exported) == (24, 120 - 24 + added)
    assert added >= 40
    gained = float(re.search(r"concepts repaired ([+-][\d.]+)", text)[1])
    assert gained > 40, "points, by the same prompts and seeds, after sixty steps"
