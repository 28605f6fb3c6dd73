"""Exports of a finished dataset: the selected rows, in dataset order, through `zcurate.curation.export`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from zcurate.curation.active.review.overlay import corrected, read_corrections
from zcurate.curation.errors import DatasetError
from zcurate.curation.export import (
    ExportFacts,
    ParquetOptions,
    WebDatasetOptions,
    export_parquet,
    export_webdataset,
    write_uids,
)
from zcurate.curation.export.rows import Intake
from zcurate.curation.store import Dataset, Limit, read_sources
from zcurate.curation.store.digest import json_digest

from .caption_mix import ENHANCED, KINDS, columns_of, draw_kinds, has_kinds, texts_of
from .context import StageContext
from .funnel import funnel_of
from .planned import Plan
from .recipe import ExportConfig, Recipe, check_target
from .view import View

_SAMPLES = (
    *("source", "uri", "container", "member", "offset", "length", "key"),
    *("text", "metadata", "origin", "license"),
)
_PROFILE = ("content_id", "format", "width_px", "height_px")


def run_exports(
    dataset: Dataset, recipe: Recipe, plan: Plan, limit: Limit | None = None
) -> list[dict[str, Any]]:
    """Write every export of a recipe; returns what each one holds."""
    if not recipe.export:
        return []
    view = View(dataset, recipe, plan, limit or Limit())
    facts = export_facts(view)
    return [export_one(view, config, facts) for config in recipe.export]


def export_one(view: View, config: ExportConfig, facts: ExportFacts | None = None) -> dict[str, Any]:
    """Write one export.

    Raises:
        ConfigError: the target is not on local disk.
    """
    check_target(config)
    check_finished(view)
    facts = facts or export_facts(view)
    out = Path(config.out)
    context = StageContext(read_sources(view.dataset), storage_options=view.recipe.storage_options)
    if config.format == "datacomp":
        out.mkdir(parents=True, exist_ok=True)
        intake = Intake(config.allow_model_origin, config.include_placeholders)
        ids = [row.sample_id for row in intake.rows(export_rows(view))]
        write_uids(out / "uids.npy", ids)
        return {
            **{"format": "datacomp", "out": str(out.absolute()), "rows": len(ids), "files": 1},
            **{"refused_model_origin": intake.refused_model_origin, "unreadable": 0},
        }
    with context.blobs() as blobs:
        if config.format == "webdataset":
            options = WebDatasetOptions(
                max_rows=config.rows_per_shard,
                include_placeholders=config.include_placeholders,
                allow_model_origin=config.allow_model_origin,
                caption_mix=config.caption_mix,
            )
            summary = export_webdataset(
                with_drawn_kind(export_rows(view), config), blobs.read, out, options, facts
            )
        else:
            parquet_options = ParquetOptions(
                rows_per_file=config.rows_per_shard,
                images=config.images,
                include_placeholders=config.include_placeholders,
                allow_model_origin=config.allow_model_origin,
                caption_mix=config.caption_mix,
            )
            summary = export_parquet(
                with_drawn_kind(export_rows(view), config), blobs.read, out, parquet_options, facts
            )
    return {
        "format": config.format,
        "out": str(out.absolute()),
        "rows": summary.rows,
        "files": summary.files,
        "data_bytes": summary.data_bytes,
        "refused_model_origin": summary.refused_model_origin,
        "unreadable": summary.unreadable,
        "without_caption": summary.without_caption,
    }


def check_finished(view: View) -> None:
    """Raises DatasetError when a stage of the recipe has shards to do: the export would lack their rows."""
    for stage in view.plan.stages:
        done = view.dataset.index(stage.primary).metas
        left = [s for s in view.selection.shards if s not in done]
        if left:
            raise DatasetError(
                f"stage {stage.name!r} of the recipe is not done ({len(left)} of {len(view.selection.shards)} shards "
                "to go): run 'zcurate build' with the recipe, or 'zcurate retry' on the dataset"
            )


def export_rows(view: View) -> Iterator[pa.Table]:
    """Selected rows, with the bare column names that exporters read, and captions as people corrected them."""
    corrections = read_corrections(view.dataset).samples
    columns = [f"samples.{c}" for c in _SAMPLES]
    if view.plan.path("profile"):
        columns += [f"profile.{c}" for c in _PROFILE]
    for group in ("captions", "weights"):
        if view.plan.path(group):
            columns += [f"{group}.{c}" for c in view.schema(group).names]
    enhanced = [k for k in KINDS if k.endswith(f"_{ENHANCED}")] if _enhances(view) else []
    also = {c for k in enhanced for c in columns_of(k)} - set(columns)
    for _, read in view.selected([*columns, *sorted(also)]):
        prompts = {k: texts_of(k, read) for k in enhanced}
        table = read.drop_columns(sorted(also))
        names = [n.rpartition(".")[2] if "." in n else n for n in table.column_names]
        keep = [
            i for i, n in enumerate(table.column_names) if n == "sample_id" or ("." in n and ":" not in n)
        ]
        arrays = [*(table.column(i) for i in keep), *prompts.values()]
        yield corrected(pa.table(arrays, names=[*(names[i] for i in keep), *prompts]), corrections)


def _enhances(view: View) -> bool:
    """Are there prompts of pictures? With a picture the enhancer writes an instruction that edits it."""
    return bool(view.plan.path(ENHANCED)) and not view.recipe.stages["enhance"].get("with_image")


def with_drawn_kind(tables: Iterable[pa.Table], config: ExportConfig) -> Iterator[pa.Table]:
    """Tables of `export_rows` with a column `caption_kind`, drawn by the export's mix; as they are without one.

    Placeholder captions that the export leaves out count as absent.
    """
    for table in tables:
        if config.caption_mix:
            names, ids = table.column_names, table["sample_id"].cast(pa.binary(16))
            marked = "placeholder" in names and not config.include_placeholders
            texts = {kind: table[kind] if kind in names else None for kind in config.caption_mix}
            has = np.zeros((len(table), len(texts)), bool)
            if any(t is not None for t in texts.values()):
                has = has_kinds(texts, table["placeholder"] if marked else None)
            kinds = draw_kinds(config.caption_mix, has, ids, config.caption_seed)
            table = table.append_column("caption_kind", pa.array(kinds, pa.string()))
        yield table


def export_facts(view: View) -> ExportFacts:
    """Provenance and the funnel, for the dataset card."""
    funnel = funnel_of(view)
    return ExportFacts(
        name=view.recipe.name,
        dataset_url=view.dataset.storage.url,
        recipe_hash=json_digest(view.recipe.model_dump(mode="json")),
        groups=dict(view.plan.paths),
        funnel=funnel.steps,
        drop_reasons=funnel.reasons,
    )
