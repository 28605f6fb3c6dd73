"""Two diagnoses compared: points, what is sure, what was harmed."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zcurate.curation.active.comparing import MAY_LOSE, Rate, compared
from zcurate.curation.active.confidence import anytime
from zcurate.curation.active.testing import FAILS, PASSES, UNDECIDED


def rate(passed, scored):
    low, high = anytime(passed, scored)
    return Rate(passed, scored, low, high, PASSES if low > 0.5 else FAILS if high < 0.5 else UNDECIDED)


counts = st.integers(0, 60).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n)))
rates = st.dictionaries(st.sampled_from("abcdefg"), counts.map(lambda c: rate(*c)))
actions = st.dictionaries(st.sampled_from("abcdefg"), st.sampled_from(["prune", "augment", "review"]))


@given(rates, rates, actions, actions)
def test_what_one_gains_the_other_loses(before, after, asked, done):
    there = compared(before, after, asked, done)
    back = compared(after, before, asked, done)
    assert {c.concept: c.points for c in there.changes} == {c.concept: -c.points for c in back.changes}
    assert {c.concept: c.sure for c in there.changes} == {c.concept: c.sure for c in back.changes}
    assert (there.only_before, there.only_after) == (back.only_after, back.only_before)
    scored = [{n for n, r in x.items() if r.scored} for x in (before, after)]
    assert {c.concept for c in there.changes} == scored[0] & scored[1]
    assert all(c.was_healthy and c.points < -MAY_LOSE for c in there.harmed)
    assert all(c.points != 0 for c in there.changes if c.sure)
    healthy = [c.points for c in there.changes if c.was_healthy]
    assert there.healthy_points == (pytest.approx(sum(healthy) / len(healthy)) if healthy else None)


def test_what_was_done_counts_as_repaired_and_else_what_was_asked_for():
    before = {n: rate(2, 20) for n in "abc"}
    after = {"a": rate(12, 20), "b": rate(4, 20), "c": rate(2, 20)}
    asked = {"a": "augment", "b": "review", "c": "prune"}
    assert compared(before, after, asked, {}).repaired_points == pytest.approx((50 + 0) / 2)
    found = compared(before, after, asked, {"b": "augment"})
    assert found.repaired_points == pytest.approx(10)
    assert {c.concept: c.action for c in found.changes} == {"a": "augment", "b": "augment", "c": "prune"}
    assert compared(before, after, {}, {}).repaired_points is None
