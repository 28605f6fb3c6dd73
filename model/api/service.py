"""One request from its parsed body to its answer: admission, enhancement, the queue, the deadline, the store."""

from __future__ import annotations

import asyncio
import logging
import secrets
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from ..errors import ModelError, SizeError
from .batching import Batcher
from .engine import Enhancer, ImageEngine, Order, Rewritten
from .errors import ApiError, BusyError, ClosingError, DeadlineError, RequestError, ServiceError
from .metrics import Metrics
from .request import MAX_SEED, ImageRequest, check_prompt
from .room import Room
from .settings import Settings
from .store import ImageStore

log = logging.getLogger(__name__)
#: Prompts rewritten at once.
_ENHANCERS = 4
#: Seconds after its answer in which a picture is waited for by a closing server.
_FETCH_S = 5.0


@dataclass(frozen=True)
class Answered:
    """What became of a request. `name` is the picture's in the store."""

    name: str
    width: int
    height: int
    seed: int
    rewritten: Rewritten | None


class Service:
    """The parts of a running server. Lives in one event loop: `start` and `close` it there."""

    def __init__(self, engine: ImageEngine, settings: Settings, enhancer: Enhancer | None = None):
        self.engine, self.settings, self.enhancer = engine, settings, enhancer
        self.metrics = Metrics()
        self.store = ImageStore(settings.store_bytes, settings.store_ttl_s, self._evicted)
        self._room = Room(self.store, settings.store_bytes)
        self.closing = False
        self.admitted = 0
        self._batcher: Batcher | None = None
        self._enhancing = ThreadPoolExecutor(_ENHANCERS, thread_name_prefix="enhancer")

    @property
    def ready(self) -> bool:
        return self._batcher is not None and not self.closing

    def start(self) -> None:
        self._batcher = Batcher(
            self.engine,
            self.metrics,
            max_batch=self.settings.max_batch,
            max_batch_pixels=self.settings.max_batch_pixels,
        )
        self._batcher.start()

    async def drain(self) -> None:
        """Take nothing new, finish what is admitted, and let finished pictures be fetched, within `drain_s`."""
        self.closing = True
        loop = asyncio.get_running_loop()
        ends = loop.time() + self.settings.drain_s
        while self.admitted and loop.time() < ends:
            await asyncio.sleep(0.05)
        # Whoever was just answered still has to fetch; a picture nobody comes for must not hold the server for long.
        while self.store.unfetched(_FETCH_S) and loop.time() < ends:
            await asyncio.sleep(0.05)

    async def close(self) -> None:
        """End at once: what is still queued is dropped, the batch being made is waited for."""
        self.closing = True
        if self._batcher is not None:
            await self._batcher.abandon()
        self._enhancing.shutdown(wait=False, cancel_futures=True)
        self.store.close()

    async def answer(self, request: ImageRequest) -> Answered:
        """The picture of a request.

        Raises:
            RequestError: a size the engine does not make, or prompt_extend without an enhancer.
            BusyError: too many admitted. ClosingError: the server is closing. DeadlineError: not done in time.
            ServiceError: the engine, the enhancer or the disk failed.
        """
        self.check(request)
        if self.closing or self._batcher is None:
            raise ClosingError("the server is closing; try another, or later", retry_after_s=5)
        if self.admitted >= self.settings.max_admitted:
            raise BusyError(
                f"{self.admitted} requests are under way, which is the most; come back later",
                retry_after_s=self._batcher.retry_after_s,
            )
        self.admitted += 1
        self.metrics.in_flight.set(self.admitted)
        try:
            async with asyncio.timeout(self.settings.deadline_s):
                return await self._make(request, self._batcher)
        except TimeoutError as e:
            raise DeadlineError(
                f"not done within {self.settings.deadline_s:g} s; {self._batcher.waiting} orders are waiting"
            ) from e
        finally:
            self.admitted -= 1
            self.metrics.in_flight.set(self.admitted)

    def check(self, request: ImageRequest) -> None:
        """Raises RequestError for what this server does not make."""
        width, height, multiple = request.width, request.height, self.engine.multiple_px
        if width % multiple or height % multiple:
            nearest = "*".join(
                str(max(multiple, round(side / multiple) * multiple)) for side in (width, height)
            )
            raise RequestError(
                f"size {request.size}: sides must be multiples of {multiple}; nearest: {nearest}"
            )
        if width * height > self.settings.max_pixels:
            raise RequestError(
                f"size {request.size} has {width * height:,} pixels; this server makes at most "
                f"{self.settings.max_pixels:,}"
            )
        shortest, longest = self.engine.sides_px
        if min(width, height) < shortest or max(width, height) > longest:
            raise RequestError(
                f"size {request.size}: sides of this model run from {shortest} to {longest} px"
            )
        if request.prompt_extend and self.enhancer is None:
            raise RequestError("prompt_extend: this server rewrites no prompts; start it with --enhancer")

    async def _make(self, request: ImageRequest, batcher: Batcher) -> Answered:
        rewritten = await self._rewritten(request.prompt) if request.prompt_extend else None
        seed = secrets.randbelow(MAX_SEED + 1) if request.seed is None else request.seed
        prompt = rewritten.prompt if rewritten else request.prompt
        order = Order(prompt, request.width, request.height, seed)
        async with self._room.picture(order.width, order.height):
            made = await batcher.submit(order)
            if (made.width, made.height) != (order.width, order.height):
                log.error("the engine made %d*%d for %s", made.width, made.height, request.size)
                raise ServiceError("the model made another size than asked for")
            try:
                name = await asyncio.to_thread(self.store.put, made.png)
            except OSError as e:
                log.error("cannot keep a picture: %s", e)
                raise ServiceError("the server cannot keep the picture; its disk may be full") from e
        self.metrics.store_bytes.set(self.store.size_bytes)
        return Answered(name, made.width, made.height, seed, rewritten)

    async def _rewritten(self, prompt: str) -> Rewritten:
        assert self.enhancer is not None
        loop = asyncio.get_running_loop()
        try:
            found = await loop.run_in_executor(self._enhancing, self.enhancer, prompt)
            check_prompt(found.prompt)
        except Exception as e:
            log.exception("the enhancer failed")
            if isinstance(e, ApiError) and not isinstance(e, RequestError):
                raise
            raise ServiceError("the prompt could not be rewritten; send it without prompt_extend") from e
        return found

    def _evicted(self, fetched: bool) -> None:
        self.metrics.evicted.labels(str(fetched).lower()).inc()
        if not fetched:
            log.warning("a picture nobody had fetched was dropped for want of room; raise the store's size")


def as_api_error(error: ModelError) -> ApiError:
    """A model's own complaint as the wire carries it: about a size it is the caller's, about memory or NaN the server's."""
    if isinstance(error, ApiError):
        return error
    return RequestError(str(error)) if isinstance(error, SizeError) else ServiceError(str(error))
