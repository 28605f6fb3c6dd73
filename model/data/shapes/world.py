"""What scenes are made of, and how they are drawn at random: the head and the tail of the distribution are set here."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import xxhash

from .rare import RARE

#: Side of every picture, px; positions and sizes are in the same unit.
SIDE_PX = 32

COLORS: Mapping[str, tuple[int, int, int]] = {
    "red": (220, 30, 30),
    "orange": (245, 140, 20),
    "yellow": (235, 215, 0),
    "green": (20, 150, 50),
    "cyan": (0, 190, 210),
    "blue": (25, 60, 210),
    "purple": (135, 40, 170),
    "black": (15, 15, 20),
}
BACKGROUNDS: Mapping[str, tuple[int, int, int]] = {
    "white": (255, 255, 255),
    "gray": (190, 190, 190),
    "pink": (255, 205, 215),
    "beige": (240, 225, 190),
}
SHAPES = ("circle", "square", "triangle", "diamond", "cross", "ring", "bar", "star")

#: Glyphs, 7 x 9 cells. Letters and Chinese characters that no turn or flaw makes alike.
GLYPHS: Mapping[str, tuple[str, ...]] = {
    "A": ("..###..", ".#...#.", "#.....#", "#.....#", "#######", "#.....#", "#.....#", "#.....#", "#.....#"),
    "E": ("#######", "#......", "#......", "#......", "#####..", "#......", "#......", "#......", "#######"),
    "K": ("#....#.", "#...#..", "#..#...", "#.#....", "##.....", "#.#....", "#..#...", "#...#..", "#....#."),
    "S": (".#####.", "#......", "#......", "#......", ".#####.", "......#", "......#", "......#", ".#####."),
    "T": ("#######", "...#...", "...#...", "...#...", "...#...", "...#...", "...#...", "...#...", "...#..."),
    "2": (".#####.", "#.....#", "......#", ".....#.", "...##..", "..#....", ".#.....", "#......", "#######"),
    "7": ("#######", "......#", ".....#.", ".....#.", "....#..", "....#..", "...#...", "...#...", "...#..."),
    "口": (".......", "#######", "#.....#", "#.....#", "#.....#", "#.....#", "#.....#", "#######", "......."),
    "中": ("...#...", "#######", "#..#..#", "#..#..#", "#..#..#", "#######", "...#...", "...#...", "...#..."),
    "大": ("...#...", "...#...", "#######", "...#...", "...#...", "..#.#..", "..#.#..", ".#...#.", "#.....#"),
    "日": ("#######", "#.....#", "#.....#", "#.....#", "#######", "#.....#", "#.....#", "#.....#", "#######"),
    "山": ("...#...", "...#...", "...#...", "#..#..#", "#..#..#", "#..#..#", "#..#..#", "#..#..#", "#######"),
}
#: Names of the four places, by (row, column).
PLACES = {(0, 0): "top left", (0, 1): "top right", (1, 0): "bottom left", (1, 1): "bottom right"}


@dataclass(frozen=True)
class Thing:
    """A shape (of `SHAPES`, or a rare one), or a glyph (`kind` "glyph", `glyph` the character), at a place of the 2 x 2 grid.

    Attributes:
        size_px: side of its box; of a glyph fixed by its cells.
        dx_px, dy_px: offset of its center from the middle of its place.
    """

    kind: str
    color: str
    row: int
    column: int
    size_px: int = 11
    dx_px: int = 0
    dy_px: int = 0
    glyph: str = ""

    @property
    def concept(self) -> str:
        """`red circle`, or `red glyph A`."""
        return f"{self.color} {self.kind}" + (f" {self.glyph}" if self.glyph else "")

    @property
    def center_px(self) -> tuple[int, int]:
        """(x, y)."""
        half = SIDE_PX // 2
        return self.column * half + half // 2 + self.dx_px, self.row * half + half // 2 + self.dy_px


@dataclass(frozen=True)
class SceneSpec:
    """One picture: up to four things, one per place, in reading order."""

    things: tuple[Thing, ...]
    background: str = "white"

    def __post_init__(self) -> None:
        places = [(t.row, t.column) for t in self.things]
        if not 1 <= len(places) <= 4 or len(set(places)) < len(places) or not set(places) <= set(PLACES):
            raise ValueError(f"a scene holds one to four things, each at a place of its own: {places}")
        unknown = [t for t in self.things if t.color not in COLORS or t.kind not in (*SHAPES, *RARE, "glyph")]
        if unknown or self.background not in BACKGROUNDS:
            raise ValueError(f"unknown color, shape or background: {unknown or self.background}")
        if places != sorted(places):
            object.__setattr__(self, "things", tuple(sorted(self.things, key=lambda t: (t.row, t.column))))

    @property
    def id(self) -> str:
        return xxhash.xxh3_128_hexdigest(repr(self).encode())


@dataclass(frozen=True)
class Distribution:
    """How scenes are drawn.

    Attributes:
        counts: weight of one, two, three and four things.
        weights: concept (`red circle`) -> factor on its weight; 0 for never. What is not named has its rank's.
        zipf: exponent of the weight over the rank of a concept, 0 for uniform. Ranks are fixed by hash.
        glyph_share: share of things that are glyphs.
        held_out: share of (color, shape) combinations that are never drawn together, by hash; 0 for none.
    """

    counts: tuple[float, float, float, float] = (0.35, 0.35, 0.2, 0.1)
    weights: Mapping[str, float] = field(default_factory=dict)
    zipf: float = 0.0
    glyph_share: float = 0.12
    held_out: float = 0.15

    def concepts(self) -> list[tuple[str, str]]:
        """(color, shape) combinations that may be drawn, head first."""
        return [
            c
            for c in _ranked()
            if not is_held_out(*c, self.held_out) and self.weights.get(" ".join(c), 1.0) > 0
        ]

    def probabilities(self) -> np.ndarray:
        """float64 over `concepts()`, summing to 1."""
        ranks = {c: i for i, c in enumerate(_ranked())}
        weights = [(1 + ranks[c]) ** -self.zipf * self.weights.get(" ".join(c), 1.0) for c in self.concepts()]
        total = float(sum(weights))
        if total <= 0:
            raise ValueError("no concept is left to draw")
        return np.array(weights) / total


def sample_spec(rng: np.random.Generator, distribution: Distribution | None = None) -> SceneSpec:
    """A scene. Things of one scene differ in color or kind, so that every relation has one reading."""
    distribution = distribution or Distribution()
    concepts, chances = distribution.concepts(), distribution.probabilities()
    counts = np.array(distribution.counts) / sum(distribution.counts)
    wanted = 1 + int(rng.choice(4, p=counts))
    places = [list(PLACES)[i] for i in sorted(rng.permutation(4)[:wanted])]
    things: list[Thing] = []
    for row, column in places:
        for _ in range(50):
            thing = _thing(rng, concepts, chances, distribution.glyph_share, row, column)
            if thing.concept not in [t.concept for t in things]:
                things.append(thing)
                break
    background = str(rng.choice(list(BACKGROUNDS)))
    return SceneSpec(tuple(things), background)


def scene_of(
    concepts: Sequence[tuple[str, str]], rng: np.random.Generator, background: str | None = None
) -> SceneSpec:
    """A scene of given (color, shape, rare shape or glyph) things at random places."""
    places = [list(PLACES)[i] for i in sorted(rng.permutation(4)[: len(concepts)])]
    made = tuple(
        Thing(kind, color, row, column, **_jitter(rng))
        if kind in SHAPES or kind in RARE
        else Thing("glyph", color, row, column, 0, 0, 0, kind)
        for (color, kind), (row, column) in zip(concepts, places, strict=True)
    )
    return SceneSpec(made, background or str(rng.choice(list(BACKGROUNDS))))


def is_held_out(color: str, shape: str, share: float) -> bool:
    """Whether a combination is kept out of training, by hash: every color and every shape is seen with others."""
    return xxhash.xxh3_64_intdigest(f"held out|{color}|{shape}".encode()) / 2**64 < share


def held_out_concepts(share: float) -> list[tuple[str, str]]:
    return [c for c in _ranked() if is_held_out(*c, share)]


def tags(spec: SceneSpec) -> list[str]:
    """Concept tags of a scene, from the special to the general; every one is a node of `hierarchy`."""
    found: list[str] = []
    for thing in spec.things:
        found += [thing.concept, f"glyph {thing.glyph}" if thing.glyph else thing.kind, thing.color]
    return list(dict.fromkeys([*found, f"{spec.background} background"]))


def hierarchy() -> dict[str, tuple[str, ...]]:
    """tag -> parents; roots have none. A thing of a color is both of its shape and of its color."""
    parents: dict[str, tuple[str, ...]] = {name: () for name in ("shape", "color", "glyph", "background")}
    parents |= {
        "round shape": ("shape",),
        "polygon": ("shape",),
        "letter": ("glyph",),
        "character": ("glyph",),
    }
    parents |= {shape: ("round shape",) if shape in ("circle", "ring") else ("polygon",) for shape in SHAPES}
    parents |= {color: ("color",) for color in COLORS}
    parents |= {f"{name} background": ("background",) for name in BACKGROUNDS}
    parents |= {f"glyph {g}": ("letter",) if g.isascii() else ("character",) for g in GLYPHS}
    parents |= {f"{c} {s}": (s, c) for c in COLORS for s in SHAPES}
    return parents | {f"{c} glyph {g}": (f"glyph {g}", c) for c in COLORS for g in GLYPHS}


def _thing(
    rng: np.random.Generator,
    concepts: Sequence[tuple[str, str]],
    chances: np.ndarray,
    glyph_share: float,
    row: int,
    column: int,
) -> Thing:
    if rng.random() < glyph_share:
        glyph, color = str(rng.choice(list(GLYPHS))), str(rng.choice(list(COLORS)))
        return Thing(
            "glyph", color, row, column, 0, int(rng.integers(-1, 2)), int(rng.integers(-1, 2)), glyph
        )
    color, shape = concepts[int(rng.choice(len(concepts), p=chances))]
    return Thing(shape, color, row, column, **_jitter(rng))


def _jitter(rng: np.random.Generator) -> dict[str, int]:
    return {
        "size_px": int(rng.choice([9, 11, 13])),
        "dx_px": int(rng.integers(-1, 2)),
        "dy_px": int(rng.integers(-1, 2)),
    }


def _ranked() -> Iterable[tuple[str, str]]:
    """All (color, shape) in an order fixed by hash: what is rare has nothing to do with the alphabet."""
    every = [(c, s) for c in COLORS for s in SHAPES]
    return sorted(every, key=lambda c: xxhash.xxh3_64_intdigest(f"rank|{c[0]}|{c[1]}".encode()))
