"""Pictures from prompts: `Generator` puts encoders, sampler and decoder of a model together.

generator = Generator.load("path/to/model")
for picture in generator.generate([Request("a red kite", seed=1), Request("a blue one", seed=2)]):
    picture.save("out")
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from .canvas import composite, latent_mask, reference, to_image, to_tensor
from .errors import GenerationError
from .failures import check_picture, check_state, memory_advice
from .flow import interpolate
from .guidance import Condition, Denoiser
from .image_files import record_of, save_picture
from .packing import patchify, unpatchify
from .pipeline_folder import Pipeline, load_pipeline
from .quantize import quantize
from .request import Request, check_request
from .residency import OFFLOADS, resident
from .samplers import euler, heun, keep, sde_steps

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


@dataclass(frozen=True)
class Runtime:
    """Where and in what precision a model runs.

    device, dtype: `auto` is a GPU in bfloat16 if there is one, else the CPU in float32. quantize: None, int8 or
    int4 (transformer and Qwen3). offload: None, model or sequential (`residency`). vae_tile_px: the decoder
    works in tiles of this side, or on the whole picture for None.
    """

    device: str = "auto"
    dtype: str = "auto"
    quantize: str | None = None
    offload: str | None = None
    vae_tile_px: int | None = None

    def __post_init__(self) -> None:
        if self.dtype not in ("auto", *DTYPES):
            raise GenerationError(f"dtype is {self.dtype!r}; there are auto, {', '.join(DTYPES)}")
        if self.offload not in (None, *OFFLOADS):
            raise GenerationError(f"offload is {self.offload!r}; there are {', '.join(OFFLOADS)}")
        if self.vae_tile_px is not None and self.vae_tile_px < 64:
            raise GenerationError(f"vae_tile_px is {self.vae_tile_px}; tiles are at least 64 px")

    def place(self) -> torch.device:
        """The device. Raises GenerationError for one that is unknown or not here."""
        if self.device == "auto":
            return torch.device("cuda" if torch.cuda.is_available() else "cpu")
        try:
            device = torch.device(self.device)
            torch.empty(1, device=device)
        except (RuntimeError, AssertionError) as error:
            reason = str(error).partition("\n")[0]
            raise GenerationError(f"device {self.device!r} cannot be used here: {reason}") from error
        return device

    def precision(self) -> torch.dtype:
        if self.dtype != "auto":
            return DTYPES[self.dtype]
        return torch.bfloat16 if self.place().type == "cuda" else torch.float32


@dataclass(frozen=True, eq=False)
class Picture:
    """What was drawn, the request, and the record that is written into and beside its file."""

    image: Image.Image
    request: Request
    record: dict

    def save(self, folder: Path | str, name: str | None = None, suffix: str = ".png") -> Path:
        """Write the image with its record inside, and the record as JSON beside it. Returns the image's path."""
        return save_picture(self.image, self.record, folder, name, suffix)


@dataclass(eq=False)
class _Job:
    """A request with what encoders made of it."""

    request: Request
    times: tuple[float, ...]
    condition: Condition
    uncond: Condition | None
    start: Tensor | None = None  # latent
    mask: Tensor | None = None  # [rows, columns]


