"""What proposes edits. An expert looks at a scene in a state and says exactly what it would change.

Exact experts only propose: the scene draws. One that makes pictures elsewhere (a folder, a server, a diffusion
pipeline) hands in a version, which becomes a value of the slot `image/0` (see `foreign.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from .phrases import Names
from .scene import Scene
from .spec import EditSpec, State


class NoProposalError(ValueError):
    """The expert has nothing to do with this picture; the message is counted as a reason, in few words."""


@dataclass(frozen=True)
class Proposal:
    """An edit, and what the things it touches are called before and after."""

    spec: EditSpec
    names: Names = field(default_factory=Names)


@dataclass(frozen=True)
class Fit:
    """How a picture became the one that is edited; `scene.assets["fit"]`.

    Attributes:
        shape: (H, W) it came with. apply: (H, W, 3) -> the same reduction and crop.
    """

    shape: tuple[int, int]
    apply: Callable[[np.ndarray], np.ndarray]


class Expert(Protocol):
    """Proposes edits of a few types.

    Attributes:
        name: in recipes and stored with every pair.
        version: raised when the same scene and seed give another edit.
        types: ids of the taxonomy it can perform on a neutral picture.
        needs_weights: asks a model; left out unless the recipe configures it.
    """

    name: str
    version: int
    types: Sequence[str]
    needs_weights: bool

    def propose(self, scene: Scene, state: State, rng: np.random.Generator) -> Proposal:
        """An edit that starts from `state`. The generator is its only source of chance.

        Raises:
            NoProposalError: nothing fits this picture.
        """
