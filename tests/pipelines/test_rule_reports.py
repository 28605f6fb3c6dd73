"""Reports of runs that stopped early, have few stages, unread files or hostile names."""

import io
import re
import shutil

import pyarrow.parquet as pq

from zcurate.pipelines.build import BuildOptions, build
from zcurate.pipelines.explaining import explain_sample
from zcurate.pipelines.inspecting import whatif_of
from zcurate.pipelines.recipe import build_recipe
from zcurate.pipelines.report import render_report
from zcurate.pipelines.reporting import report_data
from zcurate.pipelines.view import open_view

from .rules_dataset import HOSTILE, fill, picture, put, recipe, run, scores_module  # noqa: F401 - fixtures among them

# ruff: noqa: F811


def test_the_funnel_ends_where_the_run_did(tmp_path, scores_module):
    fill(tmp_path / "in")
    ds = tmp_path / "ds"
    build(recipe(tmp_path / "in", ds), BuildOptions(engine="inline", quiet=True, until="filter"))
    data = report_data(open_view(str(ds)))
    assert [(s.name, s.rows) for s in data.funnel] == [
        *(("ingested", 32), ("readable", 31), ("kept by filter", 31))
    ]
    assert data.summary == "32 samples in, 31 left so far."
    assert data.duplicate_groups_total is None
    assert "Duplicate groups" not in render_report(data)
    part = next((ds / "decisions" / "filter").rglob("*.parquet"))
    rows = pq.read_metadata(part).num_rows
    part.unlink()
    shutil.rmtree(ds / "_index", ignore_errors=True)
    funnel = report_data(open_view(str(ds))).funnel
    left = sum(m.num_rows for m in map(pq.read_metadata, (ds / "decisions" / "filter").rglob("*.parquet")))
    assert left == 32 - rows
    last = funnel[-1]
    waits = int(re.fullmatch(r"no rule fired; (\d+) not decided yet", last.note).group(1))
    assert last.rows + waits == 31
    assert waits in (rows, rows - 1)  # the broken file waits for nothing


def test_words_in_conditions_are_shown_as_they_are(tmp_path, scores_module):
    put(tmp_path / "in" / "web-a", "a", picture(1), "5 samples.text")
    stages = {"profile": {}, "filter": {"rules": {"odd": 'samples.text == "5 samples.text"'}}}
    one = {"sources": [{"name": "web-a", "root": str(tmp_path / "in" / "web-a")}]}
    run(recipe(tmp_path / "in", tmp_path / "ds", stages, **one))
    rules = report_data(open_view(str(tmp_path / "ds"))).rules
    assert [r.rule for r in rules] == ['odd: text == "5 samples.text"']


def test_a_report_without_rules_scores_or_duplicates(tmp_path, scores_module):
    fill(tmp_path / "in")
    run(recipe(tmp_path / "in", tmp_path / "ds", {"profile": {}}))
    data = report_data(open_view(str(tmp_path / "ds")))
    lines = {s.source: s for s in data.sources}
    a = lines["web-a"]
    assert (a.rows, a.kept, a.errors, a.duplicates, a.sampled_out) == (14, 13, 1, None, None)
    page = render_report(data)
    assert "sampled out" not in page
    assert "duplicates</th>" not in page


def test_sources_with_hostile_values_stay_text(tmp_path, scores_module):
    sink = io.BytesIO()
    picture(1).save(sink, "PNG")
    folder = tmp_path / "in" / "web-a"
    folder.mkdir(parents=True)
    (folder / "x.png").write_bytes(sink.getvalue())
    (folder / "x.txt").write_text(f"3 {HOSTILE}")
    raw = {
        "name": HOSTILE,
        "dataset": str(tmp_path / "ds"),
        "sources": [{"name": "web-a", "root": str(folder)}],
        "stages": {
            "profile": {},
            "zcrules.scores": {},
            "filter_scores": {"rules": {"r": f'"{HOSTILE}" in tags'}},
        },
    }
    run(build_recipe(raw, "test"))
    page = (tmp_path / "ds" / "report.html").read_text()
    assert HOSTILE not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page


def test_a_file_that_could_not_be_read_fires_no_rule(tmp_path):
    """Its columns are all null, and `is null` holds of them; but filter never decided on it."""
    fill(tmp_path / "in")
    rules = {"no_quality": {"drop_if": "jpeg_quality is null"}}
    run(recipe(tmp_path / "in", tmp_path / "ds", {"profile": {}, "filter": {"rules": rules}}))
    view = open_view(str(tmp_path / "ds"))
    columns = ["profile._status", "decisions/filter.reasons"]
    rows = [r for _, t in view.tables(columns) for r in t.to_pylist() if r["live"]]
    unread = [r for r in rows if r["profile._status"] != "ok"]
    dropped = sum(bool(r["decisions/filter.reasons"]) for r in rows)
    assert unread
    found = whatif_of(str(tmp_path / "ds"), "jpeg_quality is null", 20)
    assert (found["matched"], found["null"], found["total"]) == (dropped, len(unread), len(rows))
    assert [r.dropped_rows for r in report_data(view).rules] == [dropped]
    assert explain_sample(str(tmp_path / "ds"), unread[0]["sample_id"])["rules"] == []
