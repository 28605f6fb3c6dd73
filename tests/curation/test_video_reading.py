"""Clips are read as streams: by time, upright, whatever the container; what is broken says so."""

import io

import numpy as np
import pytest

from tests.curation.clips import HEIGHT, WIDTH, encoded, scene, thing
from zcurate.curation.edits.video.errors import (
    BrokenVideoError,
    EmptyVideoError,
    NotAVideoError,
    VideoTooLargeError,
)
from zcurate.curation.edits.video.reading import Clip, ClipLimits
from zcurate.curation.errors import SampleError


def numbered(count):
    """Frames whose brightness tells their number."""
    return [np.full((HEIGHT, WIDTH, 3), 20 + 10 * n, np.uint8) for n in range(count)]


def number_of(rgb):
    return round((float(rgb.mean()) - 20) / 10)


def clip_of(data, **limits):
    return Clip(io.BytesIO(data), ClipLimits(**limits))


@pytest.mark.parametrize("container", ["mp4", "mkv", "webm"])
def test_frames_are_found_by_time_in_every_container(container):
    clip = clip_of(encoded(numbered(20), rate=10, container=container, gop=7))
    assert (clip.facts.width_px, clip.facts.height_px) == (WIDTH, HEIGHT)
    wanted = [0.0, 0.5, 0.9, 1.9]
    found = list(clip.frames_at(wanted))
    assert [w for w, _, _ in found] == wanted
    assert [number_of(rgb) for _, _, rgb in found] == [0, 5, 9, 19]
    assert [round(at, 2) for _, at, _ in found] == wanted


def test_seeking_reaches_far_frames():
    clip = clip_of(encoded(numbered(20) * 5, rate=10, gop=10))
    found = list(clip.frames_at([0.0, 7.5, 9.9]))
    assert [number_of(rgb) for _, _, rgb in found] == [0, 15, 19]


def test_variable_frame_rate_goes_by_time_stamps():
    times = [0.0, 0.04, 0.08, 2.0, 2.04, 5.0]
    clip = clip_of(encoded(numbered(6), container="mkv", times_s=times))
    found = {w: (round(at, 2), number_of(rgb)) for w, at, rgb in clip.frames_at([0.0, 0.5, 2.0, 4.0])}
    assert found == {0.0: (0.0, 0), 0.5: (2.0, 3), 2.0: (2.0, 3), 4.0: (5.0, 5)}
    assert [round(at, 2) for at, _ in clip.small_frames(64, 36, 10)] == [0.0, 2.0, 5.0]


@pytest.mark.parametrize("degrees", [90, 180, -90])
def test_rotated_clips_come_upright(degrees):
    picture = scene(1)
    clip = clip_of(encoded([picture] * 3, rotation=degrees))
    _, _, rgb = next(clip.frames_at([0.0]))
    # Players turn the stored picture by the matrix, counterclockwise.
    upright = np.rot90(picture, round(degrees / 90))
    assert rgb.shape == upright.shape == (clip.facts.height_px, clip.facts.width_px, 3)
    assert np.abs(rgb.astype(int) - upright).mean() < 12


def test_colors_survive():
    picture = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    picture[:, : WIDTH // 2], picture[:, WIDTH // 2 :] = (200, 40, 40), (40, 160, 60)
    _, _, rgb = next(clip_of(encoded([picture] * 2)).frames_at([0.0]))
    assert np.abs(rgb[40:-40, 20:100].mean(axis=(0, 1)) - (200, 40, 40)).max() < 6
    assert np.abs(rgb[40:-40, -100:-20].mean(axis=(0, 1)) - (40, 160, 60)).max() < 6


def test_one_frame_is_a_clip():
    clip = clip_of(encoded(numbered(1)))
    assert len(list(clip.small_frames(64, 36, 10))) == 1
    assert len(list(clip.frames_at([0.0, 0.5]))) == 1


@pytest.mark.parametrize(
    ("data", "error"),
    [
        (b"", EmptyVideoError),
        (b"\x89PNG\r\n\x1a\n" + bytes(64), NotAVideoError),
        (b"#EXTM3U\n#EXTINF:1\nfile:///etc/passwd\n", NotAVideoError),
        (b"\0\0\0\x18ftypisom" + bytes(200), BrokenVideoError),
        (b"\x1a\x45\xdf\xa3" + bytes(200), SampleError),
    ],
)
def test_what_is_no_clip_is_a_typed_error(data, error):
    def read() -> None:
        list(clip_of(data).small_frames(64, 36, 10))

    with pytest.raises(error):
        read()


def test_cut_off_and_damaged_clips_give_what_they_have_or_a_typed_error():
    whole = encoded([thing(scene(2), 20 + 5 * n, 100) for n in range(40)], container="mkv", gop=10)
    rng = np.random.default_rng(0)
    counts = []
    for share in (0.05, 0.3, 0.7, 0.95):
        try:
            counts.append(len(list(clip_of(whole[: int(len(whole) * share)]).small_frames(64, 36, 10))))
        except SampleError:
            counts.append(0)
    assert counts == sorted(counts)
    assert 0 < counts[-1] <= 40
    for _ in range(25):
        data = bytearray(whole)
        for at in rng.integers(0, len(data), 60):
            data[at] = int(rng.integers(0, 256))
        try:
            clip = clip_of(bytes(data))
            assert all(s.shape == (36, 64, 3) for _, s in clip.small_frames(64, 36, 10))
            list(clip.frames_at([0.0, 1.0, 3.0]))
        except SampleError:
            pass


@pytest.mark.parametrize("limits", [{"max_s": 1.0}, {"max_frames": 10}, {"max_pixels": 1000}])
def test_limits(limits):
    with pytest.raises(VideoTooLargeError, match=next(iter(limits))):
        list(clip_of(encoded(numbered(20)), **limits).small_frames(64, 36, 10))


def test_long_clips_are_looked_through_by_key_frames():
    data = encoded(numbered(20), rate=10, gop=5)
    clip = clip_of(data, full_decode_frames=10)
    assert clip.key_frames_only
    times = [at for at, _ in clip.small_frames(64, 36, 10)]
    assert 4 <= len(times) < 20
    assert times[0] == 0.0
    assert [number_of(rgb) for _, _, rgb in clip.frames_at([1.3])] == [13]
