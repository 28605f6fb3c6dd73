"""One table of a dump as Arrow batches of the columns asked for, found by name in its own CREATE TABLE."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
import pyarrow as pa

from .errors import DumpError
from .sql_blocks import blocks

#: Tuples per batch at most.
BATCH_ROWS = 1 << 17
#: A tuple or a CREATE TABLE longer than this is not one.
_LONGEST_BYTES = 64 << 20
#: By so many bytes a statement is recognized.
_HEAD_BYTES = 4096

_NAME = rb"[`\"]?(\w+)[`\"]?"
_INSERT = re.compile(
    rb"(?:INSERT|REPLACE)\s+(?:IGNORE\s+)?INTO\s+(?:[`\"]?\w+[`\"]?\.)?"
    + _NAME
    + rb"\s*(?:\(([^()]*)\)\s*)?VALUES\s*",
    re.I,
)
_CREATE = re.compile(
    rb"CREATE\s+TABLE\s+(?:IF\s+NOT\s+EXISTS\s+)?(?:[`\"]?\w+[`\"]?\.)?" + _NAME + rb"\s*\(", re.I
)
_COLUMN = re.compile(rb"\s*" + _NAME + rb"\s+\w+")
_COMMENT = rb"--[ \t][^\n]*|#[^\n]*|/\*.*?\*/"
#: What a `;` may stand in, and what is left open at the end of a buffer.
_PARTS = re.compile(
    rb"'(?:[^'\\]|\\.|'')*'|\"(?:[^\"\\]|\\.|\"\")*\"|`[^`]*`|"
    + _COMMENT
    + rb"|(?P<end>;)|(?P<open>['\"`]|/\*)",
    re.S,
)
_NOT_COLUMNS = {
    b"PRIMARY",
    b"KEY",
    b"UNIQUE",
    b"INDEX",
    b"CONSTRAINT",
    b"FULLTEXT",
    b"SPATIAL",
    b"FOREIGN",
    b"CHECK",
}
_PASSED_OVER = re.compile(
    rb"(?:DROP|LOCK|UNLOCK|SET|ALTER|USE|CREATE|START|BEGIN|COMMIT|DELIMITER|ANALYZE|SELECT)\b", re.I
)
_COMPLETE = b"-- Dump completed"


@dataclass
class TableStats:
    """What was read. `complete`: the closing line of mysqldump was there; None for a dump without its comments."""

    columns: tuple[str, ...] = ()
    rows: int = 0
    sql_bytes: int = 0
    complete: bool | None = None


@dataclass
class SqlTable:
    """A table in a `.sql` or `.sql.gz` file.

    Attributes:
        path: the file. table: name its CREATE TABLE must have. stats: filled while `batches` runs.
    """

    path: Path
    table: str
    stats: TableStats = field(default_factory=TableStats)

    def columns(self) -> tuple[str, ...]:
        """Names of the table's columns, in the order of its tuples. Raises DumpError."""
        return next(_Scan(self, (), ()).run(header_only=True))  # type: ignore[return-value]

    def batches(
        self, integers: Sequence[str], texts: Sequence[str] = (), positions: bool = False
    ) -> Iterator[pa.RecordBatch]:
        """Rows in order. Columns: `integers` as int64, `texts` as binary with escapes resolved, nulls as nulls.

        Args:
            positions: add `_offset`, the byte offset of each tuple in the uncompressed SQL.

        Raises:
            DumpError: names file and offset: another table, a missing column, broken SQL, an early end.
        """
        yield from _Scan(self, tuple(integers), tuple(texts), positions).run()


