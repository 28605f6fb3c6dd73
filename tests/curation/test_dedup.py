"""Deduplication end to end on vectors with known structure, and the stage around it."""

from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zcurate.curation.errors import ConfigError
from zcurate.curation.neighbors.dedup import COLUMNS, GROUPS_SCHEMA, Settings, deduplicate
from zcurate.curation.stage import GlobalStage
from zcurate.pipelines.stages import dedup as dedup_stage

SETTINGS = Settings(threshold=0.9, floor=0.8)


def corpus(seed, n=60, d=32):
    """Rows around a few centers, some of them identical in bytes or pixels, some fields null."""
    rng = np.random.default_rng(seed)
    centers = rng.standard_normal((max(1, n // 8), d))
    centers /= np.linalg.norm(centers, axis=1, keepdims=True)
    vectors = centers[rng.integers(0, len(centers), n)]
    vectors = vectors + rng.choice([0.1, 0.35, 0.6], n)[:, None] * rng.standard_normal((n, d)) / np.sqrt(d)
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


def check_invariants(rows, vectors, result, threshold):
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
        cos = float(unit[at[one]] @ unit[at[g["keeper_id"]]])
        assert g["sim_to_keeper"] == pytest.approx(cos, abs=1e-6)
        assert (g["reason"] in ("unique", "keeper")) == g["keep"]
    assert all(g["group_size"] == sizes[g["group_id"]] for g in found.values())
    assert result.figures["dropped"] == sum(not g["keep"] for g in found.values())


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 80))
def test_groups_are_sound_and_do_not_depend_on_row_order(seed, n):
    rows, vectors = corpus(seed, n)
    result = deduplicate(rows, vectors, SETTINGS)
    assert result.groups.schema.equals(GROUPS_SCHEMA)
    check_invariants(rows, vectors, result, 0.9)
    order = np.random.default_rng(seed).permutation(n)
    shuffled = rows.take(pa.array(order))
    again = deduplicate(shuffled, vectors[order], SETTINGS)
    assert by_id(rows, result.groups) == by_id(shuffled, again.groups)
    assert result.neighbors.equals(again.neighbors)
    assert result.figures == again.figures


class Shards:
    """A whole dataset as a global stage sees it, cut as asked."""

    def __init__(self, table, cuts):
        bounds = [0, *sorted(cuts), table.num_rows]
        self.parts = {
            f"{i:03d}": table.slice(a, b - a)
            for i, (a, b) in enumerate(zip(bounds[:-1], bounds[1:], strict=True))
        }

    def shards(self):
        return list(self.parts)

    def read(self, shard, columns=None):
        part = self.parts[shard]
        return part if columns is None else part.select(["sample_id", *columns])


def as_dataset(rows, vectors):
    flat = pa.array(vectors.ravel())
    named = rows.rename_columns([dedup_stage.qualified(c) for c in rows.column_names])
    return named.append_column("embedding.vector", pa.FixedSizeListArray.from_arrays(flat, vectors.shape[1]))


def stage(has=(), **config):
    ctx = SimpleNamespace(has=lambda group: group in has)
    return dedup_stage.build(dedup_stage.Config(**config), ctx)


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**32 - 1), st.lists(st.integers(0, 40), max_size=4))
def test_stage_does_not_depend_on_shards(seed, cuts):
    rows, vectors = corpus(seed, 40)
    table = as_dataset(rows, vectors)
    expected = deduplicate(rows, vectors, SETTINGS)
    data = Shards(table, cuts)
    result = stage(threshold=0.9, floor=0.8).run(data)
    aligned = list(result.aligned)
    assert [name for name, _ in aligned] == data.shards()
    assert [t.num_rows for _, t in aligned] == [p.num_rows for p in data.parts.values()]
    assert pa.concat_tables(t for _, t in aligned).equals(expected.groups)
    assert result.tables["neighbors"].equals(expected.neighbors)


def plain(n, vectors, **changes):
    """Rows that differ in everything but what is given."""
    columns = {
        "sample_id": [i.to_bytes(16, "big") for i in range(n)],
        "content_id": [(1000 + i).to_bytes(16, "big") for i in range(n)],
        "pixel_hash": [(2000 + i).to_bytes(16, "big") for i in range(n)],
        "phash": [None] * n,
        "width_px": [100] * n,
        "height_px": [100] * n,
        "file_bytes": [5000] * n,
        "reencode_bpp": [0.2] * n,
        "text": [None] * n,
    } | changes
    types = [pa.binary(16)] * 3 + [pa.uint64(), pa.int32(), pa.int32(), pa.int64(), pa.float32(), pa.string()]
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
    assert (with_hash.figures["components"], with_hash.figures["edges_added_by_phash"]) == (1, 1)
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


def test_a_drifting_chain_keeps_its_ends():
    angles = np.radians(15) * np.arange(10)
    rows, vectors = plain(10, np.column_stack([np.cos(angles), np.sin(angles)]))
    result = deduplicate(rows, vectors, Settings(0.94, 0.84))
    check_invariants(rows, vectors, result, 0.94)
    assert result.figures["components"] == 1
    assert result.figures["groups"] >= 4


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
    for wrong in ({"threshold": {"clip": 0.9}}, {"floor": 0.99}, {"keeper": ["beauty"]}):
        with pytest.raises(ConfigError):
            stage(**wrong)
    empty = stage().run(Shards(as_dataset(*corpus(1, 4)).slice(0, 0), []))
    assert [t.num_rows for _, t in empty.aligned] == [0]
