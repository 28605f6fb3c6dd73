"""Reading a finished (or half finished) dataset through a plan: rows with their groups side by side."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from zcurate.curation.errors import DatasetError
from zcurate.curation.store import SAMPLES, Dataset, Limit, read_selection, read_sources
from zcurate.curation.store.digest import json_digest
from zcurate.curation.store.index import GroupIndex
from zcurate.curation.store.lineage import split_column
from zcurate.curation.store.selection import base_mask, keep_mask

from .decisions import is_decision
from .planned import Plan, plan_stages
from .recipe import Recipe
from .runlog import recorded_limit, recorded_recipe
from .statuses import all_ok


@dataclass
class View:
    """A dataset and the folders its newest run used."""

    dataset: Dataset
    recipe: Recipe
    plan: Plan
    limit: Limit

    def __post_init__(self) -> None:
        self._samples = self.dataset.samples()
        self.selection = read_selection(self.dataset, self._samples, self.limit)
        self._indexes: dict[str, GroupIndex] = {}

    @property
    def decisions(self) -> list[str]:
        """The groups of the plan whose `keep` decides, in the order of its stages."""
        return [g for g in self.plan.paths if is_decision(g)]

    @property
    def digest(self) -> str:
        """Changes when anything that the plan's stages wrote does, or what people decided."""
        groups = (SAMPLES, *self.plan.paths)
        columns = {g: {s: m.columns for s, m in sorted(self.index(g).metas.items())} for g in groups}
        return json_digest([columns, {s: b.digest for s, b in sorted(self.selection.bases.items())}])

    def has(self, group: str) -> bool:
        """Is any shard of that group there?"""
        return self.plan.path(group) is not None and bool(self.index(group).metas)

    def index(self, group: str) -> GroupIndex:
        path = SAMPLES if group == SAMPLES else self.plan.path(group)
        if path is None:
            raise DatasetError(f"the recipe of the newest run has no stage that writes {group!r}")
        if group not in self._indexes:
            self._indexes[group] = self.dataset.index(path)
        return self._indexes[group]

    def tables(self, columns: Sequence[str]) -> Iterator[tuple[str, pa.Table]]:
        """(shard, table) with qualified columns, `sample_id`, and per row what became of it.

        Added columns: `live` (not superseded, removed or outside a trial run), and for each
        decision group of the plan `keep:GROUP` (false where not decided), people's decisions applied.
        Shards in which a wanted group is missing have nulls there.
        """
        for shard in self.selection.shards:
            yield shard, self.table(shard, columns)

    def table(self, shard: str, columns: Sequence[str]) -> pa.Table:
        """One shard, as `tables` gives it."""
        wanted: dict[str, list[str]] = {}
        for c in columns:
            group, name = split_column(c)
            wanted.setdefault(group, []).append(name)
        base = self.selection.bases[shard]
        samples = self.dataset.read(SAMPLES, shard, ["sample_id", *wanted.get(SAMPLES, [])])
        ids = samples.column("sample_id")
        names, arrays = ["sample_id"], [ids]
        for group, fields in wanted.items():
            table = samples if group == SAMPLES else self._read(group, shard, fields, len(ids))
            names += [f"{group}.{f}" for f in fields]
            arrays += [table.column(f) for f in fields]
        names.append("live")
        arrays.append(pa.array(base_mask(base, ids)))
        for group in self.decisions:
            table = self._read(group, shard, ["keep"], len(ids))
            names.append(f"keep:{group}")
            arrays.append(pa.array(keep_mask(base, pa.chunked_array([table.column(0).combine_chunks()]))))
        return pa.table(arrays, names=names)

    def _read(self, group: str, shard: str, fields: list[str], rows: int) -> pa.Table:
        index = self.index(group)
        if shard in index.metas:
            return self.dataset.read(index.path, shard, fields)
        schema = self.schema(group)
        types = [pa.string() if f.startswith("_") else schema.field(f).type for f in fields]
        return pa.table([pa.nulls(rows, t) for t in types], names=fields)

    def schema(self, group: str) -> pa.Schema:
        """Declared columns of a group."""
        for stage in self.plan.stages:
            if group in stage.bound.spec.outputs:
                return stage.bound.spec.outputs[group]
        raise DatasetError(f"the recipe of the newest run has no stage that writes {group!r}")

    def selected(self, columns: Sequence[str]) -> Iterator[tuple[str, pa.Table]]:
        """Rows that went all the way: live, kept by every decision, ok in every map stage after the barrier."""
        last = [g for g in ("captions", "profile") if self.plan.path(g)][:1]
        need = [f"{g}._status" for g in last]
        for shard, table in self.tables([*columns, *(n for n in need if n not in columns)]):
            mask = self.kept(shard, table, self.decisions) & all_ok(table, need)
            yield shard, table.take(np.flatnonzero(mask))

    def kept(self, shard: str, table: pa.Table, decisions: Sequence[str]) -> np.ndarray:
        """Which rows of a shard's `table` are live and kept by these decisions and by people: bool [n]."""
        mask = table.column("live").to_numpy().copy()
        # Of recipes without a stage that decides, too.
        mask[list(self.selection.bases[shard].dropped)] = False
        for group in decisions:
            mask &= table.column(f"keep:{group}").to_numpy()
        return mask

    def find(self, sample_id: bytes) -> tuple[str, int] | None:
        """(shard, row) of the latest row of an id."""
        found = None
        for shard in sorted(self._samples.metas):
            ids = self.dataset.read(SAMPLES, shard, ["sample_id"]).column(0)
            at = pc.index(ids, pa.scalar(sample_id, ids.type)).as_py()
            if at >= 0:
                found = (shard, at)
        return found


def open_view(url: str, strict: bool = True) -> View:
    """The dataset at a path or URL as its newest run left it.

    Raises:
        DatasetError: there is none, or (with `strict`) a shard of its sample list is damaged.
    """
    dataset = Dataset.open(url)
    limit, recipe = recorded_limit(dataset), recorded_recipe(dataset)
    damaged = dataset.samples().invalid
    if strict and damaged:
        raise DatasetError(f"{next(iter(damaged.values()))}; run the build again: it lists the samples anew")
    return View(dataset, recipe, plan_stages(recipe, read_sources(dataset), limit), limit)
