"""Captioning through the test server: an honest model, requests, and what becomes of one picture."""

import asyncio
import dataclasses
import io
import json

from PIL import Image

from zcurate.captioner.captioning import Captioner, CaptionOptions, Rejected
from zcurate.captioner.chat import ChatError
from zcurate.captioner.engines import CaptionRequest
from zcurate.captioner.ocr.lines import OcrLine
from zcurate.captioner.vlm.openai_chat import OpenAiChat, Settings

from .good_answers import GOOD
from .server import Reply

#: Short waits between tries. An answer has so long that a busy machine never makes a timeout of it.
QUICK = Settings(
    timeout_s=30, tries=2, connects=2, timeouts=1, refusals=2, backoff_s=0.001, max_backoff_s=0.01
)
#: For servers that hang.
HURRIED = dataclasses.replace(QUICK, timeout_s=0.5)


def png(size=(160, 200), color=(200, 30, 40)) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", size, color).save(buffer, "PNG")
    return buffer.getvalue()


def request(**changes) -> CaptionRequest:
    values = {"sample_id": bytes(16), "image": png(), "width_px": 1600, "height_px": 2000}
    return CaptionRequest(**(values | changes))


def line(text, score=0.95) -> OcrLine:
    return OcrLine(text, "latin", score, (0.1, 0.1, 0.5, 0.2))


def schema_of(body):
    return body["response_format"]["json_schema"]["schema"]["properties"]


def is_ocr(body) -> bool:
    return set(schema_of(body)) == {"ocr"}


def honest(picture="poster", strings=None):
    """A model that sees one of the pictures with known captions and lettering, and answers what the schema asks."""
    known = GOOD[picture]
    strings = known["ocr"] if strings is None else strings

    def answer(body) -> dict:
        wanted = schema_of(body)
        made = {}
        for name in wanted:
            if name == "ocr":
                item = wanted["ocr"]["items"]["properties"]
                made["ocr"] = [
                    {k: v for k, v in dataclasses.asdict(s).items() if k in item and v is not None}
                    for s in strings
                ]
            elif name in ("en", "zh"):
                made[name] = {kind: known["answer"][name][kind] for kind in wanted[name]["properties"]}
            else:
                made[name] = known["answer"][name]
        return made

    return answer


def reply(answer, **changes):
    return lambda body: Reply(json.dumps(answer(body), ensure_ascii=False), **changes)


def run(server, wanted=None, pack="auto", settings=QUICK, **options):
    async def go():
        chat = OpenAiChat(f"{server.url}#test-model", settings)
        chat.load()
        try:
            return await Captioner(chat, pack, CaptionOptions(**options)).caption(wanted or request())
        finally:
            await chat.close()

    return asyncio.run(go())


def outcome(server, script, **options):
    server.script = script
    try:
        record = run(server, options.pop("wanted", None), **options)
    except Rejected as e:
        return f"rejected: {e.reason}", e
    except ChatError as e:
        return f"chat: {e.reason}", e
    return "captions", record
