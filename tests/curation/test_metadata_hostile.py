"""Metadata of hostile files: nothing raises, nothing loops, nothing grows out of proportion."""

from __future__ import annotations

import contextlib
import io
import struct
import tracemalloc
import zlib

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from PIL import Image

from zcurate.curation.profile.metadata import METADATA_SCHEMA, read_metadata
from zcurate.curation.profile.metadata.blocks import Blocks
from zcurate.curation.profile.metadata.cbor import CborError, read_cbor
from zcurate.curation.profile.metadata.declared import declare
from zcurate.curation.profile.metadata.describe import describe
from zcurate.curation.profile.metadata.facts import parse_blocks
from zcurate.curation.profile.metadata.jumbf import content_boxes
from zcurate.curation.profile.metadata.text import clean, decode_text

PICTURE = Image.new("RGB", (16, 12), (120, 30, 60))


def xmp_packet(elements: str) -> bytes:
    return (
        '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
        f'<rdf:Description xmlns:dc="http://purl.org/dc/elements/1.1/">{elements}</rdf:Description></rdf:RDF></x:xmpmeta>'
    ).encode()


def box(kind: bytes, *content: bytes) -> bytes:
    body = b"".join(content)
    return struct.pack(">I", 8 + len(body)) + kind + body


def jpeg_xl(xmp: bytes) -> bytes:
    return box(b"JXL ", b"\r\n\x87\n") + box(b"ftyp", b"jxl \0\0\0\0jxl ") + box(b"xml ", xmp)


def whole_files() -> dict[str, bytes]:
    """A file of each format with Exif, GPS, XMP and a content credential where the writer can."""
    exif = Image.Exif()
    exif.update({0x010F: "Canon", 0x010E: "a wall", 0x0131: "Firmware"})
    exif.get_ifd(0x8769).update({0x9003: "2021:05:06 07:08:09", 0x9286: b"UNICODE\0a\0b\0"})
    exif.get_ifd(0x8825).update({1: "N", 2: (39.0, 54.0, 30.0), 3: "W", 4: (116.0, 30.0, 0.0)})
    xmp = xmp_packet("<dc:title><rdf:Alt><rdf:li xml:lang='zh'>t</rdf:li></rdf:Alt></dc:title>")
    files = {}
    for format, options in {
        "JPEG": {"exif": exif, "xmp": xmp},
        "WEBP": {"exif": exif, "xmp": xmp},
        "AVIF": {"exif": exif.tobytes(), "xmp": xmp},
        "PNG": {"exif": exif},
        "TIFF": {"exif": exif},
        "GIF": {"comment": b"Created with GIMP"},
    }.items():
        stream = io.BytesIO()
        PICTURE.save(stream, format, **options)
        files[format] = stream.getvalue()
    claim = box(b"jumb", box(b"jumd", bytes(16), b"\3c2pa.claim\0"), box(b"cbor", b"\xa1\x64name\x61x"))
    manifest = box(b"jumb", box(b"jumd", bytes(16), b"\3urn:1\0"), claim)
    return files | {"JXL": jpeg_xl(xmp) + box(b"jumb", box(b"jumd", bytes(16), b"\3c2pa\0"), manifest)}


FILES = whole_files()


@pytest.mark.parametrize("order", ["<", ">"])
def test_directories_that_loop_or_point_outside(order: str) -> None:
    def block(*entries: tuple[int, int, int, int]) -> bytes:
        table = b"".join(struct.pack(f"{order}HHII", *e) for e in entries)
        mark = b"II*\0" if order == "<" else b"MM\0*"
        return mark + struct.pack(f"{order}IH", 8, len(entries)) + table

    data = block(
        (0x8769, 4, 1, 8), (0x8825, 4, 1, 8), (0x010F, 2, 2**32 - 1, 8), (0x0110, 99, 1, 0), (0x0131, 4, 1, 7)
    )
    segment = b"Exif\0\0" + data
    values = read_metadata(b"\xff\xd8\xff\xe1" + struct.pack(">H", len(segment) + 2) + segment, "JPEG")
    assert not any(v for k, v in values.items())


