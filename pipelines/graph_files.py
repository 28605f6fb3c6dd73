"""Graphs as files of other tools."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from xml.etree.ElementTree import ParseError

from zcurate.curation.errors import ConfigError
from zcurate.graph.networkx_io import from_networkx, neighborhood, to_networkx
from zcurate.graph.store import Graph

FORMATS = (".graphml", ".gexf", ".json")


def write_networkx(
    path: Path, out: Path, around: Sequence[str], hops: int, limit: int, aliases: bool
) -> tuple[int, int]:
    """(nodes, edges) written. Raises ConfigError: a format that is not written; GraphError: no such concept."""
    import networkx as nx

    _check(out)
    graph = Graph.open(path)
    nodes = neighborhood(graph, [graph.resolve(c) for c in around], hops, limit) if around else None
    made = to_networkx(graph, nodes, aliases=aliases)
    if out.suffix == ".graphml":
        nx.write_graphml(made, out)
    elif out.suffix == ".gexf":
        nx.write_gexf(made, out)
    else:
        out.write_text(
            json.dumps(nx.node_link_data(made, edges="edges"), ensure_ascii=False), encoding="utf-8"
        )
    return made.number_of_nodes(), made.number_of_edges()


def read_networkx(file: Path, out: Path, lang: str) -> Graph:
    """Raises ConfigError: a file that is no such graph; GraphError: is-a cycles, or something at `out`."""
    import networkx as nx

    _check(file)
    try:
        if file.suffix == ".graphml":
            made = nx.read_graphml(file)
        elif file.suffix == ".gexf":
            made = nx.read_gexf(file)
        else:
            made = nx.node_link_graph(json.loads(file.read_text(encoding="utf-8")), edges="edges")
    except (ValueError, KeyError, TypeError, AttributeError, ParseError, nx.NetworkXError) as e:
        raise ConfigError(f"{file}: not a {file.suffix[1:]} graph ({e})") from None
    return from_networkx(made, out, lang, file.name)


def _check(file: Path) -> None:
    if file.suffix not in FORMATS:
        raise ConfigError(f"{file}: the name must end in {', '.join(FORMATS)}")
