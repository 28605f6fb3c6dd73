"""Rules, rates and quotas per source, end to end: what they keep, and how that is reported and explained."""

import json
import shutil
from collections import Counter

from zcurate.curation.store.overlay import add_decisions
from zcurate.pipelines.explaining import explain_sample, show
from zcurate.pipelines.inspecting import whatif_of
from zcurate.pipelines.report import render_report
from zcurate.pipelines.reporting import report_data
from zcurate.pipelines.view import open_view

from .rules_dataset import HOSTILE, STAGES, built, fill, picture, put, recipe, run, scores_module  # noqa: F401 - fixtures among them

# ruff: noqa: F811


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
