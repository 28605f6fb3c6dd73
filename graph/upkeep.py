"""Weights and upkeep: added concepts, manual weights, prompt frequencies, undo, changelog.

Prior weight of concept v, >= 0:

    w(v) = m(v)                               where people set one (the newest standing)
    w(v) = 1 + s * ln(1 + 1000 * c(v) / P)    otherwise

    c(v)  prompts that name v (by any alias, longest match), over all standing prompt files
    P     prompts in those files; 1000 c(v) / P is mentions per thousand prompts, so that a larger file
          of the same kind gives the same weights
    s     strength of the newest standing prompt file, default 1; 0 = prompts only protect from pruning

The logarithm keeps a concept that everybody asks for from taking the whole budget. The report this follows
gives no formula: this one is ours.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from . import journal
from .errors import GraphError
from .fold import fold
from .journal import Author
from .overlay import Overlay, reference
from .store import KINDS, Graph


@dataclass(frozen=True)
class NewConcept:
    """A concept to add.

    Attributes:
        aliases: (text, language, source) besides the name. parents: existing nodes, or numbers of concepts
            earlier in the same call (graph.n, graph.n + 1, ...).
        origin: where it comes from: a URL, `captions`, a person.
    """

    name: str
    lang: str
    origin: str
    aliases: tuple[tuple[str, str, str], ...] = ()
    parents: tuple[int, ...] = ()
    kind: str = "concept"


def add_concepts(graph: Graph, concepts: Sequence[NewConcept], author: Author) -> list[int]:
    """Append concepts; their node numbers. Open the graph again to see them.

    Raises:
        GraphError: an empty name or origin, an unknown kind, or a parent that is not there.
    """
    events: list[dict[str, Any]] = []
    names: dict[int, dict[str, Any]] = {}
    for i, c in enumerate(concepts):
        node = graph.n + i
        if not fold(c.name) or not c.origin.strip():
            raise GraphError(f"concept {c.name!r} needs a name and a source; give --source")
        if c.kind not in KINDS:
            raise GraphError(f"kind {c.kind!r} is none of {', '.join(KINDS)}")
        for parent in c.parents:
            if not 0 <= parent < node:
                raise GraphError(f"{c.name!r}: parent {parent} is no node before it")
        parents = [names[p] if p in names else reference(graph, p) for p in c.parents]
        names[node] = {"node": node, "name": c.name, "lang": c.lang, "wikidata": None}
        aliases = [[c.name, c.lang, "label"], *map(list, c.aliases)]
        given = {"name": c.name, "lang": c.lang, "kind": c.kind, "origin": c.origin}
        events.append({"event": "add", "node": node, **given, "aliases": aliases, "parents": parents})
    record(graph, events, author)
    return list(names)


def set_weight(graph: Graph, node: int, weight: float, author: Author, evidence: str = "") -> int:
    """Fix a concept's prior weight (>= 0) until undone; the event's id.

    Args:
        evidence: digest of what it is done for, kept with the event: see `weighed_for`.
    """
    if not (math.isfinite(weight) and weight >= 0):
        raise GraphError(f"weight {weight} must be a finite number >= 0")
    event = {"event": "weight", "concept": reference(graph, node), "weight": weight}
    given = {"evidence": evidence} if evidence else {}
    return record(graph, [{**event, "before": float(graph.weight[node]), **given}], author)[0]


def weighed_for(graph: Graph, evidence: str) -> int | None:
    """The standing change that set a weight for this evidence, if there is one: it should count once."""
    events = journal.standing(journal.read(graph.path / journal.CHANGES))
    return next((e["id"] for e in events if e["event"] == "weight" and e.get("evidence") == evidence), None)


def rename(graph: Graph, node: int, name: str, lang: str, named_by: str, author: Author) -> int:
    """Give a node a new name, e.g. a better one from a VLM; the old one stays an alias. The event's id."""
    if not fold(name):
        raise GraphError("a new name cannot be empty")
    event = {"event": "rename", "concept": reference(graph, node), "name": name, "lang": lang}
    return record(graph, [{**event, "named_by": named_by}], author)[0]


