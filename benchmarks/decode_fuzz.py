"""What mutated files do to the profiler: crashes, hangs and leaks, all of which should be 0.

Real files (and generated ones, in every format and mode that can be written) are damaged at random:
bytes flipped or set to extreme values, ranges cut, repeated, zeroed or taken from another file, the end
cut off. Each goes through `profile_image` and `read_metadata`, as the profile stage calls them, in a
process that this one watches.

    python benchmarks/decode_fuzz.py                       # 20,000 mutations
    python benchmarks/decode_fuzz.py --quick               # 1,000
    python benchmarks/decode_fuzz.py ~/Pictures --seed 7 --save /tmp/bad    # keeps what did harm

A crash is the death of the watched process, or an exception that is not a `SampleError`; a hang is a file
that takes longer than --hang-s. A decoder process that dies or is stopped is none of them: its file becomes an
error row; those are counted apart. `rss_growth_mb` is the resident memory of the watched process and its
decoder between mutations, the median of the last fifth less the median of the second fifth. The last line
is JSON.
"""

from __future__ import annotations

import argparse
import io
import json
import logging
import os
import selectors
import statistics
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import psutil
from PIL import Image, ImageCms

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
#: Larger files are left out: they would take the time of many small ones.
MOST_SEED_BYTES = 200_000
#: Header fields are near the beginning: that is where a third of the damage goes.
HEADER_BYTES = 600
#: Seconds the watched process has to import and to read all files.
START_S = 300.0
#: Mutations between two readings of the resident memory.
SAMPLE_EVERY = 20
EXTREMES = (0x00, 0x01, 0x7F, 0x80, 0xFE, 0xFF)


def generated_seeds() -> Iterator[bytes]:
    """Small pictures in every format, mode and dress that the installed encoders write."""
    y, x = np.mgrid[:48, :64]
    rgb = np.stack([x * 4, y * 5, (x * y) % 256], axis=-1).astype(np.uint8)
    picture = Image.fromarray(rgb)
    frames = [picture.rotate(30 * i).convert("P") for i in range(3)]
    exif = Image.Exif()
    exif[0x0112], exif[0x010F], exif[0x0131] = 6, "Maker", "Software 1.0"
    dress = {
        "exif": exif.tobytes(),
        "icc_profile": ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes(),
    }
    for format, modes in {
        "JPEG": ("RGB", "L", "CMYK"),
        "PNG": ("RGB", "RGBA", "L", "LA", "P", "1", "I;16"),
        "WEBP": ("RGB", "RGBA"),
        "AVIF": ("RGB", "RGBA"),
        "GIF": ("P", "L"),
        "BMP": ("RGB", "P", "1"),
        "TIFF": ("RGB", "RGBA", "L", "P", "1", "I;16", "CMYK", "LAB", "F"),
        "JPEG2000": ("RGB", "RGBA", "L"),
        "ICO": ("RGBA",),
        "PPM": ("RGB", "L", "1"),
        "QOI": ("RGB", "RGBA"),
        "SGI": ("RGB", "L"),
        "PCX": ("RGB", "P"),
        "TGA": ("RGB", "RGBA", "P"),
    }.items():
        for mode in modes:
            if mode == "LAB":
                image = Image.frombytes("LAB", picture.size, rgb.tobytes())
            elif mode == "I;16":
                image = Image.fromarray((rgb[..., 0].astype(np.uint16)) * 257)
            else:
                image = picture.convert(mode)
            yield _saved(image, format, dress if format in ("JPEG", "PNG", "WEBP", "AVIF", "TIFF") else {})
    yield _saved(picture, "JPEG", {**dress, "progressive": True})
    for format in ("JPEG", "PNG", "TIFF"):
        yield _saved(picture, format, {"icc_profile": red_and_blue_exchanged(dress["icc_profile"])})
    for compression in ("tiff_lzw", "tiff_adobe_deflate", "jpeg", "packbits"):
        yield _saved(picture, "TIFF", {"compression": compression})
    for format in ("GIF", "PNG", "WEBP", "TIFF"):
        yield _saved(frames[0], format, {"save_all": True, "append_images": frames[1:]})
    try:
        import pillow_heif
    except ImportError:
        return
    heif = io.BytesIO()
    pillow_heif.from_pillow(picture).save(heif, exif=dress["exif"])
    yield heif.getvalue()


