"""What the profile stage stores: columns, units, meanings."""

from __future__ import annotations

import pyarrow as pa

from ..stage import field_of

SIDES = ("top", "right", "bottom", "left")

PROFILE_SCHEMA = pa.schema(
    [
        field_of("content_id", pa.binary(16), "xxh3-128 of the original bytes"),
        field_of("width_px", pa.int32(), "width as displayed, after Exif orientation", "px"),
        field_of("height_px", pa.int32(), "height as displayed, after Exif orientation", "px"),
        field_of("format", pa.string(), "file format, Pillow's name"),
        field_of("mode", pa.string(), "stored pixel mode, Pillow's name"),
        field_of("file_bytes", pa.int64(), "size of the file", "bytes"),
        field_of("frames", pa.int32(), "pictures in the file; the first is profiled"),
        field_of("orientation", pa.int8(), "Exif orientation, 1..8"),
        field_of("has_icc", pa.bool_(), "carries an ICC profile"),
        field_of("has_alpha", pa.bool_(), "some pixel is not opaque (shown on white)"),
        field_of("pixel_hash", pa.binary(16), "xxh3-128 of mode, size and stored pixels"),
        field_of("phash", pa.uint64(), "perceptual hash, bits of imagehash.phash, DC bit first"),
        field_of("bit_depth", pa.int8(), "bits per channel, as stored", "bits"),
        field_of(
            "phashes",
            pa.list_(pa.uint64(), 8),
            "phash of the 8 orientations, in Exif order 1..8; the first is phash",
        ),
        field_of("compression_ratio", pa.float32(), "uncompressed over actual file size"),
        field_of(
            "border_variance", pa.float32(), "variance of the plainer pair of opposite borders", "levels^2"
        ),
        *(
            field_of(f"border_variance_{side}", pa.float32(), f"variance of the {side} border", "levels^2")
            for side in SIDES
        ),
        *(
            field_of(
                f"frame_{side}_px", pa.int32(), f"uniform bar at the {side}, as displayed; 0 if none", "px"
            )
            for side in SIDES
        ),
        field_of("jpeg_quality", pa.float32(), "estimate from quantization tables, 1..100; null if no JPEG"),
        field_of("blockiness", pa.float32(), "contrast of steps on and off the 8 x 8 grid, 0..1"),
        field_of("entropy_bits", pa.float32(), "Shannon entropy of grey levels, 0..8", "bits"),
        field_of("dominant_color_share", pa.float32(), "share of the most frequent color, 0..1"),
        field_of("grid_evidence", pa.float32(), "straight seams across the picture, as in collages, 0..1"),
        field_of("dark_share", pa.float32(), "share of black pixels, 0..1"),
        field_of("bright_share", pa.float32(), "share of white pixels, 0..1"),
        field_of("reencode_bpp", pa.float32(), "size of a transient JPEG at thumbnail size", "bytes/px"),
        field_of("sharpness", pa.float32(), "variance of the Laplacian of Gaussian less noise", "levels^2"),
        field_of("noise_sigma", pa.float32(), "Immerkaer noise standard deviation", "levels"),
        field_of("color_cast", pa.float32(), "mean chroma shift of near-neutral pixels", "CIELAB"),
    ]
)

THUMBS_SCHEMA = pa.schema(
    [
        field_of("thumb", pa.binary(), "JPEG as displayed, short side at most 336 px"),
        field_of("thumb_width_px", pa.int32(), "width of the thumbnail", "px"),
        field_of("thumb_height_px", pa.int32(), "height of the thumbnail", "px"),
    ]
)

_SCORES = {
    "blur": "out of focus or moved",
    "noise": "grain",
    "cast": "color cast",
    "watermark": "visible watermark",
    "banding": "steps in smooth tones",
    "overexposed": "too bright",
    "underexposed": "too dark",
    "jpeg_artifacts": "compression artifacts",
    "upscaled": "enlarged from a smaller picture",
}

QUALITY_SCHEMA = pa.schema(
    [
        *(
            field_of(name, pa.float32(), f"{what}, by the trained model, 0..1")
            for name, what in _SCORES.items()
        ),
        field_of("ai_forensic", pa.float32(), "probability that a generative model made the pixels"),
    ]
)
