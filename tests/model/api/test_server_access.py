"""Whom the server answers: its own names, tokens, names of pictures that cannot be guessed."""

from __future__ import annotations

import httpx
import pytest

from zcurate.model.api.errors import KeyRefusedError, RequestError
from zcurate.model.api.request import ImageRequest
from zcurate.model.api.server import PATH
from zcurate.model.api.settings import Settings

from .asking import TOKEN, metric
from .procedural import ProceduralEngine
from .running import RunningServer


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("localhost:8000", 200),
        ("127.0.0.1", 200),
        ("[::1]:80", 200),
        ("images.test", 200),
        ("evil.example", 421),
        ("127.0.0.1.evil.example", 421),
        ("10.0.0.1", 421),
        ("localhost:8000@evil.example", 421),
        ("a b", 421),
        ("", 421),
    ],
)
def test_a_local_server_answers_to_its_own_names_alone(host, status):
    with RunningServer(ProceduralEngine(), allowed_hosts=("images.test",)) as server:
        answer = httpx.get(server.url + "/health", headers={"Host": host})
    assert answer.status_code == status


def test_a_token_is_demanded_everywhere_but_for_probes_and_pictures():
    with RunningServer(ProceduralEngine(), token=TOKEN) as server:
        paths = [("POST", PATH), ("GET", "/metrics"), ("GET", "/nothing")]
        wrong = ["", "Bearer", "Bearer x", f"Bearer {TOKEN}x", f"Basic {TOKEN}", TOKEN]
        for method, path in paths:
            for value in wrong:
                answer = httpx.request(method, server.url + path, headers={"Authorization": value}, json={})
                assert (answer.status_code, answer.json()["code"]) == (401, "InvalidApiKey"), value
                assert answer.headers["www-authenticate"] == "Bearer"
                assert TOKEN not in answer.text
        assert httpx.get(server.url + "/health").status_code == 200
        assert httpx.get(server.url + "/ready").status_code == 200
        for token in (None, "another-token-of-length"):
            with server.client(token) as client, pytest.raises(KeyRefusedError):
                client.generate(ImageRequest("x", "512*512"))
        with server.client(TOKEN) as client:
            done = client.generate(ImageRequest("x", "512*512"))
        assert httpx.get(done.result.image_url).content == done.picture.data
        assert metric(server, "zcurate_requests_total", code="200") == 1


def test_a_server_that_others_can_reach_must_have_a_token():
    with pytest.raises(RequestError, match="ZCURATE_SERVE_TOKEN"):
        Settings(host="0.0.0.0")
    with pytest.raises(RequestError, match="16"):
        Settings(host="0.0.0.0", token="short")
    assert Settings(host="0.0.0.0", token=TOKEN).local is False


def test_pictures_have_names_that_cannot_be_guessed_and_expire():
    with RunningServer(ProceduralEngine(), store_ttl_s=3600) as server:
        with server.client() as client:
            urls = [client.generate(ImageRequest("x", "512*512")).result.image_url for _ in range(2)]
        assert urls[0] != urls[1]
        answer = httpx.get(urls[0])
        assert answer.headers["content-type"] == "image/png"
        assert answer.headers["x-content-type-options"] == "nosniff"
        name = urls[0].rsplit("/", 1)[1]
        assert len(name) == 36
        for other in ("x.png", name[:-5] + ".png", "..%2f..%2fetc%2fpasswd", name + "/.."):
            assert httpx.get(f"{server.url}/images/{other}").status_code == 404
        server.service.store._clock = lambda: float("inf")
        answer = httpx.get(urls[0])
        assert (answer.status_code, answer.json()["code"]) == (404, "NotFound")
