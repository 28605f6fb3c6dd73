"""Good captions of many kinds of pictures pass; each kind of bad caption is caught, in the field where it is bad."""

import copy
import json
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zcurate.captioner.answers import REASONS
from zcurate.captioner.checks import Mended, entities_of, faults_of, take, tidied
from zcurate.captioner.checks_language import subjective_phrases, without_opening, wrong_language
from zcurate.captioner.checks_lettering import (
    appended,
    claims_watermark,
    missing,
    restored,
    tags_with_lettering,
    unsupported,
)
from zcurate.captioner.coverage import coverage, tells_as_much
from zcurate.captioner.evidence import Evidence
from zcurate.captioner.known_facts import KnownFacts
from zcurate.captioner.ocr_pass import Reading
from zcurate.captioner.prompt_plans import draw_plans
from zcurate.captioner.refusals import refusal_in
from zcurate.captioner.repetition import repetition_in
from zcurate.captioner.schema import ARROW_SCHEMA, KINDS, LANGUAGES, OcrString
from zcurate.captioner.writing import Writing

from .good_answers import GOOD, known_of

ALL = {language: KINDS for language in LANGUAGES}


@pytest.mark.parametrize("name", GOOD)
def test_good_answers_pass(name):
    known, answer = known_of(name), GOOD[name]["answer"]
    draft = tidied(take(answer, ALL), known, Mended())
    assert [f for f in faults_of(draft, known)] == []


@pytest.mark.parametrize("name", GOOD)
def test_good_answers_keep_their_lettering_in_the_marks_of_the_language(name):
    known, answer = known_of(name), GOOD[name]["answer"]
    draft = tidied(take(answer, ALL), known, Mended())
    for language in LANGUAGES:
        assert missing(draft[language]["long"], known.required) == []
        again = tidied(draft, known, Mended())
        assert again == draft, "tidying twice changes nothing"


def faults(name, language, kind, value):
    """Reasons by field after one field of a good answer was replaced."""
    known, answer = known_of(name), GOOD[name]["answer"]
    answer = answer | {language: answer[language] | {kind: value}}
    found = faults_of(tidied(take(answer, ALL), known, Mended()), known)
    return {(f.field, f.reason) for f in found if not f.soft}


def test_each_fault_is_found_in_its_field():
    poster = GOOD["poster"]["answer"]
    long = poster["en"]["long"]
    cases = [
        ("poster", "en", "long", long.replace("“SPRING SALE”", "a headline"), "lettering"),
        ("poster", "en", "long", long + " A line at the bottom reads “Visit us today”.", "quotes"),
        ("poster", "zh", "long", poster["zh"]["long"].replace("“SPRING SALE”", "“春季大促销”"), "quotes"),
        ("poster", "en", "medium", poster["zh"]["medium"], "language"),
        ("poster", "zh", "medium", poster["en"]["medium"], "language"),
        ("poster", "zh", "short", poster["en"]["short"], "language"),
        ("poster", "zh", "medium", "赤い背景に白い文字が書かれたポスターで、下の方に日付と店の名前があります。", "language"),
        ("poster", "en", "medium", "Un cartel rojo con letras blancas en el centro y una fecha en la parte inferior, sobre "
         "una pared de ladrillo gris en una calle de la ciudad con dos personas que pasan por delante del cartel.", "language"),
        ("poster", "en", "long", long + " A red poster on a wall." * 8, "repetition"),
        ("poster", "zh", "medium", "很抱歉，我无法描述这张图片中的人物，请提供其他图片。", "refusal"),
        ("poster", "en", "medium", "I'm sorry, but I can't identify people in images. Please ask about something else.", "refusal"),
        ("poster", "en", "medium", "A red poster with a faint watermark in its lower right corner.", "watermark"),
        ("poster", "zh", "medium", "一张红色海报，右下角带有半透明的水印，背景为灰色砖墙。", "watermark"),
        ("poster", "en", "short", "...", "schema"),
        ("poster", "en", "tags", [], "counts"),
        ("poster", "en", "user_prompts", [], "counts"),
        ("poster", "en", "user_prompts", [long[:300]], "coverage"),
        ("poster", "en", "long", "A red poster.", "length"),
        ("tower", "en", "medium", "The Tokyo Tower rises behind a row of trees and the low roofs of houses.", "entities"),
    ]  # fmt: skip
    for name, language, kind, value, reason in cases:
        assert (f"{language}.{kind}", reason) in faults(name, language, kind, value), (kind, value, reason)


