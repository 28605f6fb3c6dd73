import json
from pathlib import Path

import datasets
import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from zcurate.curation.blobs import BlobReader
from zcurate.curation.errors import SampleError, SourceError
from zcurate.curation.ingest import SourceSpec, detect_kind, list_source

SHARED = Path(__file__).resolve().parents[3] / "shared" / "data"


def listed(root, **options):
    spec = SourceSpec("p", str(root), "parquet", **options)
    return spec, pa.Table.from_batches(list_source(spec)).to_pylist()


def read(reader, row):
    return reader.read("p", row["uri"], row["container"], row["member"], row["offset"], row["length"])


def test_img2dataset_layout(tmp_path):
    table = pa.table(
        {
            "url": ["http://h/1", "http://h/2", "http://h/3"],
            "caption": ["one", None, "three"],
            "key": ["000000000", "000000001", "000000002"],
            "status": ["success", "failed_to_download", "success"],
            "error_message": [None, "HTTP Error 404", None],
            "width": [1, None, 3],
            "similarity": [0.5, float("nan"), 0.25],
            "jpg": [b"1", None, b"333"],
        }
    )
    pq.write_table(table, tmp_path / "00000.parquet")
    spec, rows = listed(tmp_path)
    assert [(r["key"], r["member"], r["offset"], r["text"]) for r in rows[::2]] == [
        ("000000000", "jpg", 0, "one"),
        ("000000002", "jpg", 2, "three"),
    ]
    assert json.loads(rows[0]["metadata"])["similarity"] == 0.5
    reader = BlobReader({"p": spec.blob_root})
    assert [read(reader, r) for r in rows[::2]] == [b"1", b"333"]
    with pytest.raises(SampleError, match="404"):
        read(reader, rows[1])


def test_hugging_face_image_columns(tmp_path):
    features = datasets.Features(
        {
            "image": datasets.Image(),
            "target": datasets.Image(),
            "text": datasets.Value("string"),
            "label": datasets.ClassLabel(names=["x", "y"]),
        }
    )
    (tmp_path / "beside.png").write_bytes(b"beside")
    values = {
        "image": [
            {"bytes": b"a", "path": None},
            {"bytes": None, "path": "beside.png"},
            {"bytes": None, "path": "../x"},
        ],
        "target": [{"bytes": b"%d" % i, "path": None} for i in range(3)],
        "text": ["t0", "t1", "t2"],
        "label": [0, 1, 0],
    }
    table = pa.table(values, schema=features.arrow_schema)
    pq.write_table(table, tmp_path / "train.parquet")
    spec, rows = listed(tmp_path / "train.parquet")
    assert [r["key"] for r in rows[:2]] == ["train_00000000_image", "train_00000001_image"]
    assert len({r["sample_id"] for r in rows}) == 6
    assert json.loads(rows[1]["metadata"]) == {"label": 1}
    reader = BlobReader({"p": spec.blob_root})
    assert [read(reader, r) for r in rows[:2]] == [b"a", b"beside"]
    with pytest.raises(SampleError, match=r"\.\."):
        read(reader, rows[2])
    assert [read(reader, r) for r in rows[3:]] == [b"0", b"1", b"2"]
    assert [r["member"] for r in listed(tmp_path, image_column="target")[1]] == ["target"] * 3


def test_paths_in_a_table(tmp_path):
    (tmp_path / "a.jpg").write_bytes(b"a")
    pq.write_table(
        pa.table({"file_name": ["a.jpg", "../b.jpg", None], "tags": [["x"], [], None]}),
        tmp_path / "t.parquet",
    )
    _, rows = listed(tmp_path)
    assert [r["container"] for r in rows] == ["file", "error", "error"]
    assert json.loads(rows[0]["metadata"]) == {"tags": ["x"]}
    pq.write_table(pa.table({"x": [1]}), tmp_path / "t.parquet")
    with pytest.raises(SourceError, match="image_column"):
        listed(tmp_path)


def test_damaged_table_is_an_error_row(tmp_path):
    pq.write_table(pa.table({"image": [b"x"]}), tmp_path / "a.parquet")
    (tmp_path / "b.parquet").write_bytes((tmp_path / "a.parquet").read_bytes()[:-10])
    _, rows = listed(tmp_path)
    assert [r["container"] for r in rows] == ["parquet", "error"]


@pytest.mark.parametrize("cache_bytes", [64 << 20, 5000, 10])
def test_row_groups_in_any_order_and_bounded_cache(tmp_path, cache_bytes):
    blobs = [bytes([i % 256]) * (500 + i) for i in range(100)]
    pq.write_table(pa.table({"image": blobs}), tmp_path / "a.parquet", row_group_size=30, compression="none")
    spec, rows = listed(tmp_path)
    with BlobReader({"p": spec.blob_root}, cache_bytes=cache_bytes) as reader:
        for i in [*range(100), 99, 0, 31, 30, 5, 98]:
            assert read(reader, rows[i]) == blobs[i]
        with pytest.raises(SampleError, match="ingest it again"):
            reader.read("p", "a.parquet", "parquet", "image", 100)


def test_not_local(tmp_path):
    pq.write_table(pa.table({"image": [b"x", b"y"], "caption": ["1", "2"]}), tmp_path / "a.parquet")
    fsspec.filesystem("memory").pipe_file("/tables/a.parquet", (tmp_path / "a.parquet").read_bytes())
    spec, rows = listed("memory://tables")
    assert [read(BlobReader({"p": spec.blob_root}), r) for r in rows] == [b"x", b"y"]


def test_url_tables_are_for_fetch():
    path = SHARED / "laion-urls" / "test_1000.parquet"
    if not path.exists():
        pytest.skip("the shared LAION list is not here")
    assert detect_kind(str(path)) == "parquet"
    with pytest.raises(SourceError, match="fetch"):
        listed(path)
