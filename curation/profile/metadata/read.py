"""`read_metadata`: from the bytes of a file to the metadata columns, without decoding a pixel."""

from __future__ import annotations

from functools import cache
from typing import Any

from .blocks import Blocks
from .bmff import read_bmff
from .declared import declare
from .describe import describe
from .facts import Facts, parse_blocks, tolerant
from .gif import read_gif
from .jpeg import read_jpeg
from .photoshop import read_psd
from .png import read_png
from .riff import read_webp
from .tiff import read_tiff

#: Format name (Pillow's, and JXL) -> reader of its container. Other formats hold no metadata that is read.
_READERS = {
    "JPEG": read_jpeg,
    "MPO": read_jpeg,
    "PNG": read_png,
    "WEBP": read_webp,
    "GIF": read_gif,
    "TIFF": read_tiff,
    "PSD": read_psd,
    "HEIF": read_bmff,
    "AVIF": read_bmff,
    "JPEG2000": read_bmff,
    "JXL": read_bmff,
}


def read_metadata(data: bytes, format: str) -> dict[str, Any]:
    """The metadata columns of one image file, from its original bytes.

    Args:
        data: the whole file. Nothing about it is trusted.
        format: Pillow's name of its format, or JXL. Others give columns without values.

    Returns:
        the columns of `METADATA_SCHEMA`. `ai_declared` is never None, the lists are never None (empty if
        there is nothing); anything else that is absent, malformed or absurd is None. Texts are trimmed,
        without control characters, and of bounded length. Nothing is raised for bad content.
    """
    reader = _READERS.get(format.upper())
    blocks = tolerant(lambda: reader(data), Blocks()) if reader else Blocks()
    if blocks == Blocks():  # most pictures of the web
        return {k: v[:] if isinstance(v, list) else v for k, v in _of_no_blocks().items()}
    return _columns(blocks)


@cache
def _of_no_blocks() -> dict[str, Any]:
    return _columns(Blocks())


def _columns(blocks: Blocks) -> dict[str, Any]:
    facts = parse_blocks(blocks)
    values = tolerant(lambda: describe(facts), None) or describe(Facts(Blocks()))
    declared, evidence = tolerant(lambda: declare(facts), (False, []))
    return {**values, "ai_declared": declared, "ai_evidence": evidence}
