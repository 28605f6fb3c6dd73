"""A sheet of pictures from the tiny preset trained on colored shapes."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from PIL import Image

from .generate import Generator
from .image_files import save_picture
from .pipeline_folder import Pipeline, shapes_pipeline
from .request import Request, Settings

PROMPTS = (
    "a red circle, white background",
    "a blue star and a yellow square, pink background",
    "一个绿色三角形，灰色背景",
    "一个紫色菱形、一个黑色十字，米色背景",
)
#: As its weights were measured, see TINY_SHAPES_CARD.md.
SETTINGS = Settings(steps=20, guidance=2.0)
SIDE_PX, GAP_PX, ENLARGED = 32, 4, 4


def tiny_grid(out: Path | str, pipeline: Pipeline | None = None, seeds: int = 4) -> dict:
    """Draw prompts (rows) by seeds (columns) with a model of the tiny preset, and write the sheet to `out`.

    pipeline: another one; fresh weights, whose velocity is zero, give a sheet of noise, which says so in its record. Returns path, model, trained, note, prompts and seeds.
    """
    pipeline = pipeline or shapes_pipeline()
    requests = [
        Request(prompt, (SIDE_PX, SIDE_PX), seed, SETTINGS) for prompt in PROMPTS for seed in range(seeds)
    ]
    # So small a model runs faster on one core than on many, and beside other work far faster.
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        pictures = list(Generator(pipeline).generate(requests, batch=seeds))
    finally:
        torch.set_num_threads(threads)
    side = SIDE_PX * ENLARGED
    sheet = Image.new(
        "RGB", (seeds * (side + GAP_PX) - GAP_PX, len(PROMPTS) * (side + GAP_PX) - GAP_PX), "white"
    )
    for i, picture in enumerate(pictures):
        row, column = divmod(i, seeds)
        tile = picture.image.resize((side, side), Image.Resampling.NEAREST)
        sheet.paste(tile, (column * (side + GAP_PX), row * (side + GAP_PX)))
    note = (
        ""
        if pipeline.trained
        else "the tiny preset has untrained weights: this is noise, which shows that the parts fit together"
    )
    facts = {"trained": pipeline.trained, "note": note, "prompts": list(PROMPTS), "seeds": seeds}
    record = pictures[0].record | {
        "prompt": " | ".join(PROMPTS),
        "width": sheet.width,
        "height": sheet.height,
    }
    out = Path(out)
    path = save_picture(sheet, record | {"grid": json.dumps(facts, ensure_ascii=False)}, out, "tiny-grid")
    return {"path": path, "model": pictures[0].record["model"], **facts}
