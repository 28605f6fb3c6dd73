"""An adapter as a folder: weights and configuration in PEFT's format, its version, its scores, its card."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..vlm.adapters import CONFIG, FORMAT, RECORD, WEIGHTS, Adapter, adapter_digest, read_adapter

SCORES, CARD = "scores.json", "README.md"


def save_adapter(
    model: Any, out: Path, previous: Adapter | None, facts: Mapping[str, Any], scores: Mapping[str, Any]
) -> Adapter:
    """Write an adapter; the folder appears complete, or not at all.

    Args:
        model: PEFT's, as it was trained.
        out: must not exist, or be empty.
        previous: the version before, which this one counts on from; None makes version 1.
        facts: JSON-able, for `adapter.json` and the card: base, conversations, settings, what was drawn.
        scores: `before` and `after`, of `scoring.scores`.

    Raises:
        FileExistsError: `out` holds something.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise FileExistsError(str(out))
    work = out.with_name(f".{out.name}.partial")
    shutil.rmtree(work, ignore_errors=True)
    out.parent.mkdir(parents=True, exist_ok=True)
    try:
        model.save_pretrained(work, safe_serialization=True)
        for entry in work.iterdir():
            if entry.name not in (CONFIG, WEIGHTS):
                entry.unlink()
        (work / WEIGHTS).chmod(0o644)  # written for its owner alone, unlike the files beside it
        _without_paths(work / CONFIG, str(facts["base_name"]))
        before = previous.version if previous is not None else None
        record = {
            "format": FORMAT,
            "version": (before or 0) + 1,
            "digest": adapter_digest(work),
            "previous": None if previous is None else {"version": before, "digest": previous.digest},
            **facts,
        }
        _write_json(work / RECORD, record)
        _write_json(work / SCORES, scores)
        (work / CARD).write_text(card(record, scores), encoding="utf-8")
        if out.exists():
            out.rmdir()
        work.rename(out)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return read_adapter(out)


def _without_paths(path: Path, base: str) -> None:
    """The base's own name in place of the folder it was read from, in a form that does not depend on dict order."""
    config = json.loads(path.read_text(encoding="utf-8")) | {"base_model_name_or_path": base}
    _write_json(path, dict(sorted(config.items())))


def _write_json(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")


def card(record: Mapping[str, Any], scores: Mapping[str, Any]) -> str:
    """The model card, as Markdown."""
    talks, fitted = record["conversations"], record["fitted"]
    rows = [
        "| task | held out | loss before | after | written answers, before -> after |",
        "|---|---|---|---|---|",
    ]
    for task, after in scores["after"].items():
        before = scores["before"].get(task, {})
        if "loss" not in after or "loss" not in before:
            continue
        written = ", ".join(
            f"{name} {before['answers'][name]:.2f} -> {value:.2f}"
            for name, value in after.get("answers", {}).items()
            if name != "written" and name in before.get("answers", {})
        )
        rows.append(
            f"| {task} | {after['conversations']} | {before['loss']:.3f} | {after['loss']:.3f} | {written or '-'} |"
        )
    return "\n".join(
        [
            f"# Captioner adapter, version {record['version']}",
            "",
            f"LoRA of rank {record['settings']['rank']} on the language model of `{record['base_name']}` "
            f"(`{record['base']}`), trained on {sum(fitted['drawn'].values())} conversations "
            f"({', '.join(f'{n} {task}' for task, n in fitted['drawn'].items())}; repeats included) in {fitted['steps']} steps.",
            "",
            f"Conversations: `{talks['name']}`, digest `{talks['digest'][:16]}`; prompts of family `{talks['family']}`. "
            "Answers are captions, lettering and differences that people accepted or corrected.",
            "",
            *rows,
            "",
            "Loss is in nats per token of held-out answers; no picture of them was trained on.",
            "",
            f"Digest `{record['digest']}`. Use: `transformers:BASE+THIS_FOLDER`, with the same prompts.",
            "",
            "Limits: it learns what reviewers let pass, mistakes included; other tasks of the base model were not measured.",
            "",
        ]
    )
