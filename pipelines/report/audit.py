"""The page of `zcurate dedup-audit`: pairs by cosine, side by side. No network, no script, text escaped."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import resources

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from zcurate.curation.embedding.symmetry import FLIPPED, MIRRORED, TRANSPOSED

from .thumbs import ThumbBank

#: Base64 bytes of all thumbnails of a page together.
_BUDGET_BYTES = 12_000_000

_TURNS = (
    "",
    "mirrored",
    "half a turn",
    "upside down",
    "transposed",
    "quarter turn",
    "transposed the other way",
    "quarter turn",
)


@dataclass(frozen=True)
class AuditPicture:
    """`label`: untrusted; `image`: encoded bytes."""

    label: str
    image: bytes | None


@dataclass(frozen=True)
class AuditPair:
    """Two pictures; the second is shown in the Exif orientation in which it is near the first."""

    first: AuditPicture
    second: AuditPicture
    cos: float
    orientation: int
    merged: bool

    @property
    def turn(self) -> str:
        return _TURNS[self.orientation - 1]

    @property
    def transform(self) -> str:
        """CSS that turns the second picture; the rightmost is done first."""
        k = self.orientation - 1
        parts = (
            ("scaleX(-1)", MIRRORED[k]),
            ("scaleY(-1)", FLIPPED[k]),
            ("matrix(0,1,1,0,0,0)", TRANSPOSED[k]),
        )
        return " ".join(text for text, wanted in parts if wanted)


@dataclass(frozen=True)
class AuditBin:
    """See `auditing.Bin`."""

    low: float
    high: float
    pairs: int
    estimated: bool
    merged: float | None
    examples: tuple[AuditPair, ...]


@dataclass(frozen=True)
class AuditPage:
    """`bins`: from the highest cosine down."""

    dataset: str
    encoder: str
    threshold: float
    floor: float
    samples: int
    searched: int
    bins: tuple[AuditBin, ...]


def render_audit(page: AuditPage) -> str:
    """One self-contained HTML document; depends on `page` alone."""
    folder = resources.files(__package__)
    style, template = ((folder / n).read_text(encoding="utf-8") for n in ("report.css", "audit.html.j2"))
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    bank = ThumbBank(_BUDGET_BYTES)
    # The line goes under the last bin that reaches the threshold; a bin it cuts through belongs above.
    below = next((i for i, b in enumerate(page.bins) if b.high <= page.threshold + 1e-9), len(page.bins))
    return environment.from_string(template).render(
        page=page, style=Markup(style), embed=bank.embed, bank=bank, below=below,
        most=max([b.pairs for b in page.bins] + [1]),
    )  # fmt: skip
