"""What can be wrong with a clip. Each becomes the error of its row."""

from __future__ import annotations

from ...errors import SampleError


class NotAVideoError(SampleError):
    """No mp4, mov, mkv, webm or avi by its first bytes."""


class EmptyVideoError(SampleError):
    """A file of no bytes, or a clip without a single frame."""


class BrokenVideoError(SampleError):
    """Damaged or cut off before any frame could be decoded."""


class UnsupportedVideoError(SampleError):
    """A codec that is not there, or high dynamic range, which would need tone mapping."""


class VideoTooLargeError(SampleError):
    """Longer, or of more frames or pixels, than the limits allow."""
