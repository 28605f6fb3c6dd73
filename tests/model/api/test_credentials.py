"""Where requests go and which key goes with them."""

from __future__ import annotations

import pytest

from zcurate.model.api.credentials import Endpoint, endpoint_of, find_key
from zcurate.model.api.errors import KeyRefusedError, RequestError

KEY, TOKEN = "sk-of-the-environment", "token-of-my-own-server"
PATH = "/api/v1/services/aigc/multimodal-generation/generation"


@pytest.mark.parametrize(
    ("base_url", "url", "region"),
    [
        (None, f"https://dashscope.aliyuncs.com{PATH}", "beijing"),
        ("http://localhost:8000", f"http://localhost:8000{PATH}", "custom"),
        ("http://localhost:8000/", f"http://localhost:8000{PATH}", "custom"),
        ("https://h.example/sub/api/v1", f"https://h.example/sub{PATH}", "custom"),
        (f"https://h.example{PATH}", f"https://h.example{PATH}", "custom"),
        ("http://[::1]:8000", f"http://[::1]:8000{PATH}", "custom"),
        ("https://DashScope.aliyuncs.com", f"https://DashScope.aliyuncs.com{PATH}", "beijing"),
        (
            "https://dashscope-intl.aliyuncs.com/api/v1",
            f"https://dashscope-intl.aliyuncs.com{PATH}",
            "singapore",
        ),
        (
            "https://ws-1.ap-southeast-1.maas.aliyuncs.com/api/v1",
            f"https://ws-1.ap-southeast-1.maas.aliyuncs.com{PATH}",
            "singapore",
        ),
    ],
)
def test_endpoints(base_url, url, region):
    endpoint = endpoint_of(base_url, "beijing")
    assert (endpoint.url, endpoint.region) == (url, region)
    assert bool(endpoint.own_host) == (region == "custom")


def test_both_regions():
    assert endpoint_of(None, "singapore").host == "dashscope-intl.aliyuncs.com"
    assert endpoint_of(None, "beijing").host == "dashscope.aliyuncs.com"
    with pytest.raises(RequestError, match="beijing, singapore"):
        endpoint_of(None, "paris")


@pytest.mark.parametrize(
    "base_url",
    [
        *("file:///etc/passwd", "ftp://h/", "//h/", "h:8000", "http://", "http://u:p@h/", "http://h/?q=1"),
        *("http://h/#f", "http://h /", "http://h/\n", "http://h:99999/", "http://[::1", "http://h:x/"),
        *("https://dashscope.aliyuncs.com\\.evil.example/", "https://dashscope.aliyuncs.com:8443/"),
        *("https://dashscope.aliyuncs.com\\@evil.example/", "http://bücher.example/", "http://a,b/"),
    ],
)
def test_base_urls_that_are_none(base_url):
    with pytest.raises(RequestError, match="base_url"):
        endpoint_of(base_url, "beijing")


def home(tmp_path, text):
    (tmp_path / ".alibabacloud").mkdir(exist_ok=True)
    (tmp_path / ".alibabacloud" / "credentials").write_bytes(text.encode() if isinstance(text, str) else text)
    return {"HOME": str(tmp_path)}


@pytest.mark.parametrize(
    "text",
    [
        "dashscope_api_key = sk-file\n",
        "[default]\ndashscope_api_key=sk-file\n",
        "\ufeff[default]\r\ntype = access_key\r\ndashscope_api_key = 'sk-file'\r\n",
        "# a comment\n[other]\ndashscope_api_key = no\n[default]\ndashscope_api_key = sk-file\n",
        '[default]\naccess_key_secret = a%b\ndashscope_api_key = "sk-file"\n',
    ],
)
def test_the_key_of_the_credentials_file_and_the_environment_before_it(tmp_path, text):
    environment = home(tmp_path, text)
    endpoint = endpoint_of(None, "beijing")
    assert find_key(endpoint, environment).reveal() == "sk-file"
    assert find_key(endpoint, environment | {"DASHSCOPE_API_KEY": f" {KEY}\n"}).reveal() == KEY
    assert find_key(endpoint, environment | {"DASHSCOPE_API_KEY": " "}).reveal() == "sk-file"


def test_a_profile_of_the_credentials_file(tmp_path):
    text = "[default]\ndashscope_api_key = one\n[work]\ndashscope_api_key = two\n[empty]\nx = 1\n"
    environment = home(tmp_path, text)
    endpoint = endpoint_of(None, "beijing")
    assert find_key(endpoint, environment | {"ALIBABA_CLOUD_PROFILE": "work"}).reveal() == "two"
    with pytest.raises(KeyRefusedError, match="dashscope_api_key"):
        find_key(endpoint, environment | {"ALIBABA_CLOUD_PROFILE": "empty"})


