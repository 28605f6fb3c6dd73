"""`zcurate generate`: options to requests, models by string, and the chain of models."""

from __future__ import annotations

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
SIZE, TINY_SIZE = "1024*1024", "64*64"
PICK = "sharpness"


@dataclass(frozen=True)
class Asked:
    """The options of `zcurate generate` that a person gave; None: as the preset has it."""

    prompt: str
    negative: str = ""
    size: str | None = None
    steps: int | None = None
    guidance: float | None = None
    sampler: str | None = None
    seed: str | None = None
    n: int = 1
    references: tuple[Path, ...] = ()
    preset: str | None = None
    presets_file: Path | None = None
    style: str | None = None
    image: Path | None = None
    strength: float = 0.6
    mask: Path | None = None
    outpaint: str | None = None


@contextmanager
def model_errors() -> Iterator[None]:
    """The model's errors as the command line's; its warnings as lines on standard error."""
    from zcurate.model.errors import GenerationError, MemoryShortError, ModelError

    def show(message: Any, *_: Any, **__: Any) -> None:
        print(f"warning: {message}", file=sys.stderr)

    with warnings.catch_warnings():
        # The user's own warnings only: libraries warn of what nobody here can change.
        warnings.filterwarnings("ignore")
        warnings.filterwarnings("always", category=UserWarning, module=r"zcurate\.")
        previous, warnings.showwarning = warnings.showwarning, show
        try:
            yield
        except MemoryShortError as e:
            raise ZcurateError(str(e)) from e
        except GenerationError as e:
            raise ConfigError(str(e)) from e
        except ModelError as e:
            raise ConfigError(str(e)) from e
        finally:
            warnings.showwarning = previous


def load_generator(model: str, runtime: Runtime) -> Generator:
    """The generator that `s3dit:DIR` or `s3dit:tiny` names. Raises ConfigError and the model's errors."""
    from zcurate.model.generate import Generator
    from zcurate.model.pipeline_folder import tiny_pipeline

    prefix, _, argument = model.partition(":")
    if prefix != "s3dit" or not argument:
        raise ConfigError(f"model {model!r}: write s3dit:DIR, or {TINY} for the untrained tiny preset")
    if model == TINY and not Path(argument).exists():
        return Generator(tiny_pipeline(), runtime)
    folder = Path(argument).expanduser()
    if not folder.is_dir():
        raise ConfigError(f"model {model!r}: {folder} is no folder")
    return Generator.load(folder, runtime)


def requests_of(asked: Asked, generator: Generator) -> list[Request]:
    """One request per picture, seeds running up from the first. Raises the model's errors and ConfigError."""
    from zcurate.model.canvas import parse_size
    from zcurate.model.request import Request, preset_of
    from zcurate.model.styles import Shelf, read_shelf

    shelf = read_shelf(asked.presets_file) if asked.presets_file else Shelf()
    base = preset_of(generator.pipeline, bool(asked.references))
    named = shelf.preset(asked.preset) if asked.preset else shelf.preset(base)
    own = {"steps": asked.steps, "guidance": asked.guidance, "sampler": asked.sampler}
    named = replace(named, **{k: v for k, v in own.items() if v is not None})
    prompt, negative = asked.prompt, asked.negative
    style = asked.style or named.style
    if style:
        prompt, negative = shelf.style(style).apply(prompt, negative)
    seed = asked.seed if asked.seed is not None else named.seed
    first = secrets.randbelow(2**31) if seed is None else shelf.seed(seed)
    start = _start(asked, generator)
    size = asked.size or named.size or (SIZE if generator.pipeline.vae.factor > 1 else TINY_SIZE)
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
    from zcurate.model.canvas import Start, outpaint

    if asked.image is None:
        if asked.mask or asked.outpaint:
            raise ConfigError("--mask and --outpaint need --image, the picture they are for")
        return None
    picture = _opened(asked.image)
    if asked.outpaint:
        if asked.mask:
            raise ConfigError("--mask and --outpaint exclude each other")
        try:
            sides = [int(part) for part in asked.outpaint.split(",")]
        except ValueError:
            sides = []
        if len(sides) != 4:
            raise ConfigError(f"--outpaint {asked.outpaint!r}: write pixels as LEFT,TOP,RIGHT,BOTTOM")
        return outpaint(picture, *sides, multiple_px=generator.pipeline.multiple_px)
    mask = _opened(asked.mask).convert("L") if asked.mask else None
    return Start(picture, 1.0 if asked.mask and asked.strength == 0.6 else asked.strength, mask)


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


def memory_rows(model: str, size: str | None, samples: int) -> list[dict[str, Any]]:
    """Rows of `--plan` for a model folder; for the tiny string, of the released full model."""
    from zcurate.model.canvas import parse_size
    from zcurate.model.memory_plan import table

    return table(_sizes(model), parse_size(size or SIZE), samples)


def _sizes(model: str) -> Sizes:
    from zcurate.model.memory_plan import Sizes

    return Sizes.full() if model == TINY else Sizes.read(Path(model.partition(":")[2]).expanduser())


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
