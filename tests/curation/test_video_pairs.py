"""Shots, and what changed between two frames, on clips whose truth is known because they were drawn."""

import io
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.curation.clips import HEIGHT, WIDTH, encoded, lettered, scene, thing
from zcurate.curation.edits.taxonomy import TASKS
from zcurate.curation.edits.video.band import CLIP_BAND, Band, band_of
from zcurate.curation.edits.video.choosing import Caps, choose
from zcurate.curation.edits.video.ladder import ladder
from zcurate.curation.edits.video.motion import MotionRules, compare, types_of, working
from zcurate.curation.edits.video.reading import Clip
from zcurate.curation.edits.video.shots import Shot, shots, signatures
from zcurate.curation.edits.video.surveying import SurveyPlan, survey

RULES = MotionRules()
REAL = Path(__file__).parents[2].parent / "shared/data"


def found_shots(frames, **options):
    clip = Clip(io.BytesIO(encoded(frames, **options)))
    return shots(signatures(clip.small_frames(64, 36, 10)))


def panned(picture, n, step):
    return picture[:, n * step : n * step + WIDTH]


def matched(cuts, found, within=0.35):
    """(precision, recall) of boundaries between shots."""
    edges = [(a.end_s + b.start_s) / 2 for a, b in zip(found, found[1:], strict=False)]
    hits = sum(any(abs(e - c) < within for c in cuts) for e in edges)
    seen = sum(any(abs(e - c) < within for e in edges) for c in cuts)
    return hits / max(1, len(edges)), seen / max(1, len(cuts))


def test_cuts_are_found_and_nothing_else_is():
    """Thirty shots of moving things, pans and zooms; every boundary is a cut."""
    precision, recall = [], []
    for seed in range(5):
        frames, cuts = [], []
        for k in range(6):
            wide = scene(100 * seed + k, WIDTH * 2, HEIGHT)
            for n in range(15):
                kind = (seed + k) % 3
                if kind == 0:
                    frames.append(thing(panned(wide, 0, 0), 30 + 15 * n, 120))
                elif kind == 1:
                    frames.append(panned(wide, n, 8))
                else:
                    matrix = cv2.getRotationMatrix2D((WIDTH / 2, HEIGHT / 2), 0, 1 + 0.03 * n)
                    frames.append(cv2.warpAffine(panned(wide, 0, 0), matrix, (WIDTH, HEIGHT)))
            cuts.append(len(frames) / 10)
        p, r = matched(cuts[:-1], found_shots(frames))
        precision.append(p)
        recall.append(r)
    assert np.mean(recall) >= 0.95
    assert np.mean(precision) >= 0.95


def test_fades_and_black_part_shots_and_belong_to_none():
    a, b = scene(1), scene(2)
    fade = [(a * s).astype(np.uint8) for s in np.linspace(1, 0, 10)]
    rise = [(b * s).astype(np.uint8) for s in np.linspace(0, 1, 10)]
    found = found_shots([a] * 20 + fade + [np.zeros_like(a)] * 5 + rise + [b] * 20)
    assert len(found) == 2
    assert found[0].end_s < 2.6
    assert found[1].start_s > 3.6


def test_dissolves_part_shots_and_pans_do_not():
    right = 0
    for seed in range(10):
        a, b = scene(30 + seed), scene(60 + seed)
        mix = [cv2.addWeighted(a, 1 - s, b, s, 0) for s in np.linspace(0, 1, 9)]
        found = found_shots([a] * 20 + mix + [b] * 20)
        right += len(found) == 2 and found[0].end_s <= 2.5 and found[1].start_s >= 2.2
    assert right >= 9
    pans = [
        found_shots([panned(scene(90 + s, WIDTH * 3, HEIGHT), n, 6) for n in range(40)]) for s in range(10)
    ]
    assert sum(len(found) == 1 for found in pans) >= 9


