"""The stored form of groups: versions as samples of a child dataset, and tables of versions and of pairs."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import pyarrow as pa
import xxhash

from ..stage import MAX_MESSAGE_CHARS, field_of
from .checks import Measures, Verdict
from .making import Group, JudgedPair, ReferencePair
from .taxonomy import TASKS

_STRINGS = pa.list_(pa.string())

VERSIONS = pa.schema(
    [
        field_of("group_id", pa.string(), "pictures of one group never lie on both sides of a split"),
        field_of("key", pa.string(), "key of the version in the child dataset"),
        field_of("number", pa.int32(), "0 is the real picture"),
        field_of(
            "state",
            pa.string(),
            "JSON: slot -> value; {} is the picture as it came; null: a picture beside the group",
        ),
        field_of(
            "mask", pa.binary(), "PNG, 1 bit: where it may differ from the real picture; null: anywhere"
        ),
        field_of("experts", _STRINGS, "who made it, in order"),
        field_of("width_px", pa.int32(), "width", "px"),
        field_of("height_px", pa.int32(), "height", "px"),
        field_of(
            "skipped",
            pa.string(),
            "JSON, of number 0 only: what was left out: by_reason {reason: n}, by_task {task: {reason: n}}",
        ),
    ]
)

PAIRS = pa.schema(
    [
        field_of("pair_id", pa.string(), "hash of group, versions and spec"),
        field_of("group_id", pa.string(), "as in the table of versions"),
        field_of("split", pa.string(), "train or validation; one for a whole group"),
        field_of("kind", pa.string(), "forward, inverse, mixed, reference or frames"),
        field_of(
            "source_keys", _STRINGS, "one to four pictures, in the order the instruction speaks of them"
        ),
        field_of("target_key", pa.string(), "picture to be made"),
        field_of(
            "mask_keys", _STRINGS, "versions whose masks joined hold what may change; empty: anything may"
        ),
        field_of("types", _STRINGS, "tasks, in the order of the spec"),
        field_of("imgedit", _STRINGS, "tasks of ImgEdit's benchmark"),
        field_of("spec", pa.string(), "JSON of what was done, exactly; null for frames of a video"),
        field_of("en_short", pa.string(), "instruction"),
        field_of("en_long", pa.string(), "instruction that also says what stays"),
        field_of("zh_short", pa.string(), "instruction in Chinese"),
        field_of("zh_long", pa.string(), "instruction in Chinese that also says what stays"),
        field_of("instructed_by", pa.string(), "template, or the model that wrote the instructions"),
        field_of("target_is_real", pa.bool_(), "the target is a picture as it came"),
        field_of("invents", pa.bool_(), "the target shows what the source does not hold"),
        field_of("verdict", pa.string(), "accept, reject or negative"),
        field_of("reasons", _STRINGS, "why it was not accepted"),
        field_of("changed_share", pa.float32(), "share of pixels that differ", "0..1"),
        field_of("outside_psnr_db", pa.float32(), "PSNR out of the mask, 99 for identical", "dB"),
        field_of("outside_ssim", pa.float32(), "structural similarity out of the mask", "-1..1"),
        field_of("shift_px", pa.float32(), "shift of what should stay", "px"),
        field_of("scores", pa.string(), "JSON: further scores by name (read-back, judge, similarity)"),
    ]
)


#: Pictures that got no group.
REFUSED = pa.schema(
    [
        field_of("group_id", pa.string(), "the group it would have had: its sample id"),
        field_of("key", pa.string(), "key of the picture in the dataset"),
        field_of("error_class", pa.string(), "kind of fault"),
        field_of("error", pa.string(), "why it cannot be edited"),
    ]
)


def refused_row(group_id: str, key: str | None, error: Exception) -> dict[str, Any]:
    """A row of `REFUSED`."""
    return {
        "group_id": group_id,
        "key": key,
        "error_class": type(error).__name__,
        "error": str(error)[:MAX_MESSAGE_CHARS],
    }


def version_key(group: Group, number: int) -> str:
    return f"{group.key}-{number:02d}.png"


def version_rows(group: Group) -> Iterator[dict[str, Any]]:
    """Rows of `VERSIONS`."""
    for number, version in enumerate(group.versions):
        yield {
            "group_id": group.key,
            "key": version_key(group, number),
            "number": number,
            "state": None
            if version.state is None
            else json.dumps(dict(version.state), ensure_ascii=False, sort_keys=True, separators=(",", ":")),
            "mask": version.mask_png,
            "experts": list(version.experts),
            "width_px": version.width_px,
            "height_px": version.height_px,
            "skipped": _skipped(group) if number == 0 else None,
        }


def _skipped(group: Group) -> str:
    counted = group.counted
    by_task = {task: dict(sorted(reasons.items())) for task, reasons in sorted(counted.by_task.items())}
    return json.dumps({"by_reason": dict(sorted(counted.skipped.items())), "by_task": by_task})


def pair_rows(group: Group, validation_share: float = 0.0) -> Iterator[dict[str, Any]]:
    """Rows of `PAIRS`."""
    split = split_of(group.key, validation_share)
    for judged in group.pairs:
        yield pair_row(group, judged, split)
    for reference in group.references:
        yield reference_row(group, reference, split)


def pair_row(group: Group, judged: JudgedPair, split: str) -> dict[str, Any]:
    pair = judged.pair
    ends = (pair.source, pair.target)
    keys = [version_key(group, n) for n in ends]
    spec = pair.spec.to_json()
    masked = all(n == 0 or group.versions[n].mask_png is not None for n in ends)
    tasks = [TASKS[t] for t in pair.types]
    return {
        "pair_id": xxhash.xxh3_128_hexdigest(f"{keys}|{spec}".encode()),
        "group_id": group.key,
        "split": split,
        "kind": pair.kind,
        "source_keys": keys[:1],
        "target_key": keys[1],
        "mask_keys": [k for n, k in zip(ends, keys, strict=True) if n] if masked else [],
        "types": list(pair.types),
        "imgedit": list(dict.fromkeys(t.imgedit for t in tasks if t.imgedit)),
        "spec": spec,
        **judged.instructions,
        "instructed_by": "template",
        "target_is_real": pair.target_is_real,
        "invents": any(t.invents for t in tasks),
        **_judged(judged.verdict, judged.measures),
    }


def reference_row(group: Group, pair: ReferencePair, split: str) -> dict[str, Any]:
    """A row of `PAIRS` with several sources."""
    made = pair.made
    keys = [version_key(group, n) for n in pair.sources]
    target = version_key(group, pair.target)
    tasks = [TASKS[t] for t in made.types]
    return {
        "pair_id": xxhash.xxh3_128_hexdigest(f"{keys}|{target}|{made.spec}".encode()),
        "group_id": group.key,
        "split": split,
        "kind": "reference",
        "source_keys": keys,
        "target_key": target,
        "mask_keys": [] if made.base is None else [version_key(group, made.base)],
        "types": list(made.types),
        "imgedit": list(dict.fromkeys(t.imgedit for t in tasks if t.imgedit)),
        "spec": made.spec,
        **made.instructions,
        "instructed_by": "template",
        "target_is_real": False,
        "invents": any(t.invents for t in tasks),
        **_judged(made.verdict, made.measures),
    }


def _judged(verdict: Verdict, found: Measures) -> dict[str, Any]:
    return {
        "verdict": verdict.status,
        "reasons": list(verdict.reasons),
        "changed_share": found.changed_share,
        "outside_psnr_db": found.outside_psnr_db,
        "outside_ssim": found.outside_ssim,
        "shift_px": found.shift_px,
        "scores": json.dumps(verdict.scores, sort_keys=True) if verdict.scores else None,
    }


def split_of(group_id: str, validation_share: float) -> str:
    """The split of a group, by hash: the same wherever and whenever it is asked."""
    drawn = xxhash.xxh3_64_intdigest(f"split|{group_id}".encode()) / 2**64
    return "validation" if drawn < validation_share else "train"


def table_of(rows: list[Mapping[str, Any]], schema: pa.Schema) -> pa.Table:
    return pa.Table.from_pylist(rows, schema=schema)
