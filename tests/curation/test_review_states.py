"""Review: ids, the state machine, and the log it is folded from."""

import itertools
import sqlite3

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zcurate.curation.active.review.decisions import ConflictError, ReviewLog
from zcurate.curation.active.review.routing import Routing, apply_routing
from zcurate.curation.active.review.states import (
    ACCEPTED,
    CORRECT,
    CORRECTED,
    DISCARD,
    DISCARDED,
    DONE,
    FAIL,
    HUMAN,
    PASS,
    PROPOSED,
    ROUTE,
    ROUTER,
    RULES,
    TO_CORRECT,
    UNDO,
    VERIFY,
    WAIT,
    Decision,
    combine,
    fold,
    standing,
)
from zcurate.curation.active.review.tasks import Task, changed_fields, hidden_characters, parse_tags, shown
from zcurate.curation.errors import ConfigError, DatasetError

from .review_cases import WHEN, ai, pair_task, said, task, texts

T = task().id


def route(sent, people=1, number=0):
    body = {"sent": sent, "reasons": ["random"] if sent else [], "people": people}
    return said(T, ROUTE, "routing", ROUTER, number, **body)


def test_an_id_follows_what_is_proposed_and_nothing_else():
    one = task()
    assert one.id == task(context={"source": "other"}, rank=9.0).id
    assert (
        len({one.id, task(1).id, task(proposer="captioner@2").id, task(elements=()).id, pair_task().id}) == 5
    )
    assert one.id != task(fields={**one.fields, "en_long": one.fields["en_long"] + " "}).id
    # Stable over versions of this program: logs of today are read tomorrow.
    assert one.id == "02228994c5cd6bda74c2aa9dde81f9cf"


@given(texts, st.lists(texts, max_size=4), texts)
def test_tasks_survive_json(long, tags, source):
    one = task(
        fields={"en_long": long, "zh_tags": tuple(tags)}, context={"source": source, "scores": {"a": 1.5}}
    )
    again = Task.from_json(one.to_json())
    assert again == one
    assert again.id == one.id


@pytest.mark.parametrize(
    "changes",
    [
        {"kind": "poem"},
        {"fields": {"en_poem": "x"}},
        {"fields": {"en_tags": "not a list"}},
        {"fields": {"en_long": ("not", "text")}},
        {"pictures": ()},
        {"elements": (task().elements[0], task().elements[0])},
    ],
)
def test_tasks_that_do_not_hold_together_are_refused(changes):
    with pytest.raises(DatasetError, match="task about"):
        task(**changes)


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"kind": 1}', "null", '{"kind":"caption","extra":1}', "[" * 9999]
)
def test_what_is_no_task_is_refused(text):
    with pytest.raises(DatasetError, match="not a review task"):
        Task.from_json(text)


@given(texts, st.lists(texts.map(str.strip).filter(bool), max_size=5, unique=True))
def test_a_text_that_went_through_a_browser_is_not_a_correction(text, tags):
    fields = {"en_long": text, "en_tags": tuple(tags)}
    sent = {
        k: shown(v).replace("\r\n", "\n").replace("\r", "\n").replace("\0", "�") for k, v in fields.items()
    }
    as_a_form = {k: v.replace("\n", "\r\n") for k, v in sent.items()}
    assert changed_fields(fields, as_a_form) == {}


def test_corrections_are_what_was_typed():
    fields = {"en_long": "a cat", "zh_tags": ("猫", "桌子")}
    assert changed_fields(fields, {"en_long": " a dog ", "zh_tags": "猫，椅子、猫"}) == {
        "en_long": "a dog",
        "zh_tags": ("猫", "椅子"),
    }
    assert parse_tags("one, two\nthree") == ("one, two", "three")
    assert parse_tags(" , ,") == ()
    assert hidden_characters(["plain text\n", ("ta\u202eg", "\u200b")]) == 2


# -- the state machine


def test_the_rules_as_a_table():
    """(ai, human) -> outcome under each rule, in the words of the issue: what both verdicts mean together."""
    table = {
        # ai, human: human_overrides, any_fail, both_pass
        (PASS, PASS): (PASS, PASS, PASS),
        (PASS, FAIL): (FAIL, FAIL, FAIL),
        (PASS, "not_sent"): (PASS, PASS, None),
        (PASS, None): (None, None, None),
        (FAIL, PASS): (PASS, FAIL, FAIL),
        (FAIL, FAIL): (FAIL, FAIL, FAIL),
        (FAIL, "not_sent"): (FAIL, FAIL, FAIL),
        (FAIL, None): (None, FAIL, FAIL),
        (None, PASS): (PASS, PASS, None),
        (None, FAIL): (FAIL, FAIL, FAIL),
        (None, "not_sent"): (None, None, None),
        (None, None): (None, None, None),
    }
    for (verdict, human), wanted in table.items():
        assert tuple(combine(verdict, human, r) for r in RULES) == wanted, (verdict, human)
    with pytest.raises(ConfigError, match="acceptance rule"):
        combine(PASS, PASS, "coin")


