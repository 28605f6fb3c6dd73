"""Concepts chosen, prompts written, pictures judged, causes named, findings ranked."""

from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from zcurate.captioner.elements import elements
from zcurate.curation.active.causes import (
    BAD_DATA,
    CONFUSED,
    LACKS_DATA,
    UNDERWEIGHTED,
    UNKNOWN,
    Evidence,
    cause_of,
)
from zcurate.curation.active.choosing import Choice, Concept, choose
from zcurate.curation.active.judging import judge
from zcurate.curation.active.mentions import Mentions
from zcurate.curation.active.prompting import naming, prompts_for
from zcurate.curation.active.ranking import ranked
from zcurate.curation.active.testing import Plan, Tally

PICTURE = np.zeros((8, 8, 3), np.uint8)


def catalog():
    head = [Concept(f"head{i}", prior=0.09, samples=1000) for i in range(5)]
    thin = [Concept(f"thin{i}", prior=0.05, samples=3) for i in range(4)]
    rare = [Concept(f"rare{i}", prior=0.001, samples=50) for i in range(4)]
    new = [Concept("trend old", 0.0, 0, added="2024-03-01"), Concept("trend new", 0.0, 0, added="2026-11-01")]
    return [*head, *thin, *rare, *new]


def test_concepts_are_chosen_by_every_rule_and_named_ones_always():
    chosen = choose(catalog(), Choice(count=10, low_data=0.4, recent=0.1, rare=0.2), ["head4"])
    by = {}
    for c in chosen:
        by.setdefault(c.reason, []).append(c.concept.name)
    assert by["named"] == ["head4"]
    assert set(by["low_data"]) == {"thin0", "thin1", "thin2", "thin3"}
    assert by["recent"] == ["trend new"]
    assert by["rare"] == ["rare0", "rare1"]
    assert by["prior"] == ["head0", "head1"]
    assert len({c.concept.name for c in chosen}) == len(chosen) == 10


def test_a_name_that_is_no_concept_is_an_error():
    with pytest.raises(ValueError, match="no concept 'dragon'"):
        choose(catalog(), Choice(), ["dragon"])


@given(st.integers(0, 200), st.integers(0, 200), st.integers(0, 5))
def test_prompts_of_fewer_pictures_are_the_first_of_more(few, more, seed):
    few, more = sorted((few, more))
    concept = Concept("squirrel fish", aliases=("金鳞鱼",))
    asked = ["a squirrel fish in a coral reef", "Squirrel Fish, macro", "squirrels fishing", "水里的金鳞鱼"]
    long = prompts_for(concept, more, asked, seed)
    assert prompts_for(concept, few, asked, seed) == long[:few]
    assert len(set(long)) == len(long)
    assert all(0 <= s < 2**31 for _, s in long)


def test_prompts_are_in_both_languages_and_from_users():
    concept = Concept("squirrel fish", aliases=("金鳞鱼", "Holocentridae"))
    prompts = {
        p for p, _ in prompts_for(concept, 20, ["a squirrel fish in a coral reef", "squirrels fishing"])
    }
    assert {"squirrel fish", "一张金鳞鱼的照片", "a squirrel fish in a coral reef"} <= prompts
    assert not any("squirrels" in p or "金鳞鱼 " in p for p in prompts)
    assert naming(concept, ["HOLOCENTRIDAE!", "squirrel fishing"]) == ["HOLOCENTRIDAE!"]


def test_a_longer_name_does_not_name_what_it_is_put_together_from():
    names = ["squirrel", "fish", "squirrel fish"]
    texts = ["a squirrel fish", "a squirrel and a fish", "fish", "a squirrel fish chased by a fish", "fish"]
    mentions = Mentions(texts, names)
    assert [mentions.of(Concept(n)) for n in names] == [[1], [1, 2, 3, 4], [0, 3]]
    assert mentions.of(Concept("squirrels", aliases=("FISH",))) == [1, 2, 3, 4]


