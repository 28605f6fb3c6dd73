"""Which frames of a shot are compared: pairs on a ladder of gaps, from anchors spread over the shot."""

from __future__ import annotations

from collections.abc import Sequence

from .shots import Shot

#: Seconds between the frames of a pair.
GAPS_S = (0.5, 1.0, 2.0, 4.0, 8.0)


def ladder(shot: Shot, gaps_s: Sequence[float] = GAPS_S, anchors: int = 2) -> list[tuple[float, float]]:
    """(earlier, later) times of one shot, in seconds; all lie on a grid of the smallest gap, so that frames are shared.

    Args:
        anchors: pairs per gap, at most; fewer where the shot is short.
    """
    step = min(gaps_s)
    last = int(shot.length_s / step + 1e-6)
    found: list[tuple[float, float]] = []
    for gap in sorted(gaps_s):
        length = round(gap / step)
        places = last - length + 1
        if places <= 0:
            break
        count = min(anchors, places)
        for i in range(count):
            at = round((i + 0.5) * places / count - 0.5)
            found.append((shot.start_s + at * step, shot.start_s + (at + length) * step))
    return sorted(set(found))
