"""Sampling settings of each row of a batch, for `generate` of transformers, whose own hold for a whole batch.

Sampling is done as argmax of logits / temperature + Gumbel noise, which draws from the same distribution, with a
generator per row: an answer depends on its own seed and not on what else is in the batch.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from transformers import LogitsProcessor, StoppingCriteria

from ..chat import Sampling


class RowSampling(LogitsProcessor):
    """Changes logits so that greedy decoding samples each row by its own settings.

    Args:
        samplings: one per row. Temperature 0 leaves a row greedy; seed None draws a random one.
        prompt: length of the prompts in tokens; penalties apply to what comes after.
    """

    def __init__(self, samplings: Sequence[Sampling], prompt: int):
        self._samplings, self._prompt = list(samplings), prompt
        self._generators = []
        for s in self._samplings:
            generator = torch.Generator()
            if s.seed is None:
                generator.seed()
            else:
                generator.manual_seed(s.seed % (1 << 63))
            self._generators.append(generator)

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        """(rows, tokens) int64 and (rows, vocabulary) logits -> logits, float32."""
        out = scores.to(torch.float32, copy=True)
        for i, (s, generator) in enumerate(zip(self._samplings, self._generators, strict=True)):
            row = out[i]
            if s.presence_penalty:
                written = input_ids[i, self._prompt :].unique()
                row = row.index_add(
                    0, written, torch.full_like(written, -s.presence_penalty, dtype=row.dtype)
                )
            if s.temperature > 0:
                row = row / s.temperature
                if s.top_p is not None and s.top_p < 1:
                    row = _nucleus(row, s.top_p)
                uniform = torch.rand(row.shape, generator=generator).clamp_(1e-20, 1 - 1e-7)
                row = row - torch.log(-torch.log(uniform)).to(row.device)
            out[i] = row
        return out


class RowLimits(StoppingCriteria):
    """Ends each row at its own number of new tokens."""

    def __init__(self, limits: Sequence[int], prompt: int):
        self._limits, self._prompt = torch.tensor(list(limits)), prompt

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor, **_: object) -> torch.Tensor:
        return (input_ids.shape[1] - self._prompt >= self._limits).to(input_ids.device)


def _nucleus(row: torch.Tensor, top_p: float) -> torch.Tensor:
    """Logits with those outside of the smallest set of mass `top_p` at -inf; the likeliest always stays."""
    ordered, order = row.sort(descending=True)
    before = ordered.softmax(-1).cumsum(-1) - ordered.softmax(-1)
    return row.index_fill(0, order[before >= top_p], float("-inf"))
