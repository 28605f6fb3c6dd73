"""The procedural world: drawn, read back exactly, told in two languages, fed reproducibly."""

from __future__ import annotations

import itertools
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zcurate.model.data.shapes.drawing import coverage, render
from zcurate.model.data.shapes.feed import ShapesFeed
from zcurate.model.data.shapes.rare import RARE
from zcurate.model.data.shapes.reading import SIZES_PX, Claim, claims_of, holds, read, verify
from zcurate.model.data.shapes.words import captions, prompt_of
from zcurate.model.data.shapes.world import (
    BACKGROUNDS,
    COLORS,
    GLYPHS,
    SHAPES,
    Distribution,
    SceneSpec,
    Thing,
    held_out_concepts,
    hierarchy,
    sample_spec,
    scene_of,
    tags,
)

SPECS = st.integers(0, 2**32).map(lambda n: sample_spec(np.random.default_rng(n), Distribution(held_out=0)))


@settings(max_examples=150, deadline=None)
@given(SPECS)
def test_a_clean_picture_is_read_back_exactly(spec):
    reading = read(render(spec))
    assert sorted(t.concept for t in reading.things) == sorted(t.concept for t in spec.things)
    assert reading.background == spec.background
    assert all(t.quality > 0.98 for t in reading.things)
    assert reading.unexplained < 1
    assert all(right for _, right in verify(render(spec), spec))


def test_noise_of_a_tenth_is_read_through():
    rng = np.random.default_rng(0)
    right = total = 0
    for _ in range(200):
        spec = sample_spec(rng, Distribution(held_out=0))
        noisy = np.clip(render(spec) + rng.normal(0, 25.5, (32, 32, 3)), 0, 255)
        verdicts = verify(noisy.astype(np.uint8), spec)
        total += len(verdicts)
        right += sum(v for _, v in verdicts)
    assert right / total >= 0.99


@settings(max_examples=80, deadline=None)
@given(SPECS, st.integers(0, 2**32))
def test_a_picture_does_not_bear_out_what_is_not_in_it(spec, seed):
    """Another color, another kind, one more thing, the relation turned round: each is refused."""
    reading = read(render(spec))
    rng = np.random.default_rng(seed)
    there = {t.concept for t in spec.things}
    others = [f"{c} {s}" for c in COLORS for s in SHAPES if f"{c} {s}" not in there]
    assert not holds(Claim("object", str(rng.choice(others))), reading)
    assert not holds(Claim("count", number=len(spec.things) + 1), reading)
    assert not holds(Claim("background", word=next(b for b in BACKGROUNDS if b != spec.background)), reading)
    for claim in claims_of(spec):
        if claim.kind == "relation" and claim.word != "diagonal to":
            assert not holds(Claim("relation", claim.other, claim.word, claim.subject), reading)


@pytest.mark.parametrize("picture", ["noise", "blank", "stripes"])
def test_pictures_of_nothing_hold_nothing(picture):
    rng = np.random.default_rng(0)
    pixels = {
        "noise": rng.integers(0, 256, (32, 32, 3)),
        "blank": np.full((32, 32, 3), 255),
        "stripes": np.repeat(np.arange(32)[None, :, None] % 2 * 60 + 190, 32, 0).repeat(3, 2),
    }[picture].astype(np.uint8)
    assert read(pixels).things == ()
    with pytest.raises(ValueError, match="32 x 32"):
        read(np.zeros((8, 8, 3), np.uint8))


def test_every_combination_is_told_apart():
    """All colors and kinds one by one, on every background, at every size: read as what they are."""
    wrong = []
    places = [(0, 0), (0, 1), (1, 0), (1, 1)]
    for background in BACKGROUNDS:
        for color in COLORS:
            kinds = [(s, size, "") for s in SHAPES for size in (9, 11, 13)] + [
                ("glyph", 0, g) for g in GLYPHS
            ]
            for i in range(0, len(kinds), 4):
                things = tuple(
                    Thing(kind, color, *place, size, 0, 0, glyph)
                    for (kind, size, glyph), place in zip(kinds[i : i + 4], places, strict=True)
                )
                found = read(render(SceneSpec(things, background))).things
                if sorted(f.concept for f in found) != sorted(t.concept for t in things):
                    wrong.append((background, things, found))
    assert not wrong


def test_drawings_stay_inside_and_apart():
    for seed in range(200):
        spec = sample_spec(np.random.default_rng(seed))
        covers = [coverage(t) for t in spec.things]
        assert max(sum(c > 0 for c in covers).max(), 1) == 1  # no two things share a pixel
    with pytest.raises(ValueError, match="place of its own"):
        SceneSpec((Thing("circle", "red", 0, 0), Thing("square", "blue", 0, 0)))
    with pytest.raises(ValueError, match="unknown"):
        SceneSpec((Thing("circle", "mauve", 0, 0),))


