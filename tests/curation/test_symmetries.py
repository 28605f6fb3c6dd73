"""The 8 orientations: of pictures, of vectors, of pHashes, and of components of turned copies."""

from __future__ import annotations

import itertools

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from zcurate.curation.embedding.embedded import EmbeddedEncoder
from zcurate.curation.embedding.encoder import mirror_of
from zcurate.curation.embedding.openclip import OpenClipEncoder
from zcurate.curation.embedding.symmetry import COMPOSITION, INVERSE, MIRROR, Symmetries, symmetries_of
from zcurate.curation.neighbors.components import component_labels
from zcurate.curation.neighbors.oriented import align, confirm
from zcurate.curation.neighbors.phash import MAX_CLIQUE, hamming_candidates, oriented_candidates
from zcurate.curation.neighbors.vectors import inverse_norms, pair_cosines
from zcurate.curation.profile.decoded import oriented
from zcurate.curation.profile.fingerprints import phashes64, tiny_grey

OPS = range(8)


@pytest.fixture(scope="module")
def encoder() -> EmbeddedEncoder:
    return EmbeddedEncoder()


def scene(seed: int, height: int = 300, width: int = 400) -> np.ndarray:
    rng = np.random.default_rng(seed)
    field = cv2.resize(
        rng.integers(20, 235, (5, 6, 3), np.uint8), (width, height), interpolation=cv2.INTER_CUBIC
    )
    for _ in range(8):
        center = (int(rng.integers(0, width)), int(rng.integers(0, height)))
        cv2.circle(
            field, center, int(rng.integers(3, 60)), tuple(int(c) for c in rng.integers(0, 255, 3)), -1
        )
    return field


# --- The group ------------------------------------------------------------------------------------


@pytest.mark.parametrize(("g", "h"), itertools.product(OPS, OPS))
def test_composition_is_that_of_exif_orientations(g, h):
    picture = np.arange(12).reshape(3, 4)
    both = oriented(oriented(picture, h + 1), g + 1)
    np.testing.assert_array_equal(both, oriented(picture, int(COMPOSITION[g, h]) + 1))


def test_group_axioms():
    assert (COMPOSITION[0] == np.arange(8)).all()
    assert (COMPOSITION[:, 0] == np.arange(8)).all()
    for g in OPS:
        assert sorted(COMPOSITION[g]) == list(OPS)
        assert COMPOSITION[g, INVERSE[g]] == COMPOSITION[INVERSE[g], g] == 0
    for f, g, h in itertools.product(OPS, OPS, OPS):
        assert COMPOSITION[COMPOSITION[f, g], h] == COMPOSITION[f, COMPOSITION[g, h]]
    assert [k for k in OPS if INVERSE[k] != k] == [5, 7]  # the quarter turns undo each other


@given(hnp.arrays(np.float32, (3, EmbeddedEncoder().dim), elements=st.floats(-1, 1, width=32)))
@settings(max_examples=20, deadline=None)
def test_symmetries_act_on_vectors_as_the_group(x):
    s = EmbeddedEncoder().symmetries
    for g, h in itertools.product(OPS, OPS):
        np.testing.assert_array_equal(s.apply(g, s.apply(h, x)), s.apply(int(COMPOSITION[g, h]), x))
    for g in OPS:
        np.testing.assert_array_equal(s.apply(int(INVERSE[g]), s.apply(g, x)), x)
        np.testing.assert_allclose((s.apply(g, x) ** 2).sum(1), (x**2).sum(1), rtol=1e-5)


def test_apply_takes_one_operation_per_vector(encoder):
    x = np.random.default_rng(0).normal(size=(8, encoder.dim)).astype(np.float32)
    each = encoder.symmetries.apply(np.arange(8, dtype=np.int8), x)
    np.testing.assert_array_equal(each, np.stack([encoder.symmetries.apply(k, x[k]) for k in OPS]))


def test_symmetries_that_are_no_group_are_refused(encoder):
    s = encoder.symmetries
    with pytest.raises(ValueError, match="must be what orientation"):
        Symmetries(s.source[[0, 1, 2, 3, 4, 5, 7, 6]], s.sign[[0, 1, 2, 3, 4, 5, 7, 6]])
    with pytest.raises(ValueError, match="1 or -1"):
        Symmetries(s.source, s.sign * 2)
    with pytest.raises(ValueError, match="not a permutation"):
        Symmetries(s.source * 0, s.sign)
    with pytest.raises(ValueError, match="8 permutations"):
        Symmetries(s.source[:4], s.sign[:4])


