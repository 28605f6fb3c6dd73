"""Review tasks of a dataset: captions of selected rows with their elements, and accepted edit pairs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from zcurate.captioner.elements import elements
from zcurate.curation.active.review.routing import (
    BALANCED,
    Routing,
    chosen_rank,
    lettering_agreement,
    queue_rank,
)
from zcurate.curation.active.review.tasks import CAPTION, FIELDS, PAIR, Element, Picture, Task, is_list
from zcurate.curation.active.reward.claims import worded
from zcurate.curation.edits.checks import ACCEPT
from zcurate.curation.errors import DatasetError

from .edit_tables import PairSet, pair_sets
from .view import View

if TYPE_CHECKING:
    from .review_reward import Guesses

#: More elements than a person reads at a glance.
MAX_ELEMENTS = 16
_SCORES = ("aesthetic", "ai_generated", "text_image", "nsfw")
_PAIR_SCORES = ("changed_share", "outside_psnr_db", "outside_ssim", "shift_px")
_MAX_CHARS, _MAX_CONCEPTS, _MAX_LINES = 2000, 12, 30
_CAPTIONS = ("long", "medium", "short")
_ROWS = 1000
#: What is asked about every edit pair.
_PAIR_ELEMENTS = (
    Element("instruction", "the change is what the instruction says", "instruction"),
    Element("rest", "everything else stays as it was", "rest"),
    Element("look", "no traces of the edit: edges, light, colors", "look"),
)


@dataclass(frozen=True)
class Choosing:
    """How the queue is ordered.

    Attributes:
        order: of `routing.ORDERS`. seed: of the random part.
        guesses: of a reward model; None: `order` is `balanced`, whatever it says.
        routing: which tasks are random checks, see `chosen_rank`.
    """

    order: str = BALANCED
    seed: int = 0
    guesses: Guesses | None = None
    routing: Routing = field(default_factory=Routing)


def caption_tasks(view: View, choosing: Choosing | None = None) -> Iterator[Task]:
    """A task per selected row that has captions.

    The queue's order is a random sample by the weights of the `balance` stage, where there is one: whoever stops early
    has reviewed a balanced subset.

    Raises:
        DatasetError: the dataset has no captions.
    """
    choosing = choosing or Choosing()
    if not view.has("captions"):
        raise DatasetError(
            f"{view.dataset.storage.url}: no captions to review; build it with 'caption' among the stages"
        )
    columns = [f"samples.{c}" for c in ("source", "key", "uri", "text", "origin")]
    columns += [f"profile.{c}" for c in ("content_id", "width_px", "height_px")]
    columns += [
        f"captions.{c}" for c in (*FIELDS[CAPTION], "engine", "model", "placeholder", "ocr", "warnings")
    ]
    optional = ["ocr.lines", "concepts.concepts", "weights.weight", *(f"scores.{s}" for s in _SCORES)]
    columns += [c for c in optional if _is_there(view, c)]
    columns += choosing.guesses.columns if choosing.guesses else ()
    counts = _concept_counts(view) if "concepts.concepts" in columns else {}
    for _, table in view.selected(columns):
        for batch in table.to_batches(_ROWS):
            yield from _tasks_of(batch.to_pylist(), counts, choosing)


def _tasks_of(rows: list[dict[str, Any]], counts: Mapping[str, int], choosing: Choosing) -> Iterator[Task]:
    tasks = [_caption_task(row, counts) for row in rows]
    guesses: Sequence[dict[str, Any] | None] = [None] * len(rows)
    if choosing.guesses:
        guesses = choosing.guesses.of(
            rows, [_claimed(t.fields, _kinds(r)) for t, r in zip(tasks, rows, strict=True)]
        )
    for row, task, guess in zip(rows, tasks, guesses, strict=True):
        weight = row.get("weights.weight")
        uncertainty = guess and guess["uncertainty"]
        order = choosing.order if choosing.guesses else BALANCED
        place = (1.0 if weight is None else weight, order, uncertainty, choosing.routing, choosing.seed)
        context = {**task.context, **({"reward": guess} if guess else {})}
        yield replace(task, context=context, rank=chosen_rank(task, *place))


def _is_there(view: View, column: str) -> bool:
    group, _, name = column.rpartition(".")
    return view.has(group) and name in view.schema(group).names


def _concept_counts(view: View) -> Counter[str]:
    counts: Counter[str] = Counter()
    for _, table in view.selected(["concepts.concepts"]):
        for names in table.column("concepts.concepts").to_pylist():
            counts.update(names or ())
    return counts


def _caption_task(row: Mapping[str, Any], counts: Mapping[str, int]) -> Task:
    subject = row["sample_id"].hex()
    fields = {}
    for name in FIELDS[CAPTION]:
        value = row[f"captions.{name}"]
        if value:
            fields[name] = tuple(value) if is_list(name) else value
    concepts = row.get("concepts.concepts") or []
    read = [line["text"] for line in row.get("ocr.lines") or ()]
    claimed = row["captions.ocr"]
    content_id = row["profile.content_id"].hex() if row["profile.content_id"] else ""
    context = {
        **{n: row[f"samples.{n}"] or "" for n in ("source", "key", "uri", "origin")},
        "alt": (row["samples.text"] or "")[:_MAX_CHARS],
        "scores": {s: row.get(f"scores.{s}") for s in _SCORES},
        "lettering": read[:_MAX_LINES],
        # A template's captions hold the OCR's own reading: nothing to compare.
        "lettering_agreement": None
        if claimed is None
        else lettering_agreement([c["text"] for c in claimed], read),
        "concepts": concepts[:_MAX_CONCEPTS],
        "rarest_count": min((counts[c] for c in concepts), default=None),
        "placeholder": bool(row["captions.placeholder"]),
        "warnings": row["captions.warnings"] or [],
    }
    picture = Picture(
        "image", subject, content_id, row["profile.width_px"] or 0, row["profile.height_px"] or 0
    )
    return Task(
        CAPTION,
        subject,
        (picture,),
        fields,
        claims(fields, _kinds(row)),
        row["captions.model"] or row["captions.engine"] or "",
        context,
    )


def _kinds(row: Mapping[str, Any]) -> tuple[str, ...]:
    """Captions that are looked into for claims; a template's longer ones are measurements in words."""
    return ("short",) if row["captions.placeholder"] else _CAPTIONS


