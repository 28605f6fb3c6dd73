"""Encoders of the tiny preset: no training, no download, a few kilobytes.

They are what they are: words without meaning, pixels in place of latents, mean colors in place of
semantics. A transformer trained on them learns what they stand for.
"""

from __future__ import annotations

import re
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from .errors import ModelConfigError, WeightsError

#: A token: a run of Latin letters and digits, or one other visible character (so each Chinese character).
TOKEN = re.compile(r"[A-Za-z0-9À-ɏ]+|[^\sA-Za-z0-9À-ɏ]")
#: Bytes of a token that are told apart by place; later ones share the last place.
PLACES = 16
START = b"\0"


def random_table(*shape: int, seed: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def read_table(folder: Path | str) -> Tensor:
    """The one tensor, `table`, of a folder. Raises WeightsError."""
    path = Path(folder) / "model.safetensors"
    try:
        return load_file(path)["table"]
    except (OSError, SafetensorError, KeyError) as error:
        raise WeightsError(f"{path}: not a tiny encoder's table: {error!r}") from error


class ByteTextEncoder:
    """UTF-8 bytes to features, any language: one token per Latin word or other character.

    A feature is the sum of fixed random vectors of the token's (place, byte) pairs over the root of their
    number, so that equal words are equal, similar ones similar, and nothing is out of vocabulary. A start
    token comes first, so an empty prompt has one token.
    """

    KIND = "ByteTextEncoder"
    module = None

    def __init__(self, table: Tensor) -> None:
        if table.ndim != 3 or table.shape[:2] != (PLACES, 256):
            raise ModelConfigError(f"byte table is {list(table.shape)}; it must be [{PLACES}, 256, width]")
        self.table, self.feat_dim = table.float(), table.shape[2]

    @classmethod
    def new(cls, feat_dim: int = 64, seed: int = 0) -> ByteTextEncoder:
        return cls(random_table(PLACES, 256, feat_dim, seed=seed))

    @classmethod
    def load(cls, folder: Path | str) -> ByteTextEncoder:
        return cls(read_table(folder))

    def save(self, folder: Path | str) -> None:
        Path(folder).mkdir(parents=True, exist_ok=True)
        save_file({"table": self.table.contiguous()}, Path(folder) / "model.safetensors", {"format": "pt"})

    def encode(self, prompt: str, references: int = 0) -> tuple[Tensor, ...]:
        texts = [""] * references + [prompt, ""] if references else [prompt]
        return tuple(self._features(text) for text in texts)

    def _features(self, text: str) -> Tensor:
        tokens = [START, *(t.lower().encode("utf-8", "replace") for t in TOKEN.findall(text))]
        rows = []
        for token in tokens:
            places = torch.arange(len(token)).clamp(max=PLACES - 1)
            rows.append(self.table[places, torch.tensor(list(token))].sum(0) / len(token) ** 0.5)
        return torch.stack(rows)


class PixelVae:
    """Pixels in place of latents: the four pixels of a 2 x 2 square are channels of one, [12, height / 2, width / 2].

    Lossless, so that a 32 x 32 picture is 64 tokens (patches of 2 x 2 latent pixels), values in [-1, 1].
    """

    KIND = "PixelVae"
    channels, factor, module, tile_px = 12, 2, None, None

    @classmethod
    def load(cls, folder: Path | str) -> PixelVae:
        return cls()

    def save(self, folder: Path | str) -> None:
        Path(folder).mkdir(parents=True, exist_ok=True)

    def encode(self, image: Tensor) -> Tensor:
        return F.pixel_unshuffle(image, self.factor)

    def decode(self, latent: Tensor) -> Tensor:
        return F.pixel_shuffle(latent, self.factor)


class TinySemanticEncoder(nn.Module):
    """Mean colors of an 8 x 8 grid and of their rows' gradient, through a fixed random projection."""

    KIND = "TinySemanticEncoder"
    GRID = 8

    def __init__(self, table: Tensor) -> None:
        super().__init__()
        if table.ndim != 2 or table.shape[0] != 6:
            raise ModelConfigError(f"semantic table is {list(table.shape)}; it must be [6, width]")
        self.register_buffer("table", table.float())
        self.feat_dim, self.module = table.shape[1], None

    @classmethod
    def new(cls, feat_dim: int = 48, seed: int = 0) -> TinySemanticEncoder:
        return cls(random_table(6, feat_dim, seed=seed))

    @classmethod
    def load(cls, folder: Path | str) -> TinySemanticEncoder:
        return cls(read_table(folder))

    def save(self, folder: Path | str) -> None:
        Path(folder).mkdir(parents=True, exist_ok=True)
        save_file({"table": self.table.contiguous()}, Path(folder) / "model.safetensors", {"format": "pt"})

    @torch.no_grad()
    def encode(self, image: Tensor) -> Tensor:
        """[8, 8, feat_dim] of an image [3, height, width] in [-1, 1]."""
        means = F.adaptive_avg_pool2d(image[None].float(), self.GRID)[0].permute(1, 2, 0)
        return torch.cat((means, means - means.roll(1, 0)), dim=-1) @ self.table
