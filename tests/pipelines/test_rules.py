"""Rules, rates and quotas per source, end to end: three small sources, and scores from a stage of one's own."""

import io
import json
import re
import shutil
from collections import Counter

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from zcurate.curation.errors import ConfigError
from zcurate.curation.store import Limit
from zcurate.curation.store.overlay import add_decisions
from zcurate.pipelines.build import BuildOptions, build
from zcurate.pipelines.explaining import explain_sample, show
from zcurate.pipelines.inspecting import whatif_of
from zcurate.pipelines.planned import plan_stages
from zcurate.pipelines.preflight import preflight
from zcurate.pipelines.recipe import build_recipe
from zcurate.pipelines.report import render_report
from zcurate.pipelines.reporting import report_data
from zcurate.pipelines.view import open_view

SCORES = '''
"""Scores for tests, as the text beside each picture says: `AESTHETIC TAG TAG ...`."""
import pyarrow as pa
from pydantic import BaseModel
from zcurate.curation.stage import StageSpec, field_of, map_rows

class Config(BaseModel):
    pass

OUTPUT = pa.schema([
    field_of("aesthetic", pa.float32(), "how good it looks", "1..10"),
    field_of("tags", pa.list_(pa.string()), "what is in it"),
    field_of("nsfw", pa.float32(), "never filled in here"),
])

class Scores:
    spec = StageSpec("scores", 1, ("samples.text", "profile.content_id"), {"scores": OUTPUT})

    def setup_node(self):
        pass

    def setup(self):
        pass

    def __call__(self, table, monitor):
        def one(row):
            first, *tags = row["samples.text"].split()
            return {"aesthetic": float(first), "tags": tags, "nsfw": None}
        return map_rows(table, one, OUTPUT, monitor)

def build(config, context):
    return Scores()
'''
HOSTILE = "<script>alert(1)</script>"


def picture(seed, size=(320, 240)):
    rng = np.random.default_rng(seed)
    blocks = rng.integers(0, 255, (6, 8, 3)).astype(np.uint8)
    return Image.fromarray(blocks).resize(size, Image.Resampling.BICUBIC)


def put(folder, name, image, text):
    folder.mkdir(parents=True, exist_ok=True)
    image.save(folder / f"{name}.png")
    (folder / f"{name}.txt").write_text(text)


def fill(root):
    """web-a: 12 pictures, one copy and one broken file; web-b: 8, half of them small; museum: 10, three with dogs."""
    for i in range(12):
        put(root / "web-a", f"a{i:02d}", picture(i), f"{1 + i % 9} object")
    put(root / "web-a", "copy", picture(3), "4 object")
    (root / "web-a" / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\nno picture")
    (root / "web-a" / "broken.txt").write_text("5 object")
    for i in range(8):
        put(root / "web-b", f"b{i}", picture(100 + i, (320, 240) if i % 2 else (150, 120)), "6 logo")
    for i in range(10):
        put(root / "museum", f"m{i}", picture(200 + i), f"7 painting {'dog' if i < 3 else HOSTILE}")


STAGES = {
    "profile": {},
    "filter": {
        "rules": {"too_small": {"drop_if": "short_side_px < 200", "reason": "too few pixels"}},
        "sources": {
            "museum": {"odd": {"drop_if": "frames > 1 or aspect > 9", "reason": "museums have no films"}},
            "web-b": {"too_small": {"drop_if": "short_side_px < 100"}},
        },
    },
    "embed": {},
    "zcrules.scores": {},
    "filter_scores": {
        "rules": {"ugly": "aesthetic < 2.5", "dogs": {"drop_if": '"dog" in tags', "reason": "no dogs here"}}
    },
    "dedup": {},
    "sampling": {"seed": 1, "sources": {"web-*": {"quota": 5}, "museum": {"rate": 0.6}}},
    "ocr": {},
    "caption": {},
    "concepts": {},
    "balance": {},
}


def recipe(root, ds, stages=STAGES, **more):
    return build_recipe(
        {
            "name": "rules",
            "dataset": str(ds),
            "rows_per_shard": 9,
            "sources": [{"name": n, "root": str(root / n)} for n in ("web-a", "web-b", "museum")],
            "stages": stages,
            **more,
        },
        "test",
    )


def run(recipe):
    outcome = build(recipe, BuildOptions(engine="inline", quiet=True))
    assert outcome.result.complete, outcome.result.failed
    return outcome


@pytest.fixture(scope="module")
def scores_module(tmp_path_factory):
    folder = tmp_path_factory.mktemp("modules")
    (folder / "zcrules").mkdir()
    (folder / "zcrules" / "__init__.py").write_text("")
    (folder / "zcrules" / "scores.py").write_text(SCORES)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder)
        yield


