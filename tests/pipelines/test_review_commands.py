"""The commands around `zcurate review`: verdicts of models, statistics, files, and what they refuse."""

from __future__ import annotations

import json
import re

import pyarrow.parquet as pq
import pytest

from zcurate.curation.active.review.decisions import ReviewLog
from zcurate.curation.active.review.routing import Routing
from zcurate.curation.store import Dataset, Limit
from zcurate.pipelines.build import BuildOptions, build
from zcurate.pipelines.recipe import build_recipe
from zcurate.pipelines.reviewing import ReviewOptions, prepare

from ..captioner.server import Reply, texts_of
from ..curation.review_cases import XSS
from .review_site import dataset, made  # noqa: F401 - fixtures

# ruff: noqa: F811


def test_verdicts_statistics_and_files(dataset, zcurate, tmp_path):
    url = str(dataset)
    assert "no review yet" in zcurate("review-stats", url)[2]
    with ReviewLog(dataset / "_review/decisions.sqlite") as log:
        assert prepare(url, ReviewOptions(), log) == {"new": len(XSS), "routed": len(XSS), "forgotten": 0}
        assert prepare(url, ReviewOptions(), log) == {"new": 0, "routed": 0, "forgotten": 0}
        subjects = [t.subject for t in log.tasks()]
        assert all(t.elements and t.fields["zh_tags"] for t in log.tasks())
    lines = [{"sample_id": s, "verdict": "pass", "verifier": "judge@1", "score": 0.9} for s in subjects]
    (tmp_path / "v.jsonl").write_text("\n".join(map(json.dumps, lines)))
    assert json.loads(zcurate("review-import", url, tmp_path / "v.jsonl", "--json")[1])["decisions"] == len(
        XSS
    )
    assert json.loads(zcurate("review-import", url, tmp_path / "v.jsonl", "--json")[1])["decisions"] == 0
    facts = json.loads(zcurate("review-stats", url, "--json")[1])
    assert facts["verifiers"][0]["passes"] == len(XSS)
    for bad, message in (
        ({"verifier": "captioner@1"}, "another model"),
        ({"verdict": "maybe"}, "maybe"),
        ({"sample_id": "00"}, "no task"),
    ):
        (tmp_path / "bad.jsonl").write_text(json.dumps(lines[0] | bad))
        code, _, err = zcurate("review-import", url, tmp_path / "bad.jsonl")
        assert (code, message in err) == (1, True), err
    assert zcurate("review-export", url, "--format", "label-studio", "--out", tmp_path / "ls")[0] == 0
    assert zcurate("review-import", url, tmp_path / "ls/tasks.json")[0] == 0
    assert zcurate("review-export", url, "--out", tmp_path / "pq")[0] == 0
    assert pq.read_table(tmp_path / "pq/reviewed.parquet").num_rows == len(XSS)
    assert zcurate("review-export", url, "--format", "csv", "--out", tmp_path / "x")[0] == 2
    # A sample that is taken down leaves the log with all that was said of it.
    (tmp_path / "gone.txt").write_text(subjects[0])
    assert zcurate("remove", url, "--ids", tmp_path / "gone.txt", "--reason", "asked")[0] == 0
    with ReviewLog(dataset / "_review/decisions.sqlite") as log:
        assert prepare(url, ReviewOptions(), log)["forgotten"] == 0  # the removal has seen to it
        assert subjects[0] not in {t.subject for t in log.tasks(current=False)}


def test_a_model_verifies_and_people_are_asked_by_its_verdicts(dataset, zcurate, vlm_server):
    """A model that sees no blue square, except in two pictures it cannot tell."""
    url, doubtful = str(dataset), {3, 4}

    def answer(body):
        said = texts_of(body)[-1]
        number = int(re.search(r"number (\d+)", said)[1])
        claims = re.findall(r"^(\d+)\. (.*)$", said, re.M)
        word = "unclear" if number in doubtful else "no" if number % 2 else "yes"
        listed = [
            {"number": int(n), "seen": "it", "verdict": word if "blue" in c else "yes"} for n, c in claims
        ]
        return Reply(json.dumps({"claims": listed}))

    vlm_server.script = answer
    options = ("--vlm", vlm_server.engine, "--revision", "1")
    assert "--revision" in zcurate("review-verify", url, "--vlm", vlm_server.engine)[2]
    code, said, err = zcurate("review-verify", url, *options, "--limit", "5", "--json")
    assert code == 0, err
    assert "5 questions" in err
    assert sum(json.loads(said).values()) == 5
    counts = json.loads(zcurate("review-verify", url, *options, "--json")[1])
    with ReviewLog(dataset / "_review/decisions.sqlite") as log:
        prepare(url, ReviewOptions(routing=Routing(pass_share=0.0, rare_below=0)), log)
        for one in log.tasks():
            number = int(re.search(r"number (\d+)", one.fields["en_long"])[1])
            state = log.state(one.id)
            if number in doubtful:
                assert (state.ai, state.routed) == (None, ("no_ai",))
            elif number % 2:
                assert (state.ai, state.routed) == ("fail", ("ai_fail",))
                [verdict] = [d for d in log.history(one.id) if d.actor_kind == "ai"]
                shown = {e.id: e.text for e in one.elements}
                assert {shown[i] for i in verdict.body["unsatisfied"]} >= {"blue"}
            else:
                assert (state.outcome, state.human) == ("accepted", "not_sent")
    again = json.loads(zcurate("review-verify", url, *options, "--json")[1])
    assert again == {"pass": 0, "fail": 0, "undecided": len(doubtful), "unanswered": 0}
    assert counts["unanswered"] == 0
    vlm_server.script = Reply("invalid key", status=401)
    code, _, err = zcurate("review-verify", url, "--vlm", vlm_server.engine, "--revision", "2")
    assert (code, "verdicts so far are kept" in err) == (1, True), err
    code, _, err = zcurate("review-verify", url, *options[:2], "--revision", "2", "--max-tokens", "10")
    assert (code, "max_tokens" in err) == (1, True), err


