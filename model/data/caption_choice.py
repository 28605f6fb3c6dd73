"""Which text a sample is trained on: drawn per epoch by the mix of the stage, among the kinds that the sample has."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from .drawing_numbers import uniform
from .errors import DataError

#: The text that came with the image.
ALT_TEXT = "text"
#: The text chosen at export (`KEY.txt`, column `caption`).
CHOSEN = "caption"
KIND = re.compile(r"(target_)?(en|zh)_[a-z_]+|text|caption")
#: What a drawn kind stands for where the condition is dropped, and where a sample has none of the mix's kinds.
DROPPED, NONE = -1, -2
_KIND_SALT, _DROP_SALT, _PROMPT_SALT = 1, 2, 3


@dataclass(frozen=True)
class CaptionMix:
    """Shares by kind: `en_long`, `zh_short`, `en_tags`, `en_user_prompts`, `en_enhanced`, ..., `text` (alt text),
    `caption` (chosen at export). Of an edit `en_short`, `zh_long`, ... are instructions (what differs), and
    `target_en_long`, ... captions of the target. What a sample lacks, its other kinds share.

    Attributes:
        shares: kind -> share >= 0; they need not sum to 1.
        dropout: share of samples trained without a condition, 0..1.
    """

    shares: Mapping[str, float] = field(default_factory=lambda: {CHOSEN: 1.0})
    dropout: float = 0.1

    def __post_init__(self) -> None:
        wrong = [k for k in self.shares if not KIND.fullmatch(k)]
        if wrong:
            raise DataError(
                f"captions: {wrong[0]!r} is no kind; write en_long, zh_short, ..., text or caption"
            )
        bad = [k for k, v in self.shares.items() if not 0 <= v < float("inf")]
        if bad or not sum(self.shares.values()) > 0:
            raise DataError(f"captions: {dict(self.shares)}: shares are numbers from 0, and not all 0")
        if not 0 <= self.dropout <= 1:
            raise DataError(f"condition dropout {self.dropout}: a share of 0..1 is wanted")

    @property
    def kinds(self) -> tuple[str, ...]:
        return tuple(k for k, share in self.shares.items() if share > 0)


def draw_kinds(
    mix: CaptionMix, has: np.ndarray, ids: np.ndarray, seed: int, epoch: int, turns: np.ndarray | None = None
) -> np.ndarray:
    """int64 [n]: index into `mix.kinds`, DROPPED, or NONE.

    Args:
        has: bool [n, kinds], which kinds each sample has.
        ids, turns: see `uniform`.
    """
    share = np.array([mix.shares[k] for k in mix.kinds]) * has
    limits = np.cumsum(share, axis=1)
    total = limits[:, -1]
    u = uniform(ids, seed, epoch, _KIND_SALT, turns)
    # The last limit of a row is exactly 1 and u is less, so a kind that the sample has is found.
    drawn = (u[:, None] >= limits / np.where(total > 0, total, 1.0)[:, None]).sum(axis=1)
    drawn = np.where(total > 0, drawn, NONE)
    return np.where(uniform(ids, seed, epoch, _DROP_SALT, turns) < mix.dropout, DROPPED, drawn)


def text_of(value: object, kind: str, u: float) -> str:
    """The text of a kind as it is stored: tags joined, of several simulated prompts the one that u in [0, 1) picks."""
    if isinstance(value, str):
        return value
    if not isinstance(value, Sequence):
        return ""
    parts = [v for v in value if isinstance(v, str) and v.strip()]
    if not parts:
        return ""
    if kind.endswith("prompts"):
        return parts[int(u * len(parts))]
    return ("，" if kind.startswith("zh") else ", ").join(parts)


def pick(ids: np.ndarray, seed: int, epoch: int, turns: np.ndarray | None = None) -> np.ndarray:
    """float64 [n]: which of several simulated prompts."""
    return uniform(ids, seed, epoch, _PROMPT_SALT, turns)
