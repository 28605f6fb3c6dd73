"""Reviewed edit pairs as training conversations, by rehearsing them: `describe_pair` asks, and what is known answers.

So the questions are those of a real description, and every answer has passed its checks.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from ..answers import AnswerError
from ..chat import ChatAnswer, ChatRequest
from ..difference import Difference, Instruction, Side
from ..difference_asking import PairPack, describe_pair
from .reviewed import Taught, dumped


class _Done(Exception):  # noqa: N818 - no error: all that is wanted has been asked
    pass


class _Rehearsal:
    """A `Chat` that answers by heart, and keeps what it was asked."""

    engine, model, placeholder = "rehearsal", "rehearsal", False

    def __init__(self, answers: Sequence[tuple[str, str]]):
        self._answers = list(answers)
        self.taught: list[Taught] = []

    def load(self) -> None:
        pass

    async def ask(self, request: ChatRequest) -> ChatAnswer:
        if len(self.taught) == len(self._answers):
            raise _Done
        task, text = self._answers[len(self.taught)]
        self.taught.append(Taught(task, request, text))
        return ChatAnswer(text, "stop")

    async def close(self) -> None:
        pass


def pair_conversations(
    pack: PairPack,
    source: Side,
    target: Side,
    unchanged: str,
    differences: Sequence[Difference],
    said: Instruction,
    confirmed: bool = True,
    seed: int = 0,
) -> tuple[list[Taught], list[str]]:
    """What can be learned from one pair.

    Args:
        differences: from source to target. said: the instruction that people accepted, or wrote.
        confirmed: the instruction is as proposed, so the differences it was made from are taken to hold as well; of a
            corrected one only the instruction is taught.

    Returns:
        Conversations (`difference`, `instruction`), and `difference: why` where a check of the answers refused them.
    """
    listed = dumped({"unchanged": unchanged, "differences": [d.row() for d in differences]})
    answers = [("difference", listed), ("instruction", dumped({"en": said.en, "zh": said.zh}))]
    chat = _Rehearsal(answers)
    try:
        asyncio.run(describe_pair(chat, pack, source, target, tries=1, seed=seed))
    except _Done:
        pass
    except AnswerError as e:
        return [], [f"difference: {e.reason}"]
    if len(chat.taught) < len(answers):
        return [], ["difference: nothing differs"]
    return chat.taught if confirmed else chat.taught[1:], []
