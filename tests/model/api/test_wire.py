"""Requests and answers as data: what is accepted, what is refused, and that both ends understand each other."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zcurate.model.api.errors import (
    AccessError,
    AnswerError,
    BusyError,
    ContentRefusedError,
    DeadlineError,
    KeyRefusedError,
    RequestError,
    ServiceError,
    UnknownModelError,
    error_of,
)
from zcurate.model.api.request import MAX_PIXELS, MIN_PIXELS, ImageRequest, ImageResult, parse_size
from zcurate.model.api.wire import answer_body, parse_answer, parse_body, request_body

prompts = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=200).filter(str.strip)
sizes = (
    st.tuples(st.integers(128, 8192), st.integers(128, 8192))
    .filter(lambda s: MIN_PIXELS <= s[0] * s[1] <= MAX_PIXELS)
    .map(lambda s: f"{s[0]}*{s[1]}")
)
requests = st.builds(
    ImageRequest,
    prompt=prompts,
    size=sizes,
    seed=st.none() | st.integers(0, 2**31 - 1),
    prompt_extend=st.booleans(),
    base_url=st.none() | st.just("http://secret.internal/"),
)


@given(requests)
def test_the_server_reads_what_the_client_writes_but_for_base_url(request):
    body = json.loads(json.dumps(request_body(request, "m")))
    assert "secret.internal" not in json.dumps(body) or "secret.internal" in request.prompt
    read = parse_body(body, "m", 4000)
    assert (read.prompt, read.size, read.seed) == (request.prompt, request.size, request.seed)
    assert (read.prompt_extend, read.base_url) == (request.prompt_extend, None)


def test_the_body_is_the_one_of_the_services_documentation():
    body = request_body(ImageRequest("A calm lake at dawn", "1024*1024"), "z-image-turbo")
    assert body == {
        "model": "z-image-turbo",
        "input": {"messages": [{"role": "user", "content": [{"text": "A calm lake at dawn"}]}]},
        "parameters": {"size": "1024*1024", "prompt_extend": False},
    }


results = st.builds(
    ImageResult,
    image_url=st.just("http://h/images/x.png"),
    width=st.integers(1, 8192),
    height=st.integers(1, 8192),
    prompt=prompts,
    request_id=st.uuids().map(str),
    rewritten_prompt=st.none() | prompts.map(lambda p: f"better: {p}"),
    reasoning=st.none() | prompts,
)


@given(results, st.integers(0, 2**31 - 1))
def test_the_client_reads_what_the_server_answers(result, seed):
    body = json.loads(json.dumps(answer_body(result, seed, "m")))
    request = ImageRequest(result.prompt)
    read = parse_answer(body, request)
    if result.rewritten_prompt is not None and result.rewritten_prompt.strip() == result.prompt.strip():
        assert read.rewritten_prompt is None
    else:
        assert read == result
    assert {"image_url", "width", "height", "prompt", "request_id"} <= json.loads(read.to_json()).keys()


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
        lambda x: (
            st.lists(x, max_size=3)
            | st.dictionaries(
                st.sampled_from(
                    ["output", "choices", "message", "content", "image", "text", "usage", "width"]
                ),
                x,
                max_size=4,
            )
        ),
        max_leaves=20,
    )
)
def test_any_json_is_an_answer_or_an_error_of_ours(found):
    try:
        result = parse_answer(found if isinstance(found, dict) else {"output": found}, ImageRequest("x"))
    except AnswerError:
        return
    assert result.image_url
    assert result.width > 0
    assert result.height > 0


def answer_with(url):
    return {"output": {"choices": [{"message": {"content": [{"image": url}]}}]}}


@pytest.mark.parametrize("url", ["http://h/a b", "http://h/\x1b[2J", "http://h/\u202epng", "", "x" * 5000])
def test_a_picture_url_that_no_terminal_should_see_is_refused(url):
    with pytest.raises(AnswerError):
        parse_answer(answer_with(url), ImageRequest("x"))


@pytest.mark.parametrize(
    ("size", "pixels"),
    [
        ("512*512", True),
        ("2048*2048", True),
        ("1280*720", True),
        ("1536*864", True),
        ("512*511", False),
        ("2048*2049", False),
        ("0512*512", False),
        ("512*512\n", False),
        ("512 * 512", False),
        ("٥١٢*٥١٢", False),
        ("512*", False),
        ("*512", False),
        ("1e3*512", False),
    ],
)
def test_sizes(size, pixels):
    if pixels:
        width, height = parse_size(size)
        assert f"{width}*{height}" == size
    else:
        with pytest.raises(RequestError, match="size"):
            parse_size(size)


@pytest.mark.parametrize(
    ("json_text", "hint"),
    [
        ('{"size": "512*512"}', "prompt is missing"),
        ('{"prompt": null}', "prompt is missing"),
        ('{"prompt": "x", "Seed": 1}', "unknown field 'Seed'"),
        ('{"prompt": "x", "seed": NaN}', "whole number"),
        ('{"prompt": "x", "seed": %s}' % ("9" * 400), "2147483647"),
        ('{"prompt": "x", "base_url": 3}', "base_url"),
        ('{"prompt": ["x"]}', "a list"),
        ("null", "object"),
    ],
)
def test_wrong_requests_name_the_field(json_text, hint):
    with pytest.raises(RequestError) as caught:
        ImageRequest.from_json(json_text)
    assert hint in str(caught.value)
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (400, "InvalidParameter", RequestError),
        (400, "DataInspectionFailed", ContentRefusedError),
        (401, "InvalidApiKey", KeyRefusedError),
        (403, "Model.AccessDenied", AccessError),
        (400, "Arrearage", AccessError),
        (404, "ModelNotFound", UnknownModelError),
        (429, "Throttling.RateQuota", BusyError),
        (500, "InternalError.Algo", ServiceError),
        (500, "InvalidParameter", ServiceError),
        (429, "InvalidParameter", BusyError),
        (504, "", DeadlineError),
        (418, "Whatever", RequestError),
        (302, "", AnswerError),
    ],
)
def test_errors_by_code_and_status(status, code, kind):
    error = error_of(status, code, "m", request_id="r1")
    assert type(error) is kind
    assert "r1" in str(error)
    assert str(status) in str(error)
    assert error.retryable == (status == 429 or status >= 500)
