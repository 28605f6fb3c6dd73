"""Lossless encoding of nodes and masks. Pixels are what specs promise, so nothing lossy may come between."""

from __future__ import annotations

import cv2
import numpy as np

#: One fixed row filter and Huffman codes only: at 512 px a tenth of the time of Pillow's default for a few % more
#: bytes. The filter that predicts the mean of two neighbors is the smallest of those that cost no time.
_FAST = [cv2.IMWRITE_PNG_COMPRESSION, 1, cv2.IMWRITE_PNG_STRATEGY, cv2.IMWRITE_PNG_STRATEGY_HUFFMAN_ONLY]
_FAST += [cv2.IMWRITE_PNG_FILTER, cv2.IMWRITE_PNG_FILTER_AVG] if hasattr(cv2, "IMWRITE_PNG_FILTER") else []


def encode_png(rgb: np.ndarray) -> bytes:
    """PNG of an (H, W, 3) uint8 picture."""
    return _encoded(cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR), _FAST)


def encode_mask(mask: np.ndarray) -> bytes:
    """PNG of one bit per pixel of an (H, W) bool mask; True is white."""
    return _encoded(mask.astype(np.uint8) * 255, [cv2.IMWRITE_PNG_BILEVEL, 1])


def decode_mask(data: bytes) -> np.ndarray:
    """(H, W) bool of `encode_mask`. ValueError for anything else."""
    pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_GRAYSCALE)
    if pixels is None:
        raise ValueError(f"not a mask: {len(data)} bytes that are no picture")
    return pixels > 127


def _encoded(pixels: np.ndarray, options: list[int]) -> bytes:
    done, data = cv2.imencode(".png", pixels, options)
    if not done:
        raise ValueError(f"a picture of shape {pixels.shape} cannot be encoded")
    return data.tobytes()
