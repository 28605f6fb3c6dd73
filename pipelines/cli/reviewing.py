"""Commands of review: review, review-verify, review-stats, review-export, review-import, review-apply."""

from __future__ import annotations

import getpass
import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from .looking import DatasetArg
from .options import AsJson, share

_Log = Annotated[
    Path | None,
    typer.Option("--log", help="File of decisions; default: DATASET/_review/decisions.sqlite."),
]
_Reward = Annotated[
    Path | None,
    typer.Option(
        "--reward", help="File of `zcurate train-reward`: its guess on every caption is kept with the task."
    ),
]
_Order = Annotated[
    str,
    typer.Option(
        help="Of captions: `balanced` (random, by the balance stage's weights); with --reward also `mixed` (times how "
        "uncertain its guess is) or `uncertain` (the most uncertain first)."
    ),
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
        bool,
        typer.Option("--show-ai", help="Show AI verdicts and guesses before the person's; biases them."),
    ] = False,
    reward: _Reward = None,
    order: _Order = "balanced",
    lease: Annotated[float, typer.Option(min=10, help="Seconds until an idle task goes to others.")] = 600.0,
    seed: Annotated[int, typer.Option(help="Of the queue's order and the random shares.")] = 0,
    log: _Log = None,
) -> None:
    """A local page where people verify captions and edit pairs, and correct them.

    Decisions are kept in one file, on disk before the next task is shown; several people may work at once.
    `zcurate review-apply` carries them into the dataset.

    Examples: `zcurate review ds`, `zcurate review ds --what pairs --second-share 10%`,
    `zcurate review ds --reward reward.safetensors --order mixed`
    """
    from zcurate.curation.active.review.routing import Routing

    from ..reviewing import ReviewOptions, serve

    options = ReviewOptions(
        log=log,
        what=what,
        rule=accept,
        routing=Routing(
            pass_share=share(pass_share, "--pass-share"),
            second_share=share(second_share, "--second-share"),
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
        reward=reward,
        order=order,
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
    what: Annotated[str, typer.Option(help="`captions`, `pairs` or `all`.")] = "all",
    limit: Annotated[int | None, typer.Option(min=1, help="Tasks at most, in the queue's order.")] = None,
    max_tokens: Annotated[
        int | None, typer.Option(min=0, help="Stop before more tokens are used, in and out.")
    ] = None,
    reward: _Reward = None,
    order: _Order = "balanced",
    log: _Log = None,
    as_json: AsJson = False,
) -> None:
    """An AI verdict on every caption and edit pair: a model looks for each element, checks each instruction.

    Of a pair it is shown both pictures and the instructions of both languages: has the change happened, is all else kept,
    are there traces? What it cannot tell gets no verdict. The next `zcurate review` asks people by these verdicts.

    Example: `zcurate review-verify ds --vlm openai:http://localhost:8000/v1#MODEL --revision 2026-01`
    """
    from ..review_verifying import verify

    def say(text: str) -> None:
        print(text, file=sys.stderr)

    counts = verify(dataset, log, vlm, revision, limit, max_tokens, say, what, reward, order)
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
    form: Annotated[
        str, typer.Option("--format", help="`parquet`, `label-studio` or `conversations`.")
    ] = "parquet",
    picture_prefix: Annotated[
        str, typer.Option(help="Put before picture paths, e.g. `/data/local-files/?d=`.")
    ] = "",
    held_out: Annotated[
        str, typer.Option(help="conversations: share of pictures kept from training, e.g. `10%`.")
    ] = "10%",
    weight: Annotated[
        list[str] | None,
        typer.Option(help="conversations: `accepted=`, `corrected=` or `ai=NUMBER`; 1 without. Repeatable."),
    ] = None,
    family: Annotated[
        str | None, typer.Option(help="conversations: prompts for which model family; default: the recipe's.")
    ] = None,
    seed: Annotated[int, typer.Option(help="conversations: of the split.")] = 0,
    log: _Log = None,
) -> None:
    """Write a review as Parquet (log, one row per task, tag changes) or as Label Studio JSON, without loss, or as
    conversations that train a captioner (`zcurate train-captioner`): what was accepted and corrected, never what was discarded.

    Examples: `zcurate review-export ds --format label-studio --out ls`,
    `zcurate review-export ds --format conversations --out talks`
    """
    from ..reviewing import export

    options = None
    if form == "conversations":
        from ..conversations import ConversationOptions, weights_of

        options = ConversationOptions(family, share(held_out, "--held-out"), seed, weights_of(weight or ()))
    for name, rows in export(dataset, log, form, out, picture_prefix, options).items():
        print(f"{rows:>8,}  {out / name}")
    if options is not None:
        facts = json.loads((out / "conversations.json").read_text(encoding="utf-8"))
        for reason, count in facts["left_out"].items():
            print(f"{count:>8,}  left out: {reason}")


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
    graph: Annotated[
        str | None, typer.Option("--graph", help="Also list corrected tags that this graph does not know.")
    ] = None,
    log: _Log = None,
    as_json: AsJson = False,
) -> None:
    """Carry decisions into the dataset: discarded rows are out, corrected captions are exported, and counted by balance.

    Writes to `overlay/review`, which is only ever added to; what is taken back in the review is taken back here, too. The
    next `zcurate build` (or `run balance`) maps the corrected tags to concepts anew, of those samples alone.

    Examples: `zcurate review-apply ds`, `zcurate review-apply ds --graph graph`
    """
    from dataclasses import asdict

    from ..reviewing import apply, unknown_tags_path

    done = apply(dataset, log, author or _me() or "unknown", dry_run)
    facts = asdict(done)
    if graph:
        from ..review_tags import unknown_tags, write_tags

        unknown, file = unknown_tags(dataset, graph), unknown_tags_path(dataset, log)
        if not dry_run:
            write_tags(file, unknown)
        facts |= {"unknown_tags": dict(unknown), "unknown_tags_file": None if dry_run else str(file)}
    if as_json:
        print(json.dumps(facts, ensure_ascii=False))
        return
    verb = "would be " if dry_run else ""
    print(
        f"{verb}dropped {done.dropped:,}, {verb}taken back {done.taken_back:,}, {verb}corrected {done.corrected:,}"
    )
    if done.retagged:
        print(
            f"{done.retagged:,} samples have other tags: 'zcurate build RECIPE' or 'zcurate run balance {dataset}' counts them"
        )
    if graph:
        print(
            f"{len(unknown):,} corrected tags are not in {graph}"
            + (f": {', '.join(t for t, _ in unknown[:8])}" if unknown else "")
        )
        if unknown and not dry_run:
            print(
                f"add them: zcurate graph-augment {dataset} --graph {graph} --tags {file} --min-samples 1 --author NAME"
            )


def _me() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return ""
