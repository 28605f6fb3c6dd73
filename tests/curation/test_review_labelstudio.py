"""Review: Label Studio JSON and Parquet, out and in."""

import copy
import json
import xml.etree.ElementTree as ET

import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from zcurate.curation.active.review.decisions import ReviewLog
from zcurate.curation.active.review.exporting import export_parquet
from zcurate.curation.active.review.labelstudio import export_tasks, import_tasks, label_config
from zcurate.curation.active.review.routing import Routing, apply_routing
from zcurate.curation.active.review.states import CORRECT, DISCARD, FAIL, PASS, SKIP, UNDO
from zcurate.curation.errors import DatasetError

from .review_cases import ai, pair_task, said, task, texts

_STEP = st.tuples(
    st.integers(0, 2),
    st.sampled_from("ab"),
    st.sampled_from([PASS, FAIL, CORRECT, DISCARD, SKIP, UNDO, "ai"]),
    texts,
)


def filled(path, steps, tasks):
    log = ReviewLog(path)
    log.sync_tasks(tasks)
    apply_routing(log, Routing(second_share=0.5))
    for number, (which, who, what, text) in enumerate(steps):
        one = tasks[which % len(tasks)]
        if what == "ai":
            log.append([ai(one.id, PASS if number % 2 else FAIL, number)])
        elif what == UNDO:
            last = log.last_of(who)
            if last:
                log.append([said(last.task_id, UNDO, who, number=number, undoes=last.id)])
        else:
            body = {
                "note": text,
                "unsatisfied": [e.id for e in one.elements][: number % 3],
                "took_ms": number * 977,
            }
            if what == CORRECT:
                body |= {
                    "fields": {"en_long" if one.kind == "caption" else "en_short": text},
                    "aesthetic": 7.0,
                }
            log.append([said(one.id, what, who, number=number, **body)])
    return log


@st.composite
def three_tasks(draw):
    made = [
        task(n, fields={"en_long": draw(texts), "zh_tags": tuple(draw(st.lists(texts, max_size=3)))})
        for n in range(2)
    ]
    return [*made, pair_task()]


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(_STEP, max_size=10), three_tasks())
def test_out_and_in_again_is_the_same_log(tmp_path_factory, steps, tasks):
    folder = tmp_path_factory.mktemp("ls")
    with filled(folder / "a.sqlite", steps, tasks) as log:
        text = json.dumps(list(export_tasks(log)))
        with ReviewLog(folder / "b.sqlite") as other:
            import_tasks(other, json.loads(text))
            assert list(other.tasks()) == list(log.tasks())
            for one in tasks:
                assert other.history(one.id) == log.history(one.id)
                assert other.state(one.id) == log.state(one.id)
            assert json.dumps(list(export_tasks(other))) == text
            assert import_tasks(other, json.loads(text)) == {"tasks": 0, "decisions": 0}
        assert import_tasks(log, json.loads(text)) == {"tasks": 0, "decisions": 0}
        assert json.dumps(list(export_tasks(log))) == text


def through_label_studio(documents, verdict=None, text=None):
    """What Label Studio does to a file: its own ids and times everywhere; and maybe one more annotation."""
    documents = copy.deepcopy(documents)
    for n, d in enumerate(documents):
        d |= {
            "id": n + 1,
            "created_at": "2026-02-01T09:00:00Z",
            "project": 7,
            "total_annotations": len(d["annotations"]),
        }
        d["meta"]["shelf"] = "B"
        d["data"]["batch"] = "monday"
        for kind in ("annotations", "predictions"):
            for k, item in enumerate(d[kind]):
                item |= {"id": 100 * n + k, "unique_id": f"u{n}{k}", "project": 7}
                for r in item["result"]:
                    r |= {"id": f"r{n}{k}", "origin": "manual"}
        if verdict:
            result = [
                {
                    "from_name": "verdict",
                    "to_name": "image",
                    "type": "choices",
                    "value": {"choices": [verdict]},
                }
            ]
            if text is not None:
                result.append(
                    {
                        "from_name": "en_long",
                        "to_name": "image",
                        "type": "textarea",
                        "value": {"text": [text]},
                    }
                )
            d["annotations"].insert(
                0,
                {
                    "id": 990 + n, "completed_by": {"id": 3, "email": "eve@example.org"}, "result": result,
                    "was_cancelled": False, "lead_time": 4.2, "created_at": "2026-02-01T10:00:00Z",
                    "updated_at": "2026-02-01T10:00:01Z", "draft_created_at": None, "parent_prediction": None,
                },
            )  # fmt: skip
    return documents


