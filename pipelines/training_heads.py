"""`zcurate train-head`: labels and a dataset's embeddings to a head file and its model card."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from zcurate.curation.errors import ConfigError
from zcurate.curation.scoring.errors import LabelError
from zcurate.curation.scoring.fitting import FittedHead, fit_head
from zcurate.curation.scoring.head import HeadInfo, Kind
from zcurate.curation.scoring.linear import write_head
from zcurate.curation.stage import OK

from .context import StageContext
from .view import View, open_view

_COLUMNS = ["samples.key", "samples.source", "profile.content_id", "embedding.vector", "embedding._status"]
_VALUE_NAMES, _ID_NAMES = ("label", "score"), ("sample_id", "key")
_WORDS = {"true": 1.0, "false": 0.0, "yes": 1.0, "no": 0.0}


@dataclass(frozen=True)
class Label:
    """One line of a label file: `name` is a sample id (32 hex digits) or a key."""

    name: str
    source: str | None
    value: float


@dataclass
class Matched:
    """Labeled rows of a dataset, and how many labels found no row."""

    x: np.ndarray
    y: np.ndarray
    groups: np.ndarray
    unmatched: list[str] = field(default_factory=list)
    without_embedding: int = 0


def train_head(
    dataset: str, labels: Path, out: Path, kind: Kind, folds: int, limits: tuple[float, float]
) -> dict[str, Any]:
    """Fit, write `out` and the card beside it, and return the facts of the card.

    Raises:
        ConfigError: no embedding in the dataset, or labels that cannot be read or trained on.
    """
    if out.suffix != ".safetensors":
        raise ConfigError(f"--out {out}: a head is a .safetensors file")
    if not out.parent.is_dir():
        raise ConfigError(f"--out {out}: no directory {out.parent}")
    lines = read_labels(labels, kind, limits)
    view = open_view(dataset)
    if not view.has("embedding"):
        raise ConfigError(f"{dataset}: no embedding; 'zcurate run embed {dataset}' makes it")
    found = match(view, lines)
    if not len(found.y):
        raise LabelError(
            f"{labels}: none of {len(lines)} labels names an embedded sample of {dataset}, e.g. "
            f"{lines[0].name!r}; 'zcurate errors' and 'zcurate search' print ids and keys"
        )
    model = str(view.recipe.stages.get("embed", {}).get("model") or "embedded")
    context = StageContext(revisions=view.recipe.revisions)
    info = HeadInfo(found.x.shape[1], kind, limits, context.encoder_identity(model), "zcurate")
    fitted = fit_head(found.x, found.y, found.groups, kind, folds, limits)
    facts = {
        "head": str(out),
        "kind": kind,
        "range": list(limits),
        "encoder": model,
        "encoder_identity": info.encoder,
        "dim": info.dim,
        "labels": len(lines),
        "used": len(found.y),
        "groups": len(np.unique(found.groups)),
        "unmatched": len(found.unmatched),
        "unmatched_examples": found.unmatched[:3],
        "without_embedding": found.without_embedding,
        "label_mean": float(found.y.mean()),
        "label_deviation": float(found.y.std()),
        "folds": folds,
        "strength": fitted.strength,
        "metrics": fitted.evaluation.metrics,
        "calibration": [asdict(b) for b in fitted.evaluation.calibration],
    }
    kept = {k: facts[k] for k in ("used", "groups", "folds", "strength", "metrics")}
    write_head(out, fitted.layers, info, facts=kept)
    card = out.with_suffix(".md")
    card.write_text(model_card(facts, fitted), encoding="utf-8")
    return facts | {"card": str(card)}


def read_labels(file: Path, kind: Kind, limits: tuple[float, float]) -> list[Label]:
    """Lines of a CSV or Parquet file: `sample_id` or `key` (and `source`), and `label` or `score`.

    Raises:
        LabelError: names the column or the row that is wrong.
    """
    table = _table(file)
    value_name = _one_of(table, _VALUE_NAMES, file)
    id_name = _one_of(table, _ID_NAMES, file)
    values = table.column(value_name).to_pylist()
    names = table.column(id_name).to_pylist()
    sources = table.column("source").to_pylist() if "source" in table.column_names else [None] * len(names)
    low, high = (0.0, 1.0) if kind == "logistic" else limits
    lines = []
    for row, (name, source, raw) in enumerate(zip(names, sources, values, strict=True), 1):
        value = _number(raw)
        if name is None or value is None:
            raise LabelError(f"{file}, row {row}: {id_name} {name!r}, {value_name} {raw!r}")
        if not low <= value <= high or (kind == "logistic" and value not in (0, 1)):
            fix = "a logistic head takes 0 and 1" if kind == "logistic" else "--range sets the scale"
            raise LabelError(f"{file}, row {row}: {value_name} {raw!r} is outside {low:g} to {high:g}; {fix}")
        text = name.hex() if isinstance(name, bytes) else str(name)
        lines.append(Label(text.lower() if id_name == "sample_id" else text, source, value))
    if not lines:
        raise LabelError(f"{file}: no rows")
    return lines


def _table(file: Path) -> pa.Table:
    try:
        if file.suffix == ".parquet":
            import pyarrow.parquet as pq

            return pq.read_table(file)
        if file.suffix == ".csv":
            from pyarrow import csv

            # keys such as 00012 are names, not numbers
            as_text = csv.ConvertOptions(
                column_types={n: pa.string() for n in (*_ID_NAMES, *_VALUE_NAMES, "source")},
                strings_can_be_null=True,
                null_values=[""],
            )
            return csv.read_csv(file, convert_options=as_text)
    except pa.ArrowInvalid as e:
        raise LabelError(f"{file}: cannot be read: {str(e)[:200]}") from e
    except OSError as e:
        raise LabelError(f"{file}: cannot be read: {e.strerror or e}") from e
    raise LabelError(f"{file}: labels are a .csv or .parquet file")


def _one_of(table: pa.Table, names: Sequence[str], file: Path) -> str:
    having = [n for n in names if n in table.column_names]
    if len(having) != 1:
        raise LabelError(
            f"{file}: needs one column of {' or '.join(names)}; it has {', '.join(table.column_names)[:200]}"
        )
    return having[0]


def _number(raw: Any) -> float | None:
    try:
        value = _WORDS.get(raw.strip().lower(), raw) if isinstance(raw, str) else raw
        value = float(value)
    except (TypeError, ValueError):
        return None
    return value if np.isfinite(value) else None


def match(view: View, lines: Sequence[Label]) -> Matched:
    """Join labels with embeddings. A sample labeled several times counts several times.

    Raises:
        LabelError: a key that several sources have, and no `source` column says which.
    """
    by_name: dict[str, list[int]] = {}
    for i, line in enumerate(lines):
        by_name.setdefault(line.name, []).append(i)
    found_at: dict[int, tuple[str, str]] = {}
    vectors, y, contents, copies = [], [], [], []
    missing = 0
    columns = [*_COLUMNS, *(["groups.group_id"] if view.has("groups") else [])]
    for _, table in view.tables(columns):
        live = table.column("live").to_pylist()
        ids, keys = table.column("sample_id").to_pylist(), table.column("samples.key").to_pylist()
        sources = table.column("samples.source").to_pylist()
        picked: list[int] = []
        for row in np.flatnonzero(live).tolist():
            for name in (ids[row].hex(), keys[row]):
                for i in by_name.get(name, ()):
                    if lines[i].source not in (None, sources[row]):
                        continue
                    if i in found_at:
                        raise LabelError(
                            f"key {name!r} is in sources {found_at[i][1]!r} and {sources[row]!r}: "
                            "give a source column, or sample_id"
                        )
                    found_at[i] = (name, sources[row])
                    if table.column("embedding._status")[row].as_py() == OK:
                        picked.append(row)
                        y.append(lines[i].value)
                    else:
                        missing += 1
        if picked:
            part = table.take(picked)
            flat = part.column("embedding.vector").combine_chunks().flatten().to_numpy(zero_copy_only=False)
            vectors.append(flat.reshape(len(picked), -1).astype(np.float32))
            contents += part.column("profile.content_id").to_pylist()
            copies += (
                part.column("groups.group_id").to_pylist()
                if "groups.group_id" in columns
                else [None] * len(picked)
            )
    unmatched = [line.name for i, line in enumerate(lines) if i not in found_at]
    x = np.concatenate(vectors) if vectors else np.empty((0, 0), np.float32)
    return Matched(x, np.array(y), number_groups(contents, copies), unmatched, missing)


def number_groups(contents: Sequence[bytes], copies: Sequence[bytes | None]) -> np.ndarray:
    """Int [n]: rows of equal bytes or of one duplicate group share a number.

    Numbers follow the smallest content id of each, so they do not depend on the order of rows.
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    if not contents:
        return np.empty(0, int)
    nodes: dict[tuple[str, bytes], int] = {}
    edges = []
    for content, copy in zip(contents, copies, strict=True):
        a = nodes.setdefault(("content", content), len(nodes))
        b = a if copy is None else nodes.setdefault(("copy", copy), len(nodes))
        edges.append((a, b))
    a, b = np.array(edges).T
    graph = coo_array((np.ones(len(a)), (a, b)), (len(nodes), len(nodes)))
    component = connected_components(graph, directed=False)[1][a]
    smallest: dict[int, bytes] = {}
    for c, content in zip(component.tolist(), contents, strict=True):
        smallest[c] = min(smallest.get(c, content), content)
    number = {c: i for i, c in enumerate(sorted(smallest, key=smallest.__getitem__))}
    return np.array([number[c] for c in component.tolist()])


