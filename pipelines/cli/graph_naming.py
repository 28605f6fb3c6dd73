"""The command `graph name-parents`."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from . import graph_upkeep
from .options import AsJson


def register(app: typer.Typer) -> None:
    app.command(name="name-parents")(name_parents)


def name_parents(
    vlm: Annotated[str, typer.Option(help="`openai:URL#MODEL` or `transformers:DIRECTORY_OR_ID`.")],
    graph: graph_upkeep.GraphDir = Path("graph"),
    author: graph_upkeep.AuthorName = "",
    reason: Annotated[str, typer.Option(help="Why; kept in the changelog.")] = "parents named by a model",
    as_json: AsJson = False,
) -> None:
    """Let a model name the parents that `graph-augment` named by their medoid. Nothing moves; old names stay aliases.

    Example: `zcurate graph name-parents --graph kg --vlm openai:http://localhost:8000/v1#Qwen/Qwen3-8B`
    """
    from zcurate.graph.store import Graph

    from ..graph_models import ChatNamer
    from ..graph_models import name_parents as name_all
    from ..graphing import errors_for_people

    with errors_for_people():
        opened = Graph.open(graph)
        who = graph_upkeep.author_of(author, reason)
        facts = name_all(opened, ChatNamer(vlm), who, lambda text: print(text, file=sys.stderr))
    if as_json:
        print(json.dumps(facts, ensure_ascii=False))
        return
    for old, new in facts["names"]:
        print(f"{old} -> {new}")
    print(f"{facts['named']:,} of {facts['parents']:,} parents named; take one back with: zcurate graph undo")
