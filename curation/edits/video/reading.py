"""Clips as streams: what they are, all frames in passing and small, single frames in full size.

The container is told by its first bytes and forced on the demuxer: a playlist with the name of a film could otherwise
make it open other files. Nothing but the given file object is ever read. Frames come upright, with square pixels.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from .errors import (
    BrokenVideoError,
    EmptyVideoError,
    NotAVideoError,
    UnsupportedVideoError,
    VideoTooLargeError,
)

if TYPE_CHECKING:
    import av
    from av.container import InputContainer

#: (offset, magic bytes, demuxer) of the containers that are read.
_MAGIC = (
    (4, b"ftyp", "mov"),
    (4, b"moov", "mov"),
    (4, b"mdat", "mov"),
    (4, b"wide", "mov"),
    (4, b"free", "mov"),
    (4, b"skip", "mov"),
    (0, b"\x1a\x45\xdf\xa3", "matroska"),
    (8, b"AVI ", "avi"),
)
#: Transfer functions PQ and HLG, by their numbers in ITU-T H.273.
_HDR = (16, 18)
#: Matrices by their numbers in H.273 -> those of swscale: BT.709, FCC, BT.601 twice, SMPTE 240M, BT.2020 twice.
_MATRIX = {1: 1, 4: 4, 5: 5, 6: 5, 7: 7, 9: 9, 10: 9}
_ITU709, _ITU601 = 1, 5
#: BICUBIC | ACCURATE_RND | FULL_CHR_H_INT | FULL_CHR_H_INP | BITEXACT, and AREA | BITEXACT.
_FINE, _SMALL = 4 | 262144 | 8192 | 16384 | 524288, 32 | 524288
#: From here on a stream without a stated matrix is taken for BT.709, as players do.
_HD_HEIGHT_PX = 720
#: Decoding goes on rather than seeks where the next wanted frame is this near.
_NEAR_S = 2.0


@dataclass(frozen=True)
class ClipLimits:
    """What is refused.

    Attributes:
        max_s: duration. max_frames: frames, where the container tells or by duration and rate.
        max_pixels: of one frame.
        full_decode_frames: clips of more frames are looked through by their key frames only.
    """

    max_s: float = 4 * 3600.0
    max_frames: int = 2_000_000
    max_pixels: int = 4096 * 2304
    full_decode_frames: int = 40_000


@dataclass(frozen=True)
class ClipFacts:
    """What the container and the first frame say.

    Attributes:
        width_px, height_px: as shown: upright, square pixels.
        rotation_deg: turn that makes it upright, counterclockwise; 0, 90, 180 or 270.
        duration_s, frames: None where the container does not tell.
        rate_hz: mean frame rate as the container tells it; None where it does not.
    """

    container: str
    codec: str
    width_px: int
    height_px: int
    rotation_deg: int
    duration_s: float | None
    frames: int | None
    rate_hz: float | None

    @property
    def expected_frames(self) -> int | None:
        if self.frames:
            return self.frames
        return int(self.duration_s * self.rate_hz) if self.duration_s and self.rate_hz else None


class Clip:
    """An open clip. Not thread-safe; closes with the file it was given.

    Raises (on opening): EmptyVideoError, NotAVideoError, BrokenVideoError, UnsupportedVideoError, VideoTooLargeError.
    """

    def __init__(self, file: BinaryIO, limits: ClipLimits | None = None) -> None:
        self._limits = limits or ClipLimits()
        self._file = file
        self._container_name = _container_of(file)
        with self._container() as (container, stream):
            duration = _duration_s(container, stream)
            if duration is not None and duration > self._limits.max_s:
                raise VideoTooLargeError(f"{duration:.0f} s; at most {self._limits.max_s:.0f} s (max_s)")
            first = next(self._decoded(container, stream), None)
            if first is None:
                raise EmptyVideoError("no frame can be decoded; the file holds no pictures or was cut off")
            if first.color_trc in _HDR:
                raise UnsupportedVideoError(
                    "high dynamic range (PQ or HLG); convert it to standard range first"
                )
            aspect = stream.sample_aspect_ratio
            self._aspect = float(aspect) if aspect and 0.1 < float(aspect) < 10 else 1.0
            self._turns = round(first.rotation / 90) % 4
            width, height = round(first.width * self._aspect), first.height
            width, height = (height, width) if self._turns % 2 else (width, height)
            self.facts = ClipFacts(
                self._container_name,
                stream.codec_context.name,
                width,
                height,
                self._turns * 90,
                duration,
                stream.frames or None,
                float(stream.average_rate) if stream.average_rate else None,
            )
        expected = self.facts.expected_frames
        if expected is not None and expected > self._limits.max_frames:
            raise VideoTooLargeError(f"{expected} frames; at most {self._limits.max_frames} (max_frames)")

    @property
    def key_frames_only(self) -> bool:
        """Whether `small_frames` passes over all but key frames, for the clip's length."""
        expected = self.facts.expected_frames
        return expected is not None and expected > self._limits.full_decode_frames

    def small_frames(self, width_px: int, height_px: int, per_s: float) -> Iterator[tuple[float, np.ndarray]]:
        """(seconds from the first frame, (height_px, width_px, 3) uint8) in order of time.

        Frames nearer than 1 / `per_s` to the one before are decoded but not given. A damaged place is passed over;
        what follows it counts.

        Raises:
            VideoTooLargeError: there are more frames than the container told, or it goes on longer.
        """
        with self._container() as (container, stream):
            if self.key_frames_only:
                stream.codec_context.skip_frame = "NONKEY"
            start, last = None, -1e9
            for n, frame in enumerate(self._decoded(container, stream)):
                if n >= self._limits.max_frames:
                    raise VideoTooLargeError(f"more than {self._limits.max_frames} frames (max_frames)")
                if frame.pts is None:
                    continue
                at = float(frame.pts * frame.time_base)
                start = at if start is None else start
                at -= start
                if at > self._limits.max_s:
                    raise VideoTooLargeError(f"goes on after {self._limits.max_s:.0f} s (max_s)")
                if at < last + 1 / per_s - 1e-3:
                    continue
                last = at
                yield at, self._rgb(frame, width_px, height_px)

    def frames_at(self, times_s: Sequence[float]) -> Iterator[tuple[float, float, np.ndarray]]:
        """(wanted time, time of the frame, (H, W, 3) uint8), upright: for each time the first frame not before it.

        Args:
            times_s: ascending, in seconds from the first frame. Times after the last frame are left out, and so are
                frames that are damaged or interlaced.
        """
        if not times_s:
            return
        with self._container() as (container, stream):
            start = self._start_s(container, stream)
            wanted = list(times_s)
            at = -1e9
            frames: Iterator[av.VideoFrame] = iter(())
            while wanted:
                if not at <= wanted[0] <= at + _NEAR_S:
                    self._seek(container, stream, wanted[0] + start)
                    frames = self._decoded(container, stream)
                given = False
                for frame in frames:
                    if frame.pts is None:
                        continue
                    at = float(frame.pts * frame.time_base) - start
                    if at >= wanted[0] - 1e-4:
                        given = True
                        break
                if not given:
                    return
                rgb = None if frame.is_corrupt or frame.interlaced_frame else self._rgb(frame)
                while wanted and wanted[0] <= at + 1e-4:
                    if rgb is not None:
                        yield wanted[0], at, rgb
                    wanted.pop(0)

    def _start_s(self, container: InputContainer, stream: Any) -> float:
        for frame in self._decoded(container, stream):
            if frame.pts is not None:
                return float(frame.pts * frame.time_base)
        return 0.0

    def _seek(self, container: InputContainer, stream: Any, at_s: float) -> None:
        import av

        try:
            container.seek(max(0, int(at_s / stream.time_base)), stream=stream, backward=True)
        except av.FFmpegError:
            # No index, or a broken one: from the start it takes longer, but it arrives.
            try:
                container.seek(0)
            except av.FFmpegError as e:
                raise BrokenVideoError(f"cannot be sought in: {e.strerror}") from e

    @contextmanager
    def _container(self) -> Iterator[tuple[InputContainer, Any]]:
        import av

        self._file.seek(0)
        try:
            container = av.open(self._file, format=self._container_name, metadata_errors="replace")
        except (av.FFmpegError, ValueError) as e:
            raise BrokenVideoError(f"no {self._container_name} file: {e}; it is damaged or cut off") from e
        try:
            if not container.streams.video:
                raise EmptyVideoError("the file holds no pictures, only sound or data")
            stream = container.streams.video[0]
            context = stream.codec_context
            if context is None:
                raise UnsupportedVideoError("there is no decoder for its codec")
            if context.width * context.height > self._limits.max_pixels:
                raise VideoTooLargeError(
                    f"frames of {context.width} x {context.height} px; at most {self._limits.max_pixels} (max_pixels)"
                )
            context.thread_count, context.thread_type = 1, "NONE"
            yield container, stream
        finally:
            container.close()

    def _decoded(self, container: InputContainer, stream: Any) -> Iterator[av.VideoFrame]:
        """All frames that can be decoded, damaged packets passed over.

        Raises:
            BrokenVideoError: nothing but damage, for longer than could be a bad place.
        """
        import av

        packets = container.demux(stream)
        damaged = 0
        while True:
            try:
                packet = next(packets)
            except (StopIteration, av.EOFError):
                return
            except av.FFmpegError as e:
                # The file ends inside a packet, or its index points nowhere: nothing follows that could be read.
                damaged += 1
                if damaged > 100:
                    raise BrokenVideoError(f"{e.strerror} after {damaged} bad packets") from e
                continue
            try:
                found = packet.decode()
            except av.EOFError:
                return
            except av.FFmpegError:
                damaged += 1
                continue
            for frame in found:
                if frame.width * frame.height > self._limits.max_pixels:
                    raise VideoTooLargeError(f"a frame of {frame.width} x {frame.height} px inside")
                yield frame

    def _rgb(
        self, frame: av.VideoFrame, width_px: int | None = None, height_px: int | None = None
    ) -> np.ndarray:
        """(H, W, 3) uint8 full range; upright. Without a size: as stored, widened to square pixels."""
        small = width_px is not None and height_px is not None
        if small:
            width, height = (height_px, width_px) if self._turns % 2 else (width_px, height_px)
        else:
            width, height = round(frame.width * self._aspect), frame.height
        matrix = _MATRIX.get(int(frame.colorspace), _ITU709 if frame.height >= _HD_HEIGHT_PX else _ITU601)
        done = frame.reformat(
            width=width,
            height=height,
            format="rgb24",
            src_colorspace=matrix,
            interpolation=_SMALL if small else _FINE,
        )
        rgb = done.to_ndarray()
        return np.ascontiguousarray(np.rot90(rgb, self._turns)) if self._turns else rgb


def _container_of(file: BinaryIO) -> str:
    file.seek(0)
    head = file.read(16)
    if not head:
        raise EmptyVideoError("a file of no bytes")
    for offset, magic, name in _MAGIC:
        if head[offset : offset + len(magic)] == magic:
            return name
    raise NotAVideoError("no mp4, mov, mkv, webm or avi by its first bytes")


def _duration_s(container: InputContainer, stream: Any) -> float | None:
    if stream.duration is not None and stream.time_base:
        return float(stream.duration * stream.time_base)
    return container.duration / 1e6 if container.duration is not None else None
