"""Commands that search: search, index, prune."""

from __future__ import annotations

import getpass
import json
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from zcurate.curation.errors import ConfigError

from .options import AsJson, sample_ids

if TYPE_CHECKING:
    from ..searching import Results

DatasetArg = Annotated[str, typer.Argument(metavar="DATASET", help="Dataset directory or URL.")]
WhereOption = Annotated[
    str | None, typer.Option("--where", metavar="RULE", help="Only samples for which this rule is true.")
]


def register(app: typer.Typer) -> None:
    app.command(rich_help_panel="Look")(search)
    app.command(rich_help_panel="Look")(index)
    app.command(rich_help_panel="Look after")(prune)


def search(
    dataset: DatasetArg,
    query: Annotated[str | None, typer.Argument(help="Text to search for.")] = None,
    image: Annotated[Path | None, typer.Option(help="Image to search by.")] = None,
    vector: Annotated[
        Path | None, typer.Option(help="Vector to search by: a .npy of the encoder's width.")
    ] = None,
    sample: Annotated[
        str | None,
        typer.Option("--id", metavar="SAMPLE", help="Sample to search by, as `zcurate explain` takes it."),
    ] = None,
    k: Annotated[int, typer.Option("-k", min=1, max=100_000, help="Results.")] = 10,
    where: WhereOption = None,
    text_only: Annotated[bool, typer.Option("--text-only", help="Words alone (BM25), no vectors.")] = False,
    vector_only: Annotated[bool, typer.Option("--vector-only", help="Vectors alone, no words.")] = False,
    exact: Annotated[bool, typer.Option("--exact", help="Compare with every vector.")] = False,
    dropped: Annotated[bool, typer.Option("--dropped", help="Also samples that a decision dropped.")] = False,
    html: Annotated[Path | None, typer.Option(help="Write a page with thumbnails.")] = None,
    batch: Annotated[
        Path | None,
        typer.Option(help="Many queries: .txt (a prompt a line), .jsonl, .parquet, or a folder of images."),
    ] = None,
    out: Annotated[Path | None, typer.Option("--out", help="Folder for the answers of --batch.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line, per result.")] = False,
) -> None:
    """The samples nearest to a text, an image, a vector or a sample, in the dataset's own embedding.

    A text searches by vector and by words where the encoder embeds texts, otherwise by words alone. The indexes
    are made on first use and kept up to date beside the dataset.

    Examples: `zcurate search ds "a red bridge" --where "short_side_px >= 512" --html found.html`,
    `zcurate search ds --image photo.jpg`, `zcurate search ds --batch failing.txt --out gaps/`
    """
    from ..sample_names import named_sample
    from ..searching import open_search

    if text_only and vector_only:
        raise ConfigError("--text-only and --vector-only exclude each other")
    mode = "text" if text_only else "vector" if vector_only else "auto"
    if batch is not None:
        single = {"a text": query, "--image": image, "--vector": vector, "--id": sample, "--html": html}
        given = [name for name, value in single.items() if value is not None]
        if given or out is None:
            raise ConfigError(
                f"--batch: {f'leave out {given[0]}' if given else 'say where the answers go with --out DIR'}"
            )
        _batch(dataset, batch, out, k, where, mode, as_json)
        return
    if out is not None:
        raise ConfigError("--out goes with --batch; a page of one search is --html FILE")
    searcher = open_search(dataset, _progress())
    results = searcher.search(
        query,
        image,
        None if vector is None else _read_vector(vector),
        None if sample is None else named_sample(searcher.view, sample),
        k, where, mode, exact, dropped,
    )  # fmt: skip
    if html is not None:
        from ..search_pages import results_page

        title = query or f"near {image or vector or sample}"
        try:
            html.write_text(results_page(searcher, title, results), encoding="utf-8")
        except OSError as e:
            raise ConfigError(f"--html {html}: {e.strerror}") from e
    for note in results.notes:
        print(f"note: {note}", file=sys.stderr)
    if as_json:
        for hit in results.hits:
            print(json.dumps({k: v for k, v in asdict(hit).items() if k != "row"} | {"mode": results.mode}))
        return
    _print_results(results)
    if html:
        print(f"thumbnails: {html}")


