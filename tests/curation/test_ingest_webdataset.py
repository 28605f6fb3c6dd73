import io
import json
import tarfile

import fsspec
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zcurate.curation.blobs import BlobReader
from zcurate.curation.errors import SampleError, SourceError
from zcurate.curation.ingest import INGEST_ERROR_KEY, ListingCounts, SourceSpec, list_source
from zcurate.curation.ingest.problems import DamagedArchiveError
from zcurate.curation.ingest.tarscan import Member, scan_tar


def listed(root, **options):
    spec = SourceSpec("t", str(root), "webdataset", **options)
    return pa.Table.from_batches(list_source(spec)).to_pylist()


def add(tar, name, data=b"", **fields):
    info = tarfile.TarInfo(name)
    info.size = len(data)
    for field, value in fields.items():
        setattr(info, field, value)
    tar.addfile(info, io.BytesIO(data))


def scan(data):
    return list(scan_tar(lambda offset, length: data[offset : offset + length], len(data)))


@pytest.mark.parametrize("fmt", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_members_sidecars_and_bytes(tmp_path, fmt):
    long = "folder/" + "n" * 90 if fmt == tarfile.USTAR_FORMAT else "folder/" + "n" * 300
    images = {f"{i:04d}.jpg": bytes([i]) * (i * 100) for i in range(20)}
    with tarfile.open(tmp_path / "00000.tar", "w", format=fmt) as tar:
        add(tar, "folder", type=tarfile.DIRTYPE)
        for i, (name, data) in enumerate(images.items()):
            add(tar, f"{i:04d}.txt", f"caption {i}".encode())
            add(tar, name, data)
            add(tar, f"{i:04d}.json", json.dumps({"width": i, "caption": "from json"}).encode())
        add(tar, "0005.cls", b"7")
        add(tar, "./pair.left.PNG", b"left")
        add(tar, "pair.right.webp", b"right")
        add(tar, "pair.txt", b"both")
        add(tar, long + ".avif", b"long")
        add(tar, "._0001.jpg", b"resource fork")
        add(tar, "notes.md", b"x")
    rows = listed(tmp_path)
    reader = BlobReader({"t": str(tmp_path)})
    by_name = {r["member"]: r for r in rows}
    assert len(rows) == len(images) + 3
    for i, (name, data) in enumerate(images.items()):
        row = by_name[name]
        assert reader.read("t", row["uri"], row["container"], name, row["offset"], row["length"]) == data
        assert (row["key"], row["text"]) == (f"{i:04d}", f"caption {i}")
        assert json.loads(row["metadata"])["width"] == i
    assert json.loads(by_name["0005.jpg"]["metadata"])["cls"] == "7"
    assert [r["key"] for r in rows if "pair" in r["member"]] == ["pair", "pair"]
    assert {r["text"] for r in rows if "pair" in r["member"]} == {"both"}
    assert by_name[long + ".avif"]["size_bytes"] == 4
    assert len({r["sample_id"] for r in rows}) == len(rows)


def test_hostile_members_are_error_rows(tmp_path):
    with tarfile.open(tmp_path / "a.tar", "w") as tar:
        add(tar, "good.jpg", b"good")
        add(tar, "../evil.jpg", b"evil")
        add(tar, "/abs.jpg", b"evil")
        add(tar, "C:\\abs.jpg", b"evil")
        add(tar, "good.jpg", b"twice")
        add(tar, "link.jpg", type=tarfile.SYMTYPE, linkname="/etc/passwd")
        add(tar, "hard.jpg", type=tarfile.LNKTYPE, linkname="good.jpg")
        add(tar, "dev.jpg", type=tarfile.CHRTYPE)
        add(tar, "fifo.jpg", type=tarfile.FIFOTYPE)
        add(tar, "sparse.jpg", b"evil", pax_headers={"GNU.sparse.major": "1"})
        add(tar, "sizes.jpg", b"evil", pax_headers={"size": "5"})
        add(tar, "last.jpg", b"last")
    counts = ListingCounts()
    spec = SourceSpec("t", str(tmp_path / "a.tar"), "webdataset")
    rows = pa.Table.from_batches(list_source(spec, counts)).to_pylist()
    reader = BlobReader({"t": spec.blob_root})
    errors = []
    for row in rows:
        if row["container"] == "error":
            with pytest.raises(SampleError) as caught:
                reader.read("t", row["uri"], "error", row["member"], row["offset"], row["length"])
            assert json.loads(row["metadata"])[INGEST_ERROR_KEY] == type(caught.value).__name__
            errors.append(type(caught.value).__name__)
    assert [r["member"] for r in rows if r["container"] == "tar"] == ["good.jpg", "last.jpg"]
    assert errors == [
        *(["UnsafePathError"] * 3),
        "DuplicateMemberError",
        *(["NotARegularFileError"] * 5),
        "ConflictingSizeError",
    ]
    assert counts.errors == len(errors)
    assert len({r["sample_id"] for r in rows}) == len(rows)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.tar"]


@pytest.mark.parametrize("cut", [700, 1024, 1100, 1536 + 600])
def test_truncated_archive_keeps_earlier_rows(tmp_path, cut):
    path = tmp_path / "cut.tar"
    with tarfile.open(path, "w") as tar:
        add(tar, "a.jpg", b"a" * 100)
        add(tar, "b.jpg", b"b" * 600)
    path.write_bytes(path.read_bytes()[:cut])
    rows = listed(tmp_path)
    if cut == 1024:  # ends exactly between two members: nothing tells it from a whole archive
        assert [r["member"] for r in rows] == ["a.jpg"]
    else:
        assert rows[-1]["container"] == "error"
        assert "DamagedArchiveError" in rows[-1]["member"]
        assert "cut.tar" in rows[-1]["member"]
        assert "byte" in rows[-1]["member"]


def _archive():
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        add(tar, "a.jpg", b"aaaa")
        add(tar, "b.jpg", b"bbbb")
    return bytearray(out.getvalue())


def _with_size(field):
    data = _archive()
    header = 1024
    data[header + 124 : header + 136] = field
    data[header + 148 : header + 156] = b" " * 8
    data[header + 148 : header + 156] = b"%06o\0 " % sum(data[header : header + 512])
    return bytes(data)


@pytest.mark.parametrize(
    "field",
    [
        b"\xff" * 12,
        b"\x80" + b"\xff" * 11,
        b"99999999999\0",
        b"garbage!!!!\0",
        b"77777777777\0",
        b"-0000000001\0",
    ],
)
def test_size_field_attacks(field):
    first, second = scan(_with_size(field))
    assert isinstance(first, Member)
    assert isinstance(second, DamagedArchiveError)
    assert "byte 1024" in str(second)


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 3000), st.integers(0, 255)), min_size=1, max_size=8))
def test_any_damage_ends_in_members_or_one_error(changes):
    data = _archive()
    for at, value in changes:
        data[at % len(data)] = value
    items = scan(bytes(data))
    assert all(isinstance(i, Member) for i in items[:-1])
    for item in items:
        if isinstance(item, Member):
            assert 0 <= item.length <= len(data)
            assert item.offset + item.length <= len(data)


