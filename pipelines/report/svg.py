"""Histograms as inline SVG, with nice axes and the dropped side of each rule tinted."""

from __future__ import annotations

import math
from collections.abc import Iterable

from markupsafe import Markup, escape

from .data import Histogram, Threshold

# User units are about CSS pixels: a card is 300 to 360 px wide.
WIDTH, HEIGHT = 340.0, 150.0
LEFT, RIGHT, TOP, BOTTOM = 34.0, 8.0, 20.0, 22.0


def format_number(value: float) -> str:
    """Three significant digits or whole numbers with separators: 1,234 / 0.0123 / 12.5k."""
    size = abs(value)
    if value == 0:
        return "0"
    if size >= 1e9 or size < 1e-4:
        return f"{value:.2g}"
    if size >= 1e6:
        return f"{value / 1e6:.3g}M"
    if size >= 1e4:
        return f"{value / 1e3:.3g}k"
    if size >= 1000 or value == int(value):
        return f"{value:,.0f}"
    return f"{value:.3g}"


def nice_ticks(low: float, high: float, most: int = 5) -> list[float]:
    """At most `most` round numbers (steps 1, 2, 2.5, 5 x 10^k) within [low, high]."""
    if not high - low > 1e-9 * max(abs(low), abs(high)):  # nothing to divide at float precision
        return [low]
    raw = (high - low) / most
    magnitude = 10.0 ** math.floor(math.log10(raw))
    step = next((m * magnitude for m in (1, 2, 2.5, 5, 10) if m * magnitude >= raw), 10 * magnitude)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [0.0 if i == 0 else i * step for i in range(first, last + 1)]


