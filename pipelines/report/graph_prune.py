"""The page of `zcurate graph prune --html`: samples of both sides. No network, no script, text escaped."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup


@dataclass(frozen=True)
class Sampled:
    """One node. Its texts are untrusted."""

    name: str
    lang: str
    kind: str
    pagerank: float
    reason: str


@dataclass(frozen=True)
class Side:
    """What stayed or what went. `groups`: (method, reason, nodes, samples), largest first."""

    kept: bool
    nodes: int
    mass: float
    groups: tuple[tuple[str, str, int, list[Sampled]], ...]


@dataclass(frozen=True)
class PrunePage:
    """`categories`: nodes left out of the sides. `counts`: `method: kept|dropped` -> nodes."""

    graph: str
    version: int
    nodes: int
    categories: int
    counts: Mapping[str, int]
    sides: tuple[Side, ...]


def render_prune(page: PrunePage) -> str:
    """One self-contained HTML document; depends on `page` alone."""
    folder = resources.files(__package__)
    style, template = (
        (folder / n).read_text(encoding="utf-8") for n in ("report.css", "graph_prune.html.j2")
    )
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    return environment.from_string(template).render(page=page, style=Markup(style))
