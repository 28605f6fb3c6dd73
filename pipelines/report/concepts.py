"""Coverage of concepts: a treemap and three tables, as a page of its own or as a part of the report.

One HTML file without scripts or network access; every name is untrusted text and is escaped.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from typing import Any

#: Drawn twice, for wide windows and for narrow ones: text keeps its size.
WIDE, NARROW, TITLE_PX = (1200.0, 640.0), (360.0, 520.0), 15.0

_CSS = """
body{font:14px/1.45 system-ui,sans-serif;color:#1c2430;background:#fff;margin:24px auto;max-width:1200px;padding:0 16px}
h1{font-size:22px;margin:0 0 4px}h2{font-size:16px;margin:24px 0 6px}p{margin:4px 0 12px;color:#4a5565}
"""
#: Also used inside the report, whose colors it takes where there are such.
PART_CSS = """
.cover svg{width:100%;height:auto;display:block}.cover svg.narrow{display:none}
.cover svg text{font:11px system-ui,sans-serif;fill:#1c2430;pointer-events:none}
.cover .keys{display:flex;flex-wrap:wrap;gap:2px 16px;margin:8px 0 10px;font-size:13px;color:var(--soft,#4a5565)}
.cover .keys i{display:inline-block;width:12px;height:12px;vertical-align:-1px;margin-right:5px;border:1px solid #c6ccd6}
.cover .tables{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(330px,100%),1fr));gap:8px 28px;margin-top:18px}
.cover h3{font-size:15px;margin:10px 0 4px}.cover table{border-collapse:collapse;width:100%;font-size:13px}
.cover td,.cover th{padding:3px 6px;text-align:right;border-bottom:1px solid var(--line,#e4e8ee);vertical-align:top;white-space:nowrap}
.cover td:first-child,.cover th:first-child{text-align:left;overflow-wrap:anywhere;padding-left:0;max-width:0;width:44%;white-space:normal}
.cover th{font-weight:600;color:var(--soft,#4a5565)}
@media(max-width:640px){.cover svg.wide{display:none}.cover svg.narrow{display:block}}
"""


def concept_page(numbers: Mapping[str, Any], title: str = "Concepts") -> str:
    """HTML of the numbers of `zcurate.graph.coverage.coverage`."""
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escape(title)}</title><style>{_CSS}{PART_CSS}</style></head><body>
<h1>{escape(title)}</h1>
{concept_part(numbers)}</body></html>
"""


def concept_part(numbers: Mapping[str, Any]) -> str:
    """The same without the page around it; needs `PART_CSS`."""
    keys = "".join(
        f'<span><i style="background:{_color(r)}"></i>{label}</span>'
        for r, label in (
            (0.1, "a tenth of the prior"),
            (1.0, "as wanted"),
            (10.0, "ten times"),
            (None, "no prior, or many small ones"),
        )
    )
    maps = ""
    for name, (width, height) in (("wide", WIDE), ("narrow", NARROW)):
        boxes = "".join(_boxes(numbers["treemap"], 0.0, 0.0, width, height, 0))
        label = "Treemap of concepts: the tables below say the same in words"
        maps += f'<svg class="{name}" viewBox="0 0 {width:.0f} {height:.0f}" role="img" aria-label="{label}">{boxes}</svg>'
    return f"""<div class="cover">
<p>{numbers["covered"]:,} of {numbers["concepts"]:,} concepts with data have at least one sample; {numbers["samples"]:,.0f}
occurrences. Area: occurrences. Color: share over prior.</p>
<div class="keys">{keys}</div>
{maps}
<div class="tables">
{_table("Over-represented", numbers["over"], True)}
{_table("Under-represented", numbers["under"], True)}
{_table("Voids: wanted, no data", numbers["voids"], False)}
</div></div>
"""


def _table(title: str, rows: Sequence[Mapping[str, Any]], counted: bool) -> str:
    if not rows:
        return f"<div><h3>{title}</h3><p>None.</p></div>"
    head = "<tr><th>concept</th>" + ("<th>samples</th><th>share</th>" if counted else "") + "<th>prior</th>"
    head += "<th>ratio</th></tr>" if counted else "</tr>"
    body = ""
    for r in rows:
        body += f"<tr><td>{escape(r['name'])}</td>"
        if counted:
            body += f"<td>{_count(r['samples'])}</td><td>{r['share']:.2%}</td>"
        body += f"<td>{r['prior']:.2%}</td>" + (f"<td>{_times(r['ratio'])}</td></tr>" if counted else "</tr>")
    return f"<div><h3>{title}</h3><table>{head}{body}</table></div>"


def _times(ratio: float) -> str:
    return f"{ratio:,.1f}" if ratio >= 9.95 else f"{ratio:.2f}" if ratio >= 0.1 else f"{ratio:.2g}"


def _count(samples: float) -> str:
    """Expected samples are fractions, which count where there are few."""
    return f"{samples:,.0f}" if samples >= 9.95 else f"{samples:.1f}"


def _color(ratio: float | None) -> str:
    """Blue below the prior, white at it, orange above; full strength from a factor of ten."""
    if ratio is None or math.isnan(ratio):
        return "#e9ecf0"
    t = max(-1.0, min(1.0, math.log10(max(ratio, 1e-9))))
    end = (232, 119, 34) if t > 0 else (58, 121, 190)
    return "#" + "".join(f"{round(255 + (c - 255) * abs(t) ** 0.7 * 0.85):02x}" for c in end)


def _boxes(
    items: Sequence[Mapping[str, Any]], x: float, y: float, w: float, h: float, depth: int
) -> Iterator[str]:
    for item, (bx, by, bw, bh) in zip(
        items, squarified([i["samples"] for i in items], x, y, w, h), strict=True
    ):
        if bw < 2 or bh < 2:
            continue
        ratio = item["ratio"]
        note = f", {_times(ratio)} times the prior" if ratio is not None else ""
        name = item["name"] or "others"
        yield (
            f'<rect x="{bx:.1f}" y="{by:.1f}" width="{bw:.1f}" height="{bh:.1f}" fill="{_color(ratio)}" '
            f'stroke="#c3cad4" stroke-width="{1.5 if depth == 0 else 0.7}"><title>{escape(name)}: {item["samples"]:,.0f}'
            f"{note}</title></rect>"
        )
        inner = bool(item["children"]) and bw > 24 and bh > TITLE_PX + 16
        if bw > 34 and bh > TITLE_PX:
            text = _clipped(name, bw - 6)
            if text:
                yield f'<text x="{bx + 4:.1f}" y="{by + 12:.1f}">{escape(text)}</text>'
        if inner:
            yield from _boxes(item["children"], bx + 2, by + TITLE_PX, bw - 4, bh - TITLE_PX - 2, depth + 1)


def _clipped(text: str, width_px: float) -> str:
    """As much of a text as fits, at 6.2 px a Latin character and 11 px a wide one."""
    used = 0.0
    for i, c in enumerate(text):
        used += 11.0 if ord(c) >= 0x2E80 else 6.2
        if used > width_px:
            return text[: i - 1] + "…" if i > 3 else ""
    return text


def squarified(
    sizes: Sequence[float], x: float, y: float, w: float, h: float
) -> list[tuple[float, float, float, float]]:
    """Boxes (x, y, width, height) of areas proportional to sizes (descending), nearly square.

    (Bruls, Huizing and van Wijk, "Squarified Treemaps", 2000.)
    """
    total = sum(sizes)
    if total <= 0 or w <= 0 or h <= 0:
        return [(x, y, 0.0, 0.0)] * len(sizes)
    areas = [s * w * h / total for s in sizes]
    boxes: list[tuple[float, float, float, float]] = []
    at = 0
    while at < len(areas):
        side = min(w, h)
        if side <= 0:
            boxes += [(x, y, 0.0, 0.0)] * (len(areas) - at)
            break
        end, worst = at + 1, _worst(areas[at : at + 1], side)
        while end < len(areas) and (wider := _worst(areas[at : end + 1], side)) <= worst:
            worst, end = wider, end + 1
        row = areas[at:end]
        thick = sum(row) / side
        along = 0.0
        for a in row:
            length = a / thick if thick > 0 else 0.0
            boxes.append((x, y + along, thick, length) if w >= h else (x + along, y, length, thick))
            along += length
        x, y, w, h = (x + thick, y, w - thick, h) if w >= h else (x, y + thick, w, h - thick)
        at = end
    return boxes


def _worst(row: Sequence[float], side: float) -> float:
    """The worst aspect ratio of boxes laid along a side."""
    total = sum(row)
    if total <= 0 or min(row) <= 0:
        return math.inf
    return max(side * side * max(row) / total**2, total**2 / (side * side * min(row)))
