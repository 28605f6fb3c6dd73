"""The SQL scanner reads what mysqldump writes, whatever is in the strings and wherever blocks are cut."""

import gzip

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zcurate.graph import sql_blocks
from zcurate.graph.errors import DumpError
from zcurate.graph.sql_table import SqlTable

from .dump_text import table_sql

COLUMNS = ("t_id int(8) unsigned NOT NULL", "t_name varbinary(255) DEFAULT NULL", "t_score double DEFAULT NULL", "t_other varbinary(9) DEFAULT NULL")  # fmt: skip
TRICKY = ["),(", "'", "\\", "\\'", "');\nINSERT INTO `t` VALUES (9,'x", "\0", "\n", "''", '"', "NULL", "", "-- ", "/* ", "é漢"]  # fmt: skip
texts = st.one_of(
    st.none(), st.binary(max_size=30), st.lists(st.sampled_from(TRICKY), max_size=4).map("".join)
)
rows = st.lists(
    st.tuples(st.integers(-(10**17), 10**17), texts, st.none() | st.floats(-1e9, 1e9, allow_nan=False), texts)
)


def read(path, table="t", integers=("t_id",), names=("t_name", "t_other"), **more):
    source = SqlTable(path, table)
    out = [row for b in source.batches(list(integers), list(names), **more) for row in b.to_pylist()]
    return out, source.stats


def as_bytes(value):
    return value.encode() if isinstance(value, str) else value


@given(rows, st.integers(1, 5), st.integers(7, 300), st.booleans())
@settings(max_examples=150, deadline=None)
def test_any_rows_come_back(tmp_path_factory, table, per_insert, block, packed):
    path = tmp_path_factory.mktemp("sql") / "t.sql"
    text = table_sql("t", COLUMNS, table, per_insert)
    path.write_bytes(gzip.compress(text) if packed else text)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sql_blocks, "BLOCK_BYTES", block)  # blocks end anywhere, also within an escape
        found, stats = read(path, positions=True)
    assert [(r["t_id"], r["t_name"], r["t_other"]) for r in found] == [
        (a, as_bytes(b), as_bytes(d)) for a, b, _, d in table
    ]
    assert stats.rows == len(table)
    assert stats.sql_bytes == len(text)
    assert stats.complete
    # Every offset is where its tuple begins.
    assert all(text[r["_offset"] : r["_offset"] + 1] == b"(" for r in found)


def test_columns_come_from_create_table_in_any_order(tmp_path):
    path = tmp_path / "t.sql"
    path.write_bytes(table_sql("t", COLUMNS[::-1], [("x", 0.5, "name", 7)]))
    assert SqlTable(path, "t").columns() == ("t_other", "t_score", "t_name", "t_id")
    assert read(path)[0] == [{"t_id": 7, "t_name": b"name", "t_other": b"x"}]


def test_other_spellings_of_sql(tmp_path):
    path = tmp_path / "t.sql"
    path.write_bytes(
        b"CREATE TABLE IF NOT EXISTS t (\n  t_id int NOT NULL,\n  kind enum('a,b','c)') NOT NULL,\n  t_name varbinary(9),\n"
        b"  UNIQUE KEY x (t_id, kind)\n);\nSTART TRANSACTION;\n"
        b"insert into t (t_name, t_id, kind) values\n ( 'it''s' , 1 , 'a,b' ) ,\n (NULL,-2,'c)');\r\n"
        b"INSERT IGNORE INTO `db`.`t` VALUES (3,'c)',_binary 'b\\Z');\nCOMMIT;\n"
    )
    found, stats = read(path, names=("t_name",))
    assert found == [
        {"t_id": 1, "t_name": b"it's"},
        {"t_id": -2, "t_name": None},
        {"t_id": 3, "t_name": b"b\x1a"},
    ]
    assert stats.columns == ("t_id", "kind", "t_name")
    assert stats.complete is None


