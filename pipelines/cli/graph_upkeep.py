"""Commands that change the knowledge graph: add, weight, prompts, undo, log."""

from __future__ import annotations

import getpass
import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from zcurate.curation.errors import ConfigError

from .options import AsJson

if TYPE_CHECKING:
    from zcurate.graph.journal import Author

GraphDir = Annotated[
    Path,
    typer.Option("--graph", "-g", envvar="ZCURATE_GRAPH", help="Graph directory; default: `graph` here."),
]
AuthorName = Annotated[str, typer.Option(help="Who answers for it; default: your user name.")]
Reason = Annotated[str, typer.Option(help="Why; kept in the changelog.")]
Date = Annotated[str, typer.Option(help="Of the decision, ISO 8601; default: now.")]


def register(app: typer.Typer) -> None:
    for function in (add, weight, prompts, undo, log):
        app.command()(function)


def author_of(name: str, reason: str, date: str = "") -> Author:
    """The author of a change; the user's own name if none is given."""
    from zcurate.graph.journal import Author

    return Author(name or getpass.getuser(), reason, date)


def add(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The concept's name.")],
    source: Annotated[str, typer.Option(help="Where it comes from: a URL, a list, a person.")],
    reason: Reason,
    graph: GraphDir = Path("graph"),
    lang: Annotated[str, typer.Option(help="Language of the name.")] = "en",
    alias: Annotated[
        list[str] | None,
        typer.Option(help="Another name, `TEXT` or `LANG:TEXT`, e.g. `zh:拉布布`. Repeatable."),
    ] = None,
    parent: Annotated[
        list[str] | None, typer.Option(help="A concept of the graph that this one is a kind of. Repeatable.")
    ] = None,
    author: AuthorName = "",
    date: Date = "",
) -> None:
    """Add a trending concept.

    Example: `zcurate graph add Labubu --parent Toys --alias zh:拉布布 --source https://... --reason "trending, May"`
    """
    import re

    from zcurate.graph.store import Graph
    from zcurate.graph.upkeep import NewConcept, add_concepts

    from ..graphing import errors_for_people

    with errors_for_people():
        opened = Graph.open(graph)
        parents = tuple(opened.resolve(p) for p in parent or ())
        aliases = []
        for text in alias or ():
            tagged = re.fullmatch(r"([a-z]{2,3}(?:-[a-z]+)?):(.+)", text)
            aliases.append((tagged[2], tagged[1], "user") if tagged else (text, lang, "user"))
        new = NewConcept(name, lang, source, tuple(aliases), parents)
        same = [v for v in opened.find(name) if opened.kept[v]]
        (node,) = add_concepts(opened, [new], author_of(author, reason, date))
    print(f"added {name} as #{node}" + (f"; note: #{same[0]} has that name, too" if same else ""))


def weight(
    concept: Annotated[str, typer.Argument(metavar="CONCEPT", help="Name, alias, Q-id or #NUMBER.")],
    graph: GraphDir = Path("graph"),
    value: Annotated[
        float | None, typer.Option("--set", help="Prior weight, >= 0; 1 is what nobody asked for.")
    ] = None,
    take_back: Annotated[
        bool, typer.Option("--undo", help="Take back the newest weight that was set.")
    ] = False,
    reason: Reason = "",
    author: AuthorName = "",
    date: Date = "",
) -> None:
    """Set the prior weight of a concept by hand, take that back, or show it.

    Example: `zcurate graph weight Hanfu --set 4 --reason "campaign" --author lin`
    """
    from zcurate.graph.store import Graph
    from zcurate.graph.upkeep import set_weight
    from zcurate.graph.upkeep import undo as undo_event

    from ..graphing import errors_for_people

    if value is not None and take_back:
        raise ConfigError("--set and --undo exclude each other")
    with errors_for_people():
        opened = Graph.open(graph)
        node = opened.resolve(concept)
        if value is not None:
            set_weight(opened, node, value, author_of(author, reason, date))
        elif take_back:
            if node not in opened.overlay.manual_event:
                raise ConfigError(f"no weight of {concept!r} is set; see zcurate graph log")
            event = opened.overlay.manual_event[node]
            undo_event(opened, event, author_of(author, reason or "undone", date))
        opened = Graph.open(graph)
        print(
            f"{opened.labels([node])[0]} #{node}: weight {opened.weight[node]:g}, graph version {opened.version}"
        )


def prompts(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Prompts: text lines, JSONL, TSV or CSV.")],
    graph: GraphDir = Path("graph"),
    strength: Annotated[float, typer.Option(help="0 = only protect what they name from pruning.")] = 1.0,
    reason: Reason = "user prompts",
    author: AuthorName = "",
    date: Date = "",
    as_json: AsJson = False,
) -> None:
    """Count which concepts user prompts name; these weigh more: 1 + strength * ln(1 + mentions per thousand).

    Example: `zcurate graph prompts prompts.txt --graph kg`
    """
    from zcurate.graph.prompts import add_prompts
    from zcurate.graph.store import Graph

    from ..graphing import errors_for_people

    with errors_for_people():
        opened = Graph.open(graph)
        counts = add_prompts(opened, file, author_of(author, reason, date), strength)
        top = sorted(
            zip(counts.counts.tolist(), counts.nodes.tolist(), strict=True), key=lambda c: (-c[0], c[1])
        )
        names = opened.labels([v for _, v in top[:20]])
    if as_json:
        first = [{"concept": n, "node": v, "prompts": c} for n, (c, v) in zip(names, top, strict=False)]
        print(
            json.dumps(
                {"prompts": counts.prompts, "matched": counts.matched, "concepts": len(top), "top": first}
            )
        )
        return
    print(f"{counts.prompts:,} prompts, {counts.matched:,} of them name {len(top):,} concepts of the graph")
    for name, (count, node) in zip(names, top, strict=False):
        print(f"  {count:>8,}  {name} #{node}")


def undo(
    number: Annotated[int, typer.Argument(metavar="NUMBER", help="Of the change, as `graph log` prints it.")],
    reason: Reason,
    graph: GraphDir = Path("graph"),
    author: AuthorName = "",
    date: Date = "",
) -> None:
    """Take back one change: an added concept, a weight, a prune run, prompts, or an undo.

    Example: `zcurate graph undo 12 --reason "wrong parent"`
    """
    from zcurate.graph.store import Graph
    from zcurate.graph.upkeep import undo as undo_event

    from ..graphing import errors_for_people

    with errors_for_people():
        done = undo_event(Graph.open(graph), number, author_of(author, reason, date))
    print(f"change {number} is undone (change {done})")


def log(graph: GraphDir = Path("graph"), as_json: AsJson = False) -> None:
    """The changelog: every change since the graph was built, with author, date and reason.

    Example: `zcurate graph log --graph kg`
    """
    from zcurate.graph.store import Graph
    from zcurate.graph.upkeep import describe
    from zcurate.graph.upkeep import log as events_of

    from ..graphing import errors_for_people

    with errors_for_people():
        opened = Graph.open(graph)
        events = events_of(opened)
    if as_json:
        meta = {k: opened.meta[k] for k in ("version", "created", "sources")}
        print(json.dumps({"built": meta, "version": opened.version, "changes": events}, ensure_ascii=False))
        return
    files = ", ".join(str(s["file"]) for s in opened.meta["sources"][:8])
    print(f"version {opened.meta['version']}: built {opened.meta['created']} from {files}")
    for e in events:
        gone = "  [undone]" if e["undone"] else ""
        print(
            f"{e['id']:>4}  version {e['version']}  {e['date'][:16]}  {e['author']}: {describe(e)}; {e['reason']}{gone}"
        )
