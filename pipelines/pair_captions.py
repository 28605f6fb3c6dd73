"""Difference captions of stored pairs: exact where a pair carries its own edit specification, else as a model told it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from zcurate.captioner.difference import Difference, DifferenceError, Instruction, PairCaption, Side, inverse
from zcurate.captioner.difference_template import ENGINE, VERSION
from zcurate.curation.edits.phrases import merged
from zcurate.curation.edits.spec import EditSpec, canonical
from zcurate.curation.errors import ConfigError

from .edit_tables import PairSet, pair_sets

#: Task, else group of tasks -> kind of difference. All others are attributes.
_KINDS = {
    **{
        "object.add": "add",
        "object.remove": "remove",
        "object.replace": "replace",
        "object.count": "subject",
    },
    **{"scene.background": "background", "reference.sketch": "style"},
    **{"text": "text", "style": "style", "geometry": "camera", "viewpoint": "camera", "pixel": "pixel"},
}


def exact_caption(
    pair: Mapping[str, Any],
    back: Mapping[str, Any] | None,
    source_state: Mapping[str, Any],
    source: Side,
    target: Side,
) -> PairCaption:
    """A pair as its specification tells it.

    Args:
        pair: row of the table of pairs. back: the row that leads from its target to its source, where there is one;
            the way back is None without.
        source_state: what had been done to the source picture: slot -> value.

    Raises:
        DifferenceError: `no_spec`, for pairs of video frames.
    """
    if not pair["spec"]:
        raise DifferenceError(
            "no_spec", f"pair {pair['pair_id']} has no edit specification: a model must look at it"
        )
    spec = EditSpec.from_json(pair["spec"])
    return PairCaption(
        source=source,
        target=target,
        unchanged="",
        differences=tuple(
            _difference(task, c.slot, c.before, c.after) for task, c in merged(spec, source_state)
        ),
        forward=Instruction(pair["en_short"], pair["zh_short"]),
        backward=Instruction(back["en_short"], back["zh_short"]) if back else None,
        engine=ENGINE,
        model=f"{ENGINE}-{VERSION}",
        exact=True,
        warnings=() if back else ("no_way_back",),
    )


def exact_captions(url: str) -> Iterator[tuple[str, PairCaption]]:
    """(pair id, caption) of all pairs of a dataset that have one source and a specification; pictures put together from
    several have no way back. Raises DatasetError: there are no pairs."""
    for made in pair_sets(url):
        for shard in made.shards():
            yield from _of_shard(made, shard)


def find_description(url: str, pair_id: str) -> dict[str, Any]:
    """One pair as values of `difference.ARROW_TYPE`: as a model described it, else by its specification.

    Raises:
        ConfigError: for an id of which the dataset knows neither.
    """
    for made in pair_sets(url):
        for shard in made.shards():
            for row in made.descriptions(shard):
                if pair_id in (row["pair_id"], row["back_id"]):
                    told = {k: v for k, v in row.items() if k not in ("pair_id", "back_id")}
                    return told if pair_id == row["pair_id"] else turned(told)
    for found, caption in exact_captions(url):
        if found == pair_id:
            return caption.row()
    raise ConfigError(
        f"{url} has no pair {pair_id!r} of one source that was described or has an edit specification"
    )


def turned(told: Mapping[str, Any]) -> dict[str, Any]:
    """A stored description, seen from the target."""
    back = inverse(tuple(Difference(**d) for d in told["differences"]))
    return {
        **told,
        **{"source": told["target"], "target": told["source"]},
        **{"forward": told["backward"], "backward": told["forward"]},
        "differences": [d.row() for d in back],
    }


def _of_shard(made: PairSet, shard: str) -> Iterator[tuple[str, PairCaption]]:
    rows = [r for r in made.pairs(shard) if r["spec"] and len(r["source_keys"]) == 1]
    by_ends = {(r["source_keys"][0], r["target_key"]): r for r in rows}
    # A version without a state (a sketch, a cut-out) is what its own pair says, and nothing was done to it before.
    states = {k: json.loads(v["state"] or "{}") for k, v in made.versions(shard, ["state"]).items()}
    reader = made.reader(shard)
    for (source, target), row in by_ends.items():
        sides = (Side(reader.read(source)), Side(reader.read(target)))
        yield (
            row["pair_id"],
            exact_caption(row, by_ends.get((target, source)), states.get(source, {}), *sides),
        )


def _difference(task: str, slot: str, before: Any, after: Any) -> Difference:
    kind = _KINDS.get(task) or _KINDS.get(task.partition(".")[0], "attribute")
    return Difference(kind, f"{task} of {slot}", _value(kind, before), _value(kind, after))


def _value(kind: str, value: Any) -> str:
    """Of lettering the string itself; else the exact value as JSON, "" for the picture as it came."""
    if value is None:
        return ""
    if kind == "text" and isinstance(value, Mapping) and isinstance(value.get("content"), str):
        return value["content"]
    return canonical(value)
