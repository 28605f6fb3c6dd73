"""An epoch of a feed: which samples come, how often, on how many ranks, and exactly on from any cursor."""

import json
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zcurate.model.data.errors import DataError, PlanError
from zcurate.model.data.feed import ShardFeed
from zcurate.model.data.layout import Batching
from zcurate.model.data.lengths import byte_lengths
from zcurate.model.data.resolution import Resolution
from zcurate.model.data.shards import open_source
from zcurate.model.data.stage import Part
from zcurate.model.pipeline_folder import tiny_pipeline
from zcurate.model.train.conditioning import Encoders
from zcurate.model.train.objective import Draw, Times, batch_from

from .data_case import export, id_of
from .feed_case import epoch, facts, feed, pairs, part, pictures  # noqa: F401 - fixtures among them

# ruff: noqa: F811


@pytest.mark.parametrize("form", ["webdataset", "parquet"])
def test_ranks_share_an_epoch_with_every_sample_once(tmp_path, form):
    export(tmp_path / "e", 41, form)
    feeds = [feed(part(tmp_path / "e"), rank=r, ranks=3) for r in range(3)]
    batches = [list(f) for f in feeds]
    assert {len(b) for b in batches} == {len(f) for f in feeds}
    assert len({len(f) for f in feeds}) == 1
    examples = [e for rank in batches for b in rank for e in b]
    assert feeds[0].facts()["left_out"] == 0
    assert sorted(e.id for e in examples) == sorted(id_of(i).hex() for i in range(41))
    for e in examples:
        assert e.pixels.dtype == np.uint8
        assert e.pixels.shape[0] % 2 == 0
        assert e.pixels.shape[1] % 2 == 0
        assert e.pixels.shape[0] * e.pixels.shape[1] <= 32 * 32
    second = [e.id for f in feeds for e in epoch(f)]
    assert sorted(second) == sorted(e.id for e in examples)
    assert second != [e.id for e in examples]


def test_planned_lengths_are_those_the_model_packs(pictures, pairs):
    """No micro-batch is longer for the model than it was planned to be, edits and semantic tokens included."""
    for semantic in (False, True):
        pipeline = tiny_pipeline(0, semantic=semantic)
        one = feed(
            part(pictures[0], captions={"en_long": 1, "zh_tags": 1}, dropout=0.2),
            part(pairs[0], reference_resolution={"side_px": 24}),
            pipeline=pipeline,
            token_budget=1700,
        )
        laid, encoders = one.laid(), Encoders(pipeline)
        seen = 0
        for step, batch in enumerate(one):
            conditions, latents = encoders(batch)
            draws = [Draw(0, 0, i, len(batch)) for i in range(len(batch))]
            layout = batch_from(
                [e.id for e in batch], conditions, latents, draws, Times(), pipeline.transformer
            ).layout
            planned = laid.epoch.lengths[laid.batch(step, 0)]
            assert list(layout.joint.lengths) == planned.tolist()
            assert sum(layout.joint.lengths) <= 1700
            seen += len(batch)
        assert seen == 52


def test_row_groups_are_read_once_an_epoch_while_they_fit(tmp_path):
    export(tmp_path / "e", 900, "parquet", rows_per_shard=300)
    one = feed(part(tmp_path / "e"))
    list(one)
    reader = one.parts[0].part.source.reader
    assert reader.reads == 9
    # With a third of the data in memory windows shrink, and groups are read twice only at their edges.
    third = sum(t.nbytes for t in reader._kept.values()) // 3
    source = open_source(tmp_path / "e", byte_lengths, kept_bytes=third)
    assert source.window_blocks == 2
    batching = Batching(1024, window_blocks=source.window_blocks, token_px=2)
    tight = ShardFeed([Part(source, Resolution.side(32, grid_px=2))], batching)
    list(tight)
    assert 9 <= source.reader.reads <= 14


def test_parts_come_by_their_shares(pictures, pairs):
    one = feed(part(pictures[0], share=4), part(pairs[0], share=1))
    edits = {p.facts["pair_id"] for p in pairs[1]}
    seen = Counter()
    for _ in range(6):
        ids = [e.id for e in epoch(one)]
        assert len(ids) == 50
        assert sum(i in edits for i in ids) == 10
        seen.update(i for i in ids if i in edits)
    assert len(seen) == 12  # what one epoch leaves out another has
    with pytest.raises(PlanError, match="every part a share"):
        next(iter(feed(part(pictures[0], share=4), part(pairs[0]))))


