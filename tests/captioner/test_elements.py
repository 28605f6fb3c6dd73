"""Elements of prompts: English rules, ids, scores, the annotation format, and elements by a model."""

import json
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zcurate.captioner.answers import AnswerError
from zcurate.captioner.elements import (
    ARROW_TYPE,
    CHECKERS,
    CLASSES,
    KINDS,
    ElementError,
    elements,
    from_row,
    score,
)
from zcurate.captioner.elements_quotes import quoted_multiset, quoted_spans, without_quotes
from zcurate.captioner.elements_vlm import elements_by_model
from zcurate.pipelines.registry import resolve

from .server import Reply

GENEVAL = (
    Path(__file__).parents[3]
    / "shared"
    / "data"
    / "prompts"
    / "geneval"
    / "prompts"
    / "evaluation_metadata.jsonl"
)
POSITIONS = {"left of": "left_of", "right of": "right_of", "above": "above", "below": "below"}


def claims(prompt):
    found = elements(prompt)
    return {(e.kind, e.name, tuple(found[p].name for p in e.parents), e.negated) for e in found.elements}


def test_objects_counts_colors_and_their_owners():
    assert claims("a photo of two red benches and a black cat") == {
        ("subject", "bench", (), False),
        ("subject", "cat", (), False),
        ("count", "2", ("bench",), False),
        ("attribute", "red", ("bench",), False),
        ("attribute", "black", ("cat",), False),
        ("style", "photo", (), False),
    }


@pytest.mark.parametrize(
    ("words", "name"),
    [("left of", "left_of"), ("to the right of", "right_of"), ("above", "above"), ("below", "below"),
     ("in front of", "in_front_of"), ("behind", "behind"), ("inside", "inside"), ("on top of", "on")],
)  # fmt: skip
def test_relations_in_english(words, name):
    assert ("spatial", name, ("cat", "box"), False) in claims(f"a cat {words} a box")


@pytest.mark.parametrize(
    ("words", "name"),
    [("左边", "left_of"), ("右边", "right_of"), ("上方", "above"), ("下面", "below"), ("前面", "in_front_of"),
     ("后面", "behind"), ("里", "inside")],
)  # fmt: skip
def test_relations_in_chinese(words, name):
    assert ("spatial", name, ("猫", "箱子"), False) in claims(
        f"一只猫在箱子的{words}" if len(words) > 1 else f"一只猫在箱子{words}"
    )


@pytest.mark.parametrize(
    "quotes",
    ['""', "“”", "‘’", "''", "「」", "『』", "«»", "„“", "＂＂", "”“", "``"],
    ids=lambda q: f"{ord(q[0]):x}",
)
def test_lettering_in_every_kind_of_quotes(quotes):
    opening, closing = quotes
    if quotes == "”“":
        opening, closing = "”", "”"
    found = elements(f"a wooden sign that reads {opening}It's OPEN, 24/7{closing} above a door")
    text = [e for e in found.elements if e.kind == "text"]
    assert [(t.name, t.checker) for t in text] == [("It's OPEN, 24/7", "ocr")]
    assert [found[p].name for p in text[0].parents] == ["sign"]


def test_apostrophes_and_inches_quote_nothing():
    assert not quoted_spans("a dog's bowl, the cats' toys and a 5\" screen, rock 'n roll")


def test_what_must_be_absent_is_a_negated_subject_without_looks():
    found = claims("a street without red cars")
    assert ("subject", "car", (), True) in found
    assert not any(kind == "attribute" for kind, *_ in found)


def test_actions_name_who_does_what_to_whom():
    found = claims("a man riding a brown horse and two dogs chasing a ball")
    assert ("action", "ride", ("man", "horse"), False) in found
    assert ("action", "chase", ("dog", "ball"), False) in found


def test_other_languages_give_lettering_and_nothing_guessed():
    found = elements("чёрный кот рядом с вывеской «КАФЕ»")
    assert [(e.kind, e.name) for e in found.elements] == [("text", "КАФЕ")]
    assert found.lang == "other"


