"""Experts of weather and light. Weather, and the light of a time of day, only where sky is seen: not in a shop window."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from .experts import Expert, NoProposalError, Proposal
from .scene import Scene
from .spec import State, between

#: Share of the upper third that must be sky.
MIN_SKY = 0.55
_OUTDOORS = ("dusk", "night", "dawn", "overcast")
_ANYWHERE = ("side_left", "side_right")


@dataclass(frozen=True)
class WeatherExpert:
    """Rain, snow or fog."""

    kind: str
    types: tuple[str, ...] = ("scene.weather",)
    version: int = 1
    needs_weights: bool = False

    @property
    def name(self) -> str:
        return self.kind

    def propose(self, scene: Scene, state: State, rng: np.random.Generator) -> Proposal:
        """Raises NoProposalError: no sky."""
        if "weather/0" in state:
            raise NoProposalError("weather already")
        _check_outdoors(scene)
        low, high = (0.6, 0.9) if self.kind == "fog" else (0.8, 1.4)
        value = {
            "kind": self.kind,
            "strength": round(float(rng.uniform(low, high)), 2),
            "seed": int(rng.integers(2**31)),
        }
        return Proposal(between(state, {**state, "weather/0": value}))


@dataclass(frozen=True)
class LightExpert:
    """Another light: of a time of day outdoors, from one side anywhere."""

    name: str = "light"
    types: tuple[str, ...] = ("scene.light",)
    version: int = 1
    needs_weights: bool = False

    def propose(self, scene: Scene, state: State, rng: np.random.Generator) -> Proposal:
        """Raises NoProposalError: the scene has other light already."""
        if "light/0" in state:
            raise NoProposalError("other light already")
        names = (*_OUTDOORS, *_ANYWHERE) if sky_share(scene.base) >= MIN_SKY else _ANYWHERE
        return Proposal(between(state, {**state, "light/0": {"name": str(rng.choice(names))}}))


def scene_experts() -> list[Expert]:
    return [*(WeatherExpert(kind) for kind in ("rain", "snow", "fog")), LightExpert()]


def sky_share(rgb: np.ndarray) -> float:
    """Share of the upper third that looks like sky: blue or pale, and smooth. 0..1.

    Pale counts only beside blue, or it could be a wall: an overcast sky is missed rather than a room taken for a street.
    """
    small = cv2.resize(rgb, (96, 96), interpolation=cv2.INTER_AREA)[:32]
    hsv = cv2.cvtColor(small, cv2.COLOR_RGB2HSV)
    rough = cv2.Laplacian(cv2.cvtColor(small, cv2.COLOR_RGB2GRAY), cv2.CV_32F)
    smooth = cv2.blur(np.abs(rough), (3, 3)) < 12
    hue, chroma, value = (hsv[..., i] for i in range(3))
    blue = (hue >= 92) & (hue <= 124) & (chroma > 35) & (value > 110) & smooth
    pale = (chroma < 45) & (value > 165) & smooth
    return float((blue | pale).mean()) if blue.mean() > 0.12 else float(blue.mean())


def _check_outdoors(scene: Scene) -> None:
    if scene.assets.get("part") is not None or sky_share(scene.base) < MIN_SKY:
        raise NoProposalError("no sky")
