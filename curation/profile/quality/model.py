"""The trained quality model, ready to use."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load

from ...errors import ConfigError
from .blur_traces import blur_traces
from .blur_windows import BlurWindows, blur_windows
from .cast_score import cast_logits
from .color_evidence import EVIDENCE, color_evidence
from .crops import TILES, large_enough, native_tiles, overview, ranked_places
from .glimpses import fine_copy
from .histograms import coarse, light_histogram
from .inference import blur_engine, exposure_engine, mark_engine, tile_engine
from .inputs import mark_cells, tile_input
from .parameters import Parameters
from .scores import EXPOSURE_SCORES, SCORES, TILE_SCORES
from .trees import Trees
from .watermark_score import watermark_logits
from .weight_shapes import expected_shapes

#: The bundled weights.
WEIGHTS = Path(__file__).with_name("weights.safetensors")

#: Default threshold of every score: about where most people would call it a fault.
DEFAULT_THRESHOLD = 0.5
#: Beyond this the exponential would not fit in float32.
_MOST_LOGIT = 80


class View(NamedTuple):
    """What the model looks at of a picture: make one with `QualityModel.view`.

    Attributes:
        tiles: uint8 [TILES, 64, 64, 3], see `crops.native_tiles`.
        windows: see `blur_windows.blur_windows`.
        whole: uint8 [320, 320, 3], see `crops.overview`.
        fine: uint8 [h, w, 3], see `glimpses.fine_copy`.
    """

    tiles: np.ndarray
    windows: BlurWindows
    whole: np.ndarray
    fine: np.ndarray


class QualityModel:
    """Scores of nine degradations in [0, 1]: 0 is none. Not safe to use from several threads at once.

    Args:
        arrays: weights of all networks, by name.

    Attributes:
        identity: sha256 of the weights, for fingerprints.
    """

    def __init__(self, arrays: Mapping[str, np.ndarray], identity: str):
        weights = Parameters(arrays)
        self._tiles, self._blur = tile_engine(weights.below("tiles")), blur_engine(weights.below("blur"))
        self._marks, self._sure = mark_engine(weights.below("marks")), float(arrays["marks.sure"])
        self._cast, self._shift = Trees(weights.below("cast"), EVIDENCE), float(weights["cast.shift"])
        self._exposure = exposure_engine(weights.below("exposure"))
        self._arrays, self.identity = arrays, identity

    def __reduce__(self) -> tuple[type[QualityModel], tuple[Mapping[str, np.ndarray], str]]:
        return QualityModel, (self._arrays, self.identity)  # what is compiled cannot be copied

    def scores(self, rgb: np.ndarray, small: np.ndarray) -> dict[str, float]:
        """Score one picture.

        Args and Returns: as of `view` for a picture as displayed, and one of `scores_of`.
        """
        return self.scores_of([self.view(rgb, small, fine_copy(rgb))])[0]

    @staticmethod
    def view(rgb: np.ndarray, small: np.ndarray, fine: np.ndarray, halved: np.ndarray | None = None) -> View:
        """What of a picture is looked at.

        Args:
            rgb: uint8 [h, w, 3], sRGB at native resolution; any orientation.
            small: uint8 [h', w', 3], the same picture as displayed, short side 336 px (smaller pictures as
                they are).
            fine: its `glimpses.fine_copy`, turned as displayed (its colors need not be managed); kept as it is in what is
                returned.
            halved: uint8 [h // 2, w // 2, 3] of `rgb`, as it is turned, see `blur_windows.wide_windows`; optional.
        """
        rgb = large_enough(rgb)  # nothing that has a halved copy is made any larger
        places = ranked_places(rgb)
        return View(native_tiles(rgb, places), blur_windows(rgb, places, halved), overview(small), fine)

    def scores_of(self, views: Sequence[View]) -> list[dict[str, float]]:
        """Score some pictures together, which takes less time than one by one; scores are the same but for rounding (and,
        far below 0.5, for a watermark at the very limit of being looked at closer).

        Args:
            views: one or more; from about 16 on nothing is gained.

        Returns:
            for each, name -> score, for the names in `scores.SCORES`. See `synthesis` for the strength that a
            score stands for, e.g. blur 0.5 is a point spread of 2 px, noise 0.5 is 15 levels.
        """
        planes = tile_input(np.concatenate([view.tiles for view in views]))
        seen, tiles = self._tiles(planes.reshape(-1, TILES, *planes.shape[1:]))
        traces = zip(*(blur_traces(view.windows, view.whole) for view in views), strict=True)
        shares, spectra, octaves = (np.array(t, np.float32) for t in traces)
        (blur,) = self._blur(shares, spectra, octaves[:, None], seen)
        cells = np.stack([mark_cells(view.whole) for view in views])
        marks = watermark_logits(self._marks, self._sure, cells, [view.fine for view in views])
        small = [coarse(view.whole) for view in views]
        light = np.stack([light_histogram(rgb) for rgb in small])
        seen_of_color = [color_evidence(v.whole, *of) for v, *of in zip(views, small, light, strict=True)]
        cast = cast_logits(self._cast, self._shift, np.stack(seen_of_color))
        (exposure,) = self._exposure(light)
        logits = np.concatenate([np.stack([blur, marks, cast], axis=1), tiles[:, 1:], exposure], axis=1)
        names = "blur", "watermark", "cast", *TILE_SCORES[1:], *EXPOSURE_SCORES
        named = [dict(zip(names, row, strict=True)) for row in _sigmoid(logits).tolist()]
        return [{name: row[name] for name in SCORES} for row in named]


def load_quality(path: str | Path = WEIGHTS) -> QualityModel:
    """Read a weights file written by `train`.

    Raises:
        ConfigError: not such a file.
    """
    data = Path(path).read_bytes()
    try:
        arrays = load(data)
        _check(arrays)
        return QualityModel(arrays, hashlib.sha256(data).hexdigest())
    except (SafetensorError, ConfigError, KeyError, TypeError, ValueError) as e:
        raise ConfigError(f"{path} holds no weights of the quality model: {e}") from e


def _check(arrays: Mapping[str, np.ndarray]) -> None:
    expected, found = expected_shapes(), {name: array.shape for name, array in arrays.items()}
    for name in sorted(expected.keys() | found.keys()):
        if name not in found:
            raise ConfigError(f"no {name}")
        if name not in expected:
            raise ConfigError(f"{name} belongs to something else")
        if found[name] != expected[name]:
            raise ConfigError(f"{name} has shape {found[name]}, not {expected[name]}")
    if np.isnan(arrays["marks.sure"]):
        raise ConfigError("marks.sure is no number")


def _sigmoid(logits: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-logits.clip(-_MOST_LOGIT, _MOST_LOGIT)))


__all__ = ["DEFAULT_THRESHOLD", "SCORES", "WEIGHTS", "QualityModel", "load_quality"]
