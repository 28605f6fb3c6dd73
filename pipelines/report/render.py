"""Report data to one HTML file: no network, strict escaping, a content security policy."""

from __future__ import annotations

import base64
import hashlib
from importlib import resources

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from .concepts import PART_CSS, concept_part
from .data import ReportData
from .svg import format_number, histogram_svg
from .thumbs import ThumbBank

#: Most items shown per section; the page says how many there are in all.
MAX_GALLERY = 12
MAX_SOURCES = 60
MAX_REASONS = 3
MAX_PER_SIDE = 6
MAX_GROUPS = 18
MAX_MEMBERS = 7
MAX_CAPTIONS = 12
MAX_CONCEPTS = 24
MAX_ERROR_EXAMPLES = 3


def render_report(data: ReportData) -> str:
    """Render a report as one self-contained HTML document of at most about 5 MB.

    The result depends on `data` alone (no clock, no network). Untrusted text is escaped; images are
    re-encoded; scripts other than the page's own cannot run (its hash is in the policy).
    """
    folder = resources.files(__package__)
    style, script, page = (
        (folder / name).read_text(encoding="utf-8") for name in ("report.css", "report.js", "report.html.j2")
    )
    digest = base64.b64encode(hashlib.sha256(script.encode("utf-8")).digest()).decode("ascii")
    policy = (
        "default-src 'none'; img-src data:; style-src 'unsafe-inline'; "
        f"script-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    )
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {
        "number": format_number,
        "count": _count,
        "percent": _percent,
        "seconds": _seconds,
    }
    bank = ThumbBank()
    return environment.from_string(page).render(
        data=data,
        style=Markup(style),
        script=Markup(script),
        policy=policy,
        embed=bank.embed,
        bank=bank,
        histogram_svg=histogram_svg,
        sections=_sections(data),
        concepts=_concepts(data),
        coverage=_coverage(data),
        max_gallery=MAX_GALLERY,
        max_sources=MAX_SOURCES,
        max_reasons=MAX_REASONS,
        max_per_side=MAX_PER_SIDE,
        max_groups=MAX_GROUPS,
        max_members=MAX_MEMBERS,
        max_captions=MAX_CAPTIONS,
        max_error_examples=MAX_ERROR_EXAMPLES,
    )


def _sections(data: ReportData) -> list[tuple[str, str]]:
    """(anchor, title) of the sections that have content, in page order."""
    present = [
        ("funnel", "Funnel", data.funnel),
        ("sources", "Sources", data.sources),
        ("faults", "Planted faults", data.faults),
        ("signals", "Signals", data.histograms),
        ("rules", "Borderline", data.rules),
        ("duplicates", "Duplicates", data.duplicates),
        ("captions", "Captions", data.captions),
        ("balance", "Balance", data.balance),
        ("drawn", "Drawn", data.drawn),
        ("errors", "Errors", data.errors),
        ("timings", "Timings", data.timings),
    ]
    return [(anchor, title) for anchor, title, content in present if content]


def _coverage(data: ReportData) -> Markup | None:
    """Treemap and tables of a sampling plan; their names are escaped where they are made."""
    numbers = data.balance.coverage if data.balance else None
    return Markup(f"<style>{PART_CSS}</style>{concept_part(numbers)}") if numbers else None


def _concepts(data: ReportData) -> list[tuple[str, float, float, float, float]]:
    """(concept, before, after, bar before %, bar after %): the most common, and the most raised."""
    if data.balance is None:
        return []
    shares = data.balance.concepts
    common = sorted(shares, key=lambda c: (-c.before, c.concept))[: MAX_CONCEPTS * 2 // 3]
    rest = [c for c in shares if c not in common]
    raised = sorted(rest, key=lambda c: (-(c.after - c.before), c.concept))[: MAX_CONCEPTS - len(common)]
    chosen = sorted([*common, *raised], key=lambda c: (-c.before, c.concept))
    top = max((max(c.before, c.after) for c in chosen), default=0) or 1
    return [(c.concept, c.before, c.after, 100 * c.before / top, 100 * c.after / top) for c in chosen]


def _count(value: int) -> str:
    return f"{value:,}"


def _percent(value: float, digits: int = 1) -> str:
    text = f"{100 * value:.{digits}f}"
    return f"{text}%"


def _seconds(value: float) -> str:
    if value < 1:
        return f"{value * 1000:.0f} ms"
    if value < 120:
        return f"{value:.1f} s"
    minutes, seconds = divmod(round(value), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {seconds:02d} s"