def unordered(document):
    """Without the order of decisions, to which new ones are added."""
    mark = {k: v for k, v in document["meta"]["zcurate"].items() if k != "order"}
    return {**document, "meta": {**document["meta"], "zcurate": mark}}


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(_STEP, max_size=6), st.sampled_from([None, PASS, FAIL, CORRECT, DISCARD]), texts)
def test_in_and_out_again_is_the_same_document(tmp_path_factory, steps, verdict, text):
    folder = tmp_path_factory.mktemp("ls")
    tasks = [task(0), task(1)]
    with filled(folder / "a.sqlite", steps, tasks) as log, ReviewLog(folder / "b.sqlite") as other:
        theirs = through_label_studio(list(export_tasks(log)), verdict, text)
        for target in (log, other):
            import_tasks(target, theirs)
            ours = list(export_tasks(target))
            assert [unordered(d) for d in ours] == [unordered(d) for d in theirs]
            for mine, its in zip(ours, theirs, strict=True):
                had = its["meta"]["zcurate"]["order"]
                assert mine["meta"]["zcurate"]["order"][: len(had)] == had
            assert import_tasks(target, theirs)["decisions"] == 0
            if verdict:
                last = target.history(task(0).id)[-1]
                assert (last.actor, last.action) == ("label-studio:eve@example.org", verdict)


def test_an_annotation_changed_there_comes_in_as_a_new_decision(tmp_path):
    with filled(tmp_path / "r.sqlite", [(0, "a", PASS, "")], [task()]) as log:
        documents = list(export_tasks(log))
        documents[0]["annotations"][0]["result"][0]["value"]["choices"] = [FAIL]
        documents[0]["annotations"][0]["completed_by"] = 5
        assert import_tasks(log, documents) == {"tasks": 0, "decisions": 1}
        assert [d.action for d in log.history(task().id)][-2:] == [PASS, FAIL]
        assert log.state(task().id).human == FAIL


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda d: d["data"].pop("zcurate"), "only tasks that were exported from here"),
        (lambda d: d["data"]["zcurate"]["fields"].update(en_long="other"), "does not fit data.task_id"),
        (lambda d: d["data"]["zcurate"].pop("pictures"), "not a review task"),
        (lambda d: d.update(annotations=["x"]), "not Label Studio JSON"),
        (lambda d: d["meta"]["zcurate"]["log"].append({"id": "x"}), "not Label Studio JSON"),
        (lambda d: d.pop("data"), "not Label Studio JSON"),
    ],
)
def test_files_that_do_not_fit_are_refused_whole(tmp_path, damage, message):
    with filled(tmp_path / "a.sqlite", [(0, "a", PASS, "")], [task(0), task(1)]) as log:
        documents = json.loads(json.dumps(list(export_tasks(log))))
    damage(documents[1])
    with ReviewLog(tmp_path / "b.sqlite") as other:
        with pytest.raises(DatasetError, match=message) as caught:
            import_tasks(other, documents)
        assert "task 1" in str(caught.value)
        assert list(other.tasks()) == []


def test_the_labeling_configuration_names_what_tasks_have(tmp_path):
    with filled(tmp_path / "a.sqlite", [], [task(), pair_task()]) as log:
        documents = list(export_tasks(log))
    root = ET.fromstring(label_config())
    names = {e.attrib["name"] for e in root if "name" in e.attrib}
    for d in documents:
        assert {r["from_name"] for p in d["predictions"] for r in p["result"]} <= names
    values = {e.attrib["value"].lstrip("$") for e in root if e.attrib.get("value", "").startswith("$")}
    assert values <= set().union(*(d["data"] for d in documents)) | {
        "en_medium",
        "zh_medium",
        "zh_long",
        "zh_short",
    }


def test_parquet_holds_the_log_and_what_became_of_it(tmp_path):
    with filled(tmp_path / "r.sqlite", [(0, "a", FAIL, "因为")], [task(0), task(1)]) as log:
        fields = {"en_tags": ["Bicycle", "river"], "en_long": "A bicycle."}
        log.append([said(task(0).id, CORRECT, "bob", fields=fields, unsatisfied=["e2"], aesthetic=8.0)])
        wrote = export_parquet(log, tmp_path / "out")
        decisions = list(log.decisions())
    found = pq.read_table(tmp_path / "out/decisions.parquet").to_pylist()
    assert [d["id"] for d in found] == [d.id for d in decisions]
    assert [json.loads(d["body"]) for d in found] == [dict(d.body) for d in decisions]
    rows = {r["subject"]: r for r in pq.read_table(tmp_path / "out/reviewed.parquet").to_pylist()}
    one = rows[task(0).subject]
    assert (one["outcome"], one["en_long"], one["proposed_en_long"][:5]) == (
        "corrected",
        "A bicycle.",
        "A red",
    )
    assert one["satisfied_share"] == pytest.approx(2 / 3)
    assert [e["satisfied"] for e in json.loads(one["elements"])] == [True, False, True]
    assert (one["aesthetic"], one["reviewers"]) == (8.0, ["a", "bob"])
    other = rows[task(1).subject]
    assert (other["aesthetic"], other["satisfied_share"], other["outcome"]) == (None, None, "proposed")
    tags = pq.read_table(tmp_path / "out/tag_changes.parquet").to_pylist()
    assert [(t["tag"], t["change"], t["by"]) for t in tags] == [
        ("river", "added", "bob"),
        ("bridge", "removed", "bob"),
    ]
    assert wrote == {"decisions.parquet": len(decisions), "reviewed.parquet": 2, "tag_changes.parquet": 2}
