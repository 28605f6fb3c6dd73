"""What is sent and what is understood: the chat protocol, pictures and reasoning blocks, without a server."""

import io
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from zcurate.captioner.chat import ChatRequest, ImagePart, Sampling
from zcurate.captioner.vlm.images import UrlCache, data_url, fit
from zcurate.captioner.vlm.wire import (
    BadBodyError,
    body_of,
    error_message,
    is_too_long,
    parse_completion,
    refused_feature,
    without_reasoning,
)

from .server import images_of, texts_of

any_text = st.text(st.characters(codec=None), max_size=60)


@given(any_text, st.lists(any_text | st.binary(min_size=1, max_size=30).map(ImagePart), max_size=6))
def test_texts_and_pictures_arrive_in_order_whatever_they_hold(system, parts):
    request = ChatRequest(system, tuple(parts))
    urls = [data_url(p.data, "image/png") for p in parts if isinstance(p, ImagePart)]
    body = json.loads(body_of(request, "m", urls, frozenset()))
    sent = [*([system] if system else []), *(p for p in parts if isinstance(p, str))]
    assert texts_of(body) == [t.encode("utf-8", "replace").decode() for t in sent]
    assert images_of(body) == [p.data for p in parts if isinstance(p, ImagePart)]
    kinds = ["text" if isinstance(p, str) else "image_url" for p in parts]
    assert [p["type"] for p in body["messages"][-1]["content"]] == kinds


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
odd_messages = st.fixed_dictionaries(
    {},
    optional={"content": json_values, "refusal": json_values, "reasoning_content": json_values},
)
odd_bodies = st.fixed_dictionaries(
    {
        "choices": st.lists(
            json_values
            | st.fixed_dictionaries(
                {"message": odd_messages | json_values}, optional={"finish_reason": json_values}
            ),
            max_size=2,
        )
    },
    optional={"usage": json_values, "model": json_values},
)


@given(json_values | odd_bodies)
def test_any_body_is_a_completion_or_refused(value):
    try:
        found = parse_completion(json.dumps(value).encode())
    except BadBodyError:
        return
    assert isinstance(found.text, str)
    assert found.text.strip() or found.finish_reason != "stop"
    assert all(n is None or (type(n) is int and n >= 0) for n in (found.tokens_in, found.tokens_out))


@given(st.binary(max_size=60))
def test_no_bytes_are_misread(data):
    with pytest.raises(BadBodyError):
        parse_completion(data)
    assert len(error_message(data)) <= 300
    assert error_message(data).isprintable()


@pytest.mark.parametrize(
    ("text", "rest"),
    [
        ("<think>a {b}\n</think>\n\n{}", "{}"),
        ("  <THINK>x</THINK>{}", "{}"),
        ("<think>never ends {", ""),
        ("the block began in the prompt</think>\n{}", "{}"),
        ('{"en": "a sign that says <think>"}', '{"en": "a sign that says <think>"}'),
        ("{} and then", "{} and then"),
        ("<think></think><think>b</think>{}", "<think>b</think>{}"),
    ],
)
def test_reasoning_is_taken_off_the_front(text, rest):
    assert without_reasoning(text) == rest


@pytest.mark.parametrize(
    ("message", "feature"),
    [
        ("Unrecognized request argument supplied: seed", "seed"),
        ("'response_format.type' must be 'json_object'", "response_format"),
        ("Invalid schema for structured_outputs", "response_format"),
        ("Unsupported value: 'temperature' does not support 0.0", "temperature"),
        ("Use 'max_completion_tokens' instead", "max_tokens"),
        ("max_tokens must be at least 1", None),
        ("bad request", None),
    ],
)
def test_what_a_complaint_is_about(message, feature):
    used = frozenset({"response_format", "seed", "temperature", "max_tokens"})
    assert refused_feature(message, used) == feature


@pytest.mark.parametrize(
    "message",
    [
        "This model's maximum context length is 16384 tokens. However, you requested 20000 tokens",
        "The decoder prompt (length 5000) is longer than the maximum model length of 4096. Increase max_model_len",
        "Input is too long: the request exceeds the available context size (4096 tokens)",
        "context_length_exceeded",
        "prompt is too long: 210000 tokens > 200000 maximum",
    ],
)
def test_messages_about_length(message):
    assert is_too_long(400, message)
    assert not is_too_long(400, "Unrecognized request argument supplied: seed")
    assert not is_too_long(400, "top_p must be in (0, 1]")
    assert is_too_long(413, "")


@settings(deadline=None, max_examples=60)
@given(
    st.integers(1, 300),
    st.integers(1, 300),
    st.integers(1, 40),
    st.sampled_from([1.0, 0.7, 0.5]),
    st.integers(1, 8),
    st.sampled_from(
        [("JPEG", "RGB"), ("JPEG", "L"), ("JPEG", "CMYK"), ("PNG", "RGBA"), ("PNG", "P"), ("WEBP", "RGB")]
    ),
)
def test_pictures_fit_and_keep_their_shape(width, height, tokens, scale, orientation, kind):
    form, mode = kind
    image = Image.new(mode, (width, height))
    exif = image.getexif()
    exif[0x0112] = orientation
    out = io.BytesIO()
    image.save(out, form, exif=exif)
    data, mime = fit(out.getvalue(), tokens, scale)
    with Image.open(io.BytesIO(data)) as fitted:
        upright = (height, width) if orientation > 4 else (width, height)
        assert fitted.format == mime.removeprefix("image/").upper()
        assert fitted.size[0] * fitted.size[1] <= max(tokens * 28 * 28, 300)
        expected = scale * min(1, (tokens * 28 * 28 / (width * height)) ** 0.5)
        for side, whole in zip(fitted.size, upright, strict=True):
            assert max(1, whole * expected - 1.01) <= side <= max(1, whole)
        assert fitted.getexif().get(0x0112, 1) == 1
        assert fitted.mode in ("RGB", "L")


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(1, 40)), max_size=40))
def test_the_cache_keeps_within_its_bytes_and_lies_never(puts):
    cache, truth = UrlCache(max_bytes=100), {}
    for number, size in puts:
        url = bytes([number]) * size
        cache.put(str(number), 1.0, url)
        truth[str(number)] = url
        held = {d: cache.get(d, 1.0) for d in truth}
        assert sum(len(u) for u in held.values() if u) <= 100
        assert held[str(number)] == url
        assert all(u is None or u == truth[d] for d, u in held.items())
        assert cache.get(str(number), 0.5) is None


def test_greedy_is_said():
    body = json.loads(body_of(ChatRequest("s", ("u",), sampling=Sampling()), "m", [], frozenset()))
    assert body["temperature"] == 0.0
