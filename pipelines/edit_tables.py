"""Reading pairs: the child datasets of stages that make them, their tables, and the bytes they point to."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from zcurate.curation.active.review.overlay import Corrections, read_corrections, reviewed_pair
from zcurate.curation.edits.encoding import decode_mask, encode_mask
from zcurate.curation.edits.exporting import PairRecord
from zcurate.curation.errors import DatasetError
from zcurate.curation.stage import iter_rows
from zcurate.curation.store import SAMPLES, Dataset

from .view import View, open_view

PAIRS, VERSIONS, DESCRIPTIONS = "_tables/pairs", "_tables/versions", "_tables/descriptions"
REFUSED, FUNNEL = "_tables/refused", "_tables/funnel"


@dataclass(frozen=True)
class PairSet:
    """Pairs of one child dataset.

    Attributes:
        stage: the stage that made them. parents: the dataset it was made from; None where it is not known.
    """

    stage: str
    dataset: Dataset
    parents: View | None = None

    def shards(self) -> list[str]:
        return sorted(self.dataset.samples().metas)

    def pairs(
        self, shard: str, columns: list[str] | None = None, reviewed: bool = True
    ) -> Iterator[dict[str, Any]]:
        """Rows of the table of pairs; without those of parents that are gone.

        `reviewed`: without those that people discarded, and with the instructions that they corrected.
        """
        if shard not in self.dataset.index(PAIRS).metas:
            return
        gone = self._gone(shard)
        # What people decided lies with the dataset that the pairs were made from.
        corrections = read_corrections((self.parents or self).dataset) if reviewed else Corrections()
        needed = ("source_keys", "target_key", *(("pair_id",) if corrections else ()))
        wanted = None if columns is None else list(dict.fromkeys((*columns, *needed)))
        for row in iter_rows(self.dataset.read(PAIRS, shard, wanted)):
            if not gone or not gone & {*row["source_keys"], row["target_key"]}:
                row = reviewed_pair(row, corrections)
                if row is not None:
                    yield row

    def versions(self, shard: str, columns: list[str] | None = None) -> dict[str, dict[str, Any]]:
        """Key -> row of the table of versions; empty where a stage writes none."""
        if shard not in self.dataset.index(VERSIONS).metas:
            return {}
        wanted = None if columns is None else list(dict.fromkeys(("key", *columns)))
        return {row["key"]: row for row in iter_rows(self.dataset.read(VERSIONS, shard, wanted))}

    def descriptions(self, shard: str) -> Iterator[dict[str, Any]]:
        """What a model told of pairs of real pictures, in three steps; none where a stage asks no model."""
        if shard in self.dataset.index(DESCRIPTIONS).metas:
            present = {row["pair_id"] for row in self.pairs(shard, ["pair_id"])}
            for row in iter_rows(self.dataset.read(DESCRIPTIONS, shard)):
                if row["pair_id"] in present:
                    yield row

    def refused(self, shard: str) -> Iterator[str]:
        """Kinds of faults of pictures and clips that got no group, one for each."""
        if shard in self.dataset.index(REFUSED).metas:
            yield from self.dataset.read(REFUSED, shard, ["error_class"])["error_class"].to_pylist()
        if shard in self.dataset.index(FUNNEL).metas:
            errors = self.dataset.read(FUNNEL, shard, ["error"])["error"].to_pylist()
            yield from (e.partition(":")[0] for e in errors if e)

    def reader(self, shard: str) -> Reader:
        columns = ["key", "uri", "offset", "length", "license"]
        return Reader(
            self.dataset, {r["key"]: r for r in iter_rows(self.dataset.read(SAMPLES, shard, columns))}
        )

    def _gone(self, shard: str) -> set[str]:
        """Keys of children of which a parent was removed or replaced since; parents lie in the shard of this name."""
        if self.parents is None:
            return set()
        table = self.parents.table(shard, []).select(["sample_id", "live"])
        live = {i for i, is_live in zip(*(c.to_pylist() for c in table.columns), strict=True) if is_live}
        rows = iter_rows(self.dataset.read(SAMPLES, shard, ["key", "parent_ids"]))
        return {row["key"] for row in rows if not live.issuperset(row["parent_ids"])}


class Reader:
    """Bytes of the children of one shard. Those of the last few are kept: pairs of a group come together."""

    def __init__(self, dataset: Dataset, places: Mapping[str, Mapping[str, Any]], most: int = 16) -> None:
        self._dataset, self._places, self._most = dataset, places, most
        self._known: dict[str, bytes] = {}

    def read(self, key: str) -> bytes:
        """Raises DatasetError for a key that the shard does not hold."""
        if key not in self._places:
            raise DatasetError(f"{self._dataset.storage.url}: a pair names {key!r}, which no child is called")
        if key not in self._known:
            place = self._places[key]
            while len(self._known) >= self._most:
                del self._known[next(iter(self._known))]
            self._known[key] = self._dataset.storage.get_range(place["uri"], place["offset"], place["length"])
        return self._known[key]

    def license(self, key: str) -> str | None:
        return self._places[key]["license"] if key in self._places else None


def pair_sets(url: str) -> list[PairSet]:
    """All tables of pairs of a dataset's newest run, or of a child dataset itself.

    Raises:
        DatasetError: there is none.
    """
    dataset = Dataset.open(url)
    if "parent" in dataset.facts:
        found = [PairSet(dataset.storage.url.rstrip("/").split("/")[-2], dataset)]
    else:
        view = open_view(url)
        found = []
        for stage in view.plan.stages:
            if stage.kind == "expand" and view.dataset.index(stage.primary).metas:
                child = f"{view.dataset.storage.url}/{stage.primary.removesuffix(f'/{SAMPLES}')}"
                found.append(PairSet(stage.name, Dataset.open(child, view.recipe.storage_options), view))
    found = [s for s in found if s.dataset.index(PAIRS).metas]
    if not found:
        raise DatasetError(
            f"{url}: no stage of its newest run has made pairs; build it with 'edits' among the stages"
        )
    return found


def record_of(
    pair: Mapping[str, Any], versions: Mapping[str, Mapping[str, Any]], reader: Reader
) -> PairRecord:
    """A pair with its bytes. The mask joins those of its versions; None where one of them may differ anywhere."""
    keys = pair["source_keys"]
    facts = {**pair, "license": reader.license(pair["target_key"])}
    return PairRecord(
        facts,
        tuple(reader.read(k) for k in keys),
        reader.read(pair["target_key"]),
        joined_mask(pair, versions),
    )


def joined_mask(pair: Mapping[str, Any], versions: Mapping[str, Mapping[str, Any]]) -> bytes | None:
    masks = [versions[k]["mask"] for k in pair["mask_keys"] or () if k in versions]
    if not masks or None in masks or len(masks) < len(pair["mask_keys"]):
        return None
    if len(masks) == 1:
        return masks[0]
    joined = decode_mask(masks[0])
    for data in masks[1:]:
        mask = decode_mask(data)
        if mask.shape != joined.shape:
            return None
        joined |= mask
    return encode_mask(joined)