def test_one_very_long_line(tmp_path):
    path = tmp_path / "t.sql"
    many = [(i, "x" * 90, 0.5, None) for i in range(120_000)]
    path.write_bytes(table_sql("t", COLUMNS, many, per_insert=len(many)))
    found = SqlTable(path, "t")
    assert sum(b.num_rows for b in found.batches(["t_id"], ["t_name"])) == len(many)


GOOD = table_sql("t", COLUMNS, [(i, "x", 0.5, None) for i in range(40)], per_insert=10)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda s: s.replace(b"(13,'x',0.5,NULL)", b"(13,'x',0.5)"), "not the 4 values"),
        (lambda s: s.replace(b"(13,'x',0.5,NULL)", b"(13,'x',0.5,NULL,1)"), "not the 4 values"),
        (lambda s: s.replace(b"(13,'x'", b"('13','x'"), "whole number"),
        (lambda s: s.replace(b"(13,'x'", b"(13.5,'x'"), "whole number"),
        (lambda s: s.replace(b"(13,'x'", b"(99999999999999999999,'x'"), "whole number"),
        (lambda s: s.replace(b"(13,'x'", b"(13,0x7g"), "hexadecimal"),
        (lambda s: s.replace(b"(13,'x'", b"(13,X'7 8'"), "hexadecimal"),
        (lambda s: s.replace(b",(13,", b" 13,"), "comma or a closing"),
        (lambda s: s[: s.index(b"(13,") + 5], "cut off"),
        (lambda s: s[: s.index(b"(13,")], "cut off"),
        (lambda s: s.replace(b"CREATE TABLE `t`", b"CREATE TABLE `u`"), "table u"),
        (lambda s: s.replace(b"INSERT INTO `t`", b"INSERT INTO `u`"), "table u"),
        (lambda s: s.replace(b"`t_name`", b"`t_label`"), "no column t_name"),
        (lambda s: s[s.index(b"INSERT") :], "before CREATE TABLE"),
        (lambda s: b"<mediawiki>" + s, "no SQL statement"),
        (lambda s: b"", "no CREATE TABLE"),
    ],
)
def test_broken_dumps_name_file_offset_and_fix(tmp_path, change, says):
    path = tmp_path / "broken.sql"
    text = change(GOOD)
    path.write_bytes(text)
    with pytest.raises(DumpError, match=says) as caught:
        read(path)
    assert "broken.sql" in str(caught.value)
    assert ";" in str(caught.value)  # what to do follows
    if text:
        assert 0 <= caught.value.offset <= len(text)
        assert f"byte {caught.value.offset}" in str(caught.value)


def test_the_offset_points_at_the_fault(tmp_path):
    path = tmp_path / "t.sql"
    text = GOOD.replace(b"(27,'x',0.5,NULL)", b"(27,'x',0.5)")
    path.write_bytes(text)
    with pytest.raises(DumpError) as caught:
        read(path)
    assert text[caught.value.offset :].startswith(b"(27,")


@pytest.mark.parametrize("keep", [0.2, 0.6, 0.95])
def test_truncated_gzip(tmp_path, keep):
    path = tmp_path / "t.sql.gz"
    packed = gzip.compress(
        table_sql("t", COLUMNS, [(i, f"{i * 7919 % 1009}", i / 7, None) for i in range(5000)])
    )
    path.write_bytes(packed[: int(len(packed) * keep)])
    with pytest.raises(DumpError, match="gzip stream ends early") as caught:
        read(path)
    assert "t.sql.gz" in str(caught.value)
    assert caught.value.offset is not None


