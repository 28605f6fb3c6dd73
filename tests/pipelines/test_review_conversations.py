"""`review-export --format conversations`: what people decided, asked as the stages asked, split by picture."""

from __future__ import annotations

import collections
import dataclasses
import hashlib
import json
import shutil
from types import SimpleNamespace

import pytest
import yaml
from PIL import Image

from zcurate.captioner.training.conversations import read_split
from zcurate.curation.active.review.decisions import ReviewLog, now_text
from zcurate.curation.active.review.states import HUMAN, Decision
from zcurate.pipelines.conversations import ConversationOptions, split_of
from zcurate.pipelines.recipe import load_recipe
from zcurate.pipelines.reviewing import ReviewOptions, prepare

from ..captioner.server import Reply, VlmServer, images_of
from ..curation.clips import scene, thing
from .pictures import captions_of, draw, number_of, reading_of
from .test_video_pairs import instructions

SIGNS = 12


def looking(body):
    """A model that describes signs and two photographs, and tells what differs."""
    images = images_of(body)
    i = number_of(images[0]) if len(images) == 1 else None
    if i is None:
        return instructions(body)
    answer = reading_of(i) | captions_of(i)
    wanted = body["response_format"]["json_schema"]["schema"]["properties"]
    return Reply(json.dumps({k: answer[k] for k in wanted}, ensure_ascii=False))


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """A dataset of signs, each in a folder of its own, and of two photographs of one subject: a pair each way."""
    from zcurate.pipelines.build import BuildOptions, build

    root = tmp_path_factory.mktemp("captioner")
    pictures = root / "pictures"
    for i in range(SIGNS):
        (pictures / f"s{i:02d}").mkdir(parents=True)
        draw(i, (240, 180)).save(pictures / f"s{i:02d}/p.png")
    shutil.copytree(pictures / "s05", pictures / "s05-copy")  # the same bytes under another name
    (pictures / "mug").mkdir()
    for n in range(2):
        Image.fromarray(thing(scene(50 + n), 100 + 30 * n, 120, 90)).save(pictures / f"mug/{n}.png")
    with VlmServer(looking) as server:
        model = {"engine": server.engine, "revision": "test", "image_tokens": 64}
        recipe = {
            "name": "ds",
            "dataset": str(root / "ds"),
            "rows_per_shard": 6,
            "sources": [{"name": "s", "root": str(pictures), "kind": "folder"}],
            "stages": {
                "profile": {"quality": False},
                "caption": model | {"seed": 3},
                "photo_groups": model | {"band": [-1, 1]},
            },
            "report": False,
        }
        (root / "recipe.yaml").write_text(yaml.safe_dump(recipe, sort_keys=False))
        done = build(load_recipe(root / "recipe.yaml", []), BuildOptions(engine="inline", quiet=True))
        assert done.exit_code == 0
        return SimpleNamespace(root=root, bodies=list(server.bodies))


def decide(log, task, action, **body):
    name = f"{task.id}-{action}-{len(log.history(task.id))}"
    log.append([Decision(name, task.id, action, "ann", HUMAN, now_text(), body)])


@pytest.fixture
def reviewed(built, tmp_path):
    """A copy of the dataset with its tasks by the key of their sample, and its log."""
    shutil.copytree(built.root / "ds", tmp_path / "ds")
    with ReviewLog(tmp_path / "ds/_review/decisions.sqlite") as log:
        prepare(str(tmp_path / "ds"), ReviewOptions(), log)
        tasks = {t.context["key"]: t for t in log.tasks()}
        yield tmp_path / "ds", tasks, log


def lines(folder):
    found = [c for split in ("train", "held_out") for c in read_split(folder, split)]
    assert len({c.id for c in found}) == len(found)
    return found, json.loads((folder / "conversations.json").read_text())


