"""Scenes as a feed of the trainer: drawn anew by number, the same on any number of ranks, resumed exactly."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..examples import Example
from .drawing import render
from .words import captions, prompt_of
from .world import Distribution, SceneSpec, sample_spec

#: Kind of text -> weight. `prompt` is what probes ask with (`words.prompt_of`).
DEFAULT_MIX: Mapping[str, float] = {
    **{"en_prompt": 4, "en_long": 1, "en_medium": 1, "en_short": 2, "en_user_prompts": 1, "en_tags": 0.5},
    **{"zh_prompt": 1, "zh_short": 0.5},
}


@dataclass
class ShapesFeed:
    """Micro-batches of scenes. Scene n of seed s is one scene, whoever draws it.

    Attributes:
        batch: scenes per micro-batch and rank. steps: micro-batches per epoch; scenes never repeat between epochs.
        caption_mix: kind of text -> weight. dropout: share of scenes without a condition.
        change: (scene, its text) -> another text, e.g. wrong captions planted by a test.
        pool: scenes to draw from in shuffled order, once per epoch, in place of endless new ones.
    """

    seed: int = 0
    batch: int = 64
    steps: int = 1000
    distribution: Distribution = field(default_factory=Distribution)
    caption_mix: Mapping[str, float] = field(default_factory=lambda: dict(DEFAULT_MIX))
    dropout: float = 0.1
    rank: int = 0
    ranks: int = 1
    change: Callable[[SceneSpec, str], str] | None = None
    pool: tuple[SceneSpec, ...] | None = None
    _step: int = 0

    def __iter__(self) -> Iterator[list[Example]]:
        """From the cursor to the end of its epoch."""
        end = (self._step // self.steps + 1) * self.steps
        while self._step < end:
            first = (self._step * self.ranks + self.rank) * self.batch
            batch = [self.example(n) for n in range(first, first + self.batch)]
            self._step += 1
            yield batch

    def __len__(self) -> int:
        return self.steps

    def scene(self, number: int) -> SceneSpec:
        """Scene `number` of the feed."""
        if self.pool is None:
            return sample_spec(np.random.default_rng([self.seed, 0, number]), self.distribution)
        turn, at = divmod(number, len(self.pool))
        order = np.random.default_rng([self.seed, 1, turn]).permutation(len(self.pool))
        return self.pool[int(order[at])]

    def example(self, number: int) -> Example:
        spec = self.scene(number)
        rng = np.random.default_rng([self.seed, 2, number])
        text = "" if rng.random() < self.dropout else self._text(spec, rng, number)
        return Example(spec.id, text, render(spec), text_tokens=len(text.encode()))

    def _text(self, spec: SceneSpec, rng: np.random.Generator, number: int) -> str:
        kinds = list(self.caption_mix)
        weights = np.array([self.caption_mix[k] for k in kinds], np.float64)
        kind = kinds[int(rng.choice(len(kinds), p=weights / weights.sum()))]
        language, _, name = kind.partition("_")
        if name == "prompt":
            text = prompt_of(spec, language)
        else:
            found = captions(spec, number)[language][name]
            if name == "tags":
                text = ", ".join(found) if language == "en" else "，".join(found)
            else:
                text = found if isinstance(found, str) else found[int(rng.integers(len(found)))]
        return text if self.change is None else self.change(spec, text)

    def state_dict(self) -> dict[str, Any]:
        return {
            "feed": "shapes",
            "seed": self.seed,
            "batch": self.batch,
            "ranks": self.ranks,
            "step": self._step,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Raises ValueError for the cursor of another feed. Another number of ranks goes on behind the same scenes."""
        if state.get("feed") != "shapes" or state.get("seed") != self.seed:
            raise ValueError(f"a cursor of another feed: {state}; this one has seed {self.seed}")
        drawn = int(state["step"]) * int(state["batch"]) * int(state["ranks"])
        self._step = -(-drawn // (self.batch * self.ranks))
