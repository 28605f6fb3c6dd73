"""Requests that the server refuses, each with its status, code and fix."""

from __future__ import annotations

import json
import socket
from typing import Any

import httpx
import pytest

from zcurate.model.api.server import PATH

from .asking import body_of, server  # noqa: F401 - a fixture among them
from .procedural import ProceduralEngine
from .running import RunningServer

# ruff: noqa: F811


BAD = {
    "size of letters": (body_of(size="big"), 400, "InvalidParameter", "1024*1024"),
    "size with x": (body_of(size="1024x1024"), 400, "InvalidParameter", "W*H"),
    "size as number": (body_of(size=1024), 400, "InvalidParameter", "size"),
    "negative size": (body_of(size="-512*512"), 400, "InvalidParameter", "size"),
    "too few pixels": (body_of(size="512*496"), 400, "InvalidParameter", "262,144"),
    "too many pixels": (body_of(size="2048*2064"), 400, "InvalidParameter", "4,194,304"),
    "not a multiple": (body_of(size="1000*1000"), 400, "InvalidParameter", "nearest: 992*992"),
    "a thin strip": (body_of(size="8192*32"), 400, "InvalidParameter", "from 256 to 4096"),
    "negative seed": (body_of(seed=-1), 400, "InvalidParameter", "seed"),
    "huge seed": (body_of(seed=2**31), 400, "InvalidParameter", "2147483647"),
    "seed of text": (body_of(seed="7"), 400, "InvalidParameter", "seed"),
    "seed of truth": (body_of(seed=True), 400, "InvalidParameter", "seed"),
    "fractional seed": (body_of(seed=1.5), 400, "InvalidParameter", "seed"),
    "extend as text": (body_of(prompt_extend="yes"), 400, "InvalidParameter", "prompt_extend"),
    "extend without enhancer": (body_of(prompt_extend=True), 400, "InvalidParameter", "--enhancer"),
    "n of 2": (body_of(n=2), 400, "InvalidParameter", "one request per picture"),
    "unknown parameter": (body_of(steps=50), 400, "InvalidParameter", "steps"),
    "base_url in parameters": (body_of(base_url="http://x"), 400, "InvalidParameter", "base_url"),
    "base_url at the top": ({**body_of(), "base_url": None}, 400, "InvalidParameter", "base_url"),
    "base_url in input": (
        {**body_of(), "input": {"messages": [], "base_url": ""}},
        400,
        "InvalidParameter",
        "base_url",
    ),
    "unknown model": ({**body_of(), "model": "z-image-max"}, 404, "ModelNotFound", "procedural"),
    "no model": ({"input": body_of()["input"]}, 404, "ModelNotFound", "procedural"),
    "no input": ({"model": "procedural"}, 400, "InvalidParameter", "input"),
    "input as list": ({**body_of(), "input": []}, 400, "InvalidParameter", "input"),
    "unknown field": ({**body_of(), "stream": True}, 400, "InvalidParameter", "stream"),
}


def with_messages(messages: Any) -> dict[str, Any]:
    return {**body_of(), "input": {"messages": messages}}


def with_prompt(prompt: Any) -> dict[str, Any]:
    return with_messages([{"role": "user", "content": [{"text": prompt}]}])


BAD |= {
    "empty prompt": (with_prompt(" \n"), 400, "InvalidParameter", "empty"),
    "prompt as number": (with_prompt(3), 400, "InvalidParameter", "text"),
    "prompt of 2001": (with_prompt("x" * 2001), 400, "InvalidParameter", "2,000"),
    "control character": (with_prompt("a\x00b"), 400, "InvalidParameter", "U+0000"),
    "half a surrogate": (with_prompt("a\ud800"), 400, "InvalidParameter", "surrogate"),
    "two messages": (with_messages([{}, {}]), 400, "InvalidParameter", "messages"),
    "system role": (
        with_messages([{"role": "system", "content": [{"text": "x"}]}]),
        400,
        "InvalidParameter",
        "role",
    ),
    "image as input": (
        with_messages([{"role": "user", "content": [{"image": "http://x/y.png"}]}]),
        400,
        "InvalidParameter",
        "text only",
    ),
    "content as text": (
        with_messages([{"role": "user", "content": "x"}]),
        400,
        "InvalidParameter",
        "content",
    ),
    "huge body": (with_prompt("x" * 100_000), 413, "RequestTooLarge", "65,536"),
}


@pytest.mark.parametrize("case", BAD)
def test_a_bad_request_is_refused_with_its_status_code_and_fix(server, case):
    body, status, code, hint = BAD[case]
    made = len(server.engine.batches)
    # Escaped, since httpx itself sends no lone surrogates.
    headers = {"Content-Type": "application/json; charset=utf-8"}
    answer = httpx.post(server.url + PATH, content=json.dumps(body), headers=headers)
    found = answer.json()
    assert (answer.status_code, found["code"]) == (status, code)
    assert hint in found["message"]
    assert len(found["request_id"]) == 36
    assert len(server.engine.batches) == made


@pytest.mark.parametrize(
    ("content", "hint"),
    [
        (b"", "not JSON"),
        (b"{", "not JSON"),
        (b"[1]", "object"),
        (b'"text"', "object"),
        (b"\xff\xfe", "not JSON"),
        (b"[" * 60_000, "nested"),
        (b'{"model": ' + b"9" * 50_000 + b"}", "not JSON"),
    ],
    ids=["empty", "cut", "list", "string", "binary", "deep", "long number"],
)
def test_a_body_that_is_no_json_object_is_refused(server, content, hint):
    answer = httpx.post(server.url + PATH, content=content, headers={"Content-Type": "application/json"})
    assert answer.status_code == 400
    assert hint in answer.json()["message"]


def test_other_types_paths_and_methods_are_refused_in_the_same_form(server):
    body = json.dumps(body_of())
    # A form of another site can send text/plain without asking; it must not work.
    for media in ("text/plain", "application/x-www-form-urlencoded", ""):
        answer = httpx.post(server.url + PATH, content=body, headers={"Content-Type": media})
        assert (answer.status_code, answer.json()["code"]) == (415, "UnsupportedMediaType")
    found = httpx.get(server.url + PATH)
    assert (found.status_code, found.json()["code"]) == (405, "MethodNotAllowed")
    found = httpx.get(server.url + "/docs")
    assert (found.status_code, found.json()["code"]) == (404, "NotFound")
    assert PATH in found.json()["message"]


def test_a_chunked_body_is_cut_off_at_the_limit(server):
    def pieces():
        for _ in range(1000):
            yield b" " * 1024

    answer = httpx.post(server.url + PATH, content=pieces(), headers={"Content-Type": "application/json"})
    assert answer.status_code == 413


def test_a_body_that_never_arrives_is_given_up():
    with RunningServer(ProceduralEngine(), body_s=0.2) as server:
        host, port = server.url.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port)), timeout=20) as raw:
            head = f"POST {PATH} HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\n"
            raw.sendall(f"{head}Content-Length: 100\r\n\r\n{{".encode())
            assert raw.recv(4096).startswith(b"HTTP/1.1 408")
