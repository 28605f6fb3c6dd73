"""Deduplication end to end on vectors with known structure, and the stage around it."""

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zcurate.curation.embedding.embedded import EmbeddedEncoder
from zcurate.curation.embedding.encoder import Mirror
from zcurate.curation.errors import ConfigError
from zcurate.curation.neighbors.dedup import COLUMNS, GROUPS_SCHEMA, Settings, deduplicate
from zcurate.curation.stage import GlobalStage
from zcurate.pipelines.context import StageContext
from zcurate.pipelines.stages import dedup as dedup_stage

from .shards import Shards

SETTINGS = Settings(threshold=0.9, floor=0.8)
# components 0..7 stay, 8..15 change sign, 16..23 and 24..31 are exchanged, half of them with a sign
MIRROR = Mirror(
    np.concatenate([np.arange(16), np.arange(24, 32), np.arange(16, 24)]),
    np.repeat([1, -1, 1, -1, 1, -1], [8, 8, 4, 4, 4, 4]).astype(np.float32),
)
WITH_MIRROR = Settings(threshold=0.9, floor=0.8, mirror=MIRROR)


def corpus(seed, n=60, d=32):
    """Rows around a few centers, some identical in bytes or pixels, some mirrored, some fields null."""
    rng = np.random.default_rng(seed)
    centers = rng.standard_normal((max(1, n // 8), d))
    centers /= np.linalg.norm(centers, axis=1, keepdims=True)
    vectors = centers[rng.integers(0, len(centers), n)]
    vectors = vectors + rng.choice([0.1, 0.35, 0.6], n)[:, None] * rng.standard_normal((n, d)) / np.sqrt(d)
    if d == len(MIRROR.source):
        mirrored, symmetric = rng.random(n) < 0.3, rng.random(n) < 0.1
        vectors[mirrored] = MIRROR.apply(vectors[mirrored])
        vectors[symmetric] += MIRROR.apply(vectors[symmetric])
    content = [rng.bytes(16) for _ in range(n)]
    pixels = [rng.bytes(16) for _ in range(n)]
    for i in range(1, n):
        if rng.random() < 0.15:
            j = int(rng.integers(0, i))
            vectors[i], pixels[i] = vectors[j], pixels[j]
            if rng.random() < 0.5:
                content[i] = content[j]
    vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float16)
    rows = pa.table(
        {
            "sample_id": pa.array([rng.bytes(16) for _ in range(n)], pa.binary(16)),
            "content_id": pa.array(content, pa.binary(16)),
            "pixel_hash": pa.array([None if rng.random() < 0.05 else p for p in pixels], pa.binary(16)),
            "phash": pa.array(
                [None if rng.random() < 0.1 else int(rng.integers(0, 4)) for _ in range(n)], pa.uint64()
            ),
            "phashes": pa.nulls(n, pa.list_(pa.uint64(), 8)),
            "width_px": pa.array(rng.choice([100, 200], n), pa.int32()),
            "height_px": pa.array(rng.choice([100, 200], n), pa.int32()),
            "file_bytes": pa.array(rng.choice([5000, 9000], n), pa.int64()),
            "reencode_bpp": pa.array([None if rng.random() < 0.1 else 0.2 for _ in range(n)], pa.float32()),
            "text": pa.array(
                [None if rng.random() < 0.3 else "x" * int(rng.integers(0, 4)) for _ in range(n)]
            ),
        }
    )
    return rows, vectors


def by_id(rows, groups):
    return dict(zip(rows["sample_id"].to_pylist(), groups.to_pylist(), strict=True))


def check_invariants(rows, vectors, result, threshold, mirror=None):
    ids = rows["sample_id"].to_pylist()
    at = {i: n for n, i in enumerate(ids)}
    found = by_id(rows, result.groups)
    unit = vectors.astype(np.float64)
    unit /= np.linalg.norm(unit, axis=1, keepdims=True)
    sizes = {}
    for one, g in found.items():
        sizes[g["group_id"]] = sizes.get(g["group_id"], 0) + 1
        assert g["group_id"] == g["keeper_id"]
        assert g["sim_to_keeper"] >= threshold
        assert g["keep"] == (g["keeper_id"] == one)
        assert found[g["keeper_id"]]["keep"]
        cos = plain = float(unit[at[one]] @ unit[at[g["keeper_id"]]])
        if mirror is not None:
            cos = max(plain, float(unit[at[one]] @ mirror.apply(unit[at[g["keeper_id"]]])))
        assert g["sim_to_keeper"] == pytest.approx(cos, abs=1e-6)
        if g["reason"] in ("mirrored", "near_duplicate") and abs(plain - threshold) > 1e-6:
            assert (g["reason"] == "mirrored") == (plain < threshold)
        assert (g["reason"] in ("unique", "keeper")) == g["keep"]
    assert all(g["group_size"] == sizes[g["group_id"]] for g in found.values())
    assert result.figures["dropped"] == sum(not g["keep"] for g in found.values())


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 80), st.sampled_from([SETTINGS, WITH_MIRROR]))
def test_groups_are_sound_and_do_not_depend_on_row_order(seed, n, chosen):
    rows, vectors = corpus(seed, n)
    result = deduplicate(rows, vectors, chosen)
    assert result.groups.schema.equals(GROUPS_SCHEMA)
    check_invariants(rows, vectors, result, 0.9, chosen.mirror)
    src, dst = result.neighbors["src_id"].to_pylist(), result.neighbors["dst_id"].to_pylist()
    assert all(a < b for a, b in zip(src, dst, strict=True))
    order = np.random.default_rng(seed).permutation(n)
    shuffled = rows.take(pa.array(order))
    again = deduplicate(shuffled, lambda positions: vectors[order][positions], chosen)
    assert by_id(rows, result.groups) == by_id(shuffled, again.groups)
    assert result.neighbors.equals(again.neighbors)
    assert result.figures == again.figures