def undo(graph: Graph, event_id: int, author: Author) -> int:
    """Take back one event, also an undo; the id of the new event. Raises GraphError: none such, or undone."""
    events = journal.read(graph.path / journal.CHANGES)
    if event_id not in {e["id"] for e in events}:
        raise GraphError(f"{graph.path}: no change number {event_id}; see zcurate graph log")
    taken_back = {e["of"] for e in journal.standing_undos(events)}
    if event_id in taken_back:
        raise GraphError(f"{graph.path}: change {event_id} is undone already; see zcurate graph log")
    return record(graph, [{"event": "undo", "of": event_id}], author)[0]


def log(graph: Graph) -> list[dict[str, Any]]:
    """All changes, oldest first, each with `undone` and the graph's `version` after it."""
    events = journal.read(graph.path / journal.CHANGES)
    gone = {e["of"] for e in journal.standing_undos(events)}
    return [{**e, "undone": e["id"] in gone} for e in events]


def prompt_weights(overlay: Overlay, n: int) -> np.ndarray:
    """float64 [n] of the formula above without manual weights; all 1 where no prompts were read."""
    counts, prompts = prompt_counts(overlay, n)
    if not prompts:
        return np.ones(n)
    return 1 + overlay.prompts[-1]["strength"] * np.log1p(1000 * counts / prompts)


def prompt_counts(overlay: Overlay, n: int) -> tuple[np.ndarray, int]:
    """(prompts that name each node, int64 [n]; prompts read)."""
    counts = np.zeros(n, np.int64)
    for nodes, prompts in overlay.prompt_nodes:
        np.add.at(counts, nodes, prompts)
    return counts, sum(e["prompts"] for e in overlay.prompts)


def record(graph: Graph, events: list[dict[str, Any]], author: Author) -> list[int]:
    """Append events with the next ids, the build and the version they lead to.

    Raises:
        GraphError: concepts are added, or the graph was built anew, by somebody else since this one was opened: node
            numbers would be others.
    """
    path = graph.path / journal.CHANGES
    stamp = author.stamp()
    with journal.locked(path):
        before = journal.read(path)
        now = type(graph).open(graph.path)
        added = sum(e["event"] == "add" for e in before)
        if now.build != graph.build or (
            added != len(graph.overlay.added) and any(e["event"] == "add" for e in events)
        ):
            raise GraphError(f"{graph.path}: changed meanwhile by somebody else; run the command again")
        version = int(now.meta["version"]) + sum(e.get("build") == now.build for e in before)
        lines = [
            {"id": len(before) + 1 + i, **event, **stamp, "build": graph.build, "version": version + 1 + i}
            for i, event in enumerate(events)
        ]
        journal.append(path, lines)
    return [line["id"] for line in lines]


def describe(event: dict[str, Any]) -> str:
    """One event in a few words."""
    kind = event["event"]
    if kind == "add":
        parents = ", ".join(p["name"] for p in event["parents"])
        return f"added {event['name']} #{event['node']} from {event['origin']}" + (
            f" under {parents}" if parents else ""
        )
    if kind == "weight":
        return f"weight of {event['concept']['name']} {event['before']:g} -> {event['weight']:g}"
    if kind == "rename":
        return f"{event['concept']['name']} is now {event['name']} (by {event['named_by']})"
    if kind == "prompts":
        return f"{event['prompts']} prompts of {event['file']}, strength {event['strength']:g}"
    if kind == "prune":
        kept = sum(v for k, v in event["counts"].items() if k.endswith("kept"))
        return f"pruned, {kept} kept" + (f", asked {event['model']}" if event["model"] else "")
    return f"undid change {event['of']}"
