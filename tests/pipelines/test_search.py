"""Search in real datasets, built through the command line: by image, text, vector and sample; batches; pages."""

import json
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image, ImageDraw

from zcurate.curation.errors import ConfigError, DatasetError
from zcurate.curation.retrieval.files import MANIFEST
from zcurate.curation.store import Dataset
from zcurate.pipelines.search_batch import run_batch
from zcurate.pipelines.search_indexes import forget_removed, index_root
from zcurate.pipelines.search_queries import Query
from zcurate.pipelines.searching import open_search

HOSTILE = "<script>alert(1)</script> \u202e ]]> {{ 7*7 }} [bold]boom[/bold] 'x' \"y\""
TEXTS = {
    "p00": "a red bridge over water",
    "p01": "a red boat",
    "p02": "红色的桥",
    "p03": "a quiet village at dawn",
    "p04": HOSTILE,
}
OPENCLIP = {
    "embed_dim": 24,
    "vision_cfg": {"image_size": 32, "layers": 2, "width": 32, "head_width": 16, "patch_size": 16},
    "text_cfg": {"context_length": 16, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 2},
}


def picture(seed, size=(240, 200)):
    rng = np.random.default_rng(seed)
    ground = rng.uniform(60, 200, 3) + rng.normal(0, 8, (size[1], size[0], 3))
    image = Image.fromarray(np.clip(ground, 0, 255).astype(np.uint8))
    draw = ImageDraw.Draw(image)
    for _ in range(12):
        x, y, r = rng.integers(0, size[0]), rng.integers(0, size[1]), rng.integers(10, 60)
        draw.ellipse([x - r, y - r, x + r, y + r], fill=tuple(int(c) for c in rng.integers(0, 255, 3)))
    return image


def pictures(folder):
    """24 pictures, two of them copies, one small, one broken; some with texts."""
    folder.mkdir()
    for i in range(21):
        picture(i).save(folder / f"p{i:02d}.png")
    for key, text in TEXTS.items():
        (folder / f"{key}.txt").write_text(text, encoding="utf-8")
    (folder / "copy.png").write_bytes((folder / "p03.png").read_bytes())
    picture(50, (90, 70)).save(folder / "small.png")
    (folder / "broken.png").write_bytes(b"\x89PNG nothing")
    return folder


@pytest.fixture
def images(tmp_path):
    return pictures(tmp_path / "pictures")


def recipe(images, out, model="embedded", **more):
    stages = {
        "profile": {},
        "filter": {"rules": {"too_small": {"drop_if": "short_side_px < 100"}}},
        "embed": {"model": model},
        "dedup": {},
        **more,
    }
    return {
        "name": "search",
        "dataset": str(out),
        "rows_per_shard": 8,
        "sources": [{"name": "s", "root": str(images), "kind": "folder"}],
        "stages": stages,
        "report": False,
    }


