"""`zcurate diagnose`: pictures with prompts, probes of a generator, causes in training data; the stage `judge` with a model."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from zcurate.model.data.shapes.drawing import render
from zcurate.model.data.shapes.world import SceneSpec, Thing
from zcurate.pipelines.cycles import noted

from ..captioner.server import Reply

SHAPES = ("--verifier", "shapes", "--no-ocr", "--engine", "inline")


def scene(*concepts, background="white"):
    places = [(0, 0), (0, 1), (1, 0), (1, 1)]
    things = [Thing(c.split()[1], c.split()[0], *p) for c, p in zip(concepts, places, strict=False)]
    return SceneSpec(tuple(things), background)


def save(folder, name, spec, **sidecar):
    folder.mkdir(parents=True, exist_ok=True)
    Image.fromarray(render(spec)).save(folder / f"{name}.png")
    (folder / f"{name}.json").write_text(json.dumps(sidecar))


def diagnosis(zcurate, *arguments):
    code, out, err = zcurate("diagnose", *map(str, arguments), "--json")
    assert code == 0, err
    return json.loads(out)


def test_probes_made_elsewhere_pass_or_fail_by_what_they_show(zcurate, tmp_path):
    folder = tmp_path / "made"
    for i in range(12):
        save(folder, f"good{i}", scene("red circle"), prompt="a red circle", concept="red circle")
        shown = ("blue ring", "blue bar") if i < 9 else ("red bar",)
        save(
            folder, f"bad{i}", scene(*shown), prompt="x", concept="blue star", parts=["blue ring", "blue bar"]
        )
        save(folder, f"strange{i}", scene("red bar"), prompt="a dragon", concept="dragon")
    found = diagnosis(zcurate, f"folder:{folder}", "--out", tmp_path / "d", *SHAPES)
    status = {
        f["concept"]["name"]: (f["status"], f["tally"]["passed"], f["tally"]["failed"])
        for f in found["findings"]
    }
    assert status == {
        "red circle": ("passes", 12, 0),
        "blue star": ("fails", 0, 12),
        "dragon": ("unscored", 0, 0),
    }
    assert found["findings"][0]["concept"]["name"] == "blue star"
    assert len(found["findings"][0]["pictures"]) == 6
    assert (found["pictures"], found["unscored"], found["errors"]) == (36, 12, 0)
    page = (tmp_path / "d" / "diagnosis.html").read_text()
    assert "blue star" in page
    assert page.count("data:image/jpeg") >= 1


def poster(folder, name, prompt, text):
    folder.mkdir(parents=True, exist_ok=True)
    image = Image.new("RGB", (480, 200), "white")
    ImageDraw.Draw(image).text((30, 70), text, "black", ImageFont.load_default(48))
    image.save(folder / f"{name}.png")
    (folder / f"{name}.txt").write_text(prompt)


def test_quoted_text_is_read_and_what_nobody_can_tell_is_unscored(zcurate, tmp_path):
    folder = tmp_path / "posters"
    poster(folder, "right", 'a poster of a cat that says "GRAND OPENING"', "GRAND OPENING")
    poster(folder, "wrong", 'a poster that says "SUMMER SALE"', "SUMMER SOLE")
    (folder / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(50))
    (folder / "broken.txt").write_text("a cat")
    Image.new("RGB", (64, 64)).save(folder / "nothing.png")
    found = diagnosis(zcurate, f"folder:{folder}", "--out", tmp_path / "d", "--engine", "inline")
    assert found["kinds"]["text"]["satisfied"] == 1
    assert found["kinds"]["text"]["scored"] == 2
    assert found["kinds"]["subject"]["scored"] == 0
    assert found["errors"] == 2
    code, out, _ = zcurate("errors", str(tmp_path / "d" / "dataset"))
    assert code == 0
    assert "NoPromptError" in out


def test_a_model_decides_what_is_left(zcurate, tmp_path, vlm_server):
    """OCR answers for text; the model is asked for the rest only, and its `unclear` stays unscored."""
    folder = tmp_path / "posters"
    poster(folder, "one", 'a red car, and a sign that says "OPEN"', "OPEN")
    asked = []

    def answer(body):
        said = "".join(p.get("text", "") for p in body["messages"][-1]["content"])
        asked.append(said)
        words = {"car": "no", "sign": "unclear", "red": "yes"}
        lines = [x for x in said.splitlines() if x[:1].isdigit()]
        verdicts = [next(v for k, v in words.items() if f": {k}" in x.split(";")[0]) for x in lines]
        return Reply(
            json.dumps(
                {"claims": [{"number": i, "seen": "", "verdict": v} for i, v in enumerate(verdicts, 1)]}
            )
        )

    vlm_server.script = answer
    found = diagnosis(
        zcurate, f"folder:{folder}", "--out", tmp_path / "d", "--engine", "inline", "--vlm", vlm_server.engine, "--revision", "1"
    )  # fmt: skip
    assert len(asked) == 1
    assert "OPEN" not in asked[0].split("Claims:")[1]
    kinds = {k: (v["satisfied"], v["scored"], v["unscored"]) for k, v in found["kinds"].items()}
    assert kinds == {"subject": (0, 1, 1), "attribute": (1, 1, 0), "text": (1, 1, 0)}
    again = diagnosis(
        zcurate, f"folder:{folder}", "--out", tmp_path / "d", "--engine", "inline", "--vlm", vlm_server.engine, "--revision", "1"
    )  # fmt: skip
    assert again == found
    assert len(asked) == 1


def concepts_file(tmp_path):
    rows = [
        {"name": "red circle", "prior": 0.4},
        {"name": "blue star", "prior": 0.3},
        {"name": "green ring", "prior": 0.3},
    ]
    path = tmp_path / "concepts.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)))
    return path


PROBE = ("--size", "32*32", "--least", "4", "--most", "8", "--batch", "4")


def test_causes_are_found_in_the_training_data(zcurate, tmp_path):
    """An untrained model draws nothing right; why is another question."""
    train = tmp_path / "train"
    for i in range(40):
        save(train, f"a{i}", scene("red circle", "black bar"), caption=f"a red circle, picture {i}")
        # Captions say ring, pictures show crosses.
        save(train, f"c{i}", scene("green cross", "black bar"), caption=f"a green ring, picture {i}")
    save(train, "b", scene("blue star"), caption="a blue star")
    recipe = tmp_path / "train.yaml"
    recipe.write_text(
        f"name: train\ndataset: {tmp_path / 'ds'}\nsources: [{{root: {train}}}]\nreport: false\n"
        "stages: {profile: {quality: false}}\n"
    )
    assert zcurate("build", str(recipe), "--engine", "inline")[0] == 0
    arguments = ("s3dit:tiny", "--concepts", concepts_file(tmp_path), "--dataset", tmp_path / "ds")
    found = diagnosis(zcurate, *arguments, "--out", tmp_path / "d", *SHAPES, *PROBE)
    causes = {f["concept"]["name"]: (f["status"], f["cause"]["name"]) for f in found["findings"]}
    assert causes == {
        "red circle": ("fails", "unknown"),
        "blue star": ("fails", "lacks_data"),
        "green ring": ("fails", "bad_data"),
    }
    assert {f["concept"]["name"]: f["concept"]["samples"] for f in found["findings"]}["blue star"] == 1
    assert all(f["neighbors"] for f in found["findings"])
    # The same pictures, as somebody else's: without priors nothing says how many blue stars there should be.
    made = (f"folder:{tmp_path / 'd' / 'pictures'}", "--dataset", tmp_path / "ds", "--out", tmp_path / "e")
    again = diagnosis(zcurate, *made, *SHAPES)
    causes = {f["concept"]["name"]: f["cause"]["name"] for f in again["findings"]}
    assert causes == {"red circle": "unknown", "blue star": "unknown", "green ring": "bad_data"}
    # What is wrong is listed for pruning, and nothing else.
    (listed,) = (tmp_path / "d" / "wrong").iterdir()
    assert len(listed.read_text().split()) == 40
    code, out, err = zcurate(
        "prune", str(tmp_path / "ds"), "--ids", str(listed), "--reason", "no green rings", "--json"
    )
    assert code == 0, err
    assert (json.loads(out)["samples"], json.loads(out)["unknown"]) == (40, 0)
    looked, pruned = noted(tmp_path / "d")
    assert looked["spent"]["drawn"] == looked["spent"]["pictures"] == found["pictures"]
    assert (pruned["action"], pruned["samples"], pruned["entry"]) == ("prune", 40, json.loads(out)["entry"])


def test_the_same_command_goes_on_and_draws_nothing_twice(zcurate, tmp_path):
    arguments = [
        "diagnose",
        "s3dit:tiny",
        "--concepts",
        str(concepts_file(tmp_path)),
        "--out",
        str(tmp_path / "d"),
        *SHAPES,
        *PROBE,
    ]
    zcurate_bin = str(Path(sys.executable).parent / "zcurate")
    running = subprocess.Popen(
        [zcurate_bin, *arguments], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
    pictures = tmp_path / "d" / "pictures"
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and running.poll() is None:
        if len(list(pictures.rglob("*.png"))) >= 3:
            break
    os.kill(running.pid, signal.SIGKILL)
    running.communicate()
    drawn = {p: p.read_bytes() for p in pictures.rglob("*.png")}
    assert drawn
    found = diagnosis(zcurate, *arguments[1:])
    assert all(p.read_bytes() == data for p, data in drawn.items())
    files = sorted(p.name for p in pictures.rglob("*.png"))
    assert len(files) == found["pictures"] >= 3 * 8
    before = {p: p.stat().st_mtime_ns for p in pictures.rglob("*")}
    again = diagnosis(zcurate, *arguments[1:])
    assert again == found
    assert {p: p.stat().st_mtime_ns for p in pictures.rglob("*")} == before
    sizes = {np.asarray(Image.open(p)).shape for p in pictures.rglob("*.png")}
    assert sizes == {(32, 32, 3)}


def test_a_folder_is_of_one_generator_and_its_pictures_are_drawn_anew_when_lost(zcurate, tmp_path):
    arguments = ("--concepts", concepts_file(tmp_path), "--out", tmp_path / "d", *SHAPES, *PROBE)
    found = diagnosis(zcurate, "s3dit:tiny", *arguments)
    for change, said in (
        (("s3dit:shapes",), "generator"),
        (("s3dit:tiny", "--seed", "1"), "seed"),
        (("s3dit:tiny", "--size", "64*64"), "size"),
    ):
        code, _, err = zcurate("diagnose", *map(str, (change[0], *arguments, *change[1:])))
        assert (code, said in err, "--against" in err) == (2, True, True), err
    lost = sorted((tmp_path / "d" / "pictures").rglob("*.png"))[:5]
    before = {p: p.read_bytes() for p in lost}
    for path in lost:
        path.unlink()
    assert diagnosis(zcurate, "s3dit:tiny", *arguments) == found
    assert {p: p.read_bytes() for p in lost} == before
    # Of other concepts nothing more is drawn or told, and what was drawn of them comes back with them.
    one = diagnosis(zcurate, "s3dit:tiny", "--concept", "red circle", *arguments[2:])
    assert [f["concept"]["name"] for f in one["findings"]] == ["red circle"]
    assert one["pictures"] == next(f["tally"]["drawn"] if "drawn" in f["tally"] else f["tally"]["failed"] for f in found["findings"] if f["concept"]["name"] == "red circle")  # fmt: skip
    again = diagnosis(zcurate, "s3dit:tiny", *arguments)
    assert again["findings"] == found["findings"]
    assert noted(tmp_path / "d")[-1]["spent"]["drawn"] == 0


def test_a_concept_that_cannot_be_drawn_keeps_no_other_from_being_tested(zcurate, tmp_path):
    long = "thing " * 3000
    arguments = ("s3dit:tiny", "--concept", "red circle", "--out", tmp_path / "d", *SHAPES, *PROBE)
    alone = diagnosis(zcurate, *arguments)
    beside = diagnosis(zcurate, *arguments[:3], "--concept", long.strip(), *arguments[3:])
    status = {f["concept"]["name"][:10]: f["status"] for f in beside["findings"]}
    assert status == {"red circle": alone["findings"][0]["status"], "thing thin": "unscored"}
    assert beside["errors"] == 8


def probes(folder, shown):
    """Pictures of probes: concept -> (that show it, that do not)."""
    for concept, (good, bad) in shown.items():
        for i in range(good + bad):
            spec = scene(concept) if i < good else scene("black bar")
            save(folder, f"{concept} {i}", spec, prompt=f"a {concept}", concept=concept)
    return f"folder:{folder}"


def test_a_cycle_is_compared_with_the_one_before(zcurate, tmp_path):
    before = {"red circle": (32, 0), "green ring": (32, 0), "blue star": (0, 12), "cyan cross": (6, 6), "red bar": (0, 12)}  # fmt: skip
    after = {"red circle": (31, 1), "green ring": (14, 18), "blue star": (11, 1), "cyan cross": (7, 5), "blue bar": (3, 3)}  # fmt: skip
    diagnosis(zcurate, probes(tmp_path / "1", before), "--out", tmp_path / "d1", *SHAPES)
    found = diagnosis(
        zcurate, probes(tmp_path / "2", after), "--out", tmp_path / "d2", "--against", tmp_path / "d1", "--required", "0.6", *SHAPES
    )["comparison"]  # fmt: skip
    points = {c["concept"]: (round(c["points"], 1), c["sure"]) for c in found["changes"]}
    assert points == {
        "blue star": (91.7, True),
        "cyan cross": (8.3, False),
        "red circle": (-3.1, False),
        "green ring": (-56.2, True),
    }
    assert list(points) == sorted(points, key=lambda n: -points[n][0])
    assert found["harmed"] == ["green ring", "red circle"]
    assert found["healthy_points"] == pytest.approx((-3.125 - 56.25) / 2)
    assert (found["only_before"], found["only_after"]) == (["red bar"], ["blue bar"])
    assert found["settings"] == ["required"]
    page = (tmp_path / "d2" / "diagnosis.html").read_text()
    assert "2 healthy concepts lost more than 2 points" in page
    assert "Rates may not compare: required differ" in page
    code, out, _ = zcurate("diagnose", f"folder:{tmp_path / '2'}", "--out", tmp_path / "d2", "--against", tmp_path / "d1", *SHAPES)  # fmt: skip
    assert code == 0
    assert "healthy before:  -56.2  green ring  32 of 32 -> 14 of 32\n" in out
    lines = noted(tmp_path / "d2")
    assert [x["action"] for x in lines] == ["diagnose"] * 2
    assert lines[1]["harmed"] == ["green ring", "red circle"]
    assert lines[1]["spent"]["usd"] is None
    # An earlier diagnosis that is none is named before anything is judged.
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "diagnosis.json").write_text('{"findings": [{"concept": {}}]}')
    for folder in ("broken", "nowhere"):
        code, _, err = zcurate("diagnose", f"folder:{tmp_path / '2'}", "--out", tmp_path / "d3", "--against", tmp_path / folder, *SHAPES)  # fmt: skip
        assert (code, "diagnosis.json" in err) == (2, True), err
    assert not (tmp_path / "d3").exists()


def test_the_concepts_of_an_earlier_diagnosis_are_tested_again(zcurate, tmp_path):
    arguments = (
        "s3dit:tiny",
        "--concepts",
        concepts_file(tmp_path),
        "--out",
        tmp_path / "d",
        *SHAPES,
        *PROBE,
    )
    first = diagnosis(zcurate, *arguments)
    again = diagnosis(
        zcurate, "s3dit:tiny", "--against", tmp_path / "d", "--out", tmp_path / "e", *SHAPES, *PROBE
    )
    assert again["findings"] == first["findings"]
    assert {c["points"] for c in again["comparison"]["changes"]} == {0.0}
    assert [x["spent"]["drawn"] for x in noted(tmp_path / "e")] == [again["pictures"]]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["s3dit:tiny"], "no concept to test"),
        (["folder:nowhere"], "no folder"),
        (["dashscope:z-image-turbo", "--concept", "cat"], "cost money"),
        (["s3dit:tiny", "--concept", "cat", "--verifier", "eyes"], "eyes"),
        (["s3dit:tiny", "--concept", "cat", "--required", "1.5"], "required"),
    ],
)
def test_wrong_options_are_named_before_anything_is_drawn(zcurate, tmp_path, arguments, said):
    code, _, err = zcurate(
        "diagnose", *arguments, "--out", str(tmp_path / "d"), "--engine", "inline", "--size", "32*32"
    )
    assert code == 2
    assert said in err


def test_a_folder_without_prompts_is_no_diagnosis(zcurate, tmp_path):
    (tmp_path / "made").mkdir()
    Image.new("RGB", (64, 48), "teal").save(tmp_path / "made/0.png")
    code, _, err = zcurate(
        "diagnose", f"folder:{tmp_path / 'made'}", "--out", tmp_path / "d", "--engine", "inline"
    )
    assert code == 2
    assert "prompt" in err
    assert not (tmp_path / "d/diagnosis.html").exists()


def test_a_model_writes_prompts_once_and_the_next_diagnosis_takes_them_over(zcurate, tmp_path, vlm_server):
    """Prompts without the name test something else: they are left out, and an answer of too many such is asked for again."""
    asked = []

    def answer(body):
        content = body["messages"][-1]["content"]
        said = content if isinstance(content, str) else "".join(p.get("text", "") for p in content)
        if "Write 4 different prompts" not in said:
            return Reply(json.dumps({"claims": [{"number": 1, "seen": "", "verdict": "no"}]}))
        asked.append(said)
        name = next(n for n in ("red circle", "blue star", "green ring") if n in said)
        good = [f"a {name} at dawn", f"two of the {name} kind", f"a  {name}\non ice"]
        if name == "blue star" and sum("blue star" in a for a in asked) == 1:
            good = ["a sun", "a moon", "a bluish thing"]
        return Reply(json.dumps({"prompts": [*good, "something else"]}))

    vlm_server.script = answer
    model = ("--vlm", vlm_server.engine, "--revision", "1", "--no-ocr", "--engine", "inline")
    first = (
        "s3dit:tiny",
        "--concepts",
        concepts_file(tmp_path),
        "--out",
        tmp_path / "d",
        "--write-prompts",
        4,
    )
    before = diagnosis(zcurate, *first, *model, *PROBE)
    written = json.loads((tmp_path / "d" / "prompts.json").read_text())
    assert written["blue star"] == ["a blue star at dawn", "two of the blue star kind", "a blue star on ice"]
    assert len(asked) == 4
    drawn = [json.loads(p.read_text())["prompt"] for p in (tmp_path / "d" / "pictures").rglob("*.json")]
    assert {p for prompts in written.values() for p in prompts} & set(drawn)
    assert any(p not in {q for prompts in written.values() for q in prompts} for p in drawn)
    assert diagnosis(zcurate, *first, *model, *PROBE) == before
    again = diagnosis(
        zcurate, "s3dit:tiny", "--against", tmp_path / "d", "--out", tmp_path / "e", *model, *PROBE
    )
    assert len(asked) == 4
    assert again["comparison"]["settings"] == []
    assert json.loads((tmp_path / "e" / "prompts.json").read_text()) == written
    code, _, err = zcurate("diagnose", "s3dit:tiny", "--concept", "x", "--write-prompts", "4", "--out", str(tmp_path / "f"))  # fmt: skip
    assert (code, "--vlm" in err) == (2, True)
