"""Copies that are turned: found by the pHashes of 8 orientations, confirmed by a color-aware cosine."""

import numpy as np
import pytest

from zcurate.curation.embedding.embedded import EmbeddedEncoder
from zcurate.curation.embedding.symmetry import INVERSE
from zcurate.curation.neighbors.dedup import Settings, Turning, deduplicate
from zcurate.curation.profile.fingerprints import phashes64, tiny_grey

from .test_dedup import plain

#: numpy's version of Exif orientations 1..8: what a viewer shows of the stored picture.
ORIENT = [
    lambda x: x,
    lambda x: x[:, ::-1],
    lambda x: x[::-1, ::-1],
    lambda x: x[::-1],
    lambda x: x.transpose(1, 0, 2),
    lambda x: x.transpose(1, 0, 2)[:, ::-1],
    lambda x: x[::-1, ::-1].transpose(1, 0, 2),
    lambda x: x.transpose(1, 0, 2)[::-1],
]


def picture(rng, size=96):
    """Soft blobs of color, unlike any other."""
    import cv2

    small = rng.integers(0, 255, (6, 6, 3)).astype(np.float32)
    return np.clip(cv2.resize(small, (size, size), interpolation=cv2.INTER_CUBIC), 0, 255).astype(np.uint8)


def rows_of(pictures, **changes):
    pictures = [np.ascontiguousarray(p) for p in pictures]
    hashes = [phashes64(tiny_grey(p.mean(axis=2).astype(np.uint8))) for p in pictures]
    encoder = EmbeddedEncoder()
    vectors = encoder.encode_images(pictures)
    rows, _ = plain(len(pictures), vectors, phash=[h[0] for h in hashes], phashes=hashes, **changes)
    return rows, vectors, encoder


@pytest.mark.parametrize("orientation", range(2, 9))
def test_every_orientation_is_found_and_named(orientation):
    rng = np.random.default_rng(orientation)
    one, other = picture(rng), picture(rng)
    rows, vectors, encoder = rows_of([one, other, ORIENT[orientation - 1](one)])
    settings = Settings(0.94, 0.9)
    found = deduplicate(rows, vectors, settings, turning=Turning(encoder.symmetries, 0.94))
    groups = found.groups.to_pylist()
    assert [g["keep"] for g in groups] == [True, True, False]
    assert groups[2]["reason"] == ("mirrored" if orientation == 2 else "rotated")
    assert groups[2]["keeper_id"] == groups[0]["group_id"]
    assert groups[2]["sim_to_keeper"] > 0.99
    edge = found.neighbors.to_pylist()
    assert len(edge) == 1
    # the second, turned by this, is the first
    assert edge[0]["orientation"] == INVERSE[orientation - 1] + 1
    without = deduplicate(rows, vectors, settings)
    assert without.figures["groups"] == 3


def test_a_turned_picture_of_other_colors_stays():
    rng = np.random.default_rng(3)
    one = picture(rng)
    recolored = ORIENT[5](one)[..., [1, 2, 0]]
    rows, vectors, encoder = rows_of([one, recolored])
    found = deduplicate(rows, vectors, Settings(0.94, 0.9), turning=Turning(encoder.symmetries, 0.94))
    assert found.figures["groups"] == 2


def test_the_best_of_all_orientations_stands_for_the_copies_of_the_others():
    rng = np.random.default_rng(4)
    one = picture(rng)
    turned = ORIENT[7](one)
    noisy = [np.clip(turned + rng.normal(0, s, turned.shape), 0, 255).astype(np.uint8) for s in (1, 2, 3)]
    rows, vectors, encoder = rows_of([turned, *noisy, one], width_px=[100, 90, 80, 70, 300])
    found = deduplicate(rows, vectors, Settings(0.94, 0.9), turning=Turning(encoder.symmetries, 0.94))
    groups = found.groups.to_pylist()
    assert [g["keep"] for g in groups] == [False] * 4 + [True]
    assert {g["reason"] for g in groups[:4]} == {"rotated"}
    assert {g["keeper_id"] for g in groups} == {groups[4]["group_id"]}
    assert groups[4]["group_size"] == 5
    assert all(g["sim_to_keeper"] >= 0.94 for g in groups)


def test_an_encoder_that_knows_no_turns_is_helped_by_the_thumbnails():
    rng = np.random.default_rng(5)
    pictures = [picture(rng) for _ in range(4)]
    pictures.append(ORIENT[5](pictures[1]))
    rows, looks, encoder = rows_of(pictures)
    foreign = rng.standard_normal((5, 24)).astype(np.float32)  # of a learned encoder: turned is unlike
    asked = []

    def vectors_of(positions):
        asked.extend(positions.tolist())
        return looks[positions]

    order = rng.permutation(5)
    import pyarrow as pa

    found = deduplicate(
        rows.take(pa.array(order)),
        foreign[order],
        Settings(0.97, 0.9),
        turning=Turning(encoder.symmetries, 0.94, lambda p: vectors_of(order[p])),
    )
    reasons = dict(zip(order.tolist(), found.groups["reason"].to_pylist(), strict=True))
    assert reasons == {0: "unique", 1: "keeper", 2: "unique", 3: "unique", 4: "rotated"}
    assert set(asked) == {1, 4}
