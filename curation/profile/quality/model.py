"""The trained quality model, ready to use."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load

from ...errors import ConfigError
from .color_inference import ColorInference
from .color_network import ColorNetwork
from .crops import native_tiles, overview
from .histograms import coarse, color_histograms
from .inference import fold
from .inputs import mark_cells, tile_input
from .network import COLOR_SCORES, SCORES, TILE_SCORES, MarkNetwork, TileNetwork

#: The bundled weights.
WEIGHTS = Path(__file__).with_name("weights.safetensors")

#: Default threshold of every score: about where most people would call it a fault.
DEFAULT_THRESHOLD = 0.5


class QualityModel:
    """Scores of nine degradations in [0, 1]: 0 is none. Not safe to use from several threads at once.

    Attributes:
        identity: sha256 of the weights, for fingerprints.
    """

    def __init__(self, tiles: TileNetwork, marks: MarkNetwork, color: ColorNetwork, identity: str):
        self._tiles, self._marks = fold(tiles), fold(marks)
        self._color = ColorInference(color)
        self.identity = identity

    def scores(self, rgb: np.ndarray, small: np.ndarray) -> dict[str, float]:
        """Score one picture.

        Args:
            rgb: uint8 [h, w, 3], sRGB at native resolution; any orientation.
            small: uint8 [h', w', 3], the same picture as displayed, short side 336 px (smaller pictures as
                they are).

        Returns:
            name -> score, for the names in `network.SCORES`. See `synthesis` for the strength that a
            score stands for, e.g. blur 0.5 is a point spread of 2 px, noise 0.5 is 15 levels.
        """
        with torch.inference_mode():  # what is read twice is read while it is in the cache
            tiles = self._tiles(_batch_of_one(tile_input(native_tiles(rgb))))
            view = overview(small)
            cells, histograms = mark_cells(view), color_histograms(coarse(view))
            marks = self._marks(_batch_of_one(cells))
            color = torch.from_numpy(self._color(*histograms))
            values = torch.sigmoid(torch.cat([tiles[0], marks, color])).tolist()
        named = dict(zip((*TILE_SCORES, "watermark", *COLOR_SCORES), values, strict=True))
        return {name: named[name] for name in SCORES}


def _batch_of_one(array: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(array)[None]


def load_quality(path: str | Path = WEIGHTS) -> QualityModel:
    """Read a weights file written by `train`.

    Raises:
        ConfigError: not such a file.
    """
    data = Path(path).read_bytes()
    networks = {"tiles": TileNetwork(), "marks": MarkNetwork(), "color": ColorNetwork()}
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
