"""The AI verifier of a review: a model that looks answers what a proposal claims, and the log notes what follows.

Of a caption it looks for every element; of an edit pair it checks every instruction, that all else is kept, and for traces.
All met: pass. One that is not: fail, with those that are not. Else (it cannot tell of one) no verdict is given: a
person looks. Who wrote a proposal is not told. Verdicts are written as they come, so a stopped run goes on where it was.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from zcurate.captioner.answers import AnswerError
from zcurate.captioner.chat import ChatError
from zcurate.captioner.element_judge import ElementJudge
from zcurate.captioner.elements import Element, elements
from zcurate.captioner.pair_judge import LOOK, REST, PairElementJudge, tokens_of
from zcurate.captioner.vlm.spending import Budget, BudgetedChat, Prices
from zcurate.curation.active.review.decisions import ReviewLog, now_text
from zcurate.curation.active.review.routing import BALANCED
from zcurate.curation.active.review.states import AI, FAIL, PASS, Decision
from zcurate.curation.active.review.tasks import CAPTION, PAIR, Task
from zcurate.curation.errors import ConfigError, DatasetError, SampleError, ZcurateError
from zcurate.curation.store import Dataset

from . import registry
from .edit_tables import pair_sets
from .loop_thread import LoopThread
from .prompting import chat_of
from .review_pictures import Pictures
from .reviewing import KINDS, ReviewOptions, all_tasks, has_pairs, log_path
from .view import open_view

#: Questions under way at once.
MOST = 16


@dataclass(frozen=True)
class Verdicts:
    """What a model said of one task.

    Attributes:
        shown: element id -> met, None where it cannot tell.
        attempts: answers drawn. facts: JSON-able, for the log.
    """

    shown: Mapping[str, bool | None]
    attempts: int
    facts: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Question:
    """A task that can be asked about. `tokens_out`: that an answer may take."""

    task: Task
    verifier: str
    tokens_out: int
    ask: Callable[[], Awaitable[Verdicts]]


def verify(
    url: str,
    log: Path | None,
    vlm: str,
    revision: str | None = None,
    limit: int | None = None,
    max_tokens: int | None = None,
    say: Callable[[str], None] = lambda text: None,
    what: str = "all",
    reward: Path | None = None,
    order: str = BALANCED,
) -> dict[str, int]:
    """Ask a model about every task on which it has no verdict yet.

    Args:
        revision: which weights the server has, in your own words; another one is asked anew.
        limit: tasks at most, in the queue's order. max_tokens: stop before more are used, in and out together.
        say: is told beforehand how many questions there are and what they may take.
        what: of `reviewing.KINDS`. reward, order: as of `ReviewOptions`; with a reward the queue is ordered anew.

    Returns:
        pass, fail, undecided (it cannot tell), unanswered (no usable answer, or a picture that cannot be read).

    Raises:
        ConfigError: a model that answers no questions, a server's weights without a name, or an unknown kind.
        DatasetError: nothing of that kind to review.
        ZcurateError: the model cannot be reached, or the cap is reached; verdicts so far are kept.
    """
    engine = chat_of(vlm)
    identity = registry.identity(vlm, revision)
    if revision is None and "(unverified)" in identity:
        raise ConfigError(f"--revision: name the weights that {vlm!r} has, in your own words (e.g. 2026-01)")
    if what not in KINDS:
        raise ConfigError(f"--what {what!r}: choose {', '.join(KINDS)}")
    is_child = "parent" in Dataset.open(url).facts
    pictures = Pictures(None if is_child else open_view(url), pair_sets(url) if has_pairs(url) else [])
    with ReviewLog(log_path(url, log)) as found:
        _proposed(url, ReviewOptions(what=what, reward=reward, order=order), found)
        chat = BudgetedChat(engine, Budget(Prices(max_tokens=max_tokens)))
        todo = list(_questions(found, KINDS[what], chat, identity, pictures))[:limit]
        out = sum(q.tokens_out for q in todo)
        say(f"{len(todo):,} questions to {identity}, up to {out:,} tokens written")
        counts = LoopThread().run(_ask_all(found, todo, engine))
    return {name: counts[name] for name in (PASS, FAIL, "undecided", "unanswered")}


def _proposed(url: str, options: ReviewOptions, log: ReviewLog) -> None:
    """Put in tasks of kinds that the log has none of yet, or all of them with a reward; others stay as they are."""
    known = {kind for (kind,) in log.rows("SELECT DISTINCT kind FROM tasks WHERE current = 1")}
    kinds = KINDS[options.what]
    missing = [kind for kind in kinds if kind not in known or options.reward]
    if not missing and options.order == BALANCED:
        return
    some = len(missing) < len(kinds)
    if some and missing:
        options = replace(options, what={CAPTION: "captions", PAIR: "pairs"}[missing[0]])
    try:
        tasks = all_tasks(url, options)
    except DatasetError:
        if not some:
            raise
        return
    log.sync_tasks(tasks, partial=True)


def _questions(
    log: ReviewLog, kinds: tuple[str, ...], chat: Any, identity: str, pictures: Pictures
) -> Iterator[Question]:
    """What this model has not judged yet, in the queue's order."""
    claims_judge, pair_judge = ElementJudge(chat), PairElementJudge(chat)
    names = {
        CAPTION: f"{identity} judging@{claims_judge.pack.sha[:8]}",
        PAIR: f"{identity} judging_pair@{pair_judge.pack.sha[:8]}",
    }
    done = "SELECT task_id FROM decisions WHERE actor_kind = ? AND actor = ?"
    judged = {kind: {row[0] for row in log.rows(done, (AI, name))} for kind, name in names.items()}
    for task in log.tasks():
        if task.kind not in kinds or task.id in judged[task.kind]:
            continue
        if task.kind == CAPTION:
            if claims := claims_of(task):
                ask = _of_caption(claims_judge, pictures, task, claims)
                yield Question(task, names[CAPTION], 256 + 64 * len(claims), ask)
        elif task.fields:
            ask = _of_pair(pair_judge, pictures, task)
            yield Question(task, names[PAIR], tokens_of(len(task.fields)), ask)


