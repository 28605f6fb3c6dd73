"""The algebra of edits: inverse, composition and the pairs of a group, over arbitrary states."""

from __future__ import annotations

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from zcurate.curation.edits.group import FORWARD, INVERSE, MIXED, Counted, Node, expand
from zcurate.curation.edits.spec import Change, ConflictError, EditSpec, between, canonical, state_key
from zcurate.curation.edits.taxonomy import TASKS, classify, types_of

OBJECTS = st.fixed_dictionaries(
    {
        "sprite": st.sampled_from("abc"),
        "x": st.floats(0, 1),
        "y": st.floats(0, 1),
        "scale": st.sampled_from([0.5, 1, 1.0, 2]),
        "hue": st.integers(0, 360),
    }
)
SLOTS = {
    **{f"object/{i}": OBJECTS for i in range(3)},
    "photometric/brightness": st.floats(-1, 1).filter(bool),
    "pixel/blur": st.floats(0.1, 5),
    "style/0": st.fixed_dictionaries({"name": st.sampled_from(["film", "sketch", "posterize"])}),
    "background/0": st.text(min_size=1, max_size=4),
    "geometry/0": st.fixed_dictionaries({"op": st.sampled_from(["crop", "flip", "rotate"])}),
}
STATES = st.fixed_dictionaries({}, optional=SLOTS)


def same(a, b):
    return canonical({k: v for k, v in a.items() if v is not None}) == canonical(
        {k: v for k, v in b.items() if v is not None}
    )


@settings(deadline=None)  # no test is timed
@given(STATES, STATES)
def test_spec_between_two_states_leads_from_one_to_the_other(a, b):
    spec = between(a, b)
    assert same(spec.apply(a), b)
    assert same(spec.inverse().apply(b), a)
    assert spec.inverse().inverse() == spec
    assert spec.inverse().inverse().order == spec.order
    assert EditSpec.from_json(spec.to_json()) == spec


@settings(deadline=None)  # no test is timed
@given(STATES, STATES, STATES)
def test_composing_two_steps_is_the_direct_edit(a, b, c):
    assert between(a, b).then(between(b, c)) == between(a, c)
    assert between(a, b).then(between(a, b).inverse()) == EditSpec()


@settings(deadline=None)  # no test is timed
@given(STATES, STATES, STATES, STATES)
def test_composition_is_associative(a, b, c, d):
    first, second, third = between(a, b), between(b, c), between(c, d)
    assert first.then(second).then(third) == first.then(second.then(third))


@settings(deadline=None)  # no test is timed
@given(STATES, STATES)
def test_types_are_known_tasks_and_the_way_back_has_their_inverses(a, b):
    spec = between(a, b)
    forward, back = types_of(spec, a), types_of(spec.inverse(), b)
    assert set(forward) | set(back) <= set(TASKS)
    assert bool(forward) == bool(spec.changes)
    for change in spec.changes:
        there, again = set(classify(change)), set(classify(change.inverse()))
        for task in there & {
            t for t in there if TASKS[t].inverse and not TASKS[t].id.startswith(("style", "geometry"))
        }:
            assert TASKS[task].inverse in again, (change, task, again)


@settings(deadline=None)  # no test is timed
@given(st.lists(STATES.filter(bool), min_size=1, max_size=5, unique_by=state_key))
def test_n_versions_give_all_ordered_pairs(states):
    nodes = [Node({}), *(Node(s) for s in states)]
    n, counted = len(states), Counted()
    found = list(expand(nodes, counted, most_changes=99))
    assert len(found) == n * (n + 1)
    kinds = [p.kind for p in found]
    assert (kinds.count(FORWARD), kinds.count(INVERSE), kinds.count(MIXED)) == (n, n, n * (n - 1))
    assert [p for p in found if p.target_is_real] == [p for p in found if p.kind == INVERSE]
    for pair in found:
        assert same(pair.spec.apply(nodes[pair.source].state), nodes[pair.target].state)
    assert not counted.skipped


