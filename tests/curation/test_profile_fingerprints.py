"""Fingerprints: the pHash is that of imagehash, also of the 8 orientations; the content id is XXH3."""

from __future__ import annotations

import imagehash
import numpy as np
import simplejpeg
import xxhash
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image

from zcurate.curation.profile.decode import oriented
from zcurate.curation.profile.fingerprints import content_id, phash64, phashes64, tiny_grey
from zcurate.curation.profile.measure import profile_image

from .profile_scenes import grey, scene


@settings(max_examples=300, deadline=None)
@given(
    hnp.arrays(np.uint8, hnp.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=70))
    | st.builds(
        lambda v, h, w: np.full((h, w), v, np.uint8),
        st.integers(0, 255),
        st.integers(1, 60),
        st.integers(1, 60),
    )
)
def test_phash_is_that_of_imagehash(pixels):
    assert f"{phash64(pixels):016x}" == str(imagehash.phash(Image.fromarray(pixels)))


def test_phash_of_pictures_is_that_of_imagehash():
    pictures = [scene(s) for s in range(20)]
    pictures += [p[:, ::-1] for p in pictures] + [
        np.maximum(p, p[:, ::-1]) for p in pictures
    ]  # mirror: exact zeros
    for p in pictures:
        luma = grey(np.ascontiguousarray(p))
        assert f"{phash64(luma):016x}" == str(imagehash.phash(Image.fromarray(luma)))
        assert phash64(tiny_grey(luma)) == int(str(imagehash.phash(Image.fromarray(tiny_grey(luma)))), 16)


@given(hnp.arrays(np.uint8, st.tuples(st.integers(1, 50), st.integers(1, 50))))
def test_phashes_are_those_of_the_turned_tiny_image(pixels):
    tiny = tiny_grey(pixels)
    square = Image.fromarray(tiny).resize((32, 32), Image.Resampling.LANCZOS)
    turned = [oriented(np.asarray(square), k) for k in range(1, 9)]
    assert [f"{h:016x}" for h in phashes64(tiny)] == [
        str(imagehash.phash(Image.fromarray(t))) for t in turned
    ]
    assert phashes64(tiny)[0] == phash64(tiny)


def test_one_of_the_phashes_is_that_of_the_turned_picture():
    for seed in range(10):
        picture = scene(seed, 512, 640)
        hashes = phashes64(tiny_grey(grey(picture)))
        for orientation in range(1, 9):
            turned = phash64(tiny_grey(grey(oriented(picture, orientation))))
            assert (hashes[orientation - 1] ^ turned).bit_count() <= 4


def test_phash_of_the_small_copy_is_near_that_of_the_picture():
    distances = []
    for seed in range(20):
        picture = scene(seed, 1000, 1500)
        full = int(str(imagehash.phash(Image.fromarray(picture))), 16)
        distances.append((profile_image(simplejpeg.encode_jpeg(picture))["phash"] ^ full).bit_count())
    assert np.mean(distances) <= 2


def test_content_id_is_canonical_xxh3():
    assert content_id(b"abc") == xxhash.xxh3_128(b"abc").digest()
    assert len(content_id(b"")) == 16
