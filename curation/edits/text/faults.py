"""What can be wrong with a text that is to be drawn."""

from __future__ import annotations

from zcurate.curation.errors import SampleError


class TextError(SampleError):
    """A text item cannot be used; the message names the field and the fix."""


class TextSpecError(TextError):
    """A field of a spec is missing, unknown or out of its range."""


class MissingGlyphError(TextError):
    """No font that may be used has all characters of a text; it would be drawn as empty boxes."""


class TextOverflowError(TextError):
    """A text does not fit the picture even at the smallest size."""


class PictureTooSmallError(TextError):
    """The picture is too small to be written on."""