@pytest.fixture
def build(zcurate, images, tmp_path):
    """Build, or build again: the dataset's folder."""

    def run(model="embedded", **more):
        out = tmp_path / "ds"
        (tmp_path / "recipe.yaml").write_text(json.dumps(recipe(images, out, model, **more)))
        code, _, err = zcurate("build", tmp_path / "recipe.yaml", "--engine", "inline", "--json")
        assert code in (0, 3), err
        return out

    return run


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """A dataset that tests only look into, and its pictures: (dataset, folder)."""
    base = tmp_path_factory.mktemp("built")
    folder = pictures(base / "pictures")
    (base / "recipe.yaml").write_text(json.dumps(recipe(folder, base / "ds")))
    command = [Path(sys.executable).parent / "zcurate", "build", base / "recipe.yaml", "--engine", "inline"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 3, done.stderr
    return base / "ds", folder


@pytest.fixture
def lines(zcurate):
    """Run a command that prints JSON lines: (rows, stderr)."""

    def run(*arguments):
        code, text, err = zcurate(*arguments, "--json")
        assert code == 0, err
        return [json.loads(line) for line in text.splitlines()], err

    return run


@pytest.fixture(scope="module")
def openclip_dir(tmp_path_factory):
    import torch
    from open_clip import CLIP
    from safetensors.torch import save_file

    torch.manual_seed(0)
    directory = tmp_path_factory.mktemp("openclip")
    weights = {k: v.contiguous() for k, v in CLIP(**OPENCLIP).state_dict().items()}
    save_file(weights, directory / "open_clip_model.safetensors")
    preprocess = {"mean": [0.48, 0.46, 0.41], "std": [0.27, 0.26, 0.28]}
    config = {"model_cfg": OPENCLIP, "preprocess_cfg": preprocess}
    (directory / "open_clip_config.json").write_text(json.dumps(config))
    return directory


def test_by_image_sample_and_vector(built, lines, zcurate, tmp_path):
    out, images = built
    by_image, err = lines("search", out, "--image", images / "p05.png", "-k", "3")
    assert "note" not in err
    assert (by_image[0]["key"], round(by_image[0]["cos"], 3)) == ("p05", 1.0)
    assert [r["score"] for r in by_image] == [r["cos"] for r in by_image]
    by_id, _ = lines("search", out, "--id", by_image[0]["sample_id"], "-k", "2")
    assert [r["key"] for r in by_id] == [r["key"] for r in by_image[1:]], "without itself"
    searcher = open_search(out)
    np.save(tmp_path / "v.npy", np.asarray(searcher.encode_image(images / "p05.png"), np.float32)[None])
    by_vector, _ = lines("search", out, "--vector", tmp_path / "v.npy", "-k", "3", "--exact")
    assert [(r["key"], r["cos"]) for r in by_vector] == [(r["key"], r["cos"]) for r in by_image]
    code, text, _ = zcurate("search", out, "--image", images / "p05.png")
    assert code == 0
    assert by_image[0]["sample_id"] in text
    assert "s/p05" in text


def test_text_with_embedded_is_words_alone_and_says_so(built, lines, zcurate):
    out, images = built
    rows, err = lines("search", out, "red bridge")
    assert [r["key"] for r in rows] == ["p00", "p01"] or {r["key"] for r in rows} >= {"p00", "p01"}
    assert rows[0]["key"] == "p00"
    assert rows[0]["cos"] is None
    assert rows[0]["mode"] == "text"
    assert "no text side" in err
    assert "words alone" in err
    rows, _ = lines("search", out, "红色", "--text-only")
    assert [r["key"] for r in rows] == ["p02"]
    code, _, err = zcurate("search", out, "red bridge", "--vector-only")
    assert code == 2
    assert "no text side" in err
    code, text, _ = zcurate("search", out, "zebra")
    assert code == 0
    assert "nothing found" in text


def test_text_by_vector_and_words_with_a_real_encoder(build, lines, openclip_dir):
    out = build(f"openclip:{openclip_dir}")
    rows, err = lines("search", out, "a red bridge", "-k", "30", "--dropped")
    assert "note" not in err
    assert {r["mode"] for r in rows} == {"hybrid"}
    assert all(r["cos"] is not None and r["bm25"] is not None for r in rows)
    assert len(rows) == 23, "every sample, whatever its words"
    assert [r["score"] for r in rows] == sorted((r["score"] for r in rows), reverse=True)
    alone, _ = lines("search", out, "a red bridge", "-k", "30", "--dropped", "--vector-only")
    assert [r["cos"] for r in alone] == sorted((r["cos"] for r in alone), reverse=True)
    rank = {r["key"]: n for n, r in enumerate(alone, 1)}
    words, _ = lines("search", out, "a red bridge", "-k", "30", "--dropped", "--text-only")
    in_words = {r["key"]: n for n, r in enumerate(words, 1)}
    for r in rows:
        want = 1 / (60 + rank[r["key"]]) + (1 / (60 + in_words[r["key"]]) if r["key"] in in_words else 0)
        assert r["score"] == pytest.approx(want, abs=1e-6)


def test_filters_are_exact_and_never_cost_results(built, lines, zcurate):
    out, images = built
    everything, _ = lines("search", out, "--image", images / "p05.png", "-k", "100", "--dropped")
    for rule in ("width_px < 100", 'key in ("p07", "p08", "copy")', "sharpness > 3 and width_px >= 240"):
        found, _ = lines(
            "search", out, "--image", images / "p05.png", "-k", "100", "--dropped", "--where", rule
        )
        facts = json.loads(zcurate("whatif", out, "--rule", rule, "--json")[1])
        assert len(found) == facts["matched"]
        keys = {r["key"] for r in found}
        assert [r["key"] for r in found] == [r["key"] for r in everything if r["key"] in keys]
    code, _, err = zcurate("search", out, "red", "--where", "no_such_column > 1")
    assert code == 2
    assert "no_such_column" in err


def test_what_was_dropped_is_left_out_unless_asked_for(built, lines):
    out, images = built
    kept, _ = lines("search", out, "--image", images / "small.png", "-k", "100")
    every, _ = lines("search", out, "--image", images / "small.png", "-k", "100", "--dropped")
    assert len(kept) == 21, "without the small one and one of the two copies"
    assert {r["key"] for r in every} - {r["key"] for r in kept} == {
        "small",
        *({"p03", "copy"} - {r["key"] for r in kept}),
    }
    assert [r["kept"] for r in every[:1]] == [False]
    assert all(r["kept"] for r in kept)


def test_growth_updates_the_indexes_and_equals_a_rebuild(build, images, lines, tmp_path):
    out = build()
    before, _ = lines("search", out, "--image", images / "p05.png", "-k", "50")
    lines("search", out, "red")
    for i in range(30, 36):
        picture(i).save(images / f"p{i}.png")
    (images / "p30.txt").write_text("a red kite")
    build()
    after, _ = lines("search", out, "--image", images / "p05.png", "-k", "50")
    words, _ = lines("search", out, "red")
    assert len(after) == len(before) + 6
    assert "p30" in {r["key"] for r in words}
    vectors, texts = open_search(out).vectors.facts, open_search(out).texts.facts
    assert vectors["rows_encoded"] == 6
    assert texts["rows_split"] == 6
    shutil.rmtree(index_root(Dataset.open(out)))
    assert lines("search", out, "--image", images / "p05.png", "-k", "50")[0] == after
    assert lines("search", out, "red")[0] == words


def test_a_changed_and_a_vanished_file(build, images, lines):
    out = build()
    lines("search", out, "red")
    picture(77).save(images / "p00.png")
    (images / "p00.txt").write_text("a blue door")
    (images / "p01.png").unlink()
    (images / "p01.txt").unlink()
    build()
    assert lines("search", out, "red")[0] == []
    assert [r["key"] for r in lines("search", out, "door")[0]] == ["p00"]
    found, _ = lines("search", out, "--image", images / "p00.png", "-k", "50")
    assert found[0]["key"] == "p00"
    assert "p01" not in {r["key"] for r in found}
    assert [r["key"] for r in found].count("p00") == 1


def test_takedown_leaves_no_trace_in_results_or_index_files(build, images, lines, zcurate, tmp_path):
    out = build()
    (hit, *_), _ = lines("search", out, "village dawn")
    vector = open_search(out).vectors
    stored = bytes(np.asarray(vector.vectors[vector.position_of(bytes.fromhex(hit["sample_id"]))]))
    ids = tmp_path / "ids.txt"
    ids.write_text(hit["sample_id"] + "\n")
    assert zcurate("remove", out, "--ids", ids, "--reason", "asked for")[0] == 0
    assert hit["sample_id"] not in {r["sample_id"] for r in lines("search", out, "village dawn")[0]}
    found, _ = lines("search", out, "--image", images / "p03.png", "-k", "100", "--dropped")
    assert hit["sample_id"] not in {r["sample_id"] for r in found}
    forget_removed(str(out))
    twin = {"p03", "copy"} - {hit["key"]}
    held = [p for p in index_root(Dataset.open(out)).rglob("*") if p.is_file()]
    assert not [p for p in held if bytes.fromhex(hit["sample_id"]) in p.read_bytes()]
    if not twin & {r["key"] for r in found}:
        assert not [p for p in held if stored in p.read_bytes()]
    if hit["key"] == "p03":
        assert not [p for p in held if b"village" in p.read_bytes()]


def test_shards_of_two_encoders_are_refused_by_name(build, zcurate, images, openclip_dir):
    out = build()
    ours = sorted(out.glob("embedding/*/*.parquet"))
    build(f"openclip:{openclip_dir}")
    (theirs,) = {p.parent for p in out.glob("embedding/*/*.parquet")} - {ours[0].parent}
    (theirs / ours[-1].name).write_bytes(ours[-1].read_bytes())
    code, _, err = zcurate("search", out, "--image", images / "p05.png")
    assert code == 1
    assert f"{ours[-1].stem}: embedded by embedded" in err
    assert "openclip" in err
    assert "changed half-way" in err


def test_another_encoder_in_the_newest_run_that_has_not_run_yet(
    build, zcurate, images, openclip_dir, tmp_path
):
    out = build()
    model = f"openclip:{openclip_dir}"
    assert zcurate("run", "filter", out, "--engine", "inline", "--set", f"stages.embed.model={model}")[0] in (
        0,
        2,
        3,
    )
    spec = json.loads(sorted(out.glob("_runs/*.json"))[-1].read_text())
    spec["recipe"]["stages"]["embed"]["model"] = model
    (out / "_runs" / "99999999T000000000Z-ffffff.json").write_text(json.dumps(spec))
    code, _, err = zcurate("search", out, "--image", images / "p05.png")
    assert code == 1
    assert "embedded by embedded" in err
    assert "openclip" in err
    assert "zcurate build" in err


def test_queries_that_cannot_be_asked(built, zcurate, tmp_path):
    out, images = built
    dim = open_search(out).vectors.dim
    bad = {
        "nan": np.r_[np.ones(dim - 1), np.nan],
        "zero": np.zeros(dim),
        "short": np.ones(dim - 1),
        "words": np.array(["x"] * dim),
    }
    for name, value in bad.items():
        np.save(tmp_path / f"{name}.npy", value)
    np.save(tmp_path / "objects.npy", np.array([{}], object), allow_pickle=True)
    (tmp_path / "text.npy").write_text("not numpy")
    cases = {
        ("--vector", tmp_path / "nan.npy"): "NaN",
        ("--vector", tmp_path / "zero.npy"): "zero",
        ("--vector", tmp_path / "short.npy"): f"{dim - 1} dimensions",
        ("--vector", tmp_path / "words.npy"): "one vector",
        ("--vector", tmp_path / "objects.npy"): "objects.npy",
        ("--vector", tmp_path / "text.npy"): "text.npy",
        ("--vector", tmp_path / "absent.npy"): "absent.npy",
        ("--image", images / "broken.png"): "broken.png",
        ("--image", tmp_path / "absent.png"): "absent.png",
        ("--id", "ff" * 16): "no such sample",
        ("--id", "xyz"): "not a sample id",
        ("!?",): "no word",
        ("red", "--text-only", "--vector-only"): "exclude",
        ("--image", images / "p05.png", "--id", "ff" * 16): "one of them",
        (): "give a text",
        ("--batch", tmp_path / "absent.txt", "--out", tmp_path / "o"): "absent.txt",
        ("--batch", tmp_path / "absent.txt"): "--out",
        ("red", "--out", tmp_path / "o"): "--batch",
    }
    for arguments, message in cases.items():
        code, _, err = zcurate("search", out, *arguments)
        assert code == 2, (arguments, err)
        assert message in err, arguments


def test_bad_vectors_in_the_dataset_are_left_out_and_named(build, lines, images):
    out = build()
    (path,) = {p.parent for p in out.glob("embedding/*/*.parquet")}
    dataset = Dataset.open(out)
    group = f"embedding/{path.name}"
    shard = sorted(dataset.index(group).metas)[0]
    table, meta = dataset.read(group, shard), dataset.index(group).metas[shard]
    flat = table["vector"].combine_chunks()
    values = flat.flatten().to_numpy(zero_copy_only=False).reshape(len(flat) - flat.null_count, -1).copy()
    values[0], values[1, 3] = 0, np.nan
    rows = iter(values)
    column = pa.array([next(rows) if v.is_valid else None for v in flat], flat.type)
    dataset.commit(group, table.set_column(table.column_names.index("vector"), "vector", column), meta)
    found, err = lines("search", out, "--image", images / "p09.png", "-k", "100", "--dropped")
    assert len(found) == 23 - 2
    assert f"2 vectors hold NaN, infinity or only zeros (shard {shard}: 2)" in err


def test_datasets_with_nothing_to_search(zcurate, tmp_path, images):
    empty = tmp_path / "empty"
    empty.mkdir()
    out = tmp_path / "none"
    (tmp_path / "r.yaml").write_text(json.dumps(recipe(empty, out)))
    zcurate("build", tmp_path / "r.yaml", "--engine", "inline")
    code, _, err = zcurate("search", out, "red")
    assert code in (1, 2)
    assert str(out) in err or "empty" in err
    code, _, err = zcurate("search", tmp_path / "absent", "red")
    assert code == 1
    assert "no dataset here" in err
    raw = recipe(images, tmp_path / "plain")
    del raw["stages"]["embed"], raw["stages"]["dedup"]
    (tmp_path / "r.yaml").write_text(json.dumps(raw))
    zcurate("build", tmp_path / "r.yaml", "--engine", "inline")
    assert zcurate("search", tmp_path / "plain", "red")[0] == 0, "words need no embedding"
    code, _, err = zcurate("search", tmp_path / "plain", "--image", images / "p05.png")
    assert code == 1
    assert "no embed stage" in err


class Tags(HTMLParser):
    """The tags and scripts of a page."""

    def __init__(self):
        super().__init__()
        self.tags, self.scripts, self.inside = [], 0, False

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))


