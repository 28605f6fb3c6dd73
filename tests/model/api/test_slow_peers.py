"""Peers that send or read one byte now and then: each is given up in time, and others are served meanwhile."""

from __future__ import annotations

import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from zcurate.model.api.request import ImageRequest
from zcurate.model.api.server import PATH

from .procedural import ProceduralEngine
from .running import RunningServer, until

LIMIT_S, PATIENCE_S = 0.4, 20.0
HEAD = f"POST {PATH} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"


@pytest.fixture(scope="module")
def server():
    limits = {"head_s": LIMIT_S, "body_s": LIMIT_S, "stall_s": LIMIT_S}
    with RunningServer(ProceduralEngine(), token="a-token-of-some-length", **limits) as running:
        yield running


def connected(server):
    host, port = server.url.removeprefix("http://").split(":")
    return socket.create_connection((host, int(port)), timeout=PATIENCE_S)


def dripped(connection, data: bytes) -> bytes:
    """What the server says until it closes, while it is sent byte by byte, endlessly."""
    said, sent, ends = b"", 0, time.monotonic() + PATIENCE_S
    connection.settimeout(0.05)
    while time.monotonic() < ends:
        try:
            connection.sendall(data[sent : sent + 1] if sent < len(data) else b"x")
            sent += 1
            piece = connection.recv(65536)
            if not piece:
                return said
            said += piece
        except TimeoutError:
            continue
        except OSError:
            return said
    raise AssertionError("the connection is still open")


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"", None),
        (b"GET /health HTTP/1.1\r\nX-Slow: ", None),
        # Refused without a token: what is left of the body is not waited for.
        (f"{HEAD}Content-Length: 10000000\r\n\r\n".encode(), b"401"),
        (
            f"{HEAD}Authorization: Bearer a-token-of-some-length\r\nContent-Length: 9999\r\n\r\n{{".encode(),
            b"408",
        ),
    ],
    ids=["one byte now and then", "head", "body of a refused request", "body"],
)
def test_a_request_that_never_ends_is_given_up(server, data, status):
    with connected(server) as slow:
        slow.sendall(data)
        with server.client("a-token-of-some-length") as client:
            assert client.generate(ImageRequest("meanwhile", "512*512")).picture
        said = dripped(slow, b"")
    if status is None:
        assert b"200" not in said
    else:
        assert said.startswith(b"HTTP/1.1 " + status)
        assert said.count(b"HTTP/1.1") == 1


def test_a_picture_that_nobody_reads_is_given_up(server):
    with server.client("a-token-of-some-length") as client:
        url = client.generate(ImageRequest("noise", "2048*2048")).result.image_url
        size = len(httpx.get(url).content)
    path = url.removeprefix(server.url)
    with connected(server) as deaf:
        deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        request = f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()
        # Several answers, since the kernel's buffers hold one.
        deaf.sendall(request * 40)
        until(lambda: not server.server.server_state.connections)
    assert size > 1 << 20


def test_the_time_the_engine_takes_is_not_the_peers(server):
    server.engine.gate.clear()
    try:
        with server.client("a-token-of-some-length") as client, ThreadPoolExecutor(1) as pool:
            waiting = pool.submit(client.generate, ImageRequest("slow", "512*512"))
            until(lambda: server.service.admitted == 1)
            threading.Event().wait(LIMIT_S * 2)
            server.engine.gate.set()
            assert waiting.result(PATIENCE_S).picture
        # Nor is it tried again.
        assert [o.prompt for batch in server.engine.batches for o in batch].count("slow") == 1
    finally:
        server.engine.gate.set()