def log_ticks(low: float, high: float, most: int = 6) -> list[float]:
    """Powers of ten within [low, high], with 2 and 5 between them where there is room."""
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for factors in ((1, 2, 5), (1, 3), (1,)):
        ticks = [f * 10.0**d for d in decades for f in factors if low <= f * 10.0**d <= high]
        if len(ticks) <= most:
            break
    stride = -(-len(ticks) // most)
    return ticks[::stride] if len(ticks) > 1 else nice_ticks(low, high, 4)


class _Axis:
    """Value to horizontal position, in user units."""

    def __init__(self, histogram: Histogram) -> None:
        self.log = histogram.log_x
        self.low, self.high = histogram.edges[0], histogram.edges[-1]

    def __call__(self, value: float) -> float:
        value = min(max(value, self.low), self.high)
        if self.log:
            share = math.log(value / self.low) / math.log(self.high / self.low)
        else:
            share = (value - self.low) / (self.high - self.low)
        return LEFT + share * (WIDTH - LEFT - RIGHT)

    def ticks(self) -> list[float]:
        return log_ticks(self.low, self.high) if self.log else nice_ticks(self.low, self.high)


def histogram_svg(histogram: Histogram) -> Markup:
    """One histogram. Colors come from the page's style (classes `bar`, `cut`, `tint`, `rule`, `grid`)."""
    axis = _Axis(histogram)
    base, top = HEIGHT - BOTTOM, TOP
    peak = max(histogram.counts, default=0) or 1
    parts: list[str] = []

    def y(count: float) -> float:
        return base - count / peak * (base - top)

    common = [t for t in histogram.thresholds if t.source is None and t.alone]
    for t in common:
        x0, x1 = (LEFT, axis(t.value)) if t.drops == "below" else (axis(t.value), WIDTH - RIGHT)
        if x1 - x0 > 0.1:
            parts.append(
                f'<rect class="tint" x="{x0:.1f}" y="{top:.1f}" width="{x1 - x0:.1f}" height="{base - top:.1f}"/>'
            )
    for tick in nice_ticks(0, peak, 3):
        parts.append(f'<path class="grid" d="M{LEFT} {y(tick):.1f}H{WIDTH - RIGHT}"/>')
        parts.append(f'<text class="tick" x="{LEFT - 5}" y="{y(tick) + 3.5:.1f}" text-anchor="end">')
        parts.append(f"{escape(format_number(tick))}</text>")
    parts.extend(_bars(histogram, axis, common, y, base))
    parts.append(f'<path class="axis" d="M{LEFT} {base}H{WIDTH - RIGHT}"/>')
    parts.extend(_x_labels(axis, base))
    parts.extend(_rules(histogram.thresholds, axis, base))
    return Markup(
        f'<svg viewBox="0 0 {WIDTH:.0f} {HEIGHT:.0f}" role="img" aria-label="{escape(describe(histogram))}">'
        + "".join(parts)
        + "</svg>"
    )


def describe(histogram: Histogram) -> str:
    """The histogram in words, for screen readers."""
    rules = ", ".join(f"{t.drops} {format_number(t.value)}" for t in histogram.thresholds if t.source is None)
    span = f"{format_number(histogram.edges[0])} to {format_number(histogram.edges[-1])} {histogram.unit}".strip()
    words = f"Histogram of {histogram.signal}, {histogram.total:,} rows, {span}"
    return f"{words}; dropped {rules}" if rules else words


def _bars(histogram: Histogram, axis: _Axis, rules: list[Threshold], y: object, base: float) -> Iterable[str]:
    """Bars, split where a rule cuts through them so that color changes exactly at the threshold."""
    for low, high, count in zip(histogram.edges, histogram.edges[1:], histogram.counts, strict=False):
        if not count:
            continue
        cuts = sorted({low, high, *(t.value for t in rules if low < t.value < high)})
        title = f"{format_number(low)} to {format_number(high)}: {count:,}"
        for a, b in zip(cuts, cuts[1:], strict=False):
            middle = math.sqrt(a * b) if axis.log else (a + b) / 2
            dropped = any(middle < t.value if t.drops == "below" else middle > t.value for t in rules)
            x0, x1 = axis(a), axis(b)
            gap = 0.8 if b == high and x1 - x0 > 2 else 0.0
            height = max(base - y(count), 0.8)  # type: ignore[operator]
            yield (
                f'<rect class="{"cut" if dropped else "bar"}" x="{x0:.1f}" y="{base - height:.1f}" '
                f'width="{max(x1 - x0 - gap, 0.3):.1f}" height="{height:.1f}"><title>{escape(title)}</title></rect>'
            )


def _x_labels(axis: _Axis, base: float) -> Iterable[str]:
    free_from = 0.0
    for tick in axis.ticks():
        x, label = axis(tick), format_number(tick)
        half = 3.1 * len(label)
        centre = min(max(x, half), WIDTH - half)
        yield f'<path class="axis" d="M{x:.1f} {base}v4"/>'
        if centre - half < free_from:
            continue
        free_from = centre + half + 6
        yield f'<text class="tick" x="{centre:.1f}" y="{base + 15}" text-anchor="middle">{escape(label)}</text>'


def _rules(thresholds: tuple[Threshold, ...], axis: _Axis, base: float) -> Iterable[str]:
    taken: list[tuple[float, float]] = []
    for t in thresholds:
        x = axis(t.value)
        kind = "rule" if t.source is None and t.alone else "rule override"
        yield f'<path class="{kind}" d="M{x:.1f} {TOP - 4}V{base}"/>'
        label = f"{'<' if t.drops == 'below' else '>'} {format_number(t.value)}"
        if t.source is not None:
            label += f" ({t.source[:14]})"
        width = 6.2 * len(label)
        start = min(max(x - width / 2, 0.0), WIDTH - width)
        if any(start < b and a < start + width for a, b in taken):
            continue  # the line stays; its value is in the card's text
        taken.append((start, start + width + 4))
        yield f'<text class="rule-label" x="{start + width / 2:.1f}" y="{TOP - 8}" text-anchor="middle">{escape(label)}</text>'
