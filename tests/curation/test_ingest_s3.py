"""Listing and reading from an S3-compatible server."""

import io
import tarfile

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from zcurate.curation.blobs import BlobReader, MissingFileError
from zcurate.curation.ingest import SourceSpec, list_source

pytest.importorskip("s3fs", reason="needs the s3 extra")
moto_server = pytest.importorskip("moto.server", reason="needs moto")


@pytest.fixture
def options():
    server = moto_server.ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    host, port = server.get_host_and_port()
    yield {
        "key": "k",
        "secret": "s",
        "endpoint_url": f"http://{host}:{port}",
        "client_kwargs": {"region_name": "eu-west-1"},
    }
    server.stop()


def test_every_kind_on_s3(options):
    import s3fs

    fs = s3fs.S3FileSystem(**options)
    fs.mkdir("bucket")
    tar, table = io.BytesIO(), io.BytesIO()
    with tarfile.open(fileobj=tar, mode="w") as archive:
        info = tarfile.TarInfo("a.jpg")
        info.size = 3
        archive.addfile(info, io.BytesIO(b"tar"))
    pq.write_table(pa.table({"image": [b"cell"]}), table)
    fs.pipe_file("bucket/folder/x.jpg", b"file")
    fs.pipe_file("bucket/folder/x.txt", b"caption")
    fs.pipe_file("bucket/tars/0.tar", tar.getvalue())
    fs.pipe_file("bucket/tables/0.parquet", table.getvalue())
    fs.pipe_file("bucket/folder/list.csv", b"path\nx.jpg\nmissing.jpg\n")
    found = {}
    for kind, root in [
        ("folder", "folder"),
        ("webdataset", "tars"),
        ("parquet", "tables"),
        ("manifest", "folder/list.csv"),
    ]:
        spec = SourceSpec(kind, f"s3://bucket/{root}", kind, storage_options=options)
        rows = pa.Table.from_batches(list_source(spec)).to_pylist()
        reader = BlobReader({kind: spec.blob_root}, storage_options={kind: options})
        row = rows[0]
        found[kind] = reader.read(
            kind, row["uri"], row["container"], row["member"], row["offset"], row["length"]
        )
        if kind == "folder":
            assert (row["text"], row["size_bytes"]) == ("caption", 4)
            assert row["etag"]
        if kind == "manifest":
            with pytest.raises(MissingFileError):
                reader.read(kind, rows[1]["uri"], "file")
    assert found == {"folder": b"file", "webdataset": b"tar", "parquet": b"cell", "manifest": b"file"}
