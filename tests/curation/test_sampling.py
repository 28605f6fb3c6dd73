"""Rates and quotas: what stays depends on ids alone, and more is always a superset of less."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zcurate.curation.sampling import Share, cut, decide, ranks, share_of, unit
from zcurate.curation.store.selection import sampled
from zcurate.pipelines.context import StageContext
from zcurate.pipelines.stages import sampling


def ids_of(n, seed=0):
    rng = np.random.default_rng(seed)
    return pa.array([rng.bytes(16) for _ in range(n)], pa.binary(16))


class Shards:
    """A `GlobalInput` over tables."""

    def __init__(self, tables):
        self.tables = tables

    def shards(self):
        return list(self.tables)

    def read(self, shard, columns=None):
        table = self.tables[shard]
        return table if columns is None else table.select(["sample_id", *columns])


def run(rows, cuts=(), **config):
    """{id: (keep, reason)} of the stage over rows (id, source), in shards cut at the given places."""
    table = pa.table(
        {
            "sample_id": pa.array([i for i, _ in rows], pa.binary(16)),
            "samples.source": pa.array([s for _, s in rows], pa.string()),
        }
    )
    bounds = [0, *sorted(min(c, len(rows)) for c in cuts), len(rows)]
    parts = {
        f"{k:03d}": table.slice(a, b - a) for k, (a, b) in enumerate(zip(bounds, bounds[1:], strict=False))
    }
    stage = sampling.build(sampling.Config(**config), StageContext())
    result = stage.run(Shards(parts))
    found = {}
    for shard, out in result.aligned:
        assert out.schema.equals(sampling.OUTPUT)
        ids = parts[shard]["sample_id"].to_pylist()
        found |= {i: (r["keep"], r["reason"]) for i, r in zip(ids, out.to_pylist(), strict=True)}
    assert result.facts.get("kept", 0) == sum(k for k, _ in found.values())
    return found


def kept(found):
    return {i for i, (keep, _) in found.items() if keep}


ROWS = [(i, f"s{n % 3}") for n, i in enumerate(ids_of(90).to_pylist())]
RATES = st.floats(0, 1)
QUOTAS = st.one_of(st.none(), st.integers(0, 40))


@settings(max_examples=60, deadline=None)
@given(RATES, QUOTAS, st.permutations(range(90)), st.lists(st.integers(0, 90), max_size=4), st.integers(0, 5))
def test_order_and_shards_do_not_matter(rate, quota, order, cuts, seed):
    config = {"seed": seed, "sources": {"s[01]": {"rate": rate, "quota": quota}}}
    found = run(ROWS, **config)
    assert run([ROWS[k] for k in order], cuts, **config) == found
    for source in ("s0", "s1", "s2"):
        mine = {i: found[i] for i, s in ROWS if s == source}
        left = [i for i, (_, reason) in mine.items() if reason != "rate"]
        if source == "s2":
            assert len(kept(mine)) == 30
        else:
            assert len(kept(mine)) == (len(left) if quota is None else min(quota, len(left)))
        assert all(keep == (reason is None) for keep, reason in mine.values())


@settings(max_examples=60, deadline=None)
@given(RATES, RATES, QUOTAS, QUOTAS, st.integers(0, 90))
def test_a_sample_grows_with_its_rate_and_quota_and_lasts_as_rows_come(rate, more, quota, larger, first):
    rate, more = sorted((rate, more))
    quota, larger = sorted((quota, larger), key=lambda q: float("inf") if q is None else q)
    few = run(ROWS, sources={"*": {"rate": rate, "quota": quota}})
    assert kept(few) <= kept(run(ROWS, sources={"*": {"rate": more, "quota": larger}}))
    before = run(ROWS[:first], sources={"*": {"rate": rate, "quota": quota}})
    new = {i for i, _ in ROWS[first:]}
    assert kept(few) - new <= kept(before)  # rows may be pushed out, none comes back in


def test_quotas_are_exact_where_hashes_collide():
    rng = np.random.default_rng(4)
    ranked = rng.integers(0, 3, (60, 3), np.uint64)
    ranked = np.unique(ranked, axis=0)
    for quota in range(len(ranked) + 1):
        share = Share(quota=quota)
        reasons = decide(ranked, share, cut(ranked, share))
        assert reasons == [None] * quota + ["quota"] * (len(ranked) - quota)  # unique() sorts rows


def test_hashes_are_uniform_and_independent_of_seeds_and_of_trial_runs():
    ids = ids_of(20_000)
    u, other = unit(ranks(ids, 0)), unit(ranks(ids, 1))
    assert 0 <= u.min() < u.max() < 1
    assert abs((u < 0.25).mean() - 0.25) < 0.015
    assert abs(np.corrcoef(u, other)[0, 1]) < 0.03
    for seed in (0, 1):
        trial = sampled(ids.to_pylist(), 0.1)
        assert abs((unit(ranks(ids, seed))[trial] < 0.25).mean() - 0.25) < 0.05


def test_the_last_matching_glob_decides_as_a_whole():
    shares = [("*", Share(quota=5)), ("web-*", Share(rate=0.5)), ("web-a", Share(1.0, 7))]
    assert share_of("museum", shares) == Share(quota=5)
    assert share_of("web-b", shares) == Share(rate=0.5)
    assert share_of("web-a", shares) == Share(1.0, 7)
    assert share_of(None, shares[1:]) == Share()


def test_declaration():
    ctx = StageContext(groups=frozenset({"profile", "decisions/filter", "groups", "embedding"}))
    spec = sampling.build(sampling.Config(sources={"a": {"quota": 1}}), ctx).spec
    assert (spec.name, spec.where) == ("decisions/sampling", ("decisions/filter", "groups"))
    assert spec.reads == ("samples.source", "profile.content_id")
    assert spec.config != sampling.build(sampling.Config(sources={"a": {"quota": 2}}), ctx).spec.config
    assert run([], sources={"*": {"quota": 3}}) == {}
    for wrong in ({"rate": 1.5}, {"rate": -0.1}, {"quota": -1}, {"share": 1}):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            sampling.Config(sources={"*": wrong})
