"""The demonstration corpus holds what its truth says, and the score counts as a person would."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, UnidentifiedImageError

from zcurate.pipelines.demo import faults, score
from zcurate.pipelines.demo.corpus import TRUTH_SCHEMA, Corpus, build_corpus
from zcurate.pipelines.demo.photos import shipped_photographs
from zcurate.pipelines.demo.posters import Fonts, find_fonts, render_posters

# Its pictures and models are made once, not once per worker.
pytestmark = pytest.mark.xdist_group("demo_corpus")


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    return build_corpus(tmp_path_factory.mktemp("demo") / "corpus")


@pytest.fixture(scope="module")
def data(corpus: Corpus) -> dict[str, bytes]:
    """Key -> file bytes, read back from the three layouts."""
    out = {p.stem: p.read_bytes() for p in corpus.sources["photos"].iterdir() if p.suffix in (".jpg", ".png")}
    for row in pq.read_table(corpus.sources["scenes"], columns=["key", "image"]).to_pylist():
        out[row["key"]] = row["image"]["bytes"]
    with tarfile.open(corpus.sources["posters"]) as archive:
        for member in archive:
            if member.name.endswith((".jpg", ".png")):
                out[member.name.split(".")[0]] = archive.extractfile(member).read()
    return out


@pytest.fixture(scope="module")
def truth(corpus: Corpus) -> list[dict]:
    return corpus.truth.to_pylist()


def _pixels(data: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(data)) as image:
        return np.asarray(image.convert("RGB"))


def test_counts_follow_the_plan(corpus, truth, data):
    counts = Counter(r["fault"] for r in truth)
    for name, (_, planned) in (faults.COPIES | faults.DEGRADATIONS).items():
        assert counts[name] == planned, name
    assert counts["exact_copy"] == faults.EXACT_COPIES
    assert counts["flat"] == faults.FLATS
    assert counts["corrupt"] == 11
    assert 230 <= len(truth) <= 330
    assert len({r["key"] for r in truth}) == len(truth)
    assert set(data) == {r["key"] for r in truth}
    assert sum(corpus.counts.values()) == len(truth)
    assert corpus.total_bytes == sum(map(len, data.values()))


def test_truth_is_outside_the_sources_and_the_same_in_both_formats(corpus, truth):
    assert all(source not in corpus.truth_path.parents for source in corpus.sources.values())
    assert pq.read_table(corpus.truth_path).schema.equals(TRUTH_SCHEMA)
    assert json.loads((corpus.root / "truth" / "truth.json").read_text(encoding="utf-8")) == truth


def test_file_names_do_not_give_the_answer_away(truth):
    names = [n for n in (*faults.DUPLICATE_FAULTS, *faults.DEGRADATION_FAULTS, faults.CORRUPT)]
    assert not [r["uri"] for r in truth if any(n in r["uri"].lower() for n in names)]


def test_only_corrupt_files_fail_to_decode(truth, data):
    for row in truth:
        if row["fault"] == faults.CORRUPT:
            with pytest.raises((UnidentifiedImageError, OSError, SyntaxError)):
                _pixels(data[row["key"]])
            continue
        height, width = _pixels(data[row["key"]]).shape[:2]
        if row["fault"] is None:
            assert min(height, width) >= 256, row["base_id"]
            assert max(height, width) <= 1024, row["base_id"]
        if row["fault"] == "tiny":
            assert min(height, width) == json.loads(row["fault_params"])["short_side_px"]


def test_copies_are_what_they_are_called(truth, data):
    originals = {r["duplicate_of"]: r["key"] for r in truth if r["duplicate_of"] and r["fault"] is None}
    assert len(originals) == len({r["duplicate_of"] for r in truth if r["duplicate_of"]})
    for row in truth:
        if row["fault"] not in faults.DUPLICATE_FAULTS:
            continue
        original, copy = data[originals[row["duplicate_of"]]], data[row["key"]]
        a, b = _pixels(original), _pixels(copy)
        params = json.loads(row["fault_params"])
        if row["fault"] == "exact_copy":
            assert original == copy
            continue
        assert original != copy
        if row["fault"] == "identical_pixels":
            assert np.array_equal(a, b)
        elif row["fault"] == "flip":
            assert np.abs(a[:, ::-1].astype(int) - b).mean() < 8
        elif row["fault"] == "resize":
            assert (
                b.shape[0] == round(a.shape[0] * params["scale"])
                or abs(b.shape[0] / a.shape[0] - params["scale"]) < 0.01
            )
        elif row["fault"] == "crop":
            y, x = params["y_px"], params["x_px"]
            assert np.abs(a[y : y + b.shape[0], x : x + b.shape[1]].astype(int) - b).mean() < 8
            assert 0.87 <= b.shape[0] / a.shape[0] <= 0.96


def test_damaged_and_clean_pictures_share_no_content(truth, data):
    bases = Counter(r["base_id"] for r in truth if not r["duplicate_of"])
    assert max(bases.values()) == 1
    clean = [_pixels(data[r["key"]]).tobytes() for r in truth if r["fault"] is None]
    assert len(set(clean)) == len(clean)
    assert all(r["fault"] is None for r in truth if r["hard_negative"])


def test_sidecars_and_archive_members_belong_to_pictures(corpus, truth):
    folder = corpus.sources["photos"]
    keys = {r["key"] for r in truth if r["source"] == "photos"}
    sidecars = [p for p in folder.iterdir() if p.suffix in (".txt", ".json")]
    assert {p.stem for p in sidecars} <= keys
    assert all(json.loads(p.read_text(encoding="utf-8"))["caption"] for p in sidecars if p.suffix == ".json")
    with tarfile.open(corpus.sources["posters"]) as archive:
        members = Counter(m.name.split(".")[0] for m in archive)
    assert set(members.values()) == {3}


def test_photographs_are_really_in_the_packages():
    pytest.importorskip("skimage")
    pytest.importorskip("sklearn")
    pictures, missing = shipped_photographs()
    assert missing == []
    assert len({p.base_id for p in pictures}) == len(pictures) >= 20
    assert all(p.origin == "camera" for p in pictures)


def test_posters_without_a_chinese_font_are_english_and_say_so():
    fonts = Fonts(find_fonts().english, ())
    posters = render_posters(0, fonts)
    assert "zcurate[fonts]" in fonts.note
    assert posters
    assert all(text.isascii() for p in posters for text in p.texts)


def test_the_seed_decides_the_pictures():
    fonts = Fonts(find_fonts().english[:1], ())
    first, again, other = (render_posters(s, fonts) for s in (0, 0, 1))
    assert all(np.array_equal(a.image, b.image) for a, b in zip(first, again, strict=True))
    assert not any(np.array_equal(a.image, b.image) for a, b in zip(first, other, strict=True))


def test_refuses_a_folder_that_is_not_empty(tmp_path):
    (tmp_path / "mine.txt").write_text("keep")
    with pytest.raises(FileExistsError, match="not empty"):
        build_corpus(tmp_path)


@pytest.mark.slow
def test_same_seed_same_bytes(corpus, tmp_path):
    def digests(root: Path) -> dict[str, str]:
        files = sorted(p for p in root.rglob("*") if p.is_file())
        return {str(p.relative_to(root)): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}

    again = build_corpus(tmp_path / "again")
    assert digests(again.root) == digests(corpus.root)


# Scoring


def _outcome(truth: list[dict], **changes: dict) -> pa.Table:
    """The outcome of a pipeline that makes no mistake, with changes by key."""
    keeper = {r["duplicate_of"]: r["key"] for r in truth if r["duplicate_of"] and r["fault"] is None}
    rows = []
    for r in truth:
        corrupt, degraded = r["fault"] == faults.CORRUPT, r["fault"] in faults.DEGRADATION_FAULTS
        reached = not corrupt and not degraded
        group = r["duplicate_of"] or r["key"]
        row = {
            "source": r["source"],
            "key": r["key"],
            "status": "error" if corrupt else "ok",
            "error_class": "SampleError" if corrupt else None,
            "keep_filter": None if corrupt else not degraded,
            "reasons": [f"rule_{r['fault']}"] if degraded else [],
            "group_id": group.encode() if reached else None,
            "dedup_keep": (keeper.get(r["duplicate_of"], r["key"]) == r["key"]) if reached else None,
            "keeper_key": keeper.get(r["duplicate_of"], r["key"]) if reached else None,
            "ocr_text": "\n".join(r["text_truth"]) if reached and r["fault"] is None else None,
        }
        rows.append(row | changes.get(r["key"], {}))
    return pa.Table.from_pylist(rows)


RULES = {f"rule_{name}": name for name in faults.DEGRADATION_FAULTS}


def _by_name(scores: list[score.FaultScore]) -> dict[str, score.FaultScore]:
    return {s.fault: s for s in scores}


def test_a_faultless_run_scores_one_everywhere(corpus, truth):
    scores = score.score(corpus.truth, _outcome(truth), RULES)
    for s in scores:
        if s.kind == "false_drop":
            assert s.found == 0, s
            continue
        assert s.recall == 1.0, s
        if s.kind != "ocr":
            assert s.precision == 1.0, s
    listed = {s.fault for s in scores}
    assert {*faults.DUPLICATE_FAULTS, *faults.DEGRADATION_FAULTS, "corrupt", "clean", "text_zh"} <= listed
    assert json.loads(score.to_json(scores))[0]["planted"] == scores[0].planted
    assert score.to_table(scores).row_count == len(scores)


def test_mistakes_are_counted_by_hand(corpus, truth):
    def pick(n: int, **want: object) -> list[str]:
        return [r["key"] for r in truth if all(r[k] == v for k, v in want.items())][:n]

    noisy, clean = pick(2, fault="noise"), pick(1, fault=None, hard_negative=None, duplicate_of=None)
    variants, crops = pick(2, hard_negative="color_variant"), pick(1, fault="crop")
    broken = pick(1, fault="corrupt")
    changes = {
        noisy[0]: {"keep_filter": True, "reasons": []},
        noisy[1]: {"reasons": ["rule_flat"]},
        clean[0]: {"keep_filter": False, "reasons": ["rule_noise"]},
        variants[1]: {"group_id": variants[0].encode(), "dedup_keep": False, "keeper_key": variants[0]},
        crops[0]: {"group_id": b"alone", "dedup_keep": True, "keeper_key": crops[0]},
        broken[0]: {"status": "ok"},
    }
    got = _by_name(score.score(corpus.truth, _outcome(truth, **changes), RULES))
    assert (got["noise"].found, got["noise"].planted, got["noise"].flagged) == (6, 8, 7)
    assert got["noise"].precision == pytest.approx(6 / 7)
    assert "1 dropped for another reason" in got["noise"].note
    assert got["flat"].precision == pytest.approx(8 / 9)
    assert got["clean"].found == 1
    assert got["color_variant"].found == 1
    assert got["crop"].recall == pytest.approx(11 / 12)
    assert got["corrupt"].recall == pytest.approx(10 / 11)
    everything = got["all_duplicates"]
    assert everything.flagged == everything.found + 1  # the two color variants
    assert everything.precision < 1


def test_a_reason_may_stand_for_several_faults(corpus, truth):
    blurred = {r["key"]: {"reasons": ["too_soft"]} for r in truth if r["fault"] in ("defocus", "motion_blur")}
    got = _by_name(
        score.score(corpus.truth, _outcome(truth, **blurred), {"too_soft": ["defocus", "motion_blur"]})
    )
    assert (got["defocus"].recall, got["defocus"].precision) == (1.0, 1.0)


def test_faults_without_a_detector_are_shown(corpus, truth):
    outcome = _outcome(truth)
    for column in ("group_id", "ocr_text"):
        empty = pa.nulls(len(outcome), outcome[column].type)
        outcome = outcome.set_column(outcome.column_names.index(column), column, empty)
    got = _by_name(score.score(corpus.truth, outcome, {}))
    for name in (*faults.DEGRADATION_FAULTS, "crop", "all_duplicates", "text_en"):
        assert got[name].note.startswith(score.NO_DETECTOR), name


def test_lost_rows_are_reported_not_forgiven(corpus, truth):
    got = _by_name(score.score(corpus.truth, _outcome(truth).slice(10), RULES))
    assert got["missing_rows"].planted == 10


def test_bad_input_is_named(corpus, truth):
    outcome = _outcome(truth)
    with pytest.raises(ValueError, match="ocr_text"):
        score.score(corpus.truth, outcome.drop_columns(["ocr_text"]), RULES)
    with pytest.raises(ValueError, match="unknown fault"):
        score.score(corpus.truth, outcome, {"rule": "no_such_fault"})
    with pytest.raises(ValueError, match="twice"):
        score.score(corpus.truth, pa.concat_tables([outcome, outcome.slice(0, 1)]), RULES)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(0, 40), min_size=297, max_size=297))
def test_scores_stay_shares_whatever_the_grouping(corpus, truth, labels):
    changes = {r["key"]: {"group_id": str(n).encode()} for r, n in zip(truth, labels, strict=False)}
    for s in score.score(corpus.truth, _outcome(truth, **changes), RULES):
        assert 0 <= s.found <= s.planted
        assert all(v is None or 0 <= v <= 1 for v in (s.recall, s.precision))
