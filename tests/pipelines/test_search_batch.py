"""Batches of queries: from every kind of file, what is void or poisoned where they fall, in which communities."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from zcurate.pipelines.search_batch import run_batch
from zcurate.pipelines.search_queries import Query
from zcurate.pipelines.searching import open_search

from .search_dataset import build, built, images, picture  # noqa: F401 - fixtures among them

# ruff: noqa: F811


def test_a_batch_of_prompts(built, zcurate, tmp_path):
    out, images = built
    (tmp_path / "q.txt").write_text("a red bridge\n\nzebra quagga\n红色的桥\n!?\n", encoding="utf-8")
    code, text, err = zcurate(
        "search", out, "--batch", tmp_path / "q.txt", "--out", tmp_path / "b", "-k", "5", "--json"
    )
    assert code == 3, "one line has no word"
    facts = json.loads(text)
    assert facts["queries"] == 4
    assert facts["verdicts"]["error"] == 1
    assert "words alone" in err
    queries = pq.read_table(tmp_path / "b/queries.parquet").to_pylist()
    neighbors = pq.read_table(tmp_path / "b/neighbors.parquet").to_pylist()
    by_text = {q["text"]: q for q in queries}
    assert by_text["zebra quagga"]["verdict"] == "void"
    assert by_text["zebra quagga"]["unknown_words"] == ["zebra", "quagga"]
    assert "no word" in by_text["!?"]["error"]
    mine = [n for n in neighbors if n["name"] == "line 4"]
    assert [n["rank"] for n in mine] == list(range(1, len(mine) + 1))
    assert mine[0]["bm25"] > 0
    assert mine[0]["cos"] is None
    assert "zebra quagga" in (tmp_path / "b/report.html").read_text()


def test_a_batch_of_images_tells_voids_from_what_is_there(built, zcurate, tmp_path):
    out, images = built
    folder = tmp_path / "failing"
    folder.mkdir()
    for i in range(3):
        (folder / f"known{i}.png").write_bytes((images / f"p0{i}.png").read_bytes())
    black = np.zeros((200, 240, 3), np.uint8)
    black[::2] = 255
    Image.fromarray(black).save(folder / "stripes.png")
    (folder / "broken.png").write_bytes(b"no")
    assert zcurate("search", out, "--batch", folder, "--out", tmp_path / "b")[0] == 3
    rows = {q["name"]: q for q in pq.read_table(tmp_path / "b/queries.parquet").to_pylist()}
    assert rows["broken.png"]["error"]
    assert rows["stripes.png"]["verdict"] == "void"
    assert {rows[f"known{i}.png"]["verdict"] for i in range(3)} <= {"normal", "thin"}
    assert rows["stripes.png"]["density"] < min(rows[f"known{i}.png"]["density"] for i in range(3))


def test_a_region_of_dropped_rows_is_poisoned(build, images):
    """Dense, but what is there was dropped: the same images under a rule that drops them all."""
    for i in range(8):
        noisy = np.asarray(picture(5)).astype(int) + np.random.default_rng(i).integers(-40, 40, (200, 240, 3))
        Image.fromarray(np.clip(noisy, 0, 255).astype(np.uint8)).resize((80, 66)).save(images / f"bad{i}.png")
    searcher = open_search(build())
    result = run_batch(searcher, [Query("q", image=str(images / "bad0.png")), Query("r", image=str(images / "p12.png"))], k=6,
                       rules=_rules(neighbors=6))  # fmt: skip
    bad, good = result.answers
    assert bad.verdict == "poisoned"
    assert bad.shares["dropped"] + bad.shares["duplicate"] > 0.5
    assert good.verdict != "poisoned"
    queries, neighbors = result.tables()
    assert queries["flagged_share"][0].as_py() > 0.5
    assert "dropped" in neighbors["flags"][0].as_py()


def _rules(**values):
    from zcurate.curation.retrieval.density import DensityRules

    return DensityRules(**values)


COMMUNITIES = '''
import pyarrow as pa
from pydantic import BaseModel
from zcurate.curation.stage import StageSpec


class Config(BaseModel):
    pass


class Stage:
    """Communities by the first letter and the number of a key."""

    spec = StageSpec(
        name="communities", version=1, reads=("samples.key", "embedding._status"),
        outputs={"communities": pa.schema([("path", pa.list_(pa.int32())), ("community", pa.int32())])},
    )

    def setup_node(self):
        pass

    def setup(self):
        pass

    def __call__(self, table, monitor):
        monitor.start(0, max(0, table.num_rows - 1))
        keys = table["samples.key"].to_pylist()
        fine = [int(k[1:]) // 5 if k[1:].isdigit() else 99 for k in keys]
        return pa.table({
            "path": pa.array([[1 if f < 2 else 2, f] for f in fine], pa.list_(pa.int32())),
            "community": pa.array(fine, pa.int32()),
        })


def build(config, context):
    return Stage()
'''


@pytest.fixture
def community_stage(tmp_path, monkeypatch):
    (tmp_path / "zctest").mkdir()
    (tmp_path / "zctest/__init__.py").write_text("")
    (tmp_path / "zctest/communities.py").write_text(COMMUNITIES)
    monkeypatch.syspath_prepend(str(tmp_path))


def test_batches_name_the_communities_queries_fall_in(build, images, zcurate, tmp_path, community_stage):
    out = build(**{"zctest.communities": {}})
    rows = [
        json.loads(x)
        for x in zcurate("search", out, "--image", images / "p07.png", "-k", "4", "--json")[1].splitlines()
    ]
    assert rows[0]["community"] == [1, 1]
    rows = [
        {"id": "by path", "image": "pictures/p07.png"},
        {"name": "by vector", "vector": [0.5] * open_search(out).vectors.dim},
    ]
    (tmp_path / "q.jsonl").write_text("\n".join(json.dumps(r) for r in rows))
    assert zcurate("search", out, "--batch", tmp_path / "q.jsonl", "--out", tmp_path / "b")[0] == 0
    first = pq.read_table(tmp_path / "b/queries.parquet").to_pylist()[0]
    assert first["name"] == "by path"
    assert sum(c["share"] for c in first["communities"]) == pytest.approx(1)
    assert "community" in (tmp_path / "b/report.html").read_text()


def test_batches_from_parquet_and_wrong_batches(built, zcurate, tmp_path):
    out, images = built
    dim = open_search(out).vectors.dim
    table = pa.table(
        {"vector": pa.array([[1.0] * dim, [float("nan")] * dim], pa.list_(pa.float32())), "id": ["a", "b"]}
    )
    pq.write_table(table, tmp_path / "q.parquet")
    assert zcurate("search", out, "--batch", tmp_path / "q.parquet", "--out", tmp_path / "b")[0] == 3
    rows = pq.read_table(tmp_path / "b/queries.parquet").to_pylist()
    assert [bool(r["error"]) for r in rows] == [False, True]
    pq.write_table(pa.table({"x": [1]}), tmp_path / "x.parquet")
    (tmp_path / "bad.jsonl").write_text('{"text": "red"}\n{"text": 3}\n')
    (tmp_path / "two.jsonl").write_text('{"text": "red", "image": "a.png"}\n')
    (tmp_path / "empty.txt").write_text("\n\n")
    (tmp_path / "latin.txt").write_bytes(b"caf\xe9\n")
    (tmp_path / "no.parquet").write_bytes(b"PAR1 no")
    (tmp_path / "q.csv").write_text("red")
    (tmp_path / "hollow").mkdir()
    messages = {
        "x.parquet": "column text, image or vector", "bad.jsonl": "line 2", "two.jsonl": "exactly one",
        "empty.txt": "no queries", "latin.txt": "UTF-8", "no.parquet": "Parquet", "q.csv": "a batch is",
        "hollow": "no images",
    }  # fmt: skip
    for name, message in messages.items():
        code, _, err = zcurate("search", out, "--batch", tmp_path / name, "--out", tmp_path / "c")
        assert code == 2, name
        assert message in err
        assert name in err
