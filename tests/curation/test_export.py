"""Exports read back with the libraries people use, byte for byte."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import xxhash
from PIL import Image

from zcurate.curation.errors import DatasetError, SampleError
from zcurate.curation.export import (
    ExportFacts,
    ParquetOptions,
    WebDatasetOptions,
    export_parquet,
    export_webdataset,
    remove_from_export,
)

_TYPES = {
    "sample_id": pa.binary(16),
    "content_id": pa.binary(16),
    "offset": pa.int64(),
    "length": pa.int64(),
    "width_px": pa.int32(),
    "height_px": pa.int32(),
    "weight": pa.float64(),
    "placeholder": pa.bool_(),
    "en_tags": pa.list_(pa.string()),
}


def picture(i: int, format_name: str) -> bytes:
    pixels = np.random.default_rng(i).integers(0, 256, (24, 32, 3), dtype=np.uint8)
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, format_name)
    return out.getvalue()


def row(i: int, key: str, data: bytes, **values: object) -> dict[str, object]:
    return {
        "sample_id": xxhash.xxh3_128_digest(b"sample %d" % i),
        "content_id": xxhash.xxh3_128_digest(data),
        "source": "photos",
        "uri": f"{i}.img",
        "key": key,
        "format": "JPEG",
        "width_px": 32,
        "height_px": 24,
        "text": f"alt text {i}",
        "origin": "camera",
        "license": "CC0",
        "weight": 1.0,
        "en_long": f"A long caption {i}.",
        "en_tags": ["one", "two"],
        "engine": "vlm",
        "placeholder": False,
    } | values


def table_of(rows: list[dict[str, object]]) -> pa.Table:
    names = list(dict.fromkeys(n for r in rows for n in r))
    return pa.table({n: pa.array([r.get(n) for r in rows], _TYPES.get(n, pa.string())) for n in names})


class Corpus:
    """Some rows and the files behind them."""

    def __init__(self, rows: list[dict[str, object]], files: dict[str, bytes]) -> None:
        self.rows, self.files = rows, files

    def tables(self) -> list[pa.Table]:
        half = len(self.rows) // 2
        return [table_of(self.rows[:half]), table_of(self.rows[half:])]

    def read(self, source, uri, container, member, offset, length) -> bytes:
        if uri not in self.files:
            raise SampleError(f"{uri}: no such file")
        return self.files[uri]


NASTY_KEYS = [
    "a.b.c",
    "deep/../../up",
    "/abs/olute",
    "图像/猫 猫",
    " lead",
    "x" * 400,
    "__meta__",
    "cat",
    "cat",
]


@pytest.fixture(scope="module")
def corpus() -> Corpus:
    rows, files = [], {}
    for i, key in enumerate([*NASTY_KEYS, *[f"plain/{n}" for n in range(11)]]):
        format_name = ("JPEG", "PNG", "WEBP")[i % 3]
        data = files[f"{i}.img"] = picture(i, format_name)
        rows.append(
            row(i, key, data, format=format_name, source=("photos", "web|<b>")[i % 2], weight=0.5 + i)
        )
    return Corpus(rows, files)


def read_back(out_dir: Path) -> list[dict]:
    import webdataset as wds

    shards = [str(p) for p in sorted(out_dir.glob("*.tar"))]
    return list(wds.WebDataset(shards, shardshuffle=False))


def image_of(sample: dict) -> bytes:
    (name,) = [n for n in sample if n in ("jpg", "png", "webp")]
    return sample[name]


def tree(folder: Path) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in sorted(folder.iterdir())}


def test_webdataset_reads_back_byte_for_byte(corpus: Corpus, tmp_path: Path) -> None:
    out = tmp_path / "out"
    facts = ExportFacts(name="demo", recipe_hash="abc123", funnel=(("ingested", 30), ("selected", 20)))
    summary = export_webdataset(corpus.tables(), corpus.read, out, WebDatasetOptions(max_rows=7), facts)
    assert (summary.rows, summary.files, summary.unreadable) == (20, 3, 0)
    assert sorted(p.name for p in out.glob("*.tar")) == ["00000.tar", "00001.tar", "00002.tar"]

    samples = read_back(out)
    assert [json.loads(s["json"])["key"] for s in samples] == [r["key"] for r in corpus.rows]
    for sample, given in zip(samples, corpus.rows, strict=True):
        assert image_of(sample) == corpus.files[given["uri"]]
        info = json.loads(sample["json"])
        assert info["sample_id"] == given["sample_id"].hex()
        assert info["text"] == given["text"]
        assert info["captions"]["en_tags"] == ["one", "two"]
        assert sample["txt"].decode() == given["en_long"]
    assert len({s["__key__"] for s in samples}) == 20

    # The index gives the original by a range read, and its ids are those of the uid list.
    index = pq.read_table(out / "index.parquet").to_pylist()
    for entry, given in zip(index, corpus.rows, strict=True):
        with (out / entry["shard"]).open("rb") as f:
            f.seek(entry["offset"])
            assert f.read(entry["length"]) == corpus.files[given["uri"]]
    uids = np.load(out / "uids.npy")
    expected = sorted((int(e["sample_id"][:16], 16), int(e["sample_id"][16:], 16)) for e in index)
    assert uids.dtype == np.dtype("u8,u8")
    assert uids.tolist() == expected

    card = (out / "dataset_card.md").read_text("utf-8")
    assert "20 samples" in card
    assert "web\\|\\<b\\>" in card
    weights = np.array([r["weight"] for r in corpus.rows])
    assert summary.effective_sample_size == pytest.approx(weights.sum() ** 2 / (weights**2).sum())


def test_members_stay_inside_the_folder_they_are_extracted_to(corpus: Corpus, tmp_path: Path) -> None:
    export_webdataset(corpus.tables(), corpus.read, tmp_path / "out")
    target = tmp_path / "extracted" / "here"
    with tarfile.open(tmp_path / "out" / "00000.tar") as tar:
        assert len(set(tar.getnames())) == 60
        assert {(m.mtime, m.uid, m.gid, m.uname) for m in tar.getmembers()} == {(0, 0, 0, "")}
        tar.extractall(target, filter="data")
    assert sum(p.is_file() for p in (tmp_path / "extracted").rglob("*")) == 60
    assert [p.name for p in (tmp_path / "extracted").iterdir()] == ["here"]


def test_same_rows_give_the_same_bytes_whatever_the_table_cuts(corpus: Corpus, tmp_path: Path) -> None:
    export_webdataset(corpus.tables(), corpus.read, tmp_path / "a", WebDatasetOptions(max_bytes=40_000))
    export_webdataset(
        [table_of(corpus.rows)], corpus.read, tmp_path / "b", WebDatasetOptions(max_bytes=40_000)
    )
    assert tree(tmp_path / "a") == tree(tmp_path / "b")
    sizes = [p.stat().st_size for p in (tmp_path / "a").glob("*.tar")]
    assert len(sizes) > 1
    assert max(sizes) <= 40_000


def test_huggingface_datasets_reads_webdataset_and_parquet(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_DATASETS_OFFLINE", "1")
    datasets = pytest.importorskip("datasets")
    files = {f"{i}.img": picture(i, "JPEG") for i in range(12)}
    corpus = Corpus(
        [row(i, f"k{i}", files[f"{i}.img"], zh_long=None if i % 2 else "一只猫") for i in range(12)], files
    )
    cache = str(tmp_path / "cache")

    export_webdataset(corpus.tables(), corpus.read, tmp_path / "wds")
    tar = str(tmp_path / "wds" / "00000.tar")
    data = datasets.load_dataset("webdataset", data_files=tar, split="train", cache_dir=cache)
    assert data[3]["jpg"].size == (32, 24)
    assert data[3]["json"]["key"] == "k3"

    options = ParquetOptions(images=True, rows_per_file=5)
    assert export_parquet(corpus.tables(), corpus.read, tmp_path / "pq", options).files == 3
    shards = [str(p) for p in sorted((tmp_path / "pq").glob("captions-*.parquet"))]
    data = datasets.load_dataset("parquet", data_files=shards, split="train", cache_dir=cache)
    assert isinstance(data.features["image"], datasets.Image)
    assert data[7]["image"].size == (32, 24)
    raw = data.cast_column("image", datasets.Image(decode=False))
    assert [r["image"]["bytes"] for r in raw] == list(files.values())
    assert data[0]["zh_long"] == "一只猫"
    assert data[1]["zh_long"] is None
    assert data[0]["en_tags"] == ["one", "two"]


def test_policy_leaves_out_model_images_and_placeholder_captions(tmp_path: Path) -> None:
    files = {f"{i}.img": picture(i, "PNG") for i in range(4)}
    rows = [
        row(0, "real", files["0.img"]),
        row(1, "made", files["1.img"], origin="model"),
        row(2, "stub", files["2.img"], placeholder=True, engine="template"),
        row(3, "bare", files["3.img"], placeholder=True, engine="template", text=None),
    ]
    corpus = Corpus(rows, files)
    summary = export_webdataset(corpus.tables(), corpus.read, tmp_path / "o")
    assert (summary.rows, summary.refused_model_origin, summary.placeholders) == (3, 1, 2)
    assert summary.without_caption == 1
    texts = {s["__key__"]: s["txt"].decode() for s in read_back(tmp_path / "o")}
    assert texts == {"real": "A long caption 0.", "stub": "alt text 2", "bare": ""}
    stub = json.loads(read_back(tmp_path / "o")[1]["json"])
    assert stub["captions"]["en_long"] is None
    assert stub["placeholder"] is True

    everything = WebDatasetOptions(allow_model_origin=True, include_placeholders=True)
    export_webdataset(corpus.tables(), corpus.read, tmp_path / "o", everything)
    texts = {s["__key__"]: s["txt"].decode() for s in read_back(tmp_path / "o")}
    assert texts["bare"] == "A long caption 3."
    assert "made" in texts


def test_unreadable_and_changed_originals_are_left_out_and_listed(corpus: Corpus, tmp_path: Path) -> None:
    files = dict(corpus.files)
    del files["2.img"]
    files["4.img"] = files["4.img"] + b"!"
    broken = Corpus(corpus.rows, files)
    summary = export_webdataset(broken.tables(), broken.read, tmp_path / "o")
    assert (summary.rows, summary.unreadable) == (18, 2)
    listed = json.loads((tmp_path / "o" / "export.json").read_text("utf-8"))["unreadable"]
    assert [(u["uri"], u["error_class"]) for u in listed] == [
        ("2.img", "SampleError"),
        ("4.img", "ContentChangedError"),
    ]


def test_replaces_only_its_own_directories_and_only_when_complete(corpus: Corpus, tmp_path: Path) -> None:
    foreign = tmp_path / "foreign"
    foreign.mkdir()
    (foreign / "thesis.txt").write_text("mine")
    with pytest.raises(DatasetError, match="not empty"):
        export_webdataset(corpus.tables(), corpus.read, foreign)
    assert tree(foreign) == {"thesis.txt": b"mine"}

    out = tmp_path / "out"
    export_webdataset(corpus.tables(), corpus.read, out)
    before = tree(out)

    def interrupted(*place: object) -> bytes:
        if place[1] == "9.img":
            raise KeyboardInterrupt
        return corpus.read(*place)

    with pytest.raises(KeyboardInterrupt):
        export_webdataset(corpus.tables(), interrupted, out)
    assert tree(out) == before
    assert sorted(p.name for p in tmp_path.iterdir()) == ["foreign", "out"]

    export_parquet(corpus.tables(), None, out)
    assert sorted(tree(out)) == ["captions-00000.parquet", "dataset_card.md", "export.json", "uids.npy"]

    (out / "notes.txt").write_text("mine")
    with pytest.raises(DatasetError, match=r"notes\.txt"):
        export_webdataset(corpus.tables(), corpus.read, out)


@pytest.mark.parametrize("format_name", ["webdataset", "parquet"])
def test_takedown_leaves_no_trace(corpus: Corpus, tmp_path: Path, format_name: str) -> None:
    files = {u: d for u, d in corpus.files.items() if u != "19.img"}
    partly = Corpus(corpus.rows, files)
    out = tmp_path / "out"
    if format_name == "webdataset":
        export_webdataset(partly.tables(), partly.read, out, WebDatasetOptions(max_rows=4))
    else:
        options = ParquetOptions(rows_per_file=4, images=True)
        export_parquet(partly.tables(), partly.read, out, options)
    # A whole shard (rows 4..7), part of another, and a row that was only listed as unreadable.
    gone = [corpus.rows[i] for i in (4, 5, 6, 7, 9, 19)]
    before = tree(out)
    assert remove_from_export(out, {r["sample_id"] for r in gone} | {b"\0" * 16}) == 5
    for name, data in tree(out).items():
        for r in gone:
            uid = r["sample_id"]
            assert uid not in data, name
            assert uid.hex().encode() not in data, name
            assert r["text"].encode() + b'"' not in data, name
    uids = np.load(out / "uids.npy")
    assert len(uids) == 14
    assert not {int(r["sample_id"].hex()[:16], 16) for r in gone} & set(uids["f0"].tolist())

    left = [r for r in partly.rows if r not in gone]
    record = json.loads((out / "export.json").read_text("utf-8"))
    assert record["exported"]["rows"] == 14
    assert record["taken_down"] == 5
    assert record["unreadable"] == []
    assert set(record["files"]) | {"export.json"} == set(tree(out))
    if format_name == "webdataset":
        assert sorted(p.name for p in out.glob("*.tar")) == [f"{i:05d}.tar" for i in range(4)]
        assert tree(out)["00000.tar"] == before["00000.tar"]
        assert [image_of(s) for s in read_back(out)] == [files[r["uri"]] for r in left]
        for entry, r in zip(pq.read_table(out / "index.parquet").to_pylist(), left, strict=True):
            with (out / entry["shard"]).open("rb") as f:
                f.seek(entry["offset"])
                assert f.read(entry["length"]) == files[r["uri"]]
    else:
        rows = [v for p in sorted(out.glob("captions-*.parquet")) for v in pq.read_table(p).to_pylist()]
        assert [v["image"]["bytes"] for v in rows] == [files[r["uri"]] for r in left]
    assert remove_from_export(out, {r["sample_id"] for r in gone}) == 0


def test_missing_column_and_bad_options_name_the_field(corpus: Corpus, tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="uri"):
        export_webdataset([corpus.tables()[0].drop_columns(["uri"])], corpus.read, tmp_path / "o")
    with pytest.raises(ValueError, match="en_huge"):
        WebDatasetOptions(caption_kinds=("en_huge",))
    assert not (tmp_path / "o").exists()


def test_no_rows_is_an_export_too(tmp_path: Path) -> None:
    assert export_webdataset([], lambda *a: b"", tmp_path / "o").rows == 0
    assert len(np.load(tmp_path / "o" / "uids.npy")) == 0
    assert "0 samples" in (tmp_path / "o" / "dataset_card.md").read_text("utf-8")
