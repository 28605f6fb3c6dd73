"""Metadata boxes of ISO base media files: HEIF and AVIF (ISO 23008-12), JPEG XL (ISO 18181-2), JPEG 2000.

Boxes compressed with Brotli (`brob` in JPEG XL) are left alone: nothing installed here reads them.
"""

from __future__ import annotations

from collections.abc import Iterator

from .blocks import MAX_EXIF_BYTES, MAX_JUMBF_BYTES, Blocks

_C2PA_UUID = bytes.fromhex("d8fec3d61b0e483c92975828877ec481")
_XMP_UUID = bytes.fromhex("be7acfcb97a942e89c71999491e3afac")
_JP2_EXIF_UUID = b"JpgTiffExif->JP2"

_MAX_BOXES = 20_000
_MAX_META_BYTES = 16 << 20
_MAX_ITEMS = 5000
_MAX_EXTENTS = 64


def read_bmff(data: bytes) -> Blocks:
    """The metadata blocks of a HEIF, AVIF, JPEG XL (container) or JPEG 2000 (JP2) file."""
    blocks = Blocks()
    if data[4:8] not in (b"ftyp", b"JXL ", b"jP  "):
        return blocks
    seen = set()
    for kind, header, start, end in boxes(data, 0, len(data)):
        if kind in seen:  # one each is legal; many would be there to be walked
            continue
        if kind == b"meta":
            seen.add(kind)
            _read_meta(data, start + 4, min(end, start + _MAX_META_BYTES), blocks)
        elif kind == b"uuid":
            _read_uuid(data, start, end, blocks)
        elif kind == b"jumb":
            blocks.add_jumbf(data[header:end])
        elif kind == b"Exif":
            _add_exif_item(data[start : min(end, start + MAX_EXIF_BYTES)], blocks)
        elif kind == b"xml ":
            blocks.add_xmp(data[start:end])
        elif kind == b"jp2h":
            seen.add(kind)
            for inner, _, inner_start, inner_end in boxes(data, start, min(end, start + _MAX_META_BYTES)):
                if inner == b"colr" and data[inner_start : inner_start + 1] == b"\2":
                    blocks.add_icc(data[inner_start + 3 : inner_end])
    return blocks


def boxes(data: bytes, start: int, end: int) -> Iterator[tuple[bytes, int, int, int]]:
    """(type, start of the header, start of the content, end) of the boxes in `data[start:end]`.

    A box that claims to reach past `end` is cut there and is the last.
    """
    for _ in range(_MAX_BOXES):
        if start + 8 > end:
            return
        size, content = int.from_bytes(data[start : start + 4], "big"), start + 8
        if size == 1:
            size, content = int.from_bytes(data[start + 8 : start + 16], "big"), start + 16
        stop = end if size == 0 else min(start + size, end)
        if stop < content:
            return
        yield data[start + 4 : start + 8], start, content, stop
        start = stop


def _read_uuid(data: bytes, start: int, end: int, blocks: Blocks) -> None:
    identity, body = data[start : start + 16], start + 16
    if identity == _C2PA_UUID:
        # version and flags (4), purpose ended by NUL, offset of a Merkle box (8), then the manifest store
        purpose_end = data.find(b"\0", body + 4, min(end, body + 64))
        if purpose_end >= 0 and data[body + 4 : purpose_end] in (b"manifest", b"original", b"update"):
            blocks.add_jumbf(data[purpose_end + 9 : end])
    elif identity == _XMP_UUID:
        blocks.add_xmp(data[body:end])
    elif identity == _JP2_EXIF_UUID:
        blocks.add_exif(data[body:end])


def _read_meta(data: bytes, start: int, end: int, blocks: Blocks) -> None:
    """The items of a meta box that hold metadata, found through its item tables."""
    kinds: dict[int, bytes] = {}
    table, store = (0, 0), (0, 0)
    for kind, _, content, stop in boxes(data, start, end):
        if kind == b"iinf":
            kinds = _metadata_items(data, content, stop)
        elif kind == b"iloc":
            table = (content, stop)
        elif kind == b"idat":
            store = (content, stop)
        elif kind == b"iprp":
            _read_properties(data, content, stop, blocks)
    if not kinds:
        return
    for item, value in _item_values(data, table, store, frozenset(kinds)):
        if kinds[item] == b"Exif":
            _add_exif_item(value, blocks)
        else:
            blocks.add_xmp(value)


def _metadata_items(data: bytes, start: int, end: int) -> dict[int, bytes]:
    """Item id -> b"Exif" or b"mime" (XMP) from an item information box."""
    items: dict[int, bytes] = {}
    first = start + (6 if data[start : start + 1] == b"\0" else 8)
    for kind, _, content, stop in boxes(data, first, end):
        version = data[content] if content < stop else 0
        if kind != b"infe" or version < 2:
            continue
        id_bytes = 2 if version == 2 else 4
        at = content + 4 + id_bytes + 2
        item, item_type = int.from_bytes(data[content + 4 : content + 4 + id_bytes], "big"), data[at : at + 4]
        if item_type == b"Exif":
            items[item] = item_type
        elif item_type == b"mime":
            _, _, content_type = data[at + 4 : min(stop, at + 1024)].partition(b"\0")
            if content_type.startswith((b"application/rdf+xml", b"application/xmp+xml")):
                items[item] = item_type
    return items


def _item_values(
    data: bytes, table: tuple[int, int], store: tuple[int, int], wanted: frozenset[int]
) -> Iterator[tuple[int, bytes]]:
    """(item id, bytes) of the wanted items of an item location box."""
    position, end = table
    if end - position < 8:
        return
    version = data[position]
    offset_bytes, length_bytes = data[position + 4] >> 4, data[position + 4] & 15
    base_bytes, index_bytes = data[position + 5] >> 4, data[position + 5] & 15 if version else 0
    position += 6

    def number(size: int) -> int:
        nonlocal position
        position += size
        return int.from_bytes(data[position - size : min(position, end)], "big")

    id_bytes = 2 if version < 2 else 4
    for _ in range(min(number(id_bytes), _MAX_ITEMS)):
        if position >= end:
            return
        item = number(id_bytes)
        method = number(2) & 15 if version else 0
        position += 2  # data reference
        base, extents = number(base_bytes), number(2)
        if extents > _MAX_EXTENTS:
            return
        parts = [(number(index_bytes), number(offset_bytes), number(length_bytes)) for _ in range(extents)]
        if item in wanted and method in (0, 1):
            shift, limit = (0, len(data)) if method == 0 else store
            value = b""
            for _, offset, length in parts:
                at = shift + base + offset
                length = min(length or limit, MAX_EXIF_BYTES + 1)
                value += data[at : min(limit, at + length)]
                if len(value) > MAX_EXIF_BYTES:
                    break
            yield item, value


def _add_exif_item(value: bytes, blocks: Blocks) -> None:
    """An Exif item: 4 bytes say how far behind them the TIFF header is."""
    blocks.add_exif(value[4 + int.from_bytes(value[:4], "big") :])


def _read_properties(data: bytes, start: int, end: int, blocks: Blocks) -> None:
    """The first ICC profile among the item properties."""
    for kind, _, content, stop in boxes(data, start, end):
        if kind != b"ipco":
            continue
        for inner, _, inner_start, inner_end in boxes(data, content, stop):
            if inner == b"colr" and data[inner_start : inner_start + 4] in (b"prof", b"rICC"):
                blocks.add_icc(data[inner_start + 4 : min(inner_end, inner_start + MAX_JUMBF_BYTES)])
                return
