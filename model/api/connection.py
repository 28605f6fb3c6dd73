"""One connection of the server, given up when its peer is too slow to be anything but a fault or an attack."""

from __future__ import annotations

import asyncio
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol


class Connection(H11Protocol):
    """uvicorn's connection, which by itself waits forever for the end of a request's head and for a peer to read.

    Args:
        head_s: seconds in which a request's head must arrive, and the rest of a body whose request is answered already.
        stall_s: seconds that a full send buffer may stay full.
    """

    def __init__(self, *args: Any, head_s: float, stall_s: float, **kwargs: Any):
        super().__init__(*args, **kwargs)
        self._head_s, self._stall_s = head_s, stall_s
        self._head: asyncio.TimerHandle | None = None
        self._stall: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        self._head = _cancelled(self._head)
        self._stall = _cancelled(self._stall)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._watch()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._watch()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._stall = self.loop.call_later(self._stall_s, self.transport.abort)

    def resume_writing(self) -> None:
        self._stall = _cancelled(self._stall)
        super().resume_writing()

    def _watch(self) -> None:
        """The clock runs from the first moment of waiting, so that single bytes do not put it back."""
        answered = self.cycle is not None and self.cycle.response_complete
        theirs = self.conn.their_state
        if theirs is h11.IDLE or (theirs is h11.SEND_BODY and answered):
            self._head = self._head or self.loop.call_later(self._head_s, self.transport.abort)
        else:
            self._head = _cancelled(self._head)


def _cancelled(timer: asyncio.TimerHandle | None) -> None:
    if timer is not None:
        timer.cancel()
