"""Optical character recognition: one small protocol, a cheap gate in front, RapidOCR behind it."""

from .lines import Ocr, OcrError, OcrLine, script_of
from .order import reading_order
from .watermark import mark_watermarks

__all__ = ["Ocr", "OcrError", "OcrLine", "mark_watermarks", "reading_order", "script_of"]
