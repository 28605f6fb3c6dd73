"""`zcurate review` and its companions: what they do, apart from reading arguments and printing."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zcurate.curation.active.review import agreement, labelstudio
from zcurate.curation.active.review.decisions import ReviewLog, now_text
from zcurate.curation.active.review.exporting import export_parquet
from zcurate.curation.active.review.overlay import Applied, apply_decisions, forget_corrections
from zcurate.curation.active.review.routing import BALANCED, ORDERS, Routing, apply_routing
from zcurate.curation.active.review.states import AI, FAIL, PASS, Decision
from zcurate.curation.active.review.tasks import CAPTION, PAIR, Task
from zcurate.curation.errors import ConfigError, DatasetError, MissingDependencyError
from zcurate.curation.store import Dataset
from zcurate.curation.store.digest import json_digest
from zcurate.curation.store.overlay import read_overlay

from .edit_tables import pair_sets
from .view import open_view

if TYPE_CHECKING:
    from .conversations import ConversationOptions

FOLDER, LOG_NAME, KEY_NAME, TAGS_NAME = "_review", "decisions.sqlite", "key", "unknown_tags.tsv"
KINDS = {"all": (CAPTION, PAIR), "captions": (CAPTION,), "pairs": (PAIR,)}
MAX_FILE_BYTES = 1 << 30


@dataclass(frozen=True)
class ReviewOptions:
    """What `zcurate review` was asked for.

    Attributes:
        log: file of decisions; None: in the dataset's folder.
        what: of KINDS. rule: acceptance rule. reviewer: name that the first page suggests.
        show_ai: show AI verdicts and guesses before people give theirs. allowed_hosts: names in the Host header.
        reward: file of `zcurate train-reward`, whose guesses are kept with the tasks. order: of `routing.ORDERS`.
    """

    log: Path | None = None
    what: str = "all"
    rule: str = "human_overrides"
    routing: Routing = field(default_factory=Routing)
    host: str = "127.0.0.1"
    port: int = 8100
    allowed_hosts: tuple[str, ...] = ()
    reviewer: str = ""
    show_ai: bool = False
    lease_s: float = 600.0
    seed: int = 0
    reward: Path | None = None
    order: str = BALANCED


def log_path(url: str, log: Path | None) -> Path:
    """Where decisions are kept. Raises ConfigError for a remote dataset without a file."""
    if log is not None:
        return log
    dataset = Dataset.open(url)
    if dataset.storage.local is None:
        raise ConfigError(f"{url} is remote, and decisions need a local file: name it with --log FILE")
    return dataset.storage.local / FOLDER / LOG_NAME


@contextmanager
def opened_log(url: str, log: Path | None) -> Iterator[ReviewLog]:
    """The log of a dataset that was reviewed before. Raises DatasetError where it was not."""
    path = log_path(url, log)
    if not path.exists():
        raise DatasetError(f"{path}: no review yet; 'zcurate review {url}' begins one")
    with ReviewLog(path) as found:
        yield found


def all_tasks(url: str, options: ReviewOptions) -> Iterator[Task]:
    """Tasks of a dataset.

    Raises:
        ConfigError: an unknown kind or order, or a reward that does not fit the dataset's embeddings.
        DatasetError: there is nothing of that kind to review.
    """
    what = options.what
    if what not in KINDS:
        raise ConfigError(f"--what {what!r}: choose {', '.join(KINDS)}")
    if options.order not in ORDERS:
        raise ConfigError(f"--order {options.order!r}: choose {', '.join(ORDERS)}")
    if options.order != BALANCED and options.reward is None:
        raise ConfigError(f"--order {options.order} goes by a reward model's guesses: give --reward FILE")
    from .review_tasks import Choosing, caption_tasks, pair_tasks

    is_child = "parent" in Dataset.open(url).facts
    view = None if is_child else open_view(url)
    captions = view is not None and view.has("captions") and CAPTION in KINDS[what]
    pairs = PAIR in KINDS[what] and has_pairs(url)
    if not captions and not pairs:
        raise DatasetError(
            f"{url}: neither captions nor edit pairs to review; build it with 'caption' or 'edits' among the stages"
        )

    choosing = Choosing(options.order, options.seed, routing=options.routing)
    if captions and options.reward is not None:
        from .review_reward import Guesses

        choosing = replace(choosing, guesses=Guesses(view, options.reward))

    def tasks() -> Iterator[Task]:
        if captions:
            yield from caption_tasks(view, choosing)
        if pairs:
            yield from pair_tasks(url, options.seed)

    return tasks()


def has_pairs(url: str) -> bool:
    """Has a stage of the dataset's newest run made pairs (or is it a dataset of pairs)?"""
    try:
        return bool(pair_sets(url))
    except DatasetError:
        return False


