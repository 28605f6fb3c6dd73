"""File extensions from what an image is, not from what its name says."""

from __future__ import annotations

_EXTENSIONS = {
    "JPEG": "jpg",
    "MPO": "jpg",
    "PNG": "png",
    "APNG": "png",
    "WEBP": "webp",
    "GIF": "gif",
    "TIFF": "tiff",
    "BMP": "bmp",
    "DIB": "bmp",
    "AVIF": "avif",
    "HEIF": "heic",
    "HEIC": "heic",
    "JPEG2000": "jp2",
    "JXL": "jxl",
    "ICO": "ico",
    "PPM": "ppm",
    "TGA": "tga",
    "DDS": "dds",
    "QOI": "qoi",
    "PSD": "psd",
    "PCX": "pcx",
    "SGI": "sgi",
}

_SIGNATURES = (
    (b"\xff\xd8\xff", "jpg"),
    (b"\x89PNG\r\n\x1a\n", "png"),
    (b"GIF8", "gif"),
    (b"BM", "bmp"),
    (b"II*\x00", "tiff"),
    (b"MM\x00*", "tiff"),
    (b"\x00\x00\x00\x0cjP  ", "jp2"),
    (b"\x00\x00\x00\x0cJXL ", "jxl"),
    (b"\xff\x0a", "jxl"),
    (b"qoif", "qoi"),
)

#: Extensions of any image member an export may hold, besides `bin` for an unknown format.
IMAGE_EXTENSIONS = tuple(sorted(set(_EXTENSIONS.values())))


def extension_of(format_name: str | None, data: bytes | None = None) -> str:
    """The extension (no dot) of an image.

    Args:
        format_name: Pillow's name of the decoded format (`profile.format`), if known.
        data: the file; its first bytes decide where the format is unknown.

    Returns:
        One of `IMAGE_EXTENSIONS`, or `bin`. Never text taken from the input.
    """
    known = _EXTENSIONS.get((format_name or "").upper())
    if known:
        return known
    if data:
        if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
            return "webp"
        if data[4:8] == b"ftyp":
            return "avif" if data[8:12] in (b"avif", b"avis") else "heic"
        for signature, extension in _SIGNATURES:
            if data.startswith(signature):
                return extension
    return "bin"
