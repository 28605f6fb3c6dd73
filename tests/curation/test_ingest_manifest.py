import csv
import gzip
import io
import json

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zcurate.curation.errors import SourceError
from zcurate.curation.ingest import SourceSpec, list_source
from zcurate.curation.ingest.ids import OccurrenceCounter, sample_id, sample_ids
from zcurate.curation.ingest.lines import Block, csv_header, parse_csv, parse_jsonl, read_blocks
from zcurate.curation.ingest.manifest import _from_rows, _from_table
from zcurate.curation.ingest.tables import csv_table, jsonl_table

SPEC = SourceSpec("m", "/data/m.jsonl", "manifest")


def listed(path, **options):
    spec = SourceSpec("m", str(path), "manifest", **options)
    return pa.Table.from_batches(list_source(spec)).to_pylist()


def test_jsonl_with_bad_lines(tmp_path):
    lines = [
        '{"path": "a/1.jpg", "caption": "one", "n": 1, "s": 0.5}',
        "not json",
        '{"path": "../../etc/passwd"}',
        '{"caption": "no path"}',
        "[1]",
        "",
        '{"path": "./a/2.jpg", "text": "two\\u0000\\ud83d", "nested": {"k": [1]}}',
        '{"path": "https://example.org/x.jpg"}',
        '{"path": "a/1.jpg", "caption": "again"}',
        json.dumps({"path": f"{tmp_path}/abs.jpg", "license": "CC-BY"}),
        '{"path": "\\udce4.jpg"}',
    ]
    (tmp_path / "m.jsonl").write_text("\ufeff" + "\r\n".join(lines))
    rows = listed(tmp_path / "m.jsonl", license="CC0")
    assert [r["uri"] for r in rows if r["container"] == "file"] == [
        "a/1.jpg",
        "a/2.jpg",
        "a/1.jpg",
        "abs.jpg",
        "?.jpg",
    ]
    errors = [(r["offset"], r["member"].split(":")[0]) for r in rows if r["container"] == "error"]
    bad = "BadLineError"
    assert errors == [(2, bad), (3, "UnsafePathError"), (4, bad), (5, bad), (8, "UnsafePathError")]
    assert len({r["sample_id"] for r in rows}) == len(rows) == 10
    assert [r["key"] for r in rows if r["uri"] == "a/1.jpg"] == ["a/1", "a/1~2"]
    two = next(r for r in rows if r["uri"] == "a/2.jpg")
    assert (two["text"], json.loads(two["metadata"])) == ("two\ufffd", {"nested": {"k": [1]}})
    assert next(r for r in rows if r["uri"] == "abs.jpg")["license"] == "CC-BY"
    assert (two["license"], two["size_bytes"], two["etag"]) == ("CC0", None, None)


def test_csv(tmp_path):
    (tmp_path / "1.jpg").write_bytes(b"123")
    with gzip.open(tmp_path / "m.csv.gz", "wt", newline="") as f:
        f.write('file_name,caption,empty\n1.jpg,"two\nlines, ""quoted""",\n2.jpg,x\n3.jpg,\xe9,3\n')
    rows = listed(tmp_path / "m.csv.gz", stat=True)
    assert [(r["uri"], r["container"], r["offset"]) for r in rows] == [
        ("1.jpg", "file", None),
        ("m.csv.gz", "error", 4),
        ("3.jpg", "file", None),
    ]
    assert (rows[0]["text"], rows[0]["metadata"], rows[0]["size_bytes"]) == ('two\nlines, "quoted"', None, 3)
    assert (rows[2]["text"], rows[2]["metadata"], rows[2]["size_bytes"]) == ("é", '{"empty":"3"}', None)


