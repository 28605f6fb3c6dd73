"""C2PA content credentials: found in every container, read from CBOR, believed only for what they say."""

from __future__ import annotations

import io
import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from zcurate.curation.profile.metadata import read_metadata
from zcurate.curation.profile.metadata.cbor import read_cbor

PICTURE = Image.new("RGB", (16, 12), (30, 90, 60))
SOURCE = "http://cv.iptc.org/newscodes/digitalsourcetype/"


def cbor(value: Any) -> bytes:
    """A CBOR encoder for what manifests hold."""

    def head(major: int, n: int) -> bytes:
        if n < 24:
            return bytes((major << 5 | n,))
        return bytes((major << 5 | 26,)) + struct.pack(">I", n)

    if value is None or isinstance(value, bool):
        return bytes(({None: 0xF6, True: 0xF5, False: 0xF4}[value],))
    if isinstance(value, float):
        return b"\xfb" + struct.pack(">d", value)
    if isinstance(value, int):
        return head(0, value) if value >= 0 else head(1, -1 - value)
    if isinstance(value, bytes):
        return head(2, len(value)) + value
    if isinstance(value, str):
        return head(3, len(value.encode())) + value.encode()
    if isinstance(value, list):
        return head(4, len(value)) + b"".join(map(cbor, value))
    return head(5, len(value)) + b"".join(cbor(k) + cbor(v) for k, v in value.items())


def box(kind: bytes, *content: bytes) -> bytes:
    body = b"".join(content)
    return struct.pack(">I", 8 + len(body)) + kind + body


def superbox(label: str, *content: bytes) -> bytes:
    return box(b"jumb", box(b"jumd", bytes(16), b"\3", label.encode(), b"\0"), *content)


def manifest(label: str, generator: str, *actions: dict[str, Any], extra: bytes = b"") -> bytes:
    assertion = superbox("c2pa.actions.v2", box(b"cbor", cbor({"actions": list(actions)})))
    thumbnail = superbox(
        "c2pa.thumbnail.claim.jpeg", box(b"bfdb", b"\0image/jpeg\0"), box(b"bidb", bytes(300))
    )
    claim = cbor({"claim_generator_info": [{"name": generator, "version": "1.0"}], "alg": "sha256"})
    signature = superbox("c2pa.signature", box(b"cbor", b"\xd2" + cbor([b"key", {}, None, b"signature"])))
    return superbox(
        label,
        superbox("c2pa.assertions", thumbnail, assertion, extra),
        superbox("c2pa.claim.v2", box(b"cbor", claim)),
        signature,
    )


def created(source_type: str, agent: str = "a program") -> dict[str, Any]:
    return {
        "action": "c2pa.created",
        "digitalSourceType": SOURCE + source_type,
        "softwareAgent": {"name": agent},
    }


def saved(format: str, **options: object) -> bytes:
    stream = io.BytesIO()
    PICTURE.save(stream, format, **options)
    return stream.getvalue()


def in_jpeg(store: bytes, part_bytes: int = 60_000) -> bytes:
    """The store in APP11 segments, each with the header of the box."""
    plain, body = saved("JPEG"), store[8:]
    segments = b""
    for i, at in enumerate(range(0, len(body), part_bytes)):
        payload = b"JP" + struct.pack(">HI", 1, i + 1) + store[:8] + body[at : at + part_bytes]
        segments += struct.pack(">BBH", 0xFF, 0xEB, len(payload) + 2) + payload
    return plain[:2] + segments + plain[2:]


def in_png(store: bytes) -> bytes:
    plain = saved("PNG")
    return plain[:33] + struct.pack(">I", len(store)) + b"caBX" + store + bytes(4) + plain[33:]


def in_webp(store: bytes) -> bytes:
    body = saved("WEBP")[8:] + b"C2PA" + struct.pack("<I", len(store)) + store + bytes(len(store) % 2)
    return b"RIFF" + struct.pack("<I", len(body)) + body


def in_tiff(store: bytes) -> bytes:
    fields = Image.Exif()
    fields[0xCD41] = store
    return saved("TIFF", exif=fields)


