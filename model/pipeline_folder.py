"""A model on disk: transformer, text encoder, autoencoder, schedule, in the folder layout of diffusers.

    DIR/model_index.json      which class each part is
    DIR/transformer/          config.json and safetensors
    DIR/text_encoder/  tokenizer/  vae/  scheduler/  siglip/  siglip_processor/

Parts of the kind ["zcurate", NAME] are our tiny encoders; all others are named as diffusers and transformers
name them. Only safetensors and JSON are read, nothing is downloaded, and no code of a folder is run.
"""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path

import torch

from .config import PRESETS
from .errors import ModelConfigError
from .flow import Schedule
from .init import new_model
from .model import S3DiT
from .semantic import SemanticEncoder, Siglip2Encoder
from .text_encoders import PromptCache, Qwen3TextEncoder, TextEncoder
from .tiny_encoders import ByteTextEncoder, PixelVae, TinySemanticEncoder
from .vae import AutoencoderKL, Vae
from .weights import load_model, load_weights, open_source, save_weights

#: Our own class of each part, and by name.
OWN = {"text_encoder": ByteTextEncoder, "vae": PixelVae, "siglip": TinySemanticEncoder}
TINY = {kind.KIND: kind for kind in OWN.values()}
#: Classes of other libraries that each part may be; loaded by ours.
KNOWN = {
    "transformer": ("ZImageTransformer2DModel",),
    "text_encoder": ("Qwen3Model", "Qwen3ForCausalLM"),
    "vae": ("AutoencoderKL",),
    "siglip": ("Siglip2VisionModel",),
}


@dataclass
class Pipeline:
    """Everything that drawing needs. name and digest identify the model in what it draws."""

    transformer: S3DiT
    text_encoder: PromptCache
    vae: Vae
    schedule: Schedule
    semantic: SemanticEncoder | None = None
    name: str = "s3dit"
    folder: Path | None = None
    #: Name of the settings that the model is made for (`generate.PRESETS`); empty: not said.
    preset: str = ""
    trained: bool = True
    _digest: str = field(default="", repr=False)

    def __post_init__(self) -> None:
        config = self.transformer.config
        for what, own, needed in (
            ("text encoder's width", self.text_encoder.feat_dim, config.cap_feat_dim),
            ("autoencoder's channels", self.vae.channels, config.in_channels),
            (
                "semantic encoder's width",
                self.semantic.feat_dim if self.semantic else None,
                config.siglip_feat_dim,
            ),
        ):
            if own != needed:
                raise ModelConfigError(
                    f"{self.folder or self.name}: {what} is {own}, but the transformer takes {needed}"
                )

    @property
    def in_pixels(self) -> bool:
        """Whether it draws pixels themselves, small pictures, and not latents of an autoencoder."""
        return self.vae.module is None

    @property
    def multiple_px(self) -> int:
        """What sides of pictures must divide by."""
        return self.transformer.config.patch_size * self.vae.factor

    @property
    def identity(self) -> str:
        """`name@sha256:...` of the transformer's files, or of its weights in memory."""
        if not self._digest:
            self._digest = _files_digest(self.folder) if self.folder else _weights_digest(self.transformer)
        return f"{self.name}@sha256:{self._digest[:16]}"


def tiny_pipeline(seed: int = 0, semantic: bool = False, name: str = "tiny-untrained") -> Pipeline:
    """The tiny preset with fresh weights: it draws noise until it is trained."""
    config = PRESETS["tiny"]
    encoder = TinySemanticEncoder.new() if semantic else None
    if encoder is not None:
        config = config.with_siglip(encoder.feat_dim)
    return Pipeline(
        transformer=new_model(config, seed).eval(),
        text_encoder=PromptCache(ByteTextEncoder.new(config.cap_feat_dim)),
        vae=PixelVae(),
        schedule=Schedule(shift=3.0),
        semantic=encoder,
        name=name,
        trained=False,
        preset="tiny",
    )


#: Weights of the tiny preset that `benchmarks/train_shapes.py` trained; see the card beside them.
SHAPES = Path(__file__).with_name("tiny_shapes.safetensors")


def shapes_pipeline() -> Pipeline:
    """The tiny preset trained on procedural scenes: draws 32 x 32 px pictures of colored shapes, nothing else.

    Raises WeightsError where the file is not there.
    """
    pipeline = tiny_pipeline(name="tiny-shapes")
    load_weights(pipeline.transformer, open_source(SHAPES))
    return replace(pipeline, trained=True)