texts = st.text(st.characters(exclude_categories=("Cs", "Cc", "Co")), min_size=1, max_size=30).filter(
    str.strip
)


@given(st.lists(texts, min_size=1, max_size=6, unique=True), st.sampled_from(LANGUAGES))
def test_any_lettering_quoted_exactly_is_found_and_never_altered(strings, language):
    strings = [s.strip() for s in strings]
    for left, right in (("“", "”"), ('"', '"')):
        text = "Signs on a wall: " + "; ".join(f"{left}{s}{right}" for s in strings) + ". Above them a lamp."
        done, _ = restored(text, strings, language)
        assert missing(done, strings) == []
        opening, closing = ("“", "”") if language == "zh" else ('"', '"')
        assert all(f"{opening}{s}{closing}" in done for s in strings)
        assert restored(done, strings, language)[0] == done


@given(st.lists(texts, min_size=1, max_size=5, unique=True), st.sampled_from(LANGUAGES))
def test_missing_lettering_can_always_be_appended(strings, language):
    known = [OcrString(s.strip(), cell="top", carrier="sign") for s in strings]
    wanted = [s.text for s in known]
    assert missing(appended("A wall.", missing("A wall.", wanted), known, language), wanted) == []


def test_control_characters_reach_no_caption():
    value = {"en": {"long": "a\x00b\x1b[0m\r\n c\x85", "tags": ["\x07", "a\x00", "b"]}}
    assert take(value, {"en": ["long", "tags"]}) == {"en": {"long": "ab[0m\nc", "tags": ("a", "b")}}


def test_marks_that_are_no_quotations():
    text = 'A 27" monitor stands beside a 5" phone; the phone reads "9:41".'
    assert unsupported(text, ["9:41"]) == []
    assert unsupported("It's the dogs' bowl, isn't it?", []) == []
    assert unsupported('A cap reads "NY".', []) == ["NY"]
    assert unsupported("海报写着“大促销”", ["SALE"]) == ["大促销"]
    assert unsupported('Two lines, "GRAND OPENING SALE!"', ["GRAND OPENING", "SALE"]) == []
    assert restored('"Grand opening," it says', ["GRAND OPENING"], "en") == ('"GRAND OPENING", it says', True)


def test_short_strings_are_looked_for_between_marks_only():
    assert missing("A large A on a wall, bus 5", ["A", "5"]) == ["A", "5"]
    assert missing('"A" beside "5"', ["A", "5"]) == []
    assert missing("The plate ABC-1234 hangs below", ["ABC-1234"]) == []
    assert missing("一本《红楼梦》放在福字旁边", ["红楼梦", "福"]) == ["福"]


def test_watermark_words():
    assert claims_watermark("A watermark crosses the sky.")
    assert claims_watermark("右下角有水印。")
    assert not claims_watermark("一幅木版水印作品，描绘山水。")
    assert not claims_watermark(
        "A letter on watermarked paper.".replace("watermarked paper", "watermark paper")
    )
    assert not claims_watermark("A sign reads “No watermark”.")


def test_tags_quote_lettering_and_only_that():
    strings = [OcrString("SALE"), OcrString("50%"), OcrString("© Ann", kind="watermark")]
    tags, changed = tags_with_lettering(["red poster", "SALE", "“Buy now”", "wall", "「50%」"], strings)
    assert tags == ("red poster", "wall", '"SALE"', '"50%"')
    assert changed


def test_openings_are_taken_off_and_moods_named():
    assert without_opening("The image shows a red bus.", "en") == "A red bus."
    assert without_opening("This vertical photograph captures two dogs.", "en") == "Two dogs."
    assert without_opening("图片展示了一只猫坐在窗台上。", "zh") == "一只猫坐在窗台上。"
    assert without_opening("画面左侧是一棵树。", "zh") == "画面左侧是一棵树。"
    assert without_opening("The picture frame hangs on a wall.", "en") == "The picture frame hangs on a wall."
    assert len(subjective_phrases("It evokes a sense of calm in a serene setting.")) >= 2
    assert subjective_phrases("营造出温馨的氛围")
    assert not subjective_phrases("A woman smiles; her eyes are closed. A sign reads “Feel the serene mood”.")
    assert not subjective_phrases("一名男子站在人行道上，手里拿着令牌。")