def test_a_flash_is_no_cut():
    a = scene(5)
    flash = cv2.addWeighted(a, 0.3, np.full_like(a, 255), 0.7, 0)
    assert (
        len(found_shots([thing(a, 40 + n, 90) for n in range(15)] + [flash] + [thing(a, 60, 90)] * 15)) == 1
    )


def test_black_and_single_frames_have_no_shots():
    assert found_shots([np.zeros((HEIGHT, WIDTH, 3), np.uint8)] * 20) == []
    assert found_shots([scene(1)]) == []


@given(st.floats(0, 60), st.floats(0.1, 40), st.integers(1, 6))
def test_the_ladder_stays_in_its_shot(start, length, anchors):
    gaps = (0.5, 1.0, 2.0, 4.0, 8.0)
    for a, b in ladder(Shot(start, start + length), gaps, anchors):
        assert start - 1e-6 <= a < b <= start + length + 1e-5
        assert any(abs(b - a - g) < 1e-6 for g in gaps)
    assert len(ladder(Shot(start, start + length), gaps, anchors)) <= anchors * len(gaps)


def noisy(picture, seed):
    rng = np.random.default_rng(seed)
    return np.clip(picture + rng.normal(0, 2.5, picture.shape), 0, 255).astype(np.uint8)


def warped(picture, angle=0.0, scale=1.0, dx=0.0, dy=0.0):
    """From the middle of a larger picture, so that no border shows."""
    height, width = picture.shape[:2]
    matrix = cv2.getRotationMatrix2D((width / 2, height / 2), angle, scale)
    matrix[:, 2] += (dx, dy)
    done = cv2.warpAffine(picture, matrix, (width, height), flags=cv2.INTER_AREA)
    return done[height // 4 : -(height // 4), width // 4 : -(width // 4)]


def two_planes(seed, shift):
    """A camera moving sideways: what is near (lower band, textured blocks) moves three times as far."""
    far, near = scene(seed, WIDTH * 2, HEIGHT), scene(seed + 1, WIDTH * 2, HEIGHT)
    done = far[:, shift : shift + WIDTH].copy()
    for k, x in enumerate((20, 130, 240, 350)):
        left = x - 3 * shift
        w = min(WIDTH, left + 70) - max(0, left)
        if w > 0:
            top = 60 + 25 * (k % 2)
            source = near[top:220, x + max(0, -left) : x + max(0, -left) + w]
            done[top:220, max(0, left) : max(0, left) + w] = source
    return done


CASES = {
    "near_duplicate": lambda s: (noisy(scene(s), 1), noisy(scene(s), 2)),
    "subtitle_only": lambda s: (noisy(scene(s), 1), noisy(lettered(scene(s), "a line of words here"), 2)),
    "global_motion": lambda s: (
        noisy(warped(scene(s, 640, 480)), 1),
        noisy(warped(scene(s, 640, 480), (s % 3) * 2.0, 1.0 + 0.08 * (s % 4), 24, 10 * (s % 2)), 2),
    ),
    "video.action": lambda s: (
        noisy(thing(scene(s), 60, 100), 1),
        noisy(thing(scene(s), 60 + 20 * (2 + s % 5), 130), 2),
    ),
    "video.viewpoint": lambda s: (noisy(two_planes(s, 4), 1), noisy(two_planes(s, 24), 2)),
    "video.scene": lambda s: (noisy(thing(scene(s), 160, 120), 1), noisy(thing(scene(s + 500), 160, 120), 2)),
    "video.appearance": lambda s: (
        noisy(scene(s), 1),
        noisy(np.clip(scene(s) * np.array((0.45, 0.55, 0.75)) + 5, 0, 255).astype(np.uint8), 2),
    ),
}


def told(pair):
    motion = compare(*(working(f) for f in pair), RULES)
    return motion.reason or motion.label


@pytest.mark.parametrize("truth", CASES)
def test_what_changed_is_told(truth):
    """On 20 scenes per kind: most are told right."""
    answers = [told(CASES[truth](1000 + s)) for s in range(20)]
    assert answers.count(truth) >= 16, answers


def test_refusals_are_precise():
    """What is refused as global motion or subtitle is that, over all kinds."""
    refused = {"near_duplicate": [], "subtitle_only": [], "global_motion": []}
    for truth, make in CASES.items():
        for s in range(10):
            answer = told(make(2000 + s))
            if answer in refused:
                refused[answer].append(truth)
    for reason, truths in refused.items():
        assert truths.count(reason) >= 0.9 * len(truths), (reason, truths)


def test_labels_are_tasks():
    motion = compare(*(working(f) for f in CASES["video.viewpoint"](7)), RULES)
    assert set(types_of(motion)) <= set(TASKS)


@settings(max_examples=50)
@given(st.lists(st.floats(-1, 1), min_size=20, max_size=200))
def test_percentiles_make_a_band(values):
    band = band_of(values, 10, 90)
    inside = [v for v in values if band.reason(v) is None]
    assert len(inside) >= 0.7 * len(values)
    assert band_of(values[:5]) == Band(-1.0, 1.0)


def test_a_band_names_its_sides():
    assert [CLIP_BAND.reason(v) for v in (0.79, 0.9, 0.98)] == ["too_different", None, "too_alike"]


class Colors:
    """An encoder of real pictures' mean colors: enough to tell scenes apart."""

    def encode_images(self, images):
        found = np.array(
            [cv2.resize(i, (4, 4), interpolation=cv2.INTER_AREA).ravel() for i in images], np.float64
        )
        return found / np.linalg.norm(found, axis=1, keepdims=True)


def surveyed(frames, **options):
    clip = Clip(io.BytesIO(encoded(frames, **options)))
    found = shots(signatures(clip.small_frames(64, 36, 10)))
    return survey(clip, found, Colors(), SurveyPlan())


def test_a_clip_of_one_moving_thing_gives_action_pairs_inside_its_shots():
    frames = [thing(scene(11), 30 + 4 * n, 120) for n in range(50)] + [scene(12)] * 30
    found = surveyed(frames)
    good = [c for c in found.candidates if c.reason is None]
    assert good
    assert {c.motion.label for c in good} == {"video.action"}
    assert all(c.target_s < 5.0 for c in good)
    assert {c.reason for c in found.candidates if c.source_s >= 5.0} == {"near_duplicate"}
    chosen = choose(found, Band(-1, 1), Caps(pairs=3, frames=5))
    assert len([j for j in chosen.pairs if j.reason is None]) <= 3
    assert len(chosen.times_s) <= 5
    assert chosen.refused["near_duplicate"] > 0
    assert chosen.refused["capped"] > 0


def test_blurred_and_black_frames_are_in_no_pair():
    frames = [thing(scene(13), 30 + 4 * n, 120) for n in range(41)]
    for n in (0, 5, 10, 20):
        frames[n] = cv2.GaussianBlur(frames[n], (0, 0), 6)
    found = surveyed(frames, gop=1, crf=10)
    blurred = {0.0, 0.5, 1.0, 2.0}
    assert found.refused["blurred"] > 0
    assert not any({round(c.source_s, 2), round(c.target_s, 2)} & blurred for c in found.candidates)


def test_frames_smaller_than_64_px_are_refused():
    found = surveyed([cv2.resize(thing(scene(14), 40 + 6 * n, 100), (64, 48)) for n in range(30)])
    assert not found.candidates
    assert set(found.refused) == {"too_small"}


def test_real_clips_part_where_they_are_cut():
    path = REAL / "data-juicer/video1.mp4"
    if not path.is_file():
        pytest.skip("real clips are not here")
    with path.open("rb") as file:
        found = shots(signatures(Clip(file).small_frames(64, 36, 10)))
    # Cut at 6.0 and 9.9 s, as seen by eye.
    assert [round(s.end_s) for s in found] == [6, 10, 12]
