"""A model as a stage talks to it: journal, spend cap, one event loop, and whose fault it is when nothing comes back."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Callable, Coroutine, Mapping
from contextvars import ContextVar
from typing import Any

import pyarrow as pa
from PIL import Image

from zcurate.captioner.chat import Chat, ChatAnswer, ChatError, ChatRequest, ImagePart
from zcurate.captioner.vlm.journal import AnswerStore, FileJournal, JournaledChat
from zcurate.captioner.vlm.spending import Budget, BudgetedChat, Prices
from zcurate.curation.concurrent_rows import map_rows_concurrently
from zcurate.curation.errors import ConfigError, StageStopError
from zcurate.curation.stage import RowMonitor, redone_rows
from zcurate.curation.store.answers import ROOT, OwnerLog
from zcurate.curation.store.storage import Storage
from zcurate.curation.uris import is_local

from .context import StageContext
from .loop_thread import LoopThread

#: Failures that may pass; other answers about the same picture will not be different.
_PASSING = ("transport", "timeout")
#: First wait for a model that answers nobody; it doubles.
_FIRST_WAIT_S = 2.0

#: The sample whose questions are asked; every row is a task of its own and so has its own value.
_asking: ContextVar[bytes | None] = ContextVar("asking", default=None)
#: It failed with the answers it got, and is to get others.
_anew: ContextVar[bool] = ContextVar("anew", default=False)


class StageChat:
    """Opened once per worker.

    Args:
        chat: the engine.
        identity: of the model, with its revision and all that is not in a request; part of every journal key.
        folder: of its answers, relative to the dataset (`answers_folder`); without a dataset (`ctx.dataset` empty)
            they are kept in memory only.
        prices: with the caps; the sum is kept beside the answers, for all workers and runs.
        rows_at_once: rows under way. How many requests that makes at a time is the engine's business.
        row_deadline_s: see `map_rows_concurrently`.
        patience_s: how long a model that answers nobody is waited for before the stage stops.
    """

    def __init__(
        self,
        chat: Chat,
        identity: str,
        folder: str,
        ctx: StageContext,
        stage: str,
        prices: Prices,
        rows_at_once: int,
        row_deadline_s: float,
        patience_s: float,
    ):
        self._rows_at_once, self._row_deadline_s = rows_at_once, row_deadline_s
        self._loop = LoopThread()
        self._heard = _Heard(chat)
        paid: Chat = self._heard
        if prices.max_cost is not None or prices.max_tokens is not None:
            paid = BudgetedChat(paid, Budget(prices, _spending_folder(ctx.dataset, stage)))
        self._paid = paid
        store: AnswerStore = _Memory()
        if ctx.dataset:
            options = dict(ctx.storage_options) if not is_local(ctx.dataset) else {}
            storage = Storage(ctx.dataset, options)
            journal = FileJournal(f"{storage.url}/{folder}", options)
            store = _Owned(journal, OwnerLog(storage, folder))
        self.chat: Chat = JournaledChat(paid, store, identity)
        self._patience_s = patience_s
        self._proving = asyncio.Lock()  # bound to the loop when first waited for
        self._outages = 0
        try:
            self.chat.load()
        except ChatError as e:
            raise StageStopError(str(e)) from e

    def map_rows(
        self,
        table: pa.Table,
        function: Callable[[dict[str, Any]], Coroutine[Any, Any, Mapping[str, Any]]],
        schema: pa.Schema,
        monitor: RowMonitor,
    ) -> pa.Table:
        """`map_rows_concurrently` of rows with a `sample_id`, in this stage's loop.

        Raises:
            StageStopError: what no other row could do better; the answers given so far are in the journal.
        """

        ids = table["sample_id"]
        anew = {ids[i].as_py() for i in redone_rows(table)}

        async def work() -> pa.Table:
            try:
                return await map_rows_concurrently(
                    table,
                    lambda row: self._row(function, row, row["sample_id"] in anew),
                    schema,
                    monitor,
                    self._rows_at_once,
                    self._row_deadline_s,
                )
            finally:
                await self.chat.close()  # flushes the journal; connections are made anew by the next shard

        return self._loop.run(work())

    async def _row(
        self,
        function: Callable[[dict[str, Any]], Coroutine[Any, Any, Mapping[str, Any]]],
        row: dict[str, Any],
        anew: bool,
    ) -> Mapping[str, Any]:
        _asking.set(row["sample_id"])
        _anew.set(anew)
        before = self._heard.answers
        again = False
        while True:
            try:
                return await function(row)
            except ChatError as e:
                if e.fatal:
                    raise StageStopError(str(e)) from e
                # Failures that may pass put the model to the proof, others (it may take no pictures at all) only
                # while nobody was answered.
                passing = e.reason in _PASSING
                if not (passing or self._heard.answers == before) or not await self._was_down(e) or again:
                    raise
                again = True

    async def _was_down(self, error: ChatError) -> bool:
        """A row failed: is it the row, or the model? A question tells that it must be able to answer.

        Waits until it does, at most `patience_s`, and says whether it had to. Raises StageStopError when it never does.
        """
        outages = self._outages
        async with self._proving:
            if self._outages > outages:
                return True  # somebody else has waited already
            waited, wait_s = 0.0, _FIRST_WAIT_S
            while True:
                try:
                    await self._paid.ask(_EASY)
                except ChatError as e:
                    if e.fatal or e.reason not in _PASSING or waited >= self._patience_s:
                        raise StageStopError(
                            f"{e} (after a gray picture and a short question, so the pictures are not at fault: no row is "
                            "held responsible; the same command goes on once the model answers)"
                        ) from error
                    wait_s = min(wait_s, self._patience_s - waited)
                    await asyncio.sleep(wait_s)
                    waited, wait_s = waited + wait_s, 2 * wait_s
                else:
                    self._outages += bool(waited)
                    return bool(waited)


class _Heard:
    """A Chat that counts the answers of another one."""

    placeholder = False

    def __init__(self, chat: Chat):
        self._chat, self.answers = chat, 0
        self.engine, self.model = chat.engine, chat.model

    def load(self) -> None:
        self._chat.load()

    async def ask(self, request: ChatRequest) -> ChatAnswer:
        answer = await self._chat.ask(request)
        self.answers += 1
        return answer

    async def close(self) -> None:
        await self._chat.close()


class _Owned:
    """An AnswerStore that notes for which sample an answer was asked, so that a takedown finds it, and that passes over
    the earlier answers of rows that are to be tried anew."""

    def __init__(self, store: FileJournal, owners: OwnerLog):
        self._store, self._owners = store, owners
        self._renewed: set[str] = set()

    def get(self, key: str) -> ChatAnswer | None:
        sample_id = _asking.get()
        if sample_id is not None and _anew.get() and key not in self._renewed:
            self._renewed.add(key)
            if self._store.get(self._owners.place(key)) is not None:
                self._owners.renew(sample_id, key)
        answer = self._store.get(self._owners.place(key))
        if answer is not None:
            self._note(key)
        return answer

    def put(self, key: str, answer: ChatAnswer) -> ChatAnswer:
        self._note(key)
        return self._store.put(self._owners.place(key), answer)

    def _note(self, key: str) -> None:
        sample_id = _asking.get()
        if sample_id is not None:
            self._owners.note(sample_id, self._owners.place(key))

    def close(self) -> None:
        self._owners.flush()
        self._store.close()


class _Memory:
    """An AnswerStore for stages outside of a dataset."""

    def __init__(self) -> None:
        self._answers: dict[str, ChatAnswer] = {}

    def get(self, key: str) -> ChatAnswer | None:
        return self._answers.get(key)

    def put(self, key: str, answer: ChatAnswer) -> ChatAnswer:
        return self._answers.setdefault(key, answer)

    def close(self) -> None:
        pass


def _spending_folder(dataset: str, stage: str) -> str | None:
    if not dataset:
        return None
    if not is_local(dataset):
        raise ConfigError(
            f"max_cost and max_tokens are counted in files that all workers lock: {dataset} cannot do that; "
            "build into a local or shared folder, or leave the caps out"
        )
    return f"{dataset}/{ROOT}/{stage.replace('/', '__')}"


def _gray_picture() -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (64, 64), (128, 128, 128)).save(out, "PNG")
    return out.getvalue()


#: Any model that sees can answer it.
_EASY = ChatRequest(
    "You answer questions about pictures.",
    (ImagePart(_gray_picture()), "Which color has this picture? Answer with one word."),
    max_tokens=16,
)
