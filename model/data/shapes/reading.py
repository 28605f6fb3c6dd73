"""Reads a picture back: which things stand where, by comparing it with everything the world can draw. Nothing learned.

With background B, a thing of color C and coverage m explains, of the squared difference of a picture P from B,
`sum 2 m (P - B).(C - B) - m^2 |C - B|^2`; the true thing explains most. Things are found one after another, each taken
out before the next (matching pursuit: Mallat and Zhang 1993).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy import fft

from .drawing import stamp
from .rare import RARE
from .world import BACKGROUNDS, COLORS, GLYPHS, SHAPES, SIDE_PX, SceneSpec, Thing

#: Share of its own energy a thing must explain to count as seen: 1 for a clean drawing, 0 for none.
MIN_QUALITY = 0.6
#: Mean squared difference, levels^2 over three channels, that may be left where a thing was taken out: noise of about
#: 55 levels. Texture whose mean happens to match a color has more.
MAX_LEFT = 9000.0
SIZES_PX = (9, 11, 13)
MOST = 8
#: The picture and the largest stamp, so that no correlation wraps around.
_PADDED = (48, 48)
#: Centers this far apart, px, in one direction are left/right or above/below of each other.
MIN_APART_PX = 5


@dataclass(frozen=True)
class Found:
    """A thing that was seen: center and size in px; `quality` 0..1: share of its energy that the picture has."""

    kind: str
    color: str
    glyph: str
    x_px: float
    y_px: float
    size_px: int
    quality: float

    @property
    def concept(self) -> str:
        return f"{self.color} {self.kind}" + (f" {self.glyph}" if self.glyph else "")


@dataclass(frozen=True)
class Reading:
    """What a picture shows. `unexplained`: mean squared difference, levels^2 per channel, left over."""

    things: tuple[Found, ...]
    background: str
    unexplained: float


@dataclass(frozen=True)
class Claim:
    """One statement about a picture, by its kind:

    - `object`: `subject` (a concept such as `red circle`) is there;
    - `color`, `shape`: one thing of that color or kind is there (head words of captions);
    - `count`: exactly `number` things in all;
    - `relation`: `subject` is `word` (left of, above) of `other`;
    - `background`: its color is `word`.
    """

    kind: str
    subject: str = ""
    word: str = ""
    other: str = ""
    number: int = 0


def read(rgb: np.ndarray, rare: bool = False) -> Reading:
    """Everything in a picture.

    Args:
        rgb: (SIDE_PX, SIDE_PX, 3) uint8, or floats 0..255.
        rare: look for rare shapes, too; else they are read as what comes closest, or as nothing.
    """
    picture = np.asarray(rgb, np.float32)
    if picture.shape != (SIDE_PX, SIDE_PX, 3):
        raise ValueError(f"a picture of this world is {SIDE_PX} x {SIDE_PX} x 3, not {picture.shape}")
    background = _background(picture)
    base = np.array(BACKGROUNDS[background], np.float32)
    rest = picture - base
    found: list[Found] = []
    while len(found) < MOST:
        best = _best(rest, base, rare)
        if best is None:
            break
        thing, explained = best
        found.append(thing)
        rest = rest - explained
    order = sorted(found, key=lambda f: (round(f.y_px / 8), f.x_px))
    return Reading(tuple(order), background, float((rest**2).mean()))


def claims_of(spec: SceneSpec, relations: bool = True) -> list[Claim]:
    """What a caption of a scene says: every thing, their number, relations of neighbors, the background."""
    claims = [Claim("object", t.concept) for t in spec.things] + [Claim("count", number=len(spec.things))]
    if relations:
        for word, one, other in relations_of(spec.things):
            claims.append(Claim("relation", one.concept, word, other.concept))
    return [*claims, Claim("background", word=spec.background)]


def relations_of(things: Sequence[Thing]) -> list[tuple[str, Thing, Thing]]:
    """(left of | above | diagonal to, one, other) of the things in one row, in one column, or across."""
    found: list[tuple[str, Thing, Thing]] = []
    for i, one in enumerate(things):
        for other in things[i + 1 :]:
            if one.row == other.row:
                found.append(("left of", one, other))
            elif one.column == other.column:
                found.append(("above", one, other))
            else:
                found.append(("diagonal to", one, other))
    return found


def holds(claim: Claim, reading: Reading) -> bool:
    """Whether a picture shows what is claimed."""
    things = reading.things
    if claim.kind == "object":
        return any(t.concept == claim.subject for t in things)
    if claim.kind == "color":
        return any(t.color == claim.word for t in things)
    if claim.kind == "shape":
        return any(claim.word in (t.kind, t.glyph) for t in things)
    if claim.kind == "count":
        return len(things) == claim.number
    if claim.kind == "background":
        return reading.background == claim.word
    if claim.kind == "relation":
        return any(
            _related(one, claim.word, other)
            for one in things
            if one.concept == claim.subject
            for other in things
            if other.concept == claim.other and other is not one
        )
    raise ValueError(f"unknown kind of claim {claim.kind!r}")


def verify(rgb: np.ndarray, claims: SceneSpec | Iterable[Claim]) -> list[tuple[Claim, bool]]:
    """Every claim and whether the picture bears it out."""
    reading = read(rgb)
    wanted = claims_of(claims) if isinstance(claims, SceneSpec) else claims
    return [(claim, holds(claim, reading)) for claim in wanted]


def _related(one: Found, word: str, other: Found) -> bool:
    dx, dy = other.x_px - one.x_px, other.y_px - one.y_px
    if word == "left of":
        return dx >= MIN_APART_PX and abs(dy) < MIN_APART_PX * 1.6
    if word == "above":
        return dy >= MIN_APART_PX and abs(dx) < MIN_APART_PX * 1.6
    if word == "diagonal to":
        return abs(dx) >= MIN_APART_PX and abs(dy) >= MIN_APART_PX
    raise ValueError(f"unknown relation {word!r}")


def _background(picture: np.ndarray) -> str:
    """The ground most pixels are nearest to, of all colors there are: things cover less than half of a picture."""
    names = [*BACKGROUNDS, *COLORS]
    palette = np.array([*BACKGROUNDS.values(), *COLORS.values()], np.float32)
    nearest = ((picture[:, :, None] - palette) ** 2).sum(axis=-1).argmin(axis=-1)
    counts = np.bincount(nearest.ravel(), minlength=len(names))[: len(BACKGROUNDS)]
    return names[int(counts.argmax())]


def _best(rest: np.ndarray, base: np.ndarray, rare: bool) -> tuple[Found, np.ndarray] | None:
    """The thing that explains most of what is left, and its part of the picture."""
    bank, spectra, energies = _stamps(rare)
    palette = np.array(list(COLORS.values()), np.float32) - base
    strength = (palette**2).sum(axis=1)
    channels = fft.rfft2(rest.transpose(2, 0, 1), s=_PADDED)
    # correlation of every channel with every stamp, at every place of the stamp's upper left corner; colors mix channels
    found = fft.irfft2(channels[:, None] * spectra[None], s=_PADDED)[..., :SIDE_PX, :SIDE_PX]
    scores = (palette @ found.reshape(3, -1)).reshape(len(palette), *found.shape[1:])
    whole = (strength[:, None] * energies[None])[..., None, None]
    gains = 2 * scores - whole
    quality = gains / whole
    gains = np.where((quality >= MIN_QUALITY) & _inside(rare)[None], gains, -np.inf)
    for _ in range(24):
        at = np.unravel_index(int(gains.argmax()), gains.shape)
        if not np.isfinite(gains[at]):
            return None
        color, number, top, left = (int(i) for i in at)
        kind, glyph, size, mask = bank[number]
        height, width = mask.shape
        part = np.zeros_like(rest)
        part[top : top + height, left : left + width] = mask[..., None] * palette[color]
        here = (rest - part)[top : top + height, left : left + width][mask > 0.5]
        if float((here**2).sum(axis=1).mean()) <= min(MAX_LEFT, 0.5 * float(strength[color])):
            name = list(COLORS)[color]
            center = left + (width - 1) / 2, top + (height - 1) / 2
            return Found(kind, name, glyph, *center, size, float(min(1.0, quality[at]))), part
        gains[at] = -np.inf
    return None


@lru_cache(maxsize=2)
def _stamps(rare: bool) -> tuple[list[tuple[str, str, int, np.ndarray]], np.ndarray, np.ndarray]:
    """(kind, glyph, size, mask) of everything that can be drawn, their conjugate spectra, energies."""
    shapes = [*SHAPES, *RARE] if rare else SHAPES
    bank = [(shape, "", size, stamp(shape, size)) for shape in shapes for size in SIZES_PX]
    bank += [("glyph", glyph, 0, stamp("glyph", 0, glyph)) for glyph in GLYPHS]
    spectra = np.stack([np.conj(fft.rfft2(mask.astype(np.float32), s=_PADDED)) for *_, mask in bank])
    return bank, spectra, np.array([float((mask**2).sum()) for *_, mask in bank], np.float32)


@lru_cache(maxsize=2)
def _inside(rare: bool) -> np.ndarray:
    """(stamps, H, W) bool: corners at which a stamp lies wholly in the picture."""
    bank, _, _ = _stamps(rare)
    found = np.zeros((len(bank), SIDE_PX, SIDE_PX), bool)
    for i, (*_, mask) in enumerate(bank):
        found[i, : SIDE_PX - mask.shape[0] + 1, : SIDE_PX - mask.shape[1] + 1] = True
    return found
