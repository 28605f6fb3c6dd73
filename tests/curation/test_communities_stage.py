"""Stage `communities`: on a small dataset through the command line, and on vectors in shards of any shape."""

import sys

import numpy as np
import pyarrow as pa
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from zcurate.curation.errors import DatasetError
from zcurate.curation.neighbors.components import members_of
from zcurate.curation.stage import GlobalStage
from zcurate.pipelines.context import StageContext
from zcurate.pipelines.stages import communities as stage_module
from zcurate.pipelines.view import open_view

from .shards import Shards

VECTOR = stage_module.VECTOR


def embedded(ids, vectors, cuts=()):
    """Embedded samples, cut into shards as asked."""
    column = pa.FixedSizeListArray.from_arrays(pa.array(vectors.ravel()), vectors.shape[1])
    return Shards(pa.table({"sample_id": pa.array(ids, pa.binary(16)), VECTOR: column}), cuts)


def stage(has=(), **config):
    return stage_module.build(stage_module.Config(**config), StageContext(groups=frozenset(has)))


def run(data, **config):
    result = stage(**config).run(data)
    aligned = list(result.aligned)
    assert [name for name, _ in aligned] == data.shards()
    assert [len(t) for _, t in aligned] == [len(p) for p in data.parts.values()]
    table = pa.concat_tables(t for _, t in aligned)
    assert table.schema.equals(stage_module.OUTPUT)
    assert result.tables["communities"].schema.equals(stage_module.COMMUNITIES)
    return table, result.tables["communities"].to_pylist(), result.facts


