"""Who is suspected when a worker dies."""

import pytest

from zcurate.curation.stage import Resources
from zcurate.pipelines.execution.outcome import Outcome
from zcurate.pipelines.execution.worker import MapTask, TaskFailure
from zcurate.pipelines.troubles import Trouble


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
