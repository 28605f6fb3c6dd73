"""The dump files of one wiki in a folder: which tables there are, and that they belong together."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import xxhash

from .errors import DumpError
from .sql_table import SqlTable

TABLES = ("page", "linktarget", "pagelinks", "redirect", "page_props", "categorylinks")
REQUIRED = ("page", "pagelinks")

_NAME = re.compile(rf"(?:(?P<wiki>\w+?)-(?P<date>\w+)-)?(?P<table>{'|'.join(TABLES)})\.sql(?:\.gz)?")
_HASHED_BYTES = 1 << 20


@dataclass(frozen=True)
class DumpFiles:
    """`tables`: table -> file. `wiki`, `date`: from the file names; empty if they have none."""

    folder: Path
    wiki: str
    date: str
    tables: dict[str, SqlTable]

    def sources(self) -> list[dict[str, str | int]]:
        """Name, date, size and a digest (xxh3 of size, first and last MiB) of every file."""
        return [
            {
                "file": table.path.name,
                "date": self.date,
                "bytes": table.path.stat().st_size,
                "xxh3": _digest(table.path),
            }
            for table in self.tables.values()
        ]


def find_dumps(folder: Path, required: tuple[str, ...] = REQUIRED) -> DumpFiles:
    """The tables of one wiki.

    Raises:
        DumpError: no folder, a required table missing, two files of one table, several wikis or dates.
    """
    if not folder.is_dir():
        raise DumpError(str(folder), None, "no such folder", "give the folder that holds the .sql.gz files")
    found: dict[str, tuple[Path, str, str]] = {}
    for path in sorted(folder.iterdir()):
        match = _NAME.fullmatch(path.name)
        if not match or not path.is_file():
            continue
        table = match["table"]
        if table in found:
            fix = f"{found[table][0].name} is there, too; keep one file of each table, of one wiki and date"
            raise DumpError(str(path), None, f"a second file of table {table}", fix)
        found[table] = (path, match["wiki"] or "", match["date"] or "")
    for table in required:
        if table not in found:
            names = f"WIKI-DATE-{table}.sql.gz"
            fix = f"download {names} of the same date into it (https://dumps.wikimedia.org)"
            raise DumpError(str(folder), None, f"table {table} is missing", fix)
    for position, what in ((1, "wiki"), (2, "date")):
        kinds = {found[t][position] for t in found}
        if len(kinds) > 1:
            shown = ", ".join(f"{v[0].name}" for v in found.values())
            fix = f"download all tables of one {what}: ids of different dumps do not match"
            raise DumpError(str(folder), None, f"dumps of more than one {what}: {shown}", fix)
    if not found:
        raise DumpError(
            str(folder),
            None,
            "no dump in it",
            f"files are named WIKI-DATE-TABLE.sql.gz, tables {', '.join(TABLES)}",
        )
    wiki, date = next((v[1], v[2]) for v in found.values())
    tables = {t: SqlTable(found[t][0], t) for t in TABLES if t in found}
    return DumpFiles(folder, wiki, date, tables)


def repeated_id(table: SqlTable, column: str, value: int) -> DumpError:
    """The error for an id that occurs twice, with the offset of its second row."""
    offset = offset_of(table, column, value, occurrence=2)
    fix = "two dumps were joined or the file is damaged: download it again"
    return DumpError(str(table.path), offset, f"{column} {value} occurs twice", fix)


def offset_of(table: SqlTable, column: str, value: int, occurrence: int = 1) -> int | None:
    """Byte offset of the row in which a column has a value for the first, second... time."""
    for batch in table.batches([column], positions=True):
        at = (batch.column(0).to_numpy(zero_copy_only=False) == value).nonzero()[0]
        if len(at) >= occurrence:
            return batch.column(1)[int(at[occurrence - 1])].as_py()
        occurrence -= len(at)
    return None


def _digest(path: Path) -> str:
    size = path.stat().st_size
    digest = xxhash.xxh3_64(str(size).encode())
    with open(path, "rb") as f:
        digest.update(f.read(_HASHED_BYTES))
        f.seek(max(0, size - _HASHED_BYTES))
        digest.update(f.read())
    return digest.hexdigest()
