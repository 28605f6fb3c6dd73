"""All that the blur of a picture is judged by, beside what the tile network sees in it."""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np

from .blur_windows import NATIVE_WINDOWS, BlurWindows
from .edges import edge_histograms
from .spectra import blur_spectra

#: Windows whose edges are counted: those at native resolution, then the whole picture made small.
EDGE_WINDOWS = NATIVE_WINDOWS + 1
#: Spectra: at native resolution and at half of it.
SPECTRA = 2


class BlurTraces(NamedTuple):
    """Attributes:
    shares: float32 [EDGE_WINDOWS, EDGE_VALUES, DIRECTIONS], see `edges.edge_histograms`.
    spectra: float32 [SPECTRA, SPECTRUM_VALUES, DIRECTIONS], see `spectra.blur_spectra`.
    octaves: see `crops.octaves_above`.
    """

    shares: np.ndarray
    spectra: np.ndarray
    octaves: float


def blur_traces(windows: BlurWindows, whole: np.ndarray) -> BlurTraces:
    """Traces of blur in a picture.

    Args:
        windows: of the picture, see `blur_windows.blur_windows`.
        whole: uint8 [320, 320, 3], see `crops.overview`.
    """
    return BlurTraces(
        shares=edge_histograms([*windows.native, cv2.cvtColor(whole, cv2.COLOR_RGB2GRAY)]),
        spectra=blur_spectra([windows.native, windows.wide]),
        octaves=windows.octaves,
    )