@settings(deadline=None)  # no test is timed
@given(st.lists(STATES, min_size=1, max_size=5), st.integers(1, 12), st.integers(1, 4))
def test_what_is_left_out_is_counted(states, cap, most):
    nodes, counted = [Node({}), *(Node(s) for s in states)], Counted()
    found = list(expand(nodes, counted, most_changes=most, cap=cap))
    assert len(found) + sum(counted.skipped.values()) == len(states) * (len(states) + 1)
    assert len(found) <= cap
    assert all(1 <= len(p.spec.changes) <= most for p in found)


@settings(deadline=None)  # no test is timed
@given(STATES, STATES)
def test_an_edit_refuses_a_picture_it_does_not_start_from(a, b):
    spec = between(a, b)
    assume(spec.changes)
    slot = spec.changes[0].slot
    with pytest.raises(ConflictError, match=slot):
        spec.apply({**a, slot: "something else"})
    with pytest.raises(ConflictError, match=slot):
        EditSpec((Change(slot, "never", "this"),)).then(EditSpec((Change(slot, "nor", "that"),)))


@pytest.mark.parametrize(
    ("slot", "before", "after", "types"),
    [
        ("object/0", None, {"sprite": "a"}, ("object.add",)),
        ("object/0", {"sprite": "a", "x": 0}, {"sprite": "a", "x": 1}, ("object.move",)),
        ("object/0", {"sprite": "a"}, {"sprite": "b"}, ("object.replace",)),
        ("part/0", None, {"removed": True}, ("object.remove",)),
        ("part/0", {"removed": True}, None, ("object.add",)),
        ("part/0", None, {"hue": 40}, ("attr.color",)),
        ("text/0", {"text": "a", "lang": "en"}, {"text": "b", "lang": "en"}, ("text.replace",)),
        ("text/0", {"text": "a", "lang": "en"}, {"text": "啊", "lang": "zh"}, ("text.translate",)),
        ("style/0", {"name": "sketch"}, None, ("reference.sketch",)),
        ("style/0", {"name": "film"}, {"name": "sketch"}, ("style.change",)),
        ("pixel/blur", 2.0, None, ("pixel.deblur",)),
        ("pixel/blur", 1.0, 2.0, ("pixel.blur",)),
        ("photometric/grey", None, 1, ("pixel.grey",)),
        ("photometric/grey", 1, None, ("pixel.colorize",)),
        ("geometry/0", {"op": "crop"}, None, ("geometry.outpaint",)),
        ("image/0", None, {"version": "x", "type": "object.add"}, ("object.add",)),
        ("image/0", {"version": "x", "type": "object.add"}, None, ("object.remove",)),
    ],
)
def test_type_of_a_change(slot, before, after, types):
    assert classify(Change(slot, before, after)) == types


def test_two_texts_that_trade_places_are_swapped_not_replaced():
    a, b = (
        {"text": "SALE", "lang": "en", "color": "red"},
        {"text": "OPEN", "lang": "en", "color": "blue"},
    )
    state = {"text/0": a, "text/1": b}
    traded = {"text/0": {**a, "text": "OPEN"}, "text/1": {**b, "text": "SALE"}}
    assert types_of(between(state, traded), state) == ("text.swap",)


def test_one_more_of_what_is_there_is_a_change_of_number():
    state = {"object/0": {"sprite": "cup", "x": 0.1}}
    more = {**state, "object/1": {"sprite": "cup", "x": 0.6}}
    assert types_of(between(state, more), state) == ("object.count",)
    assert types_of(between(more, state), more) == ("object.count",)
    assert types_of(between(more, {}), more) == ("object.remove",)


@pytest.mark.parametrize("slot", ["nonsense/0", "object"])
def test_unknown_slots_and_empty_changes_are_refused(slot):
    with pytest.raises(KeyError, match=slot):
        classify(Change(slot, {"sprite": 1}, {"sprite": 1, "mood": 2}))
    with pytest.raises(ConflictError):
        EditSpec((Change("a", 1, 1.0),))
    with pytest.raises(ConflictError):
        EditSpec((Change("a", 1, 2), Change("a", 2, 3)))
    with pytest.raises(ValueError, match="edit spec"):
        EditSpec.from_json("{}")
