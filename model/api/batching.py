"""A queue in front of an engine: orders of one size are made together, the oldest first.

While the engine makes a batch, the one before it is encoded: PNG takes long enough to keep a GPU waiting. No third batch
is held, so that memory does not depend on who is faster.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field

from ..errors import ModelError
from .engine import Encoded, ImageEngine, Made, Order
from .errors import ClosingError, ServiceError
from .metrics import Metrics

log = logging.getLogger(__name__)
_ENCODERS = 4


@dataclass(eq=False)
class _Waiting:
    order: Order
    done: asyncio.Future[Encoded]
    since: float = field(default_factory=time.monotonic)


class Batcher:
    """Collects orders into batches for one engine thread. Lives in one event loop.

    Args:
        max_batch: pictures made together at most.
        max_batch_pixels: their pixels together at most; one picture is always made.
        linger_s: how long an idle engine waits for a second order of a size, seconds.
    """

    def __init__(
        self,
        engine: ImageEngine,
        metrics: Metrics,
        *,
        max_batch: int = 4,
        max_batch_pixels: int = 4 * 1024 * 1024,
        linger_s: float = 0.01,
    ):
        self._engine = engine
        self._metrics = metrics
        self._max_batch = max_batch
        self._max_batch_pixels = max_batch_pixels
        self._linger_s = linger_s
        self._queue: deque[_Waiting] = deque()
        self._arrived = asyncio.Event()
        self._closing = False
        self._running = 0
        self._seconds_per_picture = 1.0
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="engine")
        self._encoders = ThreadPoolExecutor(_ENCODERS, thread_name_prefix="encoder")
        self._encoding: asyncio.Task[None] | None = None
        self._worker: asyncio.Task[None] | None = None

    @property
    def waiting(self) -> int:
        """Orders in the queue, without those being made."""
        return len(self._queue)

    @property
    def retry_after_s(self) -> int:
        """When a queue as long as this one will have been worked off, 1 to 60 seconds."""
        return min(60, max(1, math.ceil((self.waiting + self._running) * self._seconds_per_picture)))

    def start(self) -> None:
        self._worker = asyncio.create_task(self._work(), name="batcher")

    async def submit(self, order: Order) -> Encoded:
        """The picture of an order. Cancelling the call takes the order out of the queue.

        Raises:
            ClosingError: `close` was called.
            ModelError: what the engine says is wrong.
            ServiceError: the engine failed.
        """
        if self._closing:
            raise ClosingError("the server is closing; try another, or later")
        waiting = _Waiting(order, asyncio.get_running_loop().create_future())
        self._queue.append(waiting)
        self._arrived.set()
        self._metrics.queue.set(self.waiting)
        try:
            return await waiting.done
        finally:
            waiting.done.cancel()

    async def close(self) -> None:
        """Make what is queued, take nothing new, and end the engine's thread."""
        self._closing = True
        self._arrived.set()
        if self._worker is not None:
            await self._worker
        if self._encoding is not None:
            await self._encoding
        self._thread.shutdown(wait=True)
        self._encoders.shutdown(wait=True)

    async def abandon(self) -> None:
        """End without making what is queued; the batch in the engine cannot be stopped and is waited for."""
        self._closing = True
        for waiting in self._queue:
            waiting.done.cancel()
        await self.close()

    async def _work(self) -> None:
        while True:
            await self._arrived.wait()
            if not self._closing and len(self._queue) < self._max_batch:
                await asyncio.sleep(self._linger_s)
            batch = self._take()
            self._metrics.queue.set(self.waiting)
            if batch:
                await self._make(batch)
            elif self._closing:
                return
            else:
                self._arrived.clear()

    def _take(self) -> list[_Waiting]:
        """The oldest order and those of its size behind it; whoever gave up is left out."""
        alive = [w for w in self._queue if not w.done.done()]
        batch: list[_Waiting] = []
        rest: deque[_Waiting] = deque()
        for waiting in alive:
            first = batch[0].order if batch else waiting.order
            pixels = (len(batch) + 1) * first.width * first.height
            fits = len(batch) < self._max_batch and (not batch or pixels <= self._max_batch_pixels)
            same = (waiting.order.width, waiting.order.height) == (first.width, first.height)
            (batch if fits and same else rest).append(waiting)
        self._queue = rest
        return batch

    async def _make(self, batch: list[_Waiting]) -> None:
        for waiting in batch:
            self._metrics.wait_s.observe(time.monotonic() - waiting.since)
        self._metrics.batch_size.observe(len(batch))
        self._running = len(batch)
        started = time.monotonic()
        found = await self._outcome([w.order for w in batch])
        if isinstance(found, Exception) and len(batch) > 1:
            # One order must not fail those that happened to share its batch.
            log.warning("batch of %d failed (%s); making each alone", len(batch), type(found).__name__)
            outcomes: list[Made | Exception] = []
            for waiting in batch:
                alone = await self._outcome([waiting.order])
                outcomes.append(alone if isinstance(alone, Exception) else alone[0])
        else:
            outcomes = [found] if isinstance(found, Exception) else list(found)
        took = time.monotonic() - started
        self._metrics.generate_s.observe(took)
        self._seconds_per_picture += 0.3 * (took / len(batch) - self._seconds_per_picture)
        self._running = 0
        if self._encoding is not None:
            await self._encoding
        self._encoding = asyncio.create_task(self._encode(batch, outcomes))

    async def _encode(self, batch: list[_Waiting], outcomes: list[Made | Exception]) -> None:
        async def one(waiting: _Waiting, outcome: Made | Exception) -> None:
            if waiting.done.done():  # given up meanwhile
                return
            found = outcome if isinstance(outcome, Exception) else await self._encoded(outcome)
            with suppress(asyncio.InvalidStateError):
                if isinstance(found, Exception):
                    waiting.done.set_exception(found)
                else:
                    waiting.done.set_result(found)

        await asyncio.gather(*(one(w, o) for w, o in zip(batch, outcomes, strict=True)))

    async def _encoded(self, made: Made) -> Encoded | Exception:
        loop = asyncio.get_running_loop()
        try:
            png = await loop.run_in_executor(self._encoders, made.encode)
        except Exception:
            log.exception("a picture could not be encoded")
            return ServiceError("the picture could not be encoded; the server's log says why")
        return Encoded(png, made.width, made.height)

    async def _outcome(self, orders: list[Order]) -> list[Made] | Exception:
        loop = asyncio.get_running_loop()
        try:
            made = await loop.run_in_executor(self._thread, self._engine.generate, orders)
        except ModelError as e:
            return e
        except Exception:
            log.exception("the engine failed on %d orders", len(orders))
            return ServiceError("the model failed on this request; the server's log says why")
        if len(made) != len(orders):
            log.error("the engine made %d pictures for %d orders", len(made), len(orders))
            return ServiceError("the model made another number of pictures than asked for")
        return made
