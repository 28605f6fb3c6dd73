"""Review: decisions on their way back into a dataset."""

import json

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from zcurate.curation.active.review.decisions import ReviewLog
from zcurate.curation.active.review.overlay import (
    FOLDER,
    Corrections,
    apply_decisions,
    corrected,
    forget_corrections,
    read_corrections,
    reviewed_pair,
)
from zcurate.curation.active.review.states import CORRECT, DISCARD, PASS, UNDO
from zcurate.curation.errors import DatasetError
from zcurate.curation.store import Dataset
from zcurate.curation.store.overlay import add_decisions, read_overlay

from .review_cases import pair_task, said, task, texts


@pytest.fixture
def dataset(tmp_path):
    return Dataset.create(tmp_path / "ds")


@pytest.fixture
def log(tmp_path):
    with ReviewLog(tmp_path / "r.sqlite") as found:
        found.sync_tasks([task(0), task(1), task(2), pair_task(0), pair_task(1)])
        yield found


def sample(number):
    return bytes.fromhex(task(number).subject)


def test_what_is_settled_is_written_once(dataset, log):
    log.append(
        [
            said(task(0).id, DISCARD),
            said(task(1).id, CORRECT, fields={"en_long": "Better.", "en_tags": ["a", "b"]}),
            said(task(2).id, PASS),
            said(pair_task(0).id, DISCARD),
            said(pair_task(1).id, CORRECT, fields={"zh_short": "移走灯"}),
        ]
    )
    dry = apply_decisions(dataset, log, "ann", dry_run=True)
    assert (dry.dropped, dry.corrected, dry.files) == (2, 2, ())
    assert not read_corrections(dataset)
    done = apply_decisions(dataset, log, "ann")
    assert len(done.files) == 2
    assert read_overlay(dataset).forced == {sample(0): False}
    found = read_corrections(dataset)
    assert found.samples == {sample(1): {"en_long": "Better.", "en_tags": ("a", "b")}}
    assert found.dropped_pairs == {"pair0"}
    assert apply_decisions(dataset, log, "ann").files == ()
    assert reviewed_pair({"pair_id": "pair0"}, found) is None
    mended = reviewed_pair(
        {"pair_id": "pair1", "en_short": "x", "zh_short": "y", "instructed_by": "template"}, found
    )
    assert mended == {"pair_id": "pair1", "en_short": "x", "zh_short": "移走灯", "instructed_by": "human"}
    assert reviewed_pair({"pair_id": "pair9"}, found) == {"pair_id": "pair9"}


def test_what_is_taken_back_is_taken_back_in_the_dataset(dataset, log):
    given = [
        said(task(0).id, DISCARD),
        said(task(1).id, CORRECT, fields={"en_long": "Better."}),
        said(pair_task().id, DISCARD),
    ]
    log.append(given)
    apply_decisions(dataset, log, "ann")
    log.append([said(d.task_id, UNDO, undoes=d.id) for d in given])
    done = apply_decisions(dataset, log, "ann")
    assert done.taken_back == 1
    assert read_overlay(dataset).forced == {sample(0): True}
    assert not read_corrections(dataset)
    assert apply_decisions(dataset, log, "ann").files == ()


def test_a_new_proposal_keeps_what_was_decided_on_the_old_one(dataset, log):
    """Captioned anew, the sample's discard stands until somebody decides on the new captions."""
    log.append([said(task(0).id, DISCARD)])
    anew = task(0, proposer="captioner@2")
    log.sync_tasks([anew])
    apply_decisions(dataset, log, "ann")
    assert read_overlay(dataset).forced == {sample(0): False}
    log.append([said(anew.id, CORRECT, fields={"en_long": "Better."})])
    apply_decisions(dataset, log, "ann")
    assert read_overlay(dataset).forced == {sample(0): True}
    assert read_corrections(dataset).samples == {sample(0): {"en_long": "Better."}}


def test_other_peoples_prunes_are_left_alone(dataset, log):
    add_decisions(dataset, "prune", [sample(1)], "bob", "poisoned")
    log.append([said(task(1).id, PASS), said(task(0).id, DISCARD)])
    assert apply_decisions(dataset, log, "ann").dropped == 1
    assert read_overlay(dataset).forced == {sample(0): False, sample(1): False}


