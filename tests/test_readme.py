"""README must tell the truth about itself."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text()


def test_links_and_pictures_exist():
    for target in re.findall(r"\]\(([^)#]+)\)", README):
        if "://" not in target:
            assert (ROOT / target).exists(), target


def test_commands_exist():
    from typer.main import get_command

    from zcurate.pipelines.cli.app import app

    commands = set(get_command(app).commands)
    for command in re.findall(r"zcurate ([a-z]+) ", README):
        assert command in commands or command in ("plan", "itself", "is"), command
    for target in re.findall(r"make ([a-z]+)", README):
        assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(), re.M), target


def test_benchmarks_exist():
    for script in re.findall(r"benchmarks/\w+\.py", README):
        assert (ROOT / script).exists(), script
    assert "@@" not in README
