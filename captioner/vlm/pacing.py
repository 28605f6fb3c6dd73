"""How many requests may be under way at one server: found out from its refusals and its latency, never told.

Two kinds of server need two kinds of evidence:

- One that refuses (429, 503): what is left under way after a refusal is what it takes. The limit drops to that at
  once and feels upward again, one more after a number of answers that doubles with each refused attempt.
- One that queues: by Little's law a limit of n with mean latency L serves n / L per second, so a larger limit that
  only lengthens L gains nothing. The limit grows while latency stays, and settles at a little over throughput
  times the latency before the queue (the bandwidth-delay product, as BBR does for networks).
"""

from __future__ import annotations

import asyncio
import math
import time
from collections import deque
from dataclasses import dataclass

#: Enough to keep a server of that capacity busy from the first moment; a server of one slot works them off in order.
START = 128
MAX_IN_FLIGHT = 1024
#: Growth per epoch: fast until the first sign of a queue, then careful.
_FAST, _CAREFUL = 2.0, 1.5
#: Latency over that of the lightly loaded server: above the first a server queues; above the second the limit shrinks.
_QUEUES, _SHRINKS = 1.5, 2.0
_OVER = 1.25  # limit over the bandwidth-delay product, for answers of uneven length
_EPOCHS_AT_REST = 8  # between attempts to grow once settled
_SLOWEST_PROBE = 64  # answers between attempts to grow, at a server that refuses
_WAVE_S = 0.05


@dataclass
class Ticket:
    """A place under way. `epoch` is the setting it was given out under; None when it says nothing about latency."""

    started: float
    epoch: int | None
    order: int = 0
    kept: bool = False


