"""What decides the groups of duplicates, and where the graph is kept."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ..embedding.encoder import Mirror
from .keeper import KEEPER_ORDER
from .pairs import SearchSettings

LEIDEN, CONNECTED, SEMDEDUP = "leiden", "components", "semdedup"
METHODS = (LEIDEN, CONNECTED, SEMDEDUP)


@dataclass(frozen=True)
class Settings:
    """What decides the groups.

    Attributes:
        threshold: cosine at and above which two samples are near-duplicates. Belongs to one encoder.
        floor: smallest cosine stored as an edge, at most `threshold`.
        k: neighbors per node.
        phash_radius: bits two pHashes may differ in to become a candidate pair; None for no candidates.
        phash_min_bpp: pictures whose transient JPEG (`profile.reencode_bpp`) is smaller are too flat for pHash.
        keeper_order: see `keeper.keeper_rank`; measures of `nodes.measures`.
        mirror: what mirroring does to the encoder's vectors; None not to look for mirrored copies.
        method: leiden; for comparison components (connected components) and semdedup, see `methods`.
        cells, probes, recall, seed, device: see `pairs.SearchSettings`.
    """

    threshold: float
    floor: float
    k: int = 100
    phash_radius: int | None = 4
    phash_min_bpp: float = 0.03
    keeper_order: Sequence[str] = KEEPER_ORDER
    mirror: Mirror | None = None
    method: str = LEIDEN
    cells: int | None = None
    probes: int | None = None
    recall: float = 0.99
    seed: int = 0
    device: str | None = None

    def __post_init__(self) -> None:
        if not -1 <= self.floor <= self.threshold <= 1:
            raise ValueError(f"need -1 <= floor <= threshold <= 1, got {self.floor} and {self.threshold}")
        if self.method not in METHODS:
            raise ValueError(f"method {self.method!r} is none of {', '.join(METHODS)}")
        if self.device is not None and self.mirror is not None:
            raise ValueError(
                "the search on a device knows no mirrored vectors; set mirror: false (turned: true still finds mirrored "
                "copies, by pHash)"
            )

    @property
    def search(self) -> SearchSettings:
        return SearchSettings(
            self.k,
            self.floor,
            self.threshold,
            self.cells,
            self.probes,
            self.recall,
            seed=self.seed,
            device=self.device,
        )


@dataclass(frozen=True)
class Keeping:
    """Where the graph is kept between runs.

    Attributes:
        folder: on local disk; may be deleted at any time.
        identity: of the encoder and whatever else made the vectors.
    """

    folder: Path
    identity: str

    def kind_of(self, settings: Settings) -> str:
        """Of a graph: one of another kind is no use."""
        kind = (
            settings.k,
            settings.floor,
            settings.threshold,
            settings.mirror is not None,
            settings.cells,
            settings.probes,
            settings.phash_radius,
            settings.phash_min_bpp,
        )
        return f"{self.identity}|{kind}"
