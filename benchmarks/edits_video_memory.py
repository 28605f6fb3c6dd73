"""Peak memory of taking pairs from one long clip: two hours by default, made here, surveyed and stored as a build does.

The clip is noise-textured scenes with a moving thing, a cut every 20 s. A process of its own does the work, so that
making the clip does not count. The peer is what the clip's frames would take if they were all decoded at once.

The last line of the output is JSON.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np

SHOT_S = 20


def make_clip(path: Path, seconds: int, width: int, height: int, rate: int) -> None:
    """Writes an MP4 (H.264, a key frame every 2 s) of so many seconds."""
    import av

    rng = np.random.default_rng(0)
    with av.open(str(path), "w") as out:
        stream = out.add_stream("libx264", rate=rate)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.gop_size = 2 * rate
        stream.options = {"preset": "ultrafast", "crf": "30"}
        ground = np.zeros((height, width, 3), np.uint8)
        for n in range(seconds * rate):
            if n % (SHOT_S * rate) == 0:
                small = rng.integers(0, 255, (6, 9, 3), dtype=np.uint8)
                ground = cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC)
                for _ in range(30):
                    color = tuple(int(c) for c in rng.integers(0, 255, 3))
                    x, y = int(rng.integers(0, width)), int(rng.integers(0, height))
                    cv2.rectangle(ground, (x, y), (x + width // 12, y + height // 14), color, -1)
            picture = ground.copy()
            at = n % (SHOT_S * rate) / (SHOT_S * rate)
            center = (int(width * (0.1 + 0.8 * at)), int(height * (0.5 + 0.3 * np.sin(9 * at))))
            cv2.circle(picture, center, height // 8, (240, 210, 60), -1)
            cv2.circle(picture, center, height // 16, (30, 40, 180), -1)
            out.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        out.mux(stream.encode())


def work(path: Path, max_side_px: int) -> dict[str, float]:
    """Shots, survey and stored pictures of a clip; peak memory of this process in MiB."""
    from zcurate.curation.edits.encoding import encode_png
    from zcurate.curation.edits.video.band import band_of
    from zcurate.curation.edits.video.choosing import Caps, choose
    from zcurate.curation.edits.video.reading import Clip
    from zcurate.curation.edits.video.shots import PER_S, SMALL_HEIGHT_PX, SMALL_WIDTH_PX, shots, signatures
    from zcurate.curation.edits.video.surveying import SurveyPlan, survey
    from zcurate.pipelines.registry import resolve
    from zcurate.pipelines.stages.video_pairs import reduced

    cv2.setNumThreads(1)
    encoder = resolve("encoder", "embedded")
    encoder.load()
    before = _peak_mib()
    start = time.perf_counter()
    with path.open("rb") as file:
        clip = Clip(file)
        seen = signatures(clip.small_frames(SMALL_WIDTH_PX, SMALL_HEIGHT_PX, PER_S))
        found = shots(seen)
        surveyed = survey(clip, found, encoder, SurveyPlan())
        band = band_of([c.similarity for c in surveyed.candidates if c.reason is None])
        chosen = choose(surveyed, band, Caps())
        size = sum(len(encode_png(reduced(rgb, max_side_px))) for _, _, rgb in clip.frames_at(chosen.times_s))
        key_frames_only = clip.key_frames_only
    return {
        "seconds": round(time.perf_counter() - start, 1),
        "peak_memory_mib": round(_peak_mib()),
        "peak_before_mib": round(before),
        "frames_looked_at": len(seen.times_s),
        "key_frames_only": key_frames_only,
        "shots": len(found),
        "pairs": sum(j.reason is None for j in chosen.pairs),
        "stored_mib": round(size / 2**20, 1),
    }


def _peak_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=120, help="length of the clip (default 120)")
    parser.add_argument("--width", type=int, default=320, help="px (default 320)")
    parser.add_argument("--height", type=int, default=240, help="px (default 240)")
    parser.add_argument("--rate", type=int, default=25, help="frames a second (default 25)")
    parser.add_argument("--clip", type=Path, help="a clip of your own instead")
    parser.add_argument("--quick", action="store_true", help="4 minutes")
    parser.add_argument("--work", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.work is not None:
        print(json.dumps(work(args.work, 1280)))
        return
    seconds = round(60 * (4 if args.quick else args.minutes))
    with tempfile.TemporaryDirectory() as folder:
        path = args.clip or Path(folder) / "long.mp4"
        if args.clip is None:
            make_clip(path, seconds, args.width, args.height, args.rate)
            print(
                f"made {seconds / 60:.0f} min at {args.width} x {args.height}, {path.stat().st_size / 2**20:.0f} MiB"
            )
        command = [sys.executable, os.fspath(Path(__file__)), "--work", os.fspath(path)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        found = json.loads(done.stdout.splitlines()[-1])
    decoded = None if args.clip else seconds * args.rate * args.width * args.height * 3 / 2**20
    print(
        f"{found['shots']} shots, {found['pairs']} pairs in {found['seconds']:.0f} s; "
        f"peak {found['peak_memory_mib']} MiB ({found['peak_before_mib']} before the clip was opened)"
    )
    result = {"minutes": None if args.clip else seconds / 60, **found}
    result["ratio_to_all_frames"] = decoded and round(found["peak_memory_mib"] / decoded, 5)
    print(json.dumps(result))


if __name__ == "__main__":
    main()
