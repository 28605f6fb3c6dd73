"""Properties of plans: budgets, epochs, ranks, resumes; sizes that pictures are trained at."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zcurate.model.config import PRESETS
from zcurate.model.data.drawing_numbers import copies, uniform
from zcurate.model.data.errors import PlanError
from zcurate.model.data.lengths import (
    CostModel,
    byte_lengths,
    estimated_lengths,
    sequence_lengths,
    tokenizer_lengths,
)
from zcurate.model.data.planning import padding_waste, plan_epoch, step_cost_spread
from zcurate.model.data.resolution import Resolution, map_size, map_sizes, size_table
from zcurate.model.text_encoders import Qwen3TextEncoder

lengths_lists = st.lists(st.integers(1, 400).map(lambda n: 32 * n), min_size=1, max_size=300)


@settings(max_examples=150, deadline=None)
@given(lengths_lists, st.integers(1, 6), st.integers(64, 20_000), st.integers(0, 2**40), st.booleans())
def test_every_sample_once_in_equally_many_batches_under_the_budget(lengths, ranks, budget, seed, blocked):
    lengths = np.array(lengths)
    blocks = np.arange(len(lengths)) // 7 if blocked else None
    fitting = int((lengths <= budget).sum())
    if fitting < ranks:
        with pytest.raises(PlanError, match="more samples"):
            plan_epoch(lengths, budget, ranks, seed, blocks=blocks)
        return
    plan = plan_epoch(lengths, budget, ranks, seed, blocks=blocks, window_blocks=3)
    batches = [plan.batch(step, rank) for step in range(len(plan)) for rank in range(ranks)]
    assert all(len(b) and lengths[b].max() * len(b) <= budget for b in batches)
    seen = np.concatenate([*batches, plan.too_long, plan.left_out])
    assert sorted(seen.tolist()) == list(range(len(lengths)))
    assert set(plan.too_long.tolist()) == set(np.flatnonzero(lengths > budget).tolist())
    assert len(plan.left_out) < ranks
    for step in range(len(plan)):
        assert plan.global_samples(step) == sum(len(b) for b in plan[step])
    again = plan_epoch(lengths, budget, ranks, seed, blocks=blocks, window_blocks=3)
    assert np.array_equal(again.order, plan.order)
    assert np.array_equal(again.steps, plan.steps)


@settings(max_examples=40, deadline=None)
@given(lengths_lists, st.integers(1, 4), st.integers(1, 9))
def test_a_batch_holds_no_more_samples_than_allowed(lengths, ranks, most):
    lengths = np.array(lengths * 2)
    if len(lengths) < ranks:
        return
    plan = plan_epoch(lengths, 1 << 20, ranks, most_samples=most)
    assert np.diff(plan.starts).max() <= most


def test_epochs_and_seeds_give_other_batches_and_other_orders():
    lengths = np.full(400, 64)
    plans = [plan_epoch(lengths, 640, 2, seed, epoch) for seed, epoch in ((0, 0), (0, 1), (1, 0))]
    sets = [{frozenset(p.batch(s, r).tolist()) for s in range(len(p)) for r in (0, 1)} for p in plans]
    assert len(sets[0] & sets[1]) < 3
    assert len(sets[0] & sets[2]) < 3


def test_steps_come_in_random_order_of_length():
    lengths = np.repeat(np.arange(1, 101) * 32, 20)
    plan = plan_epoch(lengths, 6400, 1)
    means = np.array([lengths[plan.batch(s, 0)].mean() for s in range(len(plan))])
    assert abs(np.corrcoef(means, np.arange(len(means)))[0, 1]) < 0.2


def test_waste_and_spread_are_what_they_say():
    lengths = np.array([32, 32, 64, 64])
    plan = plan_epoch(lengths, 64, 2)
    assert padding_waste(plan, lengths) == 0
    by_hand = [
        1 - min(c) / max(c)
        for c in ([lengths[plan.batch(s, r)].sum() for r in (0, 1)] for s in range(len(plan)))
    ]
    assert step_cost_spread(plan, lengths, CostModel()).tolist() == pytest.approx(by_hand)


def test_mixed_resolutions_waste_little_and_even_out():
    rng = np.random.default_rng(3)
    side, aspect = rng.uniform(256, 1536, 20_000), np.exp(rng.normal(0, 0.4, 20_000))
    width, height = (np.rint(side * f).astype(int) for f in (np.sqrt(aspect), 1 / np.sqrt(aspect)))
    sizes = map_sizes(width, height, Resolution.sides(256, 1536))
    used = sizes[:, 0] > 0
    lengths = sequence_lengths(sizes[used], rng.integers(1, 300, used.sum()))
    cost = CostModel.of(PRESETS["full"])
    plan = plan_epoch(lengths, 32_768, 8, cost=cost)
    assert padding_waste(plan, lengths) <= 0.01
    spread = step_cost_spread(plan, lengths, cost)
    assert spread.mean() <= 0.05
    assert np.quantile(spread, 0.99) <= 0.05


def test_pairs_are_15_percent_of_the_full_models_cost_at_1024():
    cost = CostModel.of(PRESETS["full"])
    tokens = 4096 + 64
    assert cost.per_pair * tokens**2 / float(cost.of_sample(np.array([tokens]))[0]) == pytest.approx(
        0.153, abs=0.004
    )


@settings(max_examples=200, deadline=None)
@given(st.integers(1, 5000), st.integers(1, 5000), st.sampled_from([2, 16]), st.sampled_from([1.0, 1.5]))
def test_sizes_keep_shape_range_and_grid(width, height, grid, upscale):
    r = Resolution(256**2, 1024**2, grid, upscale)
    size = map_size(width, height, r)
    if size is None:
        reachable = width * height * upscale**2
        assert (
            reachable < 256**2
            or max(width, height) / min(width, height) > r.max_aspect
            or min(width, height) * upscale < 2 * grid
        )
        return
    assert size[0] % grid == 0
    assert size[1] % grid == 0
    assert size[0] * size[1] <= 1024**2
    assert size[0] <= width * upscale
    assert size[1] <= height * upscale
    # One grid step of the shorter side is the most that a shape can be off.
    off = abs(np.log(size[0] / size[1] * height / width))
    assert off <= np.log1p(grid / min(size)) + 1e-9
    assert (size[0] >= size[1]) == (width >= height) or size[0] == size[1]


def test_large_pictures_fill_the_area_and_small_ones_are_not_blown_up():
    r = Resolution.sides(256, 1024)
    assert map_size(4000, 4000, r) == (1024, 1024)
    assert map_size(1920, 1080, r) == map_size(1080, 1920, r)[::-1]
    assert map_size(640, 480, r) == (640, 480)
    assert map_size(100, 100, r) is None
    assert map_size(200, 200, Resolution.sides(256, 1024, max_upscale=2)) == (256, 256)
    assert map_size(3000, 300, r) is None
    assert map_size(0, 10, r) is None
    assert map_sizes(np.array([1024, 10]), np.array([768, 10]), r).tolist() == [[1024, 768], [0, 0]]


def test_the_table_of_sizes_is_of_the_function():
    rows = size_table(Resolution.side(256))
    assert len({row["shape"] for row in rows}) == 11
    for row in rows:
        width, height = map(int, row["target"].split("x"))
        assert row["tokens"] == width * height // 256
        assert row["aspect_error"] < 0.06


@pytest.mark.parametrize(
    "fields", [(0, 10), (10, 5), (100, 100)], ids=["empty", "reversed", "below one token"]
)
def test_a_wrong_range_is_refused(fields):
    with pytest.raises(PlanError):
        Resolution(*fields)


def test_text_lengths():
    assert byte_lengths(["a cat, 猫", ""]).tolist() == [5, 1]
    assert estimated_lengths(["", "a cat", "猫猫", "x" * 5000]).tolist() == [8, 10, 10, 512]


def test_lengths_by_the_tokenizer_are_those_of_the_encoder():
    pytest.importorskip("transformers", reason="needs transformers")
    from .peer_pipeline import qwen3, tokenizer

    own = tokenizer()
    texts = ["", "a red cat, 2 dogs", "画一只猫\non a mat", "x" * 600]
    lengths = tokenizer_lengths(own)
    encoder = Qwen3TextEncoder(qwen3(), own)
    with pytest.warns(UserWarning, match="first 512"):
        expected = [len(encoder.encode(t)[0]) for t in texts]
    assert lengths(texts).tolist() == expected
    assert lengths.__name__ == tokenizer_lengths(own).__name__ != "lengths"


@settings(max_examples=60, deadline=None)
@given(st.lists(st.floats(0, 10), min_size=1, max_size=60), st.integers(1, 300), st.integers(0, 99))
def test_copies_are_their_share_rounded_and_sum_exactly(weights, total, seed):
    weights = np.array(weights)
    if not weights.any():
        with pytest.raises(ValueError):
            copies(weights, total, seed, 0, 0)
        return
    times = copies(weights, total, seed, 0, 0)
    expected = weights / weights.sum() * total
    assert times.sum() == total
    assert (np.abs(times - expected) < 1 + 1e-6).all()
    assert (times[weights == 0] == 0).all()


def test_draws_follow_from_id_seed_and_epoch_alone():
    ids = np.random.default_rng(0).integers(0, 2**63, (50_000, 2)).astype(np.uint64)
    u = uniform(ids, 1, 2, 3)
    assert np.array_equal(u[::-1], uniform(ids[::-1].copy(), 1, 2, 3))
    assert abs(u.mean() - 0.5) < 0.01
    assert u.min() >= 0
    assert u.max() < 1
    for other in (uniform(ids, 2, 2, 3), uniform(ids, 1, 3, 3), uniform(ids, 1, 2, 4)):
        assert abs(np.corrcoef(u, other)[0, 1]) < 0.02
