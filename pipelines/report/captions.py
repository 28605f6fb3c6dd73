"""The page of `zcurate caption-report`, and its tables as plain lines. No network, no script, text escaped."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from typing import TYPE_CHECKING, Any

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from .thumbs import ThumbBank

if TYPE_CHECKING:
    from ..caption_reporting import CaptionReport

_LANGUAGES = {"en": "English", "zh": "Chinese"}
_KINDS = ("long", "medium", "short", "tags", "user_prompts")
_REFERENCES = {"ocr_stage": "the OCR stage's reading", "truth": "known strings"}
_PLACES = {
    "long_en": "long English caption",
    "long_zh": "long Chinese caption",
    "model_ocr": "the model's own reading",
}

#: Rates that are good when high (1) or low (-1); others are neither.
_RATES: tuple[tuple[str, str, str, int], ...] = (
    (
        "Lettering and language",
        "language_leak_long_en",
        "quoted strings in a foreign script, English caption",
        -1,
    ),
    (
        "Lettering and language",
        "language_leak_long_zh",
        "quoted strings in a foreign script, Chinese caption",
        -1,
    ),
    (
        "Lettering and language",
        "language_leak_model_ocr",
        "strings in a foreign script, the model's own reading",
        -1,
    ),
    ("Lettering and language", "wrong_language_long", "long captions not in their language", -1),
    ("Lettering and language", "wrong_language_medium", "medium captions not in their language", -1),
    ("Lettering and language", "wrong_language_short", "short captions not in their language", -1),
    ("Inventions and agreement", "invented_quotes", "quoted strings without support", -1),
    ("Inventions and agreement", "invented_entities", "entities without support", -1),
    ("Inventions and agreement", "entity_agreement", "entities named in both languages", 1),
    ("Inventions and agreement", "tags_in_long_en", "English tags told in the long caption", 1),
    ("Inventions and agreement", "tags_in_long_zh", "Chinese tags told in the long caption", 1),
    ("Style and form", "subjective_long", "long captions with phrases of mood or guess", -1),
    ("Style and form", "subjective_medium", "medium captions with such phrases", -1),
    ("Style and form", "subjective_short", "short captions with such phrases", -1),
    ("Style and form", "repetition", "long captions that repeat themselves", -1),
    ("Style and form", "no_end", "long captions without an end", -1),
    ("Style and form", "cut_at_last", "last answers cut at their limit", -1),
    ("Style and form", "prompts_below_short", "simulated prompts that tell less than the short caption", 1),
    ("Answers", "needed_another_try", "rows that needed another answer", 0),
    ("Answers", "repaired", "rows in which something was put right", 0),
)
_VALUES = (
    ("prompt_coverage_en", "share of the long English caption a simulated prompt tells"),
    ("prompt_coverage_zh", "share of the long Chinese caption a simulated prompt tells"),
    ("short_coverage_en", "share the short English caption tells"),
    ("short_coverage_zh", "share the short Chinese caption tells"),
    ("ordered_distance_ocr_stage", "edit distance of the model's reading to the OCR stage's, in order"),
    ("ordered_distance_truth", "edit distance of the model's reading to the known strings, in order"),
    ("clip_long_max", "CLIPScore of the long caption, best sentence"),
    ("clip_long_mean", "CLIPScore of the long caption, mean of sentences"),
    ("clip_short", "CLIPScore of the short caption"),
)


@dataclass(frozen=True)
class Line:
    """One measure, a text per column. `bars`: 0..1 to draw, None where there is nothing to draw."""

    name: str
    values: tuple[str, ...]
    bars: tuple[float | None, ...] = ()
    good: int = 0
    note: str = ""


@dataclass(frozen=True)
class Section:
    """`note`: what a reader should know."""

    title: str
    lines: tuple[Line, ...]
    note: str = ""


@dataclass(frozen=True)
class _Column:
    title: str
    summary: dict[str, Any]


def columns_of(found: Sequence[CaptionReport]) -> list[_Column]:
    """A column per dataset and kind of rows; placeholders never share one with a model's captions."""
    columns = []
    for i, one in enumerate(found):
        for kind, tally in sorted(one.tallies.items()):
            which = "" if len(found) == 1 else ("A " if i == 0 else "B ")
            columns.append(_Column(which + kind, tally.summary()))
    return columns


