"""Names of the scores."""

from __future__ import annotations

#: Scores of each part that has several, in order of its outputs.
TILE_SCORES = ("blur", "noise", "banding", "jpeg_artifacts", "upscaled")
EXPOSURE_SCORES = ("overexposed", "underexposed")
SCORES = (*TILE_SCORES, "cast", "watermark", *EXPOSURE_SCORES)
