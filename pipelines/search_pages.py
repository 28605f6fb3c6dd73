"""Search results and batch reports as one HTML file each: no network, text escaped, images re-encoded."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from zcurate.curation.retrieval.density import poisoned_from

from .report.thumbs import ThumbBank

if TYPE_CHECKING:
    from .search_batch import Answer, BatchResult
    from .searching import Hit, Results, Searcher

#: Queries with pictures on a batch page, neighbors of each, and characters of a text.
MAX_QUERIES, MAX_NEIGHBORS, MAX_CHARS = 60, 8, 300
_MAX_QUERY_BYTES = 30_000_000


@dataclass(frozen=True)
class Card:
    """A picture with its caption. `image`: encoded bytes, `text`: untrusted."""

    id: str
    image: bytes | None
    label: str
    value: str = ""
    note: str = ""
    text: str = ""
    flags: tuple[str, ...] = ()
    kept: bool = True
    nsfw: bool = False


def results_page(searcher: Searcher, title: str, results: Results) -> str:
    """The page of one search. `title`: what was asked, untrusted."""
    thumbs = searcher.thumbs([h.row for h in results.hits])
    unit = {"vector": "cosine", "text": "BM25", "hybrid": "reciprocal rank fusion of cosine and BM25"}
    return _render(
        title=title[:MAX_CHARS],
        eyebrow="zcurate search",
        lede=f"{len(results.hits):,} of {results.searched:,} samples, ranked by {unit[results.mode]}.",
        notes=results.notes,
        cards=[_card(h, thumbs.get(h.row), _why_out(searcher, h)) for h in results.hits],
        footer=searcher.url,
    )


def batch_page(searcher: Searcher, result: BatchResult) -> str:
    """The page of a batch: what fails first, with its neighbors."""
    rank = {"void": 0, "poisoned": 1, "thin": 2, "unknown": 3, "normal": 4}
    order = sorted(result.answers, key=lambda a: (a.error is None, rank[a.verdict], a.percentile or 0.0))
    shown = order[:MAX_QUERIES]
    rows = [h.row for a in shown for h in a.hits[:MAX_NEIGHBORS]]
    thumbs = searcher.thumbs(rows)
    counts, total = result.counts(), len(result.answers)
    meaning = {
        "void": "nothing near",
        "thin": "few near",
        "poisoned": "near, but bad",
        "normal": "as the rest",
        "unknown": "nothing to compare with",
        "error": "not answered",
    }
    r = result.rules
    return _render(
        title=f"Where {total:,} queries fall",
        eyebrow="zcurate search --batch",
        lede=f"Density is the mean score of the {r.neighbors} nearest samples, against the same at the dataset's own: void "
        f"below the {_share(r.void_below)} least dense, thin below {_share(r.thin_below)}; poisoned where it is dense "
        f"but {_share(poisoned_from(result.flagged_base, r))} of the neighbors or more are dropped, duplicates, of low "
        f"quality or misaligned, as {_share(result.flagged_base)} of the whole dataset are.",
        counts=[
            (n, f"{counts[n]:,}", f"{_share(counts[n] / total)}, {meaning[n]}")
            for n in meaning
            if n in counts
        ],
        notes=result.notes,
        queries=[_query(a, thumbs) for a in shown],
        more=f"{len(shown):,} of {total:,} queries shown, voids first; all are in queries.parquet."
        if total > len(shown)
        else "",
        footer=searcher.url,
        budget_bytes=8_000_000,
    )


def _query(a: Answer, thumbs: Mapping[int, bytes | None]) -> dict[str, Any]:
    facts = [a.query.kind if a.mode != "text" or a.query.kind != "text" else "text, by words alone"]
    if a.error:
        facts.append(a.error)
    elif a.density is not None:
        place = "" if a.percentile is None else f", denser than {_share(a.percentile)} of the dataset"
        facts.append(f"density {a.density:.3f}{place}")
        if a.shares["flagged"]:
            parts = [
                f"{_share(v)} {k.replace('_', ' ')}" for k, v in a.shares.items() if v and k != "flagged"
            ]
            facts.append(f"{_share(a.shares['flagged'])} flagged ({', '.join(parts)})")
    if a.communities:
        path, share = a.communities[0]
        facts.append(f"{_share(share)} in community {'/'.join(map(str, path))}, {len(a.communities)} in all")
    if a.unknown_words:
        facts.append(f"in no text: {', '.join(a.unknown_words[:8])}")
    image = _image_of(a.query.image)
    return {
        "title": (a.query.text or a.query.name)[:MAX_CHARS],
        "name": a.query.name if a.query.text else a.query.kind,
        "verdict": "error" if a.error else a.verdict,
        "facts": facts,
        "image": image,
        "card": Card("", image, a.query.name),
        "cards": [
            _card(h, thumbs.get(h.row), f) for h, f in zip(a.hits[:MAX_NEIGHBORS], a.flags, strict=False)
        ],
    }


def _image_of(image: str | Path | bytes | None) -> bytes | None:
    if image is None or isinstance(image, bytes):
        return image
    try:
        path = Path(image)
        return path.read_bytes() if path.stat().st_size <= _MAX_QUERY_BYTES else None
    except OSError:
        return None


def _why_out(searcher: Searcher, hit: Hit) -> tuple[str, ...]:
    if hit.kept:
        return ()
    return ("duplicate" if searcher.rows.states["duplicate"][hit.row] else "dropped",)


def _card(hit: Hit, thumb: bytes | None, flags: tuple[str, ...] = ()) -> Card:
    both = hit.cos is not None and hit.bm25 is not None
    value = f"{hit.cos:.3f}" if hit.cos is not None else f"{hit.bm25:.2f}"
    note = f"BM25 {hit.bm25:.2f}" if both else "" if hit.cos is not None else "BM25"
    return Card(
        hit.sample_id, thumb, f"{hit.source}/{hit.key}", value, note, (hit.text or "")[:MAX_CHARS],
        tuple(f.replace("_", " ") for f in flags), hit.kept, hit.nsfw,
    )  # fmt: skip


def _share(value: float) -> str:
    return f"{100 * value:.0f}%"


def _render(budget_bytes: int = 4_000_000, **values: Any) -> str:
    folder = resources.files(f"{__package__}.report")
    style, script, page = (
        (folder / name).read_text(encoding="utf-8") for name in ("report.css", "report.js", "search.html.j2")
    )
    digest = base64.b64encode(hashlib.sha256(script.encode("utf-8")).digest()).decode("ascii")
    policy = (
        "default-src 'none'; img-src data:; style-src 'unsafe-inline'; "
        f"script-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    )
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    bank = ThumbBank(budget_bytes)
    defaults: dict[str, Any] = {"cards": None, "queries": [], "counts": [], "notes": [], "more": ""}
    return environment.from_string(page).render(
        **(defaults | values),
        style=Markup(style),
        script=Markup(script),
        policy=policy,
        embed=bank.embed,
        bank=bank,
    )