def sections_of(found: Sequence[CaptionReport]) -> list[Section]:
    """All tables with something in them."""
    columns = columns_of(found)
    summaries = [c.summary for c in columns]
    sections = [Section("Rows", tuple(_rows(found, columns)))] if columns else []
    for reference, told in _REFERENCES.items():
        lines = _lettering(summaries, reference)
        note = f"Quoted strings against {told}: words of scripts with spaces, characters of Chinese, after NFKC; sums over all rows."
        if reference == "ocr_stage":
            note += " That reading has mistakes of its own: low values are where the two disagree."
        sections.append(Section(f"Lettering against {told}", tuple(lines), note))
    for title in dict.fromkeys(r[0] for r in _RATES):
        sections.append(
            Section(
                title,
                tuple(_rate(summaries, *r[1:]) for r in _RATES if r[0] == title and _has(summaries, r[1])),
            )
        )
    sections.append(
        Section(
            "World knowledge",
            tuple(
                _rate(summaries, f"world_knowledge_{code}_{kind}", f"{name}, {kind.replace('_', ' ')}", 1)
                for code, name in _LANGUAGES.items()
                for kind in _KINDS
                if _has(summaries, f"world_knowledge_{code}_{kind}")
            ),
            "Of pictures with a name in their metadata that the picture bears out: captions that give it.",
        )
    )
    note = "Mean, and 5th to 95th percentile."
    clip = next((one.clip for one in found if one.clip), "")
    note += f" No CLIPScore: {clip}." if clip else ""
    sections.append(Section("Quantities", tuple(_values(summaries)), note))
    sections.append(
        Section(
            "Lengths",
            tuple(_lengths(summaries)),
            "Words of English, characters of Chinese, tags by number: median, and 5th to 95th percentile.",
        )
    )
    sections.append(Section("Failures", tuple(_failures(found))))
    return [s for s in sections if s.lines]


def _rows(found: Sequence[CaptionReport], columns: Sequence[_Column]) -> list[Line]:
    lines = [Line("", tuple(c.title for c in columns))] if len(columns) > 1 else []
    lines.append(Line("captioned", tuple(f"{c.summary['rows']:,}" for c in columns)))
    if any(c.summary["answers"] for c in columns):
        lines.append(Line("answers drawn", tuple(f"{c.summary['answers']:,}" for c in columns)))
        lines.append(Line("tokens read", tuple(f"{c.summary['tokens_in']:,}" for c in columns)))
        lines.append(Line("tokens written", tuple(f"{c.summary['tokens_out']:,}" for c in columns)))
    for one, which in zip(found, ("A", "B"), strict=False):
        label = f" ({which})" if len(found) > 1 else ""
        if one.speed:
            told = f"{one.speed['images_per_s']:.2f}", f"{one.speed['tokens_out_per_s']:.1f}"
            lines += [
                Line(f"images per second{label}", (told[0],)),
                Line(f"tokens written per second{label}", (told[1],)),
            ]
        lines.append(Line(f"rows for review{label}", (f"{one.review:,}",)))
    return lines


def _lettering(summaries: Sequence[dict[str, Any]], reference: str) -> list[Line]:
    lines = []
    for where, place in _PLACES.items():
        for tokens, unit in (("zh", "characters"), ("en", "words")):
            cells = [s["lettering"].get(reference, {}).get(where, {}).get(tokens, {}) for s in summaries]
            if not any(c.get("reference") or c.get("found") for c in cells):
                continue
            for name in ("recall", "precision"):
                values = [c.get(name) for c in cells]
                of = "reference" if name == "recall" else "found"
                lines.append(
                    Line(
                        f"{place}: {name} by Chinese {unit}"
                        if tokens == "zh"
                        else f"{place}: {name} by {unit}",
                        tuple(_percent(v) for v in values),
                        tuple(values),
                        1,
                        "of " + " · ".join(f"{c.get(of, 0):,}" for c in cells),
                    )
                )
    return lines


