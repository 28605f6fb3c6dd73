"""Every container yields the same facts, and sources are believed in the stated order."""

from __future__ import annotations

import hashlib
import io
import struct
import warnings
from pathlib import Path

import pyarrow as pa
import pytest
from PIL import Image, ImageCms
from PIL.PngImagePlugin import PngInfo
from PIL.TiffImagePlugin import IFDRational

from zcurate.curation.profile.metadata import METADATA_SCHEMA, read_metadata
from zcurate.curation.profile.metadata.text import clean

SHARED = Path(__file__).resolve().parents[3] / "shared" / "data"
PICTURE = Image.new("RGB", (16, 12), (120, 30, 60))
SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
RDF = (
    '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?><x:xmpmeta xmlns:x="adobe:ns:meta/">'
    '<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description rdf:about=""'
    ' xmlns:dc="http://purl.org/dc/elements/1.1/" xmlns:xmp="http://ns.adobe.com/xap/1.0/"'
    ' xmlns:photoshop="http://ns.adobe.com/photoshop/1.0/" xmlns:exif="http://ns.adobe.com/exif/1.0/"'
    ' xmlns:core="http://iptc.org/std/Iptc4xmpCore/1.0/xmlns/"'
    ' xmlns:ext="http://iptc.org/std/Iptc4xmpExt/2008-02-29/" ATTRIBUTES>ELEMENTS</rdf:Description>'
    '</rdf:RDF></x:xmpmeta><?xpacket end="w"?>'
)


def xmp_packet(elements: str = "", attributes: str = "") -> bytes:
    return RDF.replace("ATTRIBUTES", attributes).replace("ELEMENTS", elements).encode()


def exif_block(order: str = "<", **extra: dict) -> bytes:
    """TIFF stream of a camera; `extra` replaces tags: first={...}, exif={...}, gps={...}."""
    exif = Image.Exif()
    exif.endian = order
    exif.update(
        {0x010F: "Canon\0", 0x0110: "EOS 5D", 0x0131: "Firmware 1.1", 0x013B: "Li Bai", 0x8298: "(c) Li"}
    )
    exif.update(extra.get("first", {}))
    details = {0x9003: "2021:05:06 07:08:09", 0x9291: "25", 0x9011: "+08:00", **extra.get("exif", {})}
    exif.get_ifd(0x8769).update(details)
    degrees = (IFDRational(39), IFDRational(54), IFDRational(3000, 100))
    position = {1: "N", 2: degrees, 3: "W", 4: (IFDRational(116), IFDRational(30), IFDRational(0))}
    exif.get_ifd(0x8825).update({**position, **extra.get("gps", {})})
    return exif.tobytes()[6:]


def dataset(number: int, value: bytes, record: int = 2) -> bytes:
    return struct.pack(">BBBH", 0x1C, record, number, len(value)) + value


def photoshop_resources(*resources: tuple[int, bytes]) -> bytes:
    return b"".join(
        b"8BIM" + struct.pack(">HHI", kind, 0, len(value)) + value + b"\0" * (len(value) % 2)
        for kind, value in resources
    )


def jpeg_with(*segments: tuple[int, bytes]) -> bytes:
    stream = io.BytesIO()
    PICTURE.save(stream, "JPEG")
    packed = b"".join(struct.pack(">BBH", 0xFF, m, len(body) + 2) + body for m, body in segments)
    return stream.getvalue()[:2] + packed + stream.getvalue()[2:]


def saved(format: str, **options: object) -> bytes:
    stream = io.BytesIO()
    PICTURE.save(stream, format, **options)
    return stream.getvalue()


def box(kind: bytes, *content: bytes) -> bytes:
    body = b"".join(content)
    return struct.pack(">I", 8 + len(body)) + kind + body


def heif(exif: bytes, xmp: bytes) -> bytes:
    from pillow_heif import from_pillow

    stream = io.BytesIO()
    from_pillow(PICTURE).save(stream, exif=b"Exif\0\0" + exif, xmp=xmp)
    return stream.getvalue()


def png(exif: bytes, xmp: bytes) -> bytes:
    info = PngInfo()
    info.add_itxt("XML:com.adobe.xmp", xmp.decode(), zip=True)
    return saved("PNG", exif=exif, pnginfo=info)