@pytest.fixture(scope="module")
def built(tmp_path_factory, scores_module):
    """(dataset, record, export folder) of a build with every stage."""
    root = tmp_path_factory.mktemp("rules")
    fill(root / "in")
    export = [{"format": "parquet", "out": str(root / "out"), "include_placeholders": True}]
    outcome = run(recipe(root / "in", root / "ds", export=export))
    return root / "ds", outcome.record


def decisions(ds):
    """key -> what every decision says of it."""
    view = open_view(str(ds))
    columns = ["samples.key", "samples.source", "decisions/filter.reasons", "decisions/scores.reasons"]
    columns += ["decisions/sampling.reason", "decisions/sampling.u"]
    return {r["samples.key"]: r for _, t in view.tables(columns) for r in t.to_pylist() if r["live"]}


def selected(ds):
    return {k for _, t in open_view(str(ds)).selected(["samples.key"]) for k in t["samples.key"].to_pylist()}


def test_rules_quotas_and_rates_do_what_the_recipe_says(built):
    ds, record = built
    rows = decisions(ds)
    assert len(rows) == 32
    reasons = Counter(
        (r["samples.source"], n) for r in rows.values() for n in r["decisions/filter.reasons"] or ()
    )
    assert reasons == {}  # web-b has its own, lower bound
    assert {k for k, r in rows.items() if r["decisions/scores.reasons"] == ["dogs"]} == {"m0", "m1", "m2"}
    ugly = {k for k, r in rows.items() if r["decisions/scores.reasons"] == ["ugly"]}
    assert ugly == {"a00", "a01", "a09", "a10"}
    kept = selected(ds)
    assert Counter(k[0] for k in kept)["b"] == 5
    assert sum(k[0] in "ac" for k in kept) == 5
    museum = [r for k, r in rows.items() if k[0] == "m" and r["keep:groups"]]
    assert len(museum) == 7
    assert {k for k in kept if k[0] == "m"} == {
        r["samples.key"] for r in museum if r["decisions/sampling.u"] < 0.6
    }
    # what comes later does nothing for rows that any decision drops, and the export has the others
    assert all(record.stages[s]["rows_ok"] == len(kept) for s in ("ocr", "caption", "concepts", "balance"))
    assert [e["rows"] for e in record.exports] == [len(kept)]


def test_the_report_has_a_line_per_source(built):
    ds, _ = built
    data = report_data(open_view(str(ds)))
    kept = Counter(k[0] if k != "copy" else "a" for k in selected(ds))
    lines = {s.source: s for s in data.sources}
    a, b, museum = lines["web-a"], lines["web-b"], lines["museum"]
    assert (a.rows, a.kept, a.errors, a.dropped, a.duplicates, a.sampled_out) == (14, 5, 1, 4, 1, 3)
    assert a.reasons == (("ugly", 4),)
    assert (b.rows, b.kept, b.dropped, b.duplicates, b.sampled_out) == (8, 5, 0, 0, 3)
    assert dict(data.drop_reasons) == dict(sum((Counter(dict(s.reasons)) for s in data.sources), Counter()))
    assert (museum.rows, museum.kept, museum.reasons) == (10, kept["m"], (("dogs", 3),))
    for s in data.sources:
        assert s.rows == s.kept + s.errors + s.dropped + s.duplicates + s.sampled_out + s.pending
    medians = {m.signal: m.value for m in b.medians}
    assert medians["short_side_px"] == (240 + 120) / 2
    assert medians["scores.aesthetic"] == 6
    assert "scores.nsfw" not in medians
    assert [s.name for s in data.funnel] == [
        *("ingested", "readable", "kept by filter", "kept by scores", "unique", "sampled", "exported")
    ]
    histograms = {h.signal: h for h in data.histograms}
    assert histograms["scores.aesthetic"].dropped == 4
    assert [t.value for t in histograms["scores.aesthetic"].thresholds] == [2.5]
    assert "scores.nsfw" not in histograms
    assert {t.source for t in histograms["min(width_px, height_px)"].thresholds} == {None, "web-b"}
    assert histograms["min(width_px, height_px)"].dropped == 0
    rules = {r.rule: r for r in data.rules}
    dogs = rules['dogs: "dog" in scores.tags']
    assert (dogs.threshold, dogs.dropped_rows, len(dogs.dropped), dogs.kept) == (None, 3, 3, ())
    assert any(r.startswith("odd (museum): ") for r in rules)
    page = render_report(data)
    assert 'id="sources"' in page
    assert page == (ds / "report.html").read_text().replace("\r\n", "\n")


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