@pytest.mark.parametrize(
    "content",
    [
        "[]",
        "{}",
        "not json",
        '{"entries": [{"kind": "caption", "subject": "00", "fields": {}, "drop": false}]}',
        '{"entries": [{"kind": "caption", "subject": "'
        + "0" * 32
        + '", "fields": {"poem": "x"}, "drop": false}]}',
        '{"entries": [{"kind": "caption", "subject": "'
        + "0" * 32
        + '", "fields": {"en_tags": "x"}, "drop": false}]}',
        '{"entries": [{"kind": "poem", "subject": "x", "fields": {"a": "x"}, "drop": false}]}',
    ],
)
def test_a_damaged_file_is_named(dataset, content):
    dataset.storage.put(f"{FOLDER}/x.json", content.encode())
    with pytest.raises(DatasetError, match=r"texts/x\.json: not a file of corrections"):
        read_corrections(dataset)


def rows(**changes):
    columns = {
        "sample_id": pa.array([sample(n) for n in range(3)], pa.binary(16)),
        "en_long": ["old 0", "old 1", "old 2"],
        "zh_long": ["旧0", "旧1", "旧2"],
        "en_tags": pa.array([["x"], ["y"], None], pa.list_(pa.string())),
        "engine": ["openai"] * 3,
        "placeholder": [False] * 3,
        "key": ["a", "b", "c"],
    }
    return pa.table({**columns, **changes})


def test_corrected_rows():
    table = corrected(rows(), {sample(1): {"en_long": "new", "en_tags": ("n", "m")}})
    assert table.schema == rows().schema
    assert table.to_pylist()[1] == {
        **{"sample_id": sample(1), "en_long": "new", "zh_long": "旧1", "en_tags": ["n", "m"]},
        **{"engine": "human", "placeholder": False, "key": "b"},
    }
    assert [table.to_pylist()[i] for i in (0, 2)] == [rows().to_pylist()[i] for i in (0, 2)]
    assert corrected(rows(), {}) is not None
    assert corrected(rows(), Corrections().samples).equals(rows())


def test_of_a_placeholder_only_what_people_wrote_is_left():
    marked = rows(placeholder=[True] * 3)
    one = corrected(marked, {sample(0): {"zh_long": "人写的"}}).to_pylist()[0]
    assert (one["zh_long"], one["en_long"], one["en_tags"], one["placeholder"]) == (
        "人写的",
        None,
        None,
        False,
    )


def test_stages_that_do_not_ask_for_placeholders_see_what_people_left_too():
    table = rows(placeholder=[True] * 3).select(["sample_id", "en_long", "en_tags"])
    table = table.rename_columns(["sample_id", "captions.en_long", "captions.en_tags"])
    found = corrected(table, {sample(0): {"en_long": "new", "zh_long": "人写的"}}, "captions.").to_pylist()
    assert (found[0]["captions.en_long"], found[0]["captions.en_tags"]) == ("new", ["x"])
    assert found[1:] == table.to_pylist()[1:]


@given(
    st.dictionaries(
        st.integers(0, 2),
        st.fixed_dictionaries({}, optional={"en_long": texts, "en_tags": st.lists(texts).map(tuple)}),
    )
)
def test_correcting_twice_is_correcting_once_and_touches_nothing_else(mine):
    corrections = {sample(n): fields for n, fields in mine.items()}
    once = corrected(rows(), corrections)
    assert corrected(once, corrections).equals(once)
    for n, (before, after) in enumerate(zip(rows().to_pylist(), once.to_pylist(), strict=True)):
        changed = {k for k in before if before[k] != after[k]}
        assert changed <= ({*mine[n], "engine"} if n in mine else set())


def test_overlay_files_say_who_and_when(dataset, log):
    log.append([said(task(1).id, CORRECT, "bob", fields={"en_long": "Better."})])
    done = apply_decisions(dataset, log, "ann")
    record = json.loads(dataset.storage.get(done.files[0]))
    assert record["author"] == "ann"
    assert record["entries"][0]["reviewers"] == ["bob"]
    assert record["time"].endswith("Z")
    assert forget_corrections(dataset, [task(1).subject]) == 1
    assert "Better" not in dataset.storage.get(done.files[0]).decode()
    assert not read_corrections(dataset)
