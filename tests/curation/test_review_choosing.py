"""Guesses of a model beside tasks, and in their order."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zcurate.curation.active.review.decisions import ReviewLog
from zcurate.curation.active.review.pages import Pages
from zcurate.curation.active.review.queue import Filters, ReviewQueue
from zcurate.curation.active.review.routing import (
    BALANCED,
    MIXED,
    ORDERS,
    Routing,
    chosen_rank,
    queue_rank,
    uncertainty_of,
)
from zcurate.curation.active.review.states import FAIL

from .review_cases import said, task


def test_a_guess_is_hidden_until_a_person_has_judged_unless_asked_for(tmp_path):
    guess = {"instruction": 0.31, "elements": {"e1": 0.07, "e2": "x"}, "uncertainty": 0.4, "model": "m"}
    one, odd = (task(i, context=task(i).context | {"reward": r}) for i, r in enumerate((guess, "what?")))
    with ReviewLog(tmp_path / "r.sqlite") as log:
        log.sync_tasks([one, odd])
        queue = ReviewQueue(log)
        for show, seen in ((False, False), (True, True)):
            page = Pages("t", show_ai=show).work(queue, "ann", "k", Filters(), [one.id])
            assert ("7%" in page, "0.31" in page) == (seen, seen)
        Pages("t", show_ai=True).work(queue, "ann", "k", Filters(), [odd.id])
        log.append([said(one.id, FAIL, unsatisfied=["e1"])])
        assert "7%" in Pages("t").work(queue, "ann", "k", Filters(stage="correct"), [one.id])


@given(st.lists(st.floats(0, 1), max_size=20))
def test_uncertainty_is_a_share(probabilities):
    found = uncertainty_of(probabilities)
    assert found is None if not probabilities else 0 <= found <= 1
    assert found == pytest.approx(uncertainty_of([1 - p for p in probabilities])) if probabilities else True


@given(st.floats(0, 1), st.floats(0.01, 5), st.integers(0, 500))
def test_random_checks_keep_a_place_that_knows_nothing_of_uncertainty(uncertainty, weight, number):
    one = task(number)
    for order in ORDERS:
        places = {
            chosen_rank(one, weight, order, u, Routing(pass_share=1.0)) for u in (None, 0.0, uncertainty)
        }
        assert len(places) == 1
    sure, unsure = (chosen_rank(one, weight, MIXED, u, Routing(pass_share=0.0)) for u in (0.1, 0.9))
    assert unsure < sure
    assert chosen_rank(one, weight, BALANCED, uncertainty, Routing()) == queue_rank(one.subject, weight)