@given(st.text())
def test_clean_text_has_no_controls_and_keeps_chinese(text: str) -> None:
    cleaned = clean(f"长城{text}", 50)
    assert cleaned.startswith("长城")
    assert len(cleaned) <= 50
    cleaned.encode()
    assert not any((c < " " and c not in "\t\n") or "\u202a" <= c <= "\u202e" for c in cleaned)


@given(st.text(min_size=1))
def test_utf8_text_is_decoded_as_such(text: str) -> None:
    assert decode_text(text.encode("utf-8", "replace")) == text.encode("utf-8", "replace").decode()


def test_declared_entities_are_refused() -> None:
    entities = "".join(f'<!ENTITY a{i + 1} "{f"&a{i};" * 10}">' for i in range(12))
    packet = f'<!DOCTYPE x [<!ENTITY a0 "ha">{entities}]>'.encode() + xmp_packet("<dc:title>&a12;</dc:title>")
    outside = b'<!DOCTYPE x [<!ENTITY f SYSTEM "file:///etc/passwd">]>' + xmp_packet(
        "<dc:title>&f;</dc:title>"
    )
    for hostile in (packet, outside):
        assert read_metadata(jpeg_xl(hostile), "JXL")["title"] is None


def peak_bytes(data: bytes, format: str) -> int:
    tracemalloc.start()
    read_metadata(data, format)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak


def test_bombs_stay_small() -> None:
    bomb = zlib.compress(bytes(200 << 20), 9)

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    chunks = [chunk(b"zTXt", b"Comment\0\0" + bomb), chunk(b"iTXt", b"Title\0\1\0\0\0" + bomb)]
    chunks += [chunk(b"iCCP", b"p\0\0" + bomb), chunk(b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0" + bomb)]
    assert peak_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(chunks * 20), "PNG") < 100 << 20
    nested = b"".join(struct.pack(">I4s", 1 << 20, b"meta") + bytes(4) for _ in range(10_000))
    assert peak_bytes(box(b"ftyp", b"heic") + nested, "HEIF") < 50 << 20
    names = "".join(f"<a{'b' * 200}{i}>" for i in range(5000))
    assert peak_bytes(jpeg_xl(xmp_packet(names)), "JXL") < 50 << 20


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.sampled_from(sorted(FILES)),
    st.lists(
        st.tuples(st.floats(0, 1), st.binary(min_size=1, max_size=6), st.booleans()), min_size=1, max_size=12
    ),
    st.floats(0.02, 1),
)
def test_mutated_files_never_raise(format: str, edits: list, keep: float) -> None:
    data = bytearray(FILES[format])
    for place, piece, insert in edits:
        at = int(place * len(data))
        data[at : at if insert else at + len(piece)] = piece
    values = read_metadata(bytes(data[: int(keep * len(data))]), format)
    assert list(values) == METADATA_SCHEMA.names


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=400), st.binary(max_size=300), st.text(max_size=200), st.binary(max_size=200))
@example(b"<a" + b"><a" * 100, b"", "", b"")
def test_parsers_of_blocks_are_total(xmp: bytes, iptc: bytes, text: str, exif: bytes) -> None:
    blocks = Blocks(exif=[b"MM\0*" + exif], xmp=[xmp], iptc=[iptc], jumbf=[xmp], icc=iptc, comments=[xmp])
    blocks.texts = [("parameters", text), ("AIGC", "{" + text), ("Dream", text)]
    facts = parse_blocks(blocks)
    describe(facts)  # without the safety net of read_metadata
    declare(facts)


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=200))
def test_cbor_and_jumbf_are_bounded(data: bytes) -> None:
    with contextlib.suppress(CborError):
        read_cbor(data)
    assert len(list(content_boxes(data))) <= len(data)
