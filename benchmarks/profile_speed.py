"""How fast one core profiles pictures, against a bare decode and against other tools.

    python benchmarks/profile_speed.py                     # pictures of ../shared/data, or synthetic ones
    python benchmarks/profile_speed.py ~/Pictures          # a folder of your own
    python benchmarks/profile_speed.py --quick

The pictures are cropped and resized to 1500 x 1000 (and 1000 x 1500) pixels and saved as JPEG of quality
90, once without a color profile and once with one (a wide-gamut RGB matrix profile, which must really be applied;
an sRGB profile costs nothing). In every round each contender does all files; contenders take turns, and the
medians of the rounds are given. Time is CPU time of this process, so a busy machine disturbs less;
everything runs on one thread, with the files in memory (CleanVision reads a folder).

`full_ips` is every column that needs no neural network: profile, metadata, thumbnail.
`full_with_quality_ips` adds the trained quality model, `full_with_models_ips` that and the forensic classifier, where
they are there; `quality_ms` is the quality model alone, in ms a picture, both as the profile stage runs them: some pictures
at a time. `quality_inference_ms` is the part of it that is left once tiles, windows and small copies are cut out;
`quality_one_ms` is one picture at a time.
Pictures of 12 MP (4000 x 3000) give the time per megapixel; `peak_rss_mb_200mp` is that of a process of its own that
profiles one JPEG of 200 MP after usual ones, and `..._with_models` of one that has loaded the models, for which some of
those are waiting by then. The last line is JSON; null for what isn't installed.
"""

from __future__ import annotations

import os

os.environ["OMP_NUM_THREADS"] = "1"  # before anything that starts threads is imported

import argparse
import contextlib
import importlib.util
import io
import json
import logging
import statistics
import struct
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import cv2
import imagehash
import numpy as np
import simplejpeg
from PIL import Image

from zcurate.curation.profile.decode import decode
from zcurate.curation.profile.heap import keep_freed_memory
from zcurate.curation.profile.measure import profile_image
from zcurate.curation.profile.model_scores import AT_A_TIME, ModelScores
from zcurate.curation.profile.shrink import shrink
from zcurate.curation.profile.thumbnail import SHORT_SIDE_PX

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"
FOLDERS = ("dreambooth", "gpt4o-cases", "blur-triplets", "camera-exif", "data-juicer")
SIZE, LARGE_SIZE, HUGE_SIZE = (1500, 1000), (4000, 3000), (20_000, 10_000)

Files = list[bytes]
Contender = Callable[[Files], object]


