"""The import rules of the repository, checked on every file."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("curation", "captioner", "graph", "model", "pipelines")
FILES = sorted(p for folder in (*PACKAGES, "tests", "benchmarks") for p in (ROOT / folder).rglob("*.py"))
GPL = {"leidenalg", "igraph"}


def imports(path):
    """(module, level) of every import of a file, including those inside functions."""
    for node in ast.walk(ast.parse(path.read_text(), str(path))):
        if isinstance(node, ast.Import):
            yield from ((a.name, 0) for a in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module or "", node.level


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_imports_follow_the_layers(path):
    package = path.relative_to(ROOT).parts[0]
    for module, level in imports(path):
        top = module.split(".")[0]
        if level:
            depth = len(path.relative_to(ROOT).parts) - 1
            assert level <= depth, f"{module}: relative import out of the package; write zcurate.{module}"
            continue
        assert top not in PACKAGES, (
            f"import {module}: users have folders of that name; write zcurate.{module}"
        )
        if package in PACKAGES:
            assert top != "pickle", "nothing here reads or writes pickles"
            if package != "pipelines":
                assert top != "ray", "only pipelines may know Ray"
                other = module.split(".")[1] if top == "zcurate" and "." in module else package
                assert other == package, (
                    f"{package} imports {module}: declare a Protocol, let pipelines inject it"
                )


def test_gpl_parts_stay_behind_one_file():
    users = {str(p.relative_to(ROOT)) for p in FILES if any(m.split(".")[0] in GPL for m, _ in imports(p))}
    assert users <= {"curation/neighbors/leiden.py"}


def test_command_line_starts_without_heavy_libraries():
    code = (
        "import sys, zcurate.pipelines.cli; "
        "print([m for m in ('torch', 'transformers', 'open_clip', 'ray', 'faiss', 'cv2', 'igraph', 'numba') if m in sys.modules])"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd="/")
    assert out.stdout.strip() == "[]"