def load_pipeline(folder: Path | str, dtype: torch.dtype = torch.float32) -> Pipeline:
    """Read a model folder, onto the CPU. Raises ModelConfigError and WeightsError, naming the part at fault.

    dtype: of transformer and text encoder; float16 leaves the text encoder, which overflows in it, in
    bfloat16. The autoencoder follows for bfloat16 only.
    """
    folder = Path(folder)
    index = read_index(folder)
    wide = dtype if dtype != torch.float16 else torch.bfloat16
    text = _kind(folder, index, "text_encoder")
    vae = _kind(folder, index, "vae")
    siglip = _kind(folder, index, "siglip") if "siglip" in index else None
    _kind(folder, index, "transformer")
    return Pipeline(
        transformer=load_model(folder / "transformer", dtype=dtype).requires_grad_(False),
        text_encoder=PromptCache(
            text.load(folder / "text_encoder")
            if text
            else Qwen3TextEncoder.load(folder / "text_encoder", folder / "tokenizer", wide)
        ),
        vae=vae.load(folder / "vae")
        if vae
        else AutoencoderKL.load(folder / "vae", dtype if dtype == torch.bfloat16 else torch.float32),
        schedule=Schedule.read(folder / "scheduler" / "scheduler_config.json"),
        semantic=_semantic(folder, siglip, wide) if "siglip" in index else None,
        name=str(index.get("_zcurate_name") or folder.resolve().name),
        folder=folder,
        preset=str(index.get("_zcurate_preset", "")),
        trained=bool(index.get("_zcurate_trained", True)),
    )


def _semantic(folder: Path, tiny: type | None, dtype: torch.dtype) -> SemanticEncoder:
    if tiny:
        return tiny.load(folder / "siglip")
    return Siglip2Encoder.load(folder / "siglip", folder / "siglip_processor", dtype)


def read_index(folder: Path) -> dict:
    """model_index.json of a model folder. Raises ModelConfigError."""
    path = folder / "model_index.json"
    try:
        index = json.loads(path.read_text("utf-8"))
        if not isinstance(index, dict):
            raise ModelConfigError(f"{path}: holds {type(index).__name__}, not a JSON object")
        return index
    except (OSError, ValueError) as error:
        raise ModelConfigError(
            f"{path}: cannot be read ({error}); a model is a folder with model_index.json, transformer, "
            "text_encoder, vae and scheduler"
        ) from error


def _kind(folder: Path, index: dict, part: str) -> type | None:
    """Our class of a part; None for that of another library, which is known. Raises ModelConfigError."""
    value = index.get(part)
    library, name = value if isinstance(value, list) and len(value) == 2 else ("", str(value))
    own = OWN.get(part)
    if own is not None and (library, name) == ("zcurate", own.KIND):
        return own
    if library != "zcurate" and name in KNOWN[part]:
        return None
    allowed = [*KNOWN[part], *([f"zcurate's {own.KIND}"] if own else [])]
    raise ModelConfigError(
        f"{folder / 'model_index.json'}: {part} is {value!r}; supported: {', '.join(allowed)}"
    )


def save_pipeline(
    folder: Path | str,
    transformer: S3DiT,
    text_encoder: TextEncoder,
    vae: Vae,
    schedule: Schedule,
    semantic: TinySemanticEncoder | None = None,
    preset: str = "",
    trained: bool = True,
) -> Path:
    """Write a model with tiny encoders as a folder that `load_pipeline` reads. model_index.json comes last.

    Raises ModelConfigError for encoders that are not ours: copy the folders of those in their place.
    """
    folder = Path(folder)
    inner = text_encoder.encoder if isinstance(text_encoder, PromptCache) else text_encoder
    parts = {"text_encoder": inner, "vae": vae} | ({"siglip": semantic} if semantic else {})
    for part, value in parts.items():
        if type(value) not in TINY.values():
            raise ModelConfigError(f"{part} is a {type(value).__name__}; only tiny encoders are written")
    save_weights(transformer.state_dict(), transformer.config, folder / "transformer")
    for part, value in parts.items():
        value.save(folder / part)
    (folder / "scheduler").mkdir(parents=True, exist_ok=True)
    scheduler = json.dumps(schedule.to_config(), indent=2)
    (folder / "scheduler" / "scheduler_config.json").write_text(scheduler, "utf-8")
    index = {
        "_class_name": "ZImagePipeline",
        "_zcurate_preset": preset,
        "_zcurate_trained": trained,
        "transformer": ["diffusers", "ZImageTransformer2DModel"],
        "scheduler": ["diffusers", "FlowMatchEulerDiscreteScheduler"],
        **{part: ["zcurate", type(value).KIND] for part, value in parts.items()},
    }
    part = folder / ".model_index.json.part"
    part.write_text(json.dumps(index, indent=2), "utf-8")
    os.replace(part, folder / "model_index.json")
    return folder


def _files_digest(folder: Path) -> str:
    """sha256 over the transformer's files and the index."""
    files = [p for p in sorted((folder / "transformer").iterdir()) if p.suffix in (".safetensors", ".json")]
    total = hashlib.sha256((folder / "model_index.json").read_bytes())
    for file in files:
        stat = file.stat()
        total.update(f"{file.name}\0{_file_digest(str(file), stat.st_size, stat.st_mtime_ns)}\n".encode())
    return total.hexdigest()


@lru_cache(maxsize=256)
def _file_digest(path: str, size_bytes: int, mtime_ns: int) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _weights_digest(model: S3DiT) -> str:
    total = hashlib.sha256(json.dumps(model.config.to_dict(), sort_keys=True).encode())
    for name, tensor in sorted(model.state_dict().items()):
        total.update(name.encode())
        total.update(tensor.detach().float().cpu().contiguous().numpy().tobytes())
    return total.hexdigest()
