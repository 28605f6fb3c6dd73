"""How long the metadata of one file takes to read: milliseconds per file, by format, bytes in memory.

    python benchmarks/metadata_speed.py photos/            # the images below a folder
    python benchmarks/metadata_speed.py photos/ --quick    # at most 200 of them, fewer repeats
    python benchmarks/metadata_speed.py                    # one generated camera file per format

For comparison, Pillow opening the same bytes and reading Exif alone (its two directories), no pixels either.
A file's time is the least of its repeats; medians and the slowest are over files. The last line is JSON.
"""

from __future__ import annotations

import argparse
import io
import json
import statistics
import time
import warnings
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from zcurate.curation.profile.metadata import read_metadata

_FORMATS = ("JPEG", "PNG", "WEBP", "AVIF", "GIF", "TIFF", "JPEG2000", "PSD")
_PILLOW_ERRORS = (
    OSError,
    EOFError,
    SyntaxError,
    ValueError,
    LookupError,
    TypeError,
    Image.DecompressionBombError,
)
_XMP = (
    '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    '<rdf:Description xmlns:dc="http://purl.org/dc/elements/1.1/" xmlns:xmp="http://ns.adobe.com/xap/1.0/"'
    ' xmp:CreatorTool="Adobe Lightroom"><dc:subject><rdf:Bag><rdf:li>wall</rdf:li><rdf:li>长城</rdf:li></rdf:Bag>'
    "</dc:subject></rdf:Description></rdf:RDF></x:xmpmeta>"
).encode()


def generated() -> list[tuple[str, bytes]]:
    """(format, bytes) of a 4-megapixel picture with Exif, GPS position and XMP in three formats."""
    pixels = np.random.default_rng(0).integers(0, 255, (160, 240, 3), np.uint8)
    image = Image.fromarray(pixels).resize((2400, 1600))
    exif = Image.Exif()
    exif.update({0x010F: "Canon", 0x0110: "EOS 5D", 0x0131: "Firmware 1.1", 0x010E: "a wall"})
    exif.get_ifd(0x8769).update({0x9003: "2021:05:06 07:08:09", 0x927C: bytes(20_000)})
    exif.get_ifd(0x8825).update({1: "N", 2: (39.0, 54.0, 30.0), 3: "E", 4: (116.0, 30.0, 0.0)})
    files = []
    for name, options in (("JPEG", {"xmp": _XMP}), ("WEBP", {"xmp": _XMP, "method": 0}), ("PNG", {})):
        stream = io.BytesIO()
        image.save(stream, name, exif=exif, **options)
        files.append((name, stream.getvalue()))
    return files


def in_folder(folder: Path, limit: int) -> list[tuple[str, bytes]]:
    """(format, bytes) of the images below a folder, at most `limit`."""
    files = []
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        data = path.read_bytes()
        try:
            with Image.open(io.BytesIO(data), formats=_FORMATS) as image:
                files.append((str(image.format), data))
        except _PILLOW_ERRORS:
            continue
        if len(files) >= limit:
            break
    return files


def pillow_exif(data: bytes, format: str) -> None:
    with Image.open(io.BytesIO(data), formats=_FORMATS) as image:
        exif = image.getexif()
        exif.get_ifd(0x8769)
        exif.get_ifd(0x8825)


def least_ms(
    function: Callable[[bytes, str], object], data: bytes, format: str, repeats: int
) -> float | None:
    """Milliseconds of the quickest of several calls; None where the function refuses the file."""
    least = float("inf")
    for _ in range(repeats):
        started = time.perf_counter()
        try:
            function(data, format)
        except _PILLOW_ERRORS:
            return None
        least = min(least, time.perf_counter() - started)
    return 1000 * least


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", nargs="?", type=Path, help="images; without it, generated ones")
    parser.add_argument("--files", type=int, default=5000, help="most files read (default: 5,000)")
    parser.add_argument("--quick", action="store_true", help="at most 200 files, 3 repeats")
    arguments = parser.parse_args()
    limit, repeats = (200, 3) if arguments.quick else (arguments.files, 10)
    warnings.simplefilter("ignore")  # Pillow's, about odd files
    files = in_folder(arguments.folder, limit) if arguments.folder else generated()
    if not files:
        raise SystemExit(f"{arguments.folder}: no image in it")
    ours, theirs = defaultdict(list), defaultdict(list)
    for format, data in files:
        ours[format].append(least_ms(read_metadata, data, format, repeats))
        other = least_ms(pillow_exif, data, format, repeats)
        if other is not None:
            theirs[format].append(other)
    medians = {}
    for format, times in sorted(ours.items()):
        medians[format] = round(statistics.median(times), 4)
        pillow = f"{statistics.median(theirs[format]):.3f}" if theirs[format] else "-"
        print(
            f"{format}: {len(times)} files, median {medians[format]:.3f} ms, slowest {max(times):.3f} ms; "
            f"Pillow, Exif alone: median {pillow} ms"
        )
    print(json.dumps({"files": len(files), "median_ms": medians}))


if __name__ == "__main__":
    main()
