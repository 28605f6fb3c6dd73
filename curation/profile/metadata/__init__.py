"""What an image file says about itself: camera, time, place, texts, rights, and whether it was AI-made.

One file per container finds blocks (`jpeg`, `png`, `riff`, `gif`, `tiff`, `bmff`, `photoshop` -> `blocks`), one
per block format parses them (`exif`, `iptc`, `xmp`, `icc`, `jumbf`, `cbor`, `c2pa` -> `facts`), `describe` and
`declared` make columns of that (`columns`). All of it runs on untrusted bytes: sizes, counts and depths are
bounded, and a bad block counts as absent.
"""

from .columns import METADATA_SCHEMA
from .read import read_metadata

__all__ = ["METADATA_SCHEMA", "read_metadata"]