def test_complexity_grows_with_what_is_asked():
    levels = [
        elements(p).complexity
        for p in (
            "a cat",
            "a red cat on a mat",
            'three red cats on a blue mat left of two dogs holding a sign that reads "WELCOME HOME", oil painting',
        )
    ]
    assert [c.level for c in levels] == ["simple", "moderate", "complex"]
    assert levels[0].score < levels[1].score < levels[2].score


@pytest.mark.skipif(not GENEVAL.exists(), reason="needs ../shared/data")
def test_geneval_is_read_as_its_metadata_says():
    entries = [json.loads(line) for line in GENEVAL.read_text().splitlines()]
    wrong = []
    for entry in entries:
        found = elements(entry["prompt"])
        heads = sorted(e.name.split()[-1] for e in found.of_kind("subject"))
        # the head alone: whether "potted" belongs to the name or is an attribute is a matter of taste
        if len(heads) != len(entry["include"]):
            wrong.append(entry["prompt"])
            continue
        relations = [e.name for e in found.of_kind("spatial")]
        asked = [POSITIONS[t["position"][0]] for t in entry["include"] if "position" in t]
        colors = sorted(e.name for e in found.elements if e.checker == "color")
        if relations != asked or colors != sorted(t["color"] for t in entry["include"] if "color" in t):
            wrong.append(entry["prompt"])
    assert len(wrong) <= len(entries) // 50, wrong[:10]


# Properties

prose = st.text(
    st.sampled_from("abc DEF 的一只猫在 \"'“”「」,.。，!red two on dog\n\t—é"), max_size=120
) | st.text(max_size=80)


@given(prose)
def test_any_text_gives_a_sound_decomposition(prompt):
    found = elements(prompt)
    before: set[str] = set()
    for e in found.elements:
        assert e.kind in KINDS
        assert e.checker in CHECKERS
        assert e.report_class in CLASSES
        assert set(e.parents) <= before
        assert e.id not in before
        before.add(e.id)
        assert 0 <= e.start <= e.end <= len(prompt)
    assert elements(prompt) == found
    assert from_row(json.loads(found.to_json())) == found


@settings(deadline=None)
@given(prose)
def test_arrow_round_trip(prompt):
    found = elements(prompt)
    try:
        row = pa.array([found.row()], ARROW_TYPE).to_pylist()[0]
    except (UnicodeEncodeError, pa.ArrowInvalid):
        return  # a lone surrogate is no text
    again = from_row(row)
    assert again.elements == found.elements


NOUNS = ("lamp", "horse", "bridge", "teacup")


@given(st.permutations(NOUNS), st.sampled_from(("red", "blue", "green")))
def test_ids_do_not_depend_on_what_stands_around(order, color):
    alone = {e.id for e in elements(f"a {color} {order[0]}").elements}
    long = elements(f"A {order[1]}. A {color} {order[0]}. A {order[2]} on a {order[3]}.")
    assert alone <= {e.id for e in long.elements}


@given(prose, st.sampled_from(('"', "“")), st.text(st.sampled_from("aB 9,茶!"), min_size=1, max_size=12))
def test_quotes_taken_out_leave_none(prompt, opening, inside):
    text = f"{prompt.translate({ord(c): None for c in chr(34) + '“”‘’「」„'})} {opening}{inside}{'”' if opening == '“' else opening}"
    if inside.strip() and "'" not in text:
        assert quoted_multiset(text)[inside] >= 1
        assert inside not in [q.text for q in quoted_spans(without_quotes(text))]


PROMPTS = ("two red cats on a mat", 'a sign that reads "GO" left of a dog', "一只黑猫坐在蓝色沙发上", "a cat")


