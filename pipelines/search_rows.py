"""The rows of a dataset under one numbering, and what is known of them: alive, kept, matching a rule."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from zcurate.curation.errors import ConfigError, DatasetError
from zcurate.curation.store import SAMPLES
from zcurate.curation.store.lineage import split_column

from .decisions import GROUPS
from .inspecting import whatif_schema
from .view import View

#: Score from which a picture is blurred on a page.
NSFW_FROM = 0.5


class Rows:
    """Every row of every shard in scope has a number: shards in order, rows within.

    Attributes:
        shards: names; offsets: int64 [shards + 1], the number of each one's first row.
    """

    def __init__(self, view: View):
        self.view = view
        self.shards = list(view.selection.shards)
        counts = [view.selection.rows[s] for s in self.shards]
        self.offsets = np.concatenate([[0], np.cumsum(np.array(counts, np.int64))]).astype(np.int64)
        self._of_shard = {s: i for i, s in enumerate(self.shards)}
        self._masks: dict[str, np.ndarray] = {}

    def __len__(self) -> int:
        return int(self.offsets[-1])

    def first(self, shard: str) -> int:
        """Number of a shard's first row."""
        return int(self.offsets[self._of_shard[shard]])

    @cached_property
    def states(self) -> dict[str, np.ndarray]:
        """bool [n] each: `live`; `kept` by every decision made so far; `duplicate`, dropped as one.

        A decision that has not been made for a shard counts as keeping it.
        """
        live, kept = np.zeros(len(self), bool), np.zeros(len(self), bool)
        duplicate = np.zeros(len(self), bool)
        for shard in self.shards:
            table = self.view.table(shard, [])
            here = slice(self.first(shard), self.first(shard) + len(table))
            live[here] = table.column("live").to_numpy()
            keep = live[here].copy()
            for group in self.view.decisions:
                if shard in self.view.index(group).metas:
                    mine = table.column(f"keep:{group}").to_numpy()
                    if group == GROUPS:
                        duplicate[here] = keep & ~mine
                    keep &= mine
                else:
                    keep[list(self.view.selection.bases[shard].dropped)] = False
            if not self.view.decisions:
                keep[list(self.view.selection.bases[shard].dropped)] = False
            kept[here] = keep
        return {"live": live, "kept": kept, "duplicate": duplicate}

    def where(self, rule: str) -> np.ndarray:
        """bool [n]: rows for which a rule is true. Rules are those of `zcurate whatif`; null is not true.

        Raises:
            ConfigError: the rule is wrong for the dataset's columns.
            DatasetError: it reads a group that is not computed yet.
        """
        if rule not in self._masks:
            self._masks[rule] = self._evaluate(rule)
        return self._masks[rule]

    def _evaluate(self, rule: str) -> np.ndarray:
        from zcurate.curation.filters import compile_expression

        condition = compile_expression(rule, whatif_schema(self.view, rule))
        groups = {split_column(c)[0] for c in condition.columns}
        missing = sorted(g for g in groups if g != SAMPLES and not self.view.has(g))
        if missing:
            raise DatasetError(f"{', '.join(missing)}: not computed yet; run 'zcurate build' with the recipe")
        out = np.zeros(len(self), bool)
        for shard in self.shards:
            found = condition.evaluate(self.view.table(shard, list(condition.columns)))
            mask = pc.fill_null(found, False).to_numpy(zero_copy_only=False)
            out[self.first(shard) : self.first(shard) + len(mask)] = mask
        return out

    def numbers(self, column: str) -> np.ndarray:
        """float64 [n] of a numeric column, NaN for null. Raises DatasetError where there is none."""
        group, name = split_column(column)
        if not self.view.has(group) or name not in self.view.schema(group).names:
            raise DatasetError(f"{column}: not in this dataset")
        out = np.full(len(self), np.nan)
        for shard in self.shards:
            values = self.view.table(shard, [column]).column(column).cast(pa.float64())
            out[self.first(shard) : self.first(shard) + len(values)] = values.to_numpy()
        return out

    def take(self, rows: Iterable[int], columns: Sequence[str]) -> dict[int, dict[str, Any]]:
        """Row number -> sample_id and columns by qualified names, of a few rows; one read per shard and group."""
        wanted: dict[int, list[int]] = {}
        for row in dict.fromkeys(int(r) for r in rows):
            wanted.setdefault(int(np.searchsorted(self.offsets, row, side="right")) - 1, []).append(row)
        found: dict[int, dict[str, Any]] = {}
        for at, members in sorted(wanted.items()):
            local = pa.array([m - int(self.offsets[at]) for m in members], pa.int64())
            table = (
                self.view.table(self.shards[at], list(columns)).select(["sample_id", *columns]).take(local)
            )
            found |= dict(zip(members, table.to_pylist(), strict=True))
        return found

    def present(self, columns: Iterable[str]) -> list[str]:
        """Those of the columns that the dataset has."""
        out = []
        for column in columns:
            group, name = split_column(column)
            if group == SAMPLES or (self.view.has(group) and name in self.view.schema(group).names):
                out.append(column)
        return out

    def number_of(self, sample_id: bytes) -> int:
        """The number of the latest row of a sample. Raises ConfigError when the dataset has none."""
        place = self.view.find(sample_id)
        if place is None or place[0] not in self._of_shard:
            raise ConfigError(f"{sample_id.hex()}: no such sample in {self.view.dataset.storage.url}")
        return self.first(place[0]) + place[1]
