"""Commands of review: review, review-verify, review-stats, review-export, review-import, review-apply."""

from __future__ import annotations

import getpass
import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from zcurate.curation.errors import ConfigError

from .looking import DatasetArg
from .options import AsJson

_Log = Annotated[
    Path | None,
    typer.Option("--log", help="File of decisions; default: DATASET/_review/decisions.sqlite."),
]


def register(app: typer.Typer) -> None:
    app.command(rich_help_panel="Look")(review)
    app.command(name="review-verify", rich_help_panel="Make")(review_verify)
    app.command(name="review-stats", rich_help_panel="Look")(review_stats)
    app.command(name="review-export", rich_help_panel="Make")(review_export)
    app.command(name="review-import", rich_help_panel="Look after")(review_import)
    app.command(name="review-apply", rich_help_panel="Look after")(review_apply)


def review(
    dataset: DatasetArg,
    what: Annotated[str, typer.Option(help="`captions`, `pairs` or `all`.")] = "all",
    host: Annotated[
        str, typer.Option(help="Address to bind. Others than this machine's demand ZCURATE_REVIEW_TOKEN.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes a free one.")] = 8100,
    allowed_host: Annotated[
        list[str] | None, typer.Option(help="Name that the Host header may have. Repeatable.")
    ] = None,
    reviewer: Annotated[
        str | None, typer.Option(help="Name that the first page suggests; default: yours on this machine.")
    ] = None,
    accept: Annotated[
        str, typer.Option(help="How AI and people combine: `human_overrides`, `any_fail` or `both_pass`.")
    ] = "human_overrides",
    pass_share: Annotated[str, typer.Option(help="Share of AI passes that people check, at random.")] = "5%",
    second_share: Annotated[
        str, typer.Option(help="Share that a second person judges, blind, for kappa.")
    ] = "0%",
    rare: Annotated[
        int, typer.Option(min=0, help="People look where a concept has fewer samples than this.")
    ] = 5,
    lettering: Annotated[
        float, typer.Option(min=0, max=1, help="People look where captioner and OCR agree less than this.")
    ] = 0.5,
    wait_for_ai: Annotated[
        bool, typer.Option("--wait-for-ai", help="Tasks without an AI verdict wait for one.")
    ] = False,
    show_ai: Annotated[
        bool, typer.Option("--show-ai", help="Show the AI verdict before the person's; biases them.")
    ] = False,
    lease: Annotated[float, typer.Option(min=10, help="Seconds until an idle task goes to others.")] = 600.0,
    seed: Annotated[int, typer.Option(help="Of the queue's order and the random shares.")] = 0,
    log: _Log = None,
) -> None:
    """A local page where people verify captions and edit pairs, and correct them.

    Decisions are kept in one file, on disk before the next task is shown; several people may work at once.
    `zcurate review-apply` carries them into the dataset.

    Examples: `zcurate review ds`, `zcurate review ds --what pairs --second-share 10%`
    """
    from zcurate.curation.active.review.routing import Routing

    from ..reviewing import ReviewOptions, serve

    options = ReviewOptions(
        log=log,
        what=what,
        rule=accept,
        routing=Routing(
            pass_share=_share(pass_share, "--pass-share"),
            second_share=_share(second_share, "--second-share"),
            rare_below=rare,
            lettering_below=lettering or None,
            without_ai=not wait_for_ai,
            seed=seed,
        ),
        host=host,
        port=port,
        allowed_hosts=tuple(allowed_host or ()),
        reviewer=_me() if reviewer is None else reviewer,
        show_ai=show_ai,
        lease_s=lease,
        seed=seed,
    )

    def started(url: str, found: dict[str, int]) -> None:
        print(f"{found['new']:,} new tasks, {found['routed']:,} routed", flush=True)
        print(f"review at {url}", flush=True)

    serve(dataset, options, started)


def review_verify(
    dataset: DatasetArg,
    vlm: Annotated[str, typer.Option(help="`openai:URL#MODEL` or `transformers:DIRECTORY_OR_ID`.")],
    revision: Annotated[
        str | None, typer.Option(help="Which weights a server has, in your own words.")
    ] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Tasks at most, in the queue's order.")] = None,
    max_tokens: Annotated[
        int | None, typer.Option(min=0, help="Stop before more tokens are used, in and out.")
    ] = None,
    log: _Log = None,
    as_json: AsJson = False,
) -> None:
    """An AI verdict on every caption: a model looks for each of its elements in the picture.

    What it cannot tell gets no verdict. The next `zcurate review` asks people by these verdicts.

    Example: `zcurate review-verify ds --vlm openai:http://localhost:8000/v1#MODEL --revision 2026-01`
    """
    from ..review_verifying import verify

    counts = verify(dataset, log, vlm, revision, limit, max_tokens, lambda text: print(text, file=sys.stderr))
    print(json.dumps(counts) if as_json else ", ".join(f"{n:,} {name}" for name, n in counts.items()))


