"""The notebooks run from top to bottom, and what is saved in them came from such a run."""

import os
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


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_saved_outputs_are_whole_and_of_no_machine(path):
    assert path.stat().st_size < 1_000_000
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    counts = [c.execution_count for c in notebook.cells if c.cell_type == "code"]
    assert counts == list(range(1, len(counts) + 1)), "saved without being run from top to bottom"
    assert all(o.output_type != "error" for c in notebook.cells for o in c.get("outputs", ()))
    text = path.read_text()
    for folder in (str(ROOT), str(Path.home()), tempfile.gettempdir()):
        assert f"{folder}/" not in text


@pytest.mark.slow
@pytest.mark.ray
@pytest.mark.timeout(400)
@pytest.mark.xdist_group("ray")
def test_the_quick_start_runs(monkeypatch):
    from nbclient import NotebookClient

    pytest.importorskip("skimage", reason="the demo's photographs: pip install 'zcurate[demo]'")
    monkeypatch.setenv("RAY_ADDRESS", "local")
    notebook = nbformat.read(ROOT / "notebooks" / "01_quickstart.ipynb", as_version=4)
    with tempfile.TemporaryDirectory(prefix="nb") as folder:  # a short path: Ray's sockets lie in it
        monkeypatch.setenv("TMPDIR", folder)
        NotebookClient(notebook, timeout=240, kernel_name="python3").execute()
    text = printed(notebook)
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
    assert not os.path.exists(ROOT / "notebooks" / "corpus"), "a notebook writes into its own folder"
