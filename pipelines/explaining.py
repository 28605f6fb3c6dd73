"""Everything known of one sample, by family of signals: what `zcurate explain` prints."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np
import pyarrow as pa

from zcurate.curation.errors import DatasetError
from zcurate.curation.stage import OK
from zcurate.curation.store import SAMPLES
from zcurate.curation.store.lineage import BOOKKEEPING

from .decisions import is_decision, rule_sets
from .statuses import all_ok, statuses_of
from .view import View, open_view

#: Families in the order they are printed.
FAMILIES = (
    *("file", "metadata", "fingerprints", "compression", "degradations", "entropy"),
    *("scores", "text and concepts", "decisions", "other"),
)
_OF_GROUP = {
    **{SAMPLES: "file", "profile": "file", "metadata": "metadata", "quality": "degradations"},
    **{"scores": "scores", "weights": "decisions"},
    **dict.fromkeys(("ocr", "captions", "concepts"), "text and concepts"),
}
#: Columns of the profile that belong elsewhere than `file`, by the beginning of their names.
_OF_PROFILE = {
    **dict.fromkeys(("content_id", "pixel_hash", "phash"), "fingerprints"),
    **dict.fromkeys(("compression_", "jpeg_", "blockiness"), "compression"),
    **dict.fromkeys(("sharpness", "noise_", "color_cast", "dark_", "bright_"), "degradations"),
    **dict.fromkeys(("reencode_", "entropy_", "border_", "frame_", "dominant_", "grid_"), "entropy"),
}
_LONGEST_LIST = 64


def family_of(group: str, column: str) -> str:
    """One of `FAMILIES`."""
    if group == "profile":
        return next((f for start, f in _OF_PROFILE.items() if column.startswith(start)), "file")
    return _OF_GROUP.get(group, "decisions" if is_decision(group) else "other")


def explain_sample(url: str, sample_id: bytes) -> dict[str, Any]:
    """Every column of every group of one sample, and what each rule says of it, JSON-able.

    Returns:
        `sample_id`, `shard`, `row`; `groups`: group -> column -> value; `families`: family -> list of
        {column, value, unit, meaning} with qualified names, nulls left out; `outcome`: what all decisions
        come to, people's included; `rules`: one entry per rule.

    Raises:
        DatasetError: no such sample in the dataset.
    """
    view = open_view(url)
    found = view.find(sample_id)
    if found is None:
        raise DatasetError(
            f"{sample_id.hex()}: no such sample in {url}; 'zcurate errors' and 'search' print ids"
        )
    shard, row = found
    groups: dict[str, dict[str, Any]] = {}
    families: dict[str, list[dict[str, Any]]] = {name: [] for name in FAMILIES}
    for group in (SAMPLES, *view.plan.paths):
        index = view.index(group)
        if shard not in index.metas:
            continue
        path = SAMPLES if group == SAMPLES else index.path
        table = view.dataset.read(path, shard).slice(row, 1)
        groups[group] = {f.name: _readable(table.column(f.name)[0].as_py(), f.type) for f in table.schema}
        fields = {
            f.name: f.metadata or {} for f in (table.schema if group == SAMPLES else view.schema(group))
        }
        for name, value in groups[group].items():
            if value is None or name in BOOKKEEPING.names or (name == "sample_id" and group != SAMPLES):
                continue
            about = fields.get(name, {})
            families[family_of(group, name)].append(
                {
                    "column": f"{group}.{name}",
                    "value": value,
                    "unit": about.get(b"unit", b"").decode(),
                    "meaning": about.get(b"meaning", b"").decode(),
                }
            )
    rules = _rules(view, shard, row)
    return {
        "sample_id": sample_id.hex(),
        "shard": shard,
        "row": row,
        "outcome": _outcome(view, shard, row, groups, rules),
        "groups": groups,
        "families": {name: entries for name, entries in families.items() if entries},
        "rules": rules,
    }


def _outcome(
    view: View, shard: str, row: int, groups: Mapping[str, Mapping[str, Any]], rules: list[dict[str, Any]]
) -> str:
    """The first decision that drops a sample, and why, in a line."""
    if shard not in view.selection.bases:
        return "outside this run"
    here = view.table(shard, []).slice(row, 1).to_pylist()[0]
    if not here["live"]:
        return "not live: superseded, removed, or outside this run"
    base = view.selection.bases[shard]
    if row in base.dropped or row in base.kept:
        return f"{'dropped' if row in base.dropped else 'kept'} by people (zcurate prune DATASET --list, or a review)"
    dropped = next((g for g in view.decisions if not here[f"keep:{g}"]), None)
    if dropped is None:
        return "kept"
    values = groups.get(dropped, {})
    if values.get("_status") != OK:
        failed = next(
            (f"{g} failed: {v['_error_class']}" for g, v in groups.items() if v.get("_error_class")), None
        )
        return f"not kept: {failed or f'{dropped} has not decided on it'}"
    why = [
        f"{r['rule']}: {_line(r['reason'])}" for r in rules if (r["group"], r["verdict"]) == (dropped, "drop")
    ]
    if values.get("keeper_id"):
        kept = f"{values['sim_to_keeper']:.3f} like" if values.get("sim_to_keeper") is not None else "as"
        why.append(f"{values['reason']}, {kept} {_named(view, values['keeper_id'])}")
    elif values.get("reason"):
        why.append(_line(str(values["reason"])))
    return f"dropped by {dropped}" + (f" ({'; '.join(why)})" if why else "")


def _named(view: View, sample_id: str) -> str:
    """A sample by source, key and id."""
    found = view.find(bytes.fromhex(sample_id))
    if found is None:
        return sample_id
    shard, row = found
    about = view.dataset.read(SAMPLES, shard, ["source", "key"]).slice(row, 1).to_pylist()[0]
    return f"{_line(about['source'])}/{_line(about['key'])} ({sample_id})"


def _rules(view: View, shard: str, row: int) -> list[dict[str, Any]]:
    from zcurate.curation.filters import explain

    out = []
    for group, (rules, schema) in rule_sets(view.recipe).items():
        read = {c.rpartition(".")[0] for c in rules.columns}
        if not all(g == SAMPLES or view.has(g) for g in read):
            continue
        if shard in view.selection.bases:
            here = view.table(shard, [*rules.columns, *statuses_of(rules.columns)]).slice(row, 1)
            if not all_ok(here, rules.columns)[0]:
                continue  # the stage of these rules has nothing to decide on
            values = here.select([*rules.columns]).to_pylist()[0]
            out += [{"group": group, **plain(asdict(e))} for e in explain(values, rules, schema)]
    return out


def _readable(value: Any, type_: pa.DataType) -> Any:
    """As `plain`, with hashes (unsigned 64-bit columns) as 16 hex digits."""
    item = type_.value_type if pa.types.is_list(type_) or pa.types.is_fixed_size_list(type_) else type_
    if not pa.types.is_uint64(item) or value is None:
        return plain(value)
    return [f"{v:016x}" for v in value] if isinstance(value, list) else f"{value:016x}"


def plain(value: Any) -> Any:
    """JSON-able: ids as hex, long binaries and vectors by their size, floats that JSON has no word for as null."""
    if isinstance(value, Mapping):
        return {k: plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        numbers = len(value) > _LONGEST_LIST and all(isinstance(v, int | float) for v in value)
        return f"[{len(value)} numbers]" if numbers else [plain(v) for v in value]
    if isinstance(value, bytes):
        return value.hex() if len(value) <= 16 else f"[{len(value)} bytes]"
    if isinstance(value, np.generic):
        value = value.item()
    return None if isinstance(value, float) and not np.isfinite(value) else value


def print_explanation(facts: dict[str, Any]) -> None:
    """For people: families as sections with units, nulls left out, then the rules."""
    print(f"sample {facts['sample_id']}  (shard {facts['shard']}, row {facts['row']})")
    print(f"outcome: {facts['outcome']}")
    states = [f"{g} {v['_status']}" for g, v in facts["groups"].items() if v.get("_status")]
    print(f"status: {', '.join(states) or 'listed'}")
    for group, values in facts["groups"].items():
        if values.get("_error_class"):
            print(f"  {group}: {values['_error_class']}: {_line(values['_error_message'])}")
    for family, entries in facts["families"].items():
        print(f"\n{family}")
        for e in entries:
            text = show(e["value"])
            unit = f"[{e['unit']}]" if " " in e["unit"] else e["unit"]
            if text:
                print(f"  {e['column']:<28} {text} {unit}".rstrip())
    if facts["rules"]:
        print("\nrules")
        for r in facts["rules"]:
            values = ", ".join(f"{k.rpartition('.')[2]}={show(v) or 'none'}" for k, v in r["values"].items())
            why = f"  # {_line(r['reason'])}" if r["reason"] and r["verdict"] == "drop" else ""
            condition = f"{r['condition']}  ({values}){why}" if r["condition"] else "not for this source"
            print(f"  {r['verdict']:<8} {r['rule']}: {condition}")


def show(value: Any) -> str:
    """One line of text for a value: floats in six digits, lists with commas, control characters escaped."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, list):
        return ", ".join(show(v) for v in value)
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{k}: {show(v)}" for k, v in value.items()) + "}"
    return "" if value is None else _line(str(value))


def _line(text: str) -> str:
    """Untrusted text on a terminal: nothing in it may move the cursor or start a line."""
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)
