"""JSON Lines and CSV files in blocks of whole lines, and their exact row-by-row parsers.

The row parsers define what a file means. The fast path (`tables.py`) must agree with them, and any
block it cannot parse with certainty comes here.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO

from ..uris import quoted
from .problems import BadLineError, DamagedArchiveError
from .source import Tree

BLOCK_BYTES = 4 << 20
#: A longer line (or CSV record) is an error row.
MAX_LINE_BYTES = 16 << 20


@dataclass(frozen=True)
class Block:
    """Whole lines. `error` stands for lines that could not be read at all."""

    data: bytes
    first_line: int
    error: Exception | None = None


@dataclass(frozen=True)
class Row:
    """One record and the line it begins on, counted from 1."""

    line: int
    value: dict[str, Any] | Exception


def is_csv(name: str) -> bool:
    return name.lower().removesuffix(".gz").endswith(".csv")


def open_table_file(tree: Tree, relative: str) -> BinaryIO:
    """A manifest opened for reading, decompressed by its suffix."""
    file = tree.open(relative)
    return gzip.GzipFile(fileobj=file) if relative.lower().endswith(".gz") else file  # type: ignore[return-value]


def read_blocks(file: BinaryIO, quoted_newlines: bool) -> Iterator[Block]:
    """The file in blocks of about BLOCK_BYTES that end at a line's end.

    Args:
        quoted_newlines: CSV: a newline inside double quotes does not end a line.
    """
    carry, line, skipping = b"", 1, False
    while True:
        chunk, damage = _read_chunk(file)
        if line == 1 and not carry:
            chunk = chunk.removeprefix(b"\xef\xbb\xbf")
        if damage is not None:
            whole = (carry + chunk).rpartition(b"\n")[0]
            yield from [Block(whole, line)] if whole and not skipping else []
            line += whole.count(b"\n") + 1
            yield Block(
                b"", line, DamagedArchiveError(f"compressed data breaks off near line {line}: {damage}")
            )
            return
        if not chunk:
            if carry and not skipping:
                yield Block(carry, line)
            return
        if skipping:
            newline = chunk.find(b"\n")
            if newline < 0:
                continue
            chunk, skipping, line = chunk[newline + 1 :], False, line + 1
        data = carry + chunk
        cut = _cut(data, quoted_newlines)
        if cut == 0 and len(data) > MAX_LINE_BYTES:
            cut = data.rfind(b"\n") + 1  # CSV with an odd quote: parse these lines as they stand
            if cut == 0:
                message = f"line {line} is longer than {MAX_LINE_BYTES} bytes"
                yield Block(b"", line, BadLineError(message))
                carry, skipping = b"", True
                continue
        if cut:
            yield Block(data[:cut], line)
            line += data.count(b"\n", 0, cut)
        carry = data[cut:]


def _read_chunk(file: BinaryIO) -> tuple[bytes, Exception | None]:
    """About BLOCK_BYTES, or what could be decompressed before the data breaks off."""
    if not isinstance(file, gzip.GzipFile):
        return file.read(BLOCK_BYTES), None
    pieces, size = [], 0
    try:
        while size < BLOCK_BYTES and (piece := file.read1(1 << 16)):
            pieces.append(piece)
            size += len(piece)
    except (EOFError, zlib.error, gzip.BadGzipFile) as e:
        return b"".join(pieces), e
    return b"".join(pieces), None


def _cut(data: bytes, quoted_newlines: bool) -> int:
    """Where the last whole record of `data` ends."""
    cut = data.rfind(b"\n") + 1
    if not quoted_newlines or cut == 0:
        return cut
    odd = data.count(b'"', 0, cut) % 2
    while odd:
        earlier = data.rfind(b"\n", 0, cut - 1) + 1
        odd ^= data.count(b'"', earlier, cut) % 2
        cut = earlier
        if cut == 0:
            return 0
    return cut


def parse_jsonl(block: Block) -> Iterator[Row]:
    """One object per line; empty lines are skipped."""
    loads = json.loads
    for number, raw in enumerate(block.data.split(b"\n"), block.first_line):
        if not raw or raw.isspace():
            continue
        try:
            value = loads(raw.decode("utf-8", "replace"))
        except (ValueError, RecursionError) as e:
            yield Row(number, BadLineError(f"line {number} is not valid JSON: {_short(e)}"))
            continue
        if isinstance(value, dict):
            yield Row(number, value)
        else:
            kind = type(value).__name__
            yield Row(number, BadLineError(f"line {number} is a JSON {kind}, not an object"))


def parse_csv(block: Block, header: list[str]) -> Iterator[Row]:
    """One record per row of fields; empty fields are null, empty lines are skipped."""
    if csv.field_size_limit() < MAX_LINE_BYTES:
        csv.field_size_limit(MAX_LINE_BYTES)
    text = block.data.decode("utf-8", "replace").replace("\0", "")
    reader = csv.reader(io.StringIO(text, newline=""))
    width = len(header)
    while True:
        number = block.first_line + reader.line_num
        try:
            fields = next(reader)
        except StopIteration:
            return
        except csv.Error as e:
            yield Row(number, BadLineError(f"line {number} is not valid CSV: {_short(e)}"))
            continue
        if len(fields) == width:
            yield Row(number, {n: f or None for n, f in zip(header, fields, strict=True)})
        elif fields:
            message = f"line {number} has {len(fields)} fields, the header {width}"
            yield Row(number, BadLineError(message))


def csv_header(block: Block) -> tuple[list[str], Block]:
    """The column names of a CSV file's first block (made unique), and the block without them."""
    text = block.data.decode("utf-8", "replace").replace("\0", "")
    lines = io.StringIO(text, newline="")
    reader = csv.reader(lines)
    fields = next(reader, [])
    names: list[str] = []
    for i, name in enumerate(fields, 1):
        name = name.strip() or f"column_{i}"
        names.append(name if name not in names else f"{name}_{i}")
    end = 0
    for _ in range(reader.line_num):
        end = block.data.find(b"\n", end) + 1 or len(block.data)
    return names, Block(block.data[end:], block.first_line + reader.line_num)


def read_rows(file: BinaryIO, name: str) -> Iterator[Row]:
    """All records of a JSON Lines or CSV file, by the exact parsers."""
    header: list[str] | None = None
    for block in read_blocks(file, quoted_newlines=is_csv(name)):
        if block.error is not None:
            yield Row(block.first_line, block.error)
        elif not is_csv(name):
            yield from parse_jsonl(block)
        else:
            if header is None:
                header, block = csv_header(block)
            yield from parse_csv(block, header)


def _short(error: Exception) -> str:
    return quoted(str(error))
