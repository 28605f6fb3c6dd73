"""Claims about a picture: by a model over HTTP, and lettering by what was read."""

import asyncio
import io
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from zcurate.captioner.answers import AnswerError
from zcurate.captioner.element_judge import ElementJudge, told
from zcurate.captioner.elements import elements
from zcurate.captioner.lettering_shown import folded, shown
from zcurate.captioner.ocr.lines import OcrLine
from zcurate.pipelines.registry import resolve

from .server import Reply

PROMPT = 'a red car beside a tree, with the words "OPEN 24 HOURS"'


def picture():
    out = io.BytesIO()
    Image.new("RGB", (64, 64), "red").save(out, "PNG")
    return out.getvalue()


def ask(server, claims, prompt=PROMPT):
    async def work():
        chat = resolve("vlm", server.engine)
        chat.load()
        try:
            return await ElementJudge(chat).judge(picture(), prompt, claims)
        finally:
            await chat.close()

    return asyncio.run(work())


def verdicts(*words):
    return json.dumps({"claims": [{"number": i, "seen": "x", "verdict": w} for i, w in enumerate(words, 1)]})


def test_every_claim_gets_its_verdict(vlm_server):
    claims = elements(PROMPT).elements
    words = ["yes", "no", "unclear", *["yes"] * (len(claims) - 3)]
    vlm_server.script = Reply(verdicts(*words))
    found, asked = ask(vlm_server, claims)
    assert list(found.values()) == [{"yes": True, "no": False, "unclear": None}[w] for w in words]
    assert list(found) == [c.id for c in claims]
    assert asked.attempts == 1


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        ('{"claims": []}', "no verdict"),
        (verdicts("yes"), "no verdict"),
        (verdicts("yes", "maybe"), "verdict is yes, no or unclear"),
        ('{"claims": [{"number": 9, "seen": "", "verdict": "yes"}]}', "no claim's"),
        ('{"claims": [{"number": 1, "seen": "", "verdict": "yes"}, {"number": 1, "seen": "", "verdict": "no"}]}', "twice"),
        ('{"claims": {"1": "yes"}}', "list of objects"),
    ],
)  # fmt: skip
def test_answers_that_do_not_fit_are_refused_never_guessed(vlm_server, answer, problem):
    vlm_server.script = Reply(answer)
    with pytest.raises(AnswerError, match=problem):
        ask(vlm_server, elements("a red car").elements)


def test_what_a_claim_depends_on_is_told_and_lettering_is_quoted():
    claims = elements("no people, a red car").elements
    said = {c.kind + c.name: told(c, claims) for c in claims}
    assert said["attributered"] == "attribute: red; of: car"
    assert any("absent" in s for s in said.values())
    (text,) = elements('a sign that says "OPEN"').of_kind("text")
    assert told(text, [text]) == 'the text "OPEN" is written'


def lines(*texts):
    return [OcrLine(t, "latin", 0.9, (0, 0, 1, 1)) for t in texts]


@pytest.mark.parametrize(
    ("wanted", "read", "expected"),
    [
        ("OPEN 24 HOURS", ["Open 24", "hours"], True),
        ("OPEN 24 HOURS", ["OPEN24HOURS"], True),
        ("OPEN 24 HOURS", ["OPEN", "$3.50", "24 HOURS"], True),
        ("OPEN 24 HOURS", ["24 HOURS", "OPEN"], False),
        ("OPEN 24 HOURS", ["OPEN 25 HOURS"], False),
        ("OPEN 24 HOURS", [], False),
        ("今日特价", ["今日", "特价"], True),
        ("今日特价", ["今日特介"], False),
        ("café", ["CAFÉ"], True),
        ("Привет", ["Hpubem"], None),
        ("!?", ["!?"], None),
    ],
)
def test_lettering_is_shown_exactly_or_not(wanted, read, expected):
    assert shown(wanted, lines(*read)) is expected


WORDS = st.lists(st.text("ABCdef123今日特价 ", min_size=1, max_size=8), min_size=1, max_size=5)


@given(WORDS, WORDS, st.data())
def test_lines_of_the_text_among_others_are_found_and_a_lost_character_is_missed(words, others, data):
    wanted = " ".join(words)
    if not folded(wanted):
        return
    mixed = list(words)
    assert shown(wanted, lines(*mixed)) is True
    key = folded(wanted)
    at = data.draw(st.integers(0, len(key) - 1))
    broken = key[:at] + key[at + 1 :]
    if key not in broken:
        assert shown(wanted, lines(broken)) is False


def test_quotation_marks_of_json_in_a_prompt_are_no_lettering():
    prompt = 'a poster that says "SALE", as in {"style": {"name": "flat"}, "colors": ["red"]} and "50 %"'
    assert [e.name for e in elements(prompt).of_kind("text")] == ["SALE", "50 %"]
    assert [e.name for e in elements('write "a {b} c" and {"x"').of_kind("text")] == ["a {b} c", "x"]