def review_stats(dataset: DatasetArg, log: _Log = None, as_json: AsJson = False) -> None:
    """How far a review is, and how far its verdicts can be trusted: kappa, the AI verifier's false passes.

    Example: `zcurate review-stats ds --json`
    """
    from ..reviewing import stats

    facts = stats(dataset, log)
    if as_json:
        print(json.dumps(facts))
        return
    print(f"{facts['tasks']:,} tasks, rule {facts['rule']}")
    for c in facts["counts"]:
        print(f"  {c['stage']:<8} {c['outcome']:<10} {c['tasks']:>8,}")
    for name, counts in facts["reviewers"].items():
        print(f"{name}: " + ", ".join(f"{n} {what}" for what, n in sorted(counts.items())))
    for p in facts["people"]:
        kappa = "n/a" if p["kappa"] is None else f"{p['kappa']:.2f}"
        print(f"{' and '.join(p['reviewers'])}: both judged {p['judged']}, kappa {kappa}")
    for v in facts["verifiers"]:
        kappa = "n/a" if v["agreement"]["kappa"] is None else f"{v['agreement']['kappa']:.2f}"
        interval = f"{v['false_pass_low']:.1%} to {v['false_pass_high']:.1%}"
        print(
            f"{v['name']}: {v['passes']} pass, {v['fails']} fail; wrongly passed {v['false_passes']} of {v['audited']} "
            f"audited ({interval} at 95 %); kappa with people {kappa}"
        )


def review_export(
    dataset: DatasetArg,
    out: Annotated[Path, typer.Option("--out", help="Folder to write.")],
    form: Annotated[str, typer.Option("--format", help="`parquet` or `label-studio`.")] = "parquet",
    picture_prefix: Annotated[
        str, typer.Option(help="Put before picture paths, e.g. `/data/local-files/?d=`.")
    ] = "",
    log: _Log = None,
) -> None:
    """Write a review as Parquet (log, one row per task, tag changes) or as Label Studio JSON, without loss.

    Example: `zcurate review-export ds --format label-studio --out ls`
    """
    from ..reviewing import export

    for name, rows in export(dataset, log, form, out, picture_prefix).items():
        print(f"{rows:>8,}  {out / name}")


def review_import(
    dataset: DatasetArg,
    file: Annotated[Path, typer.Argument(help="Label Studio JSON (.json) or AI verdicts (.jsonl).")],
    log: _Log = None,
    as_json: AsJson = False,
) -> None:
    """Take in what was decided in Label Studio, or by an AI verifier.

    An AI verdict is a line `{"sample_id": "...", "verdict": "pass", "verifier": "MODEL@REVISION"}`; `pair_id` or `task_id` in
    place of `sample_id`, and `unsatisfied`, `score`, `reasons`, if you like.

    Example: `zcurate review-import ds verdicts.jsonl`
    """
    from ..reviewing import import_file

    new = import_file(dataset, log, file)
    print(json.dumps(new) if as_json else f"{new['tasks']:,} new tasks, {new['decisions']:,} new decisions")


def review_apply(
    dataset: DatasetArg,
    author: Annotated[str | None, typer.Option(help="Who applies; default: your name here.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be written.")] = False,
    log: _Log = None,
    as_json: AsJson = False,
) -> None:
    """Carry decisions into the dataset: discarded rows are out, corrected captions are exported.

    Writes to `overlay/review`, which is only ever added to; what is taken back in the review is taken back here, too.

    Example: `zcurate review-apply ds`
    """
    from dataclasses import asdict

    from ..reviewing import apply

    done = apply(dataset, log, author or _me() or "unknown", dry_run)
    if as_json:
        print(json.dumps(asdict(done)))
        return
    verb = "would be " if dry_run else ""
    print(
        f"{verb}dropped {done.dropped:,}, {verb}taken back {done.taken_back:,}, {verb}corrected {done.corrected:,}"
    )


def _me() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return ""


def _share(text: str, option: str) -> float:
    """`5%` or `0.05`. Raises ConfigError."""
    number = text.strip().removesuffix("%")
    try:
        value = float(number) / (100 if text.strip().endswith("%") else 1)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 1:
        raise ConfigError(f"{option} {text!r}: write a share such as 5% or 0.05")
    return value