def test_plan_names_settings_for_sources_that_are_not_there(tmp_path, scores_module):
    fill(tmp_path / "in")
    stages = {**STAGES, "sampling": {"sources": {"wbe-*": {"quota": 5}, "web-*": {"rate": 0.5}}}}
    warned = preflight(recipe(tmp_path / "in", tmp_path / "ds", stages), Limit()).warnings
    assert [w for w in warned if "such a name" in w] == [
        "stages.sampling.sources.wbe-*: no source has such a name; there are museum, web-a, web-b"
    ]


def test_rules_on_scores_in_filter_are_told_where_to_go(tmp_path, scores_module):
    fill(tmp_path / "in")
    stages = {"profile": {}, "filter": {"rules": {"ugly": "aesthetic < 4"}}}
    with pytest.raises(ConfigError, match=r"(?s)unknown column 'aesthetic'.*under `filter_scores`"):
        run(recipe(tmp_path / "in", tmp_path / "ds", stages))
    stages["filter"]["rules"] = {"ugly": "wdth_px < 4"}
    with pytest.raises(ConfigError, match="unknown column") as e:
        run(recipe(tmp_path / "in", tmp_path / "ds", stages))
    assert "filter_scores" not in str(e.value)


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


def test_whatif_reads_every_group_and_can_be_kept_to_sources(built, zcurate):
    ds, _ = built
    found = whatif_of(str(ds), "aesthetic < 4.5", 4)
    assert (found["matched"], found["null"], found["total"]) == (8, 1, 32)
    assert found["sources"]["web-a"] == {"total": 14, "matched": 8, "null": 1, "newly": 2}
    code, text, _ = zcurate("whatif", ds, "--rule", '"logo" in tags', "--source", "web-*", "--json")
    facts = json.loads(text)
    assert (code, facts["matched"], facts["total"], set(facts["sources"])) == (0, 8, 22, {"web-a", "web-b"})
    assert all(e["values"] == {"scores.tags": ["logo"]} for e in facts["examples"])
    assert len(facts["examples"]) == 8
    code, text, _ = zcurate("whatif", ds, "--rule", "ocr.has_text is not null and text is not null")
    assert code == 0
    assert "web-a: 5 of 14" in text
    code, _, err = zcurate("whatif", ds, "--rule", "aesthetic < 3", "--source", "nobody-*")
    assert code == 2
    assert "there are museum, web-a, web-b" in err
    code, _, err = zcurate("whatif", ds, "--rule", "scores.aesthetics < 3")
    assert "did you mean 'scores.aesthetic'" in err


def test_explain_tells_by_family(built, zcurate):
    ds, _ = built
    rows = decisions(ds)
    sample = next(r["sample_id"] for k, r in rows.items() if k == "m5")
    facts = explain_sample(str(ds), sample)
    assert json.loads(json.dumps(facts)) == facts
    columns = {f: {e["column"]: e for e in entries} for f, entries in facts["families"].items()}
    assert columns["file"]["profile.width_px"]["unit"] == "px"
    phash = columns["fingerprints"]["profile.phash"]["value"]
    assert (len(phash), facts["groups"]["profile"]["phash"]) == (16, phash)
    assert columns["scores"]["scores.tags"]["value"] == ["painting", HOSTILE]
    assert columns["scores"]["scores.aesthetic"]["unit"] == "1..10"
    assert "decisions/sampling.u" in columns["decisions"]
    assert "profile.noise_sigma" in columns["degradations"]
    assert "profile.reencode_bpp" in columns["entropy"]
    assert {(r["group"], r["rule"], r["verdict"]) for r in facts["rules"]} == {
        ("decisions/filter", "too_small", "keep"),
        ("decisions/filter", "odd", "keep"),
        ("decisions/scores", "ugly", "keep"),
        ("decisions/scores", "dogs", "keep"),
    }
    dog = next(r["sample_id"] for k, r in rows.items() if k == "m0")
    code, text, _ = zcurate("explain", ds, dog.hex())
    assert code == 0
    assert "outcome: dropped by decisions/scores (dogs: no dogs here" in text
    assert "scores.tags                  painting, dog" in text
    assert "no dogs here" in text
    broken = next(r["sample_id"] for k, r in rows.items() if k == "broken")
    assert (
        "outcome: not kept: profile failed: TruncatedImageError\n" in zcurate("explain", ds, broken.hex())[1]
    )
    quota = next(r["sample_id"] for r in rows.values() if r["decisions/sampling.reason"] == "quota")
    assert explain_sample(str(ds), quota)["outcome"] == "dropped by decisions/sampling (quota)"
    assert show(["a\nb", "\x1b[2J"]) == "a\\nb, \\x1b[2J"


