import json
import os

import fsspec
import pyarrow as pa
import pytest

from zcurate.curation.blobs import BlobReader
from zcurate.curation.errors import ConfigError, SampleError, SourceError, UnsafeUriError
from zcurate.curation.ingest import (
    LISTING_SCHEMA,
    ListingCounts,
    SourceSpec,
    detect_kind,
    list_source,
    tar_safe_key,
)


def listed(root, counts=None, **options):
    spec = SourceSpec("f", str(root), "folder", **options)
    return pa.Table.from_batches(list_source(spec, counts)).to_pylist()


@pytest.fixture
def tree(tmp_path):
    for name, data in {
        "b.JPG": b"b",
        "b.txt": "caption \0 of b\n",
        "b.json": json.dumps({"caption": "json", "author": "x\ud800", "n": None}),
        "a/z.webp": b"z",
        "a/z.json": "[broken",
        "a/same.png": b"1",
        "a/same.jpg": b"2",
        "notes.docx": b"",
        ".hidden.jpg": b"",
        ".git/x.jpg": b"",
        "lonely.txt": b"",
        "c/metadata.jsonl": '{"file_name": "one.png", "text": "from table", "k": 1}\nbroken\n',
        "c/one.png": b"one",
    }.items():
        path = tmp_path / "root" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data.encode() if isinstance(data, str) else data)
    return tmp_path / "root"


def test_folder(tree):
    counts = ListingCounts()
    rows = listed(tree, counts, license="CC0", origin="camera")
    assert [r["uri"] for r in rows] == ["b.JPG", "a/same.jpg", "a/same.png", "a/z.webp", "c/one.png"]
    assert [r["key"] for r in rows] == ["b", "a/same_jpg", "a/same_png", "a/z", "c/one"]
    b, z, one = rows[0], rows[3], rows[4]
    assert b["text"] == "caption  of b"
    assert json.loads(b["metadata"]) == {"author": "x\ufffd"}
    assert json.loads(z["metadata"]) == {"_unparsed": "[broken"}
    assert (one["text"], json.loads(one["metadata"])) == ("from table", {"k": 1})
    assert (b["license"], b["origin"], b["size_bytes"]) == ("CC0", "camera", 1)
    assert b["etag"] == str((tree / "b.JPG").stat().st_mtime_ns)
    assert (counts.rows, counts.errors, counts.skipped_extension) == (5, 0, 1)
    assert (counts.skipped_hidden, counts.unmatched_captions) == (2, 1)
    assert pa.Table.from_batches(list_source(SourceSpec("f", str(tree), "folder"))).schema == LISTING_SCHEMA
    assert [r["sample_id"] for r in listed(tree)] == [r["sample_id"] for r in rows]
    every = [r["uri"] for r in listed(tree, all_files=True)]
    assert {"notes.docx", "lonely.txt"} <= set(every)


def test_same_rows_on_another_file_system(tree):
    fs = fsspec.filesystem("memory")
    for path in tree.rglob("*"):
        if path.is_file():
            fs.pipe_file(f"/same/{path.relative_to(tree)}", path.read_bytes())
    local, remote = listed(tree), listed("memory://same")
    assert [r["sample_id"] for r in remote] == [r["sample_id"] for r in local]
    for name in ("key", "text", "metadata", "size_bytes"):
        assert [r[name] for r in remote] == [r[name] for r in local]
    assert BlobReader({"f": "memory://same"}).read("f", "c/one.png", "file") == b"one"


def test_links_pipes_and_odd_names(tmp_path):
    root = tmp_path / "root"
    (root / "sub").mkdir(parents=True)
    (tmp_path / "secret.jpg").write_bytes(b"secret")
    (root / "real.jpg").write_bytes(b"real")
    (root / "inside.jpg").symlink_to("real.jpg")
    (root / "out.jpg").symlink_to("../secret.jpg")
    (root / "loop").symlink_to(".")
    (root / "dangling.jpg").symlink_to("nothing.jpg")
    os.mkfifo(root / "pipe.jpg")
    os.mkfifo(root / "real.txt")
    odd = os.fsencode(root) + b"/\xff\xe4 %E4.jpg"
    with open(odd, "wb") as f:
        f.write(b"odd")
    counts = ListingCounts()
    rows = {r["uri"]: r for r in listed(root, counts)}
    reader = BlobReader({"f": str(root)})
    results = {}
    for uri, row in rows.items():
        try:
            results[uri] = reader.read(
                "f", uri, row["container"], row["member"], row["offset"], row["length"]
            )
        except SampleError as e:
            results[uri] = type(e).__name__
    assert results == {
        "%FF%E4 %25E4.jpg": b"odd",
        "dangling.jpg": "UnreadableFolderError",
        "inside.jpg": b"real",
        "out.jpg": "UnsafePathError",
        "pipe.jpg": "NotARegularFileError",
        "real.jpg": b"real",
    }
    assert counts.skipped_folder_links == 1


def test_errors_of_the_user(tmp_path):
    with pytest.raises(SourceError, match="does not exist"):
        listed(tmp_path / "missing")
    with pytest.raises(SourceError, match="nothing to ingest"):
        listed(tmp_path)
    with pytest.raises(ConfigError, match="kind"):
        SourceSpec("x", str(tmp_path), "zip")
    with pytest.raises(UnsafeUriError):
        SourceSpec("x", "https://example.org/x", "folder")


def test_detect_kind(tmp_path, tree):
    (tree / "one-of-many.tar").write_bytes(b"")
    assert detect_kind(str(tree)) == "folder"
    assert detect_kind(str(tree / "c" / "metadata.jsonl")) == "manifest"
    for name, kind in (("x.csv.gz", "manifest"), ("y.parquet", "parquet"), ("z.tar", "webdataset")):
        (tmp_path / "kinds").mkdir(exist_ok=True)
        (tmp_path / "kinds" / name).write_bytes(b"")
        assert detect_kind(str(tmp_path / "kinds")) == kind


def test_tar_safe_key():
    assert tar_safe_key("a/b.c/../d e") == "a/b_c/d e"
    assert tar_safe_key("/..") == "_"
    assert tar_safe_key("照片/1") == "照片/1"
