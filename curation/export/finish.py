"""The last files of an export: the card, then the record that makes it complete."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .card import CARD_NAME, render_card
from .record import RECORD_KIND, RECORD_NAME, RECORD_VERSION, ExportFacts, Tally, describe, dump_json
from .rows import Intake


def finish(
    work: Path,
    format_name: str,
    facts: ExportFacts,
    settings: Mapping[str, Any],
    tally: Tally,
    intake: Intake,
    files: Mapping[str, Mapping[str, Any]],
) -> None:
    """Write `dataset_card.md` and, last, `export.json`. No clock is read: same rows, same bytes."""
    record = {
        "kind": RECORD_KIND,
        "version": RECORD_VERSION,
        "format": format_name,
        "name": facts.name,
        "dataset_url": facts.dataset_url,
        "recipe_hash": facts.recipe_hash,
        "groups": dict(sorted(facts.groups.items())),
        "funnel": [[step, count] for step, count in facts.funnel],
        "drop_reasons": dict(sorted(facts.drop_reasons.items(), key=lambda kv: (-kv[1], kv[0]))),
        "settings": dict(settings),
        "given": intake.given,
        "refused_model_origin": intake.refused_model_origin,
        "unreadable_count": intake.unreadable_count,
        "unreadable": intake.unreadable,
        "taken_down": 0,
        "exported": tally.to_dict(),
        "files": {name: dict(value) for name, value in files.items()},
    }
    write_card_and_record(work, record)


def write_card_and_record(work: Path, record: dict[str, Any]) -> None:
    """Render the card from the record, enter it there, and write both."""
    (work / CARD_NAME).write_text(render_card(record), encoding="utf-8")
    record["files"] = {n: f for n, f in record["files"].items() if n != CARD_NAME}
    record["files"][CARD_NAME] = describe(work / CARD_NAME)
    (work / RECORD_NAME).write_bytes(dump_json(record))
