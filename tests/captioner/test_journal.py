"""The journal of answers: nothing paid for is asked twice, whatever happened to its files."""

import asyncio
import json
import multiprocessing
import os
import signal
import warnings
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zcurate.captioner.chat import ChatAnswer, ChatError, ChatRequest, Sampling
from zcurate.captioner.vlm.journal import SUFFIX, FileJournal, JournaledChat
from zcurate.captioner.vlm.openai_chat import OpenAiChat, Settings

from .server import Reply, texts_of

ANSWER = ChatAnswer("门上的 text\n\u2028", "stop", 10, None, 1.5, 2, "model")


def key_of(number):
    return ChatRequest("s", (str(number),)).key("m")


def files_of(folder):
    return sorted(folder.glob(f"*{SUFFIX}"))


texts = st.text(st.characters(codec=None), max_size=40)  # lone surrogates too
answers = st.builds(
    ChatAnswer,
    texts,
    st.text(max_size=8),
    st.none() | st.integers(0, 10**6),
    st.none() | st.integers(0, 10**6),
    st.floats(0, 1e4),
    st.integers(0, 9),
    texts,
)


@given(st.lists(answers, min_size=1, max_size=5))
def test_answers_come_back_as_they_were(tmp_path_factory, given_answers):
    folder = tmp_path_factory.mktemp("journal")
    journal = FileJournal(str(folder))
    for number, answer in enumerate(given_answers):
        assert journal.put(key_of(number), answer) == answer
        assert journal.get(key_of(number)) == answer
    again = FileJournal(str(folder))  # without close: as after kill -9
    assert [again.get(key_of(n)) for n in range(len(given_answers))] == given_answers
    assert again.get(key_of(99)) is None
    assert again.skipped == 0


def test_the_first_answer_to_a_question_counts(tmp_path):
    journal = FileJournal(str(tmp_path))
    other = replace(ANSWER, text="another")
    assert journal.put(key_of(1), ANSWER) == ANSWER
    assert journal.put(key_of(1), other) == ANSWER
    assert FileJournal(str(tmp_path)).get(key_of(1)) == ANSWER
    assert FileJournal(f"file://{tmp_path}").get(key_of(1)) == ANSWER


def test_a_torn_end_loses_its_own_line_alone(tmp_path):
    journal = FileJournal(str(tmp_path))
    for number in range(3):
        journal.put(key_of(number), ANSWER)
    (file,) = files_of(tmp_path)
    whole = file.read_bytes()
    for cut in range(1, len(whole.splitlines()[-1]) + 1):
        file.write_bytes(whole[:-cut])
        again = FileJournal(str(tmp_path))
        kept = 3 if cut == 1 else 2  # only the line's end is missing: the answer is whole
        assert [again.get(key_of(n)) is not None for n in range(3)] == [True, True, kept == 3]
    # A new writer does not write behind the torn end.
    again.put(key_of(2), ANSWER)
    assert FileJournal(str(tmp_path)).get(key_of(2)) == ANSWER
    assert len(files_of(tmp_path)) == 2


@given(st.binary(max_size=200))
def test_whatever_lies_in_the_folder_is_no_answer(tmp_path_factory, junk):
    folder = tmp_path_factory.mktemp("journal")
    line = json.dumps({"key": key_of(1), **vars(ANSWER)}).encode()
    (folder / f"x{SUFFIX}").write_bytes(junk + b"\n" + line + b"\n" + junk)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert FileJournal(str(folder)).get(key_of(1)) == ANSWER


@pytest.mark.parametrize(
    "change",
    [
        {"text": None},
        {"text": 1},
        {"finish_reason": None},
        {"tokens_in": "1"},
        {"tokens_out": True},
        {"attempts": 1.5},
        {"seconds": "x"},
        {"extra": 1},
        {"key": "00"},
        {"key": None},
        {"model": []},
    ],
)
def test_lines_of_another_shape_are_asked_again(tmp_path, change):
    lines = [json.dumps({"key": key_of(1), **vars(ANSWER), **change})] * 3
    (tmp_path / f"x{SUFFIX}").write_text("\n".join(lines))
    with pytest.warns(UserWarning, match="3 lines .* damaged"):
        journal = FileJournal(str(tmp_path))
    assert journal.get(key_of(1)) is None
    assert len(journal) == 0


def write_until_killed(folder, start, ready):
    journal = FileJournal(folder)
    number = start
    while True:
        journal.put(key_of(number), replace(ANSWER, text=f"answer {number} " * 50))
        number += 1
        ready.value = number


def test_writers_at_once_and_kill(tmp_path):
    context = multiprocessing.get_context("spawn")
    counts = [context.Value("q", 0) for _ in range(2)]
    writers = [
        context.Process(target=write_until_killed, args=(str(tmp_path), 10**6 * i, c), daemon=True)
        for i, c in enumerate(counts)
    ]
    for w in writers:
        w.start()
    while any(c.value < 10**6 * i + 50 for i, c in enumerate(counts)):
        assert all(w.is_alive() for w in writers)
        os.sched_yield()
    for w in writers:
        os.kill(w.pid, signal.SIGKILL)
        w.join()
    journal = FileJournal(str(tmp_path))
    for i, count in enumerate(counts):
        for number in range(10**6 * i, count.value):
            assert journal.get(key_of(number)).text == f"answer {number} " * 50
    assert journal.skipped <= 2


def test_a_folder_behind_a_url(tmp_path):
    folder = f"memory://{tmp_path.name}/journal"
    journal = FileJournal(folder)
    for number in range(600):  # two full segments and one that waits for close
        journal.put(key_of(number), replace(ANSWER, text=str(number)))
    assert [journal.get(key_of(n)).text for n in range(600)] == [str(n) for n in range(600)]
    assert len(FileJournal(folder)) == 512
    journal.close()
    again = FileJournal(folder)
    assert [again.get(key_of(n)).text for n in range(600)] == [str(n) for n in range(600)]
    assert again.get(key_of(600)) is None


def test_only_new_questions_reach_the_server(tmp_path, vlm_server):
    vlm_server.script = lambda body: Reply(f"{texts_of(body)[-1]} {vlm_server.asked}")

    def ask(identity, *requests):
        async def run():
            chat = OpenAiChat(vlm_server.engine.removeprefix("openai:"), Settings(tries=1))
            journaled = JournaledChat(chat, FileJournal(str(tmp_path)), identity)
            assert (journaled.engine, journaled.placeholder) == ("openai", False)
            journaled.load()
            found = [await journaled.ask(r) for r in requests]
            await journaled.close()
            return found

        return asyncio.run(run())

    a, b = ChatRequest("s", ("a",)), ChatRequest("s", ("b",))
    first = ask("model@1", a, b, a)
    assert [x.text for x in first] == ["a 1", "b 2", "a 1"]
    assert [x.attempts for x in first] == [1, 1, 0]
    again = ask("model@1", b, a)
    assert [(x.text, x.attempts) for x in again] == [("b 2", 0), ("a 1", 0)]
    assert vlm_server.asked == 2
    assert ask("model@2", a)[0].text == "a 3"  # another model
    assert ask("model@1", a.with_sampling(Sampling(0.5, seed=1)))[0].text == "a 4"  # a varied retry
    vlm_server.script = Reply(status=500)
    with pytest.raises(ChatError):
        ask("model@1", ChatRequest("s", ("c",)))
    vlm_server.script = Reply("good")
    assert ask("model@1", ChatRequest("s", ("c",)))[0].text == "good"  # errors are not kept
