"""Pictures of fixed prompts and seeds while a model is trained, on one page."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from PIL import Image, ImageDraw
from torch import Tensor, nn

from ..flow import Schedule
from ..guidance import Condition, Guidance, batch_of, guide
from ..packing import patchify, unpatchify
from ..pipeline_folder import Pipeline
from ..samplers import euler

LABEL_PX = 14


@torch.no_grad()
def draw(
    model: nn.Module,
    pipeline: Pipeline,
    prompts: Sequence[str],
    size_px: tuple[int, int],
    steps: int = 16,
    guidance: float = 1.0,
    schedule: Schedule | None = None,
) -> list[Image.Image]:
    """One picture per prompt, prompt i with seed i. All ranks call it: each draws the same.

    Sharded weights are gathered for calls of the model's forward method alone, so text is encoded anew in
    every step here, unlike in `generate`.
    """
    device = model.x_pad_token.device
    factor = pipeline.vae.factor
    size = (size_px[1] // factor, size_px[0] // factor)
    channels = model.config.in_channels
    conditions = [Condition(size, pipeline.text_encoder.encode(prompt)) for prompt in prompts]
    empty = [Condition(size, pipeline.text_encoder.encode("")) for _ in prompts]
    both = [*conditions, *empty] if guidance else conditions
    layout, features = batch_of(both, model)
    noise = [
        torch.randn(channels, *size, generator=torch.Generator().manual_seed(i)) for i in range(len(prompts))
    ]
    x0 = patchify(noise).to(device)
    tokens = size[0] * size[1] // 4
    counts = [tokens] * len(prompts)

    def velocity(x: Tensor, t: float) -> Tensor:
        time = torch.tensor([t], dtype=torch.float32, device=device)
        if not guidance:
            return model(x, time, features, layout).float()
        cond, uncond = model(torch.cat((x, x)), time, features, layout).chunk(2)
        return guide(cond, uncond, Guidance(guidance), counts)

    times = (schedule or Schedule(dynamic=True)).times(steps, tokens)
    latents = unpatchify(euler(velocity, x0, times), [size] * len(prompts))
    return [to_image(pipeline.vae.decode(latent)) for latent in latents]


def to_image(tensor: Tensor) -> Image.Image:
    """[3, height, width] in [-1, 1], values outside cut off."""
    values = ((tensor.float().clamp(-1, 1) + 1) * 127.5).round().byte()
    return Image.fromarray(values.permute(1, 2, 0).cpu().numpy())


def page(rows: Sequence[tuple[str, Sequence[Image.Image]]], path: Path, least_px: int = 96) -> Path:
    """One row of pictures per label, as a PNG. Small pictures are enlarged without smoothing."""
    width, height = rows[0][1][0].size
    scale = max(1, -(-least_px // width))
    cell = (width * scale, height * scale)
    columns = max(len(images) for _, images in rows)
    sheet = Image.new("RGB", (columns * cell[0], len(rows) * (cell[1] + LABEL_PX)), "white")
    pen = ImageDraw.Draw(sheet)
    for r, (label, images) in enumerate(rows):
        top = r * (cell[1] + LABEL_PX)
        pen.text((2, top + 1), label, fill="black")
        for c, image in enumerate(images):
            sheet.paste(image.resize(cell, Image.Resampling.NEAREST), (c * cell[0], top + LABEL_PX))
    path.parent.mkdir(parents=True, exist_ok=True)
    sheet.save(path)
    return path
