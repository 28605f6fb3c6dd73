"""Commands on balanced sampling: balance-compare, graph-augment."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from .options import AsJson


def register(app: typer.Typer) -> None:
    app.command(name="balance-compare", rich_help_panel="Look")(balance_compare)
    app.command(name="graph-augment", rich_help_panel="Graph")(graph_augment)


def balance_compare(
    dataset: Annotated[str, typer.Argument(metavar="DATASET", help="Dataset directory or URL.")],
    size: Annotated[str, typer.Option(help="Samples to draw: a number, or a share.")] = "10%",
    temperature: Annotated[
        float, typer.Option(min=0, max=1, help="0 natural frequencies, 1 the prior.")
    ] = 1.0,
    graph: Annotated[
        str | None, typer.Option(help="Graph directory, where it has moved since the concepts stage.")
    ] = None,
    html: Annotated[
        Path | None, typer.Option(help="Write a page of what the selection covers: treemap, extremes, voids.")
    ] = None,
    concepts: Annotated[int, typer.Option(min=0, help="Concepts shown.")] = 20,
    as_json: AsJson = False,
) -> None:
    """Compare balanced sampling with uniform, MetaCLIP and hierarchical k-means sampling at one size.

    KL: divergence of the concepts' shares from the prior, in nats. ESS: effective sample size. A budget is feasible
    when it can be met without missing another one. Example: `zcurate balance-compare ds --size 10%`
    """
    from ..comparing import compare_methods

    facts = compare_methods(dataset, size, temperature, graph, html)
    if as_json:
        print(json.dumps(facts))
        return
    print(f"{facts['size']:,.0f} of {facts['samples']:,} samples wanted")
    print(f"{'method':<14}{'samples':>10}{'KL':>9}{'ESS':>11}{'head':>8}{'tail':>8}{'covered':>9}")
    for name, f in facts["methods"].items():
        print(
            f"{name:<14}{f['size']:>10.0f}{f['kl']:>9.4f}{f['ess']:>11.0f}{f['head_share']:>8.3f}"
            f"{f['tail_share']:>8.3f}{f['covered']:>9}"
        )
    if concepts:
        print(f"{'concept':<32}{'supply':>9}{'asked':>10}{'budget':>10}{'expected':>10}  feasible")
    for c in facts["concepts"][:concepts]:
        print(
            f"{c['concept'][:31]:<32}{c['supply']:>9}{c['asked']:>10.1f}{c['budget']:>10.1f}{c['expected']:>10.1f}"
            f"  {'yes' if c['feasible'] else 'no'}"
        )
    if html:
        print(f"page: {html}")


def graph_augment(
    dataset: Annotated[str, typer.Argument(metavar="DATASET", help="Dataset directory or URL.")],
    graph: Annotated[str, typer.Option(help="Graph directory to add to.")],
    author: Annotated[str, typer.Option(help="Who answers for the change.")],
    min_samples: Annotated[int, typer.Option(min=1, help="Rarer tags are left out.")] = 5,
    encoder: Annotated[
        str, typer.Option(help="Encoder with a text tower, or `ngrams`: spelling only, no model.")
    ] = "ngrams",
    under: Annotated[
        str | None, typer.Option(help="Concept that becomes the parent of the new roots.")
    ] = None,
    tags: Annotated[
        Path | None,
        typer.Option(help="File of `tag<tab>samples`, e.g. of review-apply --graph; default: the dataset's."),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Build the tree and add nothing.")] = False,
    as_json: AsJson = False,
) -> None:
    """Add the tags that name no node to the graph, as a tree: hierarchical k-means on their embeddings.

    Parents are named by their medoid tag and marked so. Example: `zcurate graph-augment ds --graph g --author me`
    """
    from ..augmenting import augment_graph

    facts = augment_graph(dataset, graph, author, min_samples, encoder, under, dry_run, tags)
    if as_json:
        print(json.dumps(facts))
        return
    print(
        f"{facts['leaves']} tags under {facts['parents']} parents, {facts['roots']} roots; depth {facts['depth']}, "
        f"fan-out {facts['fan_out_mean']:.1f} on average and {facts['fan_out_max']} at most"
    )
    known = f"; {facts['known']} tags are in the graph by now" if facts["known"] else ""
    print((f"{facts['attached']} concepts added" if facts["attached"] else "nothing added") + known)
