"""Text files of titles, links and categories: one record per line, fields apart by tabs (or blanks), `#` comments.

Titles may be percent-encoded, as SNAP's Wikispeedia files are; underscores stand for blanks.
"""

from __future__ import annotations

import contextlib
import gzip
import io
import re
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pcsv
import xxhash

from .errors import GraphError

_HEADER = re.compile(rb"\A(?:[ \t]*(?:#[^\n]*)?\n)+")
# After the first record a line is a comment only with a blank after the sign: titles may begin with one.
_COMMENT = re.compile(rb"(?m)^(?:#(?:[ \t][^\n]*)?|[ \t]*)\n")
_ENCODED = re.compile(r"%[0-9A-Fa-f]{2}")
#: A longer line, in bytes, is no record of names: line ends are missing, or it is another kind of file.
_LONGEST_LINE = 1 << 16
_LONG = re.compile(rb"[^\n]{%d}" % _LONGEST_LINE)


@dataclass(frozen=True, eq=False)
class Listing:
    """A file's records. `first`, `second`: names by position, dictionary-encoded; `second` is None in a title list."""

    path: Path
    first: pa.DictionaryArray
    second: pa.DictionaryArray | None
    source: dict[str, Any]


def read_listing(path: Path, fields: int | None = None) -> Listing:
    """Read a list. `fields`: 2 if every line must have two; else the first record says how many there are.

    Raises:
        GraphError: names file and line: not readable, not UTF-8, fields missing.
    """
    raw = _bytes(path)
    text = raw.removeprefix(b"\xef\xbb\xbf").replace(b"\r\n", b"\n")
    if not text.endswith(b"\n"):
        text += b"\n"
    try:
        text.decode("utf-8")
    except UnicodeDecodeError as e:
        line = text.count(b"\n", 0, e.start) + 1
        raise GraphError(f"{path}, line {line}: not UTF-8 (byte {e.start}); convert the file") from None
    if long := _LONG.search(text):
        line = text.count(b"\n", 0, long.start()) + 1
        fix = "write one record per line"
        raise GraphError(
            f"{path}, line {line} (byte {long.start()}): longer than {_LONGEST_LINE} bytes; {fix}"
        )
    body = _COMMENT.sub(b"", _HEADER.sub(b"", text))
    if not body.strip():
        raise GraphError(f"{path}: no records in it, only comments or blanks; give titles or links")
    head = body[: 1 << 20].splitlines()
    tabs = any(b"\t" in line for line in head)
    if not tabs and _always_two(head, fields):
        body, tabs = re.sub(rb"[ ,]+", b"\t", re.sub(rb"(?m)^[ ]+|[ ]+$", b"", body)), True
    two = tabs or fields == 2
    if not two:
        names = pa.array(body.decode().splitlines(), pa.string())
        return Listing(path, _names(names), None, _source(path, raw))
    wrong: list[int] = []

    def odd(row: pcsv.InvalidRow) -> str:
        if row.actual_columns > 2:
            return "skip"  # read again below, with its further fields dropped
        wrong.append(row.number or 0)
        return "skip"

    # Weights and other further fields are no part of a link.
    body = re.sub(rb"(?m)^([^\t\n]*\t[^\t\n]*)\t[^\n]*$", rb"\1", body)
    table = pcsv.read_csv(
        io.BytesIO(body),
        read_options=pcsv.ReadOptions(column_names=["first", "second"], use_threads=False),
        parse_options=pcsv.ParseOptions(delimiter="\t", quote_char=False, invalid_row_handler=odd),
        convert_options=pcsv.ConvertOptions(
            column_types={"first": pa.string(), "second": pa.string()}, strings_can_be_null=False
        ),
    )
    empty = pc.index(pc.or_(pc.equal(table["first"], ""), pc.equal(table["second"], "")), True).as_py()
    if wrong or empty >= 0:
        shown = _line_of(text, lambda f: len(f) < 2 or not f[0].strip() or not f[1].strip())
        raise GraphError(
            f"{path}, line {shown}: two names separated by a tab should stand here; complete or remove the line"
        )
    first, second = (_names(table[c].combine_chunks()) for c in ("first", "second"))
    return Listing(path, first, second, _source(path, raw))


def readable(name: str) -> str:
    """`%C3%89douard_Manet` -> `Édouard Manet`. What is no valid percent-encoding stays as it is."""
    if _ENCODED.search(name):
        with contextlib.suppress(UnicodeDecodeError):
            name = unquote(name, errors="strict")
    return " ".join(name.replace("_", " ").split())


def _names(column: pa.Array) -> pa.DictionaryArray:
    """Names made readable; two spellings of one name are one entry."""
    column = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    coded = column.dictionary_encode()
    shown = pa.array([readable(n) for n in coded.dictionary.to_pylist()], pa.string()).dictionary_encode()
    return pa.DictionaryArray.from_arrays(shown.indices.take(coded.indices), shown.dictionary)


def _always_two(lines: list[bytes], fields: int | None) -> bool:
    """Without tabs: does every line have two fields apart by blanks or a comma, without any in them?"""
    if fields == 2 and all(len(line.split(b",")) == 2 for line in lines):
        return True
    return all(len(re.split(rb"[ ,]+", line.strip())) == 2 for line in lines) and (
        fields == 2 or all(re.fullmatch(rb"\d+[ ,]+\d+", line.strip()) for line in lines)
    )


def _line_of(text: bytes, bad) -> int:
    for number, line in enumerate(text.decode().split("\n"), 1):
        if line.strip() and not line.startswith("#") and bad(line.split("\t")):
            return number
    return 0


def _bytes(path: Path) -> bytes:
    try:
        raw = path.read_bytes()
        return gzip.decompress(raw) if raw[:2] == b"\x1f\x8b" else raw
    except (EOFError, zlib.error, gzip.BadGzipFile) as e:
        raise GraphError(f"{path}: the gzip stream is damaged ({e}); download it again") from None
    except IsADirectoryError:
        raise GraphError(f"{path}: a folder; give the list files one by one") from None
    except FileNotFoundError:
        raise GraphError(f"{path}: no such file") from None


def _source(path: Path, raw: bytes) -> dict[str, Any]:
    return {"file": path.name, "date": "", "bytes": len(raw), "xxh3": xxhash.xxh3_64_hexdigest(raw)}
