"""The spend cap: never passed, shared by workers, kept over runs, and free for what is known."""

import asyncio
import multiprocessing
import os
import signal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zcurate.captioner.chat import ChatError, ChatRequest, ImagePart
from zcurate.captioner.vlm.journal import FileJournal, JournaledChat
from zcurate.captioner.vlm.openai_chat import OpenAiChat, Settings
from zcurate.captioner.vlm.spending import Budget, BudgetedChat, Prices

from .server import Reply, VlmServer


def client(server, **settings):
    return OpenAiChat(server.engine.removeprefix("openai:"), Settings(backoff_s=0.002, **settings))


def ask_all(chat, requests):
    async def run():
        found = await asyncio.gather(*map(chat.ask, requests), return_exceptions=True)
        await chat.close()
        return found

    return asyncio.run(run())


def requests(count, max_tokens=100):
    return [ChatRequest("s", (f"question {i}",), max_tokens=max_tokens) for i in range(count)]


@given(st.lists(st.tuples(st.integers(0, 3000), st.integers(0, 3000)), max_size=20), st.integers(0, 20_000))
def test_reservations_never_pass_the_cap(asked, cap):
    budget = Budget(Prices(2.0, 8.0, max_tokens=cap))

    async def run():
        for estimate in asked:
            if budget.spent().tokens + sum(estimate) > cap:
                with pytest.raises(ChatError) as caught:
                    await budget.reserve(*estimate)
                assert (caught.value.reason, caught.value.fatal) == ("spend_cap", True)
                continue
            await budget.reserve(*estimate)
            used = (estimate[0] // 2, estimate[1] // 3)
            assert budget.spent().tokens + budget.spent().reserved_tokens <= cap
            budget.settle(estimate, used)
            assert budget.spent().reserved_tokens == 0

    asyncio.run(run())
    assert budget.spent().tokens <= cap


def test_a_run_stops_below_its_cap(vlm_server, tmp_path):
    vlm_server.script = Reply("answer", tokens=(50, 40))
    prices = Prices(per_million_in=1.0, per_million_out=10.0, max_cost=0.01)  # an answer costs 0.00045
    chat = BudgetedChat(client(vlm_server), Budget(prices, str(tmp_path)))
    found = ask_all(chat, requests(60))
    errors = [e for e in found if isinstance(e, ChatError)]
    assert errors
    assert {(e.reason, e.fatal) for e in errors} == {("spend_cap", True)}
    assert "raise max_cost" in str(errors[0])
    answered = len(found) - len(errors)
    assert vlm_server.asked == answered
    spent = Budget(prices, str(tmp_path)).spent()
    assert spent.cost == pytest.approx(answered * 0.00045)
    assert spent.tokens == answered * 90
    assert 0.008 < spent.cost <= 0.01  # what is under way is waited for: the cap is used, not just respected
    # The next run goes on under the same cap.
    found = ask_all(BudgetedChat(client(vlm_server), Budget(prices, str(tmp_path))), requests(5))
    assert vlm_server.asked < answered + 5
    more = Prices(per_million_in=1.0, per_million_out=10.0, max_cost=1.0)
    found = ask_all(BudgetedChat(client(vlm_server), Budget(more, str(tmp_path))), requests(5))
    assert not [e for e in found if isinstance(e, ChatError)]


def test_what_the_journal_knows_costs_nothing(vlm_server, tmp_path):
    vlm_server.script = Reply("answer", tokens=(50, 40))
    prices = Prices(max_tokens=2000)

    def run():
        chat = BudgetedChat(client(vlm_server), Budget(prices, str(tmp_path / "spending")))
        return ask_all(JournaledChat(chat, FileJournal(str(tmp_path / "answers")), "m"), requests(5))

    first = run()
    spent = Budget(prices, str(tmp_path / "spending")).spent()
    assert spent.tokens == 450
    assert [a.text for a in run()] == [a.text for a in first]
    assert Budget(prices, str(tmp_path / "spending")).spent() == spent


def test_what_may_have_been_billed_is_counted(vlm_server):
    prices = Prices(max_tokens=100_000)
    request = requests(1)[0]
    estimate = sum(prices.estimate(request))
    for script, tokens in (
        (Reply("x", tokens=None), estimate),  # no usage
        (Reply("x", tokens=(7, 3)), 10),
        (Reply(drop="body"), estimate),
        (Reply("bad", status=400), 0),
        (Reply("no", status=401), 0),
    ):
        vlm_server.script = script
        budget = Budget(prices)
        ask_all(BudgetedChat(client(vlm_server, tries=1), budget), [request])
        assert (budget.spent().tokens, budget.spent().reserved_tokens) == (tokens, 0)


def test_estimates_bound_what_servers_count():
    request = ChatRequest(
        "系统提示" * 20, ("描述图片" * 30, ImagePart(b"x"), "text " * 50), {"type": "object"}, max_tokens=70
    )
    tokens_in, tokens_out = Prices(image_tokens=1000).estimate(request)
    assert tokens_out == 70
    # No tokenizer of the field makes more than one token per CJK character on average, or per 3 letters of English.
    assert tokens_in > 1000 + 4 * 20 + 4 * 30 + 50


@pytest.mark.parametrize(
    "bad",
    [
        {"per_million_in": -1.0},
        {"max_cost": float("inf"), "per_million_in": 1.0},
        {"max_cost": float("nan"), "per_million_in": 1.0},
        {"max_tokens": -5},
        {"max_cost": 3.0},
    ],
)
def test_prices_that_are_none(bad):
    with pytest.raises(ValueError, match=r"max_cost|per_million_in|max_tokens"):
        Prices(**bad)


def test_a_cap_is_not_kept_in_an_object_store():
    with pytest.raises(ValueError, match="local or shared folder"):
        Budget(Prices(max_tokens=1), "s3://bucket/x")


def test_a_damaged_sum_is_not_taken_for_nothing(tmp_path):
    (tmp_path / "spending.json").write_text('{"cost": ')
    with pytest.raises(ChatError, match=r"spending\.json.*damaged"):
        Budget(Prices(max_tokens=1), str(tmp_path))


def spend(engine, folder, count, cap):
    chat = OpenAiChat(engine.removeprefix("openai:"))
    ask_all(BudgetedChat(chat, Budget(Prices(max_tokens=cap), folder)), requests(count, 50))


def reserve_and_wait(folder, cap, ready):
    budget = Budget(Prices(max_tokens=cap), folder)
    asyncio.run(budget.reserve(100, 200))
    ready.set()
    signal.pause()


def test_workers_share_one_cap(tmp_path):
    context = multiprocessing.get_context("spawn")
    with VlmServer(Reply("x", tokens=(60, 40))) as server:
        workers = [
            context.Process(target=spend, args=(server.engine, str(tmp_path), 100, 5000)) for _ in range(2)
        ]
        for w in workers:
            w.start()
        for w in workers:
            w.join()
            assert w.exitcode == 0
        spent = Budget(Prices(max_tokens=5000), str(tmp_path)).spent()
        assert spent.tokens == 100 * server.asked
        assert 4500 < spent.tokens <= 5000
        assert spent.reserved_tokens == 0


def test_reservations_of_a_killed_worker_count_as_spent(tmp_path):
    context = multiprocessing.get_context("spawn")
    ready = context.Event()
    worker = context.Process(target=reserve_and_wait, args=(str(tmp_path), 1000, ready), daemon=True)
    worker.start()
    assert ready.wait(60)
    assert Budget(Prices(max_tokens=1000), str(tmp_path)).spent().reserved_tokens == 300

    async def wait_for_its_place():
        budget = Budget(Prices(max_tokens=1000), str(tmp_path))
        waiting = asyncio.create_task(budget.reserve(700, 50))
        await asyncio.sleep(0)
        assert not waiting.done()  # 300 + 750 pass the cap, 750 alone does not
        os.kill(worker.pid, signal.SIGKILL)
        worker.join()
        with pytest.raises(ChatError, match="max_tokens"):  # the 300 are spent now
            await waiting
        await budget.reserve(600, 50)
        return budget.spent()

    spent = asyncio.run(wait_for_its_place())
    assert (spent.tokens, spent.reserved_tokens) == (300, 650)