def test_language_is_judged_by_words_outside_lettering_and_names():
    assert not wrong_language("桌上放着一台 Apple MacBook Pro，旁边是 Sony 耳机和一杯拿铁咖啡。", "zh")
    assert not wrong_language("一张海报，写着“GRAND OPENING SALE EVERYTHING MUST GO TODAY”。", "zh")
    assert not wrong_language("A bowl of biang biang noodles (𰻞𰻞面) on a table.", "en")
    assert wrong_language("A red poster on a wall 红色海报", "zh")
    assert wrong_language("一张红色海报 poster", "en")


def test_entities_need_a_source_that_bears_them_out():
    mended = Mended()
    answer = {
        "contradicted": ["Tokyo Tower"],
        "entities": [
            {"en": "Eiffel Tower", "zh": "埃菲尔铁塔", "kind": "place", "source": "metadata"},
            {"en": "Seine", "zh": "塞纳河", "kind": "place", "source": "both"},
            {"en": "Tokyo Tower", "zh": "", "kind": "place", "source": "metadata"},
            {"en": "Canon", "zh": "佳能", "kind": "camera", "source": "visual"},
        ],
    }
    known, dropped = entities_of(answer, lambda name: name in ("Eiffel Tower", "Tokyo Tower"), mended)
    assert [(e.en, e.source, e.kind) for e in known.entities] == [
        ("Eiffel Tower", "metadata", "place"),
        ("Seine", "visual", "place"),
        ("Canon", "visual", "other"),
    ]
    assert dropped == ["Tokyo Tower"]
    assert mended.warnings == {"entity_source: Seine"}


@pytest.mark.parametrize("name", GOOD)
@pytest.mark.parametrize("language", LANGUAGES)
def test_coverage_orders_the_kinds_of_good_answers(name, language):
    kinds = GOOD[name]["answer"][language]
    long, short = kinds["long"], kinds["short"]
    assert coverage(long, long) == 1
    assert coverage(short, long) < 0.8
    assert tells_as_much(short, short, long)
    assert tells_as_much(long, short, long)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda v: st.lists(v, max_size=3) | st.dictionaries(st.text(max_size=5), v, max_size=3),
    max_leaves=6,
)


def paths_of(value, at=()):
    yield at
    for key, inner in (
        value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    ):
        yield from paths_of(inner, (*at, key))


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(sorted(GOOD)), st.data())
def test_an_answer_with_anything_anywhere_is_taken_or_refused_with_a_reason(name, data):
    answer = copy.deepcopy(GOOD[name]["answer"])
    for _ in range(data.draw(st.integers(1, 3))):
        path = data.draw(st.sampled_from([p for p in paths_of(answer) if p]))
        inner = answer
        for key in path[:-1]:
            inner = inner[key]
        inner[path[-1]] = data.draw(json_values)
    reading = Reading(tuple(GOOD[name]["ocr"]))
    plans = draw_plans(bytes(16), 0, LANGUAGES, 3, True)
    writing = Writing(LANGUAGES, KnownFacts({"title": "Sony, Eiffel Tower"}), plans, reading, Evidence())
    for last in (False, False, True):
        error = writing.accept(answer, last)
        if error is None:
            row = writing.record("openai", "m", None).row()
            pa.Table.from_pylist([row], schema=ARROW_SCHEMA)
            assert all(s.text in row["en_long"] for s in reading.strings if s.legible and "’" not in s.text)
            return
        assert error.reason in REASONS
        assert error.problem


LONGTEXT = Path(__file__).resolve().parents[3] / "shared" / "data" / "prompts" / "longtext" / "textbench"


@pytest.mark.skipif(not LONGTEXT.exists(), reason="LongText-Bench is not here")
@pytest.mark.parametrize(
    ("file", "language"), [("text_prompts.jsonl", "en"), ("text_prompts_zh.jsonl", "zh")]
)
def test_descriptions_of_pictures_full_of_text_pass(file, language):
    """320 published descriptions with the exact strings they quote: no check but that of mood may object."""
    objections, count = [], 0
    for row in (json.loads(s) for s in (LONGTEXT / file).read_text("utf-8").splitlines()):
        strings, count = row["text"], count + 1
        long, _ = restored(row["prompt"], strings, language)
        found = {
            "refusal": refusal_in(long),
            "repetition": repetition_in(long, strings),
            "language": wrong_language(long, language, strings),
            "watermark": claims_watermark(long),
            "missing": missing(long, strings),
            "quotes": unsupported(long, strings),
        }
        objections += [(k, v) for k, v in found.items() if v]
    assert count == 160
    # Two of the descriptions quote a string that their list lacks.
    assert len(objections) <= 2, objections
