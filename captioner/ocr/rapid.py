"""RapidOCR (PP-OCRv6 small) on ONNX Runtime, from the model files that ship in its wheel."""

from __future__ import annotations

import hashlib
import importlib.metadata
import importlib.util
from pathlib import Path
from typing import Any

import numpy as np

from . import large
from .lines import OcrError, OcrLine, script_of
from .order import reading_order
from .spaces import keep_spaces
from .watermark import mark_watermarks

#: Role -> (file in the wheel, SHA-256). Another file would read differently, so it is refused.
MODEL_FILES = {
    "Det": (
        "PP-OCRv6_det_small.onnx",
        "090f04abcd9d9a7498bc4ebf677e4cb9bdce1fe4197ddb7e529f1ef44e1ff94f",
    ),
    "Cls": (
        "ch_ppocr_mobile_v2.0_cls_mobile.onnx",
        "e47acedf663230f8863ff1ab0e64dd2d82b838fceb5957146dab185a89d6215c",
    ),
    "Rec": (
        "PP-OCRv6_rec_small.onnx",
        "6f327246b50388f3c176ae304bd95767ea6dc0c9ae92153ef8cbe210b3c14884",
    ),
}
INSTALL_HINT = "install it with: pip install 'rapidocr==3.10.*' onnxruntime"

#: Raised whenever our own part of the reading (spaces, order, crops) changes the lines of some image.
READING_VERSION = 2

#: A picture at least this elongated in which no text is found may be a crop of a single line, with
#: no margin for the detector to see; its recognizer is asked directly, and believed only when sure.
#: Thinner or longer strips are no line that can be read, and cost the recognizer minutes.
LINE_CROP_ASPECT = (2.5, 50)
LINE_CROP_MIN_HEIGHT_PX = 8
LINE_CROP_MIN_SCORE = 0.8

#: Strips taller or wider than this (in multiples of the other side) are padded to it.
MAX_TALL, MAX_WIDE = 4, 25

#: A lone character has no neighbors to support it; textures often look like one.
SINGLE_CHARACTER_MIN_SCORE = 0.9


