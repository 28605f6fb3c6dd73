"""The page of `zcurate diagnose`. No network, no script, text escaped."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from .thumbs import ThumbBank

if TYPE_CHECKING:
    from zcurate.curation.active.comparing import Change, Comparison

    from ..diagnosing import Diagnosis

#: Base64 bytes of all pictures of a page together, and bytes of a file that is shown.
_BUDGET_BYTES = 12_000_000
_MOST_BYTES = 40_000_000
#: Findings of each status shown.
_MOST_SHOWN = 200
_EACH = 6

TITLES = {
    "fails": ("Fails", "Surely below what is required, worst first."),
    "undecided": ("Undecided", "The interval still holds the required rate: more pictures would tell."),
    "passes": ("Passes", "Surely above what is required."),
    "unscored": ("Unscored", "Nobody here can tell: give a model that looks at pictures, or a verifier."),
}


def render_diagnosis(
    diagnosis: Diagnosis, generator: str, folder: Path, against: str = "", done: Sequence[str] = ()
) -> str:
    """One self-contained HTML document.

    Args:
        folder: where the pictures lie; those that are gone are left out.
        against: name of the earlier diagnosis that this one is compared with. done: what was done since, in words.
    """
    package = resources.files(__package__)
    style, template = ((package / n).read_text(encoding="utf-8") for n in ("report.css", "diagnosis.html.j2"))
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    bank = ThumbBank(_BUDGET_BYTES)
    sections = [
        (status, *TITLES[status], [f for f in diagnosis.findings if f.status == status]) for status in TITLES
    ]

    def embed(uri: str) -> Any:
        return bank.embed(read_picture(folder, uri))

    return environment.from_string(template).render(
        d=diagnosis,
        generator=generator,
        style=Markup(style),
        sections=[(s, t, why, found[:_MOST_SHOWN], len(found)) for s, t, why, found in sections if found],
        embed=embed,
        each=_EACH,
        kinds=sorted(diagnosis.kinds.items()),
        bank=bank,
        against=against,
        done=done,
        changes=_changes(diagnosis.comparison),
        healthy=sum(c.was_healthy for c in diagnosis.comparison.changes) if diagnosis.comparison else 0,
    )


def _changes(comparison: Comparison | None) -> list[Change]:
    """What was repaired (or should have been), what surely changed, and what was harmed; most gained first."""
    if comparison is None:
        return []
    harmed = set(comparison.harmed)
    return [c for c in comparison.changes if c.action not in ("", "review") or c.sure or c in harmed][
        :_MOST_SHOWN
    ]


def read_picture(folder: Path, uri: str) -> bytes | None:
    """A picture below the folder; None for anything else."""
    root = folder.resolve()
    path = (root / uri).resolve()
    try:
        if not path.is_relative_to(root) or path.stat().st_size > _MOST_BYTES:
            return None
        return path.read_bytes()
    except OSError:
        return None