class _Scan:
    """The state of one pass over a file: a buffer, how much of it is used, and where it lies in the file."""

    def __init__(self, source: SqlTable, integers: tuple[str, ...], texts: tuple[str, ...], positions=False):
        self.source, self.integers, self.texts, self.positions = source, integers, texts, positions
        self.blocks = blocks(source.path)
        self.buffer = np.empty(0, np.uint8)
        self.pos = self.end = self.base = 0
        self.declared: tuple[str, ...] = ()
        self.head_comment = False

    @cached_property
    def space(self) -> tuple[np.ndarray, ...]:
        """What a batch is scanned into: integers, text starts, stops and escape marks, tuple positions."""
        starts, stops = np.empty((2, len(self.texts), BATCH_ROWS), np.int64)
        ints = np.empty((len(self.integers), BATCH_ROWS), np.int64)
        return ints, starts, stops, np.empty(starts.shape, np.uint8), np.empty(BATCH_ROWS, np.int64)

    def fault(self, pos: int, problem: str, fix: str) -> DumpError:
        return DumpError(str(self.source.path), self.base + pos, problem, fix)

    def fill(self) -> bool:
        """Move what is left to the front and append the next block; False at the end of the file."""
        block = next(self.blocks, None)
        if block is None:
            return False
        left = self.end - self.pos
        if left > _LONGEST_BYTES:
            raise self.fault(self.pos, "a statement without end", "this is no dump of MySQL or MariaDB")
        need = left + len(block)
        target = self.buffer if need <= len(self.buffer) else np.empty(2 * need, np.uint8)
        target[:left] = self.buffer[self.pos : self.end].copy()
        target[left:need] = np.frombuffer(block, np.uint8)
        self.base += self.pos
        self.buffer, self.pos, self.end = target, 0, need
        self.source.stats.sql_bytes += len(block)
        return True

    def bytes_at(self, limit: int) -> bytes:
        return self.buffer[self.pos : min(self.end, self.pos + limit)].tobytes()

    def run(self, header_only: bool = False):
        self.source.stats = TableStats()
        while self.skip_blank():
            head = self.bytes_at(_HEAD_BYTES)
            if head.startswith(b"--"):
                self.comment(head)
            elif head.startswith(b"#"):
                self.skip_past(b"\n", may_end=True)
            elif head.startswith(b"\xef\xbb\xbf"):
                self.pos += 3
            elif head.startswith(b"/*"):
                self.skip_past(b"*/")
                self.skip_optional_semicolon()
            elif re.match(rb"INSERT|REPLACE", head, re.I):
                yield from self.insert()
            elif _CREATE.match(head):
                self.create()
                if header_only:
                    yield self.declared
                    return
            elif _PASSED_OVER.match(head):
                self.pos += len(self.statement(head[:40].split(maxsplit=1)[0].decode("utf-8", "replace")))
            else:
                shown = head[:40].decode("utf-8", "replace")
                raise self.fault(self.pos, f"{shown!r} is no SQL statement", "give a dump made by mysqldump")
        if not self.declared:
            fix = f"it should be the dump of table {self.source.table}"
            raise DumpError(str(self.source.path), None, "no CREATE TABLE in it", fix)
        if self.head_comment and self.source.stats.complete is None:
            self.source.stats.complete = False

    def comment(self, head: bytes) -> None:
        if head.startswith((b"-- MySQL dump", b"-- MariaDB dump")):
            self.head_comment = True
        if head.startswith(_COMPLETE):
            self.source.stats.complete = True
        self.skip_past(b"\n", may_end=True)

    def skip_blank(self) -> bool:
        """To the next byte that is not blank, with the first bytes of its statement; False at the end of the file."""
        while True:
            rest = self.bytes_at(_HEAD_BYTES)
            used = len(rest) - len(rest.lstrip())
            self.pos += used
            if used < len(rest):
                break
            if self.pos == self.end and not self.fill():
                return False
        while self.end - self.pos < _HEAD_BYTES and self.fill():
            pass
        return True

    def skip_past(self, mark: bytes, may_end: bool = False) -> None:
        """To behind the next `mark`; what is passed over is not kept."""
        begin = self.base + self.pos
        while (at := self.buffer[self.pos : self.end].tobytes().find(mark)) < 0:
            self.pos = max(self.pos, self.end - len(mark) + 1)
            if not self.fill():
                if may_end:
                    self.pos = self.end
                    return
                fix = "it is cut off: download or unpack it again"
                raise self.fault(begin - self.base, "the file ends within this statement", fix)
        self.pos += at + len(mark)

    def skip_optional_semicolon(self) -> None:
        if self.skip_blank() and self.buffer[self.pos] == ord(";"):
            self.pos += 1

    def statement(self, what: str) -> bytes:
        """From here to the `;` that ends the statement; strings and comments may hold others."""
        begin = self.base + self.pos
        while True:
            text = self.buffer[self.pos : self.end].tobytes()
            found = next((m for m in _PARTS.finditer(text) if m.lastgroup), None)
            if found and found.lastgroup == "end":
                return text[: found.end()]
            if not self.fill():
                fix = "it is cut off: download or unpack it again"
                raise self.fault(begin - self.base, f"the file ends within {what}", fix)

    def create(self) -> None:
        """Read the columns of CREATE TABLE. Key definitions are no columns."""
        begin = self.base + self.pos
        text = self.statement("CREATE TABLE")
        used = len(text)
        text = _PARTS.sub(lambda m: m[0] if m[0][:1] in b"'\"`;" else b" ", text)  # comments left out
        match = _CREATE.match(text)
        name = match[1].decode()
        if name != self.source.table:
            fix = f"this file should hold {self.source.table}; give each table under its own name"
            raise self.fault(self.pos, f"CREATE TABLE is of table {name}", fix)
        names = []
        for part in _definitions(text[match.end() :]):
            column = _COLUMN.match(part)
            quoted = column and part[column.start(1) - 1 : column.start(1)] in (b"`", b'"')
            if column and (quoted or column[1].upper() not in _NOT_COLUMNS):
                names.append(column[1].decode())
        self.declared = self.source.stats.columns = tuple(names)
        self.pos += used
        missing = [c for c in (*self.integers, *self.texts) if c not in names]
        if missing:
            fix = f"its columns are {', '.join(names)}; is this dump of a schema before 2023?"
            raise self.fault(begin - self.base, f"table {name} has no column {', '.join(missing)}", fix)

    def insert(self) -> Iterator[pa.RecordBatch]:
        """The tuples of one INSERT."""
        begin = self.pos
        window = _HEAD_BYTES
        while not (match := _INSERT.match(self.bytes_at(window))) or match.end() > self.end - self.pos - 2:
            if window < 1 << 16:  # a long list of columns
                window = 1 << 16
                continue
            if not self.fill():
                if match:
                    break
                raise self.fault(self.pos, "INSERT without VALUES", "give a dump made by mysqldump")
            begin = self.pos
        if not self.declared:
            raise self.fault(begin, "INSERT before CREATE TABLE", "dump the table with its definition")
        name = match[1].decode()
        if name != self.source.table:
            fix = f"this file should hold {self.source.table}; give each table under its own name"
            raise self.fault(begin, f"INSERT is into table {name}", fix)
        order = self.declared
        if match[2] is not None:
            order = tuple(c.strip(b' `"\r\n\t').decode() for c in match[2].split(b","))
        unknown = [c for c in (*self.integers, *self.texts) if c not in order]
        if unknown:
            raise self.fault(begin, f"INSERT leaves out {', '.join(unknown)}", "dump all columns")
        self.pos += match.end()
        yield from self.tuples(order)

    def tuples(self, order: tuple[str, ...]) -> Iterator[pa.RecordBatch]:
        from . import sql_kernels as k

        kinds, slots = np.full(len(order), k.SKIP, np.int8), np.zeros(len(order), np.int32)
        for kind, names in ((k.INTEGER, self.integers), (k.TEXT, self.texts)):
            for slot, name in enumerate(names):
                kinds[order.index(name)], slots[order.index(name)] = kind, slot
        ints, starts, stops, escaped, at = self.space
        while True:
            state, pos, rows = k.scan(
                self.buffer, self.pos, self.end, kinds, slots, ints, starts, stops, escaped, at
            )
            if rows:
                yield self.batch(rows, ints, starts, stops, escaped, at)
                self.source.stats.rows += rows
            if state >= k.BAD_START:
                raise self.broken(state, pos, order)
            self.pos = pos
            if state == k.END:
                return
            if state == k.MORE and not self.fill():
                raise self.fault(
                    self.pos, "the file ends within INSERT", "it is cut off: download or unpack it again"
                )

    def batch(self, rows, ints, starts, stops, escaped, at) -> pa.RecordBatch:
        from . import sql_kernels as k

        arrays = [pa.array(v[:rows].copy(), mask=v[:rows] == k.NULL) for v in ints]
        for i in range(len(self.texts)):
            offsets = np.empty(rows + 1, np.int32)
            out = np.empty(k.text_bytes(starts[i], stops[i], rows), np.uint8)
            used = k.copy_texts(self.buffer, starts[i], stops[i], escaped[i], rows, offsets, out)
            null = starts[i, :rows] < 0
            valid = pa.array(~null).buffers()[1] if null.any() else None
            buffers = [valid, pa.py_buffer(offsets), pa.py_buffer(out[:used])]
            arrays.append(pa.Array.from_buffers(pa.binary(), rows, buffers))
        names = [*self.integers, *self.texts]
        if self.positions:
            arrays.append(pa.array(at[:rows] + self.base))
            names.append("_offset")
        return pa.RecordBatch.from_arrays(arrays, names=names)

    def broken(self, state: int, pos: int, order: tuple[str, ...]) -> DumpError:
        from . import sql_kernels as k

        problem = {
            k.BAD_START: "a tuple should begin here",
            k.BAD_INTEGER: "a whole number should stand here",
            k.BAD_COUNT: f"this tuple has not the {len(order)} values that CREATE TABLE declares",
            k.BAD_TEXT: "a string of hexadecimal digits should stand here",
        }.get(state, "a comma or a closing parenthesis should stand here")
        return self.fault(pos, problem, "the dump is damaged or not mysqldump's: download it again")


def _definitions(body: bytes) -> Iterator[bytes]:
    """The parts of a CREATE TABLE's body: commas inside parentheses and quotes do not part them."""
    depth, begin, quote = 0, 0, 0
    for i, byte in enumerate(body):
        if quote:
            quote = 0 if byte == quote else quote
        elif byte in b"'\"":
            quote = byte
        elif byte == ord("("):
            depth += 1
        elif byte == ord(")"):
            if depth == 0:
                yield body[begin:i]
                return
            depth -= 1
        elif byte == ord(",") and depth == 0:
            yield body[begin:i]
            begin = i + 1