class RapidOcr:
    """Reads Chinese, English, Japanese and other Latin-script text (see `zcurate.captioner.ocr.Ocr`).

    Args:
        threads: ONNX Runtime threads. Results do not depend on it within one CPU class.
        max_side_px: larger images are first reduced to this long side; where small print stands on a very large one,
            parts of it are read at half its resolution, too.
        min_score: lines recognized with less confidence (0..1) are dropped.

    Raises:
        OcrError: from `load`, when the package is missing or a model file is missing or altered.
    """

    def __init__(self, threads: int = 1, max_side_px: int = 1600, min_score: float = 0.5):
        if threads < 1 or max_side_px < 64 or not 0 <= min_score <= 1:
            raise OcrError(
                f"RapidOcr(threads={threads}, max_side_px={max_side_px}, min_score={min_score}): "
                "threads must be >= 1, max_side_px >= 64, min_score in 0..1"
            )
        self.threads = threads
        self.max_side_px = max_side_px
        self.min_score = min_score
        self._reader: Any = None

    @property
    def engine(self) -> str:
        return "rapidocr:PP-OCRv6-small"

    @property
    def identity(self) -> str:
        """Names and digests of the model files, and the package version whose code surrounds them."""
        try:
            version = importlib.metadata.version("rapidocr")
        except importlib.metadata.PackageNotFoundError as e:
            raise OcrError(f"OCR engine 'rapidocr' is not installed; {INSTALL_HINT}") from e
        files = ",".join(f"{name}@{digest[:12]}" for name, digest in MODEL_FILES.values())
        return f"rapidocr-{version}:{files}:reading-{READING_VERSION}"

    def load(self) -> None:
        """Check the bundled files and start the engine. No file is ever fetched."""
        if self._reader is not None:
            return
        paths = _bundled_models()
        from rapidocr import RapidOCR

        params: dict[str, Any] = {
            "Global.log_level": "critical",
            "Global.text_score": self.min_score,
            "Global.max_side_len": self.max_side_px,
            "EngineConfig.onnxruntime.intra_op_num_threads": self.threads,
            "EngineConfig.onnxruntime.inter_op_num_threads": 1,
        }
        # With explicit paths the engine never looks for a model to download.
        params |= {f"{role}.model_path": str(path) for role, path in paths.items()}
        reader = RapidOCR(params=params)
        keep_spaces(reader)
        self._reader = reader

    def read(self, rgb: np.ndarray) -> list[OcrLine]:
        if rgb.ndim != 3 or rgb.shape[2] != 3 or rgb.dtype != np.uint8 or 0 in rgb.shape:
            raise OcrError(f"OCR needs an (H, W, 3) uint8 image, got shape {rgb.shape}, {rgb.dtype}")
        self.load()
        lines, height_px = self._lines(rgb)
        height, width = rgb.shape[:2]
        if large.has_small_print(lines, height_px, height / height_px):
            side_px = int(self.max_side_px * large.PART_REDUCTION)
            fine: list[OcrLine] = []
            for part in large.parts(width, height, side_px):
                x0, y0, x1, y1 = part
                fine += large.placed(self._lines(rgb[y0:y1, x0:x1])[0], part, width, height)
            lines = large.joined(lines, fine)
        return mark_watermarks(reading_order(lines, width / height))

    def _lines(self, rgb: np.ndarray) -> tuple[list[OcrLine], int]:
        """Lines in any order, and the height in px at which they were read."""
        padded, width, height = _bounded(rgb, self.max_side_px)
        bgr = np.ascontiguousarray(padded[:, :, ::-1])
        found = self._run(bgr, detect=True)
        if found.txts is None or len(found.txts) == 0:
            return self._read_line_crop(bgr[:height, :width]), height
        lines = []
        for quad, text, score in zip(found.boxes, found.txts, found.scores, strict=True):
            xs, ys = np.asarray(quad, float)[:, 0] / width, np.asarray(quad, float)[:, 1] / height
            corners = np.clip([xs.min(), ys.min(), xs.max(), ys.max()], 0.0, 1.0)
            if text.strip() and (len(text.strip()) > 1 or score >= SINGLE_CHARACTER_MIN_SCORE):
                x0, y0, x1, y1 = (float(v) for v in corners)
                lines.append(OcrLine(text, script_of(text), float(score), (x0, y0, x1, y1)))
        return lines, height

    def _run(self, bgr: np.ndarray, detect: bool) -> Any:
        from rapidocr.inference_engine.onnxruntime.main import ONNXRuntimeError

        try:
            return self._reader(bgr, use_det=detect, use_cls=True, use_rec=True)
        except ONNXRuntimeError as e:
            last = str(e).strip().splitlines()[-1]
            raise OcrError(f"OCR of a {bgr.shape[1]} x {bgr.shape[0]} px image failed: {last}") from e

    def _read_line_crop(self, bgr: np.ndarray) -> list[OcrLine]:
        height, width = bgr.shape[:2]
        low, high = LINE_CROP_ASPECT
        if height < LINE_CROP_MIN_HEIGHT_PX or not low <= width / height <= high:
            return []
        found = self._run(bgr, detect=False)
        text = found.txts[0] if found.txts else ""
        if len(text.strip()) < 2 or found.scores[0] < LINE_CROP_MIN_SCORE:
            return []
        return [OcrLine(text, script_of(text), float(found.scores[0]), (0.0, 0.0, 1.0, 1.0))]


def _bundled_models() -> dict[str, Path]:
    spec = importlib.util.find_spec("rapidocr")
    if spec is None or spec.origin is None:
        raise OcrError(f"OCR engine 'rapidocr' is not installed; {INSTALL_HINT}")
    folder = Path(spec.origin).parent / "models"
    paths = {}
    for role, (name, digest) in MODEL_FILES.items():
        path = folder / name
        if not path.is_file():
            raise OcrError(f"OCR model file {path} is missing; {INSTALL_HINT}")
        if hashlib.sha256(path.read_bytes()).hexdigest() != digest:
            raise OcrError(f"OCR model file {path} is not the one expected (SHA-256 differs); {INSTALL_HINT}")
        paths[role] = path
    return paths


def _bounded(rgb: np.ndarray, max_side_px: int) -> tuple[np.ndarray, int, int]:
    """The image at most `max_side_px` long, with its width and height; thin strips padded with white.

    The detector enlarges the short side to a fixed length, so a strip of a few pixels would otherwise
    cost minutes and gigabytes. Padding goes to the right or to the bottom, where it moves no box.
    """
    import cv2

    height, width = rgb.shape[:2]
    scale = max_side_px / max(height, width)
    if scale < 1:
        width, height = max(1, round(width * scale)), max(1, round(height * scale))
        rgb = cv2.resize(rgb, (width, height), interpolation=cv2.INTER_AREA)
    right = max(0, -(-height // MAX_TALL) - width)
    below = max(0, -(-width // MAX_WIDE) - height)
    if right or below:
        rgb = np.pad(rgb, ((0, below), (0, right), (0, 0)), constant_values=255)
    return rgb, width, height