# --- Vectors of turned pictures -------------------------------------------------------------------


@pytest.mark.parametrize("op", OPS)
@pytest.mark.parametrize(
    ("height", "width"), [(300, 400), (251, 337), (64, 64), (50, 67), (40, 500), (500, 40), (1, 900), (9, 1)]
)
def test_vector_of_the_turned_picture(encoder, op, height, width):
    noise = np.random.default_rng(width).integers(0, 256, (height, width, 3), np.uint8)
    pictures = [scene(5, height, width), noise]
    found = encoder.symmetries.apply(op, encoder.encode_images(pictures))
    wanted = encoder.encode_images([oriented(p, op + 1) for p in pictures])
    # OpenCV looks colors up in a table of CIELAB, so that the last bit of a pixel can move an entry
    np.testing.assert_allclose(found, wanted, atol=2e-3)
    assert (found * wanted).sum(axis=1).min() > 1 - 1e-5


def test_the_mirror_is_one_of_them(encoder):
    x = encoder.encode_images([scene(1)])
    np.testing.assert_array_equal(mirror_of(encoder).apply(x), symmetries_of(encoder).apply(MIRROR, x))
    assert symmetries_of(OpenClipEncoder("ViT-B-32/x")) is None


# --- pHashes --------------------------------------------------------------------------------------


def bits(a: int, b: int) -> int:
    return int(int(a) ^ int(b)).bit_count()


def brute(phashes: np.ndarray, rows, radius: int) -> dict[tuple[int, int], int]:
    """(a, b) -> smallest distance, either way round."""
    found = {}
    for a, b in itertools.combinations(sorted(rows), 2):
        options = [bits(phashes[a, 0], phashes[b, k]) for k in OPS]
        options += [bits(phashes[b, 0], phashes[a, k]) for k in OPS]
        if min(options) <= radius:
            found[a, b] = min(options)
    return found


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_oriented_candidates_are_all_pairs(data):
    n, radius = data.draw(st.integers(0, 14)), data.draw(st.integers(0, 6))
    base = data.draw(st.lists(st.integers(0, 2**64 - 1), min_size=1, max_size=4))
    flips = st.lists(st.integers(0, 63), max_size=4).map(lambda bits: sum(1 << b for b in set(bits)))
    cells = data.draw(st.lists(st.tuples(st.sampled_from(base), flips), min_size=8 * n, max_size=8 * n))
    phashes = np.array([x ^ f for x, f in cells], np.uint64).reshape(n, 8)
    rows = data.draw(st.none() | st.lists(st.sampled_from(range(n)), unique=True)) if n else None
    a, b, op = oriented_candidates(phashes, None if rows is None else np.array(rows, np.int64), radius)
    wanted = brute(phashes, range(n) if rows is None else rows, radius)
    assert list(zip(a.tolist(), b.tolist(), strict=True)) == sorted(wanted)
    for i, j, k in zip(a.tolist(), b.tolist(), op.tolist(), strict=True):
        assert (
            min(bits(phashes[i, 0], phashes[j, k]), bits(phashes[j, 0], phashes[i, INVERSE[k]]))
            == wanted[i, j]
        )


def test_oriented_candidates_find_turned_pictures_and_their_operation():
    base = [scene(s) for s in range(6)]
    pictures = base + [oriented(p, k + 1) for p in base for k in range(1, 8)]
    grey = [cv2.cvtColor(p, cv2.COLOR_RGB2GRAY) for p in pictures]
    phashes = np.array([phashes64(tiny_grey(g)) for g in grey], np.uint64)
    found = {(i, j): k for i, j, k in zip(*map(np.ndarray.tolist, oriented_candidates(phashes)), strict=True)}
    for s in range(6):
        for k in range(1, 8):
            turned = 6 + 7 * s + k - 1
            assert found[s, turned] == INVERSE[k]


