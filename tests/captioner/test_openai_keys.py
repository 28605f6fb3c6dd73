"""Keys go to the host they belong to and are seen nowhere else."""

import pytest

from zcurate.captioner.chat import ChatError, ChatRequest
from zcurate.captioner.vlm.address import AddressError, find_key, parse_address

from .client import GOOD, KEYS, ask, ask_all
from .server import Reply, VlmServer


@pytest.fixture(autouse=True)
def _no_keys(monkeypatch):
    for name in KEYS:
        monkeypatch.delenv(name, raising=False)


SECRET = "sk-very-secret-4711"


def headers_sent(server):
    return {s.headers.get("Authorization") for s in server.seen}


def test_a_key_reaches_its_server_and_nothing_else(vlm_server, monkeypatch, caplog):
    monkeypatch.setenv("ZCURATE_VLM_API_KEY", SECRET)
    monkeypatch.setenv("OPENAI_API_KEY", "sk-other")
    vlm_server.script = Reply(GOOD)
    _, chat = ask_all(vlm_server.engine, [ChatRequest("s", ("u",))])
    assert headers_sent(vlm_server) == {f"Bearer {SECRET}"}
    assert SECRET not in repr(vars(chat)) + str(chat) + repr(chat)
    # Servers like to quote keys, and libraries to print requests.
    for reply in (
        Reply(f"Incorrect API key provided: {SECRET}", status=401),
        Reply(f"key {SECRET} is over its quota", status=400),
        Reply(f"{SECRET}", status=500),
        Reply(drop="before"),
        Reply(drop="body"),
    ):
        vlm_server.script = reply
        with pytest.raises(ChatError) as caught:
            ask(vlm_server, ChatRequest("s", ("u",)))
        shown, error = "", caught.value
        while error is not None:
            shown += f"{error!r} {error} {vars(error)}"
            error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
        assert SECRET not in shown
    assert SECRET not in caplog.text


def test_a_redirect_is_not_followed(vlm_server, monkeypatch):
    monkeypatch.setenv("ZCURATE_VLM_API_KEY", SECRET)
    with VlmServer() as other:
        location = {"Location": f"{other.url}/chat/completions"}
        for status in (301, 302, 307, 308):
            vlm_server.script = Reply("", status=status, headers=location)
            with pytest.raises(ChatError, match="redirects") as caught:
                ask(vlm_server, ChatRequest("s", ("u",)))
            assert caught.value.fatal
        assert not other.seen


@pytest.mark.parametrize(
    ("url", "environment", "key"),
    [
        ("http://127.0.0.1:8000/v1", {"ZCURATE_VLM_API_KEY": "k"}, "k"),
        ("http://localhost:8000/v1", {"ZCURATE_VLM_API_KEY": "k"}, "k"),
        ("http://vllm:8000/v1", {"ZCURATE_VLM_API_KEY": "k"}, "k"),
        ("http://10.1.2.3/v1", {"ZCURATE_VLM_API_KEY": "k"}, "k"),
        ("http://127.0.0.1:8000/v1", {"ZCURATE_VLM_API_KEY": "k", "ZCURATE_VLM_API_HOST": "a.example"}, None),
        ("http://127.0.0.1:8000/v1", {"OPENAI_API_KEY": "o"}, None),
        ("https://api.openai.com/v1", {"OPENAI_API_KEY": "o"}, "o"),
        ("https://api.openai.com.evil.example/v1", {"OPENAI_API_KEY": "o"}, None),
        ("http://api.openai.com/v1", {"OPENAI_API_KEY": "o"}, None),
        (
            "https://a.example/v1",
            {"ZCURATE_VLM_API_KEY": "k", "ZCURATE_VLM_API_HOST": "b.example, A.example"},
            "k",
        ),
        (
            "https://a.example:8443/v1",
            {"ZCURATE_VLM_API_KEY": "k", "ZCURATE_VLM_API_HOST": "a.example:8443"},
            "k",
        ),
        ("https://a.example/v1", {"ZCURATE_VLM_API_KEY": "k", "ZCURATE_VLM_API_HOST": "b.example"}, None),
        ("https://a.example/v1", {"ZCURATE_VLM_API_KEY": "k"}, ChatError),
        ("http://a.example/v1", {"ZCURATE_VLM_API_KEY": "k", "ZCURATE_VLM_API_HOST": "a.example"}, ChatError),
        ("https://a.example/v1", {}, None),
    ],
)
def test_keys_go_only_to_the_host_they_belong_to(url, environment, key):
    address = parse_address(f"{url}#m")
    if key is ChatError:
        with pytest.raises(ChatError) as caught:
            find_key(address, environment)
        assert (caught.value.reason, caught.value.fatal) == ("auth", True)
        return
    found = find_key(address, environment)
    assert (found and found.reveal()) == key


@pytest.mark.parametrize(
    "argument",
    [
        "",
        "localhost:8000#m",
        "ftp://host/v1#m",
        "http://host/v1",
        "http://host/v1#",
        "http://#m",
        "http://user:pass@host/v1#m",
        "http://host/v1?key=1#m",
        "http://host:99999/v1#m",
        "http://host/v1#a b",
    ],
)
def test_wrong_addresses(argument):
    with pytest.raises(AddressError) as caught:
        parse_address(argument)
    assert "pass" not in str(caught.value).replace("password", "")
