"""Names of the scores, and the scale of the one for cast."""

from __future__ import annotations

#: Scores of each part, in order of its outputs; `ColorNetwork` and `MarkNetwork` have the two that are left.
TILE_SCORES = ("blur", "noise", "banding", "jpeg_artifacts", "upscaled")
EXPOSURE_SCORES = ("overexposed", "underexposed")
SCORES = (*TILE_SCORES, "cast", "watermark", *EXPOSURE_SCORES)

#: Imbalance of the channels at which `synthesis.cast_score` is a half.
ABOUT_CAST = 0.24
