"""Keep freed memory for the next picture."""

from __future__ import annotations

import ctypes
import sys

# mallopt(3)
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3

#: Arrays up to this size are reused, and so much freed memory is kept, in bytes: glibc's largest.
KEPT_BYTES = 32 << 20


def keep_freed_memory() -> bool:
    """Tell glibc to keep freed arrays instead of handing them back to the kernel.

    By default each large array is mapped anew, and the kernel clears its pages one fault at a time, which costs
    milliseconds per picture. Keeps up to 64 MB resident (the trim threshold).

    Returns:
        False where the C library has no `mallopt` (macOS, musl): nothing is changed there.
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError):
        return False
    return bool(mallopt(_M_MMAP_THRESHOLD, KEPT_BYTES)) and bool(mallopt(_M_TRIM_THRESHOLD, 2 * KEPT_BYTES))
