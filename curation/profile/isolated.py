"""Decoding in a process of its own: a file that hangs, crashes or bloats its decoder costs only itself.

One worker process per process, started for the first file that needs it and kept; it is killed and
replaced when it oversteps, and dies with this process. The limits are: wall time, kept here; memory
and CPU time, kept by the kernel (`decode_worker.py`). Where the system has no such limits (macOS keeps
none on memory) the wall time remains.
"""

from __future__ import annotations

import atexit
import base64
import contextlib
import fcntl
import json
import os
import select
import signal
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from typing import Any

import numpy as np

from . import errors
from .decoded import Decoded, DecodeLimits
from .errors import DecodeMemoryError, DecoderCrashError, DecodeTimeoutError, ImageError
from .hidden_text import SIGNATURES
from .wire import DONE, ERROR, FRAME, HEADER, MAX_JSON_BYTES, PIXELS, READY, REQUEST

#: Files after which a worker is replaced: what its libraries leak stays bounded.
RECYCLE_AFTER = 1000
#: Seconds a worker has to start; imports from a cold network disk are slow.
_START_S = 120.0
_PIPE_BYTES = 1 << 20
#: Environment handed on: what Python needs to start. Keys and tokens stay here.
_ENVIRONMENT = ("PATH", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "LANG", "LC_ALL", "PYTHONHOME", "VIRTUAL_ENV")
_ONE_THREAD = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


@dataclass
class WorkerCounts:
    """What became of the workers of this process: files answered, workers started, and lost how."""

    files: int = 0
    started: int = 0
    timed_out: int = 0
    crashed: int = 0


def decode_isolated(data: bytes, limits: DecodeLimits) -> Decoded:
    """`decode.decode` in the worker process. From several threads, one at a time.

    Raises:
        ImageError: see `decode.decode`.
        RuntimeError: the worker process does not start; the file is not to blame.
    """
    return _worker.decode(data, limits)


def worker_counts() -> WorkerCounts:
    return _worker.counts


def worker_pid() -> int | None:
    """Process id of the running worker, if there is one."""
    return _worker.pid


class _GoneError(Exception):
    """The other end of a pipe is closed."""


class _GarbledError(Exception):
    """The worker's answer is none: something in it was overwritten."""


