"""The classifier as it is used: native pixels of one picture in, one probability out."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cache, cached_property
from pathlib import Path

import numpy as np

from ..engine import Engine
from .crops import CROPS, textured_crops
from .errors import ForensicWeightsError
from .inference import evidence_engine, expected_shapes

#: The weights in this package.
BUNDLED_WEIGHTS = Path(__file__).with_name("weights.safetensors")
#: No weight file of this network is larger.
MAX_WEIGHT_BYTES = 300_000
_METADATA_KEY = "zcurate"
_FORMAT = "zcurate-forensic-1"


@dataclass(frozen=True)
class Calibration:
    """From mean evidence of the crops to a probability.

    Attributes:
        threshold: mean evidence at which the probability is 0.5; so placed that photographs seldom get there.
        slope: of the log-odds around it.
        ceiling: log-odds stay at or below this: of generators it has not seen the network knows little.
        floor: and at or above this: a low value does not show that a picture is a photograph.
        prior: log-odds of a picture with nothing to see.
    """

    threshold: float
    slope: float
    ceiling: float = 1.1
    floor: float = -2.9
    prior: float = -2.2

    def __post_init__(self) -> None:
        if not all(math.isfinite(value) for value in asdict(self).values()):
            raise ValueError("calibration values must be finite")
        if self.slope <= 0 or not self.floor < 0 < self.ceiling:
            raise ValueError("slope and ceiling must be above 0, floor below")

    def probability(self, crop_evidence: np.ndarray) -> float:
        """Probability from the evidence [n] of the crops; fewer than half of `CROPS` pull it to the prior."""
        if not len(crop_evidence):
            return _sigmoid(self.prior)
        odds = self.slope * (float(np.mean(crop_evidence)) - self.threshold)
        odds = min(max(odds, self.floor), self.ceiling)
        trust = min(1.0, len(crop_evidence) / (CROPS // 2))
        return _sigmoid(trust * odds + (1 - trust) * self.prior)


@dataclass(frozen=True)
class Forensic:
    """The classifier; make one with `load_forensic`.

    Attributes:
        arrays: the network's weights, see `inference.expected_shapes`.
        calibration: evidence to probability.
        identity: 16 hex digits of SHA-256 over the weight file, calibration included.
        facts: JSON-able notes of the training run.
    """

    arrays: Mapping[str, np.ndarray] = field(repr=False)
    calibration: Calibration
    identity: str
    facts: dict[str, object] = field(default_factory=dict, repr=False)

    def __reduce__(self) -> tuple[type[Forensic], tuple[object, ...]]:
        # what is compiled cannot be copied
        return Forensic, (self.arrays, self.calibration, self.identity, self.facts)

    @cached_property
    def network(self) -> Engine:
        """What gives the evidence of crops."""
        return evidence_engine(self.arrays)

    def probability(self, rgb: np.ndarray) -> float:
        """How likely the pixels came out of a generator's decoder.

        Args:
            rgb: uint8 [h, w, 3], displayed orientation, native resolution (resizing hides the traces).

        Returns:
            Between 0 and 1; about 0.1 where there is nothing to see.

        Raises:
            ValueError: another dtype or shape, or no pixels.
        """
        return self.probabilities([self.crops(rgb)])[0]

    def crops(self, rgb: np.ndarray) -> np.ndarray:
        """What is looked at of a picture: uint8 [n, CROP_PX, CROP_PX, 3], 0 <= n <= `CROPS`; arguments and errors as
        of `probability`."""
        if rgb.dtype != np.uint8 or rgb.ndim != 3 or rgb.shape[2] != 3 or not rgb.size:
            raise ValueError(f"expected uint8 [h, w, 3] with pixels, not {rgb.dtype} {rgb.shape}")
        return textured_crops(rgb)

    def probabilities(self, crops: Sequence[np.ndarray]) -> list[float]:
        """`probability` of several pictures, from their `crops`, which takes less time than one by one."""
        evidence = self._evidence(np.concatenate(crops))
        ends = np.cumsum([len(some) for some in crops])
        return [self.calibration.probability(part) for part in np.split(evidence, ends[:-1])]

    def crop_evidence(self, rgb: np.ndarray) -> np.ndarray:
        """Evidence of each crop looked at, float32 [n], 0 <= n <= `CROPS`; above 0 speaks for a decoder."""
        return self._evidence(self.crops(rgb))

    def _evidence(self, crops: np.ndarray) -> np.ndarray:
        if not len(crops):
            return np.zeros(0, np.float32)
        return self.network(crops)[0]


def _sigmoid(odds: float) -> float:
    return 1 / (1 + math.exp(-odds))


@cache
def load_forensic(weights: Path = BUNDLED_WEIGHTS) -> Forensic:
    """Read a weight file, once per process; nothing in it is executed.

    Raises:
        ForensicWeightsError: missing, too large, damaged, or not written by `write_weights`.
    """
    try:
        if (size := weights.stat().st_size) > MAX_WEIGHT_BYTES:
            raise ForensicWeightsError(f"{weights}: {size:,} bytes; at most {MAX_WEIGHT_BYTES:,} expected")
        data = weights.read_bytes()
    except OSError as e:
        raise ForensicWeightsError(
            f"{weights}: cannot be read ({e.strerror}); run the training script"
        ) from e
    from safetensors import SafetensorError
    from safetensors.numpy import load

    try:
        arrays = load(data)
        about = json.loads(_metadata(data))
        shapes = {name: tuple(array.shape) for name, array in arrays.items()}
        if about["format"] != _FORMAT or shapes != expected_shapes():
            raise ForensicWeightsError(f"{weights}: not the layout of {_FORMAT}; run the training script")
        arrays = {name: array.astype(np.float32) for name, array in arrays.items()}
        if not all(np.isfinite(array).all() for array in arrays.values()):
            raise ForensicWeightsError(f"{weights}: holds values that are not finite")
        calibration = Calibration(**about["calibration"])
    except (SafetensorError, ValueError, KeyError, TypeError) as e:
        raise ForensicWeightsError(f"{weights}: not a forensic weight file ({e})") from e
    identity = hashlib.sha256(data).hexdigest()[:16]
    return Forensic(arrays, calibration, identity, about.get("facts", {}))


def write_weights(
    file: Path, arrays: dict[str, np.ndarray], calibration: Calibration, facts: dict[str, object]
) -> None:
    """Write folded arrays with their calibration; the same content gives the same bytes."""
    from safetensors.numpy import save

    about = {"format": _FORMAT, "calibration": asdict(calibration), "facts": facts}
    # one key: safetensors writes several in no fixed order
    file.write_bytes(save(arrays, {_METADATA_KEY: json.dumps(about, sort_keys=True)}))


def _metadata(data: bytes) -> str:
    """Our JSON in the header, which `load` has found sound: 8 bytes of length, then JSON."""
    length = int.from_bytes(data[:8], "little")
    return json.loads(data[8 : 8 + length])["__metadata__"][_METADATA_KEY]
