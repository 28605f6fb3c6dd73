"""reward(image, prompt): three numbers, from vectors of an encoder and small heads."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load, save

from ...embedding.encoder import Encoder
from ...errors import ConfigError
from ...profile.decode import decode
from ...profile.thumbnail import thumbnail
from .claims import WORDING, Claim, claim_dim, claim_vectors, worded
from .fitting import Fitted
from .network import WIDTH, InstructionNetwork

_FORMAT = "zcurate.reward"
_KEY = "zcurate"
_MAX_BYTES = 64 << 20


class Head(Protocol):
    """A head on vectors, e.g. `linear:FILE`."""

    def score(self, vectors: np.ndarray) -> np.ndarray:
        """float32 [n] of vectors [n, dim]."""


@dataclass(frozen=True)
class Reward:
    """Of one picture. `instruction`: expected share of elements satisfied, None for a prompt without any; `elements`: id ->
    probability; `ai_look`: probability of looking made by a model; `aesthetic`: as its head says. None without a head."""

    instruction: float | None
    elements: dict[str, float]
    ai_look: float | None
    aesthetic: float | None


class RewardModel:
    """Callable on pictures and prompts, any number at once.

    Args:
        encoder: the one the heads were trained on.
        network, temperature: of the instruction head, see `load_instruction`.
        elements: a prompt's claims, parents before children (the captioner's).
        ai_look, aesthetic: heads on the picture's vector.
        identity: of the weights, for fingerprints.
    """

    def __init__(
        self,
        encoder: Encoder,
        network: InstructionNetwork,
        temperature: float,
        elements: Callable[[str], Sequence[Claim]],
        ai_look: Head | None = None,
        aesthetic: Head | None = None,
        identity: str = "",
    ):
        self._encoder, self._network, self._temperature = encoder, network.eval(), temperature
        self._elements, self._ai_look, self._aesthetic = elements, ai_look, aesthetic
        self.identity = identity

    def __call__(self, images: Sequence[np.ndarray], prompts: Sequence[str]) -> list[Reward]:
        """Rewards of uint8 [h, w, 3] pictures for their prompts, as many of each."""
        return self.of_vectors(self._vectors(images), prompts)

    def of_vectors(self, vectors: np.ndarray, prompts: Sequence[str]) -> list[Reward]:
        """The same of float32 [n, dim] vectors of the encoder."""
        probabilities = self._satisfied(vectors, [list(self._elements(p)) for p in prompts])
        looks = _scores(self._ai_look, vectors)
        beauty = _scores(self._aesthetic, vectors)
        return [
            Reward(float(np.mean(list(p.values()))) if p else None, p, look, nice)
            for p, look, nice in zip(probabilities, looks, beauty, strict=True)
        ]

    def judged(
        self,
        images: Sequence[np.ndarray],
        claims: Sequence[Sequence[Claim]],
        among: Sequence[Sequence[Claim]] | None = None,
    ) -> list[dict[str, float]]:
        """Claim id -> probability of being satisfied, of each picture for its own claims.

        Args:
            among: all claims of each prompt, where not all of them are asked about.
        """
        return self._satisfied(self._vectors(images), claims, among)

    def _vectors(self, images: Sequence[np.ndarray]) -> np.ndarray:
        """Through the same thumbnail as the vectors of the dataset that it was trained on."""
        return self._encoder.encode_images([decode(thumbnail(rgb)[0]).rgb for rgb in images])

    def _satisfied(
        self,
        vectors: np.ndarray,
        claims: Sequence[Sequence[Claim]],
        among: Sequence[Sequence[Claim]] | None = None,
    ) -> list[dict[str, float]]:
        whole = zip(claims, among or claims, strict=True)
        flat = [(i, c, worded(c, all_)) for i, (of, all_) in enumerate(whole) for c in of]
        probabilities: list[dict[str, float]] = [{} for _ in claims]
        if not flat:
            return probabilities
        claimed = claim_vectors([c.kind for _, c, _ in flat], [t for _, _, t in flat], self._encoder)
        pictures = np.ascontiguousarray(vectors[np.array([i for i, _, _ in flat])], np.float32)
        with torch.no_grad():
            logits = self._network(torch.from_numpy(pictures), torch.from_numpy(claimed)).numpy()
        for (i, claim, _), logit in zip(flat, logits, strict=True):
            p = float(1 / (1 + np.exp(-logit / self._temperature)))
            probabilities[i][claim.id] = 1 - p if claim.negated else p
        return probabilities


def write_instruction(path: Path, fitted: Fitted, encoder: str, dims: tuple[int, int]) -> str:
    """One safetensors file; the same content gives the same bytes. Returns its identity."""
    about = {
        "format": _FORMAT,
        "encoder": encoder,
        "wording": WORDING,
        "dims": list(dims),
        "temperature": fitted.temperature,
        "facts": fitted.facts,
    }
    state = {k: v.contiguous() for k, v in fitted.network.state_dict().items()}
    data = save(state, {_KEY: json.dumps(about, sort_keys=True)})
    path.write_bytes(data)
    return hashlib.sha256(data).hexdigest()[:16]


def load_instruction(
    path: Path | str, encoder: Encoder, identity: str
) -> tuple[InstructionNetwork, float, str, dict[str, Any]]:
    """(network, temperature, identity, facts) of a file; nothing in it is executed.

    Args:
        encoder, identity: what pictures are embedded with, and what it stands for.

    Raises:
        ConfigError: no such file, not of this format, or trained on another encoder or wording.
    """
    try:
        path = Path(path)
        if path.stat().st_size > _MAX_BYTES:
            raise ConfigError(f"{path}: larger than a reward file can be")
        data = path.read_bytes()
        state = load(data)
        length = int.from_bytes(data[:8], "little")
        about = json.loads(json.loads(data[8 : 8 + length])["__metadata__"][_KEY])
        if about["format"] != _FORMAT:
            raise ConfigError(f"{path}: not a reward file")
        if about["encoder"] != identity:
            raise ConfigError(
                f"{path}: trained on vectors of {about['encoder']}, these are of {identity}; train it again: zcurate train-reward"
            )
        if about.get("wording") != WORDING:
            raise ConfigError(
                f"{path}: trained on claims in other words than this version asks; train it again: zcurate train-reward"
            )
        network = InstructionNetwork(encoder.dim, claim_dim(encoder), WIDTH)
        network.load_state_dict(state, strict=True)
    except OSError as e:
        raise ConfigError(f"{path}: {e.strerror or e}") from e
    except (SafetensorError, ValueError, KeyError, TypeError, RuntimeError) as e:
        raise ConfigError(f"{path}: not a reward file ({e})") from e
    return network, float(about["temperature"]), hashlib.sha256(data).hexdigest()[:16], about["facts"]


def _scores(head: Head | None, vectors: np.ndarray) -> list[float | None]:
    if head is None:
        return [None] * len(vectors)
    return [float(s) for s in head.score(np.asarray(vectors, np.float32))]
