import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zcurate.curation.errors import UnsafeUriError
from zcurate.curation.uris import (
    base_of,
    check_address,
    check_http_url,
    check_relative,
    check_root,
    decode_name,
    encode_name,
    relative_to,
    resolve_inside,
)


@pytest.mark.parametrize(
    "root",
    [
        "zip://x.zip::s3://b/k",
        "simplecache::s3://b/k",
        "ftp://h/x",
        "https://h/x",
        "s3://b/../c",
        "/a\0b",
        "github://o:r@/",
    ],
)
def test_refused_roots(root):
    with pytest.raises(UnsafeUriError):
        check_root(root)


def test_allowed_roots(tmp_path):
    assert check_root("s3://bucket/folder/") == "s3://bucket/folder"
    assert check_root("memory://x") == "memory://x"
    assert check_root("file:///data/x") == "/data/x"
    assert check_root(str(tmp_path / "a" / "..")) == str(tmp_path)
    assert base_of("s3://bucket/list.JSONL.gz") == "s3://bucket"
    (tmp_path / "odd.tar").mkdir()
    assert base_of(str(tmp_path / "odd.tar")) == str(tmp_path / "odd.tar")


@pytest.mark.parametrize(
    "path",
    [
        "../x",
        "a/../../x",
        "/etc/passwd",
        "C:\\x",
        "c:x",
        "\\\\host\\share",
        "a\\..\\..\\x",
        "a\0b",
        "",
        ".",
        "//",
        "s3://b/k",
        "zip::x",
    ],
)
def test_refused_relative_paths(path):
    with pytest.raises(UnsafeUriError):
        check_relative(path)


def test_relative_paths_in_normal_form():
    assert check_relative("./a//b/./c..jpg") == "a/b/c..jpg"
    assert relative_to("/data", "/data/a/b.jpg") == "a/b.jpg"
    with pytest.raises(UnsafeUriError):
        relative_to("/data", "/database/a.jpg")


def test_symlink_out_of_root(tmp_path):
    root, outside = tmp_path / "root", tmp_path / "outside"
    root.mkdir()
    outside.mkdir()
    (outside / "x.jpg").write_bytes(b"x")
    (root / "real.jpg").write_bytes(b"x")
    (root / "in.jpg").symlink_to("real.jpg")
    (root / "out").symlink_to(outside)
    assert resolve_inside(str(root), "in.jpg").endswith("real.jpg")
    with pytest.raises(UnsafeUriError):
        resolve_inside(str(root), "out/x.jpg")


@given(st.binary(max_size=40))
def test_file_names_survive(raw):
    name = os.fsdecode(raw)
    text = encode_name(name)
    text.encode("utf-8")  # valid text
    assert os.fsencode(decode_name(text)) == raw


@given(st.text(alphabet="%259AFE4a8\udce4\udc80é", max_size=12))
def test_escapes_are_unambiguous(name):
    name = os.fsdecode(os.fsencode(name))
    assert decode_name(encode_name(name)) == name


def test_usual_names_stay_as_they_are():
    for name in ("50%.jpg", "a%20b.jpg", "照片.jpg", "100%25"[:4]):
        assert encode_name(name) == name


@pytest.mark.parametrize(
    "address",
    [
        *("127.0.0.1", "10.1.2.3", "192.168.0.1", "169.254.169.254", "0.0.0.0", "224.0.0.1", "100.64.0.1"),
        *(
            "::1",
            "fe80::1",
            "fe80::1%eth0",
            "fd00::1",
            "::ffff:127.0.0.1",
            "64:ff9b::7f00:1",
            "2002:7f00:1::",
            "::",
        ),
    ],
)
def test_private_addresses_are_refused(address):
    with pytest.raises(UnsafeUriError):
        check_address(address, "example.org")
    assert check_address(address, "example.org", {address}) == address


@pytest.mark.parametrize(
    "address", ["93.184.216.34", "2606:2800:220:1::1", "::ffff:93.184.216.34", "64:ff9b::5db8:d822"]
)
def test_public_addresses(address):
    assert check_address(address, "example.org") == address


@pytest.mark.parametrize(
    "url", ["file:///etc/passwd", "http://", "http://u:p@h/x", "//h/x", "http://h:99999/x", "http://[::1/x"]
)
def test_refused_urls(url):
    with pytest.raises(UnsafeUriError):
        check_http_url(url)
