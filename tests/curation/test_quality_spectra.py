"""Spectra and cepstra along rays: what directions mean, symmetries, and where motion shows."""

import cv2
import numpy as np
import pytest
from scipy.ndimage import map_coordinates

from zcurate.curation.profile.quality.blur_windows import WINDOW_PX
from zcurate.curation.profile.quality.edge_kernels import DIRECTIONS, steeper_shares
from zcurate.curation.profile.quality.spectra import SPECTRUM_VALUES, blur_spectra

_SPECTRUM = 30  # values before those of the cepstrum, which starts at two pixels


def blur_spectrum(windows):
    return blur_spectra([windows])[0]


def textures(count=8, side=WINDOW_PX, seed=0):
    """Windows of different noise, not quite white, and none alike."""
    rng = np.random.default_rng(seed)
    fields = [cv2.GaussianBlur(rng.normal(0, 1, (side + 80, side + 80)), (0, 0), 0.8) for _ in range(count)]
    return [128 + 60 * f / f.std() for f in fields]


def windows_of(fields, kernel=None):
    moved = [f if kernel is None else cv2.filter2D(f, -1, kernel) for f in fields]
    return [np.clip(np.rint(f[40:-40, 40:-40]), 0, 255).astype(np.uint8) for f in moved]


def line(length, angle):
    half = length // 2 + 1
    kernel = np.zeros((2 * half + 1, 2 * half + 1), np.float32)
    for t in np.linspace(-length / 2, length / 2, 40 * length):
        kernel[round(half + t * np.sin(angle)), round(half + t * np.cos(angle))] += 1
    return kernel / kernel.sum()


@pytest.mark.parametrize("k", range(0, DIRECTIONS, 3))
@pytest.mark.parametrize("length", [9, 16, 27])
def test_the_cepstrum_dips_at_the_length_and_in_the_direction_of_motion(k, length):
    angle = np.pi / 4 + k * np.pi / DIRECTIONS
    found = blur_spectrum(windows_of(textures(), line(length, angle)))[_SPECTRUM:]
    found[: length // 2] = 0  # there it falls off, motion or not
    lag, direction = np.unravel_index(found.argmin(), found.shape)
    assert min((direction - k) % DIRECTIONS, (k - direction) % DIRECTIONS) <= 1
    assert abs(lag + 2 - length) <= 1.5


def test_directions_are_those_of_edges():
    """Of ridges the spectrum is strongest where the histogram of slopes is."""
    y, x = np.mgrid[:WINDOW_PX, :WINDOW_PX]
    for k in range(DIRECTIONS):
        angle = np.pi / 4 + k * np.pi / DIRECTIONS
        wave = np.sin((np.cos(angle) * x + np.sin(angle) * y) * 2 * np.pi * 20 / WINDOW_PX)
        window = np.rint(128 + 100 * wave).astype(np.uint8)
        assert steeper_shares(window, 1, 1)[0, 8].argmax() == k
        assert blur_spectrum([window] * 4)[:_SPECTRUM].max(axis=0).argmax() == k


def test_turned_and_mirrored_windows():
    windows = windows_of(textures(4), line(11, 0.5))
    found = blur_spectrum(windows)
    turned = blur_spectrum([np.rot90(w).copy() for w in windows])
    np.testing.assert_allclose(turned, np.roll(found, 8, axis=1), atol=0.02)
    mirrored = blur_spectrum([w[:, ::-1].copy() for w in windows])
    np.testing.assert_allclose(mirrored, found[:, (8 - np.arange(DIRECTIONS)) % DIRECTIONS], atol=0.02)


@pytest.mark.parametrize("side", [64, 100, WINDOW_PX])
def test_agrees_with_numpy(side):
    rng = np.random.default_rng(side)
    windows = [rng.integers(0, 256, (side, side)).astype(np.uint8) for _ in range(8)]
    taper = np.outer(*[np.hanning(side + 2)[1:-1]] * 2)
    taper /= np.sqrt((taper**2).sum())
    planes = [np.fft.fft2((w - w.mean()) * taper, (WINDOW_PX, WINDOW_PX)) for w in windows]
    logs = np.mean([np.log2(np.abs(p) ** 2 + 0.1) for p in planes], axis=0)
    cepstrum = np.fft.ifft2(logs).real
    expected = np.empty((SPECTRUM_VALUES, DIRECTIONS))
    for k in range(DIRECTIONS):
        angles = np.pi / 4 + (k + np.array([-1, 0, 1])[:, None] / 3) * np.pi / DIRECTIONS
        for plane, radii, scale, part in (
            (logs, np.linspace(2.5, 62, 30), 0.25, slice(_SPECTRUM)),
            (cepstrum, np.arange(2, 41), 20, slice(_SPECTRUM, None)),
        ):
            at = np.stack([radii * np.sin(angles), radii * np.cos(angles)])
            expected[part, k] = scale * map_coordinates(plane, at, order=1, mode="grid-wrap").mean(axis=0)
    np.testing.assert_allclose(blur_spectrum(windows), expected, atol=2e-3)


def test_flat_windows_have_a_finite_spectrum():
    found = blur_spectrum([np.full((WINDOW_PX, WINDOW_PX), 77, np.uint8)] * 4)
    assert found.shape == (SPECTRUM_VALUES, DIRECTIONS)
    np.testing.assert_allclose(found[:_SPECTRUM], np.log2(0.1) / 4, atol=1e-4)
    np.testing.assert_allclose(found[_SPECTRUM:], 0, atol=1e-4)


def test_groups_do_not_know_of_each_other():
    near, far = windows_of(textures(4)), windows_of(textures(4, seed=1), line(11, 0.5))
    small = [w[:90, :90].copy() for w in near]
    for groups in ([near, far], [small, far]):
        for found, windows in zip(blur_spectra(groups), groups, strict=True):
            np.testing.assert_allclose(found, blur_spectrum(windows), atol=1e-4)
