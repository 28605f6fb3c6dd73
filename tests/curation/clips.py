"""Clips made for tests: scenes with texture, drawn frame by frame and encoded with PyAV."""

import io
from fractions import Fraction

import av
import cv2
import numpy as np

WIDTH, HEIGHT = 320, 240


def scene(seed, width=WIDTH, height=HEIGHT):
    """(height, width, 3) uint8: smooth colors, texture of several sizes and a few things with outlines."""
    rng = np.random.default_rng(seed)
    total = np.zeros((height, width, 3), np.float32)
    for cells, weight in ((2, 70), (9, 25), (40, 14), (110, 12)):
        noise = rng.standard_normal((cells, cells, 3)).astype(np.float32)
        total += weight * cv2.resize(noise, (width, height), interpolation=cv2.INTER_CUBIC)
    picture = np.clip(total + rng.uniform(70, 180, 3), 0, 255).astype(np.uint8)
    for _ in range(30):
        color = tuple(int(c) for c in rng.integers(0, 255, 3))
        x, y = int(rng.integers(0, width)), int(rng.integers(0, height))
        size = int(rng.integers(8, max(9, width // 12)))
        if rng.random() < 0.5:
            cv2.rectangle(picture, (x, y), (x + size, y + size // 2), color, -1)
        else:
            cv2.circle(picture, (x, y), size // 2, color, -1)
    return picture


def thing(picture, x, y, size=50):
    """The picture with a checkered ball on it."""
    done = picture.copy()
    cv2.circle(done, (x, y), size // 2, (240, 200, 40), -1)
    cv2.circle(done, (x, y), size // 4, (20, 20, 160), -1)
    cv2.line(done, (x - size // 3, y), (x + size // 3, y), (255, 255, 255), 3)
    return done


def lettered(picture, text):
    """The picture with a subtitle."""
    done = picture.copy()
    (width, _), _ = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, 0.6, 2)
    place = ((picture.shape[1] - width) // 2, picture.shape[0] - 14)
    cv2.putText(done, text, place, cv2.FONT_HERSHEY_SIMPLEX, 0.6, (0, 0, 0), 4, cv2.LINE_AA)
    cv2.putText(done, text, place, cv2.FONT_HERSHEY_SIMPLEX, 0.6, (255, 255, 255), 2, cv2.LINE_AA)
    return done


def encoded(frames, rate=10, container="mp4", times_s=None, rotation=0, codec=None, gop=None, crf=20):
    """Bytes of a clip of (H, W, 3) uint8 frames; `times_s` gives each its own time (variable frame rate)."""
    sink = io.BytesIO()
    codec = codec or ("libvpx" if container == "webm" else "libx264")
    names = {"mkv": "matroska"}
    with av.open(sink, "w", format=names.get(container, container)) as out:
        stream = out.add_stream(codec, rate=rate)
        stream.pix_fmt = "yuv420p"
        stream.thread_count = 1
        if codec == "libx264":
            stream.options = {"crf": str(crf), "preset": "veryfast"}
        if gop:
            stream.gop_size = gop
        if times_s is not None:
            stream.codec_context.time_base = Fraction(1, 1000)
        for n, picture in enumerate(frames):
            if n == 0:
                stream.width, stream.height = picture.shape[1], picture.shape[0]
                if rotation:
                    stream.set_display_rotation(rotation)
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")
            if times_s is not None:
                frame.pts, frame.time_base = round(times_s[n] * 1000), Fraction(1, 1000)
            out.mux(stream.encode(frame))
        out.mux(stream.encode())
    return sink.getvalue()