def tiff(exif: bytes, xmp: bytes) -> bytes:
    fields = Image.Exif()
    fields.load(exif)
    for pointer in (0x8769, 0x8825):
        fields.get_ifd(pointer)
    fields[0x02BC] = xmp
    return saved("TIFF", exif=fields)


def jpeg_xl(exif: bytes, xmp: bytes) -> bytes:
    head = box(b"JXL ", b"\r\n\x87\n") + box(b"ftyp", b"jxl \0\0\0\0jxl ")
    return head + box(b"Exif", bytes(4), exif) + box(b"xml ", xmp) + box(b"jxlc", b"\xff\x0a")


def jpeg_2000(exif: bytes, xmp: bytes) -> bytes:
    xmp_box = box(b"uuid", bytes.fromhex("be7acfcb97a942e89c71999491e3afac"), xmp)
    return saved("JPEG2000") + xmp_box + box(b"uuid", b"JpgTiffExif->JP2", exif)


def psd(exif: bytes, xmp: bytes) -> bytes:
    resources = photoshop_resources((0x0422, exif), (0x0424, xmp))
    return b"8BPS" + bytes(26) + struct.pack(">I", len(resources)) + resources


CONTAINERS = {
    "JPEG": lambda exif, xmp: saved("JPEG", exif=b"Exif\0\0" + exif, xmp=xmp, icc_profile=SRGB),
    "PNG": png,
    "WEBP": lambda exif, xmp: saved("WEBP", exif=exif, xmp=xmp),
    "AVIF": lambda exif, xmp: saved("AVIF", exif=exif, xmp=xmp),
    "HEIF": heif,
    "TIFF": tiff,
    "JXL": jpeg_xl,
    "JPEG2000": jpeg_2000,
    "PSD": psd,
}


@pytest.mark.parametrize("format", CONTAINERS)
@pytest.mark.parametrize("order", ["<", ">"])
def test_every_container_yields_exif_and_xmp(format: str, order: str) -> None:
    xmp = xmp_packet("<dc:subject><rdf:Bag><rdf:li>长城</rdf:li><rdf:li>wall</rdf:li></rdf:Bag></dc:subject>")
    values = read_metadata(CONTAINERS[format](exif_block(order), xmp), format)
    assert values["camera_make"] == "Canon"
    assert values["camera_model"] == "EOS 5D"
    assert values["software"] == "Firmware 1.1"
    assert values["taken_at"] == "2021-05-06T07:08:09.25+08:00"
    assert values["gps_latitude"] == pytest.approx(39 + 54 / 60 + 30 / 3600)
    assert values["gps_longitude"] == pytest.approx(-116.5)
    assert (values["creator"], values["rights"]) == ("Li Bai", "(c) Li")
    assert values["keywords"] == ["长城", "wall"]
    assert (values["ai_declared"], values["ai_evidence"]) == (False, [])


def test_columns_are_those_of_the_schema_in_their_types() -> None:
    for data in (b"", CONTAINERS["JPEG"](exif_block(), xmp_packet())):
        values = read_metadata(data, "JPEG")
        assert list(values) == METADATA_SCHEMA.names
        pa.table({n: pa.array([v], METADATA_SCHEMA.field(n).type) for n, v in values.items()})
    assert read_metadata(b"BM", "BMP")["ai_declared"] is False


def test_gif_holds_xmp_profile_and_comment() -> None:
    plain = saved("GIF")
    magic = b"\1" + bytes(range(255, -1, -1)) + b"\0"
    packet = b"!\xff\x0bXMP DataXMP" + xmp_packet(attributes='photoshop:City="北京"') + magic
    comment = b"!\xfe\x11Created with GIMP\0"
    data = plain[:-1] + comment + packet + b";"
    values = read_metadata(data, "GIF")
    assert (values["place"], values["software"], values["caption"]) == ("北京", "GIMP", None)


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF"])
def test_name_of_the_icc_profile(format: str) -> None:
    name = ImageCms.getProfileDescription(ImageCms.getOpenProfile(io.BytesIO(SRGB))).strip()
    assert read_metadata(saved(format, icc_profile=SRGB), format)["icc_name"] == name


