"""Typed errors of the model. Every message names the key, field or size at fault, and the fix."""

from __future__ import annotations


class ModelError(Exception):
    """Base of everything a user of the model can cause."""


class ModelConfigError(ModelError):
    """A model configuration holds values that contradict each other or that this code does not support."""


class SizeError(ModelError):
    """An image, prompt or batch does not fit the model; the message has the nearest size that does."""


class WeightsError(ModelError):
    """A checkpoint or LoRA file is unreadable, of another layout, or does not fit the configuration."""


class GenerationError(ModelError):
    """A request cannot be drawn; the message names the option and what it may be."""


class BrokenPictureError(GenerationError):
    """What was drawn holds NaN or infinite values, or is black; the message names the setting."""


class MemoryShortError(GenerationError):
    """Out of memory; the message says which options to try, in order."""


class ModelWarning(UserWarning):
    """Something that was asked for has no effect, or less than expected."""