def test_weights_set_how_often_samples_come(pictures):
    one = feed(part(pictures[0], weighted=True))
    times = Counter(e.id for _ in range(30) for e in epoch(one))
    weight = {r["sample_id"].hex(): r["weight"] for r in pictures[1]}
    mean = sum(weight.values()) / 40
    for group in (1.0, 2.0, 3.0):
        ids = [i for i, w in weight.items() if w == group]
        assert sum(times[i] for i in ids) / len(ids) / 30 == pytest.approx(group / mean, rel=0.1)


@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.tuples(st.integers(1, 4), st.integers(0, 9)), min_size=1, max_size=4), st.integers(0, 2**20)
)
def test_an_epoch_stays_one_epoch_however_often_the_ranks_change(pictures, stretches, seed):
    """Each stretch runs some steps on some ranks and hands its cursor on; the last one ends the epoch."""
    state, seen, whole = None, [], sorted(id_of(i).hex() for i in range(40))
    for number, (ranks, steps) in enumerate(stretches):
        feeds = [feed(part(pictures[0]), seed=seed, rank=r, ranks=ranks, threads=1) for r in range(ranks)]
        if state is not None:
            for f in feeds:
                f.load_state_dict(json.loads(json.dumps(state)))
        last = number == len(stretches) - 1
        if feeds[0].state_dict()["epoch"]:
            return
        steps = len(feeds[0]) if last else min(steps, len(feeds[0]) - 1)
        for f in feeds:
            laid = f.laid()
            first = f.state_dict()["stretches"][-1][1]
            for step in range(first, max(first, steps)):
                seen += [
                    f.parts[0].part.source.rows.id_of(laid.epoch.row[n]) for n in laid.batch(step, f.rank)
                ]
            f._step = max(first, steps)
        state = feeds[0].state_dict()
    left = (
        len(feeds[0].laid().members) if feeds[0].laid().plan is None else len(feeds[0].laid().plan.left_out)
    )
    assert len(set(seen)) == len(seen)
    assert set(seen) <= set(whole)
    assert len(seen) == len(whole) - left
    assert left < stretches[-1][0]


def test_a_cursor_gives_exactly_the_next_batch(pictures, pairs):
    def fresh():
        parts = part(pictures[0], share=4), part(pairs[0], share=1)
        return feed(*parts, dropout=0.2, captions={"en_long": 1, "en_user_prompts": 2})

    one = fresh()
    stream = [*one, *one]
    first = len(fresh())
    for cut in (0, 1, first // 2, first - 1, first, first + 3):
        stopped = fresh()
        handed, states = 0, [stopped.state_dict()]
        while handed < cut:
            for _ in stopped:
                handed += 1
                states.append(stopped.state_dict())
                if handed == cut:
                    break
        resumed = fresh()
        resumed.load_state_dict(json.loads(json.dumps(states[cut])))
        rest = list(resumed) or list(resumed)
        assert facts(rest[:4]) == facts(stream[cut : cut + len(rest)][:4])


def test_cursors_of_other_data_or_settings_are_refused(pictures, pairs):
    state = feed(part(pictures[0])).state_dict()
    for other in (
        feed(part(pairs[0])),
        feed(part(pictures[0]), seed=1),
        feed(part(pictures[0]), token_budget=2048),
        feed(part(pictures[0]), captions={"en_short": 1}),
        feed(part(pictures[0]), dropout=0.5),
        feed(part(pictures[0]), resolution={"side_px": 24}),
    ):
        with pytest.raises(DataError, match="cursor is of other data"):
            other.load_state_dict(state)
    with pytest.raises(DataError, match="cursor"):
        feed(part(pictures[0])).load_state_dict({"feed": "shapes"})


def test_fields_that_are_wrong_are_named(pictures):
    for fields, message in (
        ({"token_budgets": 3}, "token_budgets"),
        ({"token_budget": 0}, "token_budget"),
        ({"resolution": {"min_px": 3}}, "side_px, or min_px and max_px"),
        ({"captions": {"fr": 1}}, "'fr' is no kind"),
        ({"dropout": 2}, "dropout"),
        ({"resolution": None}, "give a resolution"),
        ({"threads": 0}, "threads"),
    ):
        with pytest.raises(DataError, match=message):
            feed(part(pictures[0]), **fields)
    with pytest.raises(DataError, match="parts"):
        feed()
    with pytest.raises(PlanError, match="fewer ranks"):
        len(feed(part(pictures[0]), token_budget=64))
