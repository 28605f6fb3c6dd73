"""`zcurate reweight`: concepts that a diagnosis found to be drawn too seldom weigh more in the graph.

The factor is the inverse of the share in which training drew the concept, capped. Budgets follow the prior weights of a
tree, so this is a step in the right direction and no solution: the next balance and diagnosis say what came of it.
Weights are set through the graph's journal, with author and reason, and are taken back by `zcurate graph undo`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zcurate.curation.active.causes import ACTIONS, UNDERWEIGHTED
from zcurate.curation.errors import ConfigError, ZcurateError
from zcurate.curation.store.digest import json_digest

from .cycles import about, findings, note
from .view import open_view

if TYPE_CHECKING:
    from zcurate.graph.store import Graph

#: Largest factor of one step, by default.
MOST = 4.0


@dataclass(frozen=True)
class Options:
    """What to weigh anew.

    Attributes:
        diagnosis: folder of `zcurate diagnose`. graph: the graph that the dataset is balanced by.
        names: these concepts, whatever the action of their findings; default: all whose action is `reweight`.
        most: largest factor. apply: write; else only say what would be.
    """

    diagnosis: Path
    graph: Path
    names: tuple[str, ...] = ()
    most: float = MOST
    apply: bool = False
    author: str = ""


@dataclass(frozen=True)
class Weighed:
    """A concept with its weight now and the proposed one.

    Attributes:
        why: the evidence in words. evidence: digest of the finding, by which a change is made once.
        change: number in the graph's changelog; None where nothing was written.
    """

    concept: str
    node: int
    now: float
    proposed: float
    factor: float
    why: str
    evidence: str
    change: int | None = None


@dataclass(frozen=True)
class Reweighted:
    """What was proposed (or done), and concepts that were left alone: name -> why."""

    weights: tuple[Weighed, ...]
    refused: Mapping[str, str]
    version: int


def reweight(o: Options) -> Reweighted:
    """Propose weights, with `apply` set them, and note the run in `cycles.jsonl`.

    Raises:
        ConfigError: no diagnosis, none of its findings asks for it, a factor below 1, or the dataset was balanced by
            another graph.
        GraphError: no graph, or it changed meanwhile; weights set so far stand, and the same command goes on.
    """
    from zcurate.graph.store import Graph

    if not o.most >= 1:
        raise ConfigError(f"--most {o.most:g}: the largest factor is 1 or more")
    graph = Graph.open(o.graph)
    _check_graph(graph, o)
    weights: dict[int, Weighed] = {}
    refused: dict[str, str] = {}
    for finding in _wanted(o):
        name = finding["concept"]["name"]
        found = _proposed(finding, graph, o)
        if isinstance(found, str):
            refused[name] = found
        elif found.node in weights:
            refused[name] = f"the graph knows it as {weights[found.node].concept!r}, which is in the list"
        else:
            weights[found.node] = found
    done = [_written(w, o) for w in weights.values()] if o.apply else list(weights.values())
    result = Reweighted(tuple(done), refused, Graph.open(o.graph).version)
    _record(result, o)
    return result


def _check_graph(graph: Graph, o: Options) -> None:
    """Shares in which concepts were drawn say nothing of a graph that had no part in it."""
    from zcurate.graph.errors import GraphError
    from zcurate.graph.store import Graph

    dataset = about(o.diagnosis).get("dataset")
    try:
        balance = (open_view(dataset).recipe.stages.get("balance") or {}) if dataset else {}
        by = Graph.open(balance["graph"]) if balance.get("graph") else graph
    except (ZcurateError, GraphError):
        return  # moved away since; the diagnosis still says what it says
    if by.build != graph.build:
        raise ConfigError(
            f"--graph {o.graph}: {dataset} is balanced by another graph, {by.path}; give that one, or balance by this "
            "one and diagnose again"
        )


def _wanted(o: Options) -> list[dict[str, Any]]:
    found = findings(o.diagnosis)
    if o.names:
        missing = [n for n in o.names if n not in {f["concept"]["name"] for f in found}]
        if missing:
            raise ConfigError(f"--concept {missing[0]!r}: {o.diagnosis} has no such finding")
        return [f for f in found if f["concept"]["name"] in o.names]
    wanted = [f for f in found if (f["cause"] or {}).get("action") == ACTIONS[UNDERWEIGHTED]]
    if not wanted:
        raise ConfigError(
            f"{o.diagnosis}: no finding asks for another weight; name concepts with --concept, or see "
            f"{o.diagnosis / 'diagnosis.html'}"
        )
    return wanted


def _proposed(finding: Mapping[str, Any], graph: Graph, o: Options) -> Weighed | str:
    """A new weight, or why there is none."""
    from zcurate.graph.upkeep import weighed_for

    concept = finding["concept"]
    drawn = (finding.get("evidence") or {}).get("drawn_share")
    node = _node(graph, (concept["name"], *concept.get("aliases", ())))
    if node is None:
        return f"{o.graph} does not have it; add it with zcurate graph add"
    if not graph.kept[node]:
        return f"{o.graph} holds it, but pruned: it takes no part in budgets"
    if drawn is None:
        return "the diagnosis does not say how often it is drawn: no samples, or no --dataset with balance among its stages"
    if drawn >= 1:
        return f"it is drawn {drawn:.2f} times its part of the data: another weight would not help"
    now = float(graph.weight[node])
    if now == 0:
        return "its weight was set to 0; take that back with zcurate graph weight --undo"
    digest = json_digest({k: finding.get(k) for k in ("concept", "tally", "evidence")})
    change = weighed_for(graph, digest)
    if change is not None:
        return (
            f"done already for this finding: change {change} of {o.graph}; balance, train and diagnose first"
        )
    factor = min(o.most, 1 / drawn) if drawn > 0 else o.most
    why = f"drawn {drawn:.2f} times its part of the data" + (", capped" if factor == o.most else "")
    return Weighed(concept["name"], node, now, now * factor, factor, why, digest)


def _node(graph: Graph, names: tuple[str, ...]) -> int | None:
    return next((found[0] for name in names if (found := graph.find(name))), None)


def _written(w: Weighed, o: Options) -> Weighed:
    from zcurate.graph.journal import Author
    from zcurate.graph.store import Graph
    from zcurate.graph.upkeep import set_weight

    author = Author(o.author, f"{w.why}, says {o.diagnosis}")
    return replace(w, change=set_weight(Graph.open(o.graph), w.node, w.proposed, author, w.evidence))


def _record(done: Reweighted, o: Options) -> None:
    concepts = [asdict(w) for w in done.weights]
    line = {"author": o.author, "action": "reweight", "applied": o.apply, "diagnosis": str(o.diagnosis)}
    line |= {"graph": str(o.graph), "version": done.version, "concepts": concepts, "refused": done.refused}
    note(o.diagnosis, line)
