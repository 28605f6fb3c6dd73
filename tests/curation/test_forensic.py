"""The forensic classifier: sound on any picture, above chance on decoders it has not seen, and retrainable."""

from __future__ import annotations

import copy
import hashlib
import json
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from safetensors.numpy import load_file, save_file

from zcurate.curation.profile.decode import decode
from zcurate.curation.profile.forensic import load_forensic
from zcurate.curation.profile.forensic.autoencoders import (
    FAMILIES,
    Family,
    fit_autoencoder,
    match_bands,
    psnr_db,
    reconstruct,
)
from zcurate.curation.profile.forensic.calibrate import calibrate, separation_auc
from zcurate.curation.profile.forensic.crops import CROP_PX, CROPS, textured_crops
from zcurate.curation.profile.forensic.errors import ForensicTrainingError, ForensicWeightsError
from zcurate.curation.profile.forensic.history import apply_history, random_history, soften
from zcurate.curation.profile.forensic.inference import evidence_engine
from zcurate.curation.profile.forensic.model import (
    BUNDLED_WEIGHTS,
    MAX_WEIGHT_BYTES,
    Calibration,
    write_weights,
)
from zcurate.curation.profile.forensic.network import ResidualNetwork
from zcurate.curation.profile.forensic.photos import PATCH_PX, cut_patches, find_photos
from zcurate.curation.profile.forensic.train import Bank, train, training_batch

SHARED = Path(__file__).resolve().parents[3] / "shared" / "data"


