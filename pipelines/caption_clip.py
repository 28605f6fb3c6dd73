"""CLIPScore of captions by the encoder of a dataset's embedding."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from zcurate.captioner.caption_measures import clip_scores, clip_sentences
from zcurate.curation.stage import OK

from .view import View


@dataclass
class ClipScorer:
    """CLIPScore by the encoder of the dataset's embedding."""

    encode: Callable[[list[str]], np.ndarray | None]
    language: str

    @staticmethod
    def open(view: View) -> ClipScorer | str:
        """The scorer, or why there is none."""
        if not view.has("embedding"):
            return "no embedding stage in the recipe"
        stage = next((s for s in view.plan.stages if "embedding" in s.bound.spec.outputs), None)
        name = str(stage.bound.spec.config.get("model", "")) if stage else ""
        if name.partition(":")[0] not in ("openclip", "cnclip", "siglip"):
            return f"encoder {name or 'unknown'!r} does not read texts as CLIP does"
        from .registry import resolve

        encoder = resolve("encoder", name)
        if not encoder.has_text:
            return f"encoder {name!r} has no text tower"
        return ClipScorer(encoder.encode_texts, "zh" if name.startswith("cnclip:") else "en")

    def scores(
        self, view: View, shard: str, rows: Sequence[Mapping[str, Any]]
    ) -> list[dict[str, float] | None]:
        """Per row: sentence-wise max and mean of the long caption, and the short one's score."""
        stored = view.table(shard, ["embedding.vector", "embedding._status"])
        vectors = dict(
            zip(
                stored.column("sample_id").to_pylist(),
                stored.column("embedding.vector").to_pylist(),
                strict=True,
            )
        )
        texts, owners = [], []
        for i, row in enumerate(rows):
            if row["status"] == OK and vectors.get(row["sample_id"]) is not None:
                long = clip_sentences(row["captions"].get(f"{self.language}_long") or "")
                short = row["captions"].get(f"{self.language}_short")
                texts += [*long, *([short] if short else [])]
                owners += [(i, "long")] * len(long) + ([(i, "short")] if short else [])
        encoded = self.encode(texts) if texts else None
        if encoded is None:
            return [None] * len(rows)
        cosines: dict[tuple[int, str], list[float]] = {}
        for (i, kind), vector in zip(owners, encoded, strict=True):
            image = np.asarray(vectors[rows[i]["sample_id"]], np.float32)
            cosines.setdefault((i, kind), []).append(float(image @ vector))
        found: list[dict[str, float] | None] = [None] * len(rows)
        for (i, kind), values in cosines.items():
            most, mean = clip_scores(values)
            one = found[i] = found[i] or {}
            one |= (
                {f"clip_{kind}_max": most, f"clip_{kind}_mean": mean}
                if kind == "long"
                else {"clip_short": most}
            )
        return found
