"""Marking a PNG file as made by a model without touching its pixels: text chunks are put behind its header."""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Mapping
from typing import Any
from xml.sax.saxutils import escape

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
#: Signature, and the chunk IHDR, which is 13 bytes long and comes first (PNG specification, 5.6).
_HEADER_BYTES = len(_SIGNATURE) + 4 + 4 + 13 + 4
_SOURCE_TYPE = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"
_XMP = (
    '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    '<rdf:Description rdf:about="" xmlns:xmp="http://ns.adobe.com/xap/1.0/" '
    'xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/">'
    "<xmp:CreatorTool>{tool}</xmp:CreatorTool>"
    "<Iptc4xmpExt:DigitalSourceType>{source}</Iptc4xmpExt:DigitalSourceType>"
    "</rdf:Description></rdf:RDF></x:xmpmeta>"
)


def marked(png: bytes, tool: str, record: Mapping[str, Any]) -> bytes:
    """The file with IPTC's digital source type `trainedAlgorithmicMedia` and `record` as JSON (text chunk `image.generate`).

    XMP that the file has already stays, and none is added: a second packet would be ambiguous.

    Raises:
        ValueError: not a PNG file.
    """
    if not png.startswith(_SIGNATURE) or png[12:16] != b"IHDR":
        raise ValueError("not a PNG file")
    chunks = _text_chunk("image.generate", json.dumps(record, ensure_ascii=False))
    if b"XML:com.adobe.xmp\0" not in png:
        chunks += _text_chunk("XML:com.adobe.xmp", _XMP.format(tool=escape(tool), source=_SOURCE_TYPE))
    return png[:_HEADER_BYTES] + chunks + png[_HEADER_BYTES:]


def _text_chunk(keyword: str, text: str) -> bytes:
    """An iTXt chunk, not compressed, without language (PNG specification, 11.3.3.4)."""
    body = b"iTXt" + keyword.encode("ascii") + b"\0" + b"\0\0" + b"\0" + b"\0" + text.encode("utf-8")
    return struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body))