def test_what_people_decided_becomes_conversations(reviewed, zcurate, tmp_path):
    url, tasks, log = reviewed
    signs = {key: t for key, t in tasks.items() if t.kind == "caption" and key.startswith("s")}
    assert len(signs) == SIGNS + 1
    new = "A hand-painted sign before a wall."
    order = sorted(signs)
    for key in order[:6]:
        decide(log, signs[key], "pass")
    decide(log, signs[order[6]], "correct", fields={"en_short": new, "zh_tags": ["木牌", "墙", "圆盘"]})
    decide(log, signs[order[7]], "discard")
    decide(log, signs[order[8]], "pass")
    decide(log, signs[order[8]], "discard")  # the last word counts
    decide(log, signs[order[9]], "fail")  # waits for a correction
    pairs = sorted((t for t in tasks.values() if t.kind == "pair"), key=lambda t: t.id)
    assert len(pairs) == 2
    decide(log, pairs[0], "pass")
    said = {"en_short": "Shift the ball.", "zh_short": "移动这个球。"}
    decide(log, pairs[1], "correct", fields=said)
    # A seed by which the two photographs lie together, and signs on both sides.
    photographs = [tasks[f"mug/{n}"].pictures[0].content_id for n in range(2)]
    taken = [signs[k].pictures[0].content_id for k in order[:7]]
    for seed in range(100):
        options = ConversationOptions(held_out=0.3, seed=seed)
        if split_of(photographs, options) and len({split_of((c,), options) for c in taken}) == 2:
            break
    export = ("review-export", url, "--format", "conversations", "--held-out", "30%", "--out")
    code, out, err = zcurate(*export, tmp_path / "talks", "--seed", seed)
    assert code == 0, err
    talks, facts = lines(tmp_path / "talks")
    subjects = {t.subject for k in order[:7] for t in [signs[k]]}
    assert {c.provenance["subject"] for c in talks if c.task == "caption"} == subjects
    # The copy is captioned by other plans of user prompts, but read alike.
    assert len({c.provenance["subject"] for c in talks if c.task == "ocr"} & subjects) == len(subjects) - 1
    assert facts["left_out"] == {"ocr: the same again": 1}
    assert {(c.task, c.provenance["subject"]) for c in talks if len(c.provenance["subject"]) == 32} >= {
        ("difference", pairs[0].subject),
        ("instruction", pairs[0].subject),
        ("instruction", pairs[1].subject),
    }
    assert facts["conversations"]["train"].keys() | facts["conversations"]["held_out"].keys() == {
        "caption", "ocr", "difference", "instruction",
    }  # fmt: skip
    # Nothing of what was discarded, or awaits a correction, is anywhere in the folder.
    whole = "".join(p.read_text() for p in (tmp_path / "talks").glob("*.json*"))
    for key in order[7:]:
        assert signs[key].subject not in whole, key
    corrected = next(c for c in talks if c.task == "caption" and c.provenance["outcome"] == "corrected")
    answer = json.loads(corrected.answer)
    assert answer["en"]["short"] == new
    assert answer["zh"]["tags"] == ["木牌", "墙", "圆盘"]
    assert answer["en"]["long"] == signs[order[6]].fields["en_long"].replace('"SHOP 6"', "“SHOP 6”")
    assert corrected.provenance | {"sample_ids": 0, "content_ids": 0} == {
        "sample_ids": 0, "content_ids": 0, "task_id": signs[order[6]].id, "subject": signs[order[6]].subject,
        "outcome": "corrected", "judged_by": "people", "reviewers": ["ann"], "proposer": signs[order[6]].proposer,
    }  # fmt: skip
    instructed = next(c for c in talks if c.provenance["subject"] == pairs[1].subject)
    assert json.loads(instructed.answer) == {"en": said["en_short"], "zh": said["zh_short"]}
    # All about a picture lies on one side, its copy under another name included.
    sides: dict[str, set[str]] = {}
    for c in talks:
        for content in c.provenance["content_ids"]:
            sides.setdefault(content, set()).add(c.split)
        for image in c.images:
            sides.setdefault(image, set()).add(c.split)
            assert (tmp_path / "talks" / image).stat().st_size > 0
    assert all(len(s) == 1 for s in sides.values())
    assert {c.split for c in talks} == {"train", "held_out"}
    assert (
        len({tuple(c.provenance["content_ids"]) for c in talks if c.task == "caption"}) == 6
    )  # of 7 samples
    # Again, the same bytes, before and after the review is applied; a folder of something else is left alone.
    assert zcurate("review-apply", url)[0] == 0
    assert zcurate(*export, tmp_path / "again", "--seed", seed)[0] == 0
    assert lines(tmp_path / "again")[1]["digest"] == facts["digest"]
    assert zcurate(*export, tmp_path / "again", "--weight", "accepted=3")[0] == 0  # replaced
    assert lines(tmp_path / "again")[1]["digest"] != facts["digest"]
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/notes.txt").write_text("mine")
    code, _, err = zcurate(*export, tmp_path / "mine")
    assert (code, "not empty" in err) == (1, True)
    assert [p.name for p in (tmp_path / "mine").iterdir()] == ["notes.txt"]


