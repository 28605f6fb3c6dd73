"""The image autoencoder: pictures to latents at 1/8 of the side, and back (FLUX.1's AutoencoderKL).

Written here, with the parameter names of diffusers' files, so that drawing a picture needs no diffusers.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .errors import ModelConfigError, WeightsError
from .tiles import tiled
from .weights import open_source

#: config.json fields that are supported in one value only; absent means that value.
FIXED = {
    "in_channels": 3,
    "out_channels": 3,
    "act_fn": "silu",
    "use_quant_conv": False,
    "use_post_quant_conv": False,
    "mid_block_add_attention": True,
}
EPS = 1e-6
#: Attention scores that live at once. One head of 512 channels is too wide for the kernels that keep none.
SCORES = 2**26


class Vae(Protocol):
    """Pictures [3, height, width] in [-1, 1] to latents [channels, height / factor, width / factor], and back."""

    channels: int
    factor: int
    module: nn.Module | None
    tile_px: int | None

    def encode(self, image: Tensor) -> Tensor: ...

    def decode(self, latent: Tensor) -> Tensor: ...


@dataclass(frozen=True)
class VaeConfig:
    """The defaults are FLUX.1's."""

    block_out_channels: tuple[int, ...] = (128, 256, 512, 512)
    layers_per_block: int = 2
    latent_channels: int = 16
    norm_num_groups: int = 32
    scaling_factor: float = 0.3611
    shift_factor: float = 0.1159

    @classmethod
    def read(cls, path: Path | str) -> VaeConfig:
        """From a config.json of diffusers. Raises ModelConfigError."""
        try:
            values = json.loads(Path(path).read_text("utf-8"))
            wrong = next((k for k, v in FIXED.items() if values.get(k, v) != v), None)
            if wrong:
                raise ModelConfigError(f"{wrong} is {values[wrong]!r}; only {FIXED[wrong]!r} is supported")
            own = {k: values[k] for k in cls.__dataclass_fields__ if k in values}
            own["block_out_channels"] = tuple(values["block_out_channels"])
            own["shift_factor"] = values.get("shift_factor") or 0.0
            return cls(**own)
        except (OSError, ValueError, TypeError, AttributeError, KeyError, ModelConfigError) as error:
            raise ModelConfigError(f"{path}: not the configuration of an AutoencoderKL: {error}") from error


class Resnet(nn.Module):
    def __init__(self, inner: int, outer: int, groups: int) -> None:
        super().__init__()
        self.norm1 = nn.GroupNorm(groups, inner, EPS)
        self.conv1 = nn.Conv2d(inner, outer, 3, padding=1)
        self.norm2 = nn.GroupNorm(groups, outer, EPS)
        self.conv2 = nn.Conv2d(outer, outer, 3, padding=1)
        if inner != outer:
            self.conv_shortcut = nn.Conv2d(inner, outer, 1)

    def forward(self, x: Tensor) -> Tensor:
        h = self.conv1(F.silu(self.norm1(x)))
        h = self.conv2(F.silu(self.norm2(h)))
        return h + (self.conv_shortcut(x) if hasattr(self, "conv_shortcut") else x)