@pytest.fixture(scope="module")
def pairs(made, tmp_path_factory):
    """A dataset with edit pairs and no captions."""
    folder = tmp_path_factory.mktemp("pairs")
    recipe = {
        "name": "pairs",
        "dataset": str(folder / "ds"),
        "sources": [{"name": "s", "root": str(made / "pictures"), "kind": "folder"}],
        "stages": {"profile": {"quality": False}, "edits": {"versions": 1}},
        "report": False,
    }
    build(build_recipe(recipe, "test"), BuildOptions(engine="inline", limit=Limit(rows=4)))
    return folder / "ds"


def test_a_model_verifies_pairs_in_both_languages_without_knowing_who_wrote(pairs, zcurate, vlm_server):
    url, asked = str(pairs), []
    words = {}

    def answer(body):
        said = texts_of(body)[-1]
        claims = re.findall(r"^(\d+)\. (instruction \((?:en|zh)\)|rest|look): ?(.*)$", said, re.M)
        asked.append((body, claims))
        listed = [
            {"number": int(n), "seen": "it", "verdict": words.get(kind, words.get("all", "yes"))}
            for n, kind, _ in claims
        ]
        return Reply(json.dumps({"claims": listed}))

    vlm_server.script = answer
    options = ("review-verify", url, "--vlm", vlm_server.engine, "--what", "pairs", "--json", "--revision")
    code, _, err = zcurate("review-verify", url, "--vlm", vlm_server.engine, "--revision", "1", "--what", "captions")  # fmt: skip
    assert (code, "neither" in err) == (1, True), err
    code, said, err = zcurate(*options, "1", "--limit", "1")
    assert (code, json.loads(said)["pass"]) == (0, 1), err
    code, said, err = zcurate(*options, "1")
    assert code == 0, err
    with ReviewLog(pairs / "_review/decisions.sqlite") as log:
        tasks = list(log.tasks())
        assert json.loads(said)["pass"] == len(tasks) - 1 >= 1
        assert len(asked) == len(tasks)  # what was judged is not asked again
        for body, claims in asked:
            told = [text for _, kind, text in claims if kind.startswith("instruction")]
            one = next(t for t in tasks if list(t.fields.values()) == told)
            assert {name[:2] for name in one.fields} == {"en", "zh"}
            parts = [p for m in body["messages"] if isinstance(m["content"], list) for p in m["content"]]
            assert sum(p["type"] == "image_url" for p in parts) == len(one.pictures) >= 2
            assert one.proposer
            assert one.proposer not in json.dumps(body["messages"])
    # Each answer goes to its element; a language that says another change fails the pair.
    for revision, given, unsatisfied, unclear in [
        ("weights-b", {"instruction (zh)": "no"}, ["instruction"], []),
        ("weights-c", {"rest": "no", "look": "unclear"}, ["rest"], ["look"]),
        ("weights-d", {"instruction (en)": "unclear"}, None, ["instruction"]),
    ]:
        words.clear()
        words.update(given)
        code, said, err = zcurate(*options, revision, "--limit", "1")
        assert code == 0, err
        with ReviewLog(pairs / "_review/decisions.sqlite") as log:
            verdicts = [d for d in log.decisions() if d.actor_kind == "ai" and revision in d.actor]
            if unsatisfied is None:
                assert (json.loads(said)["undecided"], verdicts) == (1, [])
                continue
            [verdict] = verdicts
            assert (verdict.action, verdict.body["unsatisfied"]) == ("fail", unsatisfied)
            assert verdict.body["unclear"] == unclear
            prepare(url, ReviewOptions(what="pairs", routing=Routing(pass_share=0.0)), log)
            assert log.state(verdict.task_id).routed == ("ai_fail",)
    facts = json.loads(zcurate("review-stats", url, "--json")[1])
    assert all("judging_pair@" in v["name"] for v in facts["verifiers"])


def test_wrong_arguments(dataset, zcurate, tmp_path, monkeypatch):
    monkeypatch.delenv("ZCURATE_REVIEW_TOKEN", raising=False)
    code, _, err = zcurate("review", dataset, "--host", "0.0.0.0")
    assert (code, "ZCURATE_REVIEW_TOKEN" in err) == (2, True)
    for options in (("--pass-share", "200%"), ("--accept", "coin"), ("--what", "poems")):
        code, _, err = zcurate("review", dataset, *options)
        assert code == 2, err
    Dataset.create(tmp_path / "bare")
    assert zcurate("review", tmp_path / "bare")[0] == 1
