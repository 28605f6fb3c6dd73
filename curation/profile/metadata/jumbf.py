"""JUMBF boxes (ISO 19566-5): superboxes with a label each, content boxes inside."""

from __future__ import annotations

from collections.abc import Iterator

from .bmff import boxes

_MAX_DEPTH = 8
_MAX_BOXES = 20_000


def content_boxes(data: bytes) -> Iterator[tuple[tuple[str, ...], bytes, int, int]]:
    """The content boxes of all superboxes in `data`, in file order.

    Yields:
        (labels of the superboxes from the outermost in, box type, start and end of the content in `data`).
    """
    # An explicit stack: recursion depth and box count stay ours whatever the file says.
    stack = [(_walk(data, 0, len(data)), ())]
    for _ in range(_MAX_BOXES):
        walk, labels = stack[-1]
        found = next(walk, None)
        if found is None:
            stack.pop()
            if not stack:
                return
            continue
        kind, start, end = found
        if kind != b"jumb":
            if labels:
                yield labels, kind, start, end
        elif len(stack) <= _MAX_DEPTH:
            label, content = _label(data, start, end)
            stack.append((_walk(data, content, end), (*labels, label)))


def _walk(data: bytes, start: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    for kind, _, content, stop in boxes(data, start, end):
        yield kind, content, stop


def _label(data: bytes, start: int, end: int) -> tuple[str, int]:
    """Label of a superbox and the position behind its description box: UUID (16), toggles (1), label."""
    for kind, content, stop in _walk(data, start, end):
        if kind != b"jumd" or stop - content < 17:
            break
        has_label = data[content + 16] & 2
        text = data[content + 17 : min(stop, content + 1041)].split(b"\0", 1)[0] if has_label else b""
        return text.decode("utf-8", "replace"), stop
    return "", start