def scene(seed: int, height: int = 240, width: int = 320) -> np.ndarray:
    """Shaded shapes with sensor-like noise."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(40, 220, (6, 8, 3), np.uint8)
    image = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    for _ in range(50):
        center = int(rng.integers(0, width)), int(rng.integers(0, height))
        color = tuple(int(c) for c in rng.integers(0, 255, 3))
        cv2.circle(image, center, int(rng.integers(2, 30)), color, -1, cv2.LINE_AA)
    return np.clip(image + rng.normal(0, 3, image.shape), 0, 255).astype(np.uint8)


@pytest.fixture
def photo_dir(tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    for seed in range(6):
        Image.fromarray(scene(seed, 170, 200)).save(folder / f"{seed}.png")
    Image.fromarray(scene(9, 60, 60)).save(folder / "small.png")
    (folder / "broken.jpg").write_bytes(b"\xff\xd8\xff\xe0 not a photograph")
    return folder


# --- one picture ------------------------------------------------------------------------------------------


@settings(max_examples=40, deadline=None)
@given(
    st.integers(1, 300), st.integers(1, 300), st.sampled_from(["noise", "flat", "grey", "ramp", "checkers"])
)
def test_any_picture_has_a_probability(height, width, kind):
    rng = np.random.default_rng(height * 1000 + width)
    if kind == "flat":
        rgb = np.full((height, width, 3), 128, np.uint8)
    elif kind == "grey":
        rgb = np.repeat(rng.integers(0, 256, (height, width, 1), np.uint8), 3, axis=2)
    elif kind == "ramp":
        rgb = np.broadcast_to(np.arange(width, dtype=np.uint8)[None, :, None], (height, width, 3))
    elif kind == "checkers":
        rgb = np.repeat((np.indices((height, width)).sum(0) % 2 * 255).astype(np.uint8)[..., None], 3, axis=2)
    else:
        rgb = rng.integers(0, 256, (height, width, 3), np.uint8)
    before = rgb.copy()
    forensic = load_forensic()
    probability = forensic.probability(rgb)
    assert 0 <= probability <= 1
    assert probability == forensic.probability(rgb)
    assert np.array_equal(rgb, before)


def test_strides_do_not_matter():
    rgb = scene(3)
    mirrored = rgb[:, ::-1]
    assert not mirrored.flags.c_contiguous
    forensic = load_forensic()
    assert forensic.probability(mirrored) == forensic.probability(np.ascontiguousarray(mirrored))


def test_nothing_to_see_is_the_prior():
    forensic = load_forensic()
    flat = np.full((500, 400, 3), (200, 30, 90), np.uint8)
    assert len(textured_crops(flat)) == 0
    assert forensic.probability(flat) == pytest.approx(1 / (1 + np.exp(-forensic.calibration.prior)))
    assert forensic.probability(flat) < 0.2


@pytest.mark.parametrize(
    "rgb",
    [
        np.zeros((50, 50), np.uint8),
        np.zeros((50, 50, 4), np.uint8),
        np.zeros((50, 50, 3), np.float32),
        np.zeros((0, 50, 3), np.uint8),
    ],
)
def test_other_arrays_are_refused(rgb):
    with pytest.raises(ValueError, match="uint8"):
        load_forensic().probability(rgb)


def test_plain_color_is_nothing_to_the_network():
    torch.manual_seed(0)
    network = evidence_engine(ResidualNetwork().eval().folded())
    plain = np.zeros((2, CROP_PX, CROP_PX, 3), np.uint8)
    plain[1, ..., 0] = 250
    black, red = network(plain)[0]
    assert black == pytest.approx(red, abs=1e-4)


def test_what_runs_is_the_trained_network():
    torch.manual_seed(1)
    network = ResidualNetwork().train()
    crops = torch.randint(0, 256, (18, CROP_PX, CROP_PX, 3), dtype=torch.uint8)
    pixels = crops.permute(0, 3, 1, 2).float()
    for _ in range(3):
        network(pixels)
    network.eval()
    with torch.inference_mode():
        expected = network(pixels).numpy()
    got = evidence_engine(network.folded())
    for count in (1, 4, 18):  # of any number
        np.testing.assert_allclose(got(crops[:count].numpy())[0], expected[:count], atol=1e-4)


def test_a_classifier_that_was_used_can_be_copied():
    rgb = scene(3, 300, 200)
    forensic = load_forensic()
    before = forensic.probability(rgb)
    assert copy.deepcopy(forensic).probability(rgb) == before


@given(st.integers(0, 200), st.integers(0, 200))
@settings(max_examples=20, deadline=None)
def test_crops_are_cut_from_the_picture(extra_height, extra_width):
    rgb = scene(5, CROP_PX + extra_height, CROP_PX + extra_width)
    crops = textured_crops(rgb)
    assert 1 <= len(crops) <= CROPS
    windows = np.lib.stride_tricks.sliding_window_view(rgb, (CROP_PX, CROP_PX, 3))[::16, ::16, 0]
    assert all((windows == crop).all(axis=(2, 3, 4)).any() for crop in crops)


# --- weights ----------------------------------------------------------------------------------------------


def test_identity_is_the_digest_of_the_file():
    data = BUNDLED_WEIGHTS.read_bytes()
    assert len(data) < MAX_WEIGHT_BYTES
    assert load_forensic().identity == hashlib.sha256(data).hexdigest()[:16]


def test_same_weights_same_bytes(tmp_path):
    network = ResidualNetwork().folded()
    for name in ("a", "b"):
        write_weights(tmp_path / name, network, Calibration(0.5, 0.7), {"seed": 1, "photos": 3})
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    loaded = load_forensic(tmp_path / "a")
    assert loaded.calibration == Calibration(0.5, 0.7)
    assert loaded.facts["photos"] == 3
    write_weights(tmp_path / "c", network, Calibration(0.6, 0.7), {"seed": 1, "photos": 3})
    assert load_forensic(tmp_path / "c").identity != loaded.identity


def test_damaged_weights_are_named(tmp_path):
    arrays = load_file(BUNDLED_WEIGHTS)
    good = BUNDLED_WEIGHTS.read_bytes()
    cases = {"cut": good[: len(good) // 2], "empty": b"", "text": b"hello" * 50, "huge": b"\0" * 400_000}
    for name, data in cases.items():
        (tmp_path / name).write_bytes(data)
    save_file(arrays, tmp_path / "bare")
    save_file({**arrays, "out.bias": np.zeros(2, np.float32)}, tmp_path / "shape", metadata={"zcurate": "{}"})
    broken = {name: a.copy() for name, a in arrays.items()}
    broken["out.bias"][0] = float("nan")
    write_weights(tmp_path / "nan", broken, Calibration(0, 1), {})
    for name in (*cases, "bare", "shape", "nan", "missing"):
        with pytest.raises(ForensicWeightsError, match=name):
            load_forensic(tmp_path / name)


@given(st.lists(st.floats(-50, 50), max_size=CROPS), st.floats(-5, 5), st.floats(0.05, 1))
def test_probability_rises_with_evidence(values, threshold, slope):
    calibration = Calibration(threshold, slope)
    lower = calibration.probability(np.array(values, np.float32))
    higher = calibration.probability(np.array(values, np.float32) + 1)
    assert 0.05 < lower <= higher <= 0.76
    if values:
        assert calibration.probability(np.full(CROPS, threshold)) == pytest.approx(0.5)


def test_few_photographs_pass_the_calibrated_threshold():
    rng = np.random.default_rng(0)
    real, made = rng.normal(-1, 1, 2000), rng.normal(2, 1, 2000)
    calibration = calibrate(real, made)
    over = [calibration.probability(np.full(CROPS, value)) > 0.5 for value in real]
    assert np.mean(over) <= 0.01
    found = [calibration.probability(np.full(CROPS, value)) > 0.5 for value in made]
    assert np.mean(found) > 0.4


def test_separation_counts_pairs():
    assert separation_auc(np.array([0, 1]), np.array([2, 3])) == 1
    assert separation_auc(np.array([1, 2]), np.array([1, 2])) == 0.5
    assert separation_auc(np.array([2.0, 3]), np.array([0, 1])) == 0


# --- training ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("family", FAMILIES, ids=lambda f: f.name)
def test_every_family_keeps_size_and_content(family):
    patches = np.stack([scene(i, 96, 96) for i in range(6)])
    model = fit_autoencoder(family, patches, 3, 0, batch=2, side_px=48)
    made = reconstruct(model, patches, 0)
    assert made.shape == patches.shape
    assert made.dtype == np.uint8
    assert psnr_db(made[0], patches[0]) > 12
    assert np.array_equal(made, reconstruct(model, patches, 0))
    assert model.encode(torch.zeros(1, 3, 96, 96)).shape[2] == 96 >> family.halvings


@pytest.mark.parametrize("sigma", [0.7, 1.4, 2.8])
def test_matched_bands_come_nearer_to_the_original(sigma):
    real = scene(2)
    made = cv2.GaussianBlur(real, (0, 0), 0.6)

    def energy(rgb: np.ndarray) -> float:
        pixels = rgb.astype(np.float32)
        return float((pixels - cv2.GaussianBlur(pixels, (0, 0), sigma)).std())

    matched = match_bands(made, real)
    assert abs(energy(matched) - energy(real)) < 0.5 * abs(energy(made) - energy(real))
    assert np.array_equal(match_bands(real, real), real)


@given(st.integers(0, 10_000))
@settings(max_examples=40, deadline=None)
def test_a_history_treats_all_alike(seed):
    history = random_history(np.random.default_rng(seed))
    first, second = scene(1, PATCH_PX, PATCH_PX), scene(2, PATCH_PX, PATCH_PX)
    a, b = apply_history(first, history), apply_history(second, history)
    assert a.shape == b.shape
    assert a.dtype == np.uint8
    assert min(a.shape[:2]) >= CROP_PX
    assert np.array_equal(a, apply_history(first, history))
    softened = soften(first, np.random.default_rng(seed))
    # the median: at edges a bilateral filter may sharpen
    assert np.median(np.abs(cv2.Laplacian(softened, cv2.CV_32F))) < np.median(
        np.abs(cv2.Laplacian(first, cv2.CV_32F))
    )


def test_pairs_show_the_same_place():
    patches = np.stack([scene(i, PATCH_PX, PATCH_PX) for i in range(4)])
    bank = Bank(patches, {"itself": patches}, {})
    crops, labels = training_batch(bank, 40, np.random.default_rng(0))
    assert crops.shape == (80, 3, CROP_PX, CROP_PX)
    assert labels.tolist() == [0.0, 1.0] * 40
    same = (crops[::2] == crops[1::2]).flatten(1).all(dim=1)
    # others are softened or roughened
    assert 0.1 < same.float().mean() <= 1


def test_patches_have_one_size():
    patches = cut_patches([scene(0, 145, 300), scene(1, PATCH_PX, PATCH_PX)], 10, np.random.default_rng(0))
    assert patches.shape == (10, PATCH_PX, PATCH_PX, 3)


def test_training_runs_and_repeats(photo_dir, tmp_path):
    options = {"seed": 3, "patches": 6, "autoencoder_steps": 1, "network_steps": 3, "check_share": 0.3}
    measured = train([photo_dir], tmp_path / "a.safetensors", **options)
    assert measured["photos"] + measured["photos_held_back"] == 6
    assert set(measured["own_auc"]) == {family.name for family in FAMILIES}
    forensic = load_forensic(tmp_path / "a.safetensors")
    assert 0 <= forensic.probability(scene(7)) <= 1
    assert forensic.facts["seed"] == 3
    train([photo_dir], tmp_path / "b.safetensors", **options)
    assert (tmp_path / "a.safetensors").read_bytes() == (tmp_path / "b.safetensors").read_bytes()


def test_training_wants_photographs(photo_dir, tmp_path):
    with pytest.raises(ForensicTrainingError, match="no such folder"):
        train([tmp_path / "nowhere"], tmp_path / "w")
    with pytest.raises(ForensicTrainingError, match="give four"):
        train(find_photos([photo_dir])[:2], tmp_path / "w")


def test_command_line_says_what_it_measured(photo_dir, tmp_path):
    command = [sys.executable, "-m", "zcurate.curation.profile.forensic.train"]
    options = ["--patches", "6", "--autoencoder-steps", "1", "--network-steps", "2"]
    target = ["--photos", str(photo_dir), "--out", str(tmp_path / "w.safetensors")]
    done = subprocess.run([*command, *target, *options], capture_output=True, text=True, check=True, cwd="/")
    assert json.loads(done.stdout.splitlines()[-1])["photos_held_back"] == 1
    failed = subprocess.run(
        [*command, "--photos", "/nowhere/at/all", *target[2:]], capture_output=True, text=True
    )
    assert failed.returncode == 2
    assert "/nowhere/at/all" in failed.stderr


# --- what it is for ---------------------------------------------------------------------------------------


def test_ranks_an_unseen_decoder_above_photographs():
    """A decoder trained here and now, on pictures the classifier was not trained on, at another width of latent."""
    folder = SHARED / "cid22"
    if not folder.is_dir():
        pytest.skip("needs shared/data/cid22")
    photos = [decode(path.read_bytes()).rgb for path in sorted(folder.rglob("*.png"))]
    patches = cut_patches(photos, 240, np.random.default_rng(0))
    torch.set_num_threads(1)
    model = fit_autoencoder(Family("other", "nearest", 2, 12), patches[:200], 120, seed=77)
    forensic = load_forensic()
    real = np.array([forensic.probability(patch) for patch in patches[200:]])
    made = np.array([forensic.probability(patch) for patch in reconstruct(model, patches[200:], 5)])
    assert separation_auc(real, made) > 0.8


def test_photographs_stay_below_one_half():
    folder = SHARED / "cid22"
    if not folder.is_dir():
        pytest.skip("needs shared/data/cid22")
    paths = sorted(folder.rglob("*.png"))
    over = [load_forensic().probability(decode(path.read_bytes()).rgb) > 0.5 for path in paths]
    assert np.mean(over) <= 0.04
