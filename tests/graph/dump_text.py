"""Writes small SQL dumps as mysqldump does, in each schema of pagelinks and categorylinks since 2023."""

from __future__ import annotations

import gzip
from pathlib import Path

#: titles: targets by title; both: title and id; ids: target ids only.
SCHEMAS = ("titles", "both", "ids")

PAGE = (
    "page_id int(8) unsigned NOT NULL AUTO_INCREMENT",
    "page_namespace int(11) NOT NULL DEFAULT 0",
    "page_title varbinary(255) NOT NULL DEFAULT ''",
    "page_is_redirect tinyint(1) unsigned NOT NULL DEFAULT 0",
    "page_random double unsigned NOT NULL DEFAULT 0",
    "page_content_model varbinary(32) DEFAULT NULL",
)
LINKTARGET = (
    "lt_id bigint(20) unsigned NOT NULL",
    "lt_namespace int(11) NOT NULL",
    "lt_title varbinary(255) NOT NULL",
)
REDIRECT = (
    "rd_from int(8) unsigned NOT NULL",
    "rd_namespace int(11) NOT NULL",
    "rd_title varbinary(255) NOT NULL",
    "rd_interwiki varbinary(32) DEFAULT NULL",
    "rd_fragment varbinary(255) DEFAULT NULL",
)
PROPS = (
    "pp_page int(10) unsigned NOT NULL",
    "pp_propname varbinary(60) NOT NULL",
    "pp_value blob NOT NULL",
    "pp_sortkey float DEFAULT NULL",
)
PAGELINKS = {
    "titles": (
        "pl_from int(8) unsigned NOT NULL",
        "pl_namespace int(11) NOT NULL",
        "pl_title varbinary(255) NOT NULL",
        "pl_from_namespace int(11) NOT NULL",
    ),
    "both": (
        "pl_from int(8) unsigned NOT NULL",
        "pl_namespace int(11) NOT NULL",
        "pl_title varbinary(255) NOT NULL",
        "pl_from_namespace int(11) NOT NULL",
        "pl_target_id bigint(20) unsigned DEFAULT NULL",
    ),
    "ids": (
        "pl_from int(8) unsigned NOT NULL",
        "pl_from_namespace int(11) NOT NULL",
        "pl_target_id bigint(20) unsigned NOT NULL",
    ),
}
CATEGORYLINKS = {
    "titles": (
        "cl_from int(8) unsigned NOT NULL",
        "cl_to varbinary(255) NOT NULL",
        "cl_sortkey varbinary(230) NOT NULL",
        "cl_type enum('page','subcat','file') NOT NULL DEFAULT 'page'",
    ),
    "both": (
        "cl_from int(8) unsigned NOT NULL",
        "cl_to varbinary(255) NOT NULL",
        "cl_sortkey varbinary(230) NOT NULL",
        "cl_type enum('page','subcat','file') NOT NULL DEFAULT 'page'",
        "cl_collation_id smallint(5) unsigned NOT NULL DEFAULT 0",
        "cl_target_id bigint(20) unsigned DEFAULT NULL",
    ),
    "ids": (
        "cl_from int(8) unsigned NOT NULL",
        "cl_sortkey varbinary(230) NOT NULL",
        "cl_type enum('page','subcat','file') NOT NULL DEFAULT 'page'",
        "cl_collation_id smallint(5) unsigned NOT NULL DEFAULT 0",
        "cl_target_id bigint(20) unsigned NOT NULL",
    ),
}
SORTKEY = b"A\x00\\\xff'),(1,'x"  # binary, and what looks like the end of a tuple


def literal(value) -> bytes:
    """A value as mysqldump writes it."""
    if value is None:
        return b"NULL"
    if isinstance(value, int | float):
        return str(value).encode()
    raw = value.encode() if isinstance(value, str) else value
    for plain, escaped in (
        (b"\\", b"\\\\"),
        (b"'", b"\\'"),
        (b'"', b'\\"'),
        (b"\n", b"\\n"),
        (b"\0", b"\\0"),
    ):
        raw = raw.replace(plain, escaped)
    return b"'" + raw + b"'"