def test_truncated_gzip_keeps_the_rows_before(tmp_path):
    data = gzip.compress("".join(f'{{"path": "{i}.jpg"}}\n' for i in range(5000)).encode())
    (tmp_path / "m.jsonl.gz").write_bytes(data[: len(data) * 2 // 3])
    rows = listed(tmp_path / "m.jsonl.gz")
    assert rows[-1]["member"].startswith("DamagedArchiveError")
    assert rows[0]["uri"] == "0.jpg"


def test_refusals(tmp_path):
    (tmp_path / "u.csv").write_text("url,caption\nhttps://example.org/a.jpg,x\n")
    with pytest.raises(SourceError, match="fetch"):
        listed(tmp_path / "u.csv")
    (tmp_path / "n.csv").write_text("name,caption\na,x\n")
    with pytest.raises(SourceError, match="path_column"):
        listed(tmp_path / "n.csv")


def test_long_text_and_metadata_are_cut(tmp_path):
    line = {"path": "a.jpg", "text": "é" * 100_000, "big": "x" * 300_000}
    (tmp_path / "m.jsonl").write_text(json.dumps(line) + "\n")
    (row,) = listed(tmp_path / "m.jsonl")
    assert len(row["text"].encode()) == 64 << 10
    assert json.loads(row["metadata"]) == {"_metadata_too_long_bytes": 300_010}


scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.floats(allow_nan=False),
    st.text(max_size=12),
    st.sampled_from(["2020-01-01", "2020-01-01 10:00:00", "1", "true", "null", '"', "\\", "a\tb", "\u2028"]),
    st.lists(st.integers(0, 3), max_size=2),
)
rows_strategy = st.lists(
    st.fixed_dictionaries(
        {"path": st.sampled_from(["a.jpg", "b/c.png", "日本/1.webp"])},
        optional={n: scalars for n in ("text", "caption", "a", "Z", 'q"x', "key", "license")},
    ),
    min_size=1,
    max_size=5,
)


def _equal(fast, exact):
    for name in ("paths", "texts"):
        assert getattr(fast, name).to_pylist() == getattr(exact, name).to_pylist()
    for a, b in zip(fast.metadata.to_pylist(), exact.metadata.to_pylist(), strict=True):
        assert (a and json.loads(a)) == (b and json.loads(b))
    for name in ("keys", "licenses"):
        column = getattr(fast, name)
        if column is not None:
            assert column.to_pylist() == getattr(exact, name).to_pylist()


@settings(max_examples=300, deadline=None)
@given(rows_strategy, st.booleans())
def test_fast_jsonl_means_the_same_as_the_exact_parser(rows, ascii_only):
    data = "".join(json.dumps(r, ensure_ascii=ascii_only) + "\n" for r in rows)
    block = Block(data.encode("utf-8", "replace"), 1)
    table = jsonl_table(block, set())
    fast = None if table is None else _from_table(SPEC, table, block)
    if fast is not None:
        _equal(fast, _from_rows(SPEC, parse_jsonl(block)))


@settings(max_examples=200, deadline=None)
@given(st.lists(st.lists(st.text(max_size=8), min_size=3, max_size=3), min_size=1, max_size=5))
def test_fast_csv_means_the_same_as_the_exact_parser(records):
    out = io.StringIO(newline="")
    writer = csv.writer(out)
    writer.writerows([["path", "caption", "c"], *([f"p{r[0]}", *r[1:]] for r in records)])
    header, block = csv_header(Block(out.getvalue().encode("utf-8", "replace"), 1))
    table = csv_table(block, header)
    fast = None if table is None else _from_table(SPEC, table, block)
    if fast is not None:
        _equal(fast, _from_rows(SPEC, parse_csv(block, header)))


def test_fast_path_is_taken():
    block = Block(b'{"path": "a.jpg", "text": "x", "n": 1, "d": "2020-01-01"}\n' * 3, 1)
    assert (
        _from_table(SPEC, jsonl_table(block, set()), block).metadata[0].as_py() == '{"d":"2020-01-01","n":1}'
    )


def test_blocks_end_at_records(monkeypatch):
    monkeypatch.setattr("zcurate.curation.ingest.lines.BLOCK_BYTES", 50)
    data = b"".join(b'%d,"a\n""b""\n",c\n' % i for i in range(100))
    blocks = list(read_blocks(io.BytesIO(data), quoted_newlines=True))
    assert b"".join(b.data for b in blocks) == data
    assert len(blocks) > 20
    assert all(b.data.count(b'"') % 2 == 0 for b in blocks)
    assert [b.first_line for b in blocks] == [1 + 3 * int(b.data.split(b",")[0]) for b in blocks]


@given(st.lists(st.lists(st.integers(0, 20), max_size=15), max_size=12))
def test_occurrence_counter(batches):
    counter, seen = OccurrenceCounter(), {}
    for batch in batches:
        expected = []
        for i, n in enumerate(batch):
            seen[n] = seen.get(n, 0) + 1
            if seen[n] > 1:
                expected.append((i, seen[n]))
        assert list(counter.count([sample_id("s", str(n), None, None) for n in batch])) == expected


def test_sample_ids_are_unambiguous_and_stable():
    places = [
        ("s", "ab", "c", None),
        ("s", "a", "bc", None),
        ("sa", "b", "c", None),
        ("s", "abc", None, None),
    ]
    places += [("s", "abc", "", None), ("s", "abc", None, 0), ("s", "abc", None, -1)]
    ids = [sample_id(*p) for p in places]
    assert len(set(ids)) == len(ids)
    assert sample_ids("s", ["abc", "é"]) == [ids[3], sample_id("s", "é", None, None)]
    assert ids[3].hex() == "a31720a8faff37e094e9ed7ee5062ada"
