"""`zcurate dedup-audit` on a real, small dataset with planted copies."""

from __future__ import annotations

import json
import re

import cv2
import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from zcurate.curation.errors import ConfigError, DatasetError
from zcurate.pipelines import auditing
from zcurate.pipelines.auditing import audit, write_page
from zcurate.pipelines.build import BuildOptions, build
from zcurate.pipelines.cli.app import app
from zcurate.pipelines.recipe import build_recipe
from zcurate.pipelines.report.audit import AuditBin, AuditPage, AuditPair, AuditPicture, render_audit

EVIL = "<script>"


def scene(seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    field = cv2.resize(rng.integers(20, 235, (5, 6, 3), np.uint8), (300, 220), interpolation=cv2.INTER_CUBIC)
    for _ in range(8):
        center = (int(rng.integers(0, 300)), int(rng.integers(0, 220)))
        color = tuple(int(c) for c in rng.integers(0, 255, 3))
        cv2.circle(field, center, int(rng.integers(10, 50)), color, -1)
    return field


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    """Eight pictures, each with a small copy and a mirrored one."""
    folder = tmp_path_factory.mktemp("audit")
    images = folder / "in"
    images.mkdir()
    for i in range(8):
        picture = Image.fromarray(scene(i))
        picture.save(images / f"{EVIL}{i}.png")
        picture.resize((150, 110), Image.Resampling.LANCZOS).save(images / f"{EVIL}{i}_small.jpg", quality=80)
        picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(images / f"{EVIL}{i}_mirrored.png")
    raw = {
        "name": "audited",
        "dataset": str(folder / "ds"),
        "rows_per_shard": 5,
        "sources": [{"name": "shop", "root": str(images)}],
        "stages": {"profile": {"quality": False}, "embed": {}, "dedup": {"floor": 0.8}},
        "report": False,
    }
    outcome = build(build_recipe(raw, "test"), BuildOptions(engine="inline", quiet=True))
    assert outcome.result.complete
    return str(folder / "ds")


def test_planted_copies_are_at_the_top_and_in_one_group(dataset):
    found = audit(dataset, low=-1.0, high=1.0, step=0.05, per_bin=100)
    assert found.encoder == "embedded"
    assert found.samples == 24
    assert sum(b.pairs for b in found.bins) == 24 * 23 // 2
    top = [p for b in found.bins if b.low >= found.threshold - 1e-9 for p in b.examples]
    assert len(top) >= 24
    assert {p.orientation for p in top} == {1, 2}
    assert all(p.merged for p in top)
    assert not any(p.merged for b in found.bins if b.high <= 0.5 for p in b.examples)
    for b in found.bins:
        assert all(b.low - 1e-6 <= p.cos <= b.high + 2e-3 for p in b.examples)
        assert len({(p.first, p.second) for p in b.examples}) == len(b.examples) == b.pairs


def test_search_and_table_agree(dataset, monkeypatch):
    """The bins under the floor come from a search; over the floor, from the stored table. Both see the same pairs."""
    stored = [b for b in audit(dataset, low=0.8, step=0.02, per_bin=100).bins]
    monkeypatch.setattr(auditing, "_stored_pairs", lambda *_: [])
    everything = audit(dataset, low=0.0, step=0.02, per_bin=100)
    assert all(not b.estimated for b in everything.bins)  # every sample was drawn
    assert not any(b.pairs for b in everything.bins if b.low >= 0.8 - 1e-9)
    view = auditing.open_view(dataset)
    rows, vectors = auditing._rows(view)
    group_of = dict(zip(rows["ids"], rows["groups"], strict=True))
    symmetries = auditing._turns(auditing.StageContext().encoder("embedded"), True)
    pairs, drawn = auditing._searched_pairs(rows["ids"], vectors, group_of, 0.8, symmetries, 0)
    assert drawn == 24
    searched = {(p.first, p.second): p for p in pairs}
    for b in stored:
        for p in b.examples:
            assert searched[p.first, p.second].cos == pytest.approx(p.cos, abs=1e-3)
            assert searched[p.first, p.second].merged == p.merged


def test_counts_from_a_part_of_the_samples_are_estimates(dataset, monkeypatch):
    exact = sum(b.pairs for b in audit(dataset, low=0.0, high=0.8, step=0.8).bins)
    monkeypatch.setattr(auditing, "SEARCHED", 12)
    guesses = []
    for seed in range(12):
        found = audit(dataset, low=0.0, high=0.8, step=0.8, seed=seed)
        assert found.searched == 12
        assert found.bins[0].estimated
        guesses.append(found.bins[0].pairs)
    assert np.mean(guesses) == pytest.approx(exact, rel=0.2)


def test_the_same_pairs_on_every_run_and_others_with_another_seed(dataset):
    one, again = (audit(dataset, low=0.0, high=0.8, step=0.8, per_bin=3) for _ in range(2))
    assert one == again
    assert len(one.bins[0].examples) == 3
    assert (
        one.bins[0].examples
        != audit(dataset, low=0.0, high=0.8, step=0.8, per_bin=3, seed=1).bins[0].examples
    )


def test_another_encoder_is_refused(dataset):
    with pytest.raises(ConfigError, match="made by 'embedded'"):
        audit(dataset, encoder="openclip:ViT-B-32/laion2b_s34b_b79k")
    assert audit(dataset, encoder="embedded").bins


@pytest.mark.parametrize(
    "bad", [{"low": 1.0}, {"low": 0.5, "high": 0.4}, {"step": 0.0}, {"step": 1e-5}, {"low": -2.0}]
)
def test_empty_ranges_are_refused(dataset, bad):
    with pytest.raises(ConfigError, match="--low"):
        audit(dataset, **bad)


def test_a_dataset_without_groups_says_what_to_do(tmp_path):
    images = tmp_path / "in"
    images.mkdir()
    Image.fromarray(scene(1)).save(images / "a.png")
    raw = {"name": "x", "dataset": str(tmp_path / "ds"), "sources": [{"name": "in", "root": str(images)}],
           "stages": {"profile": {"quality": False}}, "report": False}  # fmt: skip
    build(build_recipe(raw, "test"), BuildOptions(engine="inline", quiet=True))
    with pytest.raises(DatasetError, match="no duplicate groups"):
        audit(str(tmp_path / "ds"))


def test_page_is_self_contained_and_escaped(dataset, tmp_path):
    found = audit(dataset, low=0.3, per_bin=5)
    write_page(found, tmp_path / "deep" / "page.html")
    page = (tmp_path / "deep" / "page.html").read_text(encoding="utf-8")
    assert "&lt;script&gt;" in page
    assert "<script" not in page
    assert not re.search(r"(src|href)=\"(?!data:|#)", page)
    assert page.count('id="threshold"') == 1
    assert "shown mirrored" in page
    assert "scaleX(-1)" in page
    assert page.count("data:image") == 2 * sum(len(b.examples) for b in found.bins)


@pytest.mark.parametrize(("threshold", "above"), [(0.95, 0), (0.85, 1), (0.5, 2)])
def test_the_line_is_drawn_at_the_threshold(threshold, above):
    pair = AuditPair(AuditPicture("a", None), AuditPicture("b", None), 0.91, 1, False)
    bins = (AuditBin(0.9, 0.94, 1, False, 0.0, (pair,)), AuditBin(0.8, 0.84, 7, True, None, ()))
    page = render_audit(AuditPage("ds", "embedded", threshold, 0.8, 10, 10, bins))
    line = page.index('id="threshold"')
    places = [page.index(f'id="b{i}"') for i in (1, 2)]
    assert sum(p < line for p in places) == above
    assert "about 7" in page


def test_command_line(dataset, tmp_path):
    runner = CliRunner()
    out = runner.invoke(app, ["dedup-audit", dataset, "--low", "0.5", "--html", str(tmp_path / "p.html")])
    assert out.exit_code == 0, out.output
    assert "---- threshold" in out.output
    assert (tmp_path / "p.html").exists()
    facts = json.loads(runner.invoke(app, ["dedup-audit", dataset, "--json", "--per-bin", "1"]).output)
    assert facts["encoder"] == "embedded"
    assert len(facts["bins"]) == 20
