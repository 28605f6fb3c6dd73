"""One event loop in a thread of its own: what waits for servers runs there, whoever calls (a notebook too)."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class LoopThread:
    """Starts with the first `run`. Objects bound to an event loop may be used by all its coroutines."""

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """The result of a coroutine. It is cancelled when this call is interrupted."""
        if self._loop is None:
            self._loop = asyncio.new_event_loop()
            # A daemon: an interrupted process must not wait for a server.
            threading.Thread(target=self._loop.run_forever, name="zcurate-loop", daemon=True).start()
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result()
        except BaseException:
            future.cancel()
            raise