def _print_results(results: Results) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="dim")
    columns = {"vector": ["cos"], "text": ["BM25"], "hybrid": ["score", "cos", "BM25"]}[results.mode]
    for name in columns:
        table.add_column(name, justify="right", no_wrap=True, min_width=6)
    table.add_column("sample", no_wrap=True, min_width=32)
    for name in ("source/key", "text"):
        table.add_column(name, no_wrap=True, overflow="ellipsis", max_width=60)
    for hit in results.hits:
        values = {"score": hit.score, "cos": hit.cos, "BM25": hit.bm25}
        numbers = ["-" if values[c] is None else f"{values[c]:.4f}" for c in columns]
        mark = "" if hit.kept else " (dropped)"
        # As Text, so that markup and control characters in a key or caption stay what they are: text.
        words = [Text(_printable(s)) for s in (f"{hit.source}/{hit.key}{mark}", hit.text or "")]
        table.add_row(*numbers, hit.sample_id, *words)
    console = Console()
    if not console.is_terminal:
        console = Console(width=200)
    console.print(table)
    if not results.hits:
        print(f"nothing found among {results.searched} samples")


def _printable(text: str) -> str:
    return "".join(c if c.isprintable() else " " for c in text)


def _read_vector(path: Path) -> Any:
    import numpy as np

    try:
        # A map, so that a header that claims more than the file holds costs nothing.
        return np.asarray(np.load(path, mmap_mode="r", allow_pickle=False))
    except OSError as e:
        raise ConfigError(f"{path}: {e.strerror or 'not a .npy file'}") from e
    except (ValueError, EOFError) as e:
        raise ConfigError(f"{path}: not a .npy file of numbers ({e})") from e


def _batch(dataset: str, batch: Path, out: Path, k: int, where: str | None, mode: str, as_json: bool) -> None:
    from ..search_batch import write_batch
    from ..search_queries import read_queries
    from ..searching import open_search

    queries = read_queries(batch)
    searcher = open_search(dataset, _progress())
    result = searcher.batch(queries, k=k, where=where, mode=mode)
    paths = write_batch(searcher, result, out)
    counts = result.counts()
    for note in result.notes:
        print(f"note: {note}", file=sys.stderr)
    if as_json:
        print(
            json.dumps(
                {"queries": len(queries), "verdicts": counts, "files": {n: str(p) for n, p in paths.items()}}
            )
        )
    else:
        print(f"{len(queries)} queries: {', '.join(f'{n} {name}' for name, n in sorted(counts.items()))}")
        for path in paths.values():
            print(f"  {path}")
    if counts.get("error"):
        raise typer.Exit(3)


def index(dataset: DatasetArg, as_json: AsJson = False) -> None:
    """Build or update the search indexes ahead of the first search.

    Example: `zcurate index ds`
    """
    from zcurate.curation.errors import DatasetError

    from ..searching import open_search

    searcher = open_search(dataset, _progress())
    facts: dict[str, Any] = {}
    try:
        vectors = searcher.vectors
        facts["vectors"] = {
            "rows": len(vectors),
            "dim": vectors.dim,
            "unusable": sum(vectors.unusable.values()),
            "encoder": vectors.identity["encoder"],
            **vectors.facts,
            "folder": str(vectors.folder),
        }
    except DatasetError as e:
        if searcher.view.plan.path("embedding"):
            raise
        facts["vectors"] = None
        print(f"note: {e}", file=sys.stderr)
    texts = searcher.texts
    facts["texts"] = {
        "rows": texts.n, "words": len(texts.vocabulary), "fields": list(texts.fields), **texts.facts,
        "folder": str(texts.folder),
    }  # fmt: skip
    if as_json:
        print(json.dumps(facts))
        return
    if facts["vectors"]:
        v = facts["vectors"]
        how = f"recall {v['recall']} at {v['recall_top']}" if "recall" in v else "exact"
        print(f"vectors: {v['rows']} of {v['dim']} dimensions by {v['encoder']}, {how}; {v['folder']}")
    print(
        f"texts: {texts.n} rows, {len(texts.vocabulary)} words of {', '.join(texts.fields)}; {texts.folder}"
    )


