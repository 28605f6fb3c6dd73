"""What to draw and how: requests, settings, and the presets Turbo, Base, Edit and Tiny."""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass, field, replace

from PIL import Image

from .canvas import Start, check_canvas
from .errors import GenerationError, ModelWarning
from .flow import Schedule
from .guidance import Guidance
from .pipeline_folder import Pipeline

SAMPLERS = ("euler", "heun", "sde")
#: `Settings.shift` of the shift that grows with the picture (`flow.Schedule.mu`).
DYNAMIC = "dynamic"
MAX_REFERENCES = 4
MAX_STEPS = 1000
#: Largest seed of torch's generators.
MAX_SEED = 2**63 - 1
#: Smallest side of latent models; models of pixels go lower.
LOW_PX, LOW_PIXEL_MODEL_PX = 256, 16


@dataclass(frozen=True)
class Settings:
    """How to sample.

    guidance: zero-normalized scale s, u = cond + s (cond - uncond); the textbook's weight is w = 1 + s. 0: the
    unconditional half is not run. cfg_normalization: 0 off, else bound of the guided norm in units of the
    conditional one. cfg_truncation: no guidance at times above it. sde_noise: noise level a of sampler `sde`.
    shift: where the steps lie: a number, `dynamic` (Flux's, which grows with the picture), or None: the model's own.
    """

    steps: int = 8
    guidance: float = 0.0
    cfg_normalization: float = 0.0
    cfg_truncation: float = 1.0
    sampler: str = "euler"
    sde_noise: float = 0.7
    shift: float | str | None = None

    def __post_init__(self) -> None:
        if not 1 <= self.steps <= MAX_STEPS:
            raise GenerationError(f"steps is {self.steps}; it must be from 1 to {MAX_STEPS}")
        if not 0 <= self.guidance <= 100:
            raise GenerationError(f"guidance is {self.guidance}; it must be from 0 (off) to 100")
        if not 0 <= self.cfg_normalization <= 100 or not 0 <= self.cfg_truncation <= 1:
            raise GenerationError(
                f"cfg_normalization {self.cfg_normalization} must not be negative, cfg_truncation "
                f"{self.cfg_truncation} be from 0 to 1"
            )
        if self.sampler not in SAMPLERS:
            raise GenerationError(f"sampler is {self.sampler!r}; there are {', '.join(SAMPLERS)}")
        if not 0 <= self.sde_noise <= 2:
            raise GenerationError(f"sde_noise is {self.sde_noise}; it must be from 0 to 2")
        number = isinstance(self.shift, float | int) and not isinstance(self.shift, bool)
        if not (self.shift in (None, DYNAMIC) or (number and math.isfinite(self.shift) and self.shift > 0)):
            raise GenerationError(f"shift is {self.shift!r}; it must be a positive number or {DYNAMIC!r}")

    @property
    def scheme(self) -> Guidance:
        return Guidance(self.guidance, self.cfg_normalization, self.cfg_truncation)

    def schedule(self, own: Schedule) -> Schedule:
        """A model's own schedule, with the shift of these settings."""
        if self.shift is None:
            return own
        if self.shift == DYNAMIC:
            return replace(own, dynamic=True)
        return replace(own, dynamic=False, shift=float(self.shift))


#: Turbo: 8 distilled steps, trained without guidance. Base: the middle of what its card advises (28-50 steps,
#: 3-5). Edit has no published settings; it takes those of Base. Tiny: of the tiny preset's pixel models, which are trained
#: with prompts left out now and then.
PRESETS = {
    "turbo": Settings(steps=8, guidance=0.0),
    "base": Settings(steps=50, guidance=4.0),
    "edit": Settings(steps=50, guidance=4.0),
    "tiny": Settings(steps=10, guidance=2.0),
}


def preset_of(pipeline: Pipeline, references: bool = False) -> str:
    """Name of the preset that a model is for: as its folder says, else by its schedule."""
    if references:
        return "edit"
    if pipeline.preset in PRESETS:
        return pipeline.preset
    return "base" if not pipeline.schedule.dynamic and pipeline.schedule.shift >= 6 else "turbo"


@dataclass(frozen=True, eq=False)
class Request:
    """One picture to draw.

    size: (width, height) in px. seed: of all its randomness, in whatever batch it is drawn. references: 1-4
    pictures to edit or combine, which the prompt then speaks of. start: a picture to begin from (its size
    counts). tags: what else to record beside the picture, such as the prompt before it was enhanced.
    """

    prompt: str
    size: tuple[int, int] = (1024, 1024)
    seed: int = 0
    settings: Settings = PRESETS["turbo"]
    negative: str = ""
    references: tuple[Image.Image, ...] = ()
    start: Start | None = None
    tags: dict[str, str] = field(default_factory=dict)

    @property
    def canvas(self) -> tuple[int, int]:
        return self.size if self.start is None else self.start.image.size


def check_request(request: Request, pipeline: Pipeline) -> None:
    """Raise SizeError or GenerationError unless the model can draw this; warn of what will have no effect."""
    config, multiple = pipeline.transformer.config, pipeline.multiple_px
    low = LOW_PIXEL_MODEL_PX if pipeline.in_pixels else LOW_PX
    high = min(config.axes_lens[1:]) * multiple
    check_canvas(request.canvas, multiple, low, high)
    if not 0 <= request.seed <= MAX_SEED:
        raise GenerationError(f"seed is {request.seed}; it must be from 0 to {MAX_SEED}")
    for name, text in (("prompt", request.prompt), ("negative prompt", request.negative)):
        if not text.isascii() and text.encode("utf-8", "replace").decode("utf-8") != text:
            raise GenerationError(f"the {name} is not valid text: it holds bytes that are not UTF-8")
    if len(request.references) > MAX_REFERENCES:
        raise GenerationError(f"{len(request.references)} references; at most {MAX_REFERENCES}")
    if request.references and request.start is not None:
        raise GenerationError("references and a start picture exclude each other: edit, or redraw")
    if request.references and config.siglip_feat_dim is None and pipeline.preset not in ("edit", ""):
        raise GenerationError(
            f"model {pipeline.name} takes no reference pictures; use an Edit model (with a siglip folder)"
        )
    if request.references and config.siglip_feat_dim is None and not pipeline.preset:
        warnings.warn(
            f"model {pipeline.name} does not say that it can edit: unless it was trained to, references will "
            'mislead it (its model_index.json says so by "_zcurate_preset": "edit")',
            ModelWarning,
            stacklevel=3,
        )
    if request.negative and request.settings.guidance == 0:
        warnings.warn(
            "the negative prompt has no effect: guidance is 0. Say what you want in the prompt, or use a "
            "model and preset with guidance (Base)",
            ModelWarning,
            stacklevel=3,
        )