@given(st.sampled_from(PROMPTS), st.data())
def test_algebra_of_scores(prompt, data):
    found = elements(prompt)
    verdicts = {e.id: data.draw(st.booleans()) for e in found.elements if data.draw(st.booleans())}
    got = score(found, verdicts)
    assert got.total == len(verdicts)
    if not verdicts:
        assert got.overall is None
        assert got.strict is None
        return
    assert got.overall == sum(verdicts.values()) / len(verdicts)
    assert 0 <= got.strict <= got.overall <= 1
    groups = [found[i].report_class for i in verdicts]
    assert set(got.by_class) == set(groups)
    weighted = sum(got.by_class[c] * groups.count(c) for c in got.by_class) / len(verdicts)
    assert weighted == pytest.approx(got.overall)
    for i in verdicts:
        if not verdicts[i]:  # one more element satisfied never lowers a score
            better = score(found, verdicts | {i: True})
            assert better.overall > got.overall
            assert better.strict >= got.strict


def test_a_missing_parent_takes_its_children_along():
    found = elements("two red cats")
    cat = found.of_kind("subject")[0].id
    verdicts = {e.id: e.id != cat for e in found.elements}
    got = score(found, verdicts)
    assert got.strict == 0
    assert got.overall == pytest.approx(2 / 3)


def test_verdicts_and_records_that_do_not_fit_are_refused():
    found = elements("a cat")
    with pytest.raises(ElementError, match="no element"):
        score(found, {"0" * 16: True})
    row = found.row()
    row["elements"][0]["name"] = "dog"
    with pytest.raises(ElementError, match="does not fit"):
        from_row(row)
    with pytest.raises(ElementError, match="not a decomposition"):
        from_row({"prompt": "x"})


# By a model

PROMPT = 'a red car beside two dogs, a sign that reads "STOP"'


def entry(ref, kind, name, words, parents=(), checker="vlm", negated=False):
    return {"ref": ref, "kind": kind, "name": name, "words": words, "parents": list(parents), "negated": negated,
            "checker": checker}  # fmt: skip


GOOD = [
    entry("s1", "subject", "car", "car"),
    entry("s2", "subject", "dog", "dogs"),
    entry("s3", "subject", "sign", "sign"),
    entry("a1", "attribute", "red", "red", ["s1"], "color"),
    entry("c1", "count", "2", "two", ["s2"], "vlm"),
    entry("t1", "text", "STOP", '"STOP"', ["s3"], "human"),
]


def test_a_model_gives_the_same_ids_as_the_rules_and_checkers_follow_the_kind(vlm_server):
    vlm_server.script = Reply(json.dumps({"elements": GOOD}))
    found = elements_by_model(PROMPT, resolve("vlm", vlm_server.engine))
    by_rules = {e.id for e in elements(PROMPT).elements}
    assert {e.id for e in found.elements} <= by_rules
    assert {e.kind: e.checker for e in found.elements if e.kind in ("text", "count")} == {
        "text": "ocr",
        "count": "count",
    }
    assert found.elements[0].start == PROMPT.index("car")


@pytest.mark.parametrize(
    ("listed", "reason"),
    [
        (GOOD[:-1], "quotes"),
        ([*GOOD[:-1], entry("t1", "text", "SHOP", "STOP", ["s3"])], "quotes"),
        ([*GOOD, entry("x", "attribute", "big", "", ["s9"])], "order"),
        ([*GOOD, entry("s1", "subject", "tree", "")], "order"),
        ([*GOOD, entry("x", "mood", "sad", "")], "schema"),
        ([*GOOD, entry("x", "count", "many", "", ["s1"], "count")], "schema"),
        ([], "counts"),
    ],
)
def test_answers_that_do_not_fit_the_prompt_are_asked_again_then_refused(vlm_server, listed, reason):
    vlm_server.script = Reply(json.dumps({"elements": listed}))
    with pytest.raises(AnswerError) as caught:
        elements_by_model(PROMPT, resolve("vlm", vlm_server.engine))
    assert caught.value.reason == reason
    assert vlm_server.asked == 3
    vlm_server.script = [Reply(json.dumps({"elements": listed})), Reply(json.dumps({"elements": GOOD}))]
    assert len(elements_by_model(PROMPT, resolve("vlm", vlm_server.engine)).elements) == len(GOOD)