@example(["ba金"], "a金")
@given(st.lists(st.text("ab 金鳞!", max_size=12), max_size=20), st.text("ab 金鳞!", min_size=1, max_size=4))
def test_the_index_finds_what_reading_every_text_finds(texts, name):
    found = Mentions(texts).of(Concept(name))
    assert [texts[i] for i in found] == [t for t in texts if t in naming(Concept(name), texts)]


@dataclass
class Says:
    """A checker that answers by element name."""

    name: str
    known: dict

    def check(self, rgb, prompt, claims):
        return {c.id: self.known.get(c.name) for c in claims}


def test_every_element_is_decided_by_the_first_who_can_tell():
    found = elements("a red car next to a tree")
    first = Says("eyes", {"car": True, "red": False})
    second = Says("model", {"red": True, "tree": True})
    judgement = judge(PICTURE, found.prompt, found.elements, [first, second])
    by_name = {e.name: judgement.answers[e.id] for e in found.elements}
    assert (by_name["red"].satisfied, by_name["red"].checker) == (False, "eyes")
    assert by_name["tree"].checker == "model"
    (placed,) = found.of_kind("spatial")
    assert judgement.answers[placed.id].satisfied is None
    assert judgement.passes is False


def test_without_a_checker_nothing_is_guessed():
    found = elements("a red car")
    assert judge(PICTURE, found.prompt, found.elements, []).passes is None
    assert judge(PICTURE, "", [], []).passes is None
    some = judge(PICTURE, found.prompt, found.elements, [Says("eyes", {"car": True})])
    assert some.passes is None
    car = next(e.id for e in found.elements if e.name == "car")
    assert judge(PICTURE, found.prompt, found.elements, [Says("eyes", {"car": True})], [car]).passes is True


def test_an_answer_about_something_else_is_refused():
    @dataclass
    class Talks:
        name: str = "talks"

        def check(self, rgb, prompt, claims):
            return {"no such element": True}

    found = elements("a red car")
    with pytest.raises(ValueError, match="not asked"):
        judge(PICTURE, found.prompt, found.elements, [Talks()])


@pytest.mark.parametrize(
    ("evidence", "cause", "action"),
    [
        (Evidence(0, 100), LACKS_DATA, "augment"),
        (Evidence(20, 100, checked=20, wrong=1, base_checked=100, base_wrong=3), LACKS_DATA, "augment"),
        (Evidence(200, 100, checked=50, wrong=30, base_checked=100, base_wrong=3), BAD_DATA, "prune"),
        (Evidence(90, 100, low_quality=0.8, base_low_quality=0.1), BAD_DATA, "prune"),
        (Evidence(90, 100, literal=20, failed=24, parts_pass=True), CONFUSED, "augment"),
        (Evidence(5, 100, literal=20, failed=24, parts_pass=False), LACKS_DATA, "augment"),
        (Evidence(90, 100, checked=30, wrong=1, drawn_share=0.1), UNDERWEIGHTED, "reweight"),
        (Evidence(90, 100, checked=30, wrong=1, drawn_share=1.0), UNKNOWN, "review"),
        (Evidence(90, 100, checked=2, wrong=1, base_checked=100, base_wrong=3), UNKNOWN, "review"),
    ],
)
def test_causes_and_their_repair(evidence, cause, action):
    found = cause_of(evidence)
    assert (found.name, found.action) == (cause, action)
    assert found.because


def test_worst_first_by_what_is_surely_missing_and_how_much_it_matters():
    plan = Plan(required=0.5)
    tallies = {
        "broken": Tally(0, 60),
        "weak": Tally(10, 50),
        "few": Tally(0, 3),
        "fine": Tally(58, 2),
        "unseen": Tally(0, 0, 10),
    }
    concepts = [Concept(n) for n in tallies]
    found = ranked(concepts, tallies, plan)
    assert [f.concept.name for f in found] == ["broken", "weak", "few", "fine", "unseen"]
    assert [f.status for f in found] == ["fails", "fails", "undecided", "passes", "unscored"]
    weighted = ranked(concepts, tallies, plan, {"weak": 10.0})
    assert weighted[0].concept.name == "weak"
