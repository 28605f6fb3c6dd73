"""The client against a scripted DashScope over real HTTP: answers, faults, retries, money, secrets."""

from __future__ import annotations

import logging
import struct
import threading
import zlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from zcurate.model.api.credentials import Endpoint, Secret, endpoint_of
from zcurate.model.api.dashscope import ImageClient, price_text
from zcurate.model.api.errors import (
    AccessError,
    AnswerError,
    ApiError,
    BusyError,
    ContentRefusedError,
    DownloadError,
    KeyRefusedError,
    PictureGoneError,
    ServiceError,
    SpendCapError,
    TransportError,
)
from zcurate.model.api.request import ImageRequest

from .fake_dashscope import FakeDashScope, answer, cut, endless, hang_up, picture, png, raw, redirect, refusal
from .running import IMPATIENT

KEY = "sk-0123456789-secret"
REQUEST = ImageRequest("a lake at dawn", "1024*256", seed=3)
SMALL = 1 << 20


@pytest.fixture
def fake():
    with FakeDashScope() as running:
        yield running


def client_of(fake, key=KEY, patience=IMPATIENT, **options):
    """As for a base_url."""
    return ImageClient(
        endpoint_of(fake.url, "beijing"), Secret(key) if key else None, patience=patience, **options
    )


def billed_client(fake, region="singapore", **options):
    """As for a region, whose prices are known, though the answers come from the scripted service."""
    endpoint = Endpoint(endpoint_of(fake.url, "beijing").url, region, fake.url.removeprefix("http://"))
    return ImageClient(endpoint, Secret(KEY), patience=IMPATIENT, **options)


def test_a_picture_is_asked_for_fetched_and_told(fake):
    fake.posts = [answer(text="a lake at dawn, mist", reasoning="It wants mist.")]
    with client_of(fake) as client:
        done = client.generate(replace(REQUEST, prompt_extend=True))
    method, path, headers, body = fake.seen[0]
    assert (method, path) == ("POST", "/api/v1/services/aigc/multimodal-generation/generation")
    assert headers["Authorization"] == f"Bearer {KEY}"
    assert headers["Content-Type"] == "application/json"
    assert body == {
        "model": "z-image-turbo",
        "input": {"messages": [{"role": "user", "content": [{"text": "a lake at dawn"}]}]},
        "parameters": {"size": "1024*256", "seed": 3, "prompt_extend": True},
    }
    assert done.result.rewritten_prompt == "a lake at dawn, mist"
    assert done.result.reasoning == "It wants mist."
    assert done.result.request_id == "0a1b2c3d-4e5f"
    assert (done.result.width, done.result.height) == (1024, 256)
    assert done.picture.data == png()


def test_the_key_goes_to_the_service_and_not_with_the_download(fake):
    with client_of(fake) as client:
        client.generate(REQUEST)
    assert [KEY in str(headers) for _, _, headers, _ in fake.seen] == [True, False]


def test_a_seed_is_drawn_where_none_is_given_so_that_the_picture_can_be_made_again(fake):
    with client_of(fake) as client:
        done = [client.generate(replace(REQUEST, seed=None)) for _ in range(2)]
    sent = [body["parameters"]["seed"] for method, _, _, body in fake.seen if method == "POST"]
    assert sent == [d.request.seed for d in done]
    assert sent[0] != sent[1]


@pytest.mark.parametrize(
    "fault",
    [
        refusal(429, "Throttling.RateQuota", "slow down"),
        refusal(500, "InternalError", "oops"),
        refusal(503, "ServiceUnavailable", "later", {"Retry-After": "0"}),
        raw(502, b"<html>bad gateway</html>"),
        hang_up(),
    ],
    ids=["429", "500", "503", "502 of a proxy", "hang up"],
)
def test_what_may_pass_is_tried_again(fake, fault):
    fake.posts = [fault, fault, answer()]
    with client_of(fake) as client:
        assert client.generate(REQUEST).picture
    assert fake.count("POST") == 3
    # The same picture each time, or a billed try would be lost.
    assert len({body["parameters"]["seed"] for m, _, _, body in fake.seen if m == "POST"}) == 1


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        (refusal(400, "DataInspectionFailed", "no"), ContentRefusedError),
        (refusal(401, "InvalidApiKey", "no"), KeyRefusedError),
        (refusal(400, "Arrearage", "pay"), AccessError),
        (redirect("http://127.0.0.1:1/elsewhere"), AnswerError),
        (raw(200, b"[]"), AnswerError),
        (raw(200, b"not json"), AnswerError),
        (raw(200, b'{"code": "InvalidParameter", "message": "in a 200"}'), ApiError),
        (raw(200, b"[" * 100_000), AnswerError),
        (endless(), AnswerError),
        (refusal(429, "Throttling", "for a day", {"Retry-After": "86400"}), BusyError),
    ],
    ids=lambda v: v.__name__ if isinstance(v, type) else "",
)
def test_what_will_not_pass_is_tried_once(fake, fault, kind):
    fake.posts = [fault]
    with client_of(fake) as client, pytest.raises(kind):
        client.generate(REQUEST)
    assert (fake.count("POST"), fake.count("GET")) == (1, 0)


