"""Sizes of the model: a frozen dataclass, its presets, and the config.json of published checkpoints."""

from __future__ import annotations

import json
import warnings
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from .errors import ModelConfigError

#: Every modality of every sample is padded to a multiple of this with learned tokens, which are attended.
PAD_MULTIPLE = 32
#: config.json fields of published checkpoints that this code supports in one value only.
FIXED = {"all_patch_size": [2], "all_f_patch_size": [1], "qk_norm": True}


@dataclass(frozen=True)
class S3DiTConfig:
    """S3-DiT. The defaults are the released 6.15B model.

    The report's table says 32 heads; the released weights have 30, and only 30 fits head size 128.
    """

    dim: int = 3840
    n_layers: int = 30
    n_refiner_layers: int = 2
    n_heads: int = 30
    in_channels: int = 16
    cap_feat_dim: int = 2560
    #: Width of the SigLIP-2 features of reference images; None: no such tokens, so no editing with them.
    siglip_feat_dim: int | None = None
    norm_eps: float = 1e-5
    t_scale: float = 1000.0
    rope_theta: float = 256.0
    #: Channels of a head that encode (frame, row, column), and the number of positions of each.
    axes_dims: tuple[int, int, int] = (32, 48, 48)
    axes_lens: tuple[int, int, int] = (1536, 512, 512)

    #: Keep four oddities of the released editing code, which its weights will have been trained with: SigLIP
    #: channels and places are mixed (`pack_siglip`), SigLIP tokens are spread over latent pixels while image
    #: tokens count patches, frames of text pads overlap those of the image behind them, and the positions of
    #: second and later text segments are displaced by the pads of earlier ones.
    omni_quirks: bool = True

    patch_size = 2

    def __post_init__(self) -> None:
        for name in ("dim", "n_layers", "n_refiner_layers", "n_heads", "in_channels", "cap_feat_dim"):
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or value < 1:
                raise ModelConfigError(f"{name} is {value!r}; it must be a positive whole number")
        for name in ("axes_dims", "axes_lens"):
            value = getattr(self, name)
            if len(value) != 3 or not all(isinstance(n, int) and n > 0 for n in value):
                raise ModelConfigError(f"{name} is {value!r}; it must be three positive whole numbers")
        if self.dim % self.n_heads or any(d % 2 for d in self.axes_dims):
            raise ModelConfigError(
                f"dim {self.dim} must divide into n_heads {self.n_heads}, and axes_dims {self.axes_dims} be even"
            )
        if self.head_dim != sum(self.axes_dims):
            raise ModelConfigError(
                f"axes_dims {self.axes_dims} sum to {sum(self.axes_dims)}; "
                f"they must sum to the head size dim / n_heads = {self.head_dim}"
            )

    @property
    def head_dim(self) -> int:
        return self.dim // self.n_heads

    @property
    def ffn_dim(self) -> int:
        return int(self.dim / 3 * 8)

    @property
    def patch_dim(self) -> int:
        """Values of one latent patch, and so of one input and one output token."""
        return self.patch_size**2 * self.in_channels

    @property
    def cond_dim(self) -> int:
        """Width of the time vector that all layers share."""
        return min(self.dim, 256)

    def with_siglip(self, feat_dim: int = 1152) -> S3DiTConfig:
        """The same model with reference-image tokens (1152: SigLIP-2 so400m)."""
        return replace(self, siglip_feat_dim=feat_dim)

    def to_dict(self) -> dict:
        """The config.json that diffusers' ZImageTransformer2DModel reads."""
        fields = {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(self).items()}
        if self.omni_quirks:
            del fields["omni_quirks"]  # the published behavior, which diffusers has no field for
        return {
            "_class_name": "ZImageTransformer2DModel",
            **fields,
            **FIXED,
            "n_kv_heads": self.n_heads,
        }

    @classmethod
    def from_dict(cls, values: dict) -> S3DiTConfig:
        """From a published config.json. Keys that mean nothing here (`nheads`) are named in a warning.

        Raises ModelConfigError for a field whose value is not supported.
        """
        values = {k: v for k, v in values.items() if not k.startswith("_")}
        for name, only in FIXED.items():
            if name in values and values.pop(name) not in (only, only if only is True else tuple(only)):
                raise ModelConfigError(f"{name} must be {only}: no other value is supported")
        heads = values.get("n_heads", cls.n_heads)
        if values.pop("n_kv_heads", heads) != heads:
            raise ModelConfigError("n_kv_heads must equal n_heads: grouped keys are not supported")
        known = {k: tuple(v) if isinstance(v, list) else v for k, v in values.items() if k in FIELDS}
        ignored = sorted(set(values) - set(known))
        if ignored:
            warnings.warn(f"config keys that the model does not have are ignored: {ignored}", stacklevel=2)
        return cls(**known)

    @classmethod
    def read(cls, path: Path | str) -> S3DiTConfig:
        """From a config.json. Raises ModelConfigError, with the path, for a file that is not one."""
        try:
            values = json.loads(Path(path).read_text("utf-8"))
        except (OSError, ValueError) as error:
            raise ModelConfigError(f"{path}: cannot be read as a JSON configuration: {error}") from error
        if not isinstance(values, dict):
            raise ModelConfigError(f"{path}: holds {type(values).__name__}, not a JSON object")
        try:
            return cls.from_dict(values)
        except (ModelConfigError, TypeError) as error:
            raise ModelConfigError(f"{path}: {error}") from error


FIELDS = frozenset(S3DiTConfig.__dataclass_fields__)

PRESETS = {
    "full": S3DiTConfig(),
    # Heads of the full model, so attention and rotation are the real ones; 124 M parameters.
    "small": S3DiTConfig(dim=768, n_layers=12, n_heads=6, cap_feat_dim=1024, omni_quirks=False),
    # Trains on a laptop CPU, on pixels in place of latents.
    "tiny": S3DiTConfig(
        dim=96,
        n_layers=4,
        n_heads=3,
        in_channels=12,
        cap_feat_dim=64,
        axes_dims=(8, 12, 12),
        omni_quirks=False,
    ),
}
