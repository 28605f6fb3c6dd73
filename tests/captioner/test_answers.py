"""Reading a model's answer: what is understood, what is put right, and what is never guessed."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zcurate.captioner.answers import REASONS, AnswerError, Parsed, parse_object
from zcurate.captioner.mending import BrokenError, mend
from zcurate.captioner.refusals import is_illegible_note, is_invented_lettering, refusal_in
from zcurate.captioner.repetition import distinct_4grams, looping_tail, repetition_in, zlib_ratio

strings = st.text(st.characters(exclude_categories=("Cs",)), max_size=30) | st.sampled_from(
    [
        'say "hi"',
        "it's",
        "“引号”",
        "a, b: {c} [d]",
        "，：｛｝",
        "C:\\dir\\n",
        "```json",
        "</think>",
        "'",
        '"',
        "\\",
    ]
)
scalars = st.none() | st.booleans() | st.integers(-(10**12), 10**12) | st.floats(-1e9, 1e9) | strings
values = st.recursive(
    scalars, lambda v: st.lists(v, max_size=4) | st.dictionaries(strings, v, max_size=4), max_leaves=12
)
objects = st.dictionaries(strings, values, min_size=1, max_size=5)


def tokens(value, quote=json.dumps) -> list[str]:
    """A JSON text as tokens: strings as `quote` writes them, every bracket, colon and comma on its own."""
    if isinstance(value, dict):
        inner = [[quote(k), ":", *tokens(v, quote)] for k, v in value.items()]
        left, right = "{", "}"
    elif isinstance(value, list):
        inner = [tokens(v, quote) for v in value]
        left, right = "[", "]"
    else:
        return [quote(value) if isinstance(value, str) else json.dumps(value)]
    joined = [t for i, item in enumerate(inner) for t in ([","] if i else []) + item]
    return [left, *joined, right]


def reason(text, finish_reason="stop"):
    with pytest.raises(AnswerError) as caught:
        parse_object(text, finish_reason)
    return caught.value.reason


@given(objects, st.sampled_from([None, 1, " "]), st.booleans())
def test_strict_json_is_read_as_json_reads_it(value, indent, ascii_only):
    parsed = parse_object(json.dumps(value, indent=indent, ensure_ascii=ascii_only))
    assert parsed.value == value
    assert parsed.repaired == ()


@given(objects)
def test_the_tolerant_reader_agrees_with_json_where_nothing_is_damaged(value):
    text = json.dumps(value, ensure_ascii=False)
    assert mend(text) == (value, len(text), set())


@given(objects, st.data())
def test_commas_too_many_are_dropped(value, data):
    parts = tokens(value)
    places = [i for i, t in enumerate(parts) if t in "}]" and parts[i - 1] not in ("{", "[", ",")]
    for i in sorted(data.draw(st.sets(st.sampled_from(places), min_size=1)), reverse=True):
        parts.insert(i, ",")
    parsed = parse_object("".join(parts))
    assert parsed.value == value
    assert parsed.repaired == ("comma",)


@given(objects, st.data())
def test_full_width_punctuation_between_values_is_understood(value, data):
    wide = {"{": "｛", "}": "｝", "[": "［", "]": "］", ":": "：", ",": "，"}
    parts = tokens(value, lambda s: json.dumps(s, ensure_ascii=False))
    places = [i for i, t in enumerate(parts) if t in wide]
    for i in data.draw(st.sets(st.sampled_from(places), min_size=1)):
        parts[i] = wide[parts[i]]
    parsed = parse_object("\u3000".join(parts))
    assert parsed.value == value
    assert parsed.repaired == ("full_width",)


def single(text: str) -> str:
    """As Python or JavaScript write it: double quotes as they are, single ones escaped."""
    return "'" + json.dumps(text, ensure_ascii=False)[1:-1].replace('\\"', '"').replace("'", "\\'") + "'"


@given(objects)
def test_single_quotes_are_understood_and_strings_kept(value):
    parsed = parse_object("".join(tokens(value, single)))
    assert parsed.value == value
    assert parsed.repaired == ("single_quotes",)


@given(st.dictionaries(strings, strings, min_size=1, max_size=5))
def test_curly_quotes_as_delimiters(value):
    plain = {k: v for k, v in value.items() if not set("“”") & set(k + v)}
    parsed = parse_object(
        "{" + ",".join(f"“{json.dumps(k)[1:-1]}”:“{json.dumps(v)[1:-1]}”" for k, v in plain.items()) + "}"
    )
    assert parsed.value == plain


@given(objects, st.integers(1, 3))
def test_closing_brackets_missing_at_the_end_are_added_only_to_a_finished_answer(value, count):
    text = json.dumps(value, ensure_ascii=False)
    closing = len(text) - len(text.rstrip("]}"))
    # Brackets that belong to a string at the end are not closing brackets.
    damaged = text[: len(text) - min(count, closing)]
    parsed = parse_object(damaged)
    assert parsed.value == value
    assert parsed.repaired == ("unclosed",)
    with pytest.raises(AnswerError):
        parse_object(damaged, "length")


@given(
    objects,
    st.sampled_from(
        ["```json\n{}\n```", "Sure! {{x}} Here:\n{}\nHope it helps {{}}", "<think>{{1}}</think>{}"]
    ),
)
def test_an_object_is_found_in_fences_prose_and_after_reasoning(value, around):
    text = json.dumps(value, ensure_ascii=False)
    wrapped = around.replace("{}", "\0", 1).replace("{{", "{").replace("}}", "}").replace("\0", text)
    wrapped = wrapped.removesuffix(" {}")  # an empty object at the end is another object
    assert parse_object(wrapped).value == value


@given(objects, st.text(max_size=200))
def test_a_cut_answer_is_never_parsed(value, before):
    assert reason(before + json.dumps(value), "length") in ("truncated", "whitespace", "repetition")
    assert reason(json.dumps(value), "abort") == "truncated"
    assert reason(json.dumps(value), "content_filter") == "filtered"


@given(st.text(max_size=300))
@settings(max_examples=300)
def test_any_text_ends_in_an_object_or_a_reason(text):
    try:
        result = parse_object(text).value
    except AnswerError as e:
        result = e.reason
    assert isinstance(result, dict) or result in REASONS


@given(st.text("{}[]\",:'\\ab1“”，：", max_size=120))
@settings(max_examples=500)
def test_text_made_of_punctuation_is_never_an_unexpected_error(text):
    try:
        position = mend("{" + text)[1]
    except BrokenError as e:
        position = e.position
    assert 0 <= position <= len(text) + 1


def test_of_two_objects_the_last_that_fits_is_taken():
    text = '{"a": 1} Wait, corrected: {"a": 2, "b": 3} (see {"note": 1})'
    assert parse_object(text).value == {"note": 1}
    parsed = parse_object(text, keys=("a",))
    assert parsed.value == {"a": 2, "b": 3}
    assert "several_objects" in parsed.repaired


def test_an_object_in_an_envelope_is_taken_out_of_it():
    wrapped = '{"result": {"a": 1, "b": {}}}'
    assert parse_object(wrapped, keys=("a", "b")) == Parsed({"a": 1, "b": {}}, ("wrapped",))
    assert parse_object(wrapped).value == {"result": {"a": 1, "b": {}}}
    assert parse_object('{"a": {"a": 1}}', keys=("a",)).value == {"a": {"a": 1}}


def test_an_object_that_breaks_is_not_replaced_by_its_parts():
    assert reason('{"ocr": [{"text": "A"}], "en" {"long": "x"}}') == "not_json"
    assert parse_object('{"a": oops} again: {"a": {"b": 1}}', keys=("a",)).value == {"a": {"b": 1}}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "empty"),
        (" \n", "empty"),
        ("<think>only thoughts", "empty"),
        ("[1, 2]", "not_json"),
        ('"text"', "not_json"),
        ("A red bus.", "not_json"),
        ('{"a": "x', "not_json"),
        ('{"a": NaN}', "not_json"),
        ('{"a": "he said "hi" there"}', "not_json"),
        ('{"a": "\\ud800"}', "not_json"),
        ("".join(f'{{"k{i}":' for i in range(3000)), "not_json"),
        ("I'm sorry, but I can't assist with that request.", "refusal"),
        ("很抱歉，我无法描述这张图片。", "refusal"),
        ("对不起，该图片涉及敏感内容。", "refusal"),
        ("As an AI language model, I do not see any image.", "refusal"),
        ("the red sign and " * 100, "repetition"),
    ],
)
def test_reasons(text, expected):
    assert reason(text) == expected


def test_a_cut_answer_says_whether_it_looped():
    assert reason('{"ocr": [' + '{"text": "SALE"}, ' * 60 + '{"te', "length") == "repetition"
    assert reason('{"a": 1' + "\n  \t" * 400, "length") == "whitespace"
    assert reason('{"a": "' + " ".join(f"word{i}" for i in range(200)), "length") == "truncated"


def test_long_garbage_is_read_in_reasonable_time():
    for text in (
        "{" * 100_000,
        '{"a":[' * 20_000,
        "{'a':" * 20_000,
        '{"' * 50_000,
        "\\" * 100_000,
        "{x}" * 30_000,
    ):
        assert reason(text) in ("not_json", "repetition")


@pytest.mark.parametrize(
    "text",
    [
        "A shop door with a sign that reads “Sorry, we're closed”.",
        "A man in a blue shirt can help an elderly woman across the street.",
        "一位女士举着写有“对不起，我无法营业”的牌子站在店门口。",
        "A robot labeled “AI assistant” stands beside a desk.",
        "一个AI智能助手的界面截图，顶部是白色标题栏。",
        "A young man works as an assistant in a library.",
        "一名女子作为助手站在医生身旁。",
        "两辆违反规定停放的汽车挡住了路口。",
    ],
)
def test_captions_about_refusals_are_not_refusals(text):
    assert not refusal_in(text)


def test_known_phrases_for_nothing_are_known():
    for text in ("addCriterion", "No text recognized.", "无文字", "No legible text", "None"):
        assert is_invented_lettering(text)
    for text in ("NONE SHALL PASS", "No parking", "无印良品", "N", "没有什么不可能"):
        assert not is_invented_lettering(text)
    assert is_illegible_note("[illegible]")
    assert is_illegible_note("（模糊不清）")
    assert not is_illegible_note("Blurred Lines")


@given(
    st.text(min_size=1, max_size=40).filter(lambda s: s.strip() and any(c.isalnum() for c in s)),
    st.integers(10, 40),
)
def test_any_unit_repeated_often_enough_is_a_loop(unit, times):
    text = "A street at dusk. " + unit * times
    if len(unit) * times >= 100:
        assert looping_tail(text)
        assert looping_tail(text[: -max(1, len(unit) // 2)]) or len(unit) * times < 200


def test_good_prose_and_real_repeats_are_no_loops():
    prose = (
        "Two cyclists ride along a canal. The first wears a red jacket and a white helmet; the second, a few meters behind, "
        "carries a brown bag. Bare trees line the left bank, brick houses with white window frames the right one. A flat "
        "bridge crosses the water in the background, and a sign on it reads “Slow”. The sky is pale and even."
    )
    assert not repetition_in(prose)
    assert distinct_4grams(prose) > 0.9
    assert zlib_ratio(prose) > 0.35
    menu = "\n".join(["Latte 4.50", "Mocha 4.50", "Latte 4.50"] * 8)
    assert repetition_in(menu)
    assert not repetition_in("A menu board lists: " + menu, menu.splitlines())
    assert repetition_in("The sign reads “SALE”. " * 12, ["SALE", "SALE"])
    assert not repetition_in("The sign reads “SALE”. " * 12, ["SALE"] * 12)
    rows = [f"{a}{b} units" for a in "abcdefghij" for b in ("12", "45", "78")]
    assert not repetition_in(" ".join(f"A line of the table reads “{row}”." for row in rows), rows)
    assert repetition_in("He stands on the left side. " * 3 + "A tree.")
    assert repetition_in("一只猫坐在窗台上看着外面。" * 3)
