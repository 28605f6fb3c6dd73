"""How many requests are under way: found out, bounded, and given back."""

import asyncio
import math
import random

import pytest

from zcurate.captioner.chat import ChatRequest
from zcurate.captioner.vlm.openai_chat import OpenAiChat, Settings

from .client import GOOD, ask_all
from .server import Reply, VlmServer, faults, texts_of


@pytest.mark.parametrize("overload", ["reject", "queue"])
@pytest.mark.parametrize("capacity", [3, 20])
def test_concurrency_finds_the_capacity_by_itself(overload, capacity):
    numbers = 300
    script = lambda body: Reply(texts_of(body)[-1], delay_s=0.02)  # noqa: E731
    with VlmServer(script, capacity=capacity, overload=overload) as server:
        requests = [ChatRequest("s", (str(i),)) for i in range(numbers)]
        answers, chat = ask_all(server.engine, requests, Settings(backoff_s=0.01))
        assert [a.text for a in answers] == [str(i) for i in range(numbers)]  # each its own, none lost
        assert server.most_at_once == capacity
        assert chat.pace.in_flight == 0
        if overload == "reject":
            assert chat.pace.limit <= 3 * capacity
            assert server.rejected < 2 * numbers


def test_a_storm_of_faults_loses_nothing(vlm_server):
    luck = random.Random(5)
    bad = [
        faults(GOOD)[n]
        for n in ("rate_limit", "server_error", "dropped_before", "dropped_in_body", "unavailable")
    ]

    def script(body):
        return luck.choice(bad) if luck.random() < 0.3 else Reply(texts_of(body)[-1])

    vlm_server.script = script
    requests = [ChatRequest("s", (str(i),)) for i in range(200)]
    answers, chat = ask_all(vlm_server.engine, requests, Settings(backoff_s=0.002, tries=12, refusals=20))
    assert [a.text for a in answers] == [str(i) for i in range(200)]
    assert sum(a.attempts for a in answers) > 250
    assert chat.pace.in_flight == 0


def test_cancelled_questions_give_their_places_back(vlm_server):
    vlm_server.script = lambda b: Reply(GOOD, delay_s=math.inf if texts_of(b)[-1] == "hang" else 0)

    async def run():
        chat = OpenAiChat(vlm_server.engine.removeprefix("openai:"), Settings(start=2, most=2))
        hanging = [asyncio.create_task(chat.ask(ChatRequest("s", ("hang",)))) for _ in range(4)]
        while vlm_server.asked < 2:
            await asyncio.sleep(0.01)
        for task in hanging:
            task.cancel()
        await asyncio.gather(*hanging, return_exceptions=True)
        answer = await chat.ask(ChatRequest("s", ("hello",)))
        in_flight = chat.pace.in_flight
        await chat.close()
        return answer.text, in_flight

    assert asyncio.run(run()) == (GOOD, 0)
