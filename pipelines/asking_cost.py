"""What questions to a model will cost: requests, tokens and money, before they are asked."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from zcurate.captioner.packs import Prompt

from .chat_settings import ChatSettings, prices_of

#: Characters of a token, roughly: English prompts have about four, Chinese answers about one and a half.
CHARS_PER_TOKEN = 3.5


@dataclass(frozen=True)
class AskingCost:
    """Attributes:
    requests: questions, without tries that are repeated.
    tokens_in, tokens_out: expected, pictures included.
    money: in the currency of the prices given; None without prices.
    cap: the most the recipe allows, in the same currency.
    measured: tokens are an average of rows done in this dataset, not typical figures.
    """

    requests: int
    tokens_in: int
    tokens_out: int
    money: float | None = None
    cap: float | None = None
    measured: bool = False


def mean_tokens(tables: Iterable[pa.Table]) -> tuple[float, float] | None:
    """Tokens in and out per row, over rows that have both (`tokens_in`, `tokens_out`); None where none has."""
    total_in = total_out = rows = 0
    for table in tables:
        known = table.filter(pc.and_(pc.is_valid(table["tokens_in"]), pc.is_valid(table["tokens_out"])))
        rows += len(known)
        total_in += pc.sum(known["tokens_in"]).as_py() or 0
        total_out += pc.sum(known["tokens_out"]).as_py() or 0
    return (total_in / rows, total_out / rows) if rows else None


def cost_of(
    settings: ChatSettings,
    stage: str,
    rows: int,
    done: Iterable[pa.Table],
    prompts: Sequence[Prompt],
    pictures: int,
    typical_out: float,
) -> AskingCost:
    """What so many rows will cost, by rows done before, else by typical figures.

    Args:
        done: shards of the group, for figures of this dataset.
        prompts: one per question that a row takes.
        pictures: shown over all questions of a row.
        typical_out: tokens written per row.
    """
    prices = prices_of(settings, stage)
    per_row = mean_tokens(done)
    measured = per_row is not None
    if per_row is None:
        texts = sum(len(p.system) + len(p.user) for p in prompts) / CHARS_PER_TOKEN
        per_row = (texts + pictures * settings.image_tokens, typical_out)
    tokens_in, tokens_out = (round(rows * n) for n in per_row)
    priced = settings.price_in or settings.price_out
    money = prices.cost(tokens_in, tokens_out) if priced else None
    return AskingCost(rows * len(prompts), tokens_in, tokens_out, money, settings.max_cost, measured)


def family_of(settings: ChatSettings) -> str:
    """The family of prompts that a stage with these settings uses."""
    from zcurate.captioner import packs

    return packs.family_of(settings.engine) if settings.family == "auto" else settings.family
