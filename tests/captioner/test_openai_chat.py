"""The client of chat servers against a real server that answers as told."""

import asyncio
import io
import json
import math
import warnings

import pytest
from PIL import Image

from zcurate.captioner.chat import ChatError, ChatRequest, ImagePart, Sampling
from zcurate.captioner.vlm.openai_chat import OpenAiChat, Settings

from .client import GOOD, HURRIED, KEYS, QUICK, SCHEMA, ask, ask_all, picture
from .server import Reply, VlmServer, faults, images_of, refusing, retried, texts_of


@pytest.fixture(autouse=True)
def _no_keys(monkeypatch):
    for name in KEYS:
        monkeypatch.delenv(name, raising=False)


def test_a_request_as_the_server_sees_it(vlm_server):
    vlm_server.script = Reply(GOOD, tokens=(321, 7))
    image = picture()
    request = ChatRequest(
        "You write captions.",
        ("before", image, "after \ud800 “quoted”"),
        SCHEMA,
        "captions",
        99,
        Sampling(0.25, 0.8, 1.5, 7),
    )
    answer = ask(vlm_server, request)
    assert (answer.text, answer.finish_reason, answer.tokens_in, answer.tokens_out) == (GOOD, "stop", 321, 7)
    assert answer.attempts == 1
    assert answer.model == "test-model"
    assert 0 < answer.seconds < 10
    (body,) = vlm_server.bodies
    assert texts_of(body) == ["You write captions.", "before", "after ? “quoted”"]
    assert images_of(body) == [image.data]  # small enough: the very bytes
    assert [m["role"] for m in body["messages"]] == ["system", "user"]
    assert [p["type"] for p in body["messages"][1]["content"]] == ["text", "image_url", "text"]
    assert body["response_format"] == {
        "type": "json_schema",
        "json_schema": {"name": "captions", "strict": True, "schema": SCHEMA},
    }
    assert (body["model"], body["max_tokens"], body["temperature"]) == ("test-model", 99, 0.25)
    assert (body["top_p"], body["presence_penalty"], body["seed"]) == (0.8, 1.5, 7)


def test_what_is_not_asked_for_is_not_sent(vlm_server):
    ask(vlm_server, ChatRequest("", ("hi",)))
    (body,) = vlm_server.bodies
    assert set(body) == {"model", "messages", "max_tokens", "temperature"}
    assert [m["role"] for m in body["messages"]] == ["user"]
    assert "Authorization" not in vlm_server.seen[0].headers


