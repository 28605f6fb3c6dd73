"""A trained network as a model folder, which `zcurate generate` and diffusers read."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from ..model import S3DiT
from ..pipeline_folder import TINY, Pipeline, read_index, save_pipeline
from ..text_encoders import PromptCache
from ..weights import save_weights
from .adapters import merged_state
from .loop import Network
from .parallel import Group

#: Parts of a model folder that training does not change.
FROZEN = ("text_encoder", "tokenizer", "vae", "scheduler", "siglip", "siglip_processor")


def trained_state(network: Network) -> dict[str, Tensor]:
    """Weights as they are to be used: averaged where an average is kept, whole, on the CPU. All ranks call it."""
    with network.ema.swapped() if network.ema else nullcontext():
        return merged_state(network.model)


def export(folder: Path, network: Network, pipeline: Pipeline, group: Group, bf16: bool = False) -> Path:
    """Write the network with the encoders that it was trained with. All ranks call it, rank 0 writes."""
    state = trained_state(network)
    if group.rank == 0:
        write_folder(folder, state, pipeline, bf16)
    group.barrier()
    return folder


def write_folder(folder: Path, state: Mapping[str, Tensor], pipeline: Pipeline, bf16: bool = False) -> None:
    """A model folder of a plain state dict of ours; encoders are written, or copied from the pipeline's folder."""
    if bf16:
        state = {name: tensor.bfloat16() for name, tensor in state.items()}
    with torch.device("meta"):
        model = S3DiT(pipeline.transformer.config)
    model.load_state_dict(dict(state), strict=True, assign=True)
    text = pipeline.text_encoder
    text = text.encoder if isinstance(text, PromptCache) else text
    parts = [text, pipeline.vae, *([pipeline.semantic] if pipeline.semantic is not None else [])]
    if all(type(part) in TINY.values() for part in parts):
        save_pipeline(
            folder, model, text, pipeline.vae, pipeline.schedule, pipeline.semantic, preset=pipeline.preset
        )
        return
    source = pipeline.folder
    save_weights(model.state_dict(), model.config, folder / "transformer")
    for part in FROZEN:
        if (source / part).is_dir():
            shutil.copytree(source / part, folder / part, dirs_exist_ok=True)
    index = {**read_index(source), "_zcurate_trained": True}
    part = folder / ".model_index.json.part"
    part.write_text(json.dumps(index, indent=2), "utf-8")
    os.replace(part, folder / "model_index.json")


def as_pipeline(network: Network, pipeline: Pipeline) -> Pipeline:
    """A pipeline of the trained weights in memory, for drawing. All ranks call it."""
    with torch.device("meta"):
        model = S3DiT(pipeline.transformer.config)
    model.load_state_dict(trained_state(network), strict=True, assign=True)
    return replace(
        pipeline, transformer=model.eval().requires_grad_(False), folder=None, trained=True, _digest=""
    )