def pictures(folder: Path | None, count: int) -> list[Image.Image]:
    """Pictures of at least a megapixel, spread over the folders; synthetic ones where there are none."""
    roots = [folder] if folder else [SHARED / name for name in FOLDERS]
    paths = [
        sorted(p for p in root.rglob("*") if p.suffix.lower() in (".jpg", ".jpeg", ".png")) for root in roots
    ]
    found = []
    for group in paths:
        wanted, taken = -(-count // len(roots)), 0
        for path in group:
            if taken == wanted or len(found) == count:
                break
            try:
                with Image.open(path) as image:
                    if image.width * image.height < 1_000_000:
                        continue
                    found.append(image.convert("RGB"))
            except (OSError, ValueError, Image.DecompressionBombError):
                continue
            taken += 1
    return found or [synthetic(seed) for seed in range(count)]


def synthetic(seed: int) -> Image.Image:
    """Detail at all scales with the 1/f spectrum of photographs."""
    rng, (width, height) = np.random.default_rng(seed), SIZE
    total = np.zeros((height, width, 3), np.float32)
    for octave in range(1, 9):
        grain = rng.normal(0, 1, (2**octave, 2**octave, 3)).astype(np.float32)
        total += cv2.resize(grain, (width, height), interpolation=cv2.INTER_CUBIC) / 2**octave
    return Image.fromarray(np.clip(128 + 90 * total, 0, 255).astype(np.uint8))


def encoded(image: Image.Image, size: tuple[int, int], icc: bytes = b"") -> bytes:
    """The middle of a picture, filled to a size (or that size upright), as JPEG of quality 90."""
    width, height = size if image.width >= image.height else size[::-1]
    scale = max(width / image.width, height / image.height)
    wide, high = max(width, round(image.width * scale)), max(height, round(image.height * scale))
    left, top = (wide - width) // 2, (high - height) // 2
    resized = image.resize((wide, high), Image.Resampling.LANCZOS)
    file = io.BytesIO()
    resized.crop((left, top, left + width, top + height)).save(file, "JPEG", quality=90, icc_profile=icc)
    return file.getvalue()


def wide_gamut_profile() -> bytes:
    """An ICC v2 display profile: primaries of Display P3, gamma 2.2, white D50 (ICC.1:2001-04)."""

    def number(value: float) -> bytes:
        return struct.pack(">i", round(value * 65536))

    def xyz(*values: float) -> bytes:
        return b"XYZ \0\0\0\0" + b"".join(map(number, values))

    curve = b"curv\0\0\0\0" + struct.pack(">IH", 1, round(2.2 * 256)) + b"\0\0"
    name = b"wide gamut\0"
    description = b"desc\0\0\0\0" + struct.pack(">I", len(name)) + name + bytes(79)
    blocks = {
        b"desc": description + bytes(-len(description) % 4),
        b"cprt": b"text\0\0\0\0none\0\0\0\0",
        b"wtpt": xyz(0.9642, 1.0, 0.8249),
        b"rXYZ": xyz(0.5151, 0.2412, -0.0011),
        b"gXYZ": xyz(0.2919, 0.6922, 0.0419),
        b"bXYZ": xyz(0.1572, 0.0666, 0.7841),
        b"rTRC": curve,
        b"gTRC": curve,
        b"bTRC": curve,
    }
    table, body, offset = b"", b"", 128 + 4 + 12 * len(blocks)
    for tag, block in blocks.items():
        table += tag + struct.pack(">II", offset + len(body), len(block))
        body += block
    size = offset + len(body)
    header = struct.pack(
        ">I4sI4s4s4s12s4s", size, b"none", 0x02100000, b"mntr", b"RGB ", b"XYZ ", bytes(12), b"acsp"
    )
    header += bytes(28) + number(0.9642) + number(1.0) + number(0.8249)
    return header.ljust(128, b"\0") + struct.pack(">I", len(blocks)) + table + body


def each(function: Callable[[bytes], object]) -> Contender:
    """Of every file in turn; what comes of it is dropped at once, since memory for all would have to come from the kernel."""

    def run(files: Files) -> None:
        for data in files:
            function(data)

    return run


def pillow_decode(data: bytes) -> None:
    with Image.open(io.BytesIO(data)) as image:
        image.load()


def imagehash_phash(data: bytes) -> None:
    with Image.open(io.BytesIO(data)) as image:
        imagehash.phash(image)


def imagededup_phash() -> Contender | None:
    """imagededup's pHash of decoded pixels, decoded by Pillow as it does itself."""
    if importlib.util.find_spec("imagededup") is None:
        return None
    from imagededup.methods import PHash

    hasher = PHash(verbose=False)

    def one(data: bytes) -> None:
        with Image.open(io.BytesIO(data)) as image:
            hasher.encode_image(image_array=np.asarray(image.convert("RGB")))

    return each(one)


def cleanvision(folder: Path) -> Contender | None:
    """All of CleanVision's checks on a folder of the same files, in this process."""
    if importlib.util.find_spec("cleanvision") is None:
        return None
    from cleanvision import Imagelab

    def run(files: Files) -> None:
        for i, data in enumerate(files):
            (folder / f"{i}.jpg").write_bytes(data)
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            Imagelab(data_path=str(folder)).find_issues(n_jobs=1, verbose=False)

    return run


def with_models() -> tuple[Contender | None, Contender | None]:
    """The profile with the quality model, and with the forensic classifier too; None where they are missing."""
    try:
        from zcurate.curation.profile.quality.model import load_quality

        quality = load_quality()
    except (ImportError, OSError) as e:
        print(f"without the quality model: {e}")
        return None, None
    alone = profiled_with(lambda: ModelScores(quality))
    try:
        from zcurate.curation.profile.forensic import load_forensic

        forensic = load_forensic()
    except (ImportError, OSError) as e:
        print(f"without the forensic classifier: {e}")
        return alone, None
    return alone, profiled_with(lambda: ModelScores(quality, forensic))


def profiled_with(new_models: Callable[[], ModelScores]) -> Contender:
    def run(files: Files) -> None:
        models = new_models()
        for data in files:
            profile_image(data, models=models)
        models.finish()

    return run


def quality_ms(files: Files, rounds: int, at_a_time: int) -> tuple[float | None, float | None]:
    """The quality model alone, ms of CPU time per decoded picture: median over rounds; and its inference alone."""
    try:
        from zcurate.curation.profile.quality.glimpses import fine_copy
        from zcurate.curation.profile.quality.model import load_quality

        model = load_quality()
    except (ImportError, OSError):
        return None, None
    pixels = [decode(data).rgb for data in files]
    copies = [(rgb, shrink(rgb, SHORT_SIDE_PX), fine_copy(rgb)) for rgb in pixels]
    seconds, inferring = [], []
    for _ in range(rounds + 1):
        cutting = scoring = 0.0
        for start in range(0, len(copies), at_a_time):
            began = time.process_time()
            # as in the profile, where the finest small copy is the picture halved once
            views = [model.view(*some, halved=some[2]) for some in copies[start : start + at_a_time]]
            cut = time.process_time()
            model.scores_of(views)
            cutting, scoring = cutting + cut - began, scoring + time.process_time() - cut
        seconds.append((cutting + scoring) / len(copies))
        inferring.append(scoring / len(copies))
    # the first round loads libraries
    return tuple(round(1000 * statistics.median(some[1:]), 2) for some in (seconds, inferring))


def rates(contenders: dict[str, tuple[Contender | None, Files]], rounds: int) -> dict[str, float | None]:
    """Pictures per second of CPU time: median over rounds, contenders taking turns."""
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    for contender, files in contenders.values():
        if contender:
            contender(files[:2])  # first calls load libraries
    for _ in range(rounds):
        for name, (contender, files) in contenders.items():
            if contender:
                started = time.process_time()
                contender(files)
                seconds[name].append((time.process_time() - started) / len(files))
    return {name: 1 / statistics.median(s) if s else None for name, s in seconds.items()}


def peak_rss_mb(path: Path, usual: Path, models: bool) -> int:
    """Peak memory in MB of a fresh process that profiles one file after usual ones, of which as many as can be wait for the
    models, if there are any.
    """
    loaded = (
        "from zcurate.curation.profile.model_scores import ModelScores\n"
        "from zcurate.curation.profile.quality.model import load_quality\n"
        "from zcurate.curation.profile.forensic import load_forensic\n"
        "models = ModelScores(load_quality(), load_forensic())\n"
    )
    code = (
        "import sys, cv2; cv2.setNumThreads(1)\n"
        "from zcurate.curation.profile.measure import profile_image\n"
        "from zcurate.curation.profile.heap import keep_freed_memory; keep_freed_memory()\n"
        f"{loaded if models else 'models = None'}\n"
        f"for path in [*{2 * AT_A_TIME - 1} * [sys.argv[2]], sys.argv[1]]:\n"
        "    profile_image(open(path, 'rb').read(), models=models)\n"
        "models and models.finish()\n"
        # not getrusage: its figure is inherited from the parent across exec
        "print(next(int(x.split()[1]) / 1024 for x in open('/proc/self/status') if x.startswith('VmHWM')))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(path), str(usual)], capture_output=True, text=True, check=True
    )
    return round(float(done.stdout))


def ratio(a: float | None, b: float | None) -> float | None:
    return None if a is None or b is None else round(a / b, 3)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", nargs="?", type=Path, help="pictures of a megapixel or more")
    parser.add_argument("--count", type=int, default=40, help="pictures (default: 40)")
    parser.add_argument("--rounds", type=int, default=7, help="rounds per median (default: 7)")
    parser.add_argument("--quick", action="store_true", help="10 pictures, 3 rounds, no 200 MP file")
    arguments = parser.parse_args()
    count, rounds = (10, 3) if arguments.quick else (arguments.count, arguments.rounds)
    cv2.setNumThreads(1)
    keep_freed_memory()  # as the profile stage does; the peers and the bare decode gain from it, too
    logging.disable(logging.WARNING)
    warnings.simplefilter("ignore")

    images = pictures(arguments.folder, count)
    plain = [encoded(image, SIZE) for image in images]
    icc = [encoded(image, SIZE, wide_gamut_profile()) for image in images]
    large = [encoded(image, LARGE_SIZE) for image in images[: max(3, count // 8)]]
    print(f"{len(images)} pictures of 1.5 MP, {sum(map(len, plain)) / len(plain) / 1000:,.0f} kB on average")
    full, (quality, models) = each(profile_image), with_models()
    with tempfile.TemporaryDirectory() as folder:
        found = rates(
            {
                "decode": (each(simplejpeg.decode_jpeg), plain),
                "full": (full, plain),
                "full_with_quality": (quality, plain),
                "full_with_models": (models, plain),
                "decode_icc": (each(simplejpeg.decode_jpeg), icc),
                "full_icc": (full, icc),
                "full_with_quality_icc": (quality, icc),
                "full_with_models_icc": (models, icc),
                "pillow": (each(pillow_decode), plain),
                "imagehash": (each(imagehash_phash), plain),
                "imagededup": (imagededup_phash(), plain),
                "decode_12": (each(simplejpeg.decode_jpeg), large),
                "full_12": (full, large),
            },
            rounds,
        )
        slow = rates({"cleanvision": (cleanvision(Path(folder)), plain)}, min(rounds, 3))
        found.update(slow)
        rss = rss_with_models = None
        if not arguments.quick:
            huge = Path(folder) / "huge.jpg"
            enlarged = cv2.resize(np.asarray(images[0]), HUGE_SIZE, interpolation=cv2.INTER_LINEAR)
            huge.write_bytes(simplejpeg.encode_jpeg(enlarged, quality=90, colorsubsampling="420"))
            usual = Path(folder, "usual.jpg")
            usual.write_bytes(plain[0])
            rss = peak_rss_mb(huge, usual, False)
            rss_with_models = peak_rss_mb(huge, usual, True) if models else None
    for name, value in found.items():
        print(f"{name:24s} " + ("not there" if value is None else f"{value:8.1f} images/s per core"))
    result = {f"{name}_ips": value and round(value, 1) for name, value in found.items() if "12" not in name}
    for suffix in ("", "_icc"):
        for name in ("full", "full_with_quality", "full_with_models"):
            key = f"{name}_over_decode{suffix}"
            result[key] = ratio(found[name + suffix], found["decode" + suffix])
    megapixels, megapixels_12 = SIZE[0] * SIZE[1] / 1e6, LARGE_SIZE[0] * LARGE_SIZE[1] / 1e6
    result["us_per_mp_1_5"] = round(1e6 / found["full"] / megapixels)
    result["us_per_mp_12"] = round(1e6 / found["full_12"] / megapixels_12)
    result["full_over_decode_12"] = ratio(found["full_12"], found["decode_12"])
    result["full_over_cleanvision"] = ratio(found["full"], found["cleanvision"])
    result["full_over_imagededup"] = ratio(found["full"], found["imagededup"])
    result["quality_ms"], result["quality_inference_ms"] = quality_ms(plain, rounds, AT_A_TIME)
    result["quality_one_ms"], _ = quality_ms(plain, rounds, 1)
    result["peak_rss_mb_200mp"], result["peak_rss_mb_200mp_with_models"] = rss, rss_with_models
    print(json.dumps(result))


if __name__ == "__main__":
    main()