def red_and_blue_exchanged(icc: bytes) -> bytes:
    """A profile that changes colors, unlike sRGB's own, which is left out of account."""
    tags = bytearray(icc)
    places = {tags[at : at + 4].decode(): at + 4 for at in range(132, 132 + 12 * tags[131], 12)}
    red, blue = places["rXYZ"], places["bXYZ"]
    tags[red : red + 8], tags[blue : blue + 8] = tags[blue : blue + 8], tags[red : red + 8]
    return bytes(tags)


def _saved(image: Image.Image, format: str, options: dict) -> bytes:
    file = io.BytesIO()
    image.save(file, format, **options)
    return file.getvalue()


def seeds(folders: list[Path]) -> list[bytes]:
    found = list(generated_seeds())
    for folder in folders:
        for file in sorted(f for f in folder.rglob("*") if f.is_file()):
            if 0 < file.stat().st_size <= MOST_SEED_BYTES and file.suffix.lower() not in (
                ".txt",
                ".md",
                ".json",
                ".yml",
            ):
                found.append(file.read_bytes())
    return found


def mutated(rng: np.random.Generator, files: list[bytes]) -> bytes:
    """One of the files, damaged in one to four ways."""
    data = bytearray(files[rng.integers(len(files))])
    for _ in range(min(int(rng.geometric(0.6)), 4)):
        size = len(data)
        if not size:
            break
        reach = min(size, HEADER_BYTES) if rng.random() < 0.3 else size
        at = int(rng.integers(reach))
        length = int(rng.integers(1, 65))
        match rng.integers(8):
            case 0:
                for place in rng.integers(reach, size=rng.integers(1, 17)):
                    data[place] = rng.integers(256)
            case 1:
                data[at] ^= 1 << int(rng.integers(8))
            case 2:
                data[at : at + 4] = bytes([EXTREMES[rng.integers(6)]]) * int(rng.integers(1, 5))
            case 3:
                del data[at : at + length]
            case 4:
                data[at:at] = data[at : at + length] * int(rng.integers(1, 9))
            case 5:
                data[at : at + length] = bytes(min(length, size - at))
            case 6:
                other = files[rng.integers(len(files))]
                start = int(rng.integers(len(other)))
                data[at : at + length] = other[start : start + length]
            case 7:
                del data[at:]
    return bytes(data)


def run(folders: list[Path], seed: int, first: int, last: int, decode_s: float) -> None:
    """The watched process: a line before each mutation, and one after all of them."""
    from zcurate.curation.errors import SampleError
    from zcurate.curation.profile.decode import DecodeLimits
    from zcurate.curation.profile.isolated import worker_counts
    from zcurate.curation.profile.measure import profile_image
    from zcurate.curation.profile.metadata import read_metadata

    files = seeds(folders)
    limits = DecodeLimits(max_pixels=20_000_000, decode_s=decode_s, memory_bytes=1 << 30)
    outcomes: Counter[str] = Counter()
    uncaught: list[int] = []
    slowest = 0.0
    # the allocator keeps what the largest pictures needed: that is no leak, and shall not look like one
    large = Image.new("RGB", (5000, 4000), "white")
    for data in (
        *generated_seeds(),
        *(_saved(large, format, {}) for format in ("PNG", "JPEG", "WEBP", "TIFF")),
    ):
        profile_image(data, limits)
    for number in range(first, last):
        print(number, f"{resident_mb(os.getpid()):.1f}" if number % SAMPLE_EVERY == 0 else "", flush=True)
        data = mutated(np.random.default_rng([seed, number]), files)
        started = time.perf_counter()
        try:
            for format in ("JPEG", "PNG", "TIFF", "WEBP", "HEIF", "AVIF", "GIF"):
                read_metadata(data, format)
            values = profile_image(data, limits)
            outcomes["ok"] += 1
            if not (values["width_px"] > 0 and values["thumb"]):
                raise AssertionError(f"a picture without pixels: {values}")
        except SampleError as e:
            outcomes[type(e).__name__] += 1
        except Exception:
            logging.exception("mutation %d", number)
            uncaught.append(number)
        slowest = max(slowest, time.perf_counter() - started)
    counts = worker_counts()
    workers = {"started": counts.started, "crashed": counts.crashed, "timed_out": counts.timed_out}
    print(
        json.dumps({"outcomes": outcomes, "workers": workers, "uncaught": uncaught, "slowest_s": slowest}),
        flush=True,
    )


def resident_mb(pid: int) -> float:
    """Of a process and its children."""
    process = psutil.Process(pid)
    return sum(p.memory_info().rss for p in (process, *process.children(recursive=True))) / 2**20


