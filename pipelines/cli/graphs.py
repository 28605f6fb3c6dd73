"""Commands on the knowledge graph: build, scan, show, prune, export, import."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from . import graph_naming, graph_upkeep
from .options import AsJson

graph_app = typer.Typer(
    no_args_is_help=True, rich_markup_mode="markdown", help="The knowledge graph of concepts."
)
GraphDir = graph_upkeep.GraphDir


def register(app: typer.Typer) -> None:
    for function in (build, scan, show, prune, export):
        graph_app.command()(function)
    graph_app.command(name="import")(import_graph)
    graph_upkeep.register(graph_app)
    graph_naming.register(graph_app)
    app.add_typer(graph_app, name="graph", rich_help_panel="Graph")


def build(
    out: Annotated[Path, typer.Option("--out", "-o", help="Graph directory to write.")],
    dumps: Annotated[
        list[Path] | None, typer.Option("--dumps", help="Folder of one wiki's SQL dumps. Repeatable.")
    ] = None,
    lang: Annotated[
        list[str] | None,
        typer.Option("--lang", help="Language of each --dumps, in order; default: by the file names."),
    ] = None,
    lists: Annotated[
        list[Path] | None,
        typer.Option(
            "--from",
            help="Title list or tab-separated link list, as SNAP's, or a folder of them. Repeatable.",
        ),
    ] = None,
    taxonomy: Annotated[
        list[Path] | None,
        typer.Option(
            "--taxonomy", help="Child and parent, or child and category path, per line. Repeatable."
        ),
    ] = None,
    update: Annotated[
        bool, typer.Option("--update", help="Replace the graph there; its weights and added concepts go on.")
    ] = False,
    max_depth: Annotated[int, typer.Option(min=1, help="Longest way up the category tree.")] = 12,
    damping: Annotated[float, typer.Option(help="Of PageRank.")] = 0.85,
    as_json: AsJson = False,
) -> None:
    """Build a graph from Wikipedia's SQL dumps, or from lists.

    Several wikis merge by Wikidata id. Needs the tables page, pagelinks and linktarget of one date; redirect,
    page_props and categorylinks are used where they are there.

    Examples: `zcurate graph build --dumps enwiki --lang en --dumps zhwiki --lang zh --out kg`,
    `zcurate graph build --from articles.tsv --from links.tsv --taxonomy categories.tsv --out kg`
    """
    from zcurate.graph.build import Sources
    from zcurate.graph.build import build as build_graph

    from ..graphing import dump_pairs, errors_for_people, list_files

    with errors_for_people():
        pairs, other = dump_pairs(dumps or [], lang or [])
        sources = Sources(pairs, *list_files(lists or [], taxonomy or []), other)
        tell = (lambda text: print(text, file=sys.stderr)) if as_json else print
        graph = build_graph(sources, out, update, max_depth, damping, tell)
    counts = graph.meta["counts"]
    if as_json:
        print(json.dumps({"graph": str(out), "version": graph.version, **counts}))
        return
    for name, figures in counts["by_source"].items():
        print(f"{name}:")
        for key, value in figures.items():
            if key != "lang":
                print(f"  {key.replace('_', ' '):<44} {value:>14,}")
    kinds = ", ".join(f"{v:,} {k}" for k, v in counts["by_kind"].items() if v)
    print(f"nodes: {counts['nodes']:,} ({kinds}); {counts['shared_by_languages']:,} in several languages")
    print(
        f"edges: {counts['edges_hyperlink']:,} hyperlinks, {counts['edges_is_a']:,} is-a (depth {counts['is_a_depth']}, "
        f"{counts['is_a_cycle_edges']:,} dropped to break cycles); aliases: {counts['aliases']:,}"
    )
    print(
        f"PageRank: {counts['pagerank_iterations']} iterations to an L1 change of {counts['pagerank_change']:.1e}"
    )
    print(f"wrote {out}, version {graph.version}")


def scan(
    dumps: Annotated[Path, typer.Argument(metavar="DIR", help="Folder of one wiki's SQL dumps.")],
    as_json: AsJson = False,
) -> None:
    """Read dumps through without building: rows and columns of each table, or what is wrong where.

    Example: `zcurate graph scan enwiki/`
    """
    from ..graphing import errors_for_people
    from ..graphing import scan as scan_dumps

    with errors_for_people():
        tables = scan_dumps(dumps)
    if as_json:
        print(json.dumps(tables))
        return
    for t in tables:
        end = "" if t["complete"] is not False else "  (no closing line: may be cut off)"
        print(
            f"{t['table']:<14} {t['rows']:>14,} rows {t['sql_bytes']:>16,} bytes  {', '.join(t['columns'])}{end}"
        )


def show(
    concept: Annotated[str, typer.Argument(metavar="CONCEPT", help="Name, alias, Q-id or #NUMBER.")],
    graph: GraphDir = Path("graph"),
    dataset: Annotated[str | None, typer.Option(help="Count its images in this dataset.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="Entries per list.")] = 12,
    as_json: AsJson = False,
) -> None:
    """Neighbors, parents, aliases, PageRank, images and weight of a concept.

    Example: `zcurate graph show 台北 --graph kg --dataset ds`
    """
    from zcurate.graph.show import show as facts_of
    from zcurate.graph.store import Graph

    from ..graphing import data_counts, errors_for_people

    with errors_for_people():
        counts = data_counts(dataset) if dataset else None
        facts = facts_of(Graph.open(graph), concept, limit, counts)
    if as_json:
        print(json.dumps(facts, ensure_ascii=False))
        return
    known = ", ".join(str(facts[k]) for k in ("kind", "lang", "wikidata") if facts[k])
    print(f"{facts['name']}  #{facts['node']} ({known}; from {facts['origin']})")
    print(f"  PageRank    {facts['pagerank']:.3e}, number {facts['pagerank_rank']:,} of {facts['nodes']:,}")
    print(f"  links       {facts['links_in']:,} in, {facts['links_out']:,} out")
    judged = f" ({facts['judged']['method']}: {facts['judged']['reason']})" if facts["judged"] else ""
    print(f"  pruned      {'kept' if facts['kept'] else 'dropped'}{judged}")
    own = " (set)" if facts["weight_set"] is not None else ""
    print(
        f"  weight      {facts['weight']:.3f}{own}; named by {facts['prompts']['named_by']:,} of {facts['prompts']['of']:,} prompts"
    )
    if facts["data_count"] is not None:
        print(f"  images      {facts['data_count']:,} in {dataset}")
    print(
        "  aliases     "
        + ", ".join(f"{a['text']} ({a['lang']}, {a['source']})" for a in facts["aliases"][:limit])
    )
    if facts["path"]:
        print("  path        " + " > ".join(facts["path"]))
    for key in ("parents", "children", "neighbors", "linked_from", "also_named_so"):
        if facts[key]["count"]:
            names = ", ".join(f["name"] for f in facts[key]["first"])
            more = facts[key]["count"] - len(facts[key]["first"])
            print(f"  {key.replace('_', ' '):<11} {names}" + (f", and {more:,} more" if more else ""))


def prune(
    graph: GraphDir = Path("graph"),
    quantile: Annotated[
        float, typer.Option(help="Drop articles below this PageRank quantile, per language.")
    ] = 0.0,
    mass: Annotated[
        float | None, typer.Option(help="Instead: keep the top articles that hold this share of PageRank.")
    ] = None,
    protect: Annotated[
        Path | None, typer.Option(help="File of concepts that always stay, one per line.")
    ] = None,
    require_image: Annotated[
        bool, typer.Option("--require-image", help="Drop articles known to have no page image.")
    ] = False,
    vlm: Annotated[
        str | None,
        typer.Option(
            help="Ask a model, `openai:URL#MODEL`, or an engine of your own, `package.module:factory`; default: rules only."
        ),
    ] = None,
    author: graph_upkeep.AuthorName = "",
    reason: Annotated[str, typer.Option(help="Why; kept in the changelog.")] = "pruned",
    html: Annotated[Path | None, typer.Option(help="Write a page with samples of both sides.")] = None,
    as_json: AsJson = False,
) -> None:
    """Decide which nodes are concepts worth balancing by. Nothing is deleted; the newest run counts.

    Example: `zcurate graph prune --graph kg --quantile 0.3 --protect mine.txt --html pruned.html`
    """
    from zcurate.graph.prune import Settings
    from zcurate.graph.prune import prune as prune_graph
    from zcurate.graph.store import Graph

    from ..graphing import errors_for_people, nodes_of_file, prune_lines, text_engine, write_prune_page

    with errors_for_people():
        opened = Graph.open(graph)
        settings = Settings(quantile, mass, require_image)
        shielded, unknown = nodes_of_file(opened, protect) if protect else ([], [])
        for line in unknown[:20]:
            print(f"note: {protect}: no concept {line!r} in the graph", file=sys.stderr)
        engine = text_engine(vlm) if vlm else None
        tell = lambda text: print(text, file=sys.stderr)  # noqa: E731
        done = prune_graph(opened, settings, graph_upkeep.author_of(author, reason), shielded, engine, tell)
        if html:
            write_prune_page(opened, done, html)
    kept = int(done.keep.sum())
    if as_json:
        print(json.dumps({"kept": kept, "nodes": opened.n, "counts": done.counts, "file": done.file}))
        return
    print(f"kept {kept:,} of {opened.n:,} nodes ({opened.pagerank[done.keep].sum():.1%} of PageRank)")
    for what, count in done.counts.items():
        print(f"  {what:<24} {count:>12,}")
    print("\n".join(prune_lines(opened, done)))
    if html:
        print(f"samples: {html}")


def export(
    out: Annotated[
        Path, typer.Option("--out", "-o", help="File to write: .graphml, .gexf or .json (node-link).")
    ],
    graph: GraphDir = Path("graph"),
    around: Annotated[
        list[str] | None, typer.Option(help="Only the neighborhood of this concept. Repeatable.")
    ] = None,
    hops: Annotated[int, typer.Option(min=0, help="Of the neighborhood.")] = 1,
    limit: Annotated[int, typer.Option(min=1, help="Nodes of the neighborhood at most.")] = 2_000,
    aliases: Annotated[bool, typer.Option("--aliases", help="Aliases as nodes of their own.")] = False,
) -> None:
    """Write a small graph, or a neighborhood, for NetworkX, Gephi and others.

    Example: `zcurate graph export --graph kg --around Guam --hops 2 --out guam.graphml`
    """
    from ..graph_files import write_networkx
    from ..graphing import errors_for_people

    with errors_for_people():
        nodes, edges = write_networkx(graph, out, around or [], hops, limit, aliases)
    print(f"wrote {out}: {nodes:,} nodes, {edges:,} edges")


def import_graph(
    file: Annotated[Path, typer.Argument(metavar="FILE", help=".graphml, .gexf or .json (node-link).")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Graph directory to write.")],
    lang: Annotated[str, typer.Option(help="Language of nodes that name none.")] = "en",
) -> None:
    """Make a graph of a NetworkX file. PageRank is computed anew.

    Example: `zcurate graph import guam.graphml --out kg-guam`
    """
    from ..graph_files import read_networkx
    from ..graphing import errors_for_people

    with errors_for_people():
        made = read_networkx(file, out, lang)
    print(f"wrote {out}: {made.n:,} nodes")
