"""The decoder process: decodes what it is sent, under limits, until its pipe closes.

Started by `isolated.py` as `python -m zcurate.curation.profile.decode_worker PARENT_PID`.
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import resource
import signal
import sys
import time
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, BinaryIO

from .wire import DONE, ERROR, FRAME, HEADER, PIXELS, READY, REQUEST

if TYPE_CHECKING:
    import numpy as np


def main() -> None:
    die_with(int(sys.argv[1]))
    requests, answers = _take_pipes()
    _forbid_side_effects()
    _import_decoders()
    held = _address_space_bytes()
    _send(answers, READY)
    while True:
        head = requests.read(REQUEST.size)
        if len(head) < REQUEST.size:
            return
        file_bytes, max_pixels, decode_s, memory_bytes = REQUEST.unpack(head)
        _soft_limit(resource.RLIMIT_CPU, int(time.process_time() + decode_s) + 2)
        data = requests.read(file_bytes)
        if len(data) < file_bytes:
            return
        if held is not None:
            _soft_limit(resource.RLIMIT_AS, held + memory_bytes)
        _answer(answers, data, max_pixels, memory_bytes)


def die_with(parent_pid: int) -> None:
    """Have the kernel kill this process when its parent goes, however it goes.

    Where there is no such call (macOS) the end of the request pipe and the limit on CPU time do it.
    """
    if sys.platform == "linux":
        import ctypes

        pr_set_pdeathsig = 1
        ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != parent_pid:  # it went before the call
            os._exit(0)


def _take_pipes() -> tuple[BinaryIO, BinaryIO]:
    """The request and answer pipes, off the standard streams: a library's chatter must not mix in."""
    requests, answers = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    nothing = os.open(os.devnull, os.O_RDWR)
    os.dup2(nothing, 0)
    os.dup2(nothing, 1)
    return requests, answers


def _forbid_side_effects() -> None:
    """No core dumps, no files; and the first to go when the machine is out of memory."""
    _soft_limit(resource.RLIMIT_CORE, 0)
    _soft_limit(resource.RLIMIT_FSIZE, 0)
    with contextlib.suppress(OSError), open("/proc/self/oom_score_adj", "w") as file:
        file.write("1000")


def _soft_limit(what: int, value: int) -> None:
    hard = resource.getrlimit(what)[1]
    if hard != resource.RLIM_INFINITY:
        value = min(value, hard)
    with contextlib.suppress(OSError, ValueError):  # not every system has every limit
        resource.setrlimit(what, (value, hard))


def _address_space_bytes() -> int | None:
    """Virtual memory of this process before it decodes anything; None where it is not to be had."""
    try:
        with open("/proc/self/statm") as file:
            return int(file.read().split()[0]) * resource.getpagesize()
    except OSError:
        return None


def _import_decoders() -> None:
    """Everything but HEIF and JPEG XL, on one thread each: threads would take address space."""
    from PIL import AvifImagePlugin, Image

    from . import decode  # noqa: F401

    Image.init()
    AvifImagePlugin.DEFAULT_MAX_THREADS = 1
    with contextlib.suppress(ImportError):
        import pillow_heif

        pillow_heif.options.DECODE_THREADS = 1


def _answer(answers: BinaryIO, data: bytes, max_pixels: int, memory_bytes: int) -> None:
    from .decode import decode_plain_jpeg
    from .decoded import DecodeLimits
    from .errors import ImageError
    from .jpeg_header import read_jpeg_header
    from .pillow_decode import opened

    limits = DecodeLimits(max_pixels=max_pixels, max_file_bytes=len(data), memory_bytes=memory_bytes)
    try:
        plain = decode_plain_jpeg(data, limits, read_jpeg_header(data))
        if plain is not None:
            facts = {k: v for k, v in vars(plain).items() if k != "pixels"}
            _send_picture(answers, facts, plain.pixels.shape, [plain.pixels])
            return
        with opened(data, limits) as (facts, height, width, strips):
            _send_picture(answers, facts, (height, width, 3), strips)
    except BrokenPipeError:
        os._exit(0)
    except ImageError as e:
        _send(answers, ERROR, json.dumps([type(e).__name__, str(e)[:2000]]).encode())
    except MemoryError:
        message = f"decoding needs more than memory_bytes = {memory_bytes:,}; raise it to accept the file"
        _send(answers, ERROR, json.dumps(["DecodeMemoryError", message]).encode())


def _send_picture(
    answers: BinaryIO, facts: dict[str, Any], shape: tuple[int, ...], strips: Iterable[np.ndarray]
) -> None:
    text = {k: base64.b64encode(v).decode() if isinstance(v, bytes) else v for k, v in facts.items()}
    _send(answers, HEADER, json.dumps({**text, "shape": shape}).encode())
    for strip in strips:
        _send(answers, PIXELS, memoryview(strip).cast("B"))
    _send(answers, DONE)


def _send(answers: BinaryIO, kind: int, body: bytes | memoryview = b"") -> None:
    answers.write(FRAME.pack(kind, len(body)))
    answers.write(body)
    answers.flush()


if __name__ == "__main__":
    main()
