"""What can be wrong with an image file. Each becomes the `_error_class` of its row."""

from __future__ import annotations

from ..errors import SampleError


class ImageError(SampleError):
    """Base of the errors `decode` raises."""


class UnsupportedFormatError(ImageError):
    """The bytes are not of a format on the allow list (`decode.FORMATS`)."""


class UnreadableImageError(ImageError):
    """The format is known, the content is corrupt or uses a variant no decoder here reads."""


class TruncatedImageError(ImageError):
    """The file ends before its picture does."""


class ImageTooLargeError(ImageError):
    """The picture or the file is over a limit; the message names the option that raises it."""


class BlockedContentError(SampleError):
    """The content id is on the block list: nothing derived from the bytes is stored."""
