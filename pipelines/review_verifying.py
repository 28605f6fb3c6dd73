"""The AI verifier of a review: a model that looks answers every element of a proposed caption, and the log notes what follows.

All elements shown: pass. One that is not: fail, with those that are not. Else (it cannot tell of one) no verdict is given: a
person looks. Verdicts are written as they come, so a stopped run goes on where it was.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from zcurate.captioner.answers import AnswerError
from zcurate.captioner.chat import ChatError
from zcurate.captioner.element_judge import ElementJudge
from zcurate.captioner.elements import Element, elements
from zcurate.captioner.vlm.spending import Budget, BudgetedChat, Prices
from zcurate.curation.active.review.decisions import ReviewLog, now_text
from zcurate.curation.active.review.states import AI, FAIL, PASS, Decision
from zcurate.curation.active.review.tasks import CAPTION, Task
from zcurate.curation.errors import ConfigError, ZcurateError

from . import registry
from .loop_thread import LoopThread
from .prompting import chat_of
from .review_pictures import Pictures
from .reviewing import ReviewOptions, log_path, prepare
from .view import open_view

#: Questions under way at once.
MOST = 16


def verify(
    url: str,
    log: Path | None,
    vlm: str,
    revision: str | None = None,
    limit: int | None = None,
    max_tokens: int | None = None,
    say: Callable[[str], None] = lambda text: None,
) -> dict[str, int]:
    """Ask a model about every caption task on which it has no verdict yet.

    Args:
        revision: which weights the server has, in your own words; another one is asked anew.
        limit: tasks at most, in the queue's order. max_tokens: stop before more are used, in and out together.
        say: is told beforehand how many questions there are and what they may take.

    Returns:
        pass, fail, undecided (it cannot tell), unanswered (no usable answer).

    Raises:
        ConfigError: a model that answers no questions, or a server's weights without a name.
        ZcurateError: the model cannot be reached, or the cap is reached; verdicts so far are kept.
    """
    engine = chat_of(vlm)
    identity = registry.identity(vlm, revision)
    if revision is None and "(unverified)" in identity:
        raise ConfigError(f"--revision: name the weights that {vlm!r} has, in your own words (e.g. 2026-01)")
    pictures = Pictures(open_view(url), [])
    prices = Prices(max_tokens=max_tokens)
    with ReviewLog(log_path(url, log)) as found:
        if not found.rows("SELECT 1 FROM tasks LIMIT 1"):
            prepare(url, ReviewOptions(what="captions"), found)
        judge = ElementJudge(BudgetedChat(engine, Budget(prices)))
        verifier = f"{identity} judging@{judge.pack.sha[:8]}"
        todo = [(task, claims) for task in _unjudged(found, verifier) if (claims := claims_of(task))][:limit]
        out = sum(256 + 64 * len(claims) for _, claims in todo)
        say(f"{len(todo):,} questions to {identity}, up to {out:,} tokens written")
        counts = LoopThread().run(_ask_all(found, judge, pictures, todo, verifier, engine))
    return {name: counts[name] for name in (PASS, FAIL, "undecided", "unanswered")}


def _unjudged(log: ReviewLog, verifier: str) -> Iterator[Task]:
    done = "SELECT task_id FROM decisions WHERE actor_kind = ? AND actor = ?"
    judged = {row[0] for row in log.rows(done, (AI, verifier))}
    return (task for task in log.tasks() if task.kind == CAPTION and task.id not in judged)


def claims_of(task: Task) -> tuple[Element, ...]:
    """The captioner's elements of which a task shows some: with all that a judge is told. () where none can be found."""
    wanted = [e.id for e in task.elements]
    for value in task.fields.values():
        if wanted and isinstance(value, str):
            known = {e.id: e for e in elements(value).elements}
            if all(i in known for i in wanted):
                return tuple(known[i] for i in wanted)
    return ()


async def _ask_all(
    log: ReviewLog,
    judge: ElementJudge,
    pictures: Pictures,
    todo: list[tuple[Task, tuple[Element, ...]]],
    verifier: str,
    engine: Any,
) -> Counter[str]:
    counts: Counter[str] = Counter()
    room = asyncio.Semaphore(MOST)
    engine.load()

    async def one(task: Task, claims: tuple[Element, ...]) -> None:
        async with room:
            try:
                image, _ = await asyncio.to_thread(pictures, task, 0, False)
                prompt = next(v for v in task.fields.values() if isinstance(v, str))
                verdicts, asked = await judge.judge(image, prompt, claims)
            except AnswerError:
                counts["unanswered"] += 1
                return
            except ChatError as e:
                if e.fatal:
                    raise ZcurateError(f"{verifier}: {e}; verdicts so far are kept") from e
                counts["unanswered"] += 1
                return
            off = [i for i, shown in verdicts.items() if shown is False]
            if not off and None in verdicts.values():
                counts["undecided"] += 1
                return
            action = FAIL if off else PASS
            counts[action] += 1
            body = {"unsatisfied": off, "shown": list(verdicts), "attempts": asked.attempts}
            body["unclear"] = [i for i, shown in verdicts.items() if shown is None]
            name = hashlib.sha256(f"{task.id}|{verifier}".encode()).hexdigest()[:32]
            decided = Decision(name, task.id, action, verifier, AI, now_text(), body)
            await asyncio.to_thread(log.append, [decided])

    try:
        async with asyncio.TaskGroup() as group:
            for task, claims in todo:
                group.create_task(one(task, claims))
    except* ZcurateError as e:
        raise e.exceptions[0] from None
    finally:
        await engine.close()
    return counts