def prepare(url: str, options: ReviewOptions, log: ReviewLog) -> dict[str, int]:
    """Bring a log's tasks and routes up to date with the dataset: tasks new, routes changed, forgotten."""
    new = log.sync_tasks(all_tasks(url, options))
    dataset = Dataset.open(url)
    removed = [i.hex() for i in read_overlay(dataset).removed]
    gone = log.forget(removed)
    forget_corrections(dataset, removed)
    return {"new": new, "routed": apply_routing(log, options.routing), "forgotten": gone}


def forget_samples(url: str, ids: Sequence[bytes]) -> int:
    """Remove what a review holds of samples that were taken down. Returns how many tasks went."""
    dataset, subjects = Dataset.open(url), [i.hex() for i in ids]
    forget_corrections(dataset, subjects)
    path = dataset.storage.local and dataset.storage.local / FOLDER / LOG_NAME
    if not path or not path.exists():
        return 0
    with ReviewLog(path) as log:
        return log.forget(subjects)


def serve(url: str, options: ReviewOptions, on_start: Callable[[str, dict[str, int]], None]) -> None:
    """Serve the page until SIGTERM or SIGINT. `on_start` is told its address and what `prepare` found.

    Raises:
        ConfigError: an address without a token, a wrong setting. DatasetError: nothing to review.
    """
    try:
        import uvicorn

        from zcurate.curation.active.review.guard import TOKEN_VARIABLE, Guard, load_key
        from zcurate.curation.active.review.pages import Pages
        from zcurate.curation.active.review.server import create_app, listen
    except ModuleNotFoundError as e:
        if e.name in ("fastapi", "uvicorn", "starlette"):
            raise MissingDependencyError(
                f"the review page needs {e.name}: pip install 'zcurate[serve]'"
            ) from e
        raise
    from .review_pictures import Pictures

    token = os.environ.get(TOKEN_VARIABLE, "").strip() or None
    path = log_path(url, options.log)
    path.parent.mkdir(parents=True, exist_ok=True)
    guard = Guard(load_key(path.with_name(KEY_NAME)), token, options.host, options.allowed_hosts)
    with ReviewLog(path, options.rule) as log:
        found = prepare(url, options, log)
        is_child = "parent" in Dataset.open(url).facts
        pictures = Pictures(None if is_child else open_view(url), pair_sets(url) if has_pairs(url) else [])
        pages = Pages(Path(url.rstrip("/")).name, options.reviewer, options.show_ai)
        app = create_app(log, pictures, guard, pages, options.lease_s)
        config = uvicorn.Config(
            app,
            **{"ws": "none", "proxy_headers": False, "log_level": "warning", "access_log": False},
            **{"server_header": False, "limit_concurrency": 256, "timeout_keep_alive": 30},
            **{"timeout_graceful_shutdown": 5, "h11_max_incomplete_event_size": 64 << 10, "lifespan": "off"},
        )
        with listen(options.host, options.port) as listening:
            name = f"[{options.host}]" if ":" in options.host else options.host
            on_start(f"http://{name}:{listening.getsockname()[1]}/", found)
            uvicorn.Server(config).run(sockets=[listening])


def stats(url: str, log: Path | None) -> dict[str, Any]:
    """Counts by outcome and stage, and agreement."""
    with opened_log(url, log) as found:
        rows = found.rows(
            "SELECT stage, outcome, count(*) FROM tasks WHERE current = 1 GROUP BY stage, outcome"
        )
        counts = [{"stage": s, "outcome": o, "tasks": n} for s, o, n in rows]
        return {
            "rule": found.rule,
            "tasks": sum(r[2] for r in rows),
            "counts": counts,
            **agreement.report(found),
        }


