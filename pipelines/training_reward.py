"""`zcurate train-reward`: reviewed elements and a dataset's embeddings to the instruction head of the reward model."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from zcurate.captioner.elements import elements
from zcurate.curation.active.reward.claims import claim_dim, claim_vectors
from zcurate.curation.active.reward.fitting import Fitted, Judged, fit
from zcurate.curation.active.reward.model import RewardModel, load_instruction, write_instruction
from zcurate.curation.errors import ConfigError
from zcurate.curation.stage import OK

from .context import StageContext
from .registry import resolve
from .view import open_view


@dataclass(frozen=True)
class JudgedElement:
    """One element that somebody judged: of which sample (hex), its kind, its words, and whether the picture shows it (of
    what must be absent: the opposite of satisfied)."""

    sample_id: str
    kind: str
    words: str
    shown: bool


def train_reward(
    dataset: str, reviewed: Path, out: Path, plot: Path | None = None, seed: int = 0
) -> dict[str, Any]:
    """Train, write `out` and the plot, and return the facts.

    Args:
        reviewed: Parquet of `zcurate review --export` (`reviewed.parquet`).

    Raises:
        ConfigError: files of another form, a dataset without embeddings, or too little to train on.
    """
    if out.suffix != ".safetensors":
        raise ConfigError(f"--out {out}: a reward is a .safetensors file")
    view = open_view(dataset)
    if not view.has("embedding"):
        raise ConfigError(f"{dataset}: not embedded; run the embed stage first")
    model = (view.recipe.stages.get("embed") or {}).get("model", "embedded")
    context = StageContext(revisions=view.recipe.revisions)
    encoder = context.encoder(model)
    encoder.load()
    judged = list(read_reviewed(reviewed))
    wanted = {j.sample_id for j in judged}
    rows, vectors = {}, []
    for _, table in view.tables(["embedding.vector", "embedding._status"]):
        for row in table.to_pylist():
            name = row["sample_id"].hex()
            if name in wanted and row["live"] and row["embedding._status"] == OK:
                rows[name] = len(vectors)
                vectors.append(np.asarray(row["embedding.vector"], np.float32))
    known = [j for j in judged if j.sample_id in rows]
    if not known:
        raise ConfigError(
            f"{reviewed}: none of its {len(judged)} judged elements is about an embedded sample of {dataset}"
        )
    data = Judged(
        np.stack(vectors),
        np.array([rows[j.sample_id] for j in known]),
        claim_vectors([j.kind for j in known], [j.words for j in known], encoder),
        np.array([j.shown for j in known]),
    )
    try:
        fitted = fit(data, seed=seed)
    except ValueError as e:
        raise ConfigError(f"{reviewed}: {e}") from e
    identity = write_instruction(
        out, fitted, context.encoder_identity(model), (encoder.dim, claim_dim(encoder))
    )
    if plot:
        draw_calibration(fitted, plot)
    return {**fitted.facts, "identity": identity, "unmatched": len(judged) - len(known), "out": str(out)}


def read_reviewed(path: Path) -> Iterator[JudgedElement]:
    """Judged elements of a review export, in the words in which the reward is asked about them.

    Elements without `words`, of a file made elsewhere, are taken by their `text`.

    Raises:
        ConfigError: no such file, or an element of another form.
    """
    try:
        table = pq.read_table(path, columns=["kind", "subject", "elements"])
    except (OSError, pa.ArrowException, KeyError) as e:
        raise ConfigError(f"{path}: not a review export: {e}") from e
    for number, row in enumerate(table.to_pylist(), 1):
        if row["kind"] != "caption":
            continue
        try:
            for element in json.loads(row["elements"] or "[]"):
                if element.get("satisfied") is not None:
                    shown = bool(element["satisfied"]) is not bool(element.get("negated"))
                    words = element.get("words") or element["text"]
                    yield JudgedElement(row["subject"], element["kind"], words, shown)
        except (ValueError, KeyError, TypeError, AttributeError) as e:
            raise ConfigError(f"{path}, row {number}: elements: {e!r}; export the review again") from e


def load_reward(
    path: Path | str,
    model: str,
    ai_look: str | None = None,
    aesthetic: str | None = None,
    revisions: Mapping[str, str] | None = None,
) -> RewardModel:
    """The reward model of a file of `zcurate train-reward`.

    Args:
        model: encoder it was trained on. ai_look, aesthetic: heads, e.g. `linear:FILE`.
        revisions: of a recipe, which are part of the encoder's identity.

    Raises:
        ConfigError: not such a file, or trained on another encoder.
    """
    context = StageContext(revisions=revisions or {})
    encoder = context.encoder(model)
    encoder.load()
    network, temperature, identity, _ = load_instruction(path, encoder, context.encoder_identity(model))
    heads = [resolve("head", h) if h else None for h in (ai_look, aesthetic)]
    for head in heads:
        if head is not None:
            head.load()
    return RewardModel(
        encoder, network, temperature, lambda p: elements(p).elements, *heads, identity=identity
    )


def draw_calibration(fitted: Fitted, path: Path) -> None:
    """Predicted probability against the share that is satisfied, on elements held out."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    held = fitted.facts["held_out"]
    figure, axes = plt.subplots(figsize=(4.2, 4.2), dpi=140)
    axes.plot([0, 1], [0, 1], color="#bbb", linewidth=1, label="perfect")
    counts = np.array([b["count"] for b in held["bins"]], float)
    axes.plot(
        [b["predicted"] for b in held["bins"]],
        [b["true"] for b in held["bins"]],
        color="#00736b",
        linewidth=1,
    )
    axes.scatter(
        [b["predicted"] for b in held["bins"]], [b["true"] for b in held["bins"]],
        s=12 + 120 * counts / max(counts.max(), 1.0), color="#00736b", label="elements held out, area by count",
    )  # fmt: skip
    axes.set(
        xlabel="predicted",
        ylabel="satisfied",
        xlim=(0, 1),
        ylim=(0, 1),
        title=f"calibration error {held['calibration_error']:.3f}",
    )
    axes.legend(frameon=False, fontsize=8)
    figure.tight_layout()
    figure.savefig(path)
    plt.close(figure)