class MiddleAttention(nn.Module):
    """One head over all pixels."""

    def __init__(self, channels: int, groups: int) -> None:
        super().__init__()
        self.group_norm = nn.GroupNorm(groups, channels, EPS)
        self.to_q, self.to_k, self.to_v = (nn.Linear(channels, channels) for _ in range(3))
        self.to_out = nn.ModuleList([nn.Linear(channels, channels)])

    def forward(self, x: Tensor) -> Tensor:
        h = self.group_norm(x).flatten(2).transpose(1, 2)[:, None]
        q, k, v = self.to_q(h), self.to_k(h), self.to_v(h)
        block = max(SCORES // h.shape[2], 1)
        h = torch.cat([F.scaled_dot_product_attention(part, k, v) for part in q.split(block, dim=2)], dim=2)
        return x + self.to_out[0](h[:, 0]).transpose(1, 2).unflatten(2, x.shape[2:])


class Middle(nn.Module):
    def __init__(self, channels: int, groups: int) -> None:
        super().__init__()
        self.attentions = nn.ModuleList([MiddleAttention(channels, groups)])
        self.resnets = nn.ModuleList(Resnet(channels, channels, groups) for _ in range(2))

    def forward(self, x: Tensor) -> Tensor:
        return self.resnets[1](self.attentions[0](self.resnets[0](x)))


class Scaled(nn.Module):
    """Half the side (a border of one pixel is added right and below), or twice (nearest), then a convolution."""

    def __init__(self, channels: int, up: bool) -> None:
        super().__init__()
        self.up = up
        self.conv = nn.Conv2d(channels, channels, 3, stride=1 if up else 2, padding=1 if up else 0)

    def forward(self, x: Tensor) -> Tensor:
        if self.up:
            return self.conv(F.interpolate(x, scale_factor=2.0, mode="nearest"))
        return self.conv(F.pad(x, (0, 1, 0, 1)))


class Level(nn.Module):
    """Blocks at one size, and the way to the next."""

    def __init__(self, inner: int, outer: int, layers: int, groups: int, up: bool, scale: bool) -> None:
        super().__init__()
        self.resnets = nn.ModuleList(Resnet(outer if i else inner, outer, groups) for i in range(layers))
        name = "upsamplers" if up else "downsamplers"
        self.scaled = name if scale else None
        if scale:
            setattr(self, name, nn.ModuleList([Scaled(outer, up)]))

    def forward(self, x: Tensor) -> Tensor:
        for block in self.resnets:
            x = block(x)
        return getattr(self, self.scaled)[0](x) if self.scaled else x


class Encoder(nn.Module):
    def __init__(self, config: VaeConfig) -> None:
        super().__init__()
        widths, groups = config.block_out_channels, config.norm_num_groups
        self.conv_in = nn.Conv2d(3, widths[0], 3, padding=1)
        self.down_blocks = nn.ModuleList(
            Level(widths[max(i - 1, 0)], w, config.layers_per_block, groups, False, i + 1 < len(widths))
            for i, w in enumerate(widths)
        )
        self.mid_block = Middle(widths[-1], groups)
        self.conv_norm_out = nn.GroupNorm(groups, widths[-1], EPS)
        self.conv_out = nn.Conv2d(widths[-1], 2 * config.latent_channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv_in(x)
        for level in self.down_blocks:
            x = level(x)
        return self.conv_out(F.silu(self.conv_norm_out(self.mid_block(x))))


class Decoder(nn.Module):
    def __init__(self, config: VaeConfig) -> None:
        super().__init__()
        widths, groups = config.block_out_channels[::-1], config.norm_num_groups
        self.conv_in = nn.Conv2d(config.latent_channels, widths[0], 3, padding=1)
        self.mid_block = Middle(widths[0], groups)
        self.up_blocks = nn.ModuleList(
            Level(widths[max(i - 1, 0)], w, config.layers_per_block + 1, groups, True, i + 1 < len(widths))
            for i, w in enumerate(widths)
        )
        self.conv_norm_out = nn.GroupNorm(groups, widths[-1], EPS)
        self.conv_out = nn.Conv2d(widths[-1], 3, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.mid_block(self.conv_in(x))
        for level in self.up_blocks:
            x = level(x)
        return self.conv_out(F.silu(self.conv_norm_out(x)))


class AutoencoderKL(nn.Module):
    """Latents are normalized as the transformer takes them: (mean - shift_factor) * scaling_factor.

    Encoding takes the mean of the posterior. tile_px: side of the tiles of pictures larger than that, with
    a quarter of overlap, or None; norms and attention then see a tile each, so that colors may differ a bit.
    """

    def __init__(self, config: VaeConfig) -> None:
        super().__init__()
        self.config, self.channels = config, config.latent_channels
        self.factor = 2 ** (len(config.block_out_channels) - 1)
        self.tile_px: int | None = None
        self.encoder, self.decoder = Encoder(config), Decoder(config)

    @property
    def module(self) -> nn.Module:
        return self

    @torch.no_grad()
    def encode(self, image: Tensor) -> Tensor:
        """[channels, height / factor, width / factor], float32, of [3, height, width] in [-1, 1]."""
        weight = self.encoder.conv_in.weight

        def run(x: Tensor) -> Tensor:
            return self.encoder(x[None])[0, : self.channels].float()

        image = image.to(weight.device, weight.dtype)
        tile, overlap = self._tile(1)
        mean = tiled(run, image, tile, overlap, down=self.factor) if tile else run(image)
        return (mean - self.config.shift_factor) * self.config.scaling_factor

    def decode(self, latent: Tensor) -> Tensor:
        """[3, height, width], float32 around [-1, 1], of a latent. Differentiable."""
        weight = self.decoder.conv_in.weight

        def run(x: Tensor) -> Tensor:
            return self.decoder(x[None])[0].float()

        latent = (
            latent.to(weight.device, torch.float32) / self.config.scaling_factor + self.config.shift_factor
        )
        latent = latent.to(weight.dtype)
        tile, overlap = self._tile(self.factor)
        return tiled(run, latent, tile, overlap, up=self.factor) if tile else run(latent)

    def _tile(self, divisor: int) -> tuple[int, int]:
        """Side and overlap of tiles in pixels / divisor; (0, 0) for none."""
        if self.tile_px is None:
            return 0, 0
        unit = 4 * self.factor
        side = max(self.tile_px // unit, 1) * unit
        return side // divisor, side // 4 // divisor

    @classmethod
    def load(cls, folder: Path | str, dtype: torch.dtype = torch.float32) -> AutoencoderKL:
        """From the vae folder of a pipeline. Raises ModelConfigError and WeightsError, naming keys."""
        config = VaeConfig.read(Path(folder) / "config.json")
        source = open_source(folder)
        with torch.device("meta"):
            vae = cls(config)
        expected = {name: tuple(p.shape) for name, p in vae.named_parameters()}
        faults = [f"missing {n} {list(s)}" for n, s in expected.items() if n not in source.shapes]
        faults += [f"unexpected {n}" for n in source.shapes if n not in expected]
        faults += [
            f"{n} is {list(source.shapes[n])}, not {list(s)}"
            for n, s in expected.items()
            if source.shapes.get(n, s) != s
        ]
        if faults:
            raise WeightsError(
                f"{source.name}: does not fit the configuration: {len(faults)} faults: {'; '.join(faults[:5])}"
            )
        state = {name: source.read(name).to(dtype) for name in expected}
        vae.load_state_dict(state, assign=True)
        return vae.eval().requires_grad_(False)
