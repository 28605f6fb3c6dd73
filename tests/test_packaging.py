"""The wheel holds every module and data file of the tree, and runs from where it is installed."""

import shutil
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
FOLDERS = ("captioner", "curation", "graph", "model", "pipelines")
NOT_SHIPPED = ("__pycache__", "*.pyc", ".*_cache", ".tmp*")


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory):
    """The wheel of a copy of the tree, unpacked as an installer would."""
    base = tmp_path_factory.mktemp("wheel")
    tree = base / "tree"
    tree.mkdir()
    for folder in FOLDERS:
        shutil.copytree(ROOT / folder, tree / folder, ignore=shutil.ignore_patterns(*NOT_SHIPPED))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, tree / name)
    options = ["--no-deps", "--no-build-isolation", "--disable-pip-version-check", "-w", str(base)]
    built = subprocess.run(
        [sys.executable, "-m", "pip", "wheel", ".", *options], cwd=tree, capture_output=True, text=True
    )
    assert built.returncode == 0, built.stdout[-2000:] + built.stderr[-2000:]
    (wheel,) = base.glob("zcurate-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(base / "site")
    return tree, base / "site"


def test_the_wheel_holds_exactly_the_five_folders(unpacked):
    tree, site = unpacked
    source = {str(p.relative_to(tree)) for f in FOLDERS for p in (tree / f).rglob("*") if p.is_file()}
    shipped = {str(p.relative_to(site / "zcurate")) for p in (site / "zcurate").rglob("*") if p.is_file()}
    missing = sorted(source - shipped)
    assert not missing, f"add these to packages or package-data in pyproject.toml: {missing}"
    assert not shipped - source
    assert {p.name for p in site.iterdir()} == {"zcurate", *(p.name for p in site.glob("*.dist-info"))}


def test_the_unpacked_wheel_runs_from_another_directory(unpacked, tmp_path):
    _, site = unpacked
    # -S leaves .pth files unread, so that an editable install cannot stand in for the wheel.
    code = f"""
import sys
sys.path[:0] = [{str(site)!r}, {sysconfig.get_path("purelib")!r}]
import zcurate.pipelines.cli as cli
from zcurate.pipelines.recipe import load_recipe
from zcurate.pipelines.registry import STAGES, stage_module
assert cli.__file__.startswith({str(site)!r}), cli.__file__
load_recipe("photos", ["source=x"])
print(len([stage_module(name) for name in STAGES]), "stages")
sys.argv = ["zcurate", "--help"]
cli.main()
"""
    ran = subprocess.run([sys.executable, "-S", "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr[-2000:]
    assert "stages" in ran.stdout
    assert "build" in ran.stdout