def test_after_the_last_try_the_error_is_the_services(fake):
    fake.posts = [refusal(500, "InternalError", "still broken")]
    with client_of(fake) as client, pytest.raises(ServiceError, match=r"still broken.*r-err"):
        client.generate(REQUEST)
    assert fake.count("POST") == IMPATIENT.attempts


def test_nobody_there():
    with FakeDashScope() as gone:
        client = client_of(gone, patience=replace(IMPATIENT, attempts=2))
    with client, pytest.raises(TransportError, match=r"127\.0\.0\.1"):
        client.generate(REQUEST)


@pytest.mark.parametrize(
    "place",
    [
        "http://127.0.0.1:1/x.png",
        "http://169.254.169.254/latest/meta-data",
        "http://localhost/x.png",
        "https://evil.example/x.png",
        "https://aliyuncs.com.evil.example/x.png",
        "file:///etc/passwd",
        "https://u:p@bucket.oss.aliyuncs.com/x.png",
        "//evil.example/x.png",
    ],
)
def test_pictures_are_fetched_from_nowhere_else(fake, place):
    fake.posts, fake.gets = [answer(place)], [picture(png())]
    with client_of(fake) as client, pytest.raises(DownloadError):
        client.generate(REQUEST)
    assert fake.count("GET") == 0


def test_a_storage_name_that_leads_to_a_private_address_is_refused(fake):
    fake.posts = [answer("https://bucket.oss-cn-beijing.aliyuncs.com/x.png?Signature=s")]
    for address in ("127.0.0.1", "10.0.0.1", "169.254.169.254", "::1", "fe80::1%eth0", "100.64.0.1"):
        with (
            client_of(fake, resolver=lambda host, port, a=address: ["8.8.8.8", a]) as client,
            pytest.raises(DownloadError, match="private address") as caught,
        ):
            client.generate(REQUEST)
        assert "Signature" not in str(caught.value)


def test_a_redirect_may_not_lead_to_another_host(fake):
    with FakeDashScope() as other:
        fake.gets = [redirect(f"{other.url}/x.png")]
        with client_of(fake) as client, pytest.raises(DownloadError, match=r"another host|fetched from"):
            client.generate(REQUEST)
        assert other.seen == []
    fake.gets = [redirect("/moved.png"), picture(png())]
    fake.seen.clear()
    with client_of(fake) as client:
        assert client.generate(REQUEST).picture
    fake.gets = [redirect("/again.png")]
    with client_of(fake) as client, pytest.raises(DownloadError, match="redirects"):
        client.generate(REQUEST)


