"""Marking samples out, by community, id or rule, with a reason; and taking that back.

Every prune is one file in `overlay/prune`, with author, time and reason; `keep` honors it whenever it is read,
so nothing is deleted and no stage runs. Taking an entry back appends another file that names it, with who did it, when
and why.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from zcurate.curation.errors import ConfigError, DatasetError
from zcurate.curation.store import Dataset
from zcurate.curation.store.overlay import add_decisions, add_undo, read_overlay

from .search_rows import Rows
from .view import open_view

_FOLDER = "overlay/prune"
_EXAMPLES = 5


def prune(
    url: str,
    reason: str,
    author: str,
    communities: Sequence[int] = (),
    ids: Sequence[bytes] = (),
    where: str | None = None,
    dry_run: bool = False,
) -> dict[str, Any]:
    """Mark samples out: those of any of the communities, the ids given, and where a rule is true.

    Args:
        communities: ids, of any level: the coarser, the more samples.
        where: grammar of `zcurate whatif`.

    Returns:
        entry (None in a dry run), samples, kept_before (of them, kept until now), unknown (ids that are not in the
        dataset), sources: name -> samples, examples.

    Raises:
        ConfigError: nothing asked for, no reason, a wrong rule, or a community nobody is in.
        DatasetError: the dataset has no communities.
    """
    if not (communities or ids or where):
        raise ConfigError("say what to prune: --community N, --ids FILE or --where RULE")
    if not dry_run and not reason.strip():
        raise ConfigError("--reason: write why; it is kept with the decision")
    view = open_view(url)
    rows = Rows(view)
    chosen = np.zeros(len(rows), bool)
    for community in communities:
        chosen |= _in_community(rows, community)
    unknown = 0
    if ids:
        inside, unknown = _of_ids(rows, ids)
        chosen |= inside
    if where is not None:
        chosen |= rows.where(where)
    chosen &= rows.states["live"]
    pruned = {i for i, keep in read_overlay(view.dataset).forced.items() if not keep}
    facts = rows.take(np.flatnonzero(chosen), ["samples.source", "samples.key"])
    new = {n: f for n, f in facts.items() if f["sample_id"] not in pruned}
    found = sorted(f["sample_id"] for f in new.values())
    kept = rows.states["kept"]
    entry = None
    if found and not dry_run:
        entry = (
            add_decisions(view.dataset, "prune", found, author, reason)
            .rsplit("/", 1)[-1]
            .removesuffix(".json")
        )
    return {
        "entry": entry,
        "samples": len(found),
        "already_pruned": len(facts) - len(new),
        "kept_before": sum(bool(kept[n]) for n in new),
        "unknown": unknown,
        "sources": dict(Counter(f["samples.source"] for f in new.values()).most_common()),
        "examples": [
            {"sample_id": f["sample_id"].hex(), "source": f["samples.source"], "key": f["samples.key"]}
            for f in list(new.values())[:_EXAMPLES]
        ],
    }


def _in_community(rows: Rows, community: int) -> np.ndarray:
    """bool [rows]: has the community, of whatever level, in its path."""
    if not rows.view.has("communities"):
        raise DatasetError(
            f"{rows.view.dataset.storage.url}: no communities yet; add the communities stage and run 'zcurate build'"
        )
    out = np.zeros(len(rows), bool)
    for shard in rows.shards:
        paths = rows.view.table(shard, ["communities.path"]).column("communities.path").to_pylist()
        hit = [p is not None and community in p for p in paths]
        out[rows.first(shard) : rows.first(shard) + len(hit)] = hit
    if not out.any():
        raise ConfigError(
            f"--community {community}: nobody is in it; 'zcurate search --json' prints communities"
        )
    return out


def _of_ids(rows: Rows, ids: Sequence[bytes]) -> tuple[np.ndarray, int]:
    wanted = set(ids)
    seen: set[bytes] = set()
    out = np.zeros(len(rows), bool)
    for shard in rows.shards:
        given = rows.view.table(shard, []).column("sample_id").to_pylist()
        hit = [i in wanted for i in given]
        seen.update(i for i, h in zip(given, hit, strict=True) if h)
        out[rows.first(shard) : rows.first(shard) + len(hit)] = hit
    return out, len(wanted - seen)


def entries(url: str) -> list[dict[str, Any]]:
    """Every prune so far, oldest first: entry, time, author, reason, samples; and who undid it, when and why."""
    dataset = Dataset.open(url)
    found: dict[str, dict[str, Any]] = {}
    undoing = []
    for info in dataset.storage.list(_FOLDER):
        record = _read(dataset, f"{_FOLDER}/{info.name}")
        known = {k: record.get(k) for k in ("time", "author", "reason")}
        if "undoes" in record:
            undoing.append((record["undoes"], known))
            continue
        name = info.name.removesuffix(".json")
        found[name] = {"entry": name, "samples": len(record["ids"]), **known, "undone": None}
    for name, known in undoing:
        if name in found:
            found[name]["undone"] = found[name]["undone"] or known
    return [found[name] for name in sorted(found)]


def undo(url: str, entry: str, author: str, reason: str = "") -> dict[str, Any]:
    """Take one prune back; what later entries or other people decided on the same samples stands.

    Raises:
        ConfigError: no such entry, or it is undone already.
    """
    dataset = Dataset.open(url)
    name = entry.strip().removesuffix(".json")
    standing = [e["entry"] for e in entries(url) if not e["undone"]]
    matches = [e for e in standing if e.startswith(name)] if name else []
    if len(matches) != 1:
        problem = "no such entry stands" if not matches else f"{len(matches)} entries begin so"
        raise ConfigError(f"--undo {entry!r}: {problem}; 'zcurate prune {url} --list' shows them")
    add_undo(dataset, matches[0], author, reason)
    samples = next(e["samples"] for e in entries(url) if e["entry"] == matches[0])
    return {"entry": matches[0], "samples": samples}


def _read(dataset: Dataset, path: str) -> dict[str, Any]:
    try:
        record = json.loads(dataset.storage.get(path))
        if not isinstance(record, dict) or not isinstance(record.get("ids"), list):
            raise ValueError("it has no list of ids")
    except ValueError as e:
        raise DatasetError(f"{path}: not a decision file ({e}); repair it or move it away") from e
    return record