@pytest.mark.parametrize(
    ("decisions", "outcome", "stage"),
    [
        ([], PROPOSED, VERIFY),
        ([ai(T, PASS), route(False)], ACCEPTED, DONE),
        ([ai(T, FAIL), route(False)], PROPOSED, TO_CORRECT),
        ([ai(T, FAIL), route(True)], PROPOSED, VERIFY),
        ([ai(T, FAIL), route(True), said(T, PASS)], ACCEPTED, DONE),
        ([ai(T, PASS), route(True), said(T, FAIL)], PROPOSED, TO_CORRECT),
        ([said(T, FAIL), said(T, CORRECT, "bob", fields={"en_long": "x"})], CORRECTED, DONE),
        ([said(T, FAIL), said(T, DISCARD, "bob")], DISCARDED, DONE),
        ([said(T, DISCARD), said(T, CORRECT, "bob")], CORRECTED, DONE),
        ([said(T, DISCARD), said(T, PASS)], ACCEPTED, DONE),  # a change of mind
        ([route(False)], PROPOSED, WAIT),
        ([route(True, 2), said(T, PASS)], PROPOSED, VERIFY),
        ([route(True, 2), said(T, PASS), said(T, PASS, "bob")], ACCEPTED, DONE),
        ([route(True, 2), said(T, PASS), said(T, FAIL, "bob")], PROPOSED, TO_CORRECT),
        ([route(True, 2), said(T, CORRECT)], CORRECTED, VERIFY),
    ],
)
def test_where_decisions_lead(decisions, outcome, stage):
    state = fold(decisions)
    assert (state.outcome, state.stage) == (outcome, stage)


def test_undo_takes_back_ones_own_decision_only():
    wrong = said(T, DISCARD)
    back = said(T, UNDO, undoes=wrong.id)
    assert fold([wrong, back]).outcome == PROPOSED
    assert (
        fold([said(T, PASS), said(T, FAIL, number=1), said(T, UNDO, undoes=said(T, FAIL, number=1).id)]).human
        == PASS
    )
    assert fold([wrong, said(T, UNDO, "bob", undoes=wrong.id)]).outcome == DISCARDED
    assert standing([wrong, back, said(T, UNDO, number=1, undoes=wrong.id)]) == []


def test_marks_and_scores_of_the_last_word():
    first = said(T, FAIL, "ann", unsatisfied=["e1"], aesthetic=4.0)
    last = said(T, CORRECT, "bob", unsatisfied=["e2"], aesthetic=6.0, fields={"en_tags": ["a"]}, ai_look=True)
    state = fold([first, last])
    assert (state.unsatisfied, state.aesthetic, state.ai_look) == (("e2",), 6.0, True)
    assert state.fields == {"en_tags": ("a",)}


_VERDICT = st.sampled_from([PASS, FAIL])


@given(
    st.lists(st.tuples(st.sampled_from("abcd"), _VERDICT), max_size=6), st.sampled_from(RULES), st.randoms()
)
def test_verdicts_of_different_people_commute(given_, rule, random):
    """Who was first among people does not matter; a person's own last word does."""
    last = dict(given_)
    decisions = [said(T, v, who) for who, v in last.items()]
    shuffled = random.sample(decisions, len(decisions))
    one, other = fold([ai(T, PASS), *decisions], rule), fold([*shuffled, ai(T, PASS)], rule)
    assert (one.outcome, one.stage, one.human) == (other.outcome, other.stage, other.human)


def test_who_may_do_what():
    with pytest.raises(ConfigError, match="'ai' cannot 'discard'"):
        Decision("x", T, DISCARD, "judge", "ai", WHEN)
    with pytest.raises(ConfigError, match="actor must be a text"):
        Decision("x", T, PASS, "", HUMAN, WHEN)


# -- the log


@pytest.fixture
def log(tmp_path):
    with ReviewLog(tmp_path / "r.sqlite") as found:
        found.sync_tasks([task(n) for n in range(4)])
        yield found


def test_decisions_are_only_ever_added(log):
    log.append([said(T, PASS)])
    for sql in ("DELETE FROM decisions", "UPDATE decisions SET action = 'fail'"):
        with pytest.raises(sqlite3.IntegrityError, match="only ever added"):
            log.rows(sql)
    assert [d.action for d in log.decisions()] == [PASS]


