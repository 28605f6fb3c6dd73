"""Experts that need nothing but the picture: tones, degradations, styles, geometry."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from .experts import Expert, NoProposalError, Proposal
from .rendering.photometric import mean_level
from .rendering.styles import RENDERERS as STYLES
from .scene import Scene
from .spec import State, Value, between

#: Draw(scene, rng) -> value of the slot.
Draw = Callable[[Scene, np.random.Generator], Value]


@dataclass(frozen=True)
class SlotExpert:
    """Sets one slot to a drawn value; where the slot is taken, it proposes another value for it."""

    name: str
    slot: str
    types: tuple[str, ...]
    draw: Draw
    version: int = 1
    needs_weights: bool = False

    def propose(self, scene: Scene, state: State, rng: np.random.Generator) -> Proposal:
        """Raises NoProposalError where the value would not show on this picture."""
        value = self.draw(scene, rng)
        return Proposal(between(state, {**state, self.slot: value}))


def tone_experts() -> list[Expert]:
    """All experts of this file, in a fixed order."""
    tones = [
        _tone("brightness", _signed(0.2, 0.5)),
        _tone("gamma", _signed(0.25, 0.6)),
        _tone(
            "contrast",
            lambda scene, rng: {
                "strength": _either(rng, 0.3, 0.6),
                "middle": round(mean_level(scene.base), 4),
            },
        ),
        _tone("temperature", _signed(0.2, 0.5)),
        _tone("saturation", _colorful(_signed(0.3, 0.6))),
        _tone("sharpness", lambda scene, rng: round(float(rng.uniform(0.35, 0.8)), 3)),
        SlotExpert("grey", "photometric/grey", ("pixel.grey",), _colorful(lambda scene, rng: 1)),
    ]
    faults = [
        SlotExpert("blur", "pixel/blur", ("pixel.blur",), _sharp(_blur)),
        SlotExpert("noise", "pixel/noise", ("pixel.noise",), _seeded(12, 28)),
        SlotExpert(
            "jpeg",
            "pixel/jpeg",
            ("pixel.compress",),
            lambda scene, rng: round(float(rng.uniform(0.75, 1)), 3),
        ),
        SlotExpert(
            "downscale",
            "pixel/downscale",
            ("pixel.downscale",),
            _sharp(lambda scene, rng: int(rng.integers(3, 7))),
        ),
    ]
    styles = [SlotExpert(f"style_{name}", "style/0", (f"style.{name}",), _style(name)) for name in STYLES]
    shapes = [
        SlotExpert("crop", "geometry/0", ("geometry.crop",), _crop),
        SlotExpert(
            "rotate",
            "geometry/0",
            ("geometry.rotate",),
            lambda scene, rng: {"op": "rotate", "degrees": int(rng.choice([90, 180, 270]))},
        ),
        SlotExpert(
            "flip",
            "geometry/0",
            ("geometry.flip",),
            lambda scene, rng: {
                "op": "flip",
                "axis": str(rng.choice(["horizontal", "horizontal", "vertical"])),
            },
        ),
        SlotExpert(
            "tilt",
            "geometry/0",
            ("geometry.straighten",),
            lambda scene, rng: {"op": "straighten", "degrees": round(_either(rng, 4, 11), 1)},
        ),
    ]
    return [*tones, *faults, *styles, *shapes]


def _tone(name: str, draw: Draw) -> SlotExpert:
    return SlotExpert(name, f"photometric/{name}", (f"pixel.{name}",), draw)


def _either(rng: np.random.Generator, low: float, high: float) -> float:
    return round(float(rng.uniform(low, high) * rng.choice([-1, 1])), 3)


def _signed(low: float, high: float) -> Draw:
    return lambda scene, rng: _either(rng, low, high)


def _seeded(low: float, high: float) -> Draw:
    return lambda scene, rng: {
        "strength": round(float(rng.uniform(low, high)), 2),
        "seed": int(rng.integers(2**31)),
    }


def _blur(scene: Scene, rng: np.random.Generator) -> Any:
    radius = round(float(rng.uniform(0.006, 0.016) * min(scene.base.shape[:2])), 2)
    if rng.random() < 0.3:
        return {"strength": round(2 * radius, 2), "angle": int(rng.integers(0, 180))}
    return radius


def _style(name: str) -> Draw:
    return lambda scene, rng: {"name": name, "seed": int(rng.integers(2**31))}


def _crop(scene: Scene, rng: np.random.Generator) -> Any:
    """To one of the nine parts of the picture, so that the instruction can say which."""
    x, y = (float(rng.choice([0.0, 0.5, 1.0])) for _ in range(2))
    return {"op": "crop", "share": round(float(rng.uniform(0.5, 0.75)), 2), "x": x, "y": y}


def _colorful(draw: Draw) -> Draw:
    """Only where there is color to take away or to strengthen."""

    def checked(scene: Scene, rng: np.random.Generator) -> Value:
        spread = scene.base.max(axis=2).astype(np.int16) - scene.base.min(axis=2)
        if float(spread.mean()) < 12:
            raise NoProposalError("no color")
        return draw(scene, rng)

    return checked


def _sharp(draw: Draw) -> Draw:
    """Only where there is detail to lose; deblurring towards a soft picture would teach nothing."""

    def checked(scene: Scene, rng: np.random.Generator) -> Value:
        grey = cv2.cvtColor(scene.base, cv2.COLOR_RGB2GRAY)
        if float(cv2.Laplacian(cv2.GaussianBlur(grey, (0, 0), 1.0), cv2.CV_32F).var()) < 6:
            raise NoProposalError("no detail")
        return draw(scene, rng)

    return checked