@dataclass(eq=False)
class Generator:
    """Draws requests with one model. Not safe for several threads at once."""

    pipeline: Pipeline
    runtime: Runtime = field(default_factory=Runtime)

    def __post_init__(self) -> None:
        self.device, self.dtype = self.runtime.place(), self.runtime.precision()
        self._streams: dict = {}
        if self.runtime.vae_tile_px and self.pipeline.vae.module is not None:
            self.pipeline.vae.tile_px = self.runtime.vae_tile_px
        self.identity = self.pipeline.identity  # of the weights as they were before quantization
        self.quantized_form = None
        self.pipeline.transformer.to(self.dtype)
        if self.runtime.quantize:
            fast = self.runtime.offload is None
            for module in (self.pipeline.transformer, self.pipeline.text_encoder.module):
                if module is not None:
                    self.quantized_form = quantize(module, self.runtime.quantize, self.device, fast)

    @classmethod
    def load(cls, folder: Path | str, runtime: Runtime | None = None) -> Generator:
        """From a model folder (`pipeline_folder`). Raises ModelConfigError and WeightsError."""
        runtime = runtime or Runtime()
        return cls(load_pipeline(folder, runtime.precision()), runtime)

    @torch.no_grad()
    def generate(self, requests: Sequence[Request], batch: int = 1) -> Iterator[Picture]:
        """Pictures in the order of the requests, up to `batch` at a time in one packed run.

        Requests of different sizes, prompts and seeds share a run when their times and settings agree. A
        picture depends on its own request alone, up to rounding.

        Raises:
            SizeError, GenerationError: a request that this model cannot draw; none is drawn then.
            MemoryShortError: out of memory, with what to try.
        """
        if batch < 1:
            raise GenerationError(f"batch is {batch}; it must be at least 1")
        for request in requests:
            check_request(request, self.pipeline)
        for group in groups(list(requests), self._times, batch):
            yield from self._draw(group)

    def _times(self, request: Request) -> tuple[float, ...]:
        width, height = request.canvas
        tokens = width * height // self.pipeline.multiple_px**2
        times = request.settings.schedule(self.pipeline.schedule).times(request.settings.steps, tokens)
        if request.start is None:
            return times
        # The first steps are left out, as in diffusers; at least one runs.
        steps = request.settings.steps
        return times[min(int(steps - min(steps * request.start.strength, steps)), steps - 1) :]

    def _draw(self, requests: list[Request]) -> Iterator[Picture]:
        runtime, settings = self.runtime, requests[0].settings
        largest = max((r.canvas for r in requests), key=lambda size: size[0] * size[1])
        memory = (largest, len(requests), self.dtype, runtime.quantize, runtime.offload)
        faults = (self.dtype, runtime.quantize, settings.guidance)
        with memory_advice("encoding", *memory):
            jobs = self._encode(requests)
        with memory_advice("drawing", *memory), self._on_device(self.pipeline.transformer):
            x, forwards = self._sample(jobs)
        check_state(x, *faults)
        latents = unpatchify(x, [job.condition.size for job in jobs])
        for job, latent in zip(jobs, latents, strict=True):
            with memory_advice("decoding", *memory), self._on_device(self.pipeline.vae.module):
                pixels = self.pipeline.vae.decode(latent).cpu()
            check_picture(pixels, *faults)
            image = to_image(pixels)
            if job.request.start is not None:
                image = composite(image, job.request.start)
            yield Picture(image, job.request, record_of(job.request, self, job.times, forwards))

    def _on_device(self, module: torch.nn.Module | None):
        return resident(module, self.device, self.runtime.offload, self._streams)

    def _encode(self, requests: list[Request]) -> list[_Job]:
        guided = requests[0].settings.guidance > 0
        asked = [(text, len(r.references)) for r in requests for text in (r.prompt, r.negative)[: 1 + guided]]
        text = self.pipeline.text_encoder
        with self._on_device(None if text.holds(asked) else text.module):
            prompts = {one: text.encode(*one) for one in asked}
        images = self._encode_images(requests)
        jobs = []
        for request, (references, siglip, start, mask) in zip(requests, images, strict=True):
            width, height = request.canvas
            size = (height // self.pipeline.vae.factor, width // self.pipeline.vae.factor)
            count = len(request.references)
            cond = Condition(size, prompts[request.prompt, count], references, siglip)
            uncond = None
            if guided:
                uncond = Condition(size, prompts[request.negative, count], references, siglip)
            jobs.append(_Job(request, self._times(request), cond, uncond, start, mask))
        return jobs

    def _encode_images(self, requests: list[Request]) -> list[tuple]:
        """Reference latents, their semantic features, start latent and mask of each request."""
        pipeline = self.pipeline
        out = []
        for request in requests:
            area = request.canvas[0] * request.canvas[1]
            fitted = [reference(image, area, pipeline.multiple_px) for image in request.references]
            siglip = start = mask = None
            if fitted and pipeline.semantic is not None:
                with self._on_device(pipeline.semantic.module):
                    siglip = tuple(pipeline.semantic.encode(to_tensor(whole)).cpu() for whole, _ in fitted)
            if fitted or request.start is not None:
                with self._on_device(pipeline.vae.module):
                    latents = tuple(pipeline.vae.encode(to_tensor(cut)).cpu() for _, cut in fitted)
                    if request.start is not None:
                        start = pipeline.vae.encode(to_tensor(request.start.image)).cpu()
                        if request.start.mask is not None:
                            mask = latent_mask(request.start.mask, pipeline.vae.factor)
            else:
                latents = ()
            out.append((latents, siglip, start, mask))
        return out

    def _sample(self, jobs: list[_Job]) -> tuple[Tensor, int]:
        """Packed float32 result of a batch, and the number of forwards."""
        settings, times = jobs[0].request.settings, jobs[0].times
        channels = self.pipeline.transformer.config.in_channels
        generators = [torch.Generator().manual_seed(job.request.seed) for job in jobs]

        def noise() -> Tensor:
            # Drawn on the CPU, each sample from its own generator: the same on any device, in any batch.
            drawn = [
                torch.randn((channels, *job.condition.size), generator=generator)
                for job, generator in zip(jobs, generators, strict=True)
            ]
            return patchify(drawn).to(self.device)

        x0 = noise()
        x, after = self._begin(jobs, x0, times[0])
        uncond = [job.uncond for job in jobs if job.uncond is not None]
        conditions = [job.condition for job in jobs]
        velocity = Denoiser(self.pipeline.transformer, conditions, uncond, settings.scheme, times)
        if settings.sampler == "euler":
            x = euler(velocity, x, times, after)
        elif settings.sampler == "heun":
            x = heun(velocity, x, times, after)
        else:
            for step in sde_steps(velocity, x, times, noise, velocity.counts, settings.sde_noise, after):
                x = step.next_x
        return x, velocity.forwards

    def _begin(self, jobs: list[_Job], x0: Tensor, t: float):
        """The state at the first time, and what keeps unmasked places on the start's own path."""
        if all(job.start is None for job in jobs):
            return x0, keep
        starts, masks = [], []
        for job, noise in zip(jobs, unpatchify(x0, [job.condition.size for job in jobs]), strict=True):
            # A sample without a start in the same batch is one whose start is its own noise, all masked.
            starts.append((noise if job.start is None else job.start).to(self.device))
            mask = torch.ones(job.condition.size) if job.mask is None else job.mask
            masks.append(mask.to(self.device).expand_as(starts[-1]))
        x1, free = patchify(starts), patchify(masks)
        has_start = patchify(
            [torch.full_like(s, float(job.start is not None)) for s, job in zip(starts, jobs, strict=True)]
        )
        x = torch.where(has_start > 0, interpolate(x0, x1, t), x0)
        if all(job.mask is None for job in jobs):
            return x, keep
        return x, lambda x, t: torch.where(free > 0, x, interpolate(x0, x1, t))


def groups(requests: list[Request], times_of, batch: int) -> Iterator[list[Request]]:
    """Neighbors whose times and settings agree, at most `batch` of them: the order stays."""
    run: list[Request] = []
    for request in requests:
        same = run and times_of(run[0]) == times_of(request) and run[0].settings == request.settings
        if run and (not same or len(run) == batch):
            yield run
            run = []
        run.append(request)
    if run:
        yield run