def test_people_overrule_a_quota(built, tmp_path):
    ds = tmp_path / "ds"
    shutil.copytree(built[0], ds)
    out = next(r for r in decisions(ds).values() if r["decisions/sampling.reason"] == "quota")
    view = open_view(str(ds))
    add_decisions(view.dataset, "review", [out["sample_id"]], "test", "wanted", keep=True)
    assert decisions(ds)[out["samples.key"]]["keep:decisions/sampling"]
    assert (
        explain_sample(str(ds), out["sample_id"])["outcome"]
        == "kept by people (zcurate prune DATASET --list, or a review)"
    )
    assert explain_sample(str(ds), out["sample_id"])["groups"]["decisions/sampling"]["keep"] is False


def test_a_growing_source_keeps_its_sample_and_a_larger_quota_what_a_smaller_kept(tmp_path, scores_module):
    fill(tmp_path / "in")
    stages = {n: STAGES[n] for n in ("profile", "filter", "embed", "dedup", "sampling")}
    run(recipe(tmp_path / "in", tmp_path / "ds", stages))
    before = {k for k, r in decisions_of(tmp_path / "ds").items() if r}
    for i in range(6):
        put(tmp_path / "in" / "web-a", f"new{i}", picture(300 + i), "5 object")
    run(recipe(tmp_path / "in", tmp_path / "ds", stages))
    after = {k for k, r in decisions_of(tmp_path / "ds").items() if r}
    assert {k for k in after if not k.startswith("new")} <= before
    assert sum(k[0] in "acn" for k in after) == 5
    larger = {**stages, "sampling": {"seed": 1, "sources": {"web-*": {"quota": 8}, "museum": {"rate": 0.8}}}}
    run(recipe(tmp_path / "in", tmp_path / "ds", larger))
    assert after < {k for k, r in decisions_of(tmp_path / "ds").items() if r}


def decisions_of(ds):
    """key -> is it kept by every decision."""
    view = open_view(str(ds))
    tables = [t for _, t in view.tables(["samples.key"])]
    return {
        r["samples.key"]: all(v for n, v in r.items() if n.startswith("keep:"))
        for t in tables
        for r in t.to_pylist()
    }


def test_later_stages_honor_every_decision_made_before_them(tmp_path, scores_module):
    def where(*order):
        recipe = build_recipe(
            {"name": "x", "dataset": str(tmp_path), "stages": {n: STAGES[n] for n in order}}, "test"
        )
        return {s.name: set(s.bound.spec.where) for s in plan_stages(recipe, {}).stages}

    found = where("profile", "filter", "embed", "sampling", "dedup", "ocr", "caption", "concepts", "balance")
    assert found["sampling"] == {"decisions/filter"}
    assert found["dedup"] == {"decisions/filter", "decisions/sampling"}
    for name in ("ocr", "caption", "concepts", "balance"):
        assert found[name] == {"decisions/filter", "decisions/sampling", "groups"}
    found = where("profile", "embed", "zcrules.scores", "filter_scores", "dedup", "sampling", "ocr")
    assert found["dedup"] == {"decisions/scores"}
    assert found["sampling"] == {"decisions/scores", "groups"}
    with pytest.raises(ConfigError, match="'scores': no earlier stage"):
        where("profile", "filter_scores")


def test_wrong_settings_are_named_before_any_work(tmp_path, scores_module):
    def plan(**stages):
        raw = {"name": "x", "dataset": str(tmp_path), "stages": {"profile": {}, **stages}}
        plan_stages(build_recipe(raw, "test"), {})

    with pytest.raises(ConfigError, match=r"stages\.sampling\.sources\.web\.rate"):
        plan(sampling={"sources": {"web": {"rate": 2}}})
    with pytest.raises(ConfigError, match=r"stages\.sampling\.sources\.web\.quotas"):
        plan(sampling={"sources": {"web": {"quotas": 2}}})
    with pytest.raises(ConfigError, match=r"sources\.web: no rule named 'flt'; did you mean 'flat'"):
        plan(filter={"rules": {"flat": "reencode_bpp < 0.1"}, "sources": {"web": {"flt": "width_px < 3"}}})


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