def test_png_texts_of_imagemagick_and_plain_keys() -> None:
    raw = exif_block()
    info = PngInfo()
    info.add_text(
        "Raw profile type exif", f"\nexif\n{len(raw) + 6:8}\n{(b'Exif' + bytes(2) + raw).hex()}\n", zip=True
    )
    info.add_itxt("Title", "春江花月夜")
    info.add_text("Description", "A river by night")
    info.add_text("Author", "Zhang")
    values = read_metadata(saved("PNG", pnginfo=info), "PNG")
    assert (values["camera_make"], values["title"]) == ("Canon", "春江花月夜")
    assert (values["caption"], values["creator"]) == ("A river by night", "Li Bai")


def test_exif_goes_on_in_a_second_segment() -> None:
    block = exif_block()
    data = jpeg_with((0xE1, b"Exif\0\0" + block[:150]), (0xE1, b"Exif\0\0" + block[150:]))
    assert read_metadata(data, "JPEG") == read_metadata(jpeg_with((0xE1, b"Exif\0\0" + block)), "JPEG")


def test_extended_xmp_counts_only_with_the_digest_that_the_packet_names() -> None:
    body = xmp_packet("<dc:title><rdf:Alt><rdf:li xml:lang='x-default'>far</rdf:li></rdf:Alt></dc:title>")
    digest = hashlib.md5(body).hexdigest().upper().encode()
    half = len(body) // 2
    parts = [
        b"http://ns.adobe.com/xmp/extension/\0"
        + digest
        + struct.pack(">II", len(body), at)
        + body[at : at + half + 1]
        for at in (0, half + 1)
    ]
    for named, expected in ((digest.decode(), "far"), ("0" * 32, None)):
        main = b"http://ns.adobe.com/xap/1.0/\0" + xmp_packet(attributes=f'xmpNote:HasExtendedXMP="{named}"')
        data = jpeg_with((0xE1, main), (0xE1, parts[1]), (0xE1, parts[0]))
        assert read_metadata(data, "JPEG")["title"] == expected


def iptc_jpeg(iptc: bytes, *resources: tuple[int, bytes], xmp: bytes = b"") -> bytes:
    packed = b"Photoshop 3.0\0" + photoshop_resources((0x0404, iptc), *resources)
    cut = len(packed) // 2  # a long list of resources goes on in the next segment
    segments = [(0xED, packed[:cut]), (0xED, b"Photoshop 3.0\0" + packed[cut:])]
    if xmp:
        segments.append((0xE1, b"http://ns.adobe.com/xap/1.0/\0" + xmp))
    return jpeg_with(*segments)


@pytest.mark.parametrize(
    ("marker", "encoding"), [(b"\x1b%G", "utf-8"), (None, "utf-8"), (None, "gb18030"), (None, "cp1252")]
)
def test_iptc_in_its_encodings(marker: bytes | None, encoding: str) -> None:
    place = ["Müller’s Café", "Zürich"] if encoding == "cp1252" else ["故宫博物院", "北京"]
    iptc = dataset(90, marker, record=1) if marker else b""
    iptc += dataset(92, place[0].encode(encoding)) + dataset(90, place[1].encode(encoding))
    iptc += b"".join(dataset(25, k.encode(encoding)) for k in place) + dataset(80, b"A") + dataset(80, b"B")
    iptc += dataset(55, b"20210506") + dataset(60, b"070809+0800")
    values = read_metadata(iptc_jpeg(iptc), "JPEG")
    assert values["place"] == ", ".join(place)
    assert values["keywords"] == place
    assert values["creator"] == "A; B"
    assert values["taken_at"] == "2021-05-06T07:08:09+08:00"


def test_an_undeclared_encoding_is_one_for_the_whole_block_of_iptc() -> None:
    words = ["山", "故宫博物院"]
    iptc = b"".join(dataset(25, word.encode("gb18030")) for word in words)
    assert read_metadata(iptc_jpeg(iptc), "JPEG")["keywords"] == words
    iptc = b"".join(dataset(25, word.encode()) for word in words) + dataset(5, "长城的早晨".encode()[:-1])
    values = read_metadata(iptc_jpeg(iptc), "JPEG")
    assert values["keywords"] == words
    assert values["title"] == "长城的早"


