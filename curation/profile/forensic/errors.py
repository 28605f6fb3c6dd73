"""What can go wrong around the forensic classifier."""

from __future__ import annotations

from ...errors import ConfigError


class ForensicTrainingError(ConfigError):
    """The photographs given to the training script cannot be used; the message says what is missing."""


class ForensicWeightsError(ConfigError):
    """The weight file is missing, damaged or of another layout; the message names it."""
