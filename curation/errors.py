"""Typed errors. Every message names the file or field at fault, and the fix."""

from __future__ import annotations


class ZcurateError(Exception):
    """Base of everything a user can cause. The command line prints it without a traceback."""


class ConfigError(ZcurateError):
    """A recipe, option or model string is wrong (exit code 2)."""


class DatasetError(ZcurateError):
    """A dataset directory is missing, foreign, or in a state an operation cannot work on."""


class ShardInvalidError(DatasetError):
    """A shard is truncated, altered, or not one of ours. It counts as absent."""


class StageStopError(ZcurateError):
    """No other row or shard could do better (a wrong key, a spend cap): the whole stage stops with this message."""


class RecallError(ZcurateError):
    """An approximate search found less than the recipe asks for; the message has the measured recall."""


class UnsafeUriError(ZcurateError):
    """A URI with a chained or unlisted protocol, a path outside its root, or a private address."""


class SampleError(ZcurateError):
    """Something is wrong with one sample: it becomes that row's `_error_class` and message."""


class SourceError(ZcurateError):
    """A source (folder, archive, manifest) cannot be listed."""


class MissingDependencyError(ConfigError):
    """An optional package is not installed; the message gives the pip command."""
