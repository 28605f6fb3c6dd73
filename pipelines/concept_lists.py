"""Concepts to test, from a file, a knowledge graph, or names on the command line."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from zcurate.curation.active.choosing import Concept
from zcurate.curation.errors import ConfigError

#: Concepts of a graph looked at, by prior, on top of those that people added.
MOST_OF_GRAPH = 20_000


def read_concepts(path: Path) -> list[Concept]:
    """One name per line, or JSON lines of {name, prior, samples, aliases, parts, added}. Raises ConfigError."""
    try:
        lines = path.read_text(encoding="utf-8-sig").split("\n")
    except (OSError, UnicodeDecodeError) as e:
        raise ConfigError(f"{path}: cannot be read: {e}") from e
    found = [_concept(line, f"{path}, line {i}") for i, line in enumerate(lines, 1) if line.strip()]
    if not found:
        raise ConfigError(f"{path}: holds no concept")
    names = [c.name for c in found]
    twice = next((n for n in names if names.count(n) > 1), None)
    if twice:
        raise ConfigError(f"{path}: concept {twice!r} is named twice")
    return found


def _concept(line: str, where: str) -> Concept:
    if not line.lstrip().startswith("{"):
        return Concept(line.strip())
    try:
        row = json.loads(line)
        return Concept(
            str(row["name"]).strip(),
            float(row.get("prior", 0.0)),
            int(row.get("samples", 0)),
            tuple(map(str, row.get("aliases", ()))),
            tuple(map(str, row.get("parts", ()))),
            str(row.get("added", "")),
        )
    except (ValueError, KeyError, TypeError, AttributeError) as e:
        raise ConfigError(f"{where}: not a concept: {e!r}; write a name, or JSON with at least name") from e


def graph_concepts(path: str, samples: Mapping[str, int] | None = None) -> list[Concept]:
    """Kept concepts of a graph: those added by people, and the likeliest of the others.

    Args:
        samples: concept -> training samples that have it.

    Raises:
        ConfigError: no graph there.
    """
    from .stages.concepts import open_graph

    graph = open_graph(path, "--graph")
    weight = np.where(graph.kept, graph.weight, 0.0)
    total = float(weight.sum()) or 1.0
    likely = np.argsort(-weight, kind="stable")[:MOST_OF_GRAPH]
    added = np.arange(graph.n_built, graph.n)
    nodes = [int(n) for n in dict.fromkeys([*likely.tolist(), *added.tolist()]) if weight[n] > 0]
    names, aliases = graph.labels(nodes), _aliases(graph, set(nodes))
    known = samples or {}
    # Added concepts carry no date in the node table; later ones have higher numbers, which order as dates do.
    found: dict[str, Concept] = {}
    for node, name in zip(nodes, names, strict=True):
        when = f"{node:012d}" if node >= graph.n_built else ""
        others = tuple(a for a in aliases.get(node, ()) if a != name)
        found.setdefault(
            name, Concept(name, float(weight[node]) / total, known.get(name, 0), others, (), when)
        )
    return list(found.values())


def _aliases(graph: Any, nodes: set[int]) -> dict[int, list[str]]:
    table = graph.aliases
    found: dict[int, list[str]] = {}
    of, texts = table["node"].to_numpy(), table["text"]
    for at in np.flatnonzero(np.isin(of, np.fromiter(nodes, np.int64, len(nodes)))):
        names = found.setdefault(int(of[at]), [])
        if len(names) < 8:
            names.append(texts[int(at)].as_py())
    return found


def with_parts(concepts: Sequence[Concept], known: Sequence[str] = ()) -> list[Concept]:
    """Concepts with the parts of their names, where every word of a name is a concept (or in `known`) by itself.

    `squirrel fish` is a squirrel and a fish to a model that does not know it. Names without blanks have no parts.
    """
    names = {n.casefold(): n for n in (*known, *(c.name for c in concepts))}
    found = []
    for concept in concepts:
        words = concept.name.split()
        composed = len(words) > 1 and not concept.parts and all(w.casefold() in names for w in words)
        parts = tuple(names[w.casefold()] for w in words) if composed else concept.parts
        found.append(replace(concept, parts=parts))
    return found


def named(names: Sequence[str]) -> list[Concept]:
    return [Concept(n) for n in dict.fromkeys(name.strip() for name in names) if n]
