"""What a caption engine is given and what it gives back."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from .ocr.lines import OcrLine
from .schema import CaptionRecord


@dataclass(frozen=True)
class CaptionRequest:
    """Everything known about one image. All of its text is untrusted.

    Attributes:
        sample_id: 16 bytes; with `seed` it decides every random choice.
        image: encoded thumbnail (JPEG), what the engine looks at.
        width_px, height_px: size of the original, as displayed.
        ocr: lines in reading order.
        text: alt text or original caption, as it came. May be wrong.
        metadata: what else came with the image. May be wrong.
        key: path-like name; its folders may be a class label.
        origin: camera, rendered, model or unknown.
        sharpness: variance of the Laplacian of Gaussian less noise, levels^2; None if not measured.
        frames: pictures in the file.
        seed: of the recipe.
        original: the picture in more pixels than the thumbnail, upright (Exif orientation applied), encoded as
            JPEG, PNG or WebP, or a function that gives it; None where there is none. A model reads lettering
            from it: in a thumbnail most is too small. A function is called once per image, just before asking.
        ocr_engine: what read `ocr`, as the `ocr` table says; None where that stage did not run, so that an empty
            `ocr` means nothing.
        embedded: what the file says about itself, by column of the `metadata` table (title, caption, keywords, place,
            creator, taken_at...).
    """

    sample_id: bytes
    image: bytes
    width_px: int
    height_px: int
    ocr: tuple[OcrLine, ...] = ()
    text: str | None = None
    metadata: dict[str, Any] | None = None
    key: str = ""
    origin: str = "unknown"
    sharpness: float | None = None
    frames: int = 1
    seed: int = 0
    original: bytes | Callable[[], bytes] | None = None
    ocr_engine: str | None = None
    embedded: Mapping[str, Any] | None = None


class Vlm(Protocol):
    """A captioner. Cheap to construct; `load` does the expensive part, once per worker."""

    engine: str  # e.g. "template", "openai", "transformers"
    model: str  # what the engine runs, with revision
    placeholder: bool  # True: not a model that looks at the picture

    def load(self) -> None: ...

    def caption(self, request: CaptionRequest) -> CaptionRecord:
        """A valid record (see `zcurate.captioner.schema.validate`); raises CaptionError."""
