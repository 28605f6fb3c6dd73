"""The trained quality model, ready to use."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load

from ...errors import ConfigError
from .blur_network import BlurNetwork
from .blur_traces import blur_traces
from .blur_windows import BlurWindows, blur_windows
from .color_inference import ColorInference
from .color_network import ColorNetwork
from .crops import large_enough, native_tiles, overview, ranked_places
from .exposure_network import ExposureNetwork
from .glimpses import fine_copy
from .histograms import coarse, color_histograms
from .inference import fold
from .inputs import mark_cells, tile_input
from .network import EXPOSURE_SCORES, SCORES, TILE_SCORES, MarkNetwork, TileNetwork
from .watermark_score import watermark_logits

#: The bundled weights.
WEIGHTS = Path(__file__).with_name("weights.safetensors")

#: Default threshold of every score: about where most people would call it a fault.
DEFAULT_THRESHOLD = 0.5


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

    Attributes:
        identity: sha256 of the weights, for fingerprints.
    """

    def __init__(
        self,
        tiles: TileNetwork,
        blur: BlurNetwork,
        marks: MarkNetwork,
        color: ColorNetwork,
        exposure: ExposureNetwork,
        identity: str,
    ):
        self._tiles, self._blur, self._marks = fold(tiles), blur.eval(), fold(marks)
        self._color, self._exposure = ColorInference(color), exposure.eval()
        self.identity = identity

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
            views: one or more; from about 24 on nothing is gained.

        Returns:
            for each, name -> score, for the names in `network.SCORES`. See `synthesis` for the strength that a
            score stands for, e.g. blur 0.5 is a point spread of 2 px, noise 0.5 is 15 levels.
        """
        with torch.inference_mode():
            planes = tile_input(np.concatenate([view.tiles for view in views]))
            seen = self._tiles.seen(torch.from_numpy(planes).unflatten(0, (len(views), -1)))
            tiles = self._tiles.out(seen)
            traces = zip(*(blur_traces(view.windows, view.whole) for view in views), strict=True)
            shares, spectra, octaves = (torch.from_numpy(np.array(t, np.float32)) for t in traces)
            blur = self._blur(shares, spectra, octaves, seen)
            cells = np.stack([mark_cells(view.whole) for view in views])
            marks = watermark_logits(self._marks, cells, [view.fine for view in views])
            histograms = (color_histograms(coarse(view.whole)) for view in views)
            chroma, light = map(np.stack, zip(*histograms, strict=True))
            cast = torch.from_numpy(self._color(chroma, light))
            exposure = self._exposure(torch.from_numpy(light))
            alone = [x[:, None] for x in (marks, cast)]
            values = torch.sigmoid(torch.cat([blur[:, None], tiles[:, 1:], *alone, exposure], dim=1)).tolist()
        names = *TILE_SCORES, "watermark", "cast", *EXPOSURE_SCORES
        named = [dict(zip(names, row, strict=True)) for row in values]
        return [{name: row[name] for name in SCORES} for row in named]


def load_quality(path: str | Path = WEIGHTS) -> QualityModel:
    """Read a weights file written by `train`.

    Raises:
        ConfigError: not such a file.
    """
    data = Path(path).read_bytes()
    networks = {
        "tiles": TileNetwork(),
        "blur": BlurNetwork(),
        "marks": MarkNetwork(),
        "color": ColorNetwork(),
        "exposure": ExposureNetwork(),
    }
    try:
        state = load(data)
        for part, network in networks.items():
            prefix = part + "."
            network.load_state_dict(
                {k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)}, strict=True
            )
    except (SafetensorError, RuntimeError) as e:
        raise ConfigError(f"{path} holds no weights of the quality model: {e}") from e
    return QualityModel(**networks, identity=hashlib.sha256(data).hexdigest())


__all__ = ["DEFAULT_THRESHOLD", "SCORES", "WEIGHTS", "QualityModel", "load_quality"]
