import os

import pytest
from ray import cloudpickle

from zcurate.curation.blobs import BlobReader, ChangedFileError, FileTooLargeError, MissingFileError
from zcurate.curation.errors import SampleError, UnsafeUriError
from zcurate.curation.ingest.problems import BadLineError, NotARegularFileError


@pytest.fixture
def root(tmp_path):
    (tmp_path / "root" / "sub").mkdir(parents=True)
    (tmp_path / "root" / "sub" / "a.jpg").write_bytes(b"0123456789")
    (tmp_path / "secret").write_bytes(b"secret")
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "b.jpg").write_bytes(b"outside")
    return tmp_path / "root"


def test_reads_files(root):
    reader = BlobReader({"s": str(root)})
    assert reader.read("s", "sub/a.jpg", "file") == b"0123456789"
    assert reader.read("s", "sub/a.jpg", "file", length=10) == b"0123456789"
    (root / "list.csv").write_text("path\n")
    assert BlobReader({"s": str(root / "list.csv")}).read("s", "sub/a.jpg", "file") == b"0123456789"


def test_typed_errors(root):
    reader = BlobReader({"s": str(root)}, limit_bytes=9)
    os.mkfifo(root / "fifo.jpg")
    cases = [
        (("s", "gone.jpg", "file"), MissingFileError),
        (("other", "sub/a.jpg", "file"), MissingFileError),
        (("s", "sub/a.jpg", "file", None, None, 11), FileTooLargeError),
        (("s", "sub/a.jpg", "file", None, None, 5), ChangedFileError),
        (("s", "sub/a.jpg", "file"), FileTooLargeError),
        (("s", "fifo.jpg", "file"), NotARegularFileError),
        (("s", "sub", "file"), NotARegularFileError),
        (("s", "sub/a.jpg/x", "file"), MissingFileError),
        (("s", "x", "error", "BadLineError: line 3"), BadLineError),
        (("s", "x", "error", None), SampleError),
        (("s", "sub/a.jpg", "zip"), SampleError),
        (("s", "sub/a.jpg", "tar", "m", 512, 5), ChangedFileError),
        (("s", "sub/a.jpg", "tar", "m", 0, 5), ChangedFileError),
        (("s", "sub/a.jpg", "parquet", "m", 0), ChangedFileError),
    ]
    for arguments, error in cases:
        with pytest.raises(error) as caught:
            reader.read(*arguments)
        assert isinstance(caught.value, SampleError), arguments


def test_never_leaves_the_root(root):
    (root / "link.jpg").symlink_to("../secret")
    (root / "folder").symlink_to("../outside")
    (root / "inner.jpg").symlink_to("sub/a.jpg")
    reader = BlobReader({"s": str(root)})
    assert reader.read("s", "inner.jpg", "file") == b"0123456789"
    for uri in ("link.jpg", "folder/b.jpg", "../secret", str(root.parent / "secret"), "sub/../../secret"):
        for container in ("file", "tar", "parquet"):
            with pytest.raises(UnsafeUriError) as caught:
                reader.read("s", uri, container, "m", 512, 1)
            assert isinstance(caught.value, SampleError)


def test_travels_to_workers_and_frees_descriptors(root):
    for i in range(40):
        (root / f"{i}.tar").write_bytes(bytes(2048))
    reader = BlobReader({"s": str(root)})
    before = len(os.listdir("/proc/self/fd")) if os.path.exists("/proc/self/fd") else 0
    for i in range(40):
        with pytest.raises(ChangedFileError):
            reader.read("s", f"{i}.tar", "tar", "m", 512, 5)
    copy = cloudpickle.loads(cloudpickle.dumps(reader))
    assert copy.read("s", "sub/a.jpg", "file") == b"0123456789"
    reader.close()
    if before:
        assert len(os.listdir("/proc/self/fd")) <= before