def prune(
    dataset: DatasetArg,
    community: Annotated[
        list[int] | None,
        typer.Option("--community", min=0, help="Id of a community of any level. Repeatable."),
    ] = None,
    ids: Annotated[
        Path | None, typer.Option("--ids", help="File of sample ids, one a line (32 hex digits).")
    ] = None,
    where: WhereOption = None,
    reason: Annotated[str, typer.Option(help="Why; kept with the decision.")] = "",
    author: Annotated[str | None, typer.Option(help="Who; default: the login name.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be marked out.")] = False,
    undo: Annotated[
        str | None, typer.Option("--undo", metavar="ENTRY", help="Take one entry of --list back.")
    ] = None,
    list_: Annotated[bool, typer.Option("--list", help="Every prune so far.")] = False,
    as_json: AsJson = False,
) -> None:
    """Mark samples out, with a reason; nothing is deleted, and it can be undone.

    Examples: `zcurate prune ds --community 12 --reason "screenshots" --dry-run`,
    `zcurate prune ds --where "quality.watermark > 0.9" --reason watermarks`, `zcurate prune ds --undo ENTRY`
    """
    from .. import cycles, pruning

    chosen = bool(community or ids or where)
    if [chosen, undo is not None, list_].count(True) != 1:
        raise ConfigError("give what to prune (--community, --ids or --where), or --undo ENTRY, or --list")
    who = author or getpass.getuser()
    if list_:
        _list_prunes(pruning.entries(dataset), as_json)
        return
    if undo is not None:
        facts = pruning.undo(dataset, undo, who, reason)
        print(
            json.dumps(facts)
            if as_json
            else f"{facts['entry']} undone: {facts['samples']} samples no longer marked out"
        )
        return
    wanted = _read_ids(ids) if ids is not None else []
    facts = pruning.prune(dataset, reason, who, community or [], wanted, where, dry_run)
    diagnosis = cycles.diagnosis_of(ids) if ids is not None else None
    if diagnosis is not None and facts["entry"]:
        line = {"author": who, "action": "prune", "dataset": dataset, "list": ids.name, "reason": reason}
        cycles.note(diagnosis, line | {"entry": facts["entry"], "samples": facts["samples"]})
    if as_json:
        print(json.dumps(facts))
        return
    verb = "would be marked out" if dry_run else "marked out"
    print(f"{facts['samples']} samples {verb}; {facts['kept_before']} of them were kept until now")
    for name, count in facts["sources"].items():
        print(f"  {_printable(name)}: {count}")
    for e in facts["examples"]:
        print(f"  {e['sample_id']}  {_printable(e['source'] + '/' + e['key'])}")
    if facts["already_pruned"]:
        print(f"{facts['already_pruned']} more were marked out before")
    if facts["unknown"]:
        print(f"{facts['unknown']} ids are not in this dataset")
    if facts["entry"]:
        print(f"entry {facts['entry']}; take it back with 'zcurate prune {dataset} --undo {facts['entry']}'")
        print("exports made before still hold them: export again")


def _list_prunes(found: list[dict[str, Any]], as_json: bool) -> None:
    for e in found:
        if as_json:
            print(json.dumps(e))
            continue
        undone = f"  undone {e['undone']['time']} by {e['undone']['author']}" if e["undone"] else ""
        line = f"{e['entry']}  {e['time']}  {e['samples']:>8} samples  {e['author']}: {e['reason']}{undone}"
        print(_printable(line))
    if not found and not as_json:
        print("nothing was pruned")


def _read_ids(path: Path) -> list[bytes]:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError as e:
        raise ConfigError(f"{path}: {e.strerror}") from e
    except UnicodeDecodeError as e:
        raise ConfigError(f"{path}: not a text file; write one id a line, 32 hex digits each") from e
    wanted = sample_ids([s for line in lines if (s := line.split("#")[0].strip())])
    if not wanted:
        raise ConfigError(f"{path}: no ids in it")
    return wanted


def _progress() -> Callable[[str, int, int], None]:
    """Lines on stderr for what takes longer than a second: one that rewrites itself on a terminal."""
    state = {"what": "", "began": time.monotonic(), "said": 0.0}

    def report(what: str, done: int, total: int) -> None:
        now = time.monotonic()
        if what != state["what"]:
            state.update(what=what, began=now)
        slow = total > 20_000 and what in ("training", "measuring recall")  # one step each
        if now - state["began"] < 1 and not slow:
            return
        if now - state["said"] < (0.2 if sys.stderr.isatty() else 10):
            return
        state["said"] = now
        end = "\r" if sys.stderr.isatty() else "\n"
        print(f"{what}: {done:,} of {total:,}   ", end=end, file=sys.stderr, flush=True)

    return report
