"""`zcurate generate`: options to requests, models by string, and the chain of models."""

from __future__ import annotations

import logging
import secrets
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zcurate.curation.errors import ConfigError, ZcurateError

if TYPE_CHECKING:
    from zcurate.model.generate import Generator, Picture, Runtime
    from zcurate.model.memory_plan import Sizes
    from zcurate.model.request import Request

#: The model that is always there.
TINY = "s3dit:tiny"
#: The tiny preset trained on the procedural world: small pictures of colored shapes.
SHAPES = "s3dit:shapes"
SIZE, TINY_SIZE = "1024*1024", "32*32"
PICK = "sharpness"
#: How much of --image is drawn anew without a mask.
REDRAWN = 0.6


@dataclass(frozen=True)
class Asked:
    """The options of `zcurate generate` that a person gave; None: as the preset has it."""

    prompt: str
    negative: str = ""
    size: str | None = None
    steps: int | None = None
    guidance: float | None = None
    cfg_normalization: float | None = None
    cfg_truncation: float | None = None
    sampler: str | None = None
    shift: str | None = None
    seed: str | None = None
    n: int = 1
    references: tuple[Path, ...] = ()
    preset: str | None = None
    presets_file: Path | None = None
    style: str | None = None
    image: Path | None = None
    strength: float | None = None
    mask: Path | None = None
    outpaint: str | None = None


@contextmanager
def model_errors() -> Iterator[None]:
    """The model's errors as the command line's; its warnings as lines on standard error."""
    from zcurate.model.errors import BrokenPictureError, MemoryShortError, ModelError, ModelWarning

    # torchao's import is told off by torch there, at length.
    logging.getLogger("torch.utils._pytree").setLevel(logging.ERROR)
    shown: set[str] = set()

    def show(message: Any, *_: Any, **__: Any) -> None:
        if str(message) not in shown:
            shown.add(str(message))
            print(f"warning: {message}", file=sys.stderr)

    with warnings.catch_warnings():
        # Our own warnings only: libraries warn of what nobody here can change.
        warnings.filterwarnings("ignore")
        warnings.filterwarnings("always", category=ModelWarning)
        previous, warnings.showwarning = warnings.showwarning, show
        try:
            yield
        except (MemoryShortError, BrokenPictureError) as e:
            raise ZcurateError(str(e)) from e
        except ModelError as e:
            raise ConfigError(str(e)) from e
        finally:
            warnings.showwarning = previous


def load_generator(model: str, runtime: Runtime) -> Generator:
    """The generator that `s3dit:DIR` or `s3dit:tiny` names. Raises ConfigError and the model's errors."""
    from zcurate.model.generate import Generator
    from zcurate.model.pipeline_folder import shapes_pipeline, tiny_pipeline

    if model == SHAPES:
        return Generator(shapes_pipeline(), runtime)
    folder = folder_of(model)
    if folder is None:
        return Generator(tiny_pipeline(semantic=True), runtime)
    return Generator.load(folder, runtime)


def folder_of(model: str) -> Path | None:
    """The folder that `s3dit:DIR` names; None for the bundled presets. Raises ConfigError."""
    prefix, _, argument = model.partition(":")
    if prefix != "s3dit" or not argument:
        raise ConfigError(
            f"model {model!r}: write s3dit:DIR, or {TINY} for the untrained tiny preset, {SHAPES} for the one trained on colored shapes"
        )
    folder = Path(argument).expanduser()
    if folder.is_dir():
        return folder
    if model in (TINY, SHAPES):
        return None
    raise ConfigError(f"model {model!r}: {folder} is no folder")


@dataclass
class LastLoaded:
    """Models by string, of which one is held at a time: the last that was asked for."""

    runtime: Runtime
    _name: str = ""
    _generator: Generator | None = None

    def __call__(self, model: str) -> Generator:
        if model != self._name or self._generator is None:
            self._generator = None  # the old one goes before the new one comes
            self._name, self._generator = model, load_generator(model, self.runtime)
        return self._generator


def requests_of(asked: Asked, generator: Generator) -> list[Request]:
    """One request per picture, seeds running up from the first. Raises the model's errors and ConfigError."""
    from zcurate.model.canvas import parse_size
    from zcurate.model.request import Request, preset_of
    from zcurate.model.styles import Shelf, read_shelf

    shelf = read_shelf(asked.presets_file) if asked.presets_file else Shelf()
    base = preset_of(generator.pipeline, bool(asked.references))
    named = shelf.preset(asked.preset) if asked.preset else shelf.preset(base)
    names = ("steps", "guidance", "cfg_normalization", "cfg_truncation", "sampler")
    own = {name: getattr(asked, name) for name in names}
    own["shift"] = None if asked.shift is None else shift_of(asked.shift)
    named = replace(named, **{k: v for k, v in own.items() if v is not None})
    prompt, negative = asked.prompt, asked.negative
    style = asked.style or named.style
    if style:
        prompt, negative = shelf.style(style).apply(prompt, negative)
    seed = asked.seed if asked.seed is not None else named.seed
    first = secrets.randbelow(2**31) if seed is None else shelf.seed(seed)
    size = asked.size or named.size or (TINY_SIZE if generator.pipeline.in_pixels else SIZE)
    start = _start(asked, generator)
    tags = {} if prompt == asked.prompt else {"prompt_given": asked.prompt}
    if style:
        tags["style"] = style
    tags["preset"] = asked.preset or base
    return [
        Request(
            prompt=prompt,
            size=parse_size(size),
            seed=first + i,
            settings=named.settings(base),
            negative=negative,
            references=tuple(_opened(path) for path in asked.references),
            start=start,
            tags=tags,
        )
        for i in range(asked.n)
    ]


