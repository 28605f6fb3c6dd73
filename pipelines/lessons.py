"""What a captioner can learn of a dataset: questions as its recipe asks them, and lessons of single samples and pairs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from types import SimpleNamespace

from zcurate.captioner import packs
from zcurate.captioner.captioning import Captioner
from zcurate.captioner.training.reviewed import Taught
from zcurate.curation.active.review.states import State
from zcurate.curation.active.review.tasks import Task

from .stages import caption as caption_stage
from .view import View


@dataclass(frozen=True)
class Asking:
    """How the dataset's captioner asks.

    Attributes:
        config: settings of the captions stage; its defaults where captions came from elsewhere.
        captioner: makes the questions; answers none.
    """

    config: caption_stage.Config
    captioner: Captioner

    @classmethod
    def of(cls, view: View | None, family: str | None) -> Asking:
        raw = (view.recipe.stages.get("caption") if view else None) or {}
        config = caption_stage.Config(**raw)
        family = family or (packs.family_of(config.engine) if config.family == "auto" else config.family)
        config = config.model_copy(update={"family": family})
        return cls(config, caption_stage._captioner(config, SimpleNamespace(engine="", model=family)))

    @property
    def image_tokens(self) -> int:
        return self.config.image_tokens


@dataclass(frozen=True)
class Lesson:
    """What one reviewed sample or pair gives.

    Attributes:
        content_ids: hashes (hex) of the pictures, or of those they were made from; they decide the split.
        sample_ids: of the dataset, hex.
        taught: conversations. left_out: a reason for each part that gives none.
    """

    content_ids: tuple[str, ...]
    sample_ids: tuple[str, ...]
    taught: Sequence[Taught]
    left_out: Sequence[str] = ()
    task: Task | None = None
    state: State | None = None