def corpus(seed, n=120, d=12):
    rng = np.random.default_rng(seed)
    vectors = np.repeat(rng.standard_normal((6, d)), n // 6, axis=0) + 0.4 * rng.standard_normal((n, d))
    vectors[rng.random(n) < 0.1] = vectors[0]
    ids = [bytes([int(b)]) + rng.bytes(14) + b"\0" for b in rng.integers(0, 3, n)]
    return ids, vectors.astype(np.float16)


@settings(max_examples=15, deadline=None)
@given(
    st.integers(0, 2**32 - 1),
    st.lists(st.integers(0, 120), max_size=4),
    st.sampled_from(["networkit", "leidenalg"]),
)
def test_neither_shards_nor_the_order_of_rows_matter(seed, cuts, engine):
    ids, vectors = corpus(seed)
    config = {"k": 6, "resolutions": [0.5, 4, 20], "engine": engine, "min_size": 3}
    table, communities, facts = run(embedded(ids, vectors), **config)
    order = np.random.default_rng(seed).permutation(len(ids))
    other, same, again = run(embedded([ids[i] for i in order], vectors[order], cuts), **config)
    assert same == communities
    assert again == facts
    assert other.equals(table.take(pa.array(order)))
    # the side table says the same as the rows
    path = np.array(table["path"].to_pylist())
    by_id = {c["id"]: c for c in communities}
    assert list(by_id) == list(range(len(by_id)))
    unit = vectors.astype(float) / np.linalg.norm(vectors.astype(float), axis=1, keepdims=True)
    for level in range(3):
        for members in members_of(path[:, level]):
            c = by_id[int(path[members[0], level])]
            assert (c["level"], c["size"]) == (level, len(members))
            assert c["parent"] == (int(path[members[0], level - 1]) if level else None)
            medoid = ids.index(c["medoid"])
            assert medoid in members
            assert c["mean_cos"] == pytest.approx((unit[members] @ unit[medoid]).mean(), abs=1e-5)
    assert table["community"].to_pylist() == path[:, -1].tolist()
    assert table["community_size"].to_pylist() == [by_id[c]["size"] for c in path[:, -1].tolist()]


def test_few_identical_and_no_rows():
    ids, vectors = corpus(1)
    table, communities, _ = run(embedded(ids[:3], vectors[:3]), k=15)
    assert len(table) == 3
    assert all(len(p) == 1 for p in table["path"].to_pylist())
    table, communities, facts = run(embedded(ids[:1], vectors[:1]))
    assert table.to_pylist() == [{"path": [0], "community": 0, "community_size": 1}]
    assert run(embedded([], vectors[:0]))[:2] == (stage_module.OUTPUT.empty_table(), [])
    n = 100_000
    same = np.repeat(vectors[:1], n, axis=0)
    table, communities, facts = run(
        embedded([i.to_bytes(16, "big") for i in range(n)], same), resolutions=[1, 50]
    )
    assert set(table["community"].to_pylist()) == {1}
    assert [c["size"] for c in communities] == [n, n]
    assert communities[0]["medoid"] == bytes(16)
    assert facts["nodes"] == 1


def test_what_is_wrong_is_named():
    ids, vectors = corpus(2)
    data = embedded(ids, vectors, [50])
    part = data.parts["001"]
    broken = pa.array([None, *part[VECTOR].to_pylist()[1:]], part[VECTOR].type)
    data.parts["001"] = part.set_column(1, VECTOR, broken)
    with pytest.raises(DatasetError, match="shard 001: 1 selected rows"):
        stage().run(data)
    data.parts["001"] = embedded(ids[50:], vectors[50:, :8]).parts["000"]
    with pytest.raises(DatasetError, match=r"\[8, 12\] dimensions"):
        stage().run(data)
    one = stage(has={"groups", "decisions/filter"})
    assert isinstance(one, GlobalStage)
    assert one.spec.where == ("decisions/filter", "groups")
    assert stage(k=14).spec.config != stage(k=15).spec.config
    assert stage(engine="leidenalg").spec.models != stage().spec.models


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    """24 pictures: four scenes in six versions, through profile, embed and dedup."""
    root = tmp_path_factory.mktemp("communities")
    (root / "in").mkdir()
    rng = np.random.default_rng(0)
    for scene in range(4):
        ground = np.kron(rng.integers(0, 255, (5, 6, 3)), np.ones((50, 50, 1)))
        for version in range(6):
            picture = ground + rng.normal(0, 4 + 9 * version, ground.shape) + 6 * version
            Image.fromarray(picture.clip(0, 255).astype(np.uint8)).save(
                root / "in" / f"{scene}-{version}.png"
            )
    recipe = {
        "name": "c",
        "dataset": str(root / "ds"),
        "sources": [{"root": str(root / "in"), "name": "in"}],
        "stages": {"profile": {}, "embed": {}, "dedup": {"threshold": 0.9999}},
    }
    (root / "recipe.yaml").write_text(yaml.safe_dump(recipe, sort_keys=False))
    sets = ("--set", "resolutions=[1,20]", "--set", "k=5", "--engine", "inline")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        assert called(patch, "build", "recipe.yaml", "--engine", "inline") == 0
        assert called(patch, "run", "communities", "ds", *sets) == 0
    return root


def called(patch, *arguments):
    """Exit code of a command run in this process."""
    from zcurate.pipelines.cli import main

    patch.setattr(sys, "argv", ["zcurate", *map(str, arguments)])
    try:
        main()
    except SystemExit as e:
        return e.code or 0
    return 0


def test_through_the_command_line(dataset, capsys, monkeypatch):
    def call(*arguments):
        capsys.readouterr()
        code = called(monkeypatch, *arguments)
        return code, "".join(capsys.readouterr())

    monkeypatch.chdir(dataset)
    view = open_view(str(dataset / "ds"))
    rows = [
        r
        for _, t in view.tables(["samples.key", "communities.path", "groups.keep", "communities._status"])
        for r in t.to_pylist()
    ]
    kept = [r for r in rows if r["groups.keep"]]
    assert {r["communities._status"] for r in kept} == {"ok"}
    assert all(r["communities.path"] is None for r in rows if not r["groups.keep"])
    scenes = {}
    for r in kept:
        scenes.setdefault(r["samples.key"][0], set()).add(r["communities.path"][0])
    assert sorted(map(len, scenes.values())) == [1, 1, 1, 1]
    assert len(set.union(*scenes.values())) == 4
    bound = view.plan.stages[-1].bound
    side = view.dataset.read(bound.table_path("communities"), "all").to_pylist()
    assert sum(c["size"] for c in side if c["level"] == 0) == len(kept)
    code, out = call("explain", "ds", kept[0]["sample_id"].hex())
    assert code == 0
    assert "communities.community_size" in out
    code, out = call("whatif", "ds", "--rule", "communities.community_size < 2")
    assert code == 0
    assert f"of {len(rows)} rows" in out
    assert call("report", "ds")[0] == 0
    assert call("verify", "ds")[0] == 0
    code, out = call("run", "communities", "ds", "--set", "engine=louvain", "--engine", "inline")
    assert code == 2
    assert "stages.communities.engine" in out


def test_one_removed_sample_makes_the_stage_run_again(dataset, monkeypatch):
    from zcurate.curation.store.takedown import take_down

    view = open_view(str(dataset / "ds"))
    path = view.plan.stages[-1].bound.table_path("communities")
    side = view.dataset.read(path, "all").to_pylist()
    gone = side[0]["medoid"]
    take_down(view.dataset, [gone], "a person", "asked to")
    left = view.dataset.read(path, "all").to_pylist()
    assert gone not in [c["medoid"] for c in left]
    assert len(left) < len(side)
