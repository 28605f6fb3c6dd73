"""Words, BM25 against bm25s itself, updates, fusion of rankings, and what density means."""

import json

import bm25s
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zcurate.curation.errors import ConfigError
from zcurate.curation.retrieval.bm25 import TextSource, open_text_index, update_text_index
from zcurate.curation.retrieval.density import (
    DensityRules,
    density_of,
    percentile_of,
    verdict_of,
)
from zcurate.curation.retrieval.files import DamagedIndexError
from zcurate.curation.retrieval.hybrid import fuse
from zcurate.curation.retrieval.tokens import MAX_WORD_CHARS, query_words, words_of

WORDS = ["red", "bridge", "water", "a", "猫", "红色的桥", "Straße", "東京タワー", "x9"]
texts = st.lists(st.lists(st.sampled_from(WORDS), max_size=8).map(" ".join), min_size=1, max_size=12)


def sources(shards):
    return [TextSource(f"{n:03d}", "|".join(s), lambda s=s: s) for n, s in enumerate(shards)]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Red Circles, red.", ["red", "circles", "red"]),
        ("ＡＢＣ ﬁne CAFÉ Straße", ["abc", "fine", "café", "strasse"]),
        ("红色桥", ["红", "色", "桥", "红色", "色桥"]),
        ("IMG_0042 a1b2", ["img", "0042", "a1b2"]),
        ("猫cat犬", ["猫", "cat", "犬"]),
        ("<script>alert('x')</script>", ["script", "alert", "x", "script"]),
        ("\x00\u202e \u2028!?…", []),
        ("한국어", ["한", "국", "어", "한국", "국어"]),
    ],
)
def test_words(text, words):
    assert words_of(text) == words


def test_a_query_asks_for_pairs_and_for_single_characters_only_alone():
    assert query_words("红色桥 猫 RED red") == ["红色", "色桥", "猫", "red"]


@given(st.text(max_size=300))
def test_any_text_gives_words_of_bounded_length_and_finds_itself(text):
    words = words_of(text)
    assert all(0 < len(w) <= MAX_WORD_CHARS for w in words)
    assert set(query_words(text)) <= set(words)


def test_long_hostile_texts_are_cut():
    assert len(words_of("ﷺ" * 100_000)) < 200_000
    assert len(words_of("a" * 1_000_000)[0]) == MAX_WORD_CHARS


@settings(max_examples=30, deadline=None)
@given(st.lists(texts, min_size=1, max_size=4), st.lists(st.sampled_from(WORDS), min_size=1, max_size=4))
def test_scores_are_those_of_bm25s(tmp_path_factory, shards, query):
    index = update_text_index(tmp_path_factory.mktemp("t"), sources(shards), ["text"])
    documents = [words_of(t) for s in shards for t in s]
    if not any(documents):
        assert not index.search(" ".join(query), 5)[0].size
        return
    peer = bm25s.BM25(k1=1.2, b=0.75, method="lucene")
    peer.index(documents, show_progress=False)
    wanted = query_words(" ".join(query))
    known = peer.get_tokens_ids(wanted)
    want = peer.get_scores_from_ids(known) if known else np.zeros(len(documents))
    scores = index.scores(" ".join(query))
    assert np.allclose(scores, want, atol=1e-5)
    assert scores.max() <= index.ceiling(" ".join(query)) + 1e-5
    rows, best = index.search(" ".join(query), 3)
    assert np.array_equal(best, scores[rows])
    assert len(rows) == min(3, (scores > 0).sum())
    assert len(rows) == 0 or best[-1] >= np.delete(scores, rows).max(initial=0)


@settings(max_examples=20, deadline=None)
@given(st.lists(texts, min_size=2, max_size=4), st.data())
def test_updates_end_with_the_bytes_of_a_rebuild(tmp_path_factory, shards, data):
    a, b = tmp_path_factory.mktemp("a"), tmp_path_factory.mktemp("b")
    changed = data.draw(st.integers(0, len(shards) - 1))
    before = [["zebra crossing"] if n == changed else s for n, s in enumerate(shards)][
        : data.draw(st.integers(1, 4))
    ]
    update_text_index(a, sources(before), ["text"])
    update_text_index(a, sources(shards), ["text"])
    update_text_index(b, sources(shards), ["text"])

    def content(folder):
        manifest = json.loads((folder / "manifest.json").read_text())
        return {part: (folder / r["name"]).read_bytes() for part, r in manifest["files"].items()}

    assert content(a) == content(b)
    assert not any(b"zebra" in p.read_bytes() for p in a.iterdir()), "words of rows that are gone are gone"