def claims(fields: Mapping[str, Any], kinds: Sequence[str] = _CAPTIONS) -> tuple[Element, ...]:
    """What the captions claim, one by one: of the fullest one whose claims are few enough to be looked through."""
    text = _claimed(fields, kinds)
    found = elements(text).elements if text else ()
    kept = found[:MAX_ELEMENTS]  # parents come first, so none is lost
    return tuple(
        Element(
            *(e.id, f"no {e.text}" if e.negated else e.text, e.kind, e.parents), worded(e, found), e.negated
        )
        for e in kept
    )


def _claimed(fields: Mapping[str, Any], kinds: Sequence[str]) -> str | None:
    """The caption whose claims are shown; None where no rule reads any."""
    chosen, many = None, 0
    for language in ("en", "zh"):
        for kind in kinds:
            text = fields.get(f"{language}_{kind}")
            here = len(elements(text).elements) if text else 0
            if here and (chosen is None or here <= MAX_ELEMENTS < many):
                chosen, many = text, here
        if chosen:
            break
    return chosen


def pair_tasks(url: str, seed: int = 0) -> Iterator[Task]:
    """A task per pair that the checks accepted. Raises DatasetError where no stage has made pairs."""
    for one in pair_sets(url):
        for shard in one.shards():
            versions = one.versions(shard, ["width_px", "height_px"])
            for row in one.pairs(shard, reviewed=False):
                if row["verdict"] == ACCEPT:
                    yield _pair_task(one, shard, row, versions, seed)


def _pair_task(
    one: PairSet, shard: str, row: Mapping[str, Any], versions: Mapping[str, Mapping[str, Any]], seed: int
) -> Task:
    # A child's folder says what made it, from what: with the key it stands for the pixels.
    folder = one.dataset.storage.url.rstrip("/").rsplit("/", 1)[-1]

    def picture(role: str, key: str) -> Picture:
        size = versions.get(key) or {}
        return Picture(
            role,
            f"{one.stage}/{shard}/{key}",
            f"{folder}/{key}",
            size.get("width_px") or 0,
            size.get("height_px") or 0,
        )

    context = {
        "source": f"pairs: {one.stage}",
        "key": row["target_key"],
        "uri": row["target_key"],
        "types": list(row["types"] or ()),
        "scores": {s: row[s] for s in _PAIR_SCORES},
    }
    return Task(
        PAIR,
        row["pair_id"],
        (*(picture("source", k) for k in row["source_keys"]), picture("target", row["target_key"])),
        {f: row[f] for f in FIELDS[PAIR] if row[f]},
        _PAIR_ELEMENTS,
        row["instructed_by"] or "",
        context,
        queue_rank(row["pair_id"], 1.0, seed),
    )
