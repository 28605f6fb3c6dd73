"""Reviewed captions of a dataset, as lessons for its captioner."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from zcurate.captioner.schema import KINDS, LANGUAGES, Captions, Entity, OcrString, PromptPlan
from zcurate.captioner.training.reviewed import ReviewedCaption, conversations_of
from zcurate.curation.active.review.states import State
from zcurate.curation.active.review.tasks import CAPTION, FIELDS, Task, is_list
from zcurate.curation.errors import SampleError
from zcurate.curation.store import read_sources
from zcurate.curation.store.overlay import read_overlay

from .context import StageContext
from .lessons import Asking, Lesson
from .originals import Originals
from .stages import caption as caption_stage
from .view import View

_CAPTIONS = [f"{language}_{kind}" for language in LANGUAGES for kind in KINDS]
_KNOWN = (
    *(f"samples.{c}" for c in ("text", "metadata", "key", "origin", *caption_stage._LOCATION)),
    *(f"profile.{c}" for c in ("content_id", "width_px", "height_px", "frames", "sharpness")),
    *(f"captions.{c}" for c in (*_CAPTIONS, "placeholder", "ocr", "entities", "plans")),
)
_WHERE_THERE = ("ocr.lines", "ocr.engine", *(f"metadata.{c}" for c in caption_stage._EMBEDDED))


def caption_lessons(
    view: View, asking: Asking, settled: Mapping[tuple[str, str], tuple[Task, State]]
) -> Iterator[Lesson]:
    """A lesson per selected row whose newest captions were accepted or corrected. Discarded rows are not selected, and
    what was decided about captions that have been written anew since says nothing about the new ones."""
    context = StageContext(read_sources(view.dataset), storage_options=view.recipe.storage_options)
    originals = Originals(context.blobs)
    config = caption_stage.Config(engine="template", seed=asking.config.seed)
    known = caption_stage.CaptionStage(config, context)
    # A recipe without a deciding stage selects rows that people have thrown out.
    dropped = {i for i, keep in read_overlay(view.dataset).forced.items() if not keep}
    columns = [*_KNOWN, *(c for c in _WHERE_THERE if view.has(c.partition(".")[0]))]
    for _, table in view.selected(columns):
        for row in table.to_pylist():
            subject = row["sample_id"].hex()
            if (CAPTION, subject) not in settled or row["sample_id"] in dropped:
                continue
            task, state = settled[CAPTION, subject]
            content_id = (row["profile.content_id"] or row["sample_id"]).hex()
            ids = ((content_id,), (subject,))
            final = {**task.fields, **state.fields}
            reason = _unfit(row, task, final)
            if reason:
                yield Lesson(*ids, (), [reason])
                continue
            try:
                place = [row[f"samples.{c}"] for c in caption_stage._LOCATION]
                row["thumbs.thumb"] = originals.picture(place)
            except SampleError:
                yield Lesson(*ids, (), ["picture cannot be read"])
                continue
            reviewed, missing = _reviewed(row, known._request(row), task, final)
            taught, left_out = conversations_of(asking.captioner, reviewed)
            yield Lesson(*ids, taught, [*missing, *left_out], task, state)


def _unfit(row: Mapping[str, Any], task: Task, final: Mapping[str, Any]) -> str:
    if row["captions.placeholder"]:
        return "placeholder"
    for name in FIELDS[CAPTION]:
        value = row[f"captions.{name}"]
        plain = tuple(value) if value and is_list(name) else value
        if value and plain not in (task.fields.get(name), final.get(name)):
            return "captioned anew since the review"
    return ""


def _reviewed(
    row: Mapping[str, Any], request: Any, task: Task, final: Mapping[str, Any]
) -> tuple[ReviewedCaption, list[str]]:
    """The record as people left it, and the languages of which a kind is missing."""
    captions, proposed, missing = {}, {}, []
    for language in LANGUAGES:
        values = {
            kind: final.get(f"{language}_{kind}") or row[f"captions.{language}_{kind}"] for kind in KINDS
        }
        if all(values.values()):
            captions[language] = Captions(*(tuple(v) if isinstance(v, list) else v for v in values.values()))
            proposed[language] = task.fields[f"{language}_long"]
        elif any(values.values()):
            missing.append(f"{language}: not all five kinds")
    read, entities, plans = (row[f"captions.{name}"] for name in ("ocr", "entities", "plans"))
    return ReviewedCaption(
        request=request,
        captions=captions,
        proposed=proposed,
        ocr=None if read is None else tuple(_string(s) for s in read),
        entities=None if entities is None else tuple(Entity(**e) for e in entities),
        plans=None
        if plans is None
        else tuple(PromptPlan(p["language"], tuple(p["keep"]), p["register"]) for p in plans),
    ), missing


def _string(value: Mapping[str, Any]) -> OcrString:
    box = value["box"]
    return OcrString(**{**value, "box": None if box is None else tuple(box)})
