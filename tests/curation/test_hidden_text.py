"""Settings that generators hide in the lowest bits of pixels: found in what keeps the bits, and nowhere else."""

from __future__ import annotations

import gzip
import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from zcurate.curation.profile.decode import DecodeLimits, decode
from zcurate.curation.profile.hidden_text import SIGNATURES, hidden_signature
from zcurate.curation.profile.isolated import decode_isolated
from zcurate.curation.profile.measure import profile_image

NAMES = [(channels, name) for channels, names in SIGNATURES.items() for name in names]
SETTINGS = b'{"Software": "NovelAI", "Comment": "a lighthouse"}'


def with_hidden(pixels: np.ndarray, channels: str, name: str) -> Image.Image:
    """Signature, length in bits and settings, down one column after the other, as the extensions write them."""
    payload = gzip.compress(SETTINGS) if name.endswith("comp") else SETTINGS
    message = name.encode() + (8 * len(payload)).to_bytes(4, "big") + payload
    bits = np.unpackbits(np.frombuffer(message, np.uint8))
    columns = pixels.swapaxes(0, 1).copy()
    place = slice(3, 4) if channels == "A" else slice(0, 3)
    flat = columns[..., place].reshape(-1)
    bits = bits[: len(flat)]
    flat[: len(bits)] = flat[: len(bits)] & 0xFE | bits
    columns[..., place] = flat.reshape(columns[..., place].shape)
    return Image.fromarray(np.ascontiguousarray(columns.swapaxes(0, 1)))


def picture(height: int, width: int, channels: int, seed: int = 0) -> np.ndarray:
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, channels), np.uint8)
    pixels[..., 3:] = 255
    return pixels


def stored(image: Image.Image, format: str, **options: object) -> bytes:
    out = io.BytesIO()
    image.save(out, format, **options)
    return out.getvalue()


@pytest.mark.parametrize(
    ("channels", "name", "depth"),
    [(where, name, depth) for where, name in NAMES for depth in (3, 4) if depth == 4 or where == "RGB"],
)
@pytest.mark.parametrize("size", [(300, 200), (120, 1), (7, 90), (1, 500)])
def test_signatures_are_found_in_files_that_keep_the_bits(channels, name, depth, size):
    image = with_hidden(picture(*size, depth), channels, name)
    for data in (stored(image, "PNG"), stored(image, "WEBP", lossless=True, exact=True)):
        assert decode(data).hidden_text == name


@given(st.integers(0, 119), st.sampled_from(NAMES), st.integers(0, 1 << 32))
def test_one_bit_off_is_no_signature(bit, which, seed):
    channels, name = which
    pixels = np.asarray(with_hidden(picture(40, 30, 4, seed), channels, name)).swapaxes(0, 1).copy()
    place = slice(3, 4) if channels == "A" else slice(0, 3)
    flat = pixels[..., place].reshape(-1)
    flat[bit] ^= 1
    pixels[..., place] = flat.reshape(pixels[..., place].shape)
    image = Image.fromarray(np.ascontiguousarray(pixels.swapaxes(0, 1)))
    assert decode(stored(image, "PNG")).hidden_text == ""


def test_a_profile_says_what_declared_the_picture():
    image = with_hidden(picture(200, 160, 4), "A", "stealth_pngcomp")
    row = profile_image(stored(image, "PNG"))
    assert row["ai_declared"]
    assert row["ai_evidence"] == ["hidden in the lowest bits of pixels: stealth_pngcomp"]
    again = profile_image(stored(Image.fromarray(picture(200, 160, 4)), "PNG"))
    assert not again["ai_declared"]
    assert again["ai_evidence"] == []  # the list of the row before was its own


def test_files_that_lose_the_bits_and_pictures_too_small_have_none():
    image = with_hidden(picture(200, 160, 4), "A", "stealth_pnginfo").convert("RGB")
    assert decode(stored(image, "JPEG", quality=95)).hidden_text == ""
    assert decode(stored(image, "PNG")).hidden_text == ""
    assert decode(stored(image.convert("P"), "PNG")).hidden_text == ""
    tiny = with_hidden(picture(10, 11, 4), "A", "stealth_pnginfo")
    assert hidden_signature(Image.open(io.BytesIO(stored(tiny, "PNG")))) == ""


def test_the_isolated_decoder_passes_it_on():
    image = with_hidden(picture(64, 64, 4), "RGB", "stealth_rgbcomp")
    assert decode_isolated(stored(image, "PNG"), DecodeLimits()).hidden_text == "stealth_rgbcomp"