def test_pages_hold_pictures_and_no_one_elses_markup(built, zcurate, tmp_path):
    out, images = built
    code, _, err = zcurate("search", out, "script alert boom " + HOSTILE, "--html", tmp_path / "r.html")
    assert code == 0, err
    text = (tmp_path / "r.html").read_text()
    page = Tags()
    page.feed(text)
    assert HOSTILE not in text
    assert "&lt;script&gt;" in text
    assert "49" not in text.split("<main")[1].split("BM25")[0], "templates in texts are not run"
    assert sum(t == "script" for t, _ in page.tags) == 1, "the page's own"
    sources = [a["src"] for t, a in page.tags if t == "img"]
    assert sources
    assert all(s.startswith("data:image/jpeg;base64,") for s in sources)
    assert not [a for t, a in page.tags if t in ("link", "iframe") or "href" in a or "onerror" in a]
    code, printed, _ = zcurate("search", out, "script alert boom")
    assert "[bold]boom[/bold]" in printed, "markup of the terminal is text too"
    assert "\u202e" not in printed


def test_sensitive_pictures_are_veiled(built):
    from dataclasses import replace

    from zcurate.pipelines.search_pages import results_page

    out, images = built
    searcher = open_search(str(out))
    found = searcher.search(image=images / "p05.png", k=3)
    hits = (replace(found.hits[0], nsfw=True), *found.hits[1:])
    page = Tags()
    page.feed(results_page(searcher, "t", replace(found, hits=hits)))
    assert [a.get("class") for t, a in page.tags if t == "button"] == ["veil"]
    assert sum(t == "img" for t, _ in page.tags) == 3


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