class _Worker:
    def __init__(self) -> None:
        self.counts = WorkerCounts()
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._served = 0

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process is not None else None

    def decode(self, data: bytes, limits: DecodeLimits) -> Decoded:
        with self._lock:
            for attempt in (1, 2):
                self._ensure_started()
                try:
                    picture = self._exchange(data, limits)
                    self.counts.files += 1
                    return picture
                except ImageError:
                    self.counts.files += 1
                    raise
                except TimeoutError:
                    self.counts.timed_out += 1
                    self._kill()
                    raise DecodeTimeoutError(_slow(limits)) from None
                except _GarbledError as e:
                    self.counts.crashed += 1
                    self._kill()
                    raise DecoderCrashError(f"the decoder's answer makes no sense: {e}") from None
                except _GoneError:
                    code = self._kill(after_s=1.0)
                    # A kill from outside: by the system, out of memory, or because the thread that
                    # started the worker has ended. The second may be no fault of the file.
                    if code == -signal.SIGKILL and attempt == 1:
                        continue
                    self.counts.crashed += 1
                    raise _death(code, limits) from None
                except BaseException:  # e.g. Ctrl-C half way: the pipes are out of step
                    self._kill()
                    raise
        raise AssertionError("the second attempt returns or raises")

    def _exchange(self, data: bytes, limits: DecodeLimits) -> Decoded:
        deadline = time.monotonic() + limits.decode_s
        self._served += 1
        head = REQUEST.pack(len(data), limits.max_pixels, limits.decode_s, limits.memory_bytes)
        self._write(head, deadline)
        self._write(data, deadline)
        facts, pixels, left = None, None, memoryview(b"")
        while True:
            kind, size = FRAME.unpack(self._read(FRAME.size, deadline))
            if kind == PIXELS and size <= len(left):
                self._read_into(left[:size], deadline)
                left = left[size:]
            elif kind == HEADER and facts is None:
                facts = self._read_json(size, deadline)
                pixels = _room_for(facts.pop("shape", None), limits)
                left = memoryview(pixels).cast("B")
            elif kind == DONE and size == 0 and pixels is not None and not left:
                return _picture(facts, pixels)
            elif kind == ERROR:
                raise _named_error(self._read_json(size, deadline))
            else:
                raise _GarbledError(f"frame {kind} of {size} bytes")

    def _ensure_started(self) -> None:
        if self._process is not None and self._served >= RECYCLE_AFTER:
            self._kill()
        if self._process is not None and self._process.poll() is None:
            return
        self._kill()
        if not sys.executable:
            raise RuntimeError(
                "no Python executable to start the decoder process with (sys.executable is empty)"
            )
        environment = {name: os.environ[name] for name in _ENVIRONMENT if name in os.environ}
        # the same modules as here, in the same order, and nothing from the working directory besides
        environment["PYTHONPATH"] = os.pathsep.join(os.path.abspath(p) for p in sys.path if p)
        environment |= dict.fromkeys(_ONE_THREAD, "1")
        command = [sys.executable, "-B", "-P", "-m", f"{__package__}.decode_worker", str(os.getpid())]
        self._process = subprocess.Popen(
            command,
            bufsize=0,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=environment,
            process_group=0,  # Ctrl-C is for this process, which ends the worker
        )
        self.counts.started += 1
        self._served = 0
        os.set_blocking(self._process.stdin.fileno(), False)
        for pipe in (self._process.stdin, self._process.stdout):
            if hasattr(fcntl, "F_SETPIPE_SZ"):
                with contextlib.suppress(OSError):  # over the user's quota of pipe memory
                    fcntl.fcntl(pipe.fileno(), fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
        try:
            ready = self._read(FRAME.size, time.monotonic() + _START_S)
        except (_GoneError, TimeoutError):
            code = self._kill(after_s=1.0)
            raise RuntimeError(
                f"the decoder process did not start (exit code {code}); to see why, run: {' '.join(command[:-1])} $$"
            ) from None
        except BaseException:
            self._kill()
            raise
        if FRAME.unpack(ready) != (READY, 0):
            self._kill()
            raise RuntimeError("the decoder process does not speak this version's protocol")

    def _kill(self, after_s: float = 0.0) -> int | None:
        """End the worker, at once or if it has not ended by itself by then, and return its exit code."""
        process, self._process = self._process, None
        if process is None:
            return None
        if after_s:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(after_s)
        if process.poll() is None:
            process.kill()
        code = process.wait()
        process.stdin.close()
        process.stdout.close()
        return code

    def stop(self) -> None:
        with self._lock:
            self._kill()

    def _write(self, data: bytes, deadline: float) -> None:
        pipe, left = self._process.stdin.fileno(), memoryview(data)
        while left:
            try:
                left = left[os.write(pipe, left) :]
            except BlockingIOError:
                _wait(pipe, select.POLLOUT, deadline)
            except BrokenPipeError:
                raise _GoneError from None

    def _read(self, size: int, deadline: float) -> bytes:
        buffer = bytearray(size)
        self._read_into(memoryview(buffer), deadline)
        return bytes(buffer)

    def _read_into(self, left: memoryview, deadline: float) -> None:
        pipe = self._process.stdout.fileno()
        while left:
            _wait(pipe, select.POLLIN, deadline)
            count = os.readv(pipe, [left])
            if not count:
                raise _GoneError
            left = left[count:]

    def _read_json(self, size: int, deadline: float) -> Any:
        if size > MAX_JSON_BYTES:
            raise _GarbledError(f"{size} bytes of JSON")
        try:
            return json.loads(self._read(size, deadline))
        except (ValueError, RecursionError) as e:
            raise _GarbledError(str(e)) from e


def _wait(pipe: int, event: int, deadline: float) -> None:
    poll = select.poll()
    poll.register(pipe, event)
    left_s = deadline - time.monotonic()
    if left_s <= 0 or not poll.poll(max(1, left_s * 1000)):
        raise TimeoutError


def _room_for(shape: Any, limits: DecodeLimits) -> np.ndarray:
    """An empty picture of a shape the worker names; it decodes hostile files and is not trusted."""
    sizes = isinstance(shape, list) and all(type(n) is int and n > 0 for n in shape)
    if not sizes or len(shape) not in (2, 3) or (*shape[2:], 3)[0] != 3:
        raise _GarbledError(f"a picture of shape {shape!r}")
    if shape[0] * shape[1] > limits.max_pixels:
        raise _GarbledError(f"a picture of shape {shape!r}, over max_pixels")
    return np.empty(shape, np.uint8)


_FACTS = {"format": str, "mode": str, "bit_depth": int, "frames": int, "orientation": int, "turn": int}
#: What `hidden_text` may be: it ends up in the dataset as it is.
_HIDDEN_TEXTS = ("", *(text for texts in SIGNATURES.values() for text in texts))
_FLAGS = ("has_icc", "has_alpha")
_BYTES = ("icc", "stored_hash")


def _picture(facts: dict[str, Any], pixels: np.ndarray) -> Decoded:
    try:
        values = {k: kind(facts[k]) for k, kind in _FACTS.items()}
        values |= {k: bool(facts[k]) for k in _FLAGS}
        values["hidden_text"] = _HIDDEN_TEXTS[_HIDDEN_TEXTS.index(facts["hidden_text"])]
        values |= {k: base64.b64decode(facts[k], validate=True) for k in _BYTES}
    except (KeyError, TypeError, ValueError) as e:
        raise _GarbledError(f"facts of the picture: {e!r}") from e
    return Decoded(pixels=pixels, **values)


def _named_error(answer: Any) -> ImageError:
    if isinstance(answer, list) and len(answer) == 2:
        kind, message = answer
        error = getattr(errors, kind, None) if isinstance(kind, str) else None
        if isinstance(error, type) and issubclass(error, ImageError):
            return error(str(message))
    raise _GarbledError(f"error {answer!r}")


def _slow(limits: DecodeLimits) -> str:
    return f"decoding took longer than decode_s = {limits.decode_s:g}; raise it to accept the file"


def _death(code: int | None, limits: DecodeLimits) -> ImageError:
    if code == -signal.SIGXCPU:
        return DecodeTimeoutError(_slow(limits))
    if code == -signal.SIGKILL:
        return DecodeMemoryError(
            "the system killed the decoder, twice: the machine is most likely out of memory"
        )
    if code is not None and code < 0:
        return DecoderCrashError(
            f"the decoder crashed ({signal.Signals(-code).name}): the file is corrupt or hostile"
        )
    return DecoderCrashError(f"the decoder ended with exit code {code}: the file is corrupt or hostile")


_worker = _Worker()
# by name, not bound: after a fork there is another one
atexit.register(lambda: _worker.stop())


def _forget() -> None:
    """In a forked child: the worker and its pipes are the parent's."""
    global _worker
    _worker = _Worker()


os.register_at_fork(after_in_child=_forget)
