"""All that the blocks of one file say, parsed once: read by `describe` and by `declared`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

from .blocks import Blocks
from .exif import Exif, read_exif
from .iptc import Iptc, read_iptc
from .xmp import Xmp, read_xmp

T = TypeVar("T")

# What a parser may still throw at input its author did not think of: that costs the block, never the row.
_PARSER_ERRORS = (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError)


@dataclass(frozen=True)
class Facts:
    """Attributes:
    blocks: as the container holds them.
    exif, iptc, xmp: the first block of each kind, parsed (XMP: all packets); empty where absent.
    iptc_is_newer: IIM was changed after XMP was last made equal to it.
    texts: PNG texts by key in lower case, the first of each.
    """

    blocks: Blocks
    exif: Exif = field(default_factory=Exif)
    iptc: Iptc = field(default_factory=Iptc)
    xmp: Xmp = field(default_factory=Xmp)
    iptc_is_newer: bool = False
    texts: dict[str, str] = field(default_factory=dict)


def parse_blocks(blocks: Blocks) -> Facts:
    """Parse every block; one that cannot be parsed counts as absent."""
    iptc = tolerant(lambda: read_iptc(b"".join(blocks.iptc)), Iptc()) if blocks.iptc else Iptc()
    texts: dict[str, str] = {}
    for key, text in blocks.texts:
        texts.setdefault(key.lower(), text)
    return Facts(
        blocks=blocks,
        exif=tolerant(lambda: read_exif(blocks.exif[0]), Exif()) if blocks.exif else Exif(),
        iptc=iptc,
        xmp=tolerant(lambda: read_xmp(blocks.xmp), Xmp()) if blocks.xmp else Xmp(),
        iptc_is_newer=len(blocks.iptc_digest) == 16
        and any(blocks.iptc_digest)
        and blocks.iptc_digest != iptc.digest,
        texts=texts,
    )


def tolerant(parse: Callable[[], T], default: T) -> T:
    """What `parse` returns; `default` where hostile content breaks it."""
    try:
        return parse()
    except _PARSER_ERRORS:
        return default