def test_only_new_shards_are_split(tmp_path):
    update_text_index(tmp_path, sources([["red bridge"] * 5]), ["text"])
    index = update_text_index(tmp_path, sources([["red bridge"] * 5, ["blue"] * 3]), ["text"])
    assert index.facts["rows_split"] == 3
    again = update_text_index(tmp_path, sources([["red bridge"] * 5, ["blue"] * 3]), ["text", "more"])
    assert again.facts["rows_split"] == 8, "other fields are other texts"


def test_filters_and_ties(tmp_path):
    index = update_text_index(tmp_path, sources([["red"] * 6, ["blue"], ["red"]]), ["text"])
    assert index.search("red", 3)[0].tolist() == [0, 1, 2]
    allowed = np.array([False, True, False, True, False, True, True, True])
    assert index.search("red", 10, allowed)[0].tolist() == [1, 3, 5, 7]
    assert index.unknown("red zebra") == ["zebra"]
    with pytest.raises(ConfigError, match="no word"):
        index.search("!?", 3)
    assert index.search("zebra", 3)[0].size == 0


def test_damaged_files_are_noticed(tmp_path):
    update_text_index(tmp_path, sources([["red bridge", "red"]]), ["text"])
    for path in sorted(p for p in tmp_path.iterdir() if p.name not in ("lock", "manifest.json")):
        sound = path.read_bytes()
        path.write_bytes(sound[:-1] + bytes([sound[-1] ^ 1]))
        with pytest.raises(DamagedIndexError):
            open_text_index(tmp_path)
        index = update_text_index(tmp_path, sources([["red bridge", "red"]]), ["text"])
        assert index.search("red", 5)[0].tolist() == [1, 0]


def test_an_array_of_objects_is_not_loaded(tmp_path):
    """A .npy that holds pickled objects is refused even where all digests agree."""
    from zcurate.curation.retrieval.files import tag_of

    update_text_index(tmp_path, sources([["red bridge", "red"]]), ["text"])
    manifest = json.loads((tmp_path / "manifest.json").read_text())
    path = tmp_path / manifest["files"]["data"]["name"]
    np.save(path, np.array([{"a": 1}], object), allow_pickle=True)
    manifest["files"]["data"]["tag"] = tag_of(path)
    (tmp_path / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(DamagedIndexError, match=r"allow_pickle|[Oo]bject"):
        open_text_index(tmp_path)


def test_reciprocal_rank_fusion():
    rows, scores = fuse([np.array([5, 3, 9]), np.array([3, 7])], 10)
    assert rows.tolist() == [3, 5, 7, 9]
    assert scores[0] == pytest.approx(1 / 62 + 1 / 61)
    assert fuse([np.array([5, 3]), np.array([7, 8])], 1, [0.1, 1])[0].tolist() == [7]
    assert fuse([np.array([1]), np.array([2])], 2)[0].tolist() == [1, 2], "a tie goes to the earlier list"
    assert fuse([np.zeros(0, np.int64)], 3)[0].size == 0
    with pytest.raises(ValueError, match="weights"):
        fuse([np.array([1])], 1, [-1])


@given(st.lists(st.floats(-1, 1), min_size=1, max_size=30), st.floats(-1, 1))
def test_percentiles(reference, value):
    share = percentile_of(value, np.array(reference))
    assert 0 <= share <= 1
    assert percentile_of(2.0, np.array(reference)) == 1
    assert percentile_of(-2.0, np.array(reference)) == 0


def test_verdicts():
    rules = DensityRules(void_below=0.05, thin_below=0.2, poisoned_share=0.5)
    assert verdict_of(0.04, 1.0, 20, 0.1, rules) == "void"
    assert verdict_of(0.1, 1.0, 20, 0.1, rules) == "thin"
    assert verdict_of(0.9, 0.5, 20, 0.1, rules) == "poisoned"
    assert verdict_of(0.9, 0.4, 20, 0.1, rules) == "normal"
    assert verdict_of(None, 0.4, 20, 0.1, rules) == "unknown"
    assert verdict_of(None, 0.0, 0, 0.1, rules) == "void", "nothing found is nothing near"
    assert verdict_of(0.9, 0.55, 20, 0.5, rules) == "normal", (
        "no more than chance where half of all is flagged"
    )
    assert verdict_of(0.9, 0.75, 20, 0.5, rules) == "poisoned"
    assert verdict_of(0.9, 0.95, 20, 0.99, rules) == "poisoned", "where all is bad, all is poisoned"
    assert density_of(np.array([0.9]), 3) == pytest.approx(0.3), "missing neighbors count as far"
    with pytest.raises(ConfigError, match="void_below"):
        DensityRules(void_below=0.5, thin_below=0.1)
