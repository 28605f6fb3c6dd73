"""What can be wrong with a head, a detector or labels."""

from __future__ import annotations

from ..errors import ConfigError, SampleError


class HeadError(ConfigError):
    """A head file is missing, damaged, of an unknown layout, or does not fit the encoder."""


class LabelError(ConfigError):
    """Labels cannot be read, do not match the dataset, or are too few to train on."""


class VectorError(SampleError):
    """A sample's embedding is not finite."""
