"""`zcurate edits-export`: pairs that were accepted, weighed by task, as WebDataset or Parquet."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from zcurate.curation.edits.balancing import Chosen, Sampling, choose
from zcurate.curation.edits.checks import ACCEPT, NEGATIVE
from zcurate.curation.edits.exporting import PairRecord, Written, write_parquet, write_webdataset
from zcurate.curation.errors import ConfigError

from .edit_tables import PairSet, pair_sets, record_of

FORMATS = {"webdataset": write_webdataset, "parquet": write_parquet}
SPLITS = ("train", "validation")


def export_pairs(
    url: str,
    out: str | Path,
    form: str = "webdataset",
    sampling: Sampling | None = None,
    include_negatives: bool = False,
    split: str | None = None,
    rows_per_shard: int = 1000,
) -> Written:
    """Write the pairs of a dataset.

    Two passes: types of all pairs first, for the weights, then the chosen ones with their bytes, a pair at a time.

    Args:
        include_negatives: edits that visibly went wrong too, for objectives that learn from bad examples.
        split: only this one; None for both.

    Raises:
        ConfigError: an unknown format or split, or an output that is not on local disk.
        DatasetError: there are no pairs, or `out` is not ours to replace.
    """
    if form not in FORMATS:
        raise ConfigError(f"--format {form!r}: choose {' or '.join(FORMATS)}")
    if split is not None and split not in SPLITS:
        raise ConfigError(f"--split {split!r}: choose {' or '.join(SPLITS)}")
    if "://" in str(out):
        raise ConfigError(f"--out {out}: exports go to local disk; copy the finished folder from there")
    sampling, sets = sampling or Sampling(), pair_sets(url)
    verdicts = (ACCEPT, NEGATIVE) if include_negatives else (ACCEPT,)
    columns = ["pair_id", "types", "verdict", "split"]
    chosen = choose(
        ((p["pair_id"], p["types"]) for _, _, p in _eligible(sets, verdicts, split, columns)), sampling
    )
    about = {
        "name": Path(url.rstrip("/")).name,
        "dataset_url": sets[0].dataset.facts.get("parent", url),
        "settings": {
            "split": split,
            "include_negatives": include_negatives,
            "rows_per_shard": rows_per_shard,
        },
        "stages": sorted({s.stage for s in sets}),
    }
    records = _records(sets, verdicts, split, chosen)
    return FORMATS[form](records, Path(out), sampling, about, most_pairs=rows_per_shard)


def _eligible(
    sets: list[PairSet], verdicts: tuple[str, ...], split: str | None, columns: list[str] | None
) -> Iterator[tuple[PairSet, str, dict[str, Any]]]:
    for one in sets:
        for shard in one.shards():
            for pair in one.pairs(shard, columns):
                if pair["verdict"] in verdicts and split in (None, pair["split"]):
                    yield one, shard, pair


def _records(
    sets: list[PairSet], verdicts: tuple[str, ...], split: str | None, chosen: Chosen
) -> Iterator[PairRecord]:
    weights = dict(zip(chosen.at.tolist(), chosen.weight.tolist(), strict=True))
    place: tuple[PairSet, str] | None = None
    for position, (one, shard, pair) in enumerate(_eligible(sets, verdicts, split, None)):
        if position not in weights:
            continue
        if place != (one, shard):
            place, versions, reader = (one, shard), one.versions(shard, ["mask"]), one.reader(shard)
        yield record_of({**pair, "weight": weights[position]}, versions, reader)
