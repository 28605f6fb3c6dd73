"""Autoencoders of our own, whose reconstructions stand in for generated pictures in training.

Every picture out of a generator went through a decoder that enlarges a small grid step by step. How it
enlarges (nearest, bilinear, transposed convolution, pixel shuffle) leaves relations between neighboring
pixels that a camera does not make. These small ones differ in just that.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

#: Weight of the adversarial term, where a family has one.
_ADVERSARIAL_WEIGHT = 0.02
#: Standard deviation of the noise on latents while training, in units of the bounded latent (-1..1).
_LATENT_NOISE = 0.03
#: Gaussian blurs between the bands that `match_bands` equalizes, finest first.
_BAND_SIGMAS_PX = (0.7, 1.4, 2.8, 5.6)


@dataclass(frozen=True)
class Family:
    """One kind of decoder.

    Attributes:
        name: as it stands in the model card.
        upsampling: 'nearest', 'bilinear', 'transposed4' (kernel 4), 'transposed3' (kernel 3, overlapping
            unevenly) or 'shuffle'; all by a factor of 2.
        halvings: the latent grid has a side of 1 / 2^halvings of the picture's.
        latent_channels: channels of that grid.
        normalized: group normalization and SiLU, as in the decoders of latent diffusion; else plain ReLU.
        adversarial: trained against a patch discriminator on top of the distance to the original.
    """

    name: str
    upsampling: str
    halvings: int
    latent_channels: int
    normalized: bool = False
    adversarial: bool = False


FAMILIES = (
    Family("nearest-2", "nearest", 1, 8),
    Family("nearest-4-norm", "nearest", 2, 16, normalized=True),
    Family("nearest-8-norm-adversarial", "nearest", 3, 32, normalized=True, adversarial=True),
    Family("bilinear-4", "bilinear", 2, 16),
    Family("transposed4-2", "transposed4", 1, 8),
    Family("transposed4-4-adversarial", "transposed4", 2, 16, adversarial=True),
    Family("transposed3-4", "transposed3", 2, 16),
    Family("shuffle-4", "shuffle", 2, 16),
    Family("shuffle-8-adversarial", "shuffle", 3, 32, adversarial=True),
)
#: Widths of the feature maps at 1, 1/2, 1/4 and 1/8 of the side.
_WIDTHS = (16, 24, 40, 56)


class Autoencoder(nn.Module):
    """Maps a float picture [n, 3, h, w] in -1..1 to one like it; h and w multiples of 2^halvings.

    Three latent channels are the picture itself, averaged over the cells of the latent grid, and the decoder
    adds to a smooth enlargement of them: colors are right from the first step, and the short training goes
    into detail.
    """

    def __init__(self, family: Family) -> None:
        super().__init__()
        widths = _WIDTHS[: family.halvings + 1]
        down = [nn.Conv2d(3, widths[0], 3, padding=1), nn.ReLU()]
        for before, after in zip(widths[:-1], widths[1:], strict=True):
            down += [nn.Conv2d(before, after, 4, stride=2, padding=1), nn.ReLU()]
        self.encoder = nn.Sequential(*down, nn.Conv2d(widths[-1], family.latent_channels, 1))
        self.stride = 2**family.halvings
        up: list[nn.Module] = [nn.Conv2d(family.latent_channels + 3, widths[-1], 3, padding=1), nn.ReLU()]
        for before, after in zip(widths[:0:-1], widths[-2::-1], strict=True):
            up += [*_enlarge(family.upsampling, before, after), *_activate(after, family.normalized)]
        self.decoder = nn.Sequential(*up, nn.Conv2d(widths[0], 3, 3, padding=1))

    def encode(self, pictures: torch.Tensor) -> torch.Tensor:
        return torch.cat([F.avg_pool2d(pictures, self.stride), torch.tanh(self.encoder(pictures))], dim=1)

    def decode(self, latents: torch.Tensor) -> torch.Tensor:
        smooth = F.interpolate(latents[:, :3], scale_factor=self.stride, mode="bicubic", align_corners=False)
        return smooth + self.decoder(latents)

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        return self.decode(self.encode(pictures))


def _enlarge(upsampling: str, before: int, after: int) -> list[nn.Module]:
    if upsampling == "transposed4":
        return [nn.ConvTranspose2d(before, after, 4, stride=2, padding=1)]
    if upsampling == "transposed3":
        return [nn.ConvTranspose2d(before, after, 3, stride=2, padding=1, output_padding=1)]
    if upsampling == "shuffle":
        return [nn.Conv2d(before, 4 * after, 3, padding=1), nn.PixelShuffle(2)]
    return [nn.Upsample(scale_factor=2, mode=upsampling), nn.Conv2d(before, after, 3, padding=1)]


def _activate(channels: int, normalized: bool) -> list[nn.Module]:
    return [nn.GroupNorm(4, channels), nn.SiLU()] if normalized else [nn.ReLU()]


def _discriminator() -> nn.Sequential:
    """Judges neighborhoods of 22 px: texture, not content."""
    return nn.Sequential(
        nn.Conv2d(3, 24, 4, stride=2, padding=1),
        nn.LeakyReLU(0.2),
        nn.Conv2d(24, 48, 4, stride=2, padding=1),
        nn.LeakyReLU(0.2),
        nn.Conv2d(48, 1, 4, padding=1),
    )


def fit_autoencoder(
    family: Family, patches: np.ndarray, steps: int, seed: int, batch: int = 8, side_px: int = 96
) -> Autoencoder:
    """Train one on random crops of patches; the same arguments give the same network on one machine.

    Args:
        patches: uint8 [n, size, size, 3], size >= side_px.
        steps: optimizer steps.
    """
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    model = Autoencoder(family).to(memory_format=torch.channels_last)
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3, betas=(0.8, 0.99))
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 4e-3, total_steps=steps)
    critic = _discriminator().to(memory_format=torch.channels_last) if family.adversarial else None
    critic_optimizer = torch.optim.Adam(critic.parameters(), lr=4e-4, betas=(0.5, 0.99)) if critic else None
    # the critic joins once there is a picture to judge
    joins_at = steps // 3
    for step in range(steps):
        real = _to_float(_random_crops(patches, batch, side_px, rng))
        latents = model.encode(real)
        made = model.decode(latents + _LATENT_NOISE * torch.randn_like(latents))
        loss = (made - real).abs().mean() + _edge_distance(made, real)
        if critic is not None and critic_optimizer is not None and step >= joins_at:
            critic_loss = (critic(real) - 1).square().mean() + critic(made.detach()).square().mean()
            critic_optimizer.zero_grad()
            critic_loss.backward()
            critic_optimizer.step()
            loss = loss + _ADVERSARIAL_WEIGHT * (critic(made) - 1).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    return model.eval()


def _edge_distance(made: torch.Tensor, real: torch.Tensor) -> torch.Tensor:
    """Mean absolute difference of the differences of neighbors: keeps edges where they are."""
    distance = torch.zeros(())
    for dim in (2, 3):
        distance = distance + (made.diff(dim=dim) - real.diff(dim=dim)).abs().mean()
    return distance


def reconstruct(model: Autoencoder, patches: np.ndarray, seed: int) -> np.ndarray:
    """What the decoder makes of pictures: of three, one as encoded, one perturbed, one a mixture of two.

    Args:
        patches: uint8 [n, size, size, 3], size a multiple of 8.

    Returns:
        uint8, same shape.
    """
    generator = torch.Generator().manual_seed(seed)
    made = np.empty_like(patches)
    with torch.inference_mode():
        for start in range(0, len(patches), 32):
            latents = model.encode(_to_float(patches[start : start + 32]))
            noise = torch.randn(latents.shape, generator=generator)
            strength = torch.zeros(len(latents), 1, 1, 1)
            strength[1::3] = 0.08
            share = torch.zeros(len(latents), 1, 1, 1)
            share[2::3] = 0.15
            latents = (1 - share) * latents + share * latents.flip(0) + strength * noise
            made[start : start + 32] = _to_bytes(model.decode(latents))
    return made


def _random_crops(patches: np.ndarray, count: int, side_px: int, rng: np.random.Generator) -> np.ndarray:
    slack = patches.shape[1] - side_px
    chosen = rng.integers(0, len(patches), count)
    tops, lefts = rng.integers(0, slack + 1, count), rng.integers(0, slack + 1, count)
    places = zip(chosen, tops, lefts, strict=True)
    return np.stack([patches[i, y : y + side_px, x : x + side_px] for i, y, x in places])


def _to_float(pictures: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(pictures)).permute(0, 3, 1, 2).float() / 127.5 - 1


def _to_bytes(pictures: torch.Tensor) -> np.ndarray:
    levels = ((pictures.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)
    return levels.permute(0, 2, 3, 1).contiguous().numpy()


def match_bands(made: np.ndarray, real: np.ndarray) -> np.ndarray:
    """Bring a reconstruction near the energy of its original in each band of frequencies, color by color.

    Without this, being soft would be what tells the two apart. Bands are differences of Gaussian blurs; what
    is finer than the finest stays softer than in the original.

    Args:
        made: uint8 [h, w, 3].
        real: the same of the original.

    Returns:
        uint8 [h, w, 3]; gains stay within 0.5 to 4.
    """
    low_made, low_real = made.astype(np.float32), real.astype(np.float32)
    matched = np.zeros_like(low_made)
    for sigma in _BAND_SIGMAS_PX:
        softer_made = cv2.GaussianBlur(low_made, (0, 0), sigma)
        softer_real = cv2.GaussianBlur(low_real, (0, 0), sigma)
        band = low_made - softer_made
        energy = (low_real - softer_real).std(axis=(0, 1)) + 0.1
        matched += np.clip(energy / (band.std(axis=(0, 1)) + 0.1), 0.5, 4) * band
        low_made, low_real = softer_made, softer_real
    return np.clip(matched + low_made, 0, 255).round().astype(np.uint8)


def psnr_db(made: np.ndarray, real: np.ndarray) -> float:
    """Peak signal to noise ratio of uint8 pictures, in decibels."""
    error = np.mean((made.astype(np.float32) - real.astype(np.float32)) ** 2)
    return float(10 * np.log10(255**2 / max(error, 1e-6)))
