"""Review: who gets which task, and who looks at what."""

import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zcurate.curation.active.review import agreement
from zcurate.curation.active.review.decisions import ReviewLog
from zcurate.curation.active.review.queue import Filters, LostTaskError, ReviewQueue
from zcurate.curation.active.review.routing import (
    AI_FAIL,
    LETTERING,
    NO_AI,
    RANDOM,
    RARE,
    Routing,
    apply_routing,
    lettering_agreement,
    queue_rank,
    route,
)
from zcurate.curation.active.review.states import CORRECT, DONE, FAIL, HUMAN, PASS, SKIP, TO_CORRECT
from zcurate.curation.errors import ConfigError, DatasetError

from .review_cases import ai, pair_task, said, task


class Clock:
    now = 1_800_000_000.0

    def __call__(self):
        return self.now


@pytest.fixture
def log(tmp_path):
    with ReviewLog(tmp_path / "r.sqlite") as found:
        found.sync_tasks([task(n) for n in range(6)])
        yield found


@pytest.fixture
def queue(log):
    return ReviewQueue(log, 60.0, Clock())


def ids(*numbers):
    return [task(n).id for n in numbers]


def test_reviewers_get_different_tasks_until_a_lease_runs_out(queue):
    assert queue.next_tasks("ann", Filters()) == ids(0, 1)
    assert queue.next_tasks("bob", Filters()) == ids(2, 3)
    assert queue.next_tasks("ann", Filters()) == ids(0, 1)
    assert queue.holder(ids(0)[0]) == "ann"
    assert not queue.hold(ids(0)[0], "bob")
    queue._clock.now += 61
    assert queue.holder(ids(0)[0]) is None
    assert queue.next_tasks("bob", Filters()) == ids(0, 1)


def test_a_sign_of_life_keeps_a_task(queue):
    queue.next_tasks("ann", Filters())
    queue._clock.now += 50
    assert queue.hold(ids(0)[0], "ann")
    queue._clock.now += 50
    assert queue.next_tasks("bob", Filters()) == ids(1, 2)


