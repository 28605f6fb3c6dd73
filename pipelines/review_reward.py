"""Pseudo-labels of a review: what a reward model guesses of every proposed caption, from the dataset's embeddings."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from zcurate.curation.active.review.routing import uncertainty_of
from zcurate.curation.errors import ConfigError
from zcurate.curation.stage import OK

from .view import View

VECTOR, STATUS = "embedding.vector", "embedding._status"


class Guesses:
    """A reward model over a dataset.

    Args:
        view: of an embedded dataset. file: of `zcurate train-reward`, trained on the same encoder.

    Raises:
        ConfigError: no embeddings, no such file, or one of another encoder.
    """

    columns = (VECTOR, STATUS)

    def __init__(self, view: View, file: Path):
        from .training_reward import load_reward

        if not view.has("embedding"):
            raise ConfigError(
                f"--reward: {view.dataset.storage.url} is not embedded; run the embed stage first"
            )
        model = (view.recipe.stages.get("embed") or {}).get("model", "embedded")
        self._model = load_reward(file, model, revisions=view.recipe.revisions)

    def of(self, rows: Sequence[dict[str, Any]], texts: Sequence[str | None]) -> list[dict[str, Any] | None]:
        """For each row `instruction` (expected share of elements satisfied, 0..1), `elements` (id -> probability),
        `uncertainty` (0..1) and `model`; None without a text, an element or a vector.

        Args:
            texts: the caption of each row that its elements are of.
        """
        asked = [
            i for i, (row, text) in enumerate(zip(rows, texts, strict=True)) if text and row[STATUS] == OK
        ]
        found: list[dict[str, Any] | None] = [None] * len(rows)
        if not asked:
            return found
        vectors = np.stack([np.asarray(rows[i][VECTOR], np.float32) for i in asked])
        for i, reward in zip(asked, self._model.of_vectors(vectors, [texts[i] for i in asked]), strict=True):
            if reward.instruction is not None:
                found[i] = {
                    "instruction": round(reward.instruction, 4),
                    "elements": {e: round(p, 4) for e, p in reward.elements.items()},
                    "uncertainty": round(uncertainty_of(reward.elements.values()) or 0.0, 4),
                    "model": self._model.identity,
                }
        return found