def as_dataset(rows, vectors):
    flat = pa.array(vectors.ravel())
    named = rows.rename_columns([dedup_stage.qualified(c) for c in rows.column_names])
    return named.append_column("embedding.vector", pa.FixedSizeListArray.from_arrays(flat, vectors.shape[1]))


def stage(has=(), **config):
    return dedup_stage.build(dedup_stage.Config(**config), StageContext(groups=frozenset(has)))


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**32 - 1), st.lists(st.integers(0, 40), max_size=4))
def test_stage_does_not_depend_on_shards(seed, cuts):
    rows, vectors = corpus(seed, 40)
    table = as_dataset(rows, vectors)
    expected = deduplicate(rows, vectors, SETTINGS)
    data = Shards(table, cuts)
    result = stage(threshold=0.9, floor=0.8, mirror=False).run(data)
    aligned = list(result.aligned)
    assert [name for name, _ in aligned] == data.shards()
    assert [t.num_rows for _, t in aligned] == [p.num_rows for p in data.parts.values()]
    assert pa.concat_tables(t for _, t in aligned).equals(expected.groups)
    assert pa.concat_tables(t for _, t in result.tables["neighbors"]).equals(expected.neighbors)


def plain(n, vectors, **changes):
    """Rows that differ in everything but what is given."""
    columns = {
        "sample_id": [i.to_bytes(16, "big") for i in range(n)],
        "content_id": [(1000 + i).to_bytes(16, "big") for i in range(n)],
        "pixel_hash": [(2000 + i).to_bytes(16, "big") for i in range(n)],
        "phash": [None] * n,
        "phashes": [None] * n,
        "width_px": [100] * n,
        "height_px": [100] * n,
        "file_bytes": [5000] * n,
        "reencode_bpp": [0.2] * n,
        "text": [None] * n,
    } | changes
    hashes = [pa.uint64(), pa.list_(pa.uint64(), 8)]
    types = [pa.binary(16)] * 3 + hashes + [pa.int32(), pa.int32(), pa.int64(), pa.float32(), pa.string()]
    table = pa.table(
        [pa.array(columns[c], t) for c, t in zip(COLUMNS, types, strict=True)], names=list(COLUMNS)
    )
    return table, np.asarray(vectors, np.float32)


def test_color_variants_of_equal_phash_stay_apart():
    x = np.array([[1, 0, 0.6], [1, 0, -0.6], [0, 1, 0]])
    rows, vectors = plain(3, x, phash=[7, 7, 7])
    result = deduplicate(rows, vectors, SETTINGS)
    assert result.figures["phash_candidates"] == 3
    assert result.groups["keep"].to_pylist() == [True] * 3


