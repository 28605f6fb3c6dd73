"""Who is suspected when a worker dies."""

import pytest

from zcurate.curation.stage import Resources
from zcurate.pipelines.execution.outcome import Outcome
from zcurate.pipelines.execution.worker import MapTask, TaskFailure
from zcurate.pipelines.troubles import MAX_FAULTY_ROWS, Trouble


def died(suspects, kind="died", probe=None):
    task = MapTask(1, None, None, "00000000", None, {}, probe_row=probe)
    return Outcome(task, failure=TaskFailure(kind, "gone"), suspects=suspects)


def test_a_row_that_was_alone_under_way_is_tried_alone_at_once():
    trouble = Trouble()
    assert trouble.note(died((7,)), Resources()) is None
    assert trouble.to_probe == [7]
    trouble.note(died((7,), probe=7), Resources())
    assert trouble.quarantined[7][0] == "WorkerCrash"


@pytest.mark.parametrize("kind", ["died", "deadline"])
def test_many_rows_under_way_are_tried_alone_only_when_it_happens_again(kind):
    trouble = Trouble()
    assert trouble.note(died((3, 4, 5), kind), Resources()) is None
    assert trouble.to_probe == [], "killed from outside, most likely"
    assert trouble.note(died((4, 5, 6), kind), Resources()) is None
    assert trouble.to_probe == [4, 5, 6]
    assert not trouble.quarantined


def test_a_stage_that_is_to_stop_is_not_tried_again():
    assert Trouble().note(died((), "stop"), Resources()) == "gone"


def test_a_bug_that_no_row_meets_alone_is_the_shards():
    trouble = Trouble()
    for n in (1, 2):
        assert trouble.note(died((3, 4), "fault"), Resources()) is None, n
        assert trouble.to_probe == [3, 4]
        trouble.to_probe.clear()  # both passed alone
    assert trouble.note(died((3, 4), "fault"), Resources()) == "gone"
    assert not trouble.quarantined


def test_rows_that_meet_a_bug_alone_are_put_aside_up_to_a_few():
    trouble = Trouble()
    for row in range(MAX_FAULTY_ROWS):
        assert trouble.note(died((row,), "fault"), Resources()) is None
        assert trouble.note(died((row,), "fault", probe=row), Resources()) is None
    assert {name for name, _ in trouble.quarantined.values()} == {"UnexpectedError"}
    assert trouble.note(died((9,), "fault"), Resources()) is None
    assert "more than" in trouble.note(died((9,), "fault", probe=9), Resources())
