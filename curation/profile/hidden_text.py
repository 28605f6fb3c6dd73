"""Texts that generators hide in the lowest bits of pixels, where they outlive what strips metadata.

NovelAI writes its settings so into alpha; extensions of Stable Diffusion's web interface and of ComfyUI into alpha or color.
"""

from __future__ import annotations

import numpy as np
from PIL import Image

#: What such a text begins with, by the channels that hold it: as it is, and compressed.
SIGNATURES = {"A": ("stealth_pnginfo", "stealth_pngcomp"), "RGB": ("stealth_rgbinfo", "stealth_rgbcomp")}
_SIGNATURE_BITS = 8 * 15
#: Formats that keep the lowest bits, if they are told to.
_LOSSLESS = ("PNG", "WEBP")


def hidden_signature(image: Image.Image) -> str:
    """The signature that the lowest bits of a picture begin with: one of `SIGNATURES`, or empty.

    Pixels are read down the first column, then the next; bits are high to low. The text itself is not read.

    Args:
        image: loaded.
    """
    if image.format not in _LOSSLESS or image.mode not in ("RGB", "RGBA"):
        return ""
    columns = min(image.width, -(-_SIGNATURE_BITS // image.height))
    first = np.asarray(image.crop((0, 0, columns, min(image.height, _SIGNATURE_BITS))))
    pixels = first.swapaxes(0, 1).reshape(-1, len(image.mode))
    for channels, signatures in SIGNATURES.items():
        if channels in image.mode:
            start = image.mode.index(channels)
            of_them = pixels[:, start : start + len(channels)]
            text = np.packbits(of_them.reshape(-1)[:_SIGNATURE_BITS] & 1).tobytes()
            for signature in signatures:
                if text == signature.encode():
                    return signature
    return ""