def test_phash_recovers_a_pair_cut_from_the_neighbor_lists():
    # Sample 0 and 1 are 0.93 alike, but with k = 1 each lists a nearer one.
    angles = np.radians([0, 21, -5, 26])
    rows, vectors = plain(
        4, np.column_stack([np.cos(angles), np.sin(angles)]), phash=[9, 9 ^ 3, 0xFF << 40, 0xFF << 50]
    )
    without = deduplicate(rows, vectors, Settings(0.92, 0.8, k=1, phash_radius=None))
    with_hash = deduplicate(rows, vectors, Settings(0.92, 0.8, k=1))
    assert without.figures["components"] == 2
    assert (with_hash.figures["components"], with_hash.figures["edges_added"]) == (1, 1)
    flat, _ = plain(4, vectors, phash=[9, 9 ^ 3, 0xFF << 40, 0xFF << 50], reencode_bpp=[0.01] * 4)
    assert deduplicate(flat, vectors, Settings(0.92, 0.8, k=1)).figures["phash_candidates"] == 0


def test_keeper_order_and_reasons():
    same = np.tile([1.0, 0.0], (5, 1))
    same[4] = [0.99, 0.14]
    rows, vectors = plain(
        5,
        same,
        content_id=[b"a" * 16, b"b" * 16, b"b" * 16, b"c" * 16, b"d" * 16],
        pixel_hash=[b"p" * 16] * 4 + [b"q" * 16],
        width_px=[100, 200, 200, 200, 150],
        file_bytes=[5000, 9000, 9000, 9000, 5000],
        text=["long caption", "a", "a", None, None],
    )
    groups = deduplicate(rows, vectors, SETTINGS).groups
    assert groups["reason"].to_pylist() == [
        "identical_pixels",
        "keeper",
        "identical_bytes",
        "identical_pixels",
        "near_duplicate",
    ]
    first = deduplicate(rows, vectors, Settings(0.9, 0.8, keeper_order=("caption_chars",)))
    assert first.groups["keep"].to_pylist() == [True, False, False, False, False]


def test_more_copies_than_neighbors_do_not_hide_a_variant():
    x = np.array([[1.0, 0.0]] * 300 + [[0.95, 0.312]])
    rows, vectors = plain(301, x, pixel_hash=[b"p" * 16] * 300 + [b"q" * 16])
    result = deduplicate(rows, vectors, Settings(0.9, 0.8, k=5))
    assert result.figures["nodes"] == 2
    assert result.figures["groups"] == 1


def test_two_thousand_near_copies_give_one_group():
    rng = np.random.default_rng(0)
    center = rng.standard_normal(64)
    x = center / np.linalg.norm(center) + 0.15 * rng.standard_normal((2_000, 64)) / 8
    rows, vectors = plain(2_000, x)
    result = deduplicate(rows, vectors, SETTINGS)
    assert result.figures["groups"] == 1
    assert result.figures["dropped"] == 1_999


def test_two_crowds_of_copies_meet_though_all_their_lists_are_full():
    rng = np.random.default_rng(1)
    center = rng.standard_normal(64)
    variant = center + 0.4 * rng.standard_normal(64)
    x = np.concatenate([c + 0.03 * rng.standard_normal((300, 64)) for c in (center, variant)])
    unit = x / np.linalg.norm(x, axis=1, keepdims=True)
    assert (unit[:300] @ unit[300:].T).min() > 0.9
    result = deduplicate(*plain(600, x), Settings(0.9, 0.8, k=20))
    assert result.figures["crowd_speakers"] > 0
    assert result.figures["groups"] == 1


@given(st.integers(0, 2**31), st.integers(2, 120))
@settings(max_examples=15, deadline=None)
def test_the_search_on_a_device_gives_the_same_groups(seed, n):
    rows, vectors = corpus(seed, n)
    plain = deduplicate(rows, vectors, SETTINGS)
    on_device = deduplicate(rows, vectors, replace(SETTINGS, device="cpu"))
    assert on_device.groups.equals(plain.groups)
    assert on_device.figures["method"] == "exact on cpu"


def test_a_drifting_chain_keeps_its_ends():
    angles = np.radians(15) * np.arange(10)
    rows, vectors = plain(10, np.column_stack([np.cos(angles), np.sin(angles)]))
    result = deduplicate(rows, vectors, Settings(0.94, 0.84))
    check_invariants(rows, vectors, result, 0.94)
    assert result.figures["components"] == 1
    assert result.figures["groups"] >= 4


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(2, 60))
def test_mirroring_any_of_the_pictures_changes_no_group(seed, n):
    rows, vectors = corpus(seed, n)
    some = np.random.default_rng(seed).random(n) < 0.5
    other = np.where(some[:, None], MIRROR.apply(vectors), vectors)
    # rows of identical pixels stand for each other, so they must stay alike
    rows = rows.set_column(2, "pixel_hash", pa.nulls(n, pa.binary(16)))
    rows = rows.set_column(1, "content_id", rows["sample_id"])
    a, b = deduplicate(rows, vectors, WITH_MIRROR), deduplicate(rows, other, WITH_MIRROR)
    assert np.allclose(a.neighbors["cos"].to_numpy(), b.neighbors["cos"].to_numpy(), atol=1e-6)
    for column in ("src_id", "dst_id"):
        assert a.neighbors[column].equals(b.neighbors[column])
    assert a.groups["keeper_id"].equals(b.groups["keeper_id"])


