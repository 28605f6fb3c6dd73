"""Tasks of a global stage over the idle CPUs of a cluster.

The stage's own process works too, so that nothing waits for CPUs that never come.
"""

from __future__ import annotations

import sys
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from zcurate.curation.neighbors.workspace import in_threads

#: Fewer tasks than this are not worth shipping.
_FEW = 4
#: How often idle CPUs are looked for.
_POLL_S = 0.5


def fan_out(function: Callable[[Any], Any], arguments: Sequence[Any]) -> Iterator[Any]:
    """`function` of every argument, results in order. Inside a Ray worker also on other CPUs and machines.

    Memory maps in `function` are opened again by path where it runs (workers must see the same files); a worker that
    does not see them says so, and its tasks are done here.
    """
    ray = sys.modules.get("ray")
    if ray is None or not ray.is_initialized() or len(arguments) < _FEW:
        yield from in_threads(function, arguments)
        return
    yield from _Shared(ray, function, arguments).results()


class _Shared:
    """A list of tasks that this process takes from the front of and idle CPUs elsewhere from the back.

    When the list is empty, this process also does what is still away: whoever is first counts, so a task that was sent to a
    machine that vanished, or waits for a CPU somebody else took, holds nothing up.
    """

    def __init__(self, ray: Any, function: Callable[[Any], Any], arguments: Sequence[Any]):
        ray.util.register_serializer(np.memmap, serializer=_describe, deserializer=_open)
        self.ray, self.function, self.arguments = ray, function, arguments
        self.shipped = ray.put(_Work(function))
        self.todo: deque[int] = deque(range(len(arguments)))
        self.away: dict[Any, int] = {}
        self.done: dict[int, Any] = {}
        self.yielded = 0
        self.failure: BaseException | None = None
        self.changed = threading.Condition()

    def results(self) -> Iterator[Any]:
        threads = [
            threading.Thread(target=self._guarded, args=(f,), daemon=True) for f in (self._here, self._there)
        ]
        for thread in threads:
            thread.start()
        try:
            for i in range(len(self.arguments)):
                with self.changed:
                    self.changed.wait_for(lambda i=i: i in self.done or self.failure is not None)
                    if self.failure is not None:
                        raise self.failure
                    value = self.done.pop(i)
                    self.yielded = i + 1
                yield value
        finally:
            with self.changed:
                self.failure = self.failure or GeneratorExit()
                self.changed.notify_all()
            for thread in threads:
                thread.join()
            self._leave(complete=self.yielded == len(self.arguments))

    def _guarded(self, work: Callable[[], None]) -> None:
        try:
            work()
        except BaseException as e:  # noqa: BLE001 - raised again in the caller's thread
            with self.changed:
                self.failure = self.failure or e
                self.changed.notify_all()

    def _settle(self, i: int, value: Any) -> None:
        with self.changed:
            if i >= self.yielded:
                self.done.setdefault(i, value)
            self.changed.notify_all()

    def _open(self, i: int) -> bool:
        return i >= self.yielded and i not in self.done

    def _next_here(self) -> int | None:
        """The first task of the list, or the one longest away; None when all is done."""
        with self.changed:
            if self.todo:
                return self.todo.popleft()
            return next((i for i in self.away.values() if self._open(i)), None)

    def _here(self) -> None:
        while self.failure is None and (i := self._next_here()) is not None:
            self._settle(i, next(iter(in_threads(self.function, [self.arguments[i]]))))

    def _there(self) -> None:
        ray = self.ray
        run = ray.remote(_run).options(num_cpus=1, max_retries=3)
        while self.failure is None:
            free = int(ray.available_resources().get("CPU", 0))
            with self.changed:
                while free > 0 and self.todo:
                    i, free = self.todo.pop(), free - 1
                    self.away[run.remote(self.shipped, self.arguments[i])] = i
                if not self.away and not self.todo:
                    return
            if not self.away:
                with self.changed:
                    self.changed.wait(_POLL_S)
                continue
            ready, _ = ray.wait(list(self.away), num_returns=1, timeout=_POLL_S)
            for ref in ready:
                self._collect(ref)

    def _leave(self, complete: bool) -> None:
        """Tasks still away run to their end when all results are here, and end with their process when something failed.

        A task is never interrupted: an interrupt inside an import leaves its packages half loaded, and every later task of
        that process fails on them.
        """
        if complete:
            return
        for ref in self.away:
            self.ray.cancel(ref, force=True)

    def _collect(self, ref: Any) -> None:
        try:
            seen, value = self.ray.get(ref)
        except self.ray.exceptions.RayTaskError as e:
            raise (e.cause if isinstance(e.cause, Exception) else e) from None
        except self.ray.exceptions.RayError:
            seen, value = False, None  # its machine went away
        i = self.away[ref]
        if seen:
            self._settle(i, value)
        with self.changed:
            del self.away[ref]
            if not seen and self._open(i):
                self.todo.append(i)
            self.changed.notify_all()


class _Work:
    """What is shipped once: the function with the arrays it holds."""

    def __init__(self, function: Callable[[Any], Any]):
        self.function = function


def _run(work: Any, argument: Any) -> tuple[bool, Any]:
    """(done, result); not done where the files cannot be seen from here."""
    try:
        return True, next(iter(in_threads(work.function, [argument])))
    except FileNotFoundError:
        return False, None


def _describe(array: np.memmap) -> tuple[str, str, int, tuple[int, ...]]:
    return str(array.filename), array.dtype.str, array.offset, array.shape


def _open(told: tuple[str, str, int, tuple[int, ...]]) -> np.memmap:
    path, dtype, offset, shape = told
    return np.memmap(path, np.dtype(dtype), "r", offset, shape)
