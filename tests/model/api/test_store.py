"""Finished pictures on disk: how long, how many, and what a killed process leaves behind."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zcurate.model.api.store import ImageStore


@pytest.fixture(autouse=True)
def own_temporary_folder(tmp_path_factory, monkeypatch):
    folder = tmp_path_factory.mktemp("tmp")
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    return folder


def read(store, name):
    file = store.open(name)
    if file is None:
        return None
    with file:
        return file.read()


def test_a_picture_can_be_fetched_until_it_expires():
    now = [0.0]
    store = ImageStore(1000, 60, clock=lambda: now[0])
    name = store.put(b"data")
    now[0] = 59.9
    assert read(store, name) == b"data"
    now[0] = 60.0
    assert read(store, name) is None
    assert (len(store), store.size_bytes) == (0, 0)
    store.close()


def test_fetched_pictures_go_first_and_a_reader_keeps_what_it_has_open():
    dropped = []
    store = ImageStore(100, 60, dropped.append)
    first, second = store.put(b"a" * 50), store.put(b"b" * 50)
    reader = store.open(second)
    third = store.put(b"c" * 50)
    assert dropped == [True]
    assert (read(store, first), read(store, second), read(store, third)) == (b"a" * 50, None, b"c" * 50)
    with reader:
        assert reader.read() == b"b" * 50
    store.close()


@given(st.lists(st.tuples(st.integers(1, 60), st.booleans()), max_size=30))
def test_the_store_is_never_larger_than_allowed_and_keeps_the_newest(puts):
    store = ImageStore(100, 60)
    for size, fetch in puts:
        name = store.put(bytes(size))
        assert store.size_bytes <= 100
        assert read(store, name) == bytes(size) if fetch else True
        on_disk = sum(p.stat().st_size for p in store._folder.glob("*.png"))
        assert on_disk == store.size_bytes
    store.close()
    assert not store._folder.exists()


@pytest.mark.parametrize(
    "name",
    ["", "lock", "../lock", "x" * 32 + ".png", "x" * 31 + "/.png", "x" * 32 + ".png\n", "é" * 32 + ".png"],
)
def test_other_names_lead_nowhere(name):
    store = ImageStore(1000, 60)
    assert store.open(name) is None
    store.close()


def test_folders_of_killed_processes_are_removed_and_others_are_not(own_temporary_folder):
    code = (
        "import os, signal, sys; from zcurate.model.api.store import ImageStore;"
        "s = ImageStore(1000, 60); s.put(b'secret'); print(s._folder, flush=True);"
        "sys.stdin.readline(); os.kill(os.getpid(), signal.SIGKILL)"
    )
    environment = os.environ | {"TMPDIR": str(own_temporary_folder)}
    target = own_temporary_folder / "target"
    target.mkdir()
    (target / "lock").touch()
    (own_temporary_folder / "zcurate-serve-link").symlink_to(target)
    with subprocess.Popen(
        [sys.executable, "-c", code],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
    ) as process:
        folder = Path(process.stdout.readline().strip())
        alive = ImageStore(1000, 60)
        assert len(list(folder.glob("*.png"))) == 1, "the folder of a living process was removed"
        process.communicate("\n")
    assert process.returncode == -9
    assert folder.is_dir()
    after = ImageStore(1000, 60)
    assert not folder.exists()
    assert alive._folder.is_dir()
    assert target.is_dir()
    for store in (alive, after):
        store.close()