@pytest.mark.parametrize(
    "text", ["[default\nsecret-line", b"\xff\xfesecret-line", "dashscope_api_key = a secret-line"]
)
def test_a_broken_credentials_file_is_not_quoted(tmp_path, text):
    with pytest.raises(KeyRefusedError) as caught:
        find_key(endpoint_of(None, "beijing"), home(tmp_path, text))
    assert "secret-line" not in str(caught.value)


def test_no_key_says_where_to_put_one(tmp_path):
    with pytest.raises(KeyRefusedError, match=r"DASHSCOPE_API_KEY.*credentials"):
        find_key(endpoint_of(None, "beijing"), {"HOME": str(tmp_path)})


@pytest.mark.parametrize(
    "base_url",
    [
        "https://evil.example",
        "https://dashscope.aliyuncs.com.evil.example",
        "https://evil-dashscope.aliyuncs.com",
        # Anyone can rent these names.
        "https://bucket.oss-cn-beijing.aliyuncs.com",
        "https://me.cn-hangzhou.fc.aliyuncs.com",
        "https://a.b.cn-beijing.maas.aliyuncs.com",
        "https://cn-beijing.maas.aliyuncs.com",
        "https://xaliyuncs.com",
        "http://localhost:8000",
        "https://dashscope.aliyuncs.com.",
    ],
)
def test_the_key_goes_to_no_other_host(base_url):
    assert find_key(endpoint_of(base_url, "beijing"), {"DASHSCOPE_API_KEY": KEY}) is None


def test_the_key_goes_over_https_alone():
    with pytest.raises(KeyRefusedError, match="https") as caught:
        find_key(endpoint_of("http://dashscope.aliyuncs.com", "beijing"), {"DASHSCOPE_API_KEY": KEY})
    assert KEY not in str(caught.value)


@pytest.mark.parametrize(
    ("base_url", "listed", "sent"),
    [
        ("http://127.0.0.1:8000", "", True),
        ("http://localhost:8000", "", True),
        ("http://10.0.0.5:8000", "10.0.0.5", True),
        ("http://10.0.0.5:8000", "10.0.0.5:8000", True),
        ("http://10.0.0.5:8000", "10.0.0.5:9000", False),
        ("https://images.example", "images.example", True),
        ("https://images.example", "", False),
        ("http://images.example", "images.example", False),
        ("https://evil.example", "images.example", False),
        ("https://localhost.evil.example", "", False),
    ],
)
def test_the_token_goes_to_this_machine_and_listed_hosts(base_url, listed, sent):
    environment = {"ZCURATE_SERVE_TOKEN": TOKEN, "ZCURATE_SERVE_HOST": listed, "DASHSCOPE_API_KEY": KEY}
    endpoint = endpoint_of(base_url, "beijing")
    if sent:
        assert find_key(endpoint, environment).reveal() == TOKEN
    else:
        with pytest.raises(KeyRefusedError) as caught:
            find_key(endpoint, environment)
        assert TOKEN not in str(caught.value)


def test_the_token_does_not_go_to_dashscope():
    environment = {"ZCURATE_SERVE_TOKEN": TOKEN, "DASHSCOPE_API_KEY": KEY}
    assert find_key(endpoint_of(None, "singapore"), environment).reveal() == KEY


@pytest.mark.parametrize("key", ["a key", "kéy", "key\r\nX-Evil: 1"])
def test_keys_that_would_break_the_header_are_refused(key):
    with pytest.raises(KeyRefusedError, match="no key has") as caught:
        find_key(endpoint_of(None, "beijing"), {"DASHSCOPE_API_KEY": key})
    assert key not in str(caught.value)


def test_a_key_shows_in_no_repr():
    key = find_key(endpoint_of(None, "beijing"), {"DASHSCOPE_API_KEY": KEY})
    assert KEY not in repr(key) + str(key) + f"{key}" + repr({"key": key})
    assert key.redacted(f"wrong key {KEY}") == "wrong key ***"


def test_private_endpoints_are_known_for_such():
    private = ["http://localhost", "http://10.1.1.1", "http://[fe80::1]", "http://nas.local", "http://box"]
    assert all(endpoint_of(url, "beijing").private for url in private)
    assert not endpoint_of("https://images.example", "beijing").private
    assert not Endpoint("https://dashscope.aliyuncs.com/x", "beijing").private
