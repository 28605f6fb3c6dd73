"""How hard the file is compressed."""

from __future__ import annotations


def compression_ratio(width_px: int, height_px: int, channels: int, bit_depth: int, file_bytes: int) -> float:
    """Size the picture would have uncompressed over the size it has.

    Args:
        channels: as stored, e.g. 3 for RGB and YCbCr, 1 for grey and palettes, 4 with transparency.
        bit_depth: bits per channel as stored.

    Returns:
        > 0. About 10 for a good JPEG; 40 and more where artifacts show (or where there is nothing
        in the picture to compress); below 1 for files padded with other data.

    Source: the ratio of ideal uncompressed to actual size, Z-Image report, section 2.
    """
    return width_px * height_px * channels * bit_depth / 8 / max(1, file_bytes)