def test_damaged_gzip(tmp_path):
    path = tmp_path / "t.sql.gz"
    packed = bytearray(gzip.compress(GOOD * 30))
    packed[len(packed) // 2] ^= 0xFF
    path.write_bytes(packed)
    with pytest.raises(DumpError):
        read(path)


def test_gzip_members_one_after_another(tmp_path):
    path = tmp_path / "t.sql.gz"
    path.write_bytes(gzip.compress(GOOD[:700]) + gzip.compress(GOOD[700:]))
    assert len(read(path)[0]) == 40


def test_a_missing_closing_line_is_noticed(tmp_path):
    path = tmp_path / "t.sql"
    path.write_bytes(table_sql("t", COLUMNS, [(1, "x", 0.5, None)], closing=False))
    assert read(path)[1].complete is False


SMALL = b"CREATE TABLE `t` (\n `t_id` int NOT NULL,\n `t_name` varbinary(255)\n) ENGINE=InnoDB COMMENT='a;b (c)';\n"


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (SMALL + b"INSERT INTO `t` VALUES (1,0x4142),(2,X'4a4B' ), (3,_binary 0xF),(4,x'');", [b"AB", b"JK", b"\x0f", b""]),
        (SMALL + b"insert into `t` values (1,null),(2,NULL),(3,'null');", [None, None, b"null"]),
        (SMALL.replace(b"\n", b"\r\n") + b"INSERT INTO `t` (\r\n`t_name`,\r\n`t_id`\r\n) VALUES\r\n('a',1),\r\n('b',2);\r\n", [b"a", b"b"]),
        (b"CREATE TABLE t (t_id int, t_name text); INSERT INTO t VALUES (1,'a;'); INSERT INTO t VALUES (2,'b');", [b"a;", b"b"]),
        (SMALL.replace(b"`", b'"') + b"INSERT INTO \"t\" (\"t_name\",\"t_id\") VALUES ('a',1);", [b"a"]),
        (b"\xef\xbb\xbf# of phpMyAdmin\nSET @x='a;b';\n#\n" + SMALL + b"INSERT INTO `t` VALUES (1,'a');", [b"a"]),
        (b"CREATE TABLE t (\n -- it's; the id\n t_id int, /* a, b */\n t_name text -- last\n);INSERT INTO t VALUES (1,'a');", [b"a"]),
    ],
    ids=["hexadecimal", "null", "crlf", "one line", "ansi", "comments", "comments within"],
)  # fmt: skip
def test_what_other_tools_write(tmp_path, text, found):
    path = tmp_path / "t.sql"
    path.write_bytes(text)
    for block in (4096, 7):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(sql_blocks, "BLOCK_BYTES", block)
            rows, stats = read(path, names=("t_name",))
        assert [r["t_name"] for r in rows] == found
        assert stats.columns == ("t_id", "t_name")


@given(st.lists(st.binary(max_size=40), min_size=1, max_size=20), st.integers(3, 60))
@settings(max_examples=40, deadline=None)
def test_hexadecimal_strings_are_the_same_bytes(tmp_path_factory, values, block):
    path = tmp_path_factory.mktemp("hex") / "t.sql"
    tuples = ",".join(f"({i},0x{v.hex()})" for i, v in enumerate(values))
    path.write_bytes(SMALL + f"INSERT INTO `t` VALUES {tuples};\n".encode())  # noqa: S608 - a file, no database
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sql_blocks, "BLOCK_BYTES", block)
        rows, _ = read(path, names=("t_name",))
    assert [r["t_name"] for r in rows] == values


def test_a_hundred_megabytes_without_a_line_end(tmp_path):
    """Many tuples are read; one string of that size is an error that says where it begins."""
    path = tmp_path / "t.sql"
    one = b"(1,'" + b"x" * 900 + b"'),"
    path.write_bytes(SMALL + b"INSERT INTO `t` VALUES " + one * 110_000 + b"(2,'y');\n")
    assert sum(b.num_rows for b in SqlTable(path, "t").batches(["t_id"])) == 110_001
    start = SMALL + b"INSERT INTO `t` VALUES "
    path.write_bytes(start + b"(1,'" + b"x" * (100 << 20) + b"');\n")
    with pytest.raises(DumpError, match="without end") as caught:
        read(path, names=("t_name",))
    assert caught.value.offset == len(start)
