"""A cap on what answers may cost, in money and tokens, kept by all workers of a stage together.

A question is refused before it is asked when its estimate might pass the cap: the largest answer it allows, and a
bound of its prompt. While other questions are under way it waits for what they really cost. Answers out of a journal
never get here and cost nothing.
"""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
import socket
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..chat import Chat, ChatAnswer, ChatError, ChatRequest, ImagePart

_FREE = ("rejected", "auth", "missing_model", "spend_cap", "memory")  # errors that nobody bills
_WAIT_S = 0.25
_STALE_S = 3600.0  # longer than any question with all of its tries


@dataclass(frozen=True)
class Prices:
    """Of a hosted model, in the currency of the bill per million tokens, and the caps; None for no cap.

    Attributes:
        per_million_in, per_million_out: 0 for a server of one's own.
        max_cost: in the same currency.
        max_tokens: in and out together.
        image_tokens: a picture is counted as, for estimates.
    """

    per_million_in: float = 0.0
    per_million_out: float = 0.0
    max_cost: float | None = None
    max_tokens: int | None = None
    image_tokens: int = 1280

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if value is not None and not 0 <= value < float("inf"):
                raise ValueError(f"{name} is {value}; write a number of 0 or more")
        if self.max_cost is not None and not (self.per_million_in or self.per_million_out):
            raise ValueError("max_cost needs prices: set per_million_in and per_million_out")

    def cost(self, tokens_in: int, tokens_out: int) -> float:
        return (tokens_in * self.per_million_in + tokens_out * self.per_million_out) / 1e6

    def estimate(self, request: ChatRequest) -> tuple[int, int]:
        """Upper bound of (tokens in, tokens out): a token per 2 bytes of text (UTF-8) and the budget per picture."""
        texts = [request.system, *(p for p in request.parts if isinstance(p, str))]
        if request.schema is not None:
            texts.append(json.dumps(request.schema))
        text_bytes = sum(len(t.encode("utf-8", "replace")) for t in texts)
        pictures = sum(isinstance(p, ImagePart) for p in request.parts)
        return 64 + text_bytes // 2 + pictures * self.image_tokens, request.max_tokens


@dataclass(frozen=True)
class Spent:
    """What answers cost so far: money and tokens; `reserved_*` is for questions under way, at their estimate."""

    cost: float = 0.0
    tokens: int = 0
    reserved_cost: float = 0.0
    reserved_tokens: int = 0


