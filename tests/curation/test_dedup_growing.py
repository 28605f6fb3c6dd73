"""Deduplication against other collections, and of a dataset that grows and shrinks."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zcurate.curation.embedding.embedded import EmbeddedEncoder
from zcurate.curation.embedding.symmetry import COMPOSITION
from zcurate.curation.neighbors.dedup import Keeping, Settings, Turning, deduplicate
from zcurate.curation.neighbors.references import References

from .test_dedup import MIRROR, by_id, corpus, plain

SETTINGS = Settings(threshold=0.9, floor=0.8, phash_radius=None)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32 - 1), st.booleans())
def test_a_growing_and_shrinking_dataset_has_the_groups_of_a_new_one(tmp_path_factory, seed, mirrored):
    folder = tmp_path_factory.mktemp("graph")
    rng = np.random.default_rng(seed)
    rows, vectors = corpus(seed, 80)
    chosen = Settings(0.9, 0.8, phash_radius=None, mirror=MIRROR) if mirrored else SETTINGS
    keeping = Keeping(folder, "encoder")
    present = rng.random(80) < 0.5
    quantizer = None
    for _ in range(4):
        at = np.flatnonzero(present)
        part = rows.take(pa.array(at))
        grown = deduplicate(
            part, lambda p, at=at: vectors[at[p]], chosen, keeping=keeping, quantizer=quantizer
        )
        again = deduplicate(part, vectors[at], chosen, quantizer=grown.quantizer)
        assert by_id(part, grown.groups) == by_id(part, again.groups)
        assert grown.neighbors.equals(again.neighbors)
        quantizer = grown.quantizer
        present = np.where(rng.random(80) < 0.2, ~present, present)


def reference(vectors, name="eval"):
    ids = np.array([b"ref%013d" % i for i in range(len(vectors))], "S16")
    return References(name, ids, np.asarray(vectors, np.float32))


def test_rows_near_a_reference_are_dropped_for_it_and_stand_for_nobody():
    x = np.array([[1, 0, 0], [0.98, 0.2, 0], [0.9, 0.44, 0], [0, 0, 1], [0, 0.1, 1]])
    rows, vectors = plain(5, x)
    others = [reference([[0.0, -1, 0]], "a"), reference([[0.5, 0.5, 0.7], [1, -0.05, 0]], "b")]
    result = deduplicate(rows, vectors, Settings(0.95, 0.8, phash_radius=None), others)
    groups = result.groups.to_pylist()
    assert [g["reason"] for g in groups] == [
        "in_reference",
        "in_reference",
        "unique",
        "keeper",
        "near_duplicate",
    ]
    assert groups[0]["keeper_id"] == groups[1]["keeper_id"] == b"ref%013d" % 1
    assert groups[0]["group_size"] == 2
    assert [g["keep"] for g in groups] == [False, False, True, True, False]
    assert result.figures["in_reference"] == 2
    assert result.groups.num_rows == 5  # nothing of theirs is added
    with pytest.raises(ValueError, match="reference c: vectors of 2 dimensions"):
        deduplicate(rows, vectors, SETTINGS, [reference([[1, 0]], "c")])


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**32 - 1), st.booleans(), st.sampled_from([None, 4]))
def test_every_row_near_a_reference_is_found(seed, mirrored, cells):
    rng = np.random.default_rng(seed)
    rows, vectors = corpus(seed, 60)
    theirs = vectors[rng.integers(0, 60, 20)].astype(np.float32) + 0.05 * rng.standard_normal((20, 32))
    mirror = MIRROR if mirrored else None
    chosen = Settings(0.9, 0.8, phash_radius=None, mirror=mirror, cells=cells, probes=cells)
    result = deduplicate(rows, vectors, chosen, [reference(theirs)])
    unit = lambda v: v.astype(np.float64) / np.linalg.norm(v.astype(np.float64), axis=1, keepdims=True)  # noqa: E731
    cos = unit(vectors) @ unit(theirs).T
    if mirrored:
        cos = np.maximum(cos, unit(vectors) @ unit(MIRROR.apply(theirs)).T)
    best = cos.max(axis=1)
    for row, found in zip(best, result.groups.to_pylist(), strict=True):
        if abs(row - 0.9) > 1e-6 and found["reason"] == "in_reference":
            assert row >= 0.9
            assert found["sim_to_keeper"] == pytest.approx(row, abs=1e-6)
        # identical pixels stand for each other, so a far row may be dropped for its twin's sake, never kept near one
        if row > 0.9 + 1e-6:
            assert not found["keep"]


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_hashes_of_old_rows_are_not_compared_again_with_the_same_outcome(tmp_path_factory, seed):
    rng = np.random.default_rng(seed)
    n, symmetries = 160, EmbeddedEncoder().symmetries
    vectors = rng.standard_normal((n, symmetries.dim)).astype(np.float32)
    hashes = rng.integers(0, 2**63, (n, 8)).astype(np.uint64)
    for i in rng.permutation(n)[: n // 2]:  # a turned, or plain but noisy, copy of another
        j, op = int(rng.integers(n)), int(rng.integers(8))
        noise = rng.choice([0.01, 0.6]) * rng.standard_normal(symmetries.dim)
        vectors[i] = symmetries.apply(np.array([op], np.int8), vectors[j : j + 1])[0] + noise
        hashes[i] = hashes[j][COMPOSITION[np.arange(8), op]]
        hashes[i, 0] ^= np.uint64(1) << np.uint64(rng.integers(64))
    rows, _ = plain(n, vectors, phash=hashes[:, 0].tolist(), phashes=hashes.tolist())
    chosen = Settings(threshold=0.87, floor=0.7)
    turning, folder = Turning(symmetries, 0.87), tmp_path_factory.mktemp("graph")
    present = rng.random(n) < 0.7
    quantizer = None
    for step in range(4):
        at = np.flatnonzero(present)
        part, keeping = rows.take(pa.array(at)), Keeping(folder, "encoder")
        grown = deduplicate(part, vectors[at], chosen, quantizer=quantizer, keeping=keeping, turning=turning)
        quantizer = grown.quantizer
        again = deduplicate(part, vectors[at], chosen, quantizer=quantizer, turning=turning)
        assert by_id(part, grown.groups) == by_id(part, again.groups)
        assert grown.neighbors.equals(again.neighbors)
        assert again.figures["turned_confirmed"] > 0
        if step:
            assert grown.figures["turned_candidates"] <= again.figures["turned_candidates"]
        present = np.where(rng.random(n) < 0.1, ~present, present)