def _has(summaries: Sequence[dict[str, Any]], name: str) -> bool:
    return any(s["rates"].get(name) is not None for s in summaries)


def _rate(summaries: Sequence[dict[str, Any]], name: str, told: str, good: int) -> Line:
    values = [s["rates"].get(name) for s in summaries]
    notes = "of " + " · ".join(f"{s['counts'].get(name, [0, 0])[1]:,}" for s in summaries)
    return Line(told, tuple(_percent(v) for v in values), tuple(values), good, notes)


def _values(summaries: Sequence[dict[str, Any]]) -> list[Line]:
    lines = []
    for name, told in _VALUES:
        cells = [s["values"].get(name) for s in summaries]
        if any(cells):
            texts = ("–" if c is None else f"{c['mean']:.2f} ({c['p5']:.2f}–{c['p95']:.2f})" for c in cells)
            lines.append(Line(told, tuple(texts)))
    return lines


def _lengths(summaries: Sequence[dict[str, Any]]) -> list[Line]:
    lines = []
    for code, name in _LANGUAGES.items():
        for kind in _KINDS:
            cells = [s["lengths"].get(code, {}).get(kind) for s in summaries]
            if any(cells):
                texts = (
                    "–" if c is None else f"{c['p50']:.0f} ({c['p5']:.0f}–{c['p95']:.0f})" for c in cells
                )
                lines.append(Line(f"{name}, {kind.replace('_', ' ')}", tuple(texts)))
    return lines


def _failures(found: Sequence[CaptionReport]) -> list[Line]:
    lines = []
    for name in dict.fromkeys(reason for one in found for reason, _ in one.failures.most_common()):
        lines.append(
            Line(f"rows without captions: {name}", tuple(f"{one.failures[name]:,}" for one in found))
        )
    drawn = [one.tallies["model"].failures if "model" in one.tallies else {} for one in found]
    for name in dict.fromkeys(n for d in drawn for n in d):
        lines.append(Line(f"answers drawn again: {name}", tuple(f"{d.get(name, 0):,}" for d in drawn)))
    for name in dict.fromkeys(reason for one in found for reason, _ in one.reasons.most_common()):
        lines.append(Line(f"rows for review: {name}", tuple(f"{one.reasons[name]:,}" for one in found)))
    return lines


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.1f}%"


def render_captions(found: Sequence[CaptionReport]) -> str:
    """One self-contained HTML document; depends on the reports alone."""
    folder = resources.files(__package__)
    style, template = ((folder / n).read_text(encoding="utf-8") for n in ("report.css", "captions.html.j2"))
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    bank = ThumbBank(4_000_000)
    columns = columns_of(found)
    return environment.from_string(template).render(
        found=found,
        columns=columns,
        sections=sections_of(found)[1:],
        totals=_totals(found),
        style=Markup(style),
        embed=bank.embed,
        only_placeholders=bool(columns) and all(c.title.endswith("placeholder") for c in columns),
    )


def _totals(found: Sequence[CaptionReport]) -> list[tuple[str, str, str]]:
    """(name, value, note) of the first report."""
    one = found[0]
    model = one.tallies.get("model")
    which = " (A)" if len(found) > 1 else ""
    rows = [(f"captioned by a model{which}", f"{model.rows if model else 0:,}", "")]
    if "placeholder" in one.tallies:
        rows.append(("placeholders", f"{one.tallies['placeholder'].rows:,}", "reported apart"))
    rows.append(("without captions", f"{sum(one.failures.values()):,}", "with a reason"))
    rows.append(("for review", f"{one.review:,}", "did not pass a threshold"))
    if one.speed:
        rows.append(
            (
                "images per second",
                f"{one.speed['images_per_s']:.2f}",
                f"{one.speed['tokens_out_per_s']:.0f} tokens written per second",
            )
        )
    return rows
