"""How hard the file is compressed."""

from __future__ import annotations


def compression_ratio(width_px: int, height_px: int, file_bytes: int) -> float:
    """Size the picture would have uncompressed, 3 bytes per pixel, over the size it has.

    Returns:
        > 0. About 10 for a good JPEG; 40 and more where artifacts show (or where there is nothing
        in the picture to compress); below 1 for files padded with other data.

    Source: the ratio of ideal uncompressed to actual size, Z-Image report, section 2.
    """
    return 3.0 * width_px * height_px / max(1, file_bytes)
