"""Space of the store for pictures still to be made, so that no picture is dropped before its client could fetch it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from .store import ImageStore

#: Seconds for which a picture nobody has fetched keeps its place.
_GRACE_S = 30.0
_POLL_S = 0.02
#: Metadata of a PNG beside its pixels.
_EXTRA_BYTES = 16 << 10


class Room:
    """Gives out the store's space in order of asking. Lives in one event loop.

    An answered client fetches a moment later; where many are answered at once, the pictures of those who are late would
    be the oldest of a full store. Making waits for them instead, for a while.
    """

    def __init__(self, store: ImageStore, max_bytes: int):
        self._store, self._max_bytes = store, max_bytes
        self._promised = 0
        self._turn = asyncio.Lock()  # first come, first served

    @asynccontextmanager
    async def picture(self, width: int, height: int) -> AsyncIterator[None]:
        """Space for a picture, held until it is in the store; a picture larger than the store gets all of it."""
        need = 3 * width * height + _EXTRA_BYTES
        async with self._turn:
            while (taken := self._promised + self._store.unfetched_bytes(_GRACE_S)) and (
                taken + need > self._max_bytes
            ):
                await asyncio.sleep(_POLL_S)
            self._promised += need
        try:
            yield
        finally:
            self._promised -= need
