"""The procedural world as training stages need it: at several sizes, and with edits of scenes among new ones."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from PIL import Image

from ..data.examples import Example
from ..data.shapes.drawing import render
from ..data.shapes.feed import ShapesFeed
from ..data.shapes.words import ZH_COLORS, en_name, zh_name
from ..data.shapes.world import BACKGROUNDS, COLORS, SIDE_PX, SceneSpec, is_held_out
from .errors import RecipeError

KINDS = ("recolor", "remove", "background")


@dataclass
class SceneFeed:
    """`scenes`, a share of them as edits: the scene becomes the source, and a changed one the target.

    Attributes:
        edits: share of samples that are edits, 0..1.
        sides_px: sides of the square pictures of a sample, one drawn for each; references have that of their target.
    """

    scenes: ShapesFeed
    edits: float = 0.0
    sides_px: Sequence[int] = (SIDE_PX,)

    def __post_init__(self) -> None:
        if not 0 <= self.edits <= 1:
            raise RecipeError(f"data.edits is {self.edits}; it is a share from 0 to 1")
        if not self.sides_px or not all(8 <= s <= 512 and s % 4 == 0 for s in self.sides_px):
            raise RecipeError(f"data.sides_px is {list(self.sides_px)}; give multiples of 4 from 8 to 512")

    def __iter__(self) -> Iterator[list[Example]]:
        scenes, batch = self.scenes, self.scenes.batch
        # The cursor is that of `scenes`, whose own examples are not rendered here.
        first = scenes.state_dict()["step"]
        end = (first // scenes.steps + 1) * scenes.steps
        for step in range(first, end):
            start = (step * scenes.ranks + scenes.rank) * batch
            scenes.load_state_dict({**scenes.state_dict(), "step": step + 1})
            yield [self.example(number) for number in range(start, start + batch)]

    def __len__(self) -> int:
        return len(self.scenes)

    def example(self, number: int) -> Example:
        rng = np.random.default_rng([self.scenes.seed, 3, number])
        side = int(self.sides_px[int(rng.integers(len(self.sides_px)))])
        if rng.random() >= self.edits:
            plain = self.scenes.example(number)
            assert plain.pixels is not None
            return replace(plain, pixels=resized(plain.pixels, side))
        source = self.scenes.scene(number)
        target, instruction = edited(source, rng, self.scenes.distribution.held_out)
        if rng.random() < self.scenes.dropout:
            instruction = ""
        return Example(
            f"{source.id}-{target.id[:8]}",
            instruction,
            resized(render(target), side),
            references=(resized(render(source), side),),
            text_tokens=len(instruction.encode()),
        )

    def state_dict(self) -> dict[str, Any]:
        return self.scenes.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.scenes.load_state_dict(state)


def edited(spec: SceneSpec, rng: np.random.Generator, held_out: float) -> tuple[SceneSpec, str]:
    """A scene with one change, and its instruction in English or, in every third, Chinese.

    No thing becomes a (color, shape) combination that is held out.
    """
    chinese = bool(rng.random() < 1 / 3)
    at = int(rng.integers(len(spec.things)))
    thing = spec.things[at]
    kinds = [k for k in KINDS if k != "remove" or len(spec.things) > 1]
    kind = kinds[int(rng.integers(len(kinds)))]
    if kind == "recolor":
        taken = {t.concept for t in spec.things}
        colors = [
            c
            for c in COLORS
            if replace(thing, color=c).concept not in taken
            and (thing.glyph or not is_held_out(c, thing.kind, held_out))
        ]
        if colors:
            color = colors[int(rng.integers(len(colors)))]
            things = [replace(t, color=color) if i == at else t for i, t in enumerate(spec.things)]
            text = f"make the {en_name(thing)} {color}"
            zh = f"把{zh_name(thing)}变成{ZH_COLORS[color]}"
            return SceneSpec(tuple(things), spec.background), zh if chinese else text
        kind = "background"
    if kind == "remove":
        things = [t for i, t in enumerate(spec.things) if i != at]
        text = f"remove the {en_name(thing)}"
        return SceneSpec(tuple(things), spec.background), f"去掉{zh_name(thing)}" if chinese else text
    others = [b for b in BACKGROUNDS if b != spec.background]
    ground = others[int(rng.integers(len(others)))]
    text = f"change the background to {ground}"
    return SceneSpec(spec.things, ground), f"把背景换成{ZH_COLORS[ground]}" if chinese else text


def resized(pixels: np.ndarray, side_px: int) -> np.ndarray:
    """uint8 [side, side, 3]: means of areas where it shrinks, nearest where it grows."""
    if len(pixels) == side_px:
        return pixels
    how = Image.Resampling.BOX if side_px < len(pixels) else Image.Resampling.NEAREST
    return np.asarray(Image.fromarray(pixels).resize((side_px, side_px), how))