def model_card(facts: dict[str, Any], fitted: FittedHead) -> str:
    """The card as Markdown."""
    metrics = "\n".join(f"| {name} | {value:.4f} |" for name, value in facts["metrics"].items())
    bins = "\n".join(
        f"| {b.predicted:.3f} | {b.observed:.3f} | {b.rows} |" for b in fitted.evaluation.calibration
    )
    low, high = facts["range"]
    counts = f"{facts['used']} used, {facts['unmatched']} named no sample of the dataset"
    spread = f"mean {facts['label_mean']:.3f}, standard deviation {facts['label_deviation']:.3f}"
    gives = "a probability" if facts["kind"] == "logistic" else f"a value from {low:g} to {high:g}"
    fit = "L2-regularized logistic regression" if facts["kind"] == "logistic" else "ridge regression"
    return f"""# {Path(facts["head"]).name}

A linear head ({fit}, penalty {facts["strength"]:g}) on image embeddings; it gives {gives}.

- Encoder: `{facts["encoder"]}`, {facts["dim"]} numbers. Other encoders are refused.
- Its identity: `{facts["encoder_identity"]}`
- Labels: {facts["labels"]} lines; {counts}, {facts["without_embedding"]} had no embedding; {spread}.
- Copies: these labels fall into {facts["groups"]} groups of duplicates, never split between training and test.

## Metrics

Of predictions made by {facts["folds"]}-fold cross-validation for rows the model had not seen; the
penalty is chosen inside each fold.

| metric | value |
|---|---|
{metrics}

## Calibration

| predicted, mean | label, mean | rows |
|---|---|---|
{bins}

## Limits

The head repeats the taste and the mistakes of these labels, on pictures like these. The figures say
nothing of other pictures.
"""
