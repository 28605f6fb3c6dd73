"""The aesthetic heuristic, the AI-generated verdict, and the detector."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from zcurate.curation.errors import MissingDependencyError
from zcurate.curation.scoring.aesthetics import aesthetic_parts, aesthetic_score, colorfulness
from zcurate.curation.scoring.ai_generated import ai_generated
from zcurate.curation.scoring.detector import (
    Detection,
    NudeNetDetector,
    count_faces,
    nsfw_score,
)

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"


@pytest.fixture(scope="module")
def photos():
    data = pytest.importorskip("skimage.data")
    return [getattr(data, n)() for n in ("astronaut", "chelsea", "coffee", "rocket")]


FAULTS = {
    "blur": lambda a: cv2.GaussianBlur(a, (0, 0), 5),
    "dark": lambda a: (a * 0.2).astype(np.uint8),
    "washed out": lambda a: (a * 0.3 + 100).astype(np.uint8),
    "flat": lambda a: np.full_like(a, 128),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_faults_lower_the_score(photos, fault):
    for photo in photos:
        assert aesthetic_score(FAULTS[fault](photo)) < aesthetic_score(photo) - 0.3, fault


def test_measurements_of_the_original_count(photos):
    for photo in photos:
        clean = aesthetic_score(photo, {"sharpness": 200.0, "noise_sigma": 1.0})
        assert aesthetic_score(photo, {"sharpness": 2.0, "noise_sigma": 1.0}) < clean
        assert aesthetic_score(photo, {"sharpness": 200.0, "noise_sigma": 30.0}) < clean
        noisy = np.clip(photo + np.random.default_rng(0).normal(0, 30, photo.shape), 0, 255).astype(np.uint8)
        assert aesthetic_score(noisy) < aesthetic_score(photo)
        unknown = {"sharpness": None, "noise_sigma": None}
        assert aesthetic_score(photo, unknown) == aesthetic_score(photo)
        assert aesthetic_score(photo, None, {"blur": 1.0}) == pytest.approx(
            max(1, aesthetic_score(photo) - 3)
        )
        assert aesthetic_score(photo, None, {"blur": float("nan"), "noise": None}) == aesthetic_score(photo)


@given(
    shape=st.tuples(st.integers(1, 40), st.integers(1, 40)),
    seed=st.integers(0, 99),
    values=st.tuples(*[st.none() | st.floats(0, 1e6)] * 2),
)
def test_scores_of_any_picture_are_in_range(shape, seed, values):
    rng = np.random.default_rng(seed)
    picture = rng.integers(0, rng.integers(1, 256), (*shape, 3), np.uint8)
    score = aesthetic_score(picture, {"sharpness": values[0], "noise_sigma": values[1]})
    assert 1 <= score <= 10
    parts = aesthetic_parts(picture)
    assert all(0 <= getattr(parts, n) <= 1 for n in parts.__dataclass_fields__)


def test_colorfulness_of_known_pictures():
    grey = np.random.default_rng(0).integers(0, 256, (20, 20, 1), np.uint8).repeat(3, axis=2)
    assert colorfulness(grey) == 0
    halves = np.zeros((10, 10, 3), np.uint8)
    halves[:5, :, 0], halves[5:, :, 1] = 255, 255
    # rg is +-255 (deviation 255, mean 0), yb is 127.5 throughout
    assert colorfulness(halves) == pytest.approx(255 + 0.3 * 127.5)


@pytest.mark.parametrize(
    ("case", "probability", "evidence"),
    [
        ((True, ["c2pa: x"], "unknown", None, 0.1), 1.0, ["c2pa: x"]),
        ((True, ["c2pa: x"], "camera", 0.9, 0.1), 1.0, ["c2pa: x", "head: 0.90"]),
        ((False, [], "model", None, None), 1.0, ["source: origin is model"]),
        ((False, [], "camera", 0.2, 0.9), 0.2, []),
        ((False, [], "camera", None, 0.9), 0.9, ["forensic: 0.90"]),
        ((None, None, "unknown", None, None), None, []),
        ((False, ["hint: software"], "unknown", None, 0.0), 0.0, ["hint: software"]),
    ],
)
def test_ai_generated(case, probability, evidence):
    assert ai_generated(*case) == (probability, evidence)


def test_counting_detections():
    box = (0.0, 0.0, 1.0, 1.0)
    found = [
        Detection("FACE_MALE", 0.9, box),
        Detection("FACE_FEMALE", 0.4, box),
        Detection("BELLY_EXPOSED", 0.9, box),
    ]
    assert count_faces(found, 0.5) == 1
    assert count_faces(found, 0.3) == 2
    assert nsfw_score(found) == 0
    assert nsfw_score([*found, Detection("BUTTOCKS_EXPOSED", 0.6, box)]) == 0.6


def test_detector_names_what_to_install(monkeypatch):
    monkeypatch.setattr("zcurate.curation.scoring.detector.find_spec", lambda _: None)
    with pytest.raises(MissingDependencyError, match=r"pip install 'zcurate\[safety\]'"):
        NudeNetDetector()


def test_detector_finds_a_face_where_it_is():
    pytest.importorskip("nudenet")
    astronaut = pytest.importorskip("skimage.data").astronaut()
    detector = NudeNetDetector()
    (face,) = [d for d in detector.detect(astronaut) if d.label.startswith("FACE") and d.score > 0.5]
    x, y, width, height = face.box
    assert 150 < x < 210 < 240 < x + width < 300
    assert 40 < y < 110 < 140 < y + height < 230
    wide = np.zeros((512, 1000, 3), np.uint8)
    wide[:, 400:912] = astronaut
    (moved,) = [d for d in detector.detect(wide) if d.label.startswith("FACE") and d.score > 0.5]
    assert abs(moved.box[0] - x - 400) < 25
    assert count_faces(detector.detect(np.zeros((50, 80, 3), np.uint8)), 0.3) == 0


def test_detector_on_portraits_and_landscapes():
    pytest.importorskip("nudenet")
    folder = DATA / "cid22"
    if not folder.is_dir():
        pytest.skip("real photographs are not here")
    files = {f.stem: f for f in folder.rglob("*.png")}
    portraits = [
        "pexels-photo-2598024",
        "pexels-photo-2846602",
        "pexels-photo-3155588",
        "pexels-photo-3568544",
    ]
    if not set(portraits) <= set(files):
        pytest.skip("another selection of photographs")
    detector = NudeNetDetector()
    for name in portraits:
        rgb = cv2.cvtColor(cv2.imread(str(files[name])), cv2.COLOR_BGR2RGB)
        assert count_faces(detector.detect(rgb), 0.5) == 1, name