def test_index_ahead_and_again(build, zcurate, lines):
    out = build()
    (facts,), _ = lines("index", out)
    assert facts["vectors"]["rows"] == 23
    assert facts["texts"]["rows"] == 24
    assert facts["vectors"]["encoder"].startswith("embedded")
    manifest = Path(facts["vectors"]["folder"]) / MANIFEST
    stamp = manifest.stat().st_mtime_ns
    assert zcurate("index", out)[0] == 0
    assert manifest.stat().st_mtime_ns == stamp
    assert zcurate("verify", out)[0] == 0
    assert zcurate("gc", out, "--delete")[0] == 0
    assert zcurate("index", out)[0] == 0


def test_the_python_api(built):
    out, images = built
    searcher = open_search(str(out))
    results = searcher.search("red", image=(images / "p05.png").read_bytes(), k=4, where="width_px > 100")
    assert results.mode == "hybrid"
    assert len(results.hits) == 4
    assert results.searched == 21
    with pytest.raises(ConfigError, match="mode"):
        searcher.search("red", mode="fuzzy")
    with pytest.raises(ConfigError, match="text"):
        searcher.search(image=images / "p05.png", mode="text")
    batch = searcher.batch(["red bridge", Query("q", image=images / "p05.png")], k=3)
    assert [len(a.hits) for a in batch.answers] == [2, 3]
    with pytest.raises(DatasetError):
        open_search("/nowhere/at/all")


