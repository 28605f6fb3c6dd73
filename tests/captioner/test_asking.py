"""Asking until an answer fits: no two tries are the same, every cost is counted, untrusted text stays data."""

import asyncio
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zcurate.captioner.answers import AnswerError
from zcurate.captioner.asking import ask_json, varied
from zcurate.captioner.chat import ChatError, ChatRequest, Sampling
from zcurate.captioner.fencing import fence, has_control_token, plain
from zcurate.captioner.vlm.openai_chat import OpenAiChat, Settings

from .server import Reply, texts_of

SCHEMA = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
REQUEST = ChatRequest("Count.", ("How many?",), SCHEMA, sampling=Sampling(0.2, seed=5), max_tokens=100)


def positive(value):
    if not isinstance(value.get("n"), int) or value["n"] <= 0:
        raise AnswerError("schema", '"n" must be a number above 0', "n")
    return value["n"]


def ask(server, **options):
    async def go():
        chat = OpenAiChat(f"{server.url}#m", Settings(tries=1, backoff_s=0.001))
        chat.load()
        try:
            return await ask_json(chat, REQUEST, positive, **options)
        finally:
            await chat.close()

    return asyncio.run(go())


def test_the_first_good_answer_is_taken(vlm_server):
    vlm_server.script = Reply('{"n": 3}')
    value, asked = ask(vlm_server)
    assert value == 3
    assert (asked.attempts, asked.failures, asked.repaired, asked.finish_reason) == (1, (), (), "stop")
    assert (asked.tokens_in, asked.tokens_out) == (100, 20)


def test_every_try_differs_and_is_told_what_was_wrong(vlm_server):
    replies = [Reply("no"), Reply('{"n": 0}'), Reply('{"n": 7', finish_reason="length"), Reply("{'n': 7}")]
    vlm_server.script = replies
    value, asked = ask(vlm_server, tries=4)
    assert value == 7
    assert asked.failures == ("not_json", "schema", "truncated")
    assert asked.repaired == ("single_quotes",)
    assert (asked.attempts, asked.tokens_in, asked.tokens_out) == (4, 400, 80)
    bodies = vlm_server.bodies
    assert len({b["temperature"] for b in bodies}) == 4
    assert len({b["seed"] for b in bodies}) == 4
    assert len({json.dumps(b, sort_keys=True) for b in bodies}) == 4
    assert "must be a number above 0" in texts_of(bodies[2])[-1]
    assert bodies[3]["max_tokens"] > bodies[0]["max_tokens"]
    assert bodies[0]["messages"][0] == bodies[3]["messages"][0], "the cached part stays the same"


def test_the_last_error_carries_what_was_spent(vlm_server):
    vlm_server.script = Reply('{"n": 0}')
    with pytest.raises(AnswerError) as caught:
        ask(vlm_server, tries=3)
    error = caught.value
    assert (error.reason, error.field, error.asked.attempts, error.asked.tokens_out) == ("schema", "n", 3, 60)
    assert error.asked.failures == ("schema",) * 3
    assert error.text == '{"n": 0}'
    assert vlm_server.asked == 3


def test_errors_of_the_engine_pass_through(vlm_server):
    vlm_server.script = Reply("no such model", status=404)
    with pytest.raises(ChatError, match="missing_model"):
        ask(vlm_server)


def test_a_finished_answer_that_lacks_its_end_is_not_taken_for_whole(vlm_server):
    nested = {
        "type": "object",
        "required": ["a"],
        "properties": {
            "a": {"type": "array", "items": {"type": "object", "required": ["b", "c"], "properties": {}}}
        },
    }

    async def go(text):
        vlm_server.script = Reply(text)
        chat = OpenAiChat(f"{vlm_server.url}#m", Settings(tries=1))
        chat.load()
        try:
            return await ask_json(chat, ChatRequest("s", ("u",), nested), lambda v: v, tries=1)
        finally:
            await chat.close()

    value, asked = asyncio.run(go('{"a": [{"b": 1, "c": 2}]'))
    assert value == {"a": [{"b": 1, "c": 2}]}
    assert asked.repaired == ("unclosed",)
    for cut in ('{"a": [{"b": 1, "c": 2}, {"b": 1', '{"a": [{"b": 1, "c": 2},'):
        with pytest.raises(AnswerError, match="not_json"):
            asyncio.run(go(cut))


@given(st.integers(1, 20), st.floats(0, 2), st.floats(0, 2))
def test_temperature_is_bounded(attempt, start, most):
    base = ChatRequest("s", ("u",), sampling=Sampling(start))
    changed = varied(base, AnswerError("other", "x"), attempt, most).sampling
    assert start <= changed.temperature <= max(start, most)
    assert changed.seed != base.sampling.seed


TOKENS = (
    "<|im_start|>",
    "<|im_end|>",
    "<|vision_start|>",
    "[INST]",
    "<s>",
    "</untrusted>",
    "<start_of_turn>",
    "<image>",
)
hostile = st.lists(
    st.sampled_from([*TOKENS, "<|im_", "start|>", "</untr", "usted>", "<", "|>", "x", " ", "\n", "\u202e", "\x00", "图"]), max_size=30
).map("".join)  # fmt: skip


@given(hostile, st.integers(1, 80))
def test_no_text_gets_out_of_its_fence(text, limit):
    fenced = fence("alt text", text, limit)
    inside = fenced.removeprefix('<untrusted name="alt text">\n').removesuffix("\n</untrusted>")
    assert "</untrusted" not in inside
    assert not any(token in inside for token in TOKENS)
    assert not has_control_token(inside)
    assert "\u202e" not in inside
    assert "\x00" not in inside
    assert len(inside) <= limit
    assert plain(inside, limit) == inside


def test_tokens_nested_in_tokens_end():
    nested = "<|" * 15_000 + "|>" * 15_000
    assert not has_control_token(plain(nested, 4_000))
    assert plain("<|a" * 5 + "|>" * 5 + " a < b", 100).endswith("a < b")


def test_ordinary_text_is_left_alone():
    for text in ("a < b > c", "5 <3 love", "[Sic] <b>bold</b>", "❤️‍🔥 emoji", "第一行\n第二行", "x <- y"):
        assert plain(text) == text
    with pytest.raises(ValueError, match="label"):
        fence("Alt Text", "x")