def growth_mb(resident: list[tuple[int, float]], first: int, last: int) -> float:
    """From the second to the last fifth of the mutations `first..last`; 0 for too few to tell."""
    fifth = (last - first) / 5
    early = [mb for number, mb in resident if fifth <= number - first < 2 * fifth]
    late = [mb for number, mb in resident if number - first >= 4 * fifth]
    return statistics.median(late) - statistics.median(early) if early and late else 0.0


class Watcher:
    """Runs the mutations, starting over behind each one that does harm."""

    def __init__(self, arguments: argparse.Namespace) -> None:
        self._arguments = arguments
        self.crashes: list[int] = []
        self.hangs: list[int] = []
        self.growth_mb = 0.0
        self.totals: Counter[str] = Counter()
        self.workers: Counter[str] = Counter()
        self.slowest_s = 0.0

    def watch(self) -> None:
        first, last = 0, self._arguments.mutations
        while first < last:
            first = self._one_process(first, last)

    def _one_process(self, first: int, last: int) -> int:
        """Returns the mutation to go on with."""
        a = self._arguments
        command = [sys.executable, __file__, *map(str, a.folders), "--seed", str(a.seed)]
        command += ["--decode-s", str(a.decode_s), "--run", str(first), str(last)]
        resident: list[tuple[int, float]] = []
        number = first - 1
        with (
            subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process,
            selectors.DefaultSelector() as selector,
        ):
            selector.register(process.stdout, selectors.EVENT_READ)
            while True:
                if not selector.select(a.hang_s if number >= first else START_S):
                    process.kill()
                    self.hangs.append(number)
                    print(f"mutation {number}: no answer in {a.hang_s} s")
                    return number + 1
                line = process.stdout.readline()
                if not line:
                    code = process.wait()
                    if number < first:
                        raise SystemExit(f"the watched process does not start (exit code {code})")
                    self.crashes.append(number)
                    print(f"mutation {number}: exit code {code}")
                    return number + 1
                if line.startswith("{"):
                    self._add(json.loads(line))
                    self.growth_mb = max(self.growth_mb, growth_mb(resident, first, last))
                    return last
                number, *memory = line.split()
                number = int(number)
                resident += [(number, float(mb)) for mb in memory]
                if memory and number and number % 2000 == 0:
                    print(f"{number:,} mutations, {memory[0]} MB", flush=True)

    def _add(self, report: dict) -> None:
        self.crashes += report["uncaught"]
        self.totals.update(report["outcomes"])
        self.workers.update(report["workers"])
        self.slowest_s = max(self.slowest_s, report["slowest_s"])


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folders", nargs="*", type=Path, help="image files to damage, besides generated ones")
    parser.add_argument("--mutations", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--decode-s", type=float, default=5.0, help="the decoder's time limit (default: 5)")
    parser.add_argument("--hang-s", type=float, default=30.0, help="what counts as a hang (default: 30)")
    parser.add_argument("--save", type=Path, help="folder for the mutations that did harm")
    parser.add_argument("--quick", action="store_true", help="1,000 mutations")
    parser.add_argument("--run", nargs=2, type=int, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    arguments.folders = arguments.folders or ([DATA] if DATA.is_dir() else [])
    if arguments.run:
        run(arguments.folders, arguments.seed, *arguments.run, arguments.decode_s)
        return
    if arguments.quick:
        arguments.mutations = min(arguments.mutations, 1000)
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    started = time.perf_counter()
    watcher = Watcher(arguments)
    watcher.watch()
    if arguments.save and (watcher.crashes or watcher.hangs):
        arguments.save.mkdir(parents=True, exist_ok=True)
        files = seeds(arguments.folders)
        for number in watcher.crashes + watcher.hangs:
            data = mutated(np.random.default_rng([arguments.seed, number]), files)
            (arguments.save / f"{arguments.seed}-{number}.bin").write_bytes(data)
    for outcome, count in watcher.totals.most_common():
        print(f"{count:7,}  {outcome}")
    print(
        json.dumps(
            {
                "mutations": arguments.mutations,
                "crashes": len(watcher.crashes),
                "hangs": len(watcher.hangs),
                "rss_growth_mb": round(watcher.growth_mb, 1),
                "decoded": watcher.totals["ok"],
                "errors": {k: v for k, v in watcher.totals.items() if k != "ok"},
                "decoders_started": watcher.workers["started"],
                "decoders_crashed": watcher.workers["crashed"],
                "decoders_timed_out": watcher.workers["timed_out"],
                "slowest_s": round(watcher.slowest_s, 2),
                "seconds": round(time.perf_counter() - started),
            }
        )
    )


if __name__ == "__main__":
    main()
