"""Typed errors of the data feed. Every message names the file, field or setting at fault, and the fix."""

from __future__ import annotations

from ..errors import ModelError


class DataError(ModelError):
    """Something about the training data that stops a run."""


class SchemaError(DataError):
    """A file is no export of a known kind, or lacks a column that training needs."""


class StaleFeaturesError(DataError):
    """Stored latents or text features were made by another encoder than the one in use."""


class PlanError(DataError):
    """The samples cannot be laid out as asked: too few for the ranks, or settings that leave none."""


class TooManyBadSamplesError(DataError):
    """More samples could not be read than the set share allows; the message has the first causes."""


class BadSampleError(DataError):
    """One sample cannot be read. The feed counts it and goes on."""