def _start(asked: Asked, generator: Generator) -> Any:
    from PIL import Image, ImageOps

    from zcurate.model.canvas import Start, outpaint, parse_size

    if asked.image is None:
        given = {"--mask": asked.mask, "--outpaint": asked.outpaint, "--strength": asked.strength}
        names = [name for name, value in given.items() if value is not None]
        if names:
            raise ConfigError(f"{names[0]} needs --image, the picture it is for")
        return None
    picture = _opened(asked.image)
    if asked.outpaint:
        if asked.mask or asked.size or asked.strength is not None:
            raise ConfigError("--outpaint goes with --image alone: not with --mask, --size or --strength")
        try:
            sides = [int(part) for part in asked.outpaint.split(",")]
        except ValueError:
            sides = []
        if len(sides) != 4:
            raise ConfigError(f"--outpaint {asked.outpaint!r}: write pixels as LEFT,TOP,RIGHT,BOTTOM")
        return outpaint(picture, *sides, multiple_px=generator.pipeline.multiple_px)
    mask = _opened(asked.mask).convert("L") if asked.mask else None
    if mask is not None and mask.size != picture.size:
        raise ConfigError(
            f"--mask is {mask.size}, --image {picture.size} (width, height) px; they must agree"
        )
    if asked.size:
        size = parse_size(asked.size)
        picture = ImageOps.fit(picture, size, Image.Resampling.LANCZOS)
        mask = None if mask is None else ImageOps.fit(mask, size, Image.Resampling.NEAREST)
    else:
        side_px = generator.pipeline.multiple_px
        if picture.width % side_px or picture.height % side_px:
            near = "*".join(str(max(round(s / side_px), 1) * side_px) for s in picture.size)
            raise ConfigError(
                f"--image is {picture.width}*{picture.height} px; sides must be multiples of {side_px}: "
                f"--size {near} reduces and crops it to the nearest"
            )
    strength = asked.strength if asked.strength is not None else REDRAWN if mask is None else 1.0
    return Start(picture, strength, mask)


def shift_of(text: str) -> float | str:
    """`--shift`: a number, or `dynamic`. Raises ConfigError."""
    if text == "dynamic":
        return text
    try:
        return float(text)
    except ValueError:
        raise ConfigError(f"--shift {text!r}: write a number, such as 3, or dynamic") from None


def _opened(path: Path) -> Any:
    from PIL import Image, ImageOps

    try:
        with Image.open(path) as image:
            return ImageOps.exif_transpose(image).convert(
                "RGBA" if image.mode in ("RGBA", "LA", "P") else "RGB"
            )
    except (OSError, ValueError, Image.DecompressionBombError) as e:
        raise ConfigError(f"{path}: not a readable picture: {e}") from e


def enhanced(prompt: str, vlm: str, references: Sequence[Path]) -> str:
    """The prompt enhanced by a language model; the prompt itself, and why on standard error, if that fails."""
    from .prompting import enhance_prompt

    done = enhance_prompt(prompt, vlm, references, True, False, 3, 120.0, [])
    if done.message:
        print(f"prompt kept as it was ({done.pe_status}): {done.message}", file=sys.stderr)
    return done.prompt


def memory_rows(model: str, size: str | None, samples: int) -> tuple[str, list[dict[str, Any]]]:
    """Size and rows of `--plan` for a model folder; for the tiny string, of the released full model."""
    from zcurate.model.canvas import parse_size
    from zcurate.model.memory_plan import table

    sizes = _sizes(model)
    size = size or (SIZE if sizes.vae_config else TINY_SIZE)
    return size, table(sizes, parse_size(size), samples)


def _sizes(model: str) -> Sizes:
    from zcurate.model.memory_plan import Sizes

    folder = folder_of(model)
    return Sizes.full() if folder is None else Sizes.read(folder)


def score_of(pick: str) -> Any:
    """The score that `--pick` names: sharpness, or agreement with the prompt by an encoder with text."""
    from zcurate.model.chain import sharpness

    if pick == PICK:
        return sharpness
    from .registry import resolve

    encoder = resolve("encoder", pick)
    if not encoder.has_text:
        raise ConfigError(
            f"--pick {pick}: this encoder has no text; use openclip:..., cnclip:... or siglip:..."
        )

    def score(images: Sequence[Any], prompt: str) -> list[float]:
        import numpy as np

        encoder.load()
        pictures = encoder.encode_images([np.asarray(image.convert("RGB")) for image in images])
        return [float(s) for s in pictures @ encoder.encode_texts([prompt])[0]]

    return score


def save_all(pictures: Iterator[Picture], out: Path, suffix: str) -> Iterator[tuple[Path, dict[str, Any]]]:
    """Write pictures as they are finished: (path, record)."""
    for picture in pictures:
        yield picture.save(out, suffix=suffix), picture.record


def generator_engine(argument: str) -> Generator:
    """The registry's `s3dit:` engine, with the machine's default device and precision."""
    from zcurate.model.generate import Runtime

    return load_generator(f"s3dit:{argument}", Runtime())
