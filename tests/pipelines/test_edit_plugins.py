"""What a recipe plugs into the edits stage: rendered text, edits made elsewhere, a similarity and a judge."""

from __future__ import annotations

import json
import re
from collections import Counter

import cv2
import pytest

from zcurate.captioner.answers import AnswerError
from zcurate.pipelines.edit_judging import checked

from ..captioner.server import Reply, images_of, texts_of
from .test_edits import build, picture, read


@pytest.fixture
def root(tmp_path):
    """Two pictures, and no things to set into them."""
    for i in range(2):
        picture(tmp_path / "pictures" / f"{i}.png", i, (272, 400))
    (tmp_path / "things").mkdir()
    return tmp_path


def test_texts_are_set_read_back_and_compared(zcurate, root):
    for i in range(2):
        picture(root / "pictures" / f"{i}.png", i, (480, 640))
    texts = {"weight": 50}
    child = build(zcurate, root, "ds", "--engine", "inline", texts=texts, encoder="embedded", versions=4)
    pairs, versions, _ = read(child)
    pairs = [p for p in pairs if p["kind"] != "reference"]
    assert any("text/" in (v["state"] or "") for v in versions.values())
    kinds = Counter(t.partition(".")[0] for p in pairs for t in p["types"])
    assert kinds["text"] > 5
    scores = [json.loads(p["scores"]) for p in pairs]
    assert all(-1 <= s["similarity"] <= 1 for s in scores)
    assert len({s["similarity"] for s in scores}) > 5
    read_back = [
        (s["read_back"], p["reasons"]) for s, p in zip(scores, pairs, strict=True) if "read_back" in s
    ]
    assert read_back
    for share, reasons in read_back:
        assert 0 <= share <= 1
        assert (share < 0.8) == ("unreadable_text" in reasons)


def test_edits_made_elsewhere_keep_to_the_pixels_of_the_source(zcurate, root):
    """At the size of the file, which is not on the grid of models."""
    edited = root / "edited"
    edited.mkdir()
    picture(root / "pictures" / "odd.png", 9, (270, 405))
    source = cv2.imread(str(root / "pictures" / "odd.png"))
    source[60:120, 100:180] = (20, 20, 220)
    cv2.imwrite(str(edited / "red.png"), source)
    said = {"en": "Paint a red box.", "zh": "画一个红色方块。"}
    line = {"source": "odd", "target": "red.png", "type": "object.add", "instruction": said}
    (edited / "edits.jsonl").write_text(json.dumps(line) + "\n")
    child = build(
        zcurate, root, "ds", "--engine", "inline", experts=[{"folder": str(edited)}], weights={"folder": 1000}, versions=2
    )  # fmt: skip
    pairs, versions, bytes_of = read(child)
    (made,) = [v for v in versions.values() if v["experts"] == ["folder"]]
    assert (made["width_px"], made["height_px"]) == (400, 256)
    (pair,) = [p for p in pairs if p["kind"] == "forward" and p["target_key"] == made["key"]]
    assert pair["en_short"] == "Paint a red box."
    assert pair["types"] == ["object.add"]
    assert pair["verdict"] == "accept"
    assert pair["changed_share"] == pytest.approx(60 * 80 / (400 * 256), rel=0.05)


@pytest.mark.parametrize(
    ("experts", "said"),
    [
        ([{"folder": "nowhere"}], "edits.jsonl"),
        ([{"http": "http://127.0.0.1:9/e"}], "asks"),
        ([{"folder": "a", "http": "b"}], "name one of"),
        ([{"http": "http://x/e", "asks": [{"type": "object.dream", "en": "a", "zh": "b"}]}], "object.dream"),
    ],
)
def test_wrong_experts_are_named(zcurate, root, experts, said):
    with pytest.raises(AssertionError, match=re.escape(said)):
        build(zcurate, root, "ds", "--engine", "inline", experts=experts)


def test_a_model_judges_what_passed(zcurate, root, vlm_server):
    def script(body):
        told = texts_of(body)[-1].lower()
        assert len(images_of(body)) >= 2
        if "noise" in told or "grain" in told:
            return Reply(json.dumps({"instruction": 2, "consistency": 5, "quality": 5}))
        return Reply(json.dumps({"instruction": 5, "consistency": 4, "quality": 4}))

    vlm_server.script = script
    settings = {"engine": vlm_server.engine, "revision": "test"}
    weights = {"noise": 1000, "jpeg": 1000}
    child = build(zcurate, root, "ds", "--engine", "inline", judge=settings, weights=weights, versions=3)
    pairs, *_ = read(child)
    poor = [p for p in pairs if p["reasons"] == ["judged_poor"]]
    good = [p for p in pairs if p["verdict"] == "accept"]
    assert poor
    assert good
    scores = json.loads(poor[0]["scores"])
    # What was not done cannot have been done well.
    assert [scores[f"judge_{n}"] for n in ("instruction", "consistency", "quality")] == [2, 2, 2]
    assert json.loads(good[0]["scores"])["judge_quality"] == 4
    asked = vlm_server.asked
    build(zcurate, root, "ds", "--engine", "inline", judge=settings, weights=weights, versions=3)
    assert vlm_server.asked == asked


@pytest.mark.parametrize("wrong", [{}, {"instruction": 6}, {"instruction": True}, {"instruction": "4."}])
def test_scores_out_of_range_are_refused(wrong):
    with pytest.raises(AnswerError):
        checked({"consistency": 3, "quality": 3, **wrong})