def test_xmp_is_believed_over_iptc_unless_the_digest_says_that_iptc_changed() -> None:
    iptc = dataset(5, b"from iptc") + dataset(120, b"iptc caption")
    xmp = xmp_packet("<dc:title>from xmp</dc:title>")
    for digest, expected in (
        (None, "from xmp"),
        (hashlib.md5(iptc).digest(), "from xmp"),
        (b"x" * 16, "from iptc"),
    ):
        resources = [(0x0425, digest)] if digest else []
        values = read_metadata(iptc_jpeg(iptc, *resources, xmp=xmp), "JPEG")
        assert (values["title"], values["caption"]) == (expected, "iptc caption")


def test_exif_caption_is_believed_first_unless_a_camera_wrote_it() -> None:
    xmp = xmp_packet("<dc:description>by hand</dc:description>")
    for text, expected in (
        ("Great Wall", "Great Wall"),
        ("OLYMPUS DIGITAL CAMERA", "by hand"),
        ("  ", "by hand"),
        ("Canon", "by hand"),
        ("长城".encode(), "长城"),
        ("长城的早晨".encode("gb18030"), "长城的早晨"),
    ):
        data = CONTAINERS["WEBP"](exif_block(first={0x010E: text}), xmp)
        assert read_metadata(data, "WEBP")["caption"] == expected


def test_languages_structures_and_undeclared_prefixes_of_xmp() -> None:
    def alt(*pairs: tuple[str, str]) -> str:
        items = "".join(f'<rdf:li xml:lang="{lang}">{text}</rdf:li>' for lang, text in pairs)
        return f"<dc:title><rdf:Alt>{items}</rdf:Alt></dc:title>"

    def title(elements: str) -> str:
        return read_metadata(CONTAINERS["WEBP"](exif_block(), xmp_packet(elements)), "WEBP")["title"]

    assert title(alt(("fr", "mur"), ("en", "wall"), ("zh-CN", "墙"), ("x-default", "mauer"))) == "mauer"
    assert title(alt(("fr", "mur"), ("en-US", "wall"), ("zh-CN", "墙"), ("x-default", " "))) == "墙"
    assert title(alt(("fr", "mur"), ("en-US", "wall"))) == "wall"
    assert title(alt(("fr", "mur"))) == "mur"
    assert title("<dc:title>plain &amp; simple</dc:title>") == "plain & simple"
    struct_form = (
        "<ext:LocationCreated><rdf:Bag><rdf:li rdf:parseType='Resource'><ext:City>西安</ext:City>"
        "<ext:CountryName>中国</ext:CountryName></rdf:li></rdf:Bag></ext:LocationCreated><lost:thing>x</lost:thing>"
    )
    values = read_metadata(CONTAINERS["JXL"](b"", xmp_packet(struct_form)), "JXL")
    assert values["place"] == "西安, 中国"


def test_the_prefix_of_the_packet_itself_is_free() -> None:
    packet = xmp_packet(
        "<dc:title>wall</dc:title><dc:subject><rdf:Bag><rdf:li>stone</rdf:li></rdf:Bag></dc:subject>"
    )
    packet = packet.replace(b"x:xmpmeta", b"ns0:xmpmeta").replace(b"xmlns:x=", b"xmlns:ns0=")
    values = read_metadata(CONTAINERS["JXL"](b"", packet), "JXL")
    assert (values["title"], values["keywords"]) == ("wall", ["stone"])


@pytest.mark.parametrize(
    "gps",
    [
        {2: (IFDRational(91), IFDRational(0), IFDRational(0))},
        {2: (IFDRational(1, 0), IFDRational(0), IFDRational(0))},
        {1: "?"},
        {4: (IFDRational(180), IFDRational(1), IFDRational(0))},
        {2: (0, 0, 0), 4: (0, 0, 0)},
    ],
)
def test_impossible_positions_are_null_in_both(gps: dict) -> None:
    values = read_metadata(CONTAINERS["WEBP"](exif_block(gps=gps), xmp_packet()), "WEBP")
    assert (values["gps_latitude"], values["gps_longitude"]) == (None, None)


