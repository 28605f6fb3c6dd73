"""The preview of `zcurate augment`. No network, no script, text escaped."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from .diagnosis import read_picture
from .thumbs import ThumbBank

if TYPE_CHECKING:
    from ..repairing import Repaired

_BUDGET_BYTES = 12_000_000
#: Accepted pictures shown per concept.
EACH = 24


def render_repairs(repaired: Sequence[Repaired], pool: str, dataset: str, folder: Path) -> str:
    """One self-contained HTML document."""
    package = resources.files(__package__)
    style, template = ((package / n).read_text(encoding="utf-8") for n in ("report.css", "repairs.html.j2"))
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    bank = ThumbBank(_BUDGET_BYTES)
    return environment.from_string(template).render(
        repaired=repaired,
        pool=pool,
        dataset=dataset,
        style=Markup(style),
        each=EACH,
        embed=lambda uri: bank.embed(read_picture(folder, uri)),
        total=sum(len(r.accepted) for r in repaired),
        looked=sum(r.found for r in repaired),
    )