@settings(max_examples=40, deadline=None)
@given(
    st.dictionaries(
        st.text(alphabet="abcé/ü%E4 ._-", min_size=1, max_size=150), st.binary(max_size=1200), max_size=6
    ),
    st.sampled_from([tarfile.GNU_FORMAT, tarfile.PAX_FORMAT]),
)
def test_scanner_agrees_with_tarfile(members, fmt):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=fmt) as tar:
        for name, data in members.items():
            add(tar, name, data)
    data = out.getvalue()
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        expected = [(m.offset_data, m.size) for m in tar if m.isreg()]
    found = scan(data)
    assert [(m.offset, m.length) for m in found if not m.is_folder] == expected


def test_compressed_archives(tmp_path):
    with tarfile.open(tmp_path / "x.tar.gz", "w:gz") as tar:
        add(tar, "a.jpg", b"a")
    with tarfile.open(tmp_path / "y.tar", "w") as tar:
        add(tar, "a.jpg", b"a")
    with pytest.raises(SourceError, match="gunzip"):
        listed(tmp_path / "x.tar.gz")
    assert [r["container"] for r in listed(tmp_path)] == ["error", "tar"]


def test_changed_archive_is_noticed(tmp_path):
    with tarfile.open(tmp_path / "a.tar", "w") as tar:
        add(tar, "a.jpg", b"a" * 100)
    (row,) = listed(tmp_path)
    with tarfile.open(tmp_path / "a.tar", "w") as tar:
        add(tar, "a.jpg", b"a" * 101)
    with pytest.raises(SampleError, match="ingest it again"):
        BlobReader({"t": str(tmp_path)}).read("t", "a.tar", "tar", "a.jpg", row["offset"], row["length"])


def test_not_local():
    fs = fsspec.filesystem("memory")
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        add(tar, "a.jpg", b"remote")
        add(tar, "a.txt", b"text")
    fs.pipe_file("/tars/x/00000.tar", out.getvalue())
    (row,) = listed("memory://tars")
    assert (row["uri"], row["text"]) == ("x/00000.tar", "text")
    reader = BlobReader({"t": "memory://tars"})
    assert reader.read("t", row["uri"], "tar", row["member"], row["offset"], row["length"]) == b"remote"