def export(
    url: str,
    log: Path | None,
    form: str,
    out: Path,
    picture_prefix: str = "",
    conversations: ConversationOptions | None = None,
) -> dict[str, int]:
    """Write a review out; file -> rows. Raises ConfigError for an unknown form."""
    with opened_log(url, log) as found:
        if form == "parquet":
            return export_parquet(found, out)
        if form == "conversations":
            from .conversations import ConversationOptions, export_conversations

            return export_conversations(url, found, out, conversations or ConversationOptions())
        if form != "label-studio":
            raise ConfigError(f"--format {form!r}: choose parquet, conversations or label-studio")

        def address(task: Task) -> str:
            return f"{picture_prefix}{task.context.get('uri') or ''}"

        documents = list(labelstudio.export_tasks(found, address))
        out.mkdir(parents=True, exist_ok=True)
        text = json.dumps(documents, ensure_ascii=False, indent=1)
        (out / "tasks.json").write_text(text + "\n", encoding="utf-8")
        (out / "label_config.xml").write_text(labelstudio.label_config(), encoding="utf-8")
        return {"tasks.json": len(documents)}


def import_file(url: str, log: Path | None, file: Path) -> dict[str, int]:
    """Take in Label Studio JSON (`.json`) or AI verdicts (`.jsonl`).

    Returns:
        tasks and decisions that are new.

    Raises:
        ConfigError: the file cannot be read. DatasetError: a line or task that does not fit; nothing is taken then.
    """
    try:
        if file.stat().st_size > MAX_FILE_BYTES:
            raise ConfigError(f"{file}: larger than {MAX_FILE_BYTES >> 20} MiB")
        text = file.read_text(encoding="utf-8-sig")
    except OSError as e:
        raise ConfigError(f"{file}: {e.strerror}") from e
    except UnicodeDecodeError as e:
        raise ConfigError(f"{file}: not UTF-8 ({e.reason} at byte {e.start})") from e
    with opened_log(url, log) as found:
        if file.suffix == ".jsonl":
            return {"tasks": 0, "decisions": found.append(list(_verdicts(found, text.splitlines(), file)))}
        try:
            documents = json.loads(text)
        except (ValueError, RecursionError) as e:
            raise ConfigError(f"{file}: not JSON ({e})") from e
        if not isinstance(documents, list):
            raise ConfigError(f"{file}: not a list of tasks, as Label Studio exports them")
        return labelstudio.import_tasks(found, documents)


def _verdicts(log: ReviewLog, lines: Sequence[str], file: Path) -> Iterator[Decision]:
    """AI verdicts: `{"task_id" or "sample_id" or "pair_id", "verdict": "pass" | "fail", "verifier": NAME, ...}` a line."""
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            raw = json.loads(line)
            verifier, verdict = str(raw["verifier"]), raw["verdict"]
            if verdict not in (PASS, FAIL):
                raise ValueError(f"verdict {verdict!r} is not pass or fail")
            subject = raw.get("sample_id") or raw.get("pair_id")
            where, value = ("task_id", raw["task_id"]) if "task_id" in raw else ("subject", subject)
            rows = log.rows(f"SELECT task_id FROM tasks WHERE current = 1 AND {where} = ?", (value,))  # noqa: S608
            if not rows:
                raise ValueError(f"no task about {value!r}")
            for (task_id,) in rows:
                if log.task(task_id).proposer == verifier and "prompt" not in raw:
                    raise ValueError(
                        f"{verifier!r} wrote the captions: another model or prompt must verify them"
                    )
                body = {k: raw[k] for k in ("unsatisfied", "score", "reasons", "prompt", "note") if k in raw}
                identity = json_digest(
                    {"task": task_id, "verifier": verifier, "verdict": verdict, "body": body}
                )
                time = str(raw.get("time") or now_text())
                yield Decision(identity, task_id, verdict, verifier, AI, time, body)
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as e:
            raise DatasetError(f"{file}, line {number}: {type(e).__name__}: {e}") from e


def apply(url: str, log: Path | None, author: str, dry_run: bool = False) -> Applied:
    """Write discards and corrections to the dataset's overlay."""
    with opened_log(url, log) as found:
        return apply_decisions(Dataset.open(url), found, author, dry_run)


def unknown_tags_path(url: str, log: Path | None) -> Path:
    """Where tags that a graph lacks are listed: beside the log."""
    return log_path(url, log).with_name(TAGS_NAME)
