"""Which of the surveyed pairs are stored, and the rows that tell of them."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import xxhash

from ..checks import ACCEPT, REJECT
from ..tables import split_of
from ..taxonomy import TASKS
from .band import Band
from .surveying import Candidate, Survey

#: Reason of pairs nobody has described.
NO_INSTRUCTION = "no_instruction"


@dataclass(frozen=True)
class Caps:
    """Stored per clip at most."""

    pairs: int = 12
    frames: int = 16


@dataclass(frozen=True)
class Judged:
    """A candidate whose frames are stored. `reason`: None for a good pair."""

    candidate: Candidate
    reason: str | None


@dataclass(frozen=True)
class Chosen:
    """times_s: frames to be stored, ascending. pairs: good ones, and refused ones between the same frames.
    refused: reason -> all pairs that were refused, stored or not. by_task: label -> the same of pairs that have one."""

    times_s: tuple[float, ...]
    pairs: tuple[Judged, ...]
    refused: Counter[str]
    by_task: Mapping[str, Counter[str]]

    @property
    def skipped(self) -> str:
        """As `tables.VERSIONS` tells it."""
        tasks = {t: dict(sorted(r.items())) for t, r in sorted(self.by_task.items())}
        return json.dumps({"by_reason": dict(sorted(self.refused.items())), "by_task": tasks})


class Refusals:
    """Counts refused pairs by reason, and by task and reason."""

    def __init__(self, refused: Counter[str]) -> None:
        self.refused = Counter(refused)
        self.by_task: dict[str, Counter[str]] = {}

    def add(self, candidate: Candidate, reason: str) -> None:
        self.refused[reason] += 1
        if candidate.motion.label is not None:
            self.by_task.setdefault(candidate.motion.label, Counter())[reason] += 1


def choose(found: Survey, band: Band, caps: Caps) -> Chosen:
    """Good pairs in turn from every shot, rarer labels first; then whatever was refused between their frames."""
    counts = Refusals(found.refused)
    good: list[Candidate] = []
    reasons: dict[Candidate, str] = {}
    for c in found.candidates:
        reason = c.reason or band.reason(c.similarity if c.similarity is not None else -1.0)
        if reason is None:
            good.append(c)
        else:
            reasons[c] = reason
            counts.add(c, reason)
    kept: list[Candidate] = []
    times: set[float] = set()
    for c in _in_turn(good):
        ends = times | {c.source_s, c.target_s}
        if len(kept) >= caps.pairs or len(ends) > caps.frames:
            counts.add(c, "capped")
            continue
        kept.append(c)
        times = ends
    stored = [Judged(c, None) for c in kept]
    stored += [Judged(c, r) for c, r in reasons.items() if {c.source_s, c.target_s} <= times]
    stored.sort(key=lambda j: (j.candidate.source_s, j.candidate.target_s))
    return Chosen(tuple(sorted(times)), tuple(stored), counts.refused, counts.by_task)


def _in_turn(good: Sequence[Candidate]) -> list[Candidate]:
    """One of every (shot, label) after another; within one, distant gaps before their neighbors."""
    common = Counter(c.motion.label for c in good)
    lanes: dict[tuple[int, str | None], list[Candidate]] = {}
    for c in sorted(good, key=lambda c: (-c.gap_s, c.source_s)):
        lanes.setdefault((c.shot, c.motion.label), []).append(c)
    order = sorted(lanes, key=lambda k: (common[k[1]], k[0], str(k[1])))
    turned: list[Candidate] = []
    while any(lanes.values()):
        turned += [lanes[k].pop(0) for k in order if lanes[k]]
    return turned


def frame_key(group_id: str, at_s: float) -> str:
    """Key of a frame in the child dataset; sorts by time."""
    return f"{group_id}-{round(at_s * 1000):09d}.png"


def frame_row(group_id: str, key: str, number: int, size_px: tuple[int, int], skipped: str) -> dict[str, Any]:
    """A row of `tables.VERSIONS`. Every frame is a picture as it came.

    Args:
        size_px: width, height. skipped: of the group, `Chosen.skipped`; stored with number 0.
    """
    return {
        "group_id": group_id,
        "key": key,
        "number": number,
        "state": "{}",
        "mask": None,
        "experts": [],
        "width_px": size_px[0],
        "height_px": size_px[1],
        "skipped": skipped if number == 0 else None,
    }


def pair_rows(
    group_id: str,
    keys: tuple[str, str],
    types: Sequence[str],
    reason: str | None,
    changed_share: float | None,
    scores: Mapping[str, Any],
    validation_share: float,
) -> Iterator[dict[str, Any]]:
    """Two rows of `tables.PAIRS`, there and back, without instructions: rejected until somebody describes them."""
    for back, ends in enumerate((keys, keys[::-1])):
        yield {
            "pair_id": xxhash.xxh3_128_hexdigest(f"{list(ends)}|frames".encode()),
            "group_id": group_id,
            "split": split_of(group_id, validation_share),
            "kind": "frames",
            "source_keys": [ends[0]],
            "target_key": ends[1],
            "mask_keys": [],
            "types": [TASKS[t].inverse or t for t in types] if back else list(types),
            "imgedit": list(dict.fromkeys(TASKS[t].imgedit for t in types if TASKS[t].imgedit)),
            "spec": None,
            **dict.fromkeys(("en_short", "en_long", "zh_short", "zh_long", "instructed_by")),
            "target_is_real": True,
            "invents": any(TASKS[t].invents for t in types),
            "verdict": REJECT,
            "reasons": [reason or NO_INSTRUCTION],
            "changed_share": changed_share,
            "outside_psnr_db": None,
            "outside_ssim": None,
            "shift_px": None,
            "scores": json.dumps(dict(scores), sort_keys=True),
        }


def instructed(row: Mapping[str, Any], en: str, zh: str, by: str) -> dict[str, Any]:
    """The row with its instructions, accepted. What the model wrote is the short form; nothing is made up beside it."""
    return {
        **row,
        "en_short": en or None,
        "zh_short": zh or None,
        "instructed_by": by,
        "verdict": ACCEPT,
        "reasons": [],
    }


def clip_scores(judged: Judged, band: Band, encoder: str) -> dict[str, Any]:
    """What is stored about a pair of frames beside its columns."""
    c = judged.candidate
    known = {} if c.similarity is None else {"similarity": round(c.similarity, 5)}
    return {
        **known,
        **c.motion.scores(),
        "gap_s": round(c.gap_s, 4),
        "shot": c.shot,
        "band": [round(band.low, 5), round(band.high, 5)],
        "encoder": encoder,
    }
