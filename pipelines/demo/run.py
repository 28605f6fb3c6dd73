"""`zcurate demo`: build the corpus, run the whole pipeline on it, compare with what was planted."""

from __future__ import annotations

import json
import shutil
import sys
import time
from pathlib import Path
from typing import Any

import pyarrow as pa

from zcurate.curation.errors import ConfigError, MissingDependencyError

from ..build import BuildOptions, build
from ..recipe import BUNDLED, Recipe, build_recipe, load_recipe
from ..report.data import DrawnSheet
from ..report.data import FaultScore as ReportScore
from ..reporting import write_report
from ..view import View, open_view
from .score import FaultScore, score, to_json, to_table

#: Filter reason -> planted faults it is right about. A flat picture has no detail and a plain border, too.
REASON_FAULTS: dict[str, tuple[str, ...]] = {
    "too_small": ("tiny",),
    "over_compressed": ("over_compression",),
    "blurred": ("defocus", "motion_blur", "flat"),
    "noisy": ("noise",),
    "tinted": ("color_cast",),
    "watermarked": ("watermark",),
    "framed": ("frame", "letterbox"),
    "flat": ("flat",),
}


def run_demo(out: Path, engine: str, seed: int, as_json: bool) -> int:
    """Everything `zcurate demo` does. Returns the exit code.

    Raises:
        ConfigError: `out` holds something that is not a demo.
        MissingDependencyError: the photographs' packages are not installed.
    """
    started = time.monotonic()
    say = (lambda *_: None) if as_json else (lambda *a: print(*a, flush=True))
    corpus = _corpus(out, seed, say)
    recipe = demo_recipe(out)
    options = BuildOptions(engine=engine, as_json=as_json)
    outcome = build(recipe, options, "zcurate demo")
    if not outcome.result.complete:
        for message in outcome.record.failed:
            print(f"failed: {message}", file=sys.stderr)
        return outcome.exit_code
    view = open_view(recipe.dataset)
    scores = score(
        corpus["truth"], outcome_table(view), {k: v for k, v in REASON_FAULTS.items() if k in _rules(recipe)}
    )
    (out / "scores.json").write_text(to_json(scores) + "\n", encoding="utf-8")
    drawn = draw_grid(out)
    report = write_report(recipe.dataset, out / "report.html", [_for_report(s) for s in scores], drawn)
    seconds = time.monotonic() - started
    if as_json:
        print(
            json.dumps(
                {"scores": json.loads(to_json(scores)), "report": str(report), "seconds": round(seconds, 1)}
            )
        )
        return 0
    from rich.console import Console

    Console(width=max(116, Console().width)).print(to_table(scores))
    for e in outcome.record.exports:
        say(f"{e['format']:<11} {e['rows']:>5} rows  {e['out']}")
    say(f"generated   {len(drawn.prompts):>5} prompts  {out / drawn.href}; {drawn.note}")
    say(f"done in {seconds:.0f} s; open the report: {report.absolute()}")
    return 0


def draw_grid(out: Path) -> DrawnSheet:
    """A sheet of pictures by the tiny preset of the model, under OUT/generated. Its note says if it is untrained."""
    from zcurate.model.grid import tiny_grid

    shutil.rmtree(out / "generated", ignore_errors=True)
    sheet = tiny_grid(out / "generated")
    href = sheet["path"].relative_to(out).as_posix()
    return DrawnSheet(
        sheet["path"].read_bytes(), href, tuple(sheet["prompts"]), sheet["model"], sheet["note"]
    )


def demo_recipe(out: Path) -> Recipe:
    """The bundled demo recipe with the rules of the bundled photo recipe."""
    recipe = load_recipe("demo", [f"sources={out / 'corpus' / 'sources'}", f"out={out}"])
    rules = load_recipe("photos", ["source=unused"]).stages["filter"]
    raw = recipe.model_dump(mode="json")
    raw["stages"]["filter"] = rules
    return build_recipe(raw, str(BUNDLED / "demo.yaml"))


def _rules(recipe: Recipe) -> set[str]:
    return set(recipe.stages["filter"].get("rules", {}))


def _corpus(out: Path, seed: int, say: Any) -> dict[str, Any]:
    """The corpus under OUT/corpus: made once, reused when it is whole and of the same seed."""
    import pyarrow.parquet as pq

    folder, mark = out / "corpus", out / "corpus" / "seed"
    if mark.exists() and mark.read_text() == str(seed):
        return {"truth": pq.read_table(folder / "truth" / "truth.parquet")}
    if folder.exists():
        if not (folder / "truth").exists() and any(folder.iterdir()) and not (folder / "sources").exists():
            raise ConfigError(f"{folder} is there and is not a demo corpus; give another --out")
        shutil.rmtree(folder)
    try:
        from .corpus import build_corpus

        say("building the corpus ...")
        corpus = build_corpus(folder, seed)
    except ModuleNotFoundError as e:
        raise MissingDependencyError(
            f"the demo's photographs need {e.name}: pip install 'zcurate[demo]'"
        ) from e
    mark.write_text(str(seed))
    for note in corpus.notes:
        say(f"note: {note}")
    say(f"corpus: {corpus.truth.num_rows} images, {corpus.total_bytes / 1e6:.1f} MB in {folder}")
    return {"truth": corpus.truth}


def outcome_table(view: View) -> pa.Table:
    """What the pipeline decided, one row per live sample, in the columns that `score` reads."""
    columns = ["samples.source", "samples.key", "profile._status", "profile._error_class"]
    columns += ["decisions/filter.reasons", "groups.group_id", "groups.keeper_id", "groups.keep", "ocr.text"]
    rows: list[dict[str, Any]] = []
    for _, table in view.tables(columns):
        rows += [r for r in table.to_pylist() if r["live"]]
    keys = {r["sample_id"]: r["samples.key"] for r in rows}
    return pa.Table.from_pylist(
        [
            {
                "source": r["samples.source"],
                "key": r["samples.key"],
                "status": r["profile._status"],
                "error_class": r["profile._error_class"],
                "keep_filter": r["keep:decisions/filter"],
                "reasons": r["decisions/filter.reasons"],
                "group_id": r["groups.group_id"],
                "dedup_keep": r["groups.keep"],
                "keeper_key": keys.get(r["groups.keeper_id"]),
                "ocr_text": r["ocr.text"],
            }
            for r in rows
        ]
    )


def _for_report(s: FaultScore) -> ReportScore:
    kind = {"false_drop": "must stay", "ocr": "text to read"}.get(s.kind, s.kind)
    return ReportScore(s.fault, kind, s.planted, s.found, s.precision, s.recall, s.note)
