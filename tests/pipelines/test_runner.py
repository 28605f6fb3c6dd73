"""The runner with the inline engine: what runs, what is reused, how it ends."""

import pytest

from zcurate.curation.errors import ConfigError
from zcurate.curation.store import Limit, append, read_sources
from zcurate.pipelines.build import BuildOptions, build
from zcurate.pipelines.execution.inline import InlineEngine
from zcurate.pipelines.planned import plan_stages
from zcurate.pipelines.recipe import build_recipe
from zcurate.pipelines.runner import Runner

from .conftest import group_bytes, words_dataset, words_recipe

WORDS = [f"w{'x' * (i % 7)}" for i in range(45)]


def run(dataset, limit=None, redo=False, **settings):
    recipe = build_recipe(words_recipe(dataset.storage.url, **settings), "test")
    plan = plan_stages(recipe, read_sources(dataset), limit)
    engine = InlineEngine(dataset.storage.url, dataset.storage.options)
    try:
        result = Runner(dataset, plan, engine, limit, redo).run()
    finally:
        engine.close()
    return result, plan


def counts(result):
    return {n.split(".")[-1]: (t.rows_computed, t.rows_reused) for n, t in result.tallies.items()}


def test_everything_once_then_nothing(tmp_path, stages):
    d = words_dataset(tmp_path / "ds", WORDS)
    result, plan = run(d)
    kept = sum(len(w) % 2 == 0 for w in WORDS)
    assert result.complete
    assert counts(result) == {"words": (45, 0), "total": (kept, 0), "after": (kept, 0)}
    total = d.read(plan.stages[1].bound.table_path("totals"), "all")
    assert total.to_pylist() == [{"total": sum(len(w) for w in WORDS if len(w) % 2 == 0)}]
    assert counts(run(d)[0]) == {"words": (0, 0), "total": (0, 0), "after": (0, 0)}


def test_a_deleted_shard_is_made_again_and_what_follows_is_still_current(tmp_path, stages):
    d = words_dataset(tmp_path / "ds", WORDS)
    _, plan = run(d)
    before = group_bytes(tmp_path / "ds")
    d.storage.delete(f"{plan.stages[0].primary}/00000002.parquet")
    result, _ = run(d)
    assert counts(result) == {"words": (10, 0), "total": (0, 0), "after": (0, 0)}
    assert group_bytes(tmp_path / "ds") == before


def test_damage_found_in_the_middle_of_a_run_is_mended(tmp_path, stages):
    d = words_dataset(tmp_path / "ds", WORDS)
    _, plan = run(d)
    before = group_bytes(tmp_path / "ds")
    path = tmp_path / "ds" / plan.stages[0].primary / "00000001.parquet"
    # Same size and time, so that the cached index believes it; only reading tells.
    import os

    stat = path.stat()
    data = bytearray(path.read_bytes())
    data[60] ^= 1
    with open(path, "r+b") as f:
        f.write(data)
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    d.storage.delete(f"{plan.stages[1].primary}/00000003.parquet")
    result, _ = run(d)
    assert result.complete
    assert any("do not match their digest" in e for e in result.events)
    assert group_bytes(tmp_path / "ds") == before


def test_growth_runs_new_rows_and_what_depends_on_all(tmp_path, stages):
    from .conftest import words_rows

    d = words_dataset(tmp_path / "ds", WORDS)
    run(d)
    append(d, "s", [words_rows([*WORDS, "four", "fives"])])
    result, _ = run(d)
    computed = counts(result)
    assert computed["words"] == (2, 0)
    assert computed["total"][0] > 1, "a whole-dataset stage sees all rows again"


def test_a_trial_run_is_reused(tmp_path, stages):
    d = words_dataset(tmp_path / "ds", [f"word {i}" for i in range(45)])
    assert counts(run(d, Limit(rows=15))[0])["words"] == (15, 0)
    assert counts(run(d)[0])["words"] == (30, 15)
    fraction = run(d, Limit(fraction=0.5))[0]
    assert counts(fraction)["words"][0] == 0


def test_error_rows_and_retry(tmp_path, stages):
    log = tmp_path / "log"
    d = words_dataset(tmp_path / "ds", [*WORDS[:12], "error", *WORDS[12:]])
    result, _ = run(d, log=str(log))
    assert result.tallies["zcteststages.words"].rows_error == 1
    log.write_text("")
    result, _ = run(d, redo=True, log=str(log))
    assert result.complete
    assert log.read_text() == "words error\n", "only the failed row, and nothing follows from equal output"


def test_a_bug_in_a_stage_costs_the_row_that_meets_it(tmp_path, stages):
    d = words_dataset(tmp_path / "ds", [*WORDS[:12], "bug", *WORDS[12:]])
    result, plan = run(d)
    assert result.complete
    assert result.tallies["zcteststages.words"].rows_error == 1
    [(_, shard, row, name, message)] = result.quarantined
    assert (shard, row, name) == ("00000001", 2, "UnexpectedError")
    assert "RuntimeError: a bug in the stage" in message
    assert any("Traceback" in e for e in result.events), "whoever mends it finds where it is"
    table = d.read(plan.stages[0].primary, shard)
    assert table["_status"].to_pylist().count("error") == 1


def test_a_bug_that_many_rows_meet_fails_their_shard_not_the_others(tmp_path, stages):
    d = words_dataset(tmp_path / "ds", [*WORDS[:10], *["bug"] * 10, *WORDS[10:]])
    result, plan = run(d)
    assert not result.complete
    assert len(result.failed) == 1
    assert "00000001" in result.failed[0]
    assert "a bug in the stage" in result.failed[0]
    assert sorted(d.index(plan.stages[0].primary).metas) == [f"{i:08d}" for i in (0, 2, 3, 4, 5)]


def test_two_recipes_on_one_dataset_do_no_harm(tmp_path, stages):
    d = words_dataset(tmp_path / "ds", WORDS)
    _, one = run(d)
    before = group_bytes(tmp_path / "ds")
    _, two = run(d, salt=5)
    after = group_bytes(tmp_path / "ds")
    assert {k: after[k] for k in before} == before
    assert one.paths != two.paths


def test_memory_url_builds_inline(stages):
    url = "memory://runner-test/ds"
    words_dataset(url, WORDS)
    outcome = build(build_recipe(words_recipe(url), "test"), BuildOptions(engine="inline", quiet=True))
    assert (outcome.exit_code, outcome.record.state) == (0, "done")
    with pytest.raises(ConfigError, match="inline"):
        build(build_recipe(words_recipe(url, salt=1), "test"), BuildOptions(engine="ray", quiet=True))


def test_exit_codes(tmp_path, stages):
    words_dataset(tmp_path / "ds", [*WORDS, "error"])
    recipe = build_recipe(words_recipe(tmp_path / "ds"), "test")
    quiet = {"engine": "inline", "quiet": True}
    assert build(recipe, BuildOptions(**quiet)).exit_code == 3
    assert build(recipe, BuildOptions(**quiet, max_quarantined=0.1)).exit_code == 0
    words_dataset(tmp_path / "bug", ["bug"] * 9)
    assert build(build_recipe(words_recipe(tmp_path / "bug"), "test"), BuildOptions(**quiet)).exit_code == 1