def test_the_questions_are_those_the_stages_asked(built, reviewed, zcurate, tmp_path):
    """Word for word, and pixel for pixel, what the server was asked when the dataset was made."""
    url, tasks, log = reviewed
    pairs = [t for t in tasks.values() if t.kind == "pair"]
    for task in (tasks["s03/p"], tasks["s06/p"], *pairs):
        decide(log, task, "pass")
    assert zcurate("review-export", url, "--format", "conversations", "--out", tmp_path / "talks")[0] == 0
    talks, _ = lines(tmp_path / "talks")
    asked = set()
    for body in built.bodies:
        system, user = (m["content"] for m in body["messages"])
        schema = body["response_format"]["json_schema"]["schema"]
        note = json.dumps(schema, ensure_ascii=False, separators=(",", ":"))
        images = tuple(hashlib.sha256(data).hexdigest() for data in images_of(body))
        asked.add((system, note, images, *(p["text"] for p in user if p["type"] == "text")))
    found = collections.Counter()
    for c in talks:
        system, _, note = c.system.partition(
            "\n\nAnswer with one JSON object that follows this JSON schema, and with nothing else:\n"
        )
        images = tuple(hashlib.sha256((tmp_path / "talks" / i).read_bytes()).hexdigest() for i in c.images)
        # A pair is looked at once, in one direction; the other one is asked for by its inverse.
        there = (system, note, images, *(p for p in c.parts if isinstance(p, str))) in asked
        found[c.task, there] += 1
    assert found == {
        ("ocr", True): 2, ("caption", True): 2, ("difference", True): 1, ("difference", False): 1,
        ("instruction", True): 2,
    }  # fmt: skip


def test_ai_verdicts_alone_can_be_weighed_or_left_out(reviewed, zcurate, tmp_path):
    url, tasks, log = reviewed
    first, second = (t for k, t in sorted(tasks.items()) if k.startswith(("s00", "s01")))
    rows = [{"task_id": t.id, "verdict": "pass", "verifier": "judge@1"} for t in (first, second)]
    (tmp_path / "v.jsonl").write_text("\n".join(map(json.dumps, rows)))
    assert zcurate("review-import", url, tmp_path / "v.jsonl")[0] == 0
    from zcurate.curation.active.review.routing import Routing, apply_routing

    apply_routing(log, Routing(pass_share=0.0, rare_below=0, lettering_below=None))
    decide(log, second, "pass")
    weighed = ("--weight", "ai=0.25", "--weight", "accepted=2")
    export = ("review-export", url, "--format", "conversations", "--out", tmp_path / "talks")
    assert zcurate(*export, *weighed)[0] == 0
    talks, _ = lines(tmp_path / "talks")
    assert {(c.provenance["judged_by"], c.provenance["subject"], c.weight) for c in talks} == {
        ("ai", first.subject, 0.25),
        ("people", second.subject, 2.0),
    }
    assert zcurate(*export, "--weight", "ai=0")[0] == 0
    talks, facts = lines(tmp_path / "talks")
    assert {c.provenance["subject"] for c in talks} == {second.subject}
    assert facts["left_out"] == {"weight 0": 1}
    for wrong, message in (
        (("--weight", "ai=-1"), "--weight ai"),
        (("--weight", "nobody=1"), "--weight nobody"),
        (("--weight", "ai"), "corrected=2"),
        (("--held-out", "100%"), "--held-out"),
        (("--held-out", "many"), "--held-out"),
        (("--family", "llama"), "--family"),
    ):
        code, _, err = zcurate(*export, *wrong)
        assert (code, message in err) == (2, True), err
    # For a model that gives boxes: a model that gave cells has no lettering to teach it.
    code, out, err = zcurate(*export, "--family", "qwen3-vl")
    assert code == 0, err
    assert lines(tmp_path / "talks")[1]["family"] == "qwen3-vl"
    assert "left out: ocr: no place" in out