def test_a_remote_dataset_is_indexed_in_the_users_cache(build, images, monkeypatch, tmp_path, lines):
    import fsspec

    out = build()
    local, _ = lines("search", out, "--image", images / "p05.png", "-k", "5")
    memory = fsspec.filesystem("memory")
    for path in sorted(p for p in out.rglob("*") if p.is_file() and "_index" not in p.parts):
        memory.pipe_file(f"/search-test/{path.relative_to(out)}", path.read_bytes())
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    try:
        remote, _ = lines("search", "memory://search-test", "--image", images / "p05.png", "-k", "5")
        assert remote == local
        assert lines("search", "memory://search-test", "red")[0] == lines("search", out, "red")[0]
        assert list((tmp_path / "cache/zcurate/search").rglob(MANIFEST))
        assert not [p for p in memory.find("/search-test") if "/search/" in p]
    finally:
        memory.rm("/search-test", recursive=True)


def test_two_processes_index_at_once(build, zcurate):
    out = build()
    command = [str(Path(sys.executable).parent / "zcurate"), "index", str(out), "--json"]
    both = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) for _ in range(2)]
    results = [p.communicate() for p in both]
    assert [p.returncode for p in both] == [0, 0], results
    first, second = (json.loads(o)["vectors"] for o, _ in results)
    assert first == second, "one built it, the other waited and opened it"
    assert not list(index_root(Dataset.open(out)).rglob(".tmp-*"))
