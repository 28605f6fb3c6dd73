"""Asking a test server through the real client."""

import asyncio
import io
from dataclasses import replace

from PIL import Image

from zcurate.captioner.chat import ChatError, ImagePart
from zcurate.captioner.vlm.openai_chat import OpenAiChat, Settings

GOOD = '{"en": "a red sign", "zh": "红色招牌"}'
SCHEMA = {"type": "object", "properties": {"en": {"type": "string"}}, "required": ["en"]}
#: Short waits between tries. An answer has so long that a busy machine never makes a timeout of it.
QUICK = Settings(timeout_s=30, connect_s=30, backoff_s=0.002, tries=3, refusals=4, connects=2)
#: For servers that hang.
HURRIED = replace(QUICK, timeout_s=0.4)
KEYS = ("ZCURATE_VLM_API_KEY", "ZCURATE_VLM_API_HOST", "OPENAI_API_KEY")


def ask_all(engine, requests, settings=QUICK):
    """Answers or ChatErrors of all requests at once, and the client."""

    async def run():
        chat = OpenAiChat(engine.removeprefix("openai:"), settings)
        chat.load()
        try:
            return await asyncio.gather(*map(chat.ask, requests), return_exceptions=True), chat
        finally:
            await chat.close()
            await chat.close()

    answers, chat = asyncio.run(run())
    for answer in answers:
        if isinstance(answer, BaseException) and not isinstance(answer, ChatError):
            raise answer
    return answers, chat


def ask(server, request, settings=QUICK):
    """The answer to one request; raises its ChatError."""
    answers, chat = ask_all(server.engine, [request], settings)
    if isinstance(answers[0], ChatError):
        raise answers[0]
    return answers[0]


def picture(width=60, height=40, color="red", form="JPEG", mode="RGB", **options):
    out = io.BytesIO()
    Image.new(mode, (width, height), color).save(out, form, **options)
    return ImagePart(out.getvalue())