def bomb(width, height):
    """A PNG of a few bytes that claims, and inflates to, many pixels."""

    def chunk(kind, body):
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    rows = zlib.compress(bytes(1 + width // 8) * height, 9)
    head = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    ("step", "hint"),
    [
        (picture(b""), "not a whole"),
        (picture(b"<html>"), "not a whole"),
        (picture(b"GIF89a" + bytes(100)), "not a whole"),
        (picture(png()[:-300]), "not a whole"),
        (picture(bomb(8192, 8192)), "more than can be asked for"),
        (picture(b"x" * (SMALL + 1)), "bytes"),
        (endless(), "more than"),
        (raw(403, b""), "403"),
        (raw(200, png(), {"Content-Encoding": "gzip"}), "compressed"),
    ],
    ids=["empty", "html", "gif", "cut", "bomb", "too large", "endless", "403", "compressed"],
)
def test_downloads_that_are_no_picture_of_ours(fake, step, hint):
    fake.gets = [step]
    with client_of(fake, max_image_bytes=SMALL) as client, pytest.raises(DownloadError, match=hint):
        client.generate(REQUEST)
    assert (fake.count("POST"), fake.count("GET")) == (1, 1)


def test_a_download_that_breaks_is_tried_again_without_paying_again(fake):
    fake.gets = [cut(png()), raw(503, b""), picture(png())]
    with billed_client(fake) as client:
        assert client.generate(REQUEST).picture
        assert client.spent_usd == pytest.approx(0.015)
    assert (fake.count("POST"), fake.count("GET")) == (1, 3)


def test_a_picture_that_is_gone_is_made_again_where_that_costs_nothing(fake):
    fake.gets = [raw(404, b""), picture(png())]
    with client_of(fake) as client:
        assert client.generate(REQUEST).picture
    assert (fake.count("POST"), fake.count("GET")) == (2, 2)
    fake.seen.clear()
    fake.gets = [raw(404, b"")]
    with billed_client(fake) as client, pytest.raises(PictureGoneError, match="404"):
        client.generate(REQUEST)
    assert (fake.count("POST"), fake.count("GET")) == (1, 1)


def test_a_picture_that_cannot_be_fetched_says_where_it_is(fake):
    fake.gets = [raw(503, b"")]
    with client_of(fake) as client, pytest.raises(DownloadError, match="Signature=secret-signature"):
        client.generate(REQUEST)


def test_money_counts_tries_that_may_be_billed_and_the_cap_holds(fake):
    fake.posts = [refusal(429, "Throttling", "x"), hang_up(), answer()]
    with billed_client(fake, max_spend_usd=0.05) as client:
        client.generate(REQUEST)
        # The broken connection may have been billed; the refusal was not.
        assert client.spent_usd == pytest.approx(0.03)
        client.generate(REQUEST)
        with pytest.raises(SpendCapError, match="cap"):
            client.generate(REQUEST)
        with pytest.raises(SpendCapError):
            client.generate(replace(REQUEST, prompt_extend=True))
    assert fake.count("POST") == 4


def test_threads_do_not_pass_the_cap_together(fake):
    with billed_client(fake, max_spend_usd=0.15) as client, ThreadPoolExecutor(24) as pool:
        start = threading.Barrier(24)

        def one(_):
            start.wait(20)
            try:
                return client.generate(REQUEST)
            except SpendCapError:
                return None

        done = [d for d in pool.map(one, range(24)) if d]
    assert len(done) == fake.count("POST") == 10


def test_prices_are_told_with_what_they_are_for():
    assert "0.01434 USD" in price_text("beijing", False)
    assert "0.03 USD" in price_text("singapore", True)
    assert "higher" in price_text("singapore", True)
    assert "not known" in price_text("custom", False)


@pytest.mark.parametrize("echo", [KEY, f"bad key {KEY} of you"])
def test_no_error_and_no_log_shows_the_key(fake, echo, caplog):
    caplog.set_level(logging.DEBUG)
    fake.posts = [
        refusal(401, echo, f"the key {echo} is wrong\x1b[2J"),
        refusal(400, "InvalidParameter", echo),
        answer(),
    ]
    with client_of(fake) as client:
        for _ in range(2):
            with pytest.raises(ApiError) as caught:
                client.generate(REQUEST)
            assert KEY not in str(caught.value) + repr(caught.value)
            assert "\x1b" not in str(caught.value)
        client.generate(REQUEST)
    assert caplog.records
    assert KEY not in caplog.text
    assert "secret-signature" not in caplog.text


def test_a_key_of_the_wrong_region_is_explained(fake):
    fake.posts = [refusal(401, "InvalidApiKey", "Invalid API-key provided.")]
    with billed_client(fake, "singapore") as client, pytest.raises(KeyRefusedError, match="region singapore"):
        client.generate(REQUEST)


def test_a_proxy_of_the_environment_does_not_see_local_requests(fake, monkeypatch):
    with FakeDashScope() as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy.url)
        monkeypatch.setenv("ALL_PROXY", proxy.url)
        with client_of(fake) as client:
            client.generate(REQUEST)
        assert proxy.seen == []