#: fault -> (reason, fatal) of the error, or (finish_reason, text) of the answer.
OUTCOMES = {
    "rate_limit": ("transport", False),
    "rate_limit_retry_after": ("transport", False),
    "server_error": ("transport", False),
    "unavailable": ("transport", False),
    "never_answers": ("timeout", False),
    "drips": ("timeout", False),
    "slow": ("stop", GOOD),
    "dropped_before": ("transport", False),
    "dropped_in_body": ("transport", False),
    "unauthorized": ("auth", True),
    "unknown_model": ("missing_model", True),
    "prompt_too_long": ("rejected", False),
    "redirected": ("rejected", True),
    "html_error_page": ("transport", False),
    "broken_json": ("transport", False),
    "other_json": ("transport", False),
    "no_choices": ("transport", False),
    "empty": ("empty", ""),
    "null_content": ("empty", ""),
    "content_filter": ("content_filter", ""),
    "thinking": ("stop", GOOD),
    "reasoning_apart": ("stop", GOOD),
    "content_parts": ("stop", GOOD),
    "fenced": ("stop", None),
    "two_objects": ("stop", None),
    "truncated": ("length", GOOD[: len(GOOD) // 2]),
    "truncated_as_stop": ("stop", GOOD[: len(GOOD) // 2]),
    "whitespace_loop": ("length", None),
    "repetition_loop": ("length", None),
    "refusal_en": ("stop", None),
    "refusal_zh": ("stop", None),
    "plain_text": ("stop", None),
    "byte_order_mark": ("stop", GOOD),
    "tool_call": ("stop", GOOD),
    "silent_tool_call": ("empty", ""),
    "object_as_content": ("stop", GOOD),
    "encoded_twice": ("stop", None),
    "thinking_without_end": ("empty", ""),
    "reasoning_only": ("empty", ""),
    "stop_in_capitals": ("stop", None),
    "given_up": ("transport", False),
    "filtered_by_another_name": ("content_filter", ""),
    "error_in_200": ("transport", False),
}


@pytest.mark.parametrize("name", sorted(faults(GOOD)))
def test_every_fault_has_its_outcome(vlm_server, name):
    vlm_server.script = reply = faults(GOOD)[name]
    first, second = OUTCOMES[name]
    if isinstance(second, bool):
        with pytest.raises(ChatError) as caught:
            ask(vlm_server, ChatRequest("s", ("u",), SCHEMA), HURRIED if first == "timeout" else QUICK)
        assert (caught.value.reason, caught.value.fatal) == (first, second)
        assert vlm_server.url in str(caught.value)
        return
    answer = ask(vlm_server, ChatRequest("s", ("u",), SCHEMA))
    assert answer.finish_reason == first
    assert answer.text == (reply.text if second is None else second)


@pytest.mark.parametrize(
    "name",
    [
        *("rate_limit", "unavailable", "server_error", "dropped_before", "dropped_in_body", "broken_json"),
        *("given_up", "error_in_200"),
    ],
)
def test_a_passing_fault_is_only_counted(vlm_server, name):
    vlm_server.script = retried(faults(GOOD)[name], Reply(GOOD), 2)
    answer = ask(vlm_server, ChatRequest("s", ("u",)))
    assert answer.text == GOOD
    assert answer.attempts == vlm_server.asked == 3


def test_one_timeout_is_survived_and_two_are_not(vlm_server):
    hangs = Reply(GOOD, delay_s=math.inf)
    vlm_server.script = [hangs, Reply(GOOD)]
    assert ask(vlm_server, ChatRequest("s", ("u",)), HURRIED).attempts == 2
    vlm_server.script = [hangs, hangs, Reply(GOOD)]
    with pytest.raises(ChatError, match=r"timeout.*0\.4 s"):
        ask(vlm_server, ChatRequest("s", ("u",)), HURRIED)


@pytest.mark.parametrize(
    ("header", "least_s"),
    [
        *(("0.15", 0.15), ("999999", 0.2), ("Fri, 31 Dec 2100 23:59:59 GMT", 0.2)),
        *(
            ("Sun, 06 Nov 1994 08:49:37 GMT", 0),
            ("soon", 0),
            ("99 Foo", 0),
            ("-5", 0),
            ("nan", 0),
            ("inf", 0),
        ),
    ],
)
def test_retry_after_is_waited_for_within_bounds(vlm_server, header, least_s):
    vlm_server.script = [Reply("slow down", status=429, headers={"Retry-After": header}), Reply(GOOD)]

    async def run():
        chat = OpenAiChat(
            vlm_server.engine.removeprefix("openai:"), Settings(backoff_s=0.01, max_retry_after_s=0.2)
        )
        began = asyncio.get_running_loop().time()
        assert (await chat.ask(ChatRequest("s", ("u",)))).text == GOOD
        await chat.close()
        return asyncio.get_running_loop().time() - began

    assert asyncio.run(run()) >= least_s


def test_a_server_that_is_not_there_is_fatal():
    with VlmServer() as server:
        engine = server.engine
    (error,), _ = ask_all(engine, [ChatRequest("s", ("u",))])
    assert error.reason == "transport"
    assert error.fatal
    assert "cannot connect" in str(error)


@pytest.mark.parametrize(
    ("refused", "present"),
    [
        (["response_format"], {"seed", "top_p", "presence_penalty"}),
        (["seed"], {"response_format", "top_p"}),
        (["response_format", "seed", "presence_penalty", "top_p", "temperature"], set()),
    ],
)
def test_fields_a_server_refuses_are_left_out_from_then_on(vlm_server, refused, present):
    vlm_server.script = refusing(refused, Reply(GOOD))
    request = ChatRequest("system", ("u",), SCHEMA, sampling=Sampling(0.5, 0.9, 1.0, 3))
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")

        async def twice():
            chat = OpenAiChat(vlm_server.engine.removeprefix("openai:"), QUICK)
            await chat.ask(request)
            before = vlm_server.asked
            await chat.ask(request)
            await chat.close()
            return vlm_server.asked - before

        assert asyncio.run(twice()) == 1
    last = vlm_server.bodies[-1]
    assert not set(refused) & set(last)
    assert present <= set(last)
    named = [w for w in warned if "refuses" in str(w.message)]
    assert len(named) == len(refused)
    # A schema that cannot be enforced is said instead.
    assert ("JSON schema" in texts_of(last)[0]) == ("response_format" in refused)
    if "response_format" in refused:
        assert json.loads(texts_of(last)[0].splitlines()[-1]) == SCHEMA


def test_a_server_that_only_says_bad_request(vlm_server):
    vlm_server.script = lambda b: (
        Reply(GOOD) if "response_format" not in b else Reply("bad request", status=400)
    )
    with pytest.warns(UserWarning, match="response_format"):
        assert ask(vlm_server, ChatRequest("s", ("u",), SCHEMA)).attempts == 2


def test_a_feature_that_worked_is_not_blamed_for_a_bad_row(vlm_server):
    vlm_server.script = lambda b: Reply("cannot identify image", status=400) if images_of(b) else Reply(GOOD)

    async def run():
        chat = OpenAiChat(vlm_server.engine.removeprefix("openai:"), QUICK)
        await chat.ask(ChatRequest("s", ("u",), SCHEMA))
        with pytest.raises(ChatError, match="cannot identify image") as caught:
            await chat.ask(ChatRequest("s", (picture(),), SCHEMA))
        assert (caught.value.reason, caught.value.fatal) == ("rejected", False)
        await chat.ask(ChatRequest("s", ("u",), SCHEMA))
        await chat.close()

    asyncio.run(run())
    assert "response_format" in vlm_server.bodies[-1]


def test_newer_models_want_max_completion_tokens(vlm_server):
    def script(body):
        if "max_tokens" in body:
            message = "Unsupported parameter: 'max_tokens'. Use 'max_completion_tokens' instead."
            return Reply(message, status=400)
        return Reply(GOOD)

    vlm_server.script = script
    with pytest.warns(UserWarning, match="max_completion_tokens"):
        ask(vlm_server, ChatRequest("s", ("u",), max_tokens=77))
    assert vlm_server.bodies[-1]["max_completion_tokens"] == 77


def size_of(body):
    return Image.open(io.BytesIO(images_of(body)[0])).size


def test_pictures_fit_the_token_budget_upright_and_are_never_enlarged(vlm_server):
    settings = Settings(image_tokens=16)  # 16 x 28 x 28 px = 12,544 px
    ask(vlm_server, ChatRequest("s", (picture(400, 200),)), settings)
    width, height = size_of(vlm_server.bodies[-1])
    assert 0.9 * 12544 <= width * height <= 12544
    assert width / height == pytest.approx(2, rel=0.03)
    small = picture(50, 30)
    ask(vlm_server, ChatRequest("s", (small,)), settings)
    assert images_of(vlm_server.bodies[-1]) == [small.data]

    turned = Image.new("RGB", (60, 30), "red")
    turned.paste("blue", (0, 0, 30, 30))  # left half; turned clockwise it is the upper half
    exif = turned.getexif()
    exif[0x0112] = 6
    out = io.BytesIO()
    turned.save(out, "JPEG", exif=exif)
    ask(vlm_server, ChatRequest("s", (ImagePart(out.getvalue()),)))
    seen = Image.open(io.BytesIO(images_of(vlm_server.bodies[-1])[0])).convert("RGB")
    assert seen.size == (30, 60)
    assert seen.getpixel((15, 10))[2] > 200
    assert seen.getpixel((15, 50))[0] > 200
    ask(vlm_server, ChatRequest("s", (picture(40, 40, (0, 0, 0, 0), "PNG", "RGBA"),)))
    seen = Image.open(io.BytesIO(images_of(vlm_server.bodies[-1])[0]))
    assert seen.getpixel((20, 20)) == (255, 255, 255)


@pytest.mark.parametrize("data", [b"", b"no picture", picture(300, 300).data[:200], b"GIF89a" + bytes(50)])
def test_broken_pictures_are_rejected_before_anything_is_sent(vlm_server, data):
    with pytest.raises(ChatError) as caught:
        ask(vlm_server, ChatRequest("s", (ImagePart(data),)), Settings(image_tokens=4))
    assert (caught.value.reason, caught.value.fatal) == ("rejected", False)
    assert vlm_server.asked == 0


def test_a_prompt_that_is_too_long_gets_smaller_pictures(vlm_server):
    too_long = "This model's maximum context length is 4096 tokens. However, you requested 9000 tokens."
    vlm_server.script = lambda b: Reply(too_long, status=400) if size_of(b)[0] > 110 else Reply(GOOD)
    answer = ask(vlm_server, ChatRequest("s", (picture(200, 100),), SCHEMA))
    assert answer.attempts == 3
    assert [size_of(b) for b in vlm_server.bodies] == [(200, 100), (140, 70), (100, 50)]
    assert all("response_format" in b for b in vlm_server.bodies)
    vlm_server.script = Reply(too_long, status=400)
    with pytest.raises(ChatError, match="maximum context length") as caught:
        ask(vlm_server, ChatRequest("s", (picture(200, 100),)))
    assert caught.value.reason == "rejected"


def test_an_answer_without_end_is_cut(vlm_server):
    vlm_server.script = Reply(body=b"[" * (9 << 20))
    with pytest.raises(ChatError, match="more than 8 MiB"):
        ask(vlm_server, ChatRequest("s", ("u",)), Settings(tries=1))


def test_deeply_nested_bodies_are_no_answer(vlm_server):
    vlm_server.script = Reply(body=b"[" * 200_000)
    with pytest.raises(ChatError, match="no chat completion"):
        ask(vlm_server, ChatRequest("s", ("u",)), Settings(tries=1))


def test_the_model_list(vlm_server):
    async def run():
        chat = OpenAiChat(vlm_server.engine.removeprefix("openai:"), QUICK)
        listed = await chat.models()
        await chat.close()
        return listed

    assert asyncio.run(run()) == ["test-model"]
