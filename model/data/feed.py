"""One rank's stream of micro-batches from exported shards: planned, read ahead, decoded in threads, resumed exactly."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from .errors import BadSampleError, DataError, TooManyBadSamplesError
from .examples import Example
from .layout import Batching, Laid, lay_out
from .loading import load_example
from .stage import Chosen, Part, choose, key_of

#: Messages of bad samples that are kept.
_MOST_MESSAGES = 20
#: Samples that are tried in place of a batch of which none can be read.
_MOST_SUBSTITUTES = 64
#: Samples below which the share of bad ones says little.
_FEW = 1000


@dataclass
class Bad:
    """Samples that could not be read: how many of how many, and why the first of them."""

    read: int = 0
    bad: int = 0
    first: list[str] = field(default_factory=list)

    def count(self, error: BadSampleError) -> None:
        self.bad += 1
        if len(self.first) < _MOST_MESSAGES:
            self.first.append(str(error))


class ShardFeed:
    """Micro-batches of one rank. All ranks construct it alike, but for `rank`, and see equally many batches.

    An unreadable sample is left out of its batch and counted; a batch of which none can be read gets one
    readable sample of the rank's next batches. So no batch is empty, and no rank waits for another.

    Args:
        parts: what the stage draws from.
        seed: of draws and orders.
        max_bad_share: of the samples of a rank, at least of its first 1000 (or its epoch), 0..1.
        threads: that read and decode. ahead: batches that are prepared while others are trained on.

    Raises:
        PlanError: nothing is left to draw from, or too few samples for the ranks.
        TooManyBadSamplesError: of a source more samples than the share could not be read for their facts.
    """

    def __init__(
        self,
        parts: Sequence[Part],
        batching: Batching,
        seed: int = 0,
        rank: int = 0,
        ranks: int = 1,
        max_bad_share: float = 0.01,
        threads: int = 2,
        ahead: int = 4,
    ) -> None:
        if not 0 <= rank < ranks or threads < 1 or ahead < 1 or not 0 <= max_bad_share <= 1:
            raise DataError(
                f"rank {rank} of {ranks}, threads {threads}, ahead {ahead}, max_bad_share {max_bad_share}: wanted are "
                "0 <= rank < ranks, threads and ahead from 1, and a share of 0..1"
            )
        for part in parts:
            source = part.source
            if source.unreadable > max_bad_share * (source.unreadable + len(source.rows)):
                raise TooManyBadSamplesError(
                    f"{source.name}: {source.unreadable} of {source.unreadable + len(source.rows)} samples could not "
                    f"be read, more than max_bad_share {max_bad_share}; the first: {source.first}"
                )
        self.parts: list[Chosen] = [choose(part) for part in parts]
        self.rank, self.ranks = rank, ranks
        self._batching, self._seed = batching, seed
        self._max_bad_share, self._threads, self._ahead = max_bad_share, threads, ahead
        self._key = key_of(parts, (batching, seed))
        self._epoch, self._step, self._before = 0, 0, []  # type: int, int, list[tuple[int, int]]
        self._laid: tuple[tuple[int, int], Laid] | None = None
        self.bad = Bad()

    def __len__(self) -> int:
        """Batches of the present epoch, or of the rest of it where the number of ranks has changed."""
        return len(self.laid())

    def laid(self) -> Laid:
        """The present epoch's plan. Raises PlanError."""
        at = (self._epoch, len(self._before))
        if self._laid is None or self._laid[0] != at:
            laid = lay_out(self.parts, self._batching, self.ranks, self._seed, self._epoch, self._before)
            self._laid = (at, laid)
        return self._laid[1]

    def __iter__(self) -> Iterator[list[Example]]:
        """From the cursor to the end of its epoch; then the cursor is at the next one's beginning.

        Raises TooManyBadSamplesError.
        """
        laid = self.laid()
        coming: deque[list[Future[Example | BadSampleError]]] = deque()
        pool = ThreadPoolExecutor(self._threads, "feed")
        planned = self._step
        try:
            while self._step < len(laid):
                while planned < len(laid) and len(coming) < self._ahead:
                    numbers = laid.batch(planned, self.rank).tolist()
                    coming.append([pool.submit(self._load, laid, n) for n in numbers])
                    planned += 1
                batch = self._gathered(coming.popleft()) or [self._substitute(laid)]
                self._step += 1
                yield batch
            self._epoch, self._step, self._before = self._epoch + 1, 0, []
        finally:
            pool.shutdown(wait=False, cancel_futures=True)

    def _load(self, laid: Laid, number: int) -> Example | BadSampleError:
        try:
            return load_example(self.parts, laid.epoch, number)
        except BadSampleError as error:
            return error

    def _gathered(self, futures: Sequence[Future[Example | BadSampleError]]) -> list[Example]:
        batch = []
        for future in futures:
            found = future.result()
            self.bad.read += 1
            if isinstance(found, Example):
                batch.append(found)
            else:
                self.bad.count(found)
        self._check()
        return batch

    def _check(self) -> None:
        seen, epoch = self.bad, len(self.laid().members) // self.ranks
        if seen.bad > self._max_bad_share * max(seen.read, min(_FEW, epoch)):
            raise TooManyBadSamplesError(
                f"{seen.bad} of {seen.read} samples could not be read, more than max_bad_share "
                f"{self._max_bad_share}: {'; '.join(seen.first[:3])}"
            )

    def _substitute(self, laid: Laid) -> Example:
        """A sample of the rank's next batches, the same whenever it is asked for at this step."""
        tried = 0
        for step in range(self._step + 1, self._step + 1 + len(laid)):
            for number in laid.batch(step % len(laid), self.rank).tolist():
                found = self._load(laid, number)
                if isinstance(found, Example):
                    return found
                tried += 1
                if tried == _MOST_SUBSTITUTES:
                    raise TooManyBadSamplesError(
                        f"{tried} samples in a row cannot be read; the last: {found}"
                    )
        raise TooManyBadSamplesError(f"no sample can be read: {'; '.join(self.bad.first[:3])}")

    def facts(self) -> dict[str, Any]:
        """What the feed draws from and leaves out, JSON-able: for a log."""
        plan = self.laid().plan
        return {
            "samples": len(self.laid().members),
            "batches": len(self),
            "too_long": 0 if plan is None else len(plan.too_long),
            "left_out": 0 if plan is None else len(plan.left_out),
            "read": self.bad.read,
            "bad": self.bad.bad,
            "first_bad": list(self.bad.first),
            "parts": [
                {
                    "name": c.part.source.name,
                    "samples": len(c.rows),
                    "unreadable": c.part.source.unreadable,
                    "unlisted": c.unlisted,
                    "unsized": c.unsized,
                    "untexted": c.untexted,
                }
                for c in self.parts
            ],
        }

    def state_dict(self) -> dict[str, Any]:
        """Cursor behind the last batch that was handed out. `stretches`: [ranks, steps] of this epoch, the present
        ranks last."""
        return {
            "feed": "shards",
            "key": self._key,
            "epoch": self._epoch,
            "stretches": [*map(list, self._before), [self.ranks, self._step]],
            "read": self.bad.read,
            "bad": self.bad.bad,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on behind a cursor, also one of another number of ranks: what the epoch has left is dealt anew.

        Raises DataError for a cursor of other data or settings.
        """
        if state.get("feed") != "shards" or state.get("key") != self._key:
            raise DataError(
                "the cursor is of other data, captions, resolution, batches or seed than this feed's: go on with those, "
                "or start the stage anew"
            )
        self._epoch = int(state["epoch"])
        stretches = [(int(ranks), int(steps)) for ranks, steps in state["stretches"]]
        if stretches[-1][0] == self.ranks:
            self._before, self._step = stretches[:-1], stretches[-1][1]
        else:
            self._before, self._step = [s for s in stretches if s[1]], 0
        self.bad = Bad(int(state.get("read", 0)), int(state.get("bad", 0)))