@pytest.mark.parametrize(
    "time",
    ["0000:00:00 00:00:00", "0001:01:01 00:00:00", "    :  :     :  :  ", "2021:02:30 01:01:01", "yesterday"],
)
def test_times_that_are_none_are_null(time: str) -> None:
    block = exif_block(exif={0x9003: time})
    assert read_metadata(CONTAINERS["WEBP"](block, xmp_packet()), "WEBP")["taken_at"] is None


@pytest.mark.parametrize(
    ("time", "fields", "expected"),
    [
        ("2021:05:06 07:08:09+08:00", {}, "2021-05-06T07:08:09+08:00"),
        ("2021-05-06T07:08:09Z", {}, "2021-05-06T07:08:09+00:00"),
        ("2021:05:06 07:08:09.25-0330", {}, "2021-05-06T07:08:09.25-03:30"),
        ("2021:05:06 07:08:09.25+08:00", {0x9291: "7", 0x9011: "+09:00"}, "2021-05-06T07:08:09.7+09:00"),
        ("1890:01:01 00:00:00", {}, "1890-01-01T00:00:00"),
    ],
)
def test_offset_and_fraction_may_stand_in_the_time_itself(time: str, fields: dict, expected: str) -> None:
    block = exif_block(exif={0x9003: time, 0x9291: "", 0x9011: "", **fields})
    assert read_metadata(CONTAINERS["WEBP"](block, xmp_packet()), "WEBP")["taken_at"] == expected


@pytest.mark.parametrize("zone", ["+08:00", "+0800"])
def test_offset_of_a_time_in_xmp(zone: str) -> None:
    packet = xmp_packet(f"<exif:DateTimeOriginal>2021-05-06T07:08:09{zone}</exif:DateTimeOriginal>")
    assert read_metadata(CONTAINERS["JXL"](b"", packet), "JXL")["taken_at"] == "2021-05-06T07:08:09+08:00"


def test_a_last_letter_of_latin_1_is_no_cut_character() -> None:
    block = exif_block(first={0x013B: "André".encode("latin-1")})
    assert read_metadata(CONTAINERS["WEBP"](block, xmp_packet()), "WEBP")["creator"] == "André"
    block = exif_block(first={0x013B: "李白".encode()[:-1]})
    assert read_metadata(CONTAINERS["WEBP"](block, xmp_packet()), "WEBP")["creator"] == "李"


def test_mojibake_is_put_right() -> None:
    assert clean("长城".encode().decode("latin-1"), 50) == "长城"
    assert clean("Café".encode().decode("cp1252"), 50) == "Café"
    assert clean("naïve Übergröße", 50) == "naïve Übergröße"


@pytest.mark.parametrize("folder", ["camera-exif", "pillow-tests", "image-rs"])
def test_real_exif_reads_as_pillow_reads_it(folder: str) -> None:
    if not (SHARED / folder).is_dir():
        pytest.skip(f"needs shared/data/{folder}")
    compared = 0
    for path in sorted((SHARED / folder).rglob("*.[jJ][pP]*[gG]")):
        data = path.read_bytes()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                exif = Image.open(io.BytesIO(data)).getexif()
                details = exif.get_ifd(0x8769)
            except (OSError, SyntaxError, ValueError):
                continue
        values = read_metadata(data, "JPEG")
        expected = {
            "camera_make": exif.get(0x010F),
            "camera_model": exif.get(0x0110),
            "software": exif.get(0x0131),
        }
        for name, text in expected.items():
            if isinstance(text, str) and text.strip(" \0") and text.isascii():
                assert values[name] == " ".join(text.split("\0")[0].split()), (path.name, name)
                compared += 1
        taken = details.get(0x9003)
        if isinstance(taken, str) and taken[:4].isdigit() and taken[:4] != "0000":
            assert values["taken_at"][:19] == taken[:10].replace(":", "-") + "T" + taken[11:19], path.name
            compared += 1
    assert compared >= {"camera-exif": 80}.get(folder, 1)
