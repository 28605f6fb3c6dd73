"""What a search finds by image, text, vector and sample, under which filters; and what cannot be asked."""

import json

import numpy as np
import pytest

from zcurate.curation.errors import ConfigError, DatasetError
from zcurate.pipelines.search_queries import Query
from zcurate.pipelines.searching import open_search

from .search_dataset import build, built, images, lines, openclip_dir, recipe  # noqa: F401 - fixtures among them

# ruff: noqa: F811


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
        ("--id", "xyz"): "no such sample",
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