def test_a_decision_given_twice_counts_once(log):
    one = said(T, PASS, aesthetic=5.0)
    assert log.append([one, one]) == 1
    assert log.append([one]) == 0
    with pytest.raises(ConflictError, match="another content"):
        log.append([Decision(one.id, T, FAIL, "ann", HUMAN, WHEN)])
    with pytest.raises(DatasetError, match="no task"):
        log.append([said("0" * 32, PASS)])


def test_a_failed_batch_leaves_nothing(log):
    with pytest.raises(DatasetError, match="no task"):
        log.append([said(T, PASS), said("0" * 32, PASS)])
    assert list(log.decisions()) == []
    assert log.state(T).outcome == PROPOSED


def test_tasks_that_are_no_longer_proposed_leave_the_queue_and_keep_their_decisions(log):
    log.append([said(T, FAIL)])
    assert log.sync_tasks([task(1), task(9)]) == 1
    assert [t.subject for t in log.tasks()] == [task(1).subject, task(9).subject]
    assert len(list(log.tasks(current=False))) == 5
    assert log.sync_tasks([task(0)]) == 0
    assert log.state(T).human == FAIL


def test_a_taken_down_sample_is_forgotten(log):
    log.append([said(T, PASS), said(task(1).id, PASS)])
    assert log.forget([task().subject, "unknown"]) == 1
    assert log.task(T) is None
    assert [d.task_id for d in log.decisions()] == [task(1).id]
    with pytest.raises(sqlite3.IntegrityError, match="only ever added"):
        log.rows("DELETE FROM decisions")


def test_another_rule_folds_the_same_log_anew(tmp_path):
    with ReviewLog(tmp_path / "r.sqlite", "human_overrides") as log:
        log.sync_tasks([task()])
        log.append([ai(T, FAIL), said(T, PASS)])
        assert log.rows("SELECT outcome FROM tasks") == [(ACCEPTED,)]
    with ReviewLog(tmp_path / "r.sqlite", "any_fail") as log:
        assert log.rows("SELECT outcome, stage FROM tasks") == [(PROPOSED, TO_CORRECT)]
    with ReviewLog(tmp_path / "r.sqlite") as log:
        assert log.rule == "any_fail"
    with pytest.raises(ConfigError, match="acceptance rule"):
        ReviewLog(tmp_path / "r.sqlite", "coin")


def test_files_that_are_no_logs(tmp_path):
    (tmp_path / "x").write_bytes(b"not a database, but long enough to be looked at as one" * 30)
    with pytest.raises(DatasetError, match="not a review log"):
        ReviewLog(tmp_path / "x")


_STEP = st.tuples(
    st.integers(0, 2),
    st.sampled_from("ab"),
    st.sampled_from([PASS, FAIL, CORRECT, DISCARD, "undo", "ai", "route"]),
)


@settings(max_examples=40, deadline=None)
@given(st.lists(_STEP, max_size=12), st.sampled_from(RULES))
def test_the_cached_state_is_the_fold_of_the_log(tmp_path_factory, steps, rule):
    path = tmp_path_factory.mktemp("log") / "r.sqlite"
    with ReviewLog(path, rule) as log:
        log.sync_tasks([task(n) for n in range(3)])
        for number, (which, who, what) in enumerate(steps):
            task_id = task(which).id
            if what == "route":
                apply_routing(log, Routing(pass_share=0.5, seed=number))
            elif what == "ai":
                log.append([ai(task_id, PASS if number % 2 else FAIL, number)])
            elif what == "undo":
                last = log.last_of(who)
                if last:
                    log.append([said(last.task_id, UNDO, who, number=number, undoes=last.id)])
            else:
                log.append([said(task_id, what, who, number=number)])
        cached = log.rows("SELECT task_id, stage, outcome, ai, human FROM tasks ORDER BY task_id")
        for task_id, *columns in cached:
            state = fold(log.history(task_id), rule)
            assert columns == [state.stage, state.outcome, state.ai, state.human]
            assert (state.stage == DONE) <= (state.outcome != PROPOSED)
        log.refold()
        assert log.rows("SELECT task_id, stage, outcome, ai, human FROM tasks ORDER BY task_id") == cached
        history = list(log.decisions())
    # The log alone says it all: replayed into an empty file it gives the same states.
    with ReviewLog(path.with_name("again.sqlite"), rule) as again:
        again.sync_tasks([task(n) for n in range(3)])
        again.append(history)
        assert again.rows("SELECT task_id, stage, outcome, ai, human FROM tasks ORDER BY task_id") == cached


def test_every_pair_of_verdicts_and_every_rule_ends_somewhere():
    for rule, a, h in itertools.product(RULES, (PASS, FAIL), (PASS, FAIL, None)):
        decisions = [ai(T, a), route(h is not None), *([said(T, h)] if h else [])]
        state = fold(decisions, rule)
        assert state.stage in (DONE, TO_CORRECT, WAIT)
        assert (state.ai, state.human) == (a, h or "not_sent")
