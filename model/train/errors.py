"""What can stop a training run, each with the sample, file or field at fault and the fix."""

from __future__ import annotations

from ..errors import ModelError


class RecipeError(ModelError):
    """A training recipe has a wrong field; the message names it."""


class CheckpointError(ModelError):
    """A checkpoint is damaged, could not be written, or is of another model, optimizer or recipe."""


class TrainingHaltedError(ModelError):
    """A loss or gradient was not finite, or jumped. No update was made with it.

    ids: the samples of the batch at fault on this rank, those with the highest losses first.
    """

    def __init__(self, message: str, ids: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.ids = ids
