"""Keys: safe for any reader and file system, unique, reversible."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from webdataset.tariterators import base_plus_ext

from zcurate.curation.export import original_key, safe_key
from zcurate.curation.export.formats import IMAGE_EXTENSIONS, extension_of
from zcurate.curation.export.keys import MAX_COMPONENT_BYTES, MAX_KEY_BYTES, KeyAllocator

# Path-like strings on purpose: dots, slashes, escapes and marks come up often.
KEYS = st.one_of(
    st.text(max_size=60),
    st.text(alphabet="ab./\\%~_ \x00\n‮图é", max_size=40),
    st.text(alphabet="a/.图", min_size=200, max_size=1200),
)


@given(KEYS)
def test_stem_is_safe(key: str) -> None:
    stem = safe_key(key)
    parts = stem.split("/")
    assert all(parts)
    assert "." not in stem
    assert "\\" not in stem
    assert stem.isprintable()
    assert not any(p.startswith("__") for p in parts)
    assert max(len(p.encode()) for p in parts) <= MAX_COMPONENT_BYTES
    assert len(stem.encode()) <= MAX_KEY_BYTES


@given(KEYS)
def test_stem_is_reversible(key: str) -> None:
    back = original_key(safe_key(key))
    assert back == key or (back is None and len(safe_key(key).rsplit("~", 1)[1]) == 32)


@given(KEYS)
def test_webdataset_splits_the_member_name_back_into_stem_and_extension(key: str) -> None:
    stem = safe_key(key)
    assert base_plus_ext(f"{stem}.jpg") == (stem, "jpg")


@given(st.lists(KEYS, max_size=30))
def test_stems_of_one_export_are_unique_even_without_case(keys: list[str]) -> None:
    allocator = KeyAllocator()
    stems = [allocator.allocate(key, i.to_bytes(16, "big")) for i, key in enumerate(keys)]
    assert len({s.casefold() for s in stems}) == len(keys)


def test_ordinary_keys_are_kept() -> None:
    for key in ("000012345", "cats/tabby 01", "图像/猫", "a-b_c+d=e(1)"):
        assert safe_key(key) == key
    assert safe_key("../../etc/passwd") == "%2E%2E/%2E%2E/etc/passwd"
    assert safe_key("/abs") == "%2Fabs"


def test_extension_never_comes_from_input_text() -> None:
    assert extension_of("../../x", b"nothing known") == "bin"
    assert extension_of(None, b"\xff\xd8\xff\xe0") == "jpg"
    assert extension_of("MPO") == "jpg"
    assert extension_of("WEBP") in IMAGE_EXTENSIONS