def in_gif(store: bytes) -> bytes:
    blocks = b"".join(
        bytes((len(store[i : i + 255]),)) + store[i : i + 255] for i in range(0, len(store), 255)
    )
    return saved("GIF")[:-1] + b"!\xff\x0bC2PA_GIF\1\0\0" + blocks + b"\0;"


def in_avif(store: bytes) -> bytes:
    uuid = bytes.fromhex("d8fec3d61b0e483c92975828877ec481")
    return saved("AVIF") + box(b"uuid", uuid, bytes(4), b"manifest\0", bytes(8), store)


def in_jpeg_xl(store: bytes) -> bytes:
    return box(b"JXL ", b"\r\n\x87\n") + box(b"ftyp", b"jxl \0\0\0\0jxl ") + store


C2PA = {
    "JPEG": in_jpeg,
    "PNG": in_png,
    "WEBP": in_webp,
    "TIFF": in_tiff,
    "GIF": in_gif,
    "AVIF": in_avif,
    "JXL": in_jpeg_xl,
}


def verdict(data: bytes, format: str) -> tuple[bool, list[str]]:
    values = read_metadata(data, format)
    return values["ai_declared"], values["ai_evidence"]


@given(
    st.recursive(
        st.none()
        | st.booleans()
        | st.integers(-(2**31), 2**31)
        | st.floats(allow_nan=False)
        | st.text()
        | st.binary(),
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
        max_leaves=15,
    )
)
def test_cbor_reads_what_was_written(value: Any) -> None:
    assert read_cbor(cbor(value)) == value


def test_cbor_of_indefinite_length() -> None:
    assert read_cbor(b"\xbf\x61a\x9f\x01\x7f\x61b\x61c\xff\xff\xff") == {"a": [1, "bc"]}


@pytest.mark.parametrize("format", C2PA)
def test_c2pa_manifest_in_every_container(format: str) -> None:
    store = superbox("c2pa", manifest("urn:c2pa:1", "ChatGPT", created("trainedAlgorithmicMedia", "GPT-4o")))
    declared, evidence = verdict(C2PA[format](store), format)
    assert declared
    assert (
        evidence[0] == "c2pa: digitalSourceType: trainedAlgorithmicMedia, claim by ChatGPT 1.0 (not verified)"
    )


def test_c2pa_in_many_small_jpeg_segments() -> None:
    store = superbox("c2pa", manifest("urn:c2pa:1", "x", created("compositeWithTrainedAlgorithmicMedia")))
    assert verdict(in_jpeg(store, part_bytes=100), "JPEG")[0]


def test_c2pa_of_a_camera_or_editor_declares_nothing() -> None:
    training = superbox(
        "c2pa.training-mining", box(b"cbor", cbor({"entries": {"c2pa.ai_training": "notAllowed"}}))
    )
    opened = {"action": "c2pa.opened", "softwareAgent": "Adobe Photoshop 26.0"}
    for source_type in ("digitalCapture", "computationalCapture", "humanEdits"):
        store = superbox(
            "c2pa", manifest("urn:c2pa:1", "Leica M11", created(source_type), opened, extra=training)
        )
        assert verdict(in_png(store), "PNG") == (False, [])


def test_c2pa_of_an_ingredient_declares_and_says_that_it_is_one() -> None:
    first = manifest("urn:c2pa:1", "Adobe Firefly", created("trainedAlgorithmicMedia"))
    second = manifest("urn:c2pa:2", "Adobe Photoshop", {"action": "c2pa.opened"})
    declared, evidence = verdict(in_webp(superbox("c2pa", first, second)), "WEBP")
    assert declared
    assert "ingredient claim by Adobe Firefly" in evidence[0]


def test_damaged_manifest_is_no_declaration() -> None:
    store = superbox("c2pa", manifest("urn:c2pa:1", "x", created("trainedAlgorithmicMedia")))
    broken = store.replace(cbor({"name": "a program"}), b"\xff" * len(cbor({"name": "a program"})))
    assert verdict(in_png(broken), "PNG") == (False, [])