class Pace:
    """Gives out places; every place comes back through exactly one of `answered`, `refused` and `failed`.

    Belongs to one event loop. Attributes to watch: `limit`, `in_flight`, `refusals`.
    """

    def __init__(self, start: int = START, most: int = MAX_IN_FLIGHT):
        self.limit, self.most = min(start, most), most
        self.in_flight = self.refusals = 0
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._paused_until = 0.0
        self._row_of_refusals = 0
        # A server that refuses.
        self._refuses = False
        self._probe_after, self._step, self._since, self._probing = 1, 1, 0, False
        self._reacted = self._raised = 0.0
        # A server that queues.
        self._epoch, self._given = 0, 0
        self._latencies: dict[int, float] = {}
        self._fast, self._rest = True, 0
        self._unloaded_s = math.nan
        self._before: tuple[int, float] | None = None  # limit and latency of the last epoch that was accepted
        # Faults: shares of them, not single ones, lower the limit.
        self._outcomes = self._faults = 0

    async def enter(self, first: bool = False) -> Ticket:
        """Wait for a place. `first`: before all others that wait, for a request that already had one."""
        if self._open() and (first or not self._waiting):
            self.in_flight += 1
        else:
            place: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            if first:
                self._waiting.appendleft(place)
            else:
                self._waiting.append(place)
            try:
                await place  # handed over: in_flight counts it already
            except asyncio.CancelledError:
                if place.done() and not place.cancelled():
                    self._leave()
                raise
        busy = self._fast or self.in_flight >= 0.9 * self.limit
        self._given += busy
        return Ticket(time.monotonic(), self._epoch if busy else None, self._given - 1)

    def _open(self) -> bool:
        return self.in_flight < self.limit and time.monotonic() >= self._paused_until

    def _leave(self) -> None:
        self.in_flight -= 1
        self._fill()

    def _fill(self) -> None:
        while self._waiting and self._open():
            place = self._waiting.popleft()
            if not place.done():  # else its owner was cancelled
                place.set_result(None)
                self.in_flight += 1

    def _pause(self, wait_s: float) -> None:
        until = time.monotonic() + wait_s
        if until > self._paused_until:
            self._paused_until = until
            asyncio.get_running_loop().call_later(wait_s + 0.001, self._fill)

    def answered(self, ticket: Ticket, measured: bool = True) -> None:
        """An answer came. Not `measured`: a quick "no" that says nothing about how long answers take."""
        self._row_of_refusals = 0
        self._count(fault=False)
        busy = bool(self._waiting)
        if self._refuses:
            self._feel_upward(ticket, busy)
        elif measured and ticket.epoch == self._epoch:
            self._measure(ticket, time.monotonic() - ticket.started)
        self._leave()

    def refused(self, ticket: Ticket, wait_s: float | None = None) -> bool:
        """429 or its like. `wait_s`: what the server asked for; when it refuses all, nothing is sent that long.

        Returns True where the place is kept: the limit was good until now, so a place at the server is likely about to
        become free. The request is to be sent again, after a moment, under the same ticket.
        """
        self.refusals += 1
        self._row_of_refusals += 1
        steady = self._refuses and not self._probing and ticket.started >= self._reacted
        if steady and not ticket.kept and not wait_s and self._row_of_refusals < 3:
            ticket.kept = True
            return True
        self.in_flight -= 1
        self._refuses = True
        self.limit = max(1, min(self.limit, self.in_flight))
        if ticket.started >= self._reacted:  # else of the same wave as the refusal before
            most = max(_SLOWEST_PROBE, 2 * self.limit)
            self._probe_after = min(self._probe_after * 2, most) if self._probing else 1
            self._step, self._since, self._probing = 1, 0, False
            self._reacted = time.monotonic()
        if wait_s and self._row_of_refusals > 1:
            self._pause(wait_s)
        self._fill()
        return False

    def failed(self, ticket: Ticket) -> None:
        """A broken connection, a server error or no answer in time."""
        self._count(fault=True)
        self._leave()

    def _count(self, fault: bool) -> None:
        self._outcomes += 1
        self._faults += fault
        if fault and self._faults >= 3 and self._faults > 0.2 * self._outcomes:
            self._set_limit(max(1, int(self.limit * 0.7)))
            self._fast, self._before, self._unloaded_s = True, None, math.nan
        elif self._outcomes < max(20, self.limit):
            return
        self._outcomes = self._faults = 0

    def _feel_upward(self, ticket: Ticket, busy: bool) -> None:
        now = time.monotonic()
        # A raise is judged by requests sent after it; a wave of refusals ends before the next attempt.
        if ticket.started < self._raised * self._probing or now < self._reacted + _WAVE_S:
            return
        self._since += busy
        if self._since < self._probe_after or self.limit >= self.most:
            return
        if self._probing:  # the last raise was taken
            self._step = min(2 * self._step, self.limit)
            self._probe_after = max(1, self._probe_after // 2)
        self.limit = min(self.most, self.limit + self._step)
        self._probing, self._since, self._raised = True, 0, now

    def _measure(self, ticket: Ticket, latency_s: float) -> None:
        marked = max(16, self.limit // 2)
        # Once settled, answers of requests sent into a full house are measured: a turnover passes first.
        skip = 0 if self._fast else self.limit
        if ticket.order > skip + 4 * marked:
            self._set_limit(self.limit)  # too many of the marked ones failed: measure again
        if ticket.order < skip or ticket.order >= skip + marked:
            return
        self._latencies[ticket.order - skip] = latency_s
        if len(self._latencies) >= 0.9 * marked:
            in_order = [self._latencies[i] for i in sorted(self._latencies)]
            self._decide(in_order)

    def _decide(self, latencies: list[float]) -> None:
        if not self._waiting:  # there is less to do than the limit allows: nothing to be learned
            self._set_limit(self.limit)
            return
        quarter = max(1, len(latencies) // 4)
        late = max(1e-6, sum(latencies[-2 * quarter :]) / (2 * quarter))
        if math.isnan(self._unloaded_s):
            self._unloaded_s = sum(latencies[:quarter]) / quarter
        throughput = self.limit / late
        product = max(1, math.ceil(_OVER * throughput * self._unloaded_s))
        before, self._before = self._before, (self.limit, late)
        if self._fast:
            if late > _QUEUES * (before[1] if before else self._unloaded_s):
                # Measured while the queue was still building up: good enough to leave, not to compare with.
                self._fast, self._before = False, None
                self._set_limit(product)
            else:
                self._unloaded_s = min(self._unloaded_s, late) if before else late
                self._set_limit(math.ceil(self.limit * _FAST))
            return
        if before and self.limit < before[0] and late > 0.9 * before[1]:
            self._unloaded_s = late  # less under way, no faster: this is no queue, answers became longer
        if late > _SHRINKS * self._unloaded_s and product < self.limit:
            self._set_limit(product)
        elif (
            before
            and self.limit > before[0]
            and throughput < (1 + 0.3 * (self.limit / before[0] - 1)) * (before[0] / before[1])
        ):
            self._set_limit(before[0])  # the larger limit only made a queue
            self._before, self._rest = None, _EPOCHS_AT_REST
        elif self._rest > 0:
            self._rest -= 1
            self._set_limit(self.limit)
        else:
            self._set_limit(math.ceil(self.limit * _CAREFUL))

    def _set_limit(self, limit: int) -> None:
        """A new epoch; the requests already under way belong to the old one."""
        self.limit = max(1, min(limit, self.most))
        self._epoch += 1
        self._given, self._latencies = 0, {}
        self._fill()
