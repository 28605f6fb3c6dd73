"""What can be wrong with an image file. Each becomes the `_error_class` of its row.

UnsupportedFormatError             not a format that is opened here
UnreadableImageError               corrupt, or a variant no decoder here reads
    EmptyImageError                no bytes at all
    DecoderCrashError              the decoder process died of it
TruncatedImageError                ends too early
ImageTooLargeError                 over `max_pixels` or `max_file_bytes`
    DecompressionBombError         so, and far larger than its bytes can account for
DecodeTimeoutError                 over `decode_s`
DecodeMemoryError                  over `memory_bytes`
"""

from __future__ import annotations

from ..errors import SampleError


class ImageError(SampleError):
    """Base of the errors `decode` raises."""


class UnsupportedFormatError(ImageError):
    """The bytes are not of a format on the allow list (`decode.FORMATS`), or its package is missing."""


class UnreadableImageError(ImageError):
    """The format is known, the content is corrupt or uses a variant no decoder here reads."""


class EmptyImageError(UnreadableImageError):
    """The file has no bytes, or its picture no pixels."""


class DecoderCrashError(UnreadableImageError):
    """The decoder process died of this file; the message says of what."""


class TruncatedImageError(ImageError):
    """The file ends before its picture does."""


class ImageTooLargeError(ImageError):
    """The picture or the file is over a limit; the message names the option that raises it."""


class DecompressionBombError(ImageTooLargeError):
    """Far more pixels or text than the file's bytes can account for, and over a limit."""


class DecodeTimeoutError(ImageError):
    """Decoding took longer than `decode_s`."""


class DecodeMemoryError(ImageError):
    """Decoding needed more memory than `memory_bytes`."""


class BlockedContentError(SampleError):
    """The content id is on the block list: nothing derived from the bytes is stored."""
