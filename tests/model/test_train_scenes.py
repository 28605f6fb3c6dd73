"""Scenes with edits among them, at several sizes, as a feed of the trainer."""

import numpy as np
import pytest

from zcurate.model.data.shapes.drawing import render
from zcurate.model.data.shapes.feed import ShapesFeed
from zcurate.model.data.shapes.reading import claims_of, verify
from zcurate.model.data.shapes.world import is_held_out, sample_spec
from zcurate.model.train.errors import RecipeError
from zcurate.model.train.feeds import feed_of
from zcurate.model.train.parallel import Group
from zcurate.model.train.scenes import SceneFeed, edited


def feed(**values):
    return SceneFeed(ShapesFeed(seed=3, batch=16, steps=8, dropout=0.0), **values)


def test_a_share_of_samples_are_edits():
    batches = list(feed(edits=0.25))
    examples = [e for batch in batches for e in batch]
    assert len(batches) == 8
    edits = [e for e in examples if e.references]
    assert 0.15 < len(edits) / len(examples) < 0.35
    assert all(not np.array_equal(e.pixels, e.references[0]) for e in edits)


def test_an_edit_changes_what_it_says_and_nothing_held_out_appears():
    seen = set()
    for seed in range(150):
        rng = np.random.default_rng(seed)
        spec = sample_spec(rng)
        target, text = edited(spec, rng, 0.15)
        assert target != spec
        assert all(held for _, held in verify(render(target), claims_of(target)))
        assert not any(not t.glyph and is_held_out(t.color, t.kind, 0.15) for t in target.things)
        gone = {t.concept for t in spec.things} - {t.concept for t in target.things}
        if text.startswith("remove"):
            assert len(target.things) == len(spec.things) - 1
            assert gone
        if text.startswith("change the background"):
            assert text.endswith(target.background)
            assert not gone
        if text.startswith("make"):
            assert text.split()[-1] in {t.color for t in target.things}
        seen.add(text.split()[0][0])
    assert {"m", "r", "c", "把"} <= seen


def test_sizes_are_drawn_and_references_follow_their_target():
    examples = [e for batch in feed(edits=0.5, sides_px=[16, 32, 48]) for e in batch]
    assert {e.pixels.shape for e in examples} == {(s, s, 3) for s in (16, 32, 48)}
    assert all(r.shape == e.pixels.shape for e in examples for r in e.references)


def test_a_feed_goes_on_behind_its_cursor():
    whole = [[(e.id, e.prompt) for e in batch] for batch in feed(edits=0.3)]
    first = feed(edits=0.3)
    stream = iter(first)
    for _ in range(3):
        next(stream)
    again = feed(edits=0.3)
    again.load_state_dict(first.state_dict())
    assert [[(e.id, e.prompt) for e in batch] for batch in again] == whole[3:]
    assert [[(e.id, e.prompt) for e in batch] for batch in again] != whole  # the next epoch has other scenes


@pytest.mark.parametrize(
    ("data", "fault"),
    [
        ({"kind": "shapes", "edits": 2}, r"data\.edits"),
        ({"kind": "shapes", "sides_px": [30]}, r"data\.sides_px"),
        ({"kind": "shapes", "colour": 1}, "no field colour"),
        ({"kind": "shapes", "distribution": {"zipff": 1}}, "zipff"),
        ({"kind": "shapes", "distribution": 3}, "kind shapes"),
        ({"kind": "tables"}, r"data\.kind"),
    ],
)
def test_wrong_fields_of_the_data_are_named(data, fault):
    with pytest.raises(RecipeError, match=fault):
        feed_of(data, 0, Group(), None)