def test_many_reviewers_at_once_judge_every_task_once(tmp_path):
    """Eight threads over two connections to one file, as two servers would."""
    count, path = 120, tmp_path / "r.sqlite"
    with ReviewLog(path) as log:
        log.sync_tasks([task(n) for n in range(count)])
    logs = [ReviewLog(path), ReviewLog(path)]
    problems = []

    def work(name, log):
        queue = ReviewQueue(log)
        while held := queue.next_tasks(name, Filters()):
            try:
                queue.decide(held[0], name, PASS, {}, queue.version(held[0]))
            except LostTaskError as e:
                problems.append(e)

    threads = [threading.Thread(target=work, args=(f"r{i}", logs[i % 2])) for i in range(8)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    judged = [d.task_id for d in logs[0].decisions()]
    assert problems == []
    # Whoever finds nothing free stops; what is held by others then is judged by them.
    assert sorted(judged) == sorted(set(judged)) == sorted(ids(*range(count)))
    for log in logs:
        log.close()


def test_a_decision_needs_the_task_as_it_was_shown(queue):
    first = ids(0)[0]
    queue.next_tasks("ann", Filters())
    with pytest.raises(LostTaskError, match="ann has this task"):
        queue.decide(first, "bob", PASS, {})
    version = queue.version(first)
    done = queue.decide(first, "ann", FAIL, {"unsatisfied": ["e1"]}, version, "d" * 32)
    assert queue.decide(first, "ann", FAIL, {"unsatisfied": ["e1"]}, version, "d" * 32).id == done.id
    with pytest.raises(LostTaskError, match="decided meanwhile"):
        queue.decide(first, "bob", PASS, {}, version)
    assert [d.action for d in queue.log.history(first)] == [FAIL]
    with pytest.raises(DatasetError, match="no task"):
        queue.decide("0" * 32, "ann", PASS, {}, 0)


def test_undo_brings_the_last_task_back(queue):
    assert queue.undo("ann") is None
    for n in (0, 1):
        queue.decide(ids(n)[0], "ann", PASS, {})
    queue.decide(ids(2)[0], "ann", SKIP, {})
    assert queue.undo("ann") == ids(1)[0]
    assert queue.holder(ids(1)[0]) == "ann"
    assert queue.undo("ann") == ids(0)[0]
    assert queue.undo("ann") is None
    assert queue.next_tasks("ann", Filters()) == ids(0, 1)


def test_an_undo_does_not_pull_a_task_from_under_somebody(queue):
    queue.decide(ids(0)[0], "ann", FAIL, {})
    assert queue.next_tasks("bob", Filters(stage=TO_CORRECT)) == ids(0)
    with pytest.raises(LostTaskError, match="bob is working on it"):
        queue.undo("ann")
    assert queue.log.state(ids(0)[0]).human == FAIL


def test_skipped_tasks_come_last_and_stay_with_others(queue):
    queue.decide(ids(0)[0], "ann", SKIP, {})
    assert queue.next_tasks("ann", Filters(), 6) == ids(1, 2, 3, 4, 5, 0)
    assert queue.next_tasks("bob", Filters()) == []
    queue.next_tasks("ann", Filters(text="nothing like it"))
    assert queue.next_tasks("bob", Filters(), 1) == ids(0)


def test_a_second_opinion_goes_to_a_second_person(log, queue):
    apply_routing(log, Routing(second_share=1.0))
    queue.decide(ids(0)[0], "ann", PASS, {})
    assert queue.next_tasks("ann", Filters(), 1) == ids(1)
    assert queue.next_tasks("bob", Filters(), 1) == ids(0)
    queue.decide(ids(0)[0], "bob", PASS, {})
    assert log.state(ids(0)[0]).stage == DONE


def test_filters(log, queue):
    log.sync_tasks(
        [
            task(0, context={"source": "a", "key": "x", "scores": {"aesthetic": 3.0}}),
            task(1, context={"source": "b", "key": "百", "scores": {"aesthetic": 8.0}}),
            task(2, fields={"zh_long": "一百只ＣＡＴ"}, context={"source": "b"}),
            pair_task(),
        ]
    )
    apply_routing(log, Routing())

    def found(**filters):
        return queue.listed(Filters(**filters))[0]

    assert found() == 4
    assert found(source="b") == 2
    assert found(kind="pair") == 1
    assert found(text="cat") == 1
    assert found(text=" 百 ") == 2
    assert found(text='%" OR 1=1 --') == 0
    assert found(aesthetic_from=3.0, aesthetic_to=7.0) == 1
    assert found(why=NO_AI) == 4
    assert found(why="no") == 0
    queue.decide(task(0).id, "ann", PASS, {})
    assert found(stage=DONE, outcome="accepted") == 1
    assert found(stage=DONE, outcome="corrected") == 0
    assert sum(queue.counts().values()) == 4
    assert queue.sources() == ["", "a", "b"]


def test_pace_is_over_the_last_hour_of_work(queue):
    for n in range(6):
        queue.decide(ids(n)[0], "ann", PASS, {})
        queue._clock.now += 7.2
    count, pace = queue.pace("ann")
    assert count == 6
    assert pace == pytest.approx(500, rel=0.01)
    assert queue.pace("bob") == (0, None)


# -- routing


def test_every_reason_sends_a_task():
    one = task(context={"lettering_agreement": 0.2, "rarest_count": 2})
    assert route(one, None, Routing(lettering_below=None, rare_below=0)).reasons == (NO_AI,)
    assert route(one, FAIL, Routing(lettering_below=None, rare_below=0)).reasons == (AI_FAIL,)
    assert route(one, PASS, Routing(pass_share=0.0)).reasons == (LETTERING, RARE)
    assert route(one, PASS, Routing(pass_share=1.0, lettering_below=0.2, rare_below=2)).reasons == (RANDOM,)
    assert not route(one, None, Routing(without_ai=False)).sent
    assert not route(one, FAIL, Routing(ai_fails=False, lettering_below=None, rare_below=0)).sent
    with pytest.raises(ConfigError, match="pass_share is 2"):
        Routing(pass_share=2)


def test_the_random_share_is_as_asked_and_larger_ones_contain_smaller_ones():
    tasks = [task(n, context={}) for n in range(3000)]
    small, large = ({t.id for t in tasks if route(t, PASS, Routing(pass_share=s)).sent} for s in (0.05, 0.2))
    assert small < large
    assert len(small) == pytest.approx(150, abs=40)
    assert len(large) == pytest.approx(600, abs=75)
    other = {t.id for t in tasks if route(t, PASS, Routing(pass_share=0.2, seed=1)).sent}
    assert len(other & large) == pytest.approx(120, abs=40)


def test_routes_are_written_once_and_stay_with_people(log):
    assert apply_routing(log, Routing()) == 6
    assert apply_routing(log, Routing()) == 0
    log.append([said(ids(0)[0], FAIL), *(ai(i, PASS) for i in ids(0, 1))])
    assert apply_routing(log, Routing(pass_share=0.0, rare_below=0)) == 5
    assert log.state(ids(0)[0]).stage == TO_CORRECT
    assert (log.state(ids(1)[0]).outcome, log.state(ids(1)[0]).human) == ("accepted", "not_sent")


def test_the_queue_is_a_weighted_sample_from_its_start():
    ranks = sorted((queue_rank(f"s{n}", 9.0 if n % 10 == 0 else 1.0), n) for n in range(4000))
    heavy = sum(n % 10 == 0 for _, n in ranks[:400])
    assert heavy == pytest.approx(200, abs=40)  # half the weight, a tenth of the rows
    assert queue_rank("s", 0.0) > ranks[-1][0]
    with pytest.raises(ConfigError, match="weight of s is -1"):
        queue_rank("s", -1)


def test_agreement_on_lettering():
    assert lettering_agreement(["STOP"], ["stop"]) == 1.0
    assert lettering_agreement(["停车"], ["停"]) == pytest.approx(2 / 3)
    assert lettering_agreement(["ＡＢ"], ["a b"]) == 1.0
    assert lettering_agreement([], ["x"]) == 0.0
    assert lettering_agreement(["..."], []) is None


# -- agreement


@settings(deadline=None)
@given(st.lists(st.tuples(st.sampled_from("pf"), st.sampled_from("pf")), min_size=1, max_size=60))
def test_kappa_is_scikit_learns(pairs):
    metrics = pytest.importorskip("sklearn.metrics")
    found = agreement.kappa(pairs)
    if found.kappa is not None:
        a, b = zip(*pairs, strict=True)
        assert found.kappa == pytest.approx(metrics.cohen_kappa_score(a, b, labels=["p", "f"]))
    else:
        assert len({x for p in pairs for x in p}) == 1
    assert agreement.kappa(pairs, [2.0] * len(pairs)).kappa == pytest.approx(found.kappa)


def test_the_verifiers_false_passes_count_drawn_tasks_only():
    rows = [(PASS, FAIL, True)] * 2 + [(PASS, PASS, True)] * 18 + [(PASS, FAIL, False)] * 30
    rows += [(PASS, None, False)] * 350 + [(FAIL, FAIL, False)] * 45 + [(FAIL, PASS, False)] * 5
    found = agreement.verifier("judge", rows)
    assert (found.passes, found.fails, found.audited, found.false_passes) == (400, 50, 20, 2)
    assert found.false_pass_rate == pytest.approx(0.1)
    assert found.false_pass_low == pytest.approx(0.0279, abs=1e-4)  # Wilson, 2 of 20
    assert found.false_pass_high == pytest.approx(0.3010, abs=1e-4)
    assert found.precision == pytest.approx(0.9)
    assert found.recall == pytest.approx(45 / (45 + 0.1 * 400))


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 10**6))
def test_the_estimate_of_recall_is_unbiased_enough(seed):
    """A verifier with known errors, audited at 20 %: the interval holds the true rate nearly always."""
    import random

    draw = random.Random(seed)
    rows, wrong, passed = [], 0, 0
    for _ in range(2000):
        bad = draw.random() < 0.3
        says = FAIL if draw.random() < (0.8 if bad else 0.05) else PASS
        drawn = draw.random() < 0.2
        rows.append((says, (FAIL if bad else PASS) if says == FAIL or drawn else None, drawn))
        passed += says == PASS
        wrong += says == PASS and bad
    found = agreement.verifier("v", rows)
    # 4 standard errors, so that no seed fails by chance.
    assert abs(found.false_pass_rate - wrong / passed) < 4 * (0.09 * 0.91 / found.audited) ** 0.5
    assert found.recall == pytest.approx(0.8, abs=0.12)


def test_the_report_of_a_log(log):
    log.append([ai(i, PASS) for i in ids(0, 1, 2, 3)] + [ai(ids(4)[0], FAIL)])
    apply_routing(log, Routing(pass_share=1.0, rare_below=0))
    log.append(
        [said(ids(0)[0], PASS), said(ids(1)[0], CORRECT, fields={"en_long": "x"}), said(ids(4)[0], FAIL)]
    )
    log.append([said(ids(0)[0], PASS, "bob"), said(ids(1)[0], PASS, "bob")])
    found = agreement.report(log)
    assert found["verifiers"][0]["name"] == "judge@2"
    assert (found["verifiers"][0]["audited"], found["verifiers"][0]["false_passes"]) == (2, 1)
    assert found["people"][0]["reviewers"] == ["ann", "bob"]
    assert found["people"][0]["observed"] == 0.5
    assert found["reviewers"] == {"ann": {PASS: 1, CORRECT: 1, FAIL: 1}, "bob": {PASS: 2}}
    assert {d.actor_kind for d in log.decisions()} >= {HUMAN}
