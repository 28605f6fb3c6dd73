"""The decoder process: same results as in this process, and nothing that a file does to it gets out."""

from __future__ import annotations

import fcntl
import io
import json
import os
import signal
import struct
import subprocess
import sys
import termios
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import psutil
import pytest
from PIL import Image

from zcurate.curation.profile import isolated
from zcurate.curation.profile.decode import DecodeLimits, decode, decode_here
from zcurate.curation.profile.errors import (
    DecodeMemoryError,
    DecoderCrashError,
    DecodeTimeoutError,
    ImageError,
    UnsupportedFormatError,
)
from zcurate.curation.profile.isolated import decode_isolated, worker_counts, worker_pid

REPOSITORY = Path(__file__).resolve().parents[2]
SHARED = REPOSITORY.parent / "shared" / "data"
LINUX = pytest.mark.skipif(sys.platform != "linux", reason="kept by the Linux kernel only")


def picture(height: int = 48, width: int = 64) -> Image.Image:
    y, x = np.mgrid[:height, :width]
    return Image.fromarray(
        np.stack([x * 255 // width, y * 255 // height, (x + y) % 256], -1).astype(np.uint8)
    )


def saved(image: Image.Image, format: str, **options) -> bytes:
    file = io.BytesIO()
    image.save(file, format, **options)
    return file.getvalue()


IMAGE = picture()
GIF = saved(IMAGE, "GIF")
#: Facts of a picture as a worker gives them, but for a text of its own where only known ones may be.
TALKATIVE = json.dumps(
    {
        "format": "PNG",
        "mode": "RGB",
        "bit_depth": 8,
        "frames": 1,
        "orientation": 1,
        "turn": 1,
        "has_icc": False,
    }
    | {
        "has_alpha": False,
        "icc": "",
        "stored_hash": "",
        "hidden_text": "made by a camera",
        "shape": [1, 1, 3],
    }
).encode()


def outcome(decoder, data: bytes):
    try:
        result = decoder(data, DecodeLimits())
    except ImageError as e:
        return type(e), str(e)
    facts = {k: v for k, v in vars(result).items() if k != "pixels"}
    return facts, result.pixels.shape, result.pixels.tobytes()


@pytest.mark.parametrize(
    "data",
    [
        saved(IMAGE, "TIFF"),
        saved(IMAGE.convert("RGBA"), "WEBP", lossless=True, exif=b"Exif\0\0II*\0\x08\0\0\0\0\0"),
        GIF,
        saved(IMAGE, "JPEG", icc_profile=b"broken"),
        saved(IMAGE.convert("L"), "JPEG"),
        saved(IMAGE.convert("CMYK"), "JPEG"),
        saved(IMAGE, "AVIF"),
        saved(IMAGE, "PNG")[:-40],
        b"%PDF-1.7",
        b"GIF89a\0",
    ],
)
def test_same_as_in_this_process(data):
    assert outcome(decode_isolated, data) == outcome(decode_here, data)


def test_real_files_are_the_same_as_in_this_process():
    folders = [SHARED / name for name in ("pillow-tests", "pngsuite", "image-rs")]
    if not all(f.is_dir() for f in folders):
        pytest.skip("needs ../shared/data")
    files = sorted(f for folder in folders for f in folder.rglob("*") if f.is_file())[::7]
    for file in files:
        data = file.read_bytes()
        if data:
            assert outcome(decode_isolated, data) == outcome(decode_here, data), file


def test_ordinary_files_stay_in_this_process():
    decode(GIF)
    before = worker_counts().files
    for format in ("JPEG", "PNG", "WEBP"):
        decode(saved(IMAGE, format))
    decode(saved(IMAGE.convert("CMYK"), "JPEG"))
    assert worker_counts().files == before
    for format in ("TIFF", "AVIF", "JPEG2000", "ICO", "BMP"):
        decode(saved(IMAGE, format))
    with pytest.raises(ImageError):
        decode(b"8BPS" + bytes(30))
    decode(saved(IMAGE, "WEBP", save_all=True, append_images=[IMAGE.rotate(90)]))
    assert worker_counts().files == before + 7


def test_endless_segments_go_to_the_worker():
    jpeg = saved(IMAGE, "JPEG")
    many = jpeg[:2] + b"\xff\xfe\0\2" * 20_000 + jpeg[2:]
    before = worker_counts().files
    np.testing.assert_array_equal(decode(many).rgb, decode(jpeg).rgb)
    png = saved(IMAGE, "PNG")
    empty = struct.pack(">I4sI", 0, b"teSt", zlib.crc32(b"teSt"))
    np.testing.assert_array_equal(decode(png[:33] + empty * 30_000 + png[33:]).rgb, np.asarray(IMAGE))
    assert worker_counts().files == before + 2


def test_over_the_time_limit():
    noise = np.random.default_rng(0).integers(0, 256, (3000, 3000), np.uint8)
    slow = saved(Image.fromarray(noise), "GIF")
    with pytest.raises(DecodeTimeoutError, match=r"decode_s = 0\.02; raise it"):
        decode(slow, DecodeLimits(decode_s=0.02))
    np.testing.assert_array_equal(decode(slow).rgb[..., 0], noise)


def test_a_stuck_worker_is_replaced():
    decode(GIF)
    stuck = worker_pid()
    os.kill(stuck, signal.SIGSTOP)
    with pytest.raises(DecodeTimeoutError):
        decode(GIF, DecodeLimits(decode_s=0.3))
    decode(GIF)
    assert worker_pid() != stuck
    assert not psutil.pid_exists(stuck)


@LINUX
def test_over_the_memory_limit():
    flat = saved(Image.new("RGB", (5000, 5000)), "TIFF", compression="tiff_adobe_deflate")
    decode(GIF)
    worker = worker_pid()
    with pytest.raises(DecodeMemoryError, match=r"memory_bytes = 30,000,000; raise it"):
        decode(flat, DecodeLimits(memory_bytes=30_000_000))
    assert decode(flat).rgb.shape == (5000, 5000, 3)
    assert worker_pid() == worker


@pytest.mark.parametrize(
    ("killed_by", "error"),
    [
        (signal.SIGSEGV, DecoderCrashError),
        (signal.SIGABRT, DecoderCrashError),
        (signal.SIGXCPU, DecodeTimeoutError),
    ],
)
def test_a_worker_that_dies_of_a_file(killed_by, error):
    with _request_in_progress() as answer:
        os.kill(worker_pid(), killed_by)
        os.kill(worker_pid(), signal.SIGCONT)
        with pytest.raises(error):
            answer.result()
    assert decode(GIF).format == "GIF"


def test_a_worker_killed_from_outside_is_not_held_against_the_file():
    with _request_in_progress() as answer:
        os.kill(worker_pid(), signal.SIGKILL)
        assert answer.result().format == "GIF"


class _request_in_progress:  # noqa: N801
    """A decode in a thread, its request in the pipe of a worker that is stopped."""

    def __enter__(self):
        decode(GIF)
        os.kill(worker_pid(), signal.SIGSTOP)
        while psutil.Process(worker_pid()).status() != psutil.STATUS_STOPPED:
            pass
        self._thread = ThreadPoolExecutor(1)
        answer = self._thread.submit(decode, GIF)
        pipe = isolated._worker._process.stdin
        waiting = b"\0" * 4
        while int.from_bytes(waiting, sys.byteorder) < len(GIF):
            waiting = fcntl.ioctl(pipe.fileno(), termios.FIONREAD, waiting)
        return answer

    def __exit__(self, *_):
        self._thread.shutdown()


def test_an_idle_worker_that_is_gone_is_replaced():
    decode(GIF)
    psutil.Process(worker_pid()).kill()
    assert decode(GIF).format == "GIF"


def test_workers_are_recycled(monkeypatch):
    monkeypatch.setattr(isolated, "RECYCLE_AFTER", 3)
    decode(GIF)
    before = worker_counts().started
    for _ in range(9):
        decode(GIF)
    assert worker_counts().started == before + 3


def test_threads_take_turns():
    pictures = [np.full((20 + i, 30, 3), i * 8, np.uint8) for i in range(24)]
    files = [saved(Image.fromarray(p), "TIFF") for p in pictures]
    with ThreadPoolExecutor(4) as threads:
        for decoded, wanted in zip(threads.map(decode, files), pictures, strict=True):
            np.testing.assert_array_equal(decoded.rgb, wanted)


def test_a_worker_that_does_not_start_is_no_fault_of_the_file(monkeypatch):
    isolated._worker.stop()
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(RuntimeError, match="did not start"):
        decode(GIF)
    monkeypatch.undo()
    assert decode(GIF).format == "GIF"


@pytest.mark.parametrize(
    "answer",
    [
        [(isolated.HEADER, b'{"shape": [2, 2, 3]}'), (isolated.DONE, b"")],
        [(isolated.HEADER, b'{"shape": [2, 2, 3]}'), (isolated.PIXELS, bytes(13))],
        [(isolated.HEADER, b'{"shape": [1000000, 1000000, 3]}')],
        [(isolated.HEADER, b'{"shape": [2, -2, 3]}')],
        [(isolated.HEADER, b'{"shape": [1, 1]}'), (isolated.PIXELS, b"x"), (isolated.DONE, b"")],
        [(isolated.HEADER, TALKATIVE), (isolated.PIXELS, bytes(3)), (isolated.DONE, b"")],
        [(isolated.HEADER, b"[" * 100_000)],
        [(isolated.PIXELS, b"x")],
        [(isolated.ERROR, b'["SystemExit", "bye"]')],
        [(77, b"")],
    ],
)
def test_answers_that_make_no_sense(answer, monkeypatch, tmp_path):
    """Whatever a hijacked worker says, the file gets an error row and the worker is replaced."""
    isolated._worker.stop()
    frames = b"".join(isolated.FRAME.pack(kind, len(body)) + body for kind, body in answer)
    script = tmp_path / "worker.py"
    ready = isolated.FRAME.pack(isolated.READY, 0)
    script.write_text(
        f"#!{sys.executable}\nimport os, sys\nos.write(1, {ready!r})\n"
        f"sys.stdin.buffer.read({isolated.REQUEST.size + len(GIF)})\n"
        f"sys.stdout.buffer.write({frames!r})\nsys.stdout.flush()\nsys.stdin.read()\n"
    )
    script.chmod(0o755)
    with monkeypatch.context() as patch:
        patch.setattr(sys, "executable", str(script))
        with pytest.raises(DecoderCrashError, match="makes no sense"):
            decode(GIF)
    assert decode(GIF).format == "GIF"


def script(code: str, **options) -> subprocess.Popen:
    start = f"data = bytes.fromhex({GIF.hex()!r})\n"
    start += "from zcurate.curation.profile.decode import decode\n"
    start += "from zcurate.curation.profile.isolated import worker_pid\n"
    return subprocess.Popen(
        [sys.executable, "-c", start + code], stdout=subprocess.PIPE, text=True, **options
    )


@pytest.mark.parametrize("worker_is", ["idle", "stopped"])
def test_no_orphan_stays(worker_is):
    code = "decode(data)\nprint(worker_pid(), flush=True)\ninput()"
    with script(code, stdin=subprocess.PIPE) as parent:
        worker = psutil.Process(int(parent.stdout.readline()))
        if worker_is == "stopped":
            if sys.platform != "linux":
                parent.kill()
                pytest.skip("kept by the Linux kernel only")
            worker.suspend()
        parent.kill()
    psutil.wait_procs([worker], timeout=20)
    assert not worker.is_running() or worker.status() == psutil.STATUS_ZOMBIE


def test_no_worker_stays_after_the_end():
    with script("decode(data)\nprint(worker_pid())") as parent:
        worker = int(parent.stdout.readline())
    assert parent.returncode == 0
    assert not psutil.pid_exists(worker)


def test_a_forked_process_starts_its_own():
    code = (
        "import os\ndecode(data)\nmine = worker_pid()\n"
        "child = os.fork()\n"
        "if child == 0:\n"
        "    assert worker_pid() is None\n"
        "    decode(data)\n"
        "    os._exit(0 if worker_pid() not in (None, mine) else 1)\n"
        "status = os.waitpid(child, 0)[1]\n"
        "decode(data)\n"
        "print(status, worker_pid() == mine)\n"
    )
    with script(code) as parent:
        assert parent.stdout.read().split() == ["0", "True"]


@LINUX
def test_worker_gets_no_secrets_and_no_modules_of_the_working_directory(tmp_path):
    for name in ("numpy", "PIL", "json", "model"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('hostile module')")
    code = "decode(data)\nprint(open(f'/proc/{worker_pid()}/environ').read().replace(chr(0), ' '))"
    # -P: the test is about the worker's path, not about that of this script
    start = f"import sys; sys.path = [p for p in sys.path if p]\ndata = bytes.fromhex({GIF.hex()!r})\n"
    start += "from zcurate.curation.profile.decode import decode\n"
    start += "from zcurate.curation.profile.isolated import worker_pid\n"
    environment = {**os.environ, "AWS_SECRET_ACCESS_KEY": "hunter2"}
    run = subprocess.run(
        [sys.executable, "-P", "-c", start + code],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stderr
    assert "PATH=" in run.stdout
    assert "hunter2" not in run.stdout


def test_jpeg_xl_names_its_package_or_is_read():
    codestream = b"\xff\x0a" + bytes(40)
    try:
        import pillow_jxl  # noqa: F401
    except ImportError:
        with pytest.raises(UnsupportedFormatError, match="pip install pillow-jxl-plugin"):
            decode(codestream)
        return
    with pytest.raises(ImageError):
        decode(codestream)
    data = saved(IMAGE, "JXL", lossless=True)
    np.testing.assert_array_equal(decode(data).rgb, np.asarray(IMAGE))


@pytest.mark.slow
def test_mutated_files_do_no_harm():
    benchmark = REPOSITORY / "benchmarks" / "decode_fuzz.py"
    run = subprocess.run(
        [sys.executable, str(benchmark), "--mutations", "500", "--seed", "1"], capture_output=True, text=True
    )
    assert run.returncode == 0, run.stderr
    figures = json.loads(run.stdout.splitlines()[-1])
    assert figures["mutations"] == 500 == figures["decoded"] + sum(figures["errors"].values())
    assert (figures["crashes"], figures["hangs"]) == (0, 0), run.stdout + run.stderr
    assert figures["rss_growth_mb"] < 50