def test_mirrored_copies_are_found_and_named():
    rng = np.random.default_rng(11)
    x = rng.standard_normal((4, 32))
    x[1] = x[0] + 0.05 * rng.standard_normal(32)
    x[2] = MIRROR.apply(x[0]) + 0.05 * rng.standard_normal(32)
    x[3] += MIRROR.apply(x[3])  # a symmetric picture is its own mirror image, and nobody's copy
    rows, vectors = plain(4, x)
    result = deduplicate(rows, vectors, WITH_MIRROR)
    assert result.groups["reason"].to_pylist() == ["keeper", "near_duplicate", "mirrored", "unique"]
    assert result.neighbors["mirrored"].to_pylist() == [False, True, True]
    assert result.figures["mirrored"] == 1
    without = deduplicate(rows, vectors, SETTINGS)
    assert without.groups["keep"].to_pylist() == [True, False, True, True]
    assert not any(without.neighbors["mirrored"].to_pylist())
    with pytest.raises(ValueError, match="belongs to another encoder"):
        deduplicate(rows, vectors[:, :31], WITH_MIRROR)


def test_two_thousand_near_copies_facing_both_ways_give_one_group():
    rng = np.random.default_rng(0)
    center = rng.standard_normal(32)
    x = center / np.linalg.norm(center) + 0.15 * rng.standard_normal((2_000, 32)) / np.sqrt(32)
    x[::2] = MIRROR.apply(x[::2])
    result = deduplicate(*plain(2_000, x), WITH_MIRROR)
    assert result.figures["groups"] == 1
    assert result.figures["mirrored"] == 1_000


def test_stage_finds_the_mirror_image_of_a_picture():
    rng = np.random.default_rng(3)
    pictures = [
        np.kron(rng.integers(0, 255, (6, 8, 3)), np.ones((40, 40, 1))).astype(np.uint8) for _ in "abc"
    ]
    pictures.append(np.ascontiguousarray(pictures[0][:, ::-1]))
    rows, vectors = plain(4, EmbeddedEncoder().encode_images(pictures).astype(np.float16))
    data = Shards(as_dataset(rows, vectors.astype(np.float16)), [2])
    on, off = (pa.concat_tables(t for _, t in stage(mirror=m).run(data).aligned) for m in (True, False))
    assert on["reason"].to_pylist() == ["keeper", "unique", "unique", "mirrored"]
    assert off["reason"].to_pylist() == ["unique"] * 4
    with pytest.raises(ConfigError, match=r"dedup\.mirror to false"):
        stage().run(Shards(as_dataset(*corpus(1, 4)), []))


def test_stage_declaration_and_config():
    one = stage(has={"decisions/filter"})
    assert isinstance(one, GlobalStage)
    assert one.spec.where == ("decisions/filter",)
    assert stage().spec.where == ()
    assert "samples.text" in one.spec.reads
    assert "profile.phash" in one.spec.reads
    assert stage(encoder="openclip:ViT-B-32/x").spec.config["threshold"] == 0.94
    assert stage(encoder="siglip:a", threshold={"siglip:*": 0.97}).spec.config["threshold"] == 0.97
    assert stage(threshold=0.8).spec.config != stage(threshold=0.81).spec.config
    assert stage().spec.config["mirror"] is True
    assert stage(mirror=False).spec.config["mirror"] is False
    assert stage(encoder="openclip:ViT-B-32/x").spec.config["mirror"] is False
    for wrong in ({"threshold": {"clip": 0.9}}, {"floor": 0.99}, {"keeper": ["beauty"]}):
        with pytest.raises(ConfigError):
            stage(**wrong)
    empty = stage(mirror=False).run(Shards(as_dataset(*corpus(1, 4)).slice(0, 0), []))
    assert [t.num_rows for _, t in empty.aligned] == [0]