def test_captions_written_anew_are_not_what_was_reviewed(reviewed, zcurate, tmp_path):
    url, tasks, log = reviewed
    task = next(t for k, t in tasks.items() if k.startswith("s01"))
    other = dataclasses.replace(task, fields={**task.fields, "en_short": "Something else."})
    log.sync_tasks([other], partial=True)
    decide(log, other, "pass")
    code, _, err = zcurate("review-export", url, "--format", "conversations", "--out", tmp_path / "talks")
    assert (code, "captioned anew since the review (1)" in err) == (1, True), err
    assert not (tmp_path / "talks").exists()
    assert not [p for p in tmp_path.iterdir() if p.name.startswith(".talks")]


def test_removed_samples_are_not_exported(reviewed, zcurate, tmp_path):
    url, tasks, log = reviewed
    kept, gone = (t for k, t in sorted(tasks.items()) if k.startswith(("s00", "s01")))
    for task in (kept, gone):
        decide(log, task, "pass")
    (tmp_path / "ids.txt").write_text(gone.subject)
    assert zcurate("prune", url, "--ids", tmp_path / "ids.txt", "--reason", "asked")[0] == 0
    assert zcurate("review-export", url, "--format", "conversations", "--out", tmp_path / "talks")[0] == 0
    assert {c.provenance["subject"] for c in lines(tmp_path / "talks")[0]} == {kept.subject}


def test_pairs_of_discarded_pictures_are_not_exported(reviewed, zcurate, tmp_path):
    url, tasks, log = reviewed
    decide(log, tasks["s00/p"], "pass")
    for pair in (t for t in tasks.values() if t.kind == "pair"):
        decide(log, pair, "pass")
    export = (
        "review-export",
        url,
        "--format",
        "conversations",
        "--held-out",
        "0",
        "--out",
        tmp_path / "talks",
    )
    assert zcurate(*export)[0] == 0
    assert "difference" in {c.task for c in lines(tmp_path / "talks")[0]}
    decide(log, tasks["mug/0"], "discard")
    assert zcurate("review-apply", url)[0] == 0
    code, out, _ = zcurate(*export)
    assert code == 0
    assert {c.task for c in lines(tmp_path / "talks")[0]} == {"ocr", "caption"}
    assert "2  left out: difference: of a picture that was thrown out" in out


def test_the_split_depends_on_the_picture_alone():
    ids = [f"{i:032x}" for i in range(4000)]
    for share in (0.0, 0.1, 0.5):
        sides = [split_of((i,), ConversationOptions(held_out=share)) for i in ids]
        assert abs(sides.count("held_out") / len(ids) - share) < 0.03
    a, b = ConversationOptions(held_out=0.1), ConversationOptions(held_out=0.3)
    held = {i for i in ids if split_of((i,), a) == "held_out"}
    assert held < {i for i in ids if split_of((i,), b) == "held_out"}  # a larger share keeps the smaller one
    other = {i for i in ids if split_of((i,), dataclasses.replace(a, seed=1)) == "held_out"}
    assert held != other
    inside, outside = next(iter(held)), next(i for i in ids if i not in held)
    assert split_of((inside, outside), a) is None
    assert split_of((inside, inside), a) == "held_out"
