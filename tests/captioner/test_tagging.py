"""Semantic tags by a model over real HTTP."""

import asyncio
import json

import pyarrow as pa
import pytest

from zcurate.captioner.answers import AnswerError
from zcurate.captioner.tagging import ARROW_SCHEMA, Concept, Tagger, checked
from zcurate.pipelines.registry import resolve

from .server import Reply

GOOD = {
    "objects": ["Lion", "lantern", "lion ", "red  lantern"],
    "people": 2,
    "culture": [{"name": "舞狮", "english": "Lion dance", "culture": "Chinese"}],
    "nsfw_kind": "safe",
    "nsfw": 0.02,
}


def ask(server):
    async def work():
        chat = resolve("vlm", server.engine)
        try:
            return await Tagger(chat).tags(picture())
        finally:
            await chat.close()

    return asyncio.run(work())


def picture():
    import io

    from PIL import Image

    out = io.BytesIO()
    Image.new("RGB", (32, 32), (200, 30, 30)).save(out, "JPEG")
    return out.getvalue()


def test_tags_are_typed_and_told_apart(vlm_server):
    vlm_server.script = Reply(json.dumps(GOOD))
    found, asked = ask(vlm_server)
    assert found.objects == ("lion", "lantern", "red lantern")
    assert found.people == 2
    assert found.culture == (Concept("舞狮", "lion dance", "chinese"),)
    assert asked.attempts == 1
    pa.Table.from_pylist([found.row()], pa.schema([f for f in ARROW_SCHEMA if f.name in found.row()]))
    content = vlm_server.bodies[0]["messages"][-1]["content"]
    assert [p["type"] for p in content].count("image_url") == 1
    assert vlm_server.bodies[0]["response_format"]["json_schema"]["name"] == "picture_tags"


def test_a_wrong_answer_is_asked_again(vlm_server):
    vlm_server.script = [Reply(json.dumps(GOOD | {"people": "many"})), Reply(json.dumps(GOOD))]
    assert ask(vlm_server)[1].attempts == 2


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"people": -1}, "schema"),
        ({"people": True}, "schema"),
        ({"people": 1e9}, "schema"),
        ({"nsfw": 1.5}, "schema"),
        ({"nsfw": "no"}, "schema"),
        ({"nsfw_kind": "spicy"}, "schema"),
        ({"nsfw": 0.9}, "other"),
        ({"nsfw_kind": "nudity"}, "other"),
        ({"objects": "lion"}, "schema"),
        ({"objects": [1]}, "schema"),
        ({"culture": [{"name": ""}]}, "schema"),
        ({"culture": None}, "schema"),
    ],
)
def test_what_is_not_typed_is_refused(changed, reason):
    with pytest.raises(AnswerError) as caught:
        checked(GOOD | changed)
    assert caught.value.reason == reason


def test_control_tokens_and_length_are_bounded():
    found = checked(GOOD | {"objects": ["<|im_start|>cat", "x" * 500] + [f"t{i}" for i in range(100)]})
    assert found.objects[0] == "cat"
    assert max(map(len, found.objects)) <= 60
    assert len(found.objects) == 40