def test_many_equal_hashes_stay_linear_and_joined():
    n = 3 * MAX_CLIQUE
    phashes = np.tile(np.arange(8, dtype=np.uint64) * np.uint64(0x0101010101010101), (n, 1))
    phashes[n // 2 :] = phashes[n // 2 :][:, [1, 0, 3, 2, 5, 4, 7, 6]]  # the mirrored half
    a, b, op = oriented_candidates(phashes, None, 0)
    assert len(a) < 30 * n
    assert (component_labels(n, a, b) == 0).all()


def test_oriented_candidates_refuse_wrong_input():
    with pytest.raises(ValueError, match="8 orientations"):
        oriented_candidates(np.zeros((3, 4), np.uint64))
    with pytest.raises(ValueError, match="radius"):
        oriented_candidates(np.zeros((3, 8), np.uint64), None, 16)
    empty = oriented_candidates(np.zeros((0, 8), np.uint64))
    assert [len(x) for x in empty] == [0, 0, 0]


def test_upright_pairs_keep_operation_0():
    phashes = np.random.default_rng(1).integers(0, 2**64, (300, 8), np.uint64)
    phashes[200:, 0] = phashes[:100, 0] ^ np.uint64(5)
    a, b = hamming_candidates(np.ascontiguousarray(phashes[:, 0]))
    found = oriented_candidates(phashes)
    assert set(zip(a.tolist(), b.tolist(), strict=True)) == set(
        zip(found[0].tolist(), found[1].tolist(), strict=True)
    )
    assert not found[2].any()


# --- Cosines under an operation, and alignment ----------------------------------------------------


def test_confirm_is_the_cosine_to_the_turned(encoder):
    x = encoder.encode_images([scene(s) for s in range(4)]).astype(np.float16)
    a, b = np.array([0, 0, 1, 3]), np.array([1, 2, 2, 0])
    op = np.array([0, 3, 5, 6], np.int8)
    found = confirm(x, inverse_norms(x), a, b, op, encoder.symmetries)
    turned = encoder.symmetries.apply(op, x[b].astype(np.float32))
    wanted = pair_cosines(np.concatenate([x[a].astype(np.float32), turned]), np.arange(4), np.arange(4, 8))
    np.testing.assert_allclose(found, wanted, atol=1e-6)
    assert found.dtype == np.float32
    assert confirm(x, inverse_norms(x), a[:0], b[:0], op[:0], encoder.symmetries).shape == (0,)
    with pytest.raises(ValueError, match="dimensions"):
        confirm(x[:, :-1], inverse_norms(x), a, b, op, encoder.symmetries)


@given(st.lists(st.integers(0, 7), min_size=1, max_size=9), st.randoms(use_true_random=False))
@settings(max_examples=60, deadline=None)
def test_align_turns_every_member_as_the_leader_faces(facing, random):
    """Copies of one vector turned by known operations; edges of a random tree and more, true to them."""
    s, m = EmbeddedEncoder().symmetries, len(facing)
    base = np.random.default_rng(7).normal(size=s.dim)
    unit = np.stack([s.apply(g, base) for g in facing])
    pairs = [(random.randrange(j), j) for j in range(1, m)]
    pairs += [tuple(sorted(random.sample(range(m), 2))) for _ in range(3)] if m > 1 else []
    pairs = sorted(set(pairs))
    src, dst = (np.array([p[i] for p in pairs], np.int64) for i in (0, 1))
    # op on dst that makes it face as src: facing[src] after undoing facing[dst]
    op = np.array([COMPOSITION[facing[a], INVERSE[facing[b]]] for a, b in pairs], np.int8)
    aligned, ops = align(unit, src, dst, np.full(len(src), 0.9), op, s)
    np.testing.assert_array_equal(aligned, np.tile(unit[0], (m, 1)))
    assert ops[0] == 0
    assert ops.dtype == np.int8
    np.testing.assert_array_equal(s.apply(ops, unit), aligned)


def test_align_trusts_the_surest_edges_whatever_their_order(encoder):
    s = encoder.symmetries
    unit = np.random.default_rng(3).normal(size=(3, s.dim))
    src, dst, op = np.array([0, 1, 0]), np.array([1, 2, 2]), np.array([2, 4, 7], np.int8)
    cos = np.array([0.99, 0.95, 0.90])  # the third contradicts the other two
    wanted = align(unit, src, dst, cos, op, s)[1]
    assert wanted.tolist() == [0, 2, COMPOSITION[2, 4]]
    for order in itertools.permutations(range(3)):
        o = list(order)
        assert align(unit, src[o], dst[o], cos[o], op[o], s)[1].tolist() == wanted.tolist()
    lone = align(unit, src[:0], dst[:0], cos[:0], op[:0], s)
    assert lone[1].tolist() == [0, 0, 0]