def claims_of(task: Task) -> tuple[Element, ...]:
    """The captioner's elements of which a task shows some: with all that a judge is told. () where none can be found."""
    wanted = [e.id for e in task.elements]
    for value in task.fields.values():
        if wanted and isinstance(value, str):
            known = {e.id: e for e in elements(value).elements}
            if all(i in known for i in wanted):
                return tuple(known[i] for i in wanted)
    return ()


def _of_caption(
    judge: ElementJudge, pictures: Pictures, task: Task, claims: tuple[Element, ...]
) -> Callable[[], Awaitable[Verdicts]]:
    async def ask() -> Verdicts:
        image, _ = await asyncio.to_thread(pictures, task, 0, False)
        prompt = next(v for v in task.fields.values() if isinstance(v, str))
        shown, asked = await judge.judge(image, prompt, claims)
        return Verdicts(shown, asked.attempts)

    return ask


def _of_pair(judge: PairElementJudge, pictures: Pictures, task: Task) -> Callable[[], Awaitable[Verdicts]]:
    async def ask() -> Verdicts:
        read = [(await asyncio.to_thread(pictures, task, i, False))[0] for i in range(len(task.pictures))]
        roles = [p.role for p in task.pictures]
        target = read[roles.index("target")]
        sources = [data for data, role in zip(read, roles, strict=True) if role == "source"]
        instructions = {name: str(text) for name, text in task.fields.items()}
        met, asked = await judge.judge(sources, target, instructions)
        said = {name: met[name] for name in instructions}
        # The change is right when every language says it: a pair is trained with any of them.
        shown = {"instruction": together(said.values()), REST: met[REST], LOOK: met[LOOK]}
        known = {e.id for e in task.elements}
        return Verdicts(
            {i: v for i, v in shown.items() if i in known}, asked.attempts, {"instructions": said}
        )

    return ask


def together(verdicts: Any) -> bool | None:
    """True when all are, False when one is not, else None."""
    found = list(verdicts)
    return False if False in found else None if None in found else True


async def _ask_all(log: ReviewLog, todo: list[Question], engine: Any) -> Counter[str]:
    counts: Counter[str] = Counter()
    room = asyncio.Semaphore(MOST)
    engine.load()

    async def one(q: Question) -> None:
        async with room:
            try:
                found = await q.ask()
            except (AnswerError, SampleError, DatasetError):
                counts["unanswered"] += 1
                return
            except ChatError as e:
                if e.fatal:
                    raise ZcurateError(f"{q.verifier}: {e}; verdicts so far are kept") from e
                counts["unanswered"] += 1
                return
            off = [i for i, shown in found.shown.items() if shown is False]
            if together(found.shown.values()) is None:
                counts["undecided"] += 1
                return
            action = FAIL if off else PASS
            counts[action] += 1
            body = {"unsatisfied": off, "shown": list(found.shown), "attempts": found.attempts, **found.facts}
            body["unclear"] = [i for i, shown in found.shown.items() if shown is None]
            name = hashlib.sha256(f"{q.task.id}|{q.verifier}".encode()).hexdigest()[:32]
            decided = Decision(name, q.task.id, action, q.verifier, AI, now_text(), body)
            await asyncio.to_thread(log.append, [decided])

    try:
        async with asyncio.TaskGroup() as group:
            for question in todo:
                group.create_task(one(question))
    except* ZcurateError as e:
        raise e.exceptions[0] from None
    finally:
        await engine.close()
    return counts