def table_sql(
    table: str, columns: tuple[str, ...], rows, per_insert: int = 1000, closing: bool = True
) -> bytes:
    """A whole dump file."""
    body = ",\n".join(f"  `{c.split(' ', 1)[0]}` {c.split(' ', 1)[1]}" for c in columns)
    key = columns[0].split()[0]
    out = [
        b"-- MySQL dump 10.19  Distrib 10.3.38-MariaDB\n/*!40101 SET NAMES utf8mb4 */;\n\n",
        f"DROP TABLE IF EXISTS `{table}`;\nCREATE TABLE `{table}` (\n{body},\n  PRIMARY KEY (`{key}`),\n".encode(),
        f"  KEY `{key}_index` (`{key}`)\n) ENGINE=InnoDB DEFAULT CHARSET=binary;\n\n".encode(),
        f"/*!40000 ALTER TABLE `{table}` DISABLE KEYS */;\n".encode(),
    ]
    rows = list(rows)
    for first in range(0, len(rows), per_insert):
        tuples = (b"(" + b",".join(map(literal, row)) + b")" for row in rows[first : first + per_insert])
        head = f"INSERT INTO `{table}` VALUES ".encode()  # noqa: S608 - a file, no database
        out.append(head + b",".join(tuples) + b";\n")
    out.append(f"/*!40000 ALTER TABLE `{table}` ENABLE KEYS */;\n".encode())
    if closing:
        out.append(b"\n-- Dump completed on 2024-05-01 11:09:32\n")
    return b"".join(out)


def write_dump(
    folder: Path,
    pages,
    links=(),
    redirects=(),
    props=(),
    members=(),
    schema: str = "ids",
    wiki: str = "enwiki",
    date: str = "20240501",
    packed: bool = False,
) -> Path:
    """All six tables.

    Args:
        pages: (id, namespace, title, is_redirect). links: (page id, namespace, title of the target).
        redirects: (page id, namespace, title, interwiki, fragment). props: (page id, name, value).
        members: (page id, title of the category).
    """
    folder.mkdir(parents=True, exist_ok=True)
    targets = dict.fromkeys([(ns, t) for _, ns, t in links] + [(14, t) for _, t in members])
    # Ids that are nobody's page id: a target id taken for a page id resolves nothing.
    target_id = {key: 100_000 + 3 * i for i, key in enumerate(targets)}
    space = {p[0]: p[1] for p in pages}

    def link_row(source, ns, title):
        here, to = space.get(source, 0), target_id[ns, title]
        return {
            "titles": (source, ns, title, here),
            "both": (source, ns, title, here, to),
            "ids": (source, here, to),
        }[schema]

    def member_row(source, title):
        kind, to = ("subcat" if space.get(source) == 14 else "page"), target_id[14, title]
        return {
            "titles": (source, title, SORTKEY, kind),
            "both": (source, title, SORTKEY, kind, 1, to),
            "ids": (source, SORTKEY, kind, 1, to),
        }[schema]

    tables = {
        "page": table_sql("page", PAGE, [(*p, 0.5, "wikitext") for p in pages]),
        "linktarget": table_sql("linktarget", LINKTARGET, [(i, *key) for key, i in target_id.items()]),
        "pagelinks": table_sql("pagelinks", PAGELINKS[schema], [link_row(*x) for x in links]),
        "redirect": table_sql("redirect", REDIRECT, redirects),
        "page_props": table_sql("page_props", PROPS, [(*p, None) for p in props]),
        "categorylinks": table_sql("categorylinks", CATEGORYLINKS[schema], [member_row(*m) for m in members]),
    }
    if schema == "titles":
        del tables["linktarget"]
    for name, text in tables.items():
        path = folder / f"{wiki}-{date}-{name}.sql{'.gz' if packed else ''}"
        path.write_bytes(gzip.compress(text) if packed else text)
    return folder
