"""Answers kept in a dataset: whose they are, what a takedown drops, what is collected as garbage."""

import json

import pytest

from zcurate.captioner.chat import ChatAnswer
from zcurate.captioner.vlm.journal import FileJournal
from zcurate.curation.store import Dataset
from zcurate.curation.store.answers import (
    ANSWERS_SUFFIX,
    OWNERS_SUFFIX,
    OwnerLog,
    answers_folder,
    forget_answers,
    unused_answers,
)
from zcurate.curation.store.maintenance import garbage

A, B, C = (bytes([i]) * 16 for i in (1, 2, 3))
FOLDER = answers_folder("captions", "openai:m@1")


def key(n):
    return f"{n:064x}"


def answer(text):
    return ChatAnswer(text, "stop", 10, 5, 0.1, 1, "m")


@pytest.fixture(params=["local", "memory"])
def dataset(request, tmp_path):
    url = str(tmp_path / "ds") if request.param == "local" else f"memory://answers-{tmp_path.name}"
    return Dataset.create(url)


def journal(dataset):
    return FileJournal(f"{dataset.storage.url}/{FOLDER}")


def fill(dataset, owned, alone=()):
    """A writer's files: owned is (sample, key number); `alone` are keys that nobody owns."""
    store, owners = journal(dataset), OwnerLog(dataset.storage, FOLDER)
    for sample, n in owned:
        owners.note(sample, key(n))
        store.put(key(n), answer(f"answer {n}"))
    for n in alone:
        store.put(key(n), answer(f"answer {n}"))
    owners.flush()
    store.close()


def texts(dataset):
    store = journal(dataset)
    found = {n: store.get(key(n)) for n in range(10)}
    return {n: a.text for n, a in found.items() if a}


def test_a_takedown_drops_the_answers_of_its_samples_and_keeps_the_others(dataset):
    fill(dataset, [(A, 1), (A, 2), (B, 3)])
    fill(dataset, [(C, 4), (B, 5), (A, 4)])  # two samples of one picture asked the same
    assert forget_answers(dataset.storage, {A}) == 3
    assert texts(dataset) == {3: "answer 3", 5: "answer 5"}
    left = b"".join(dataset.storage.get(p) for p in dataset.storage.walk("_answers"))
    assert A.hex().encode() not in left
    assert forget_answers(dataset.storage, {A}) == 0
    fill(dataset, [(C, 4)])  # may be asked and kept again
    assert texts(dataset)[4] == "answer 4"


def test_answers_of_nobody_and_torn_lines_go_too(dataset):
    fill(dataset, [(A, 1), (B, 2)], alone=[7])
    path = next(p for p in dataset.storage.walk("_answers") if p.endswith(ANSWERS_SUFFIX))
    dataset.storage.put(path, dataset.storage.get(path) + b'{"key": "0000')
    forget_answers(dataset.storage, {A})
    assert texts(dataset) == {2: "answer 2"}
    assert all(json.loads(line) for line in dataset.storage.get(path).splitlines())


def test_files_that_became_empty_are_gone(dataset):
    fill(dataset, [(A, 1)])
    forget_answers(dataset.storage, {A})
    assert list(dataset.storage.walk("_answers")) == []


def test_an_owner_is_noted_once(dataset):
    for _ in range(3):
        fill(dataset, [(A, 1), (A, 1)])
    owners = [p for p in dataset.storage.walk("_answers") if p.endswith(OWNERS_SUFFIX)]
    assert sum(dataset.storage.get(p).count(b"\n") for p in owners) == 1


def test_gc_keeps_the_answers_of_models_that_recipes_name(dataset):
    fill(dataset, [(A, 1)])
    other = answers_folder("captions", "openai:m@2")
    dataset.storage.put(f"{other}/x{ANSWERS_SUFFIX}", b"{}\n")
    dataset.storage.put("_answers/captions/spending.json", b"{}")
    mine = {p for p in dataset.storage.walk(FOLDER)}
    assert set(unused_answers(dataset.storage, {FOLDER})) == {f"{other}/x{ANSWERS_SUFFIX}"}
    assert set(garbage(dataset, {"captions/x", other})) == mine


def test_a_renewed_key_has_another_place_and_a_takedown_finds_both(dataset):
    fill(dataset, [(A, 1), (B, 2)])
    owners = OwnerLog(dataset.storage, FOLDER)
    assert owners.place(key(1)) == key(1)
    owners.renew(A, key(1))
    places = {owners.place(key(1))}
    owners.renew(A, key(1))
    places.add(owners.place(key(1)))
    assert len(places | {key(1)}) == 3
    owners.note(A, owners.place(key(1)))
    owners.flush()
    reopened = OwnerLog(dataset.storage, FOLDER)
    assert reopened.place(key(1)) == owners.place(key(1))
    assert reopened.place(key(2)) == key(2)
    store = journal(dataset)
    store.put(reopened.place(key(1)), answer("better"))
    store.close()
    assert forget_answers(dataset.storage, {A}) == 2
    assert texts(dataset) == {2: "answer 2"}
    assert A.hex().encode() not in b"".join(dataset.storage.get(p) for p in dataset.storage.walk("_answers"))
