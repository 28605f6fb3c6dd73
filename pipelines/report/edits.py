"""The page of `zcurate edits-report`. No network, no script, text escaped."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import resources
from typing import TYPE_CHECKING

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from zcurate.curation.edits.taxonomy import TASKS

from .thumbs import ThumbBank

if TYPE_CHECKING:
    from ..edit_funnel import PairFunnel

#: Base64 bytes of all thumbnails of a page together.
_BUDGET_BYTES = 12_000_000
#: Reasons shown per task.
_MAX_REASONS = 3

GROUPS = {
    "object": "Objects",
    "attr": "Attributes",
    "human": "People",
    "text": "Text",
    "scene": "Scene",
    "style": "Style",
    "pixel": "Tones and faults",
    "geometry": "Geometry",
    "viewpoint": "Viewpoint",
    "reference": "References",
    "video": "Frames of videos",
    "foreign": "Edited elsewhere",
}


@dataclass(frozen=True)
class EditCard:
    """One pair. `texts`: en short, en long, zh short, zh long; untrusted where a model wrote them."""

    id: str
    kind: str
    types: tuple[str, ...]
    verdict: str
    reasons: tuple[str, ...]
    texts: tuple[str, ...]
    sources: tuple[bytes, ...]
    target: bytes
    mask: bytes | None
    target_is_real: bool
    changed_share: float | None


@dataclass(frozen=True)
class EditPage:
    """`galleries`: (task, pairs) in page order."""

    dataset: str
    funnel: PairFunnel
    galleries: tuple[tuple[str, tuple[EditCard, ...]], ...]


@dataclass(frozen=True)
class Line:
    """A row of the table of tasks; bars in percent of the largest task."""

    task: str
    imgedit: str
    proposed: int
    accepted: int
    rejected: int
    negative: int
    skipped: int
    bar: float
    why: str


def lines_of(funnel: PairFunnel) -> list[tuple[str, list[Line]]]:
    """(title of a group of tasks, its lines), of tasks that were proposed."""
    most = max([t.verdicts["accept"] for _, t in funnel.lines()] + [1])
    found: dict[str, list[Line]] = {}
    for name, task in funnel.lines():
        if not task.proposed:
            continue
        group = name.partition(".")[0]
        why = [(f"{r.replace('_', ' ')}", n) for (_, r), n in task.reasons.most_common()]
        why += [(r.replace("_", " "), n) for r, n in task.skipped.most_common()]
        why.sort(key=lambda w: -w[1])
        accepted = task.verdicts["accept"]
        line = Line(
            name.partition(".")[2].replace("_", " "), (TASKS[name].imgedit if name in TASKS else None) or "",
            task.proposed, accepted, task.verdicts["reject"], task.verdicts["negative"],
            sum(task.skipped.values()), 100 * accepted / most,
            ", ".join(f"{r} {n:,}" for r, n in why[:_MAX_REASONS]),
        )  # fmt: skip
        found.setdefault(GROUPS.get(group, group), []).append(line)
    return list(found.items())


def render_edits(page: EditPage) -> str:
    """One self-contained HTML document; depends on `page` alone."""
    folder = resources.files(__package__)
    style, template = ((folder / n).read_text(encoding="utf-8") for n in ("report.css", "edits.html.j2"))
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    bank = ThumbBank(_BUDGET_BYTES)
    return environment.from_string(template).render(
        page=page, funnel=page.funnel, style=Markup(style), embed=bank.embed, bank=bank,
        lines=lines_of(page.funnel), titles=GROUPS,
        skipped=[(r.replace("_", " "), n) for r, n in page.funnel.skipped.most_common(24)],
    )  # fmt: skip