@given(SPECS)
def test_captions_say_what_is_there_and_nothing_else(spec):
    told = captions(spec)
    for thing in spec.things:
        for kind in ("long", "medium", "short"):
            assert thing.color in told["en"][kind].lower()
            if thing.glyph:
                assert f'"{thing.glyph}"' in told["en"][kind]
                assert f"“{thing.glyph}”" in told["zh"][kind]
            else:
                assert thing.kind in told["en"][kind].lower()
    absent = set(SHAPES) - {t.kind for t in spec.things}
    assert not any(re.search(rf"\b{s}\b", told["en"]["long"]) for s in absent)
    bare = re.sub("“[^”]*”", "", told["zh"]["long"])
    assert not re.search("[a-zA-Z]", bare)
    assert not re.search("[\u4e00-\u9fff]", re.sub('"[^"]*"', "", told["en"]["long"]))
    assert len(told["en"]["user_prompts"][0]) < len(told["en"]["short"])
    assert prompt_of(spec).endswith("background")


def test_tags_are_nodes_of_an_acyclic_hierarchy():
    parents = hierarchy()
    for seed in range(100):
        for tag in tags(sample_spec(np.random.default_rng(seed), Distribution(held_out=0))):
            seen, front = set(), {tag}
            while front:
                assert not front & seen
                seen |= front
                front = {p for t in front for p in parents[t]}
            assert seen & {"shape", "color", "glyph", "background"}


def test_the_distribution_is_what_is_asked_for():
    skewed = Distribution(zipf=1.2, weights={"red circle": 0}, held_out=0.2, glyph_share=0)
    counts: dict[tuple[str, str], int] = {}
    rng = np.random.default_rng(0)
    for _ in range(3000):
        for t in sample_spec(rng, skewed).things:
            counts[t.color, t.kind] = counts.get((t.color, t.kind), 0) + 1
    assert ("red", "circle") not in counts
    assert not set(counts) & set(held_out_concepts(0.2))
    head, tail = skewed.concepts()[0], skewed.concepts()[-1]
    assert counts[head] > 8 * counts.get(tail, 0)
    out = held_out_concepts(0.15)
    assert 4 <= len(out) <= 16
    assert {c for c, _ in out} < set(COLORS)  # every color and every shape is still seen
    scene = scene_of([("red", "circle"), ("blue", "A")], rng)
    assert {t.concept for t in scene.things} == {"red circle", "blue glyph A"}


def test_feed_is_the_same_on_any_number_of_ranks_and_resumes():
    def drawn(ranks, batch, steps):
        feeds = [ShapesFeed(3, batch, steps, rank=r, ranks=ranks) for r in range(ranks)]
        return [[(e.id, e.prompt) for e in b] for step in zip(*feeds, strict=True) for b in step]

    one = [e for b in drawn(1, 8, 6) for e in b]
    assert one == [e for b in drawn(2, 4, 6) for e in b]
    feed = ShapesFeed(3, 8, 6)
    early = [[e.prompt for e in b] for b in itertools.islice(feed, 4)]
    state = feed.state_dict()
    rest = [[e.prompt for e in b] for b in feed]
    again = ShapesFeed(3, 8, 6)
    again.load_state_dict(state)
    assert [[e.prompt for e in b] for b in again] == rest
    assert len(early) + len(rest) == 6
    with pytest.raises(ValueError, match="another feed"):
        ShapesFeed(4).load_state_dict(state)
    share = np.mean([e.prompt == "" for b in ShapesFeed(1, 50, 20, dropout=0.3) for e in b])
    assert share == pytest.approx(0.3, abs=0.06)


def test_a_pool_is_gone_through_once_per_turn_with_its_captions_changed():
    pool = tuple(sample_spec(np.random.default_rng(i)) for i in range(12))
    feed = ShapesFeed(0, 4, 3, pool=pool, dropout=0, change=lambda spec, text: f"{text}!")
    batches = list(feed)
    assert sorted(e.id for b in batches for e in b) == sorted(s.id for s in pool)
    assert all(e.prompt.endswith("!") for b in batches for e in b)
    assert sorted(e.id for b in feed for e in b) == sorted(s.id for s in pool)


@pytest.mark.parametrize("kind", [*SHAPES, *RARE])
def test_rare_shapes_are_told_from_all_others(kind):
    """Beside another thing, at every size, in colors near to and far from the ground."""
    other = "ring" if kind != "ring" else "star"
    for size, color in itertools.product(SIZES_PX, ("yellow", "black")):
        things = (Thing(kind, color, 0, 1, size, 1, -1), Thing(other, "blue", 1, 0))
        spec = SceneSpec(things, "beige")
        assert [t.concept for t in read(render(spec), rare=True).things] == [t.concept for t in spec.things]


def test_a_reader_that_knows_no_rare_shapes_never_names_one():
    pictures = [render(SceneSpec((Thing(kind, "black", 0, 0),))) for kind in RARE]
    assert not {t.kind for picture in pictures for t in read(picture).things} & {*RARE}