class Budget:
    """Caps and what is left of them.

    Args:
        prices: with the caps.
        folder: local or shared folder that all workers of the stage see, where the sum is kept (`spending.json`);
            it outlives a run, so that a run that is resumed goes on under the same cap. None: this process alone.

    A worker that was killed leaves its reservations; the others on the same machine count them as spent, since a
    server may have billed them.
    """

    def __init__(self, prices: Prices, folder: str | None = None):
        folder = None if folder is None else folder.removeprefix("file://")
        if folder is not None and "://" in folder:
            raise ValueError(f"a spend cap is kept in a local or shared folder, not at {folder!r}")
        self.prices = prices
        self._folder = None if folder is None else Path(folder).expanduser()
        self._own = f"{socket.gethostname()}:{os.getpid()}:{uuid.uuid4().hex[:8]}"
        self._state: dict[str, Any] = {"cost": 0.0, "tokens": 0, "reserved": {}}
        self._count_the_dead()

    def _count_the_dead(self) -> None:
        """Reservations of killed workers become spent."""
        with self._ledger() as state:
            for writer in [w for w in state["reserved"] if not _alive(w)]:
                cost, tokens = state["reserved"].pop(writer)
                state["cost"] += cost
                state["tokens"] += tokens

    def spent(self) -> Spent:
        with self._ledger() as state:
            reserved = list(state["reserved"].values())
            return Spent(
                state["cost"], state["tokens"], sum(r[0] for r in reserved), sum(r[1] for r in reserved)
            )

    async def reserve(self, tokens_in: int, tokens_out: int) -> None:
        """Set an estimate aside, waiting for questions under way where only they stand in the way.

        Raises:
            ChatError: spend_cap, fatal: what is spent and this estimate pass the cap.
        """
        cost, tokens = self.prices.cost(tokens_in, tokens_out), tokens_in + tokens_out
        seen, since = self.spent(), time.monotonic()
        while not self._try_reserve(cost, tokens):
            await asyncio.sleep(_WAIT_S)
            self._count_the_dead()
            if self.spent() != seen:
                seen, since = self.spent(), time.monotonic()
            elif time.monotonic() - since > _STALE_S:
                raise ChatError(
                    "spend_cap",
                    f"{seen.reserved_tokens:,} tokens are set aside by workers that settle nothing any more "
                    f"(killed, on another machine?); if none runs, delete {self._folder}/spending.json's "
                    '"reserved" entries or raise the cap',
                    fatal=True,
                )

    def settle(self, reserved: tuple[int, int], used: tuple[int, int]) -> None:
        """Give an estimate (tokens in, out) back and count what was used."""
        with self._ledger() as state:
            cost, tokens = state["reserved"].get(self._own, (0.0, 0))
            left = max(0.0, cost - self.prices.cost(*reserved)), max(0, tokens - sum(reserved))
            state["reserved"][self._own] = left
            if not left[1]:
                del state["reserved"][self._own]
            state["cost"] += self.prices.cost(*used)
            state["tokens"] += sum(used)

    def _try_reserve(self, cost: float, tokens: int) -> bool:
        with self._ledger() as state:
            held = list(state["reserved"].values())
            for name, cap, spent, asked, under_way in (
                ("max_cost", self.prices.max_cost, state["cost"], cost, sum(r[0] for r in held)),
                ("max_tokens", self.prices.max_tokens, state["tokens"], tokens, sum(r[1] for r in held)),
            ):
                if cap is None:
                    continue
                if spent + asked > cap:
                    raise ChatError(
                        "spend_cap",
                        f"{spent:,.6g} of {name} = {cap:,.6g} are spent and the next question may take {asked:,.3g}; "
                        f"raise {name} to go on, nothing answered so far is lost",
                        fatal=True,
                    )
                if spent + under_way + asked > cap:
                    return False
            own = state["reserved"].get(self._own, (0.0, 0))
            state["reserved"][self._own] = (own[0] + cost, own[1] + tokens)
            return True

    @contextmanager
    def _ledger(self) -> Iterator[dict[str, Any]]:
        """The sums, locked; changes are kept unless the block raises."""
        if self._folder is None:
            yield self._state
            return
        self._folder.mkdir(parents=True, exist_ok=True)
        path = self._folder / "spending.json"
        with open(self._folder / "spending.lock", "a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            try:
                before = path.read_text()
            except FileNotFoundError:
                before = '{"cost": 0.0, "tokens": 0, "reserved": {}}'
            state = _checked(before, path)
            yield state
            after = json.dumps(state)
            if after != before:
                draft = path.with_suffix(".tmp")
                draft.write_text(after)
                os.replace(draft, path)


class BudgetedChat:
    """A `Chat` that asks another one as long as the budget lasts.

    An answer without token counts is billed at its estimate, and so is a question that ended in a broken connection
    or a timeout, since the server may have worked on it.
    """

    placeholder = False

    def __init__(self, chat: Chat, budget: Budget):
        self._chat, self._budget = chat, budget
        self.engine, self.model = chat.engine, chat.model

    def load(self) -> None:
        self._chat.load()

    async def ask(self, request: ChatRequest) -> ChatAnswer:
        estimate = self._budget.prices.estimate(request)
        await self._budget.reserve(*estimate)
        used = estimate
        try:
            answer = await self._chat.ask(request)
            used = (
                estimate[0] if answer.tokens_in is None else answer.tokens_in,
                estimate[1] if answer.tokens_out is None else answer.tokens_out,
            )
            return answer
        except ChatError as e:
            used = (0, 0) if e.reason in _FREE else estimate
            raise
        finally:
            self._budget.settle(estimate, used)

    async def close(self) -> None:
        await self._chat.close()


def _checked(text: str, path: Path) -> dict[str, Any]:
    try:
        state = json.loads(text)
        reserved = {str(w): (float(c), int(t)) for w, (c, t) in state["reserved"].items()}
        return {"cost": float(state["cost"]), "tokens": int(state["tokens"]), "reserved": reserved}
    except (ValueError, LookupError, TypeError, AttributeError) as e:
        raise ChatError("spend_cap", f"{path} is damaged ({e}); delete it to count from 0", fatal=True) from e


def _alive(writer: str) -> bool:
    """Is the process of a reservation still there? On another machine: it is taken to be."""
    host, pid, _ = writer.rsplit(":", 2) if writer.count(":") >= 2 else ("", "", "")
    if host != socket.gethostname() or not pid.isdigit():
        return True
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
