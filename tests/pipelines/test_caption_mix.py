"""The text a sample is trained on: drawn by hash, in the shares asked for, the same in plans and exports."""

import json
import tarfile

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import xxhash
from hypothesis import given, settings
from hypothesis import strategies as st

from zcurate.curation.errors import ConfigError
from zcurate.curation.export import ParquetOptions, WebDatasetOptions, export_parquet, export_webdataset
from zcurate.pipelines.caption_mix import KINDS, check_mix, draw_kinds, has_kinds, texts_of
from zcurate.pipelines.exporting import with_drawn_kind
from zcurate.pipelines.recipe import ExportConfig, build_recipe, check_target

MIX = {"en_long": 0.6, "zh_user_prompts": 0.3, "text": 0.1}


def ids_of(n):
    return pa.array([xxhash.xxh3_128_digest(str(i).encode()) for i in range(n)], pa.binary(16))


def rows(n, **columns):
    """Rows as `export_rows` gives them."""
    table = {
        "sample_id": ids_of(n),
        "source": ["s"] * n,
        "uri": [f"{i}.png" for i in range(n)],
        "key": [str(i) for i in range(n)],
        "text": [f"alt {i}" for i in range(n)],
        "en_long": [f"A long caption {i}." for i in range(n)],
        "zh_user_prompts": [[f"提示{i}", f"另一个{i}"] for i in range(n)],
        "engine": ["openai"] * n,
        "placeholder": [False] * n,
    } | columns
    return pa.table(table)


def test_shares_are_met_and_follow_the_id_alone():
    n = 20_000
    has = np.ones((n, 3), bool)
    ids = ids_of(n)
    drawn = draw_kinds(MIX, has, ids, seed=3)
    for kind, share in MIX.items():
        sigma = (share * (1 - share) / n) ** 0.5
        assert abs(drawn.count(kind) / n - share) < 4 * sigma
    order = np.random.default_rng(0).permutation(n)
    assert draw_kinds(MIX, has, ids.take(pa.array(order)), seed=3) == [drawn[i] for i in order]
    other = draw_kinds(MIX, has, ids, seed=4)
    agree = sum(a == b for a, b in zip(drawn, other, strict=True)) / n
    expected = sum(s * s for s in MIX.values())
    assert abs(agree - expected) < 0.02  # another seed is another draw


def test_the_share_of_what_is_missing_goes_to_the_rest_in_proportion():
    n = 20_000
    has = np.ones((n, 3), bool)
    has[:, 2] = False
    drawn = draw_kinds(MIX, has, ids_of(n), seed=0)
    assert "text" not in drawn
    assert abs(drawn.count("en_long") / n - 0.6 / 0.9) < 0.015


@settings(max_examples=60, deadline=None)
@given(
    st.dictionaries(st.sampled_from(KINDS), st.floats(0, 10), min_size=1, max_size=6), st.integers(0, 2**32)
)
def test_only_kinds_that_are_there_and_wanted_are_drawn(mix, seed):
    n = 50
    has = np.random.default_rng(seed).random((n, len(mix))) < 0.5
    for i, kind in enumerate(draw_kinds(mix, has, ids_of(n), seed)):
        wanted = [k for j, k in enumerate(mix) if has[i, j] and mix[k] > 0]
        assert (kind in wanted) if wanted else kind is None


@pytest.mark.parametrize("export", ["webdataset", "parquet"])
def test_exports_hold_the_drawn_text_and_all_kinds(tmp_path, export):
    n = 400
    config = ExportConfig(format=export, out="x", caption_mix=MIX, caption_seed=1)
    table = rows(n, text=[None if i % 2 else f"alt {i}" for i in range(n)])
    drawn = list(with_drawn_kind([table.slice(0, 150), table.slice(150)], config))
    if export == "webdataset":
        export_webdataset(drawn, lambda *_: b"\x89PNG", tmp_path / "e", WebDatasetOptions(caption_mix=MIX))
        with tarfile.open(tmp_path / "e" / "00000.tar") as tar:
            read = {m.name: tar.extractfile(m).read().decode("utf-8", "replace") for m in tar}
        texts = [read[f"{i}.txt"] for i in range(n)]
        facts = [json.loads(read[f"{i}.json"]) for i in range(n)]
        assert all(f["captions"]["en_long"] and f["captions"]["zh_user_prompts"] for f in facts)
        kinds = pq.read_table(tmp_path / "e" / "index.parquet")["caption_kind"].to_pylist()
    else:
        export_parquet(drawn, None, tmp_path / "e", ParquetOptions(caption_mix=MIX))
        out = pq.read_table(tmp_path / "e" / "captions-00000.parquet")
        texts, kinds = out["caption"].to_pylist(), out["caption_kind"].to_pylist()
        assert None not in out["en_long"].to_pylist()
    assert json.loads((tmp_path / "e" / "export.json").read_text())["settings"]["caption_mix"] == MIX
    for i, (text, kind) in enumerate(zip(texts, kinds, strict=True)):
        given = {"en_long": [f"A long caption {i}."], "zh_user_prompts": [f"提示{i}", f"另一个{i}"]}
        assert text in given.get(kind, [f"alt {i}"])
    assert set(kinds) == set(MIX)
    assert not {i for i, k in enumerate(kinds) if k == "text" and i % 2}
    prompts = [t for t, k in zip(texts, kinds, strict=True) if k == "zh_user_prompts"]
    assert len({t[0] for t in prompts}) == 2, "not always the first prompt"


def test_placeholders_are_drawn_only_where_they_are_exported():
    table = rows(200, placeholder=[True] * 200)
    config = ExportConfig(format="parquet", out="x", caption_mix=MIX)
    (out,) = with_drawn_kind([table], config)
    assert set(out["caption_kind"].to_pylist()) == {"text"}
    (out,) = with_drawn_kind([table], config.model_copy(update={"include_placeholders": True}))
    assert set(out["caption_kind"].to_pylist()) == set(MIX)
    (out,) = with_drawn_kind([table], ExportConfig(format="parquet", out="x"))
    assert "caption_kind" not in out.column_names


def plan_table(placeholder):
    return pa.table(
        {
            "samples.text": ["a", None, "c", "d"],
            "captions.en_long": ["x", "y", " ", "w"],
            "captions.placeholder": [placeholder] * 4,
            "enhanced.prompt": ["p", "q", "r", "s"],
            "enhanced.status": ["enhanced", "refusal", "enhanced", None],
            "enhanced.lang": ["en", "en", "zh", None],
        }
    )


def has(table, kinds, placeholder):
    return has_kinds({k: texts_of(k, table) for k in kinds}, placeholder).tolist()


def test_an_enhanced_prompt_is_one_in_its_language():
    table = plan_table(False)
    kinds = ["en_enhanced", "zh_enhanced", "en_long", "text"]
    assert has(table, kinds, None) == [
        [True, False, True, True],
        [False, False, True, False],
        [False, True, False, True],
        [False, False, True, True],
    ]
    assert texts_of("zh_enhanced", table).to_pylist() == [None, None, "r", None]


def test_of_placeholders_only_the_alt_text_is_left():
    table = plan_table(True)
    left = has(table, ["en_enhanced", "en_long", "text"], table["captions.placeholder"])
    assert left == [[False, False, t is not None] for t in table["samples.text"].to_pylist()]


@pytest.mark.parametrize(
    ("mix", "message"),
    [
        ({"en_huge": 1}, "en_huge; kinds are en_long"),
        ({"en_long": -1}, "share is a number from 0"),
        ({"en_long": float("inf")}, "share is a number from 0"),
        ({"en_long": 0}, "all shares are 0"),
    ],
)
def test_wrong_mixes_are_named(mix, message):
    with pytest.raises(ConfigError, match=message):
        check_mix(mix, "here")
    with pytest.raises(ConfigError, match=f"export to x: caption_mix: .*{message}"):
        check_target(ExportConfig(format="parquet", out="x", caption_mix=mix))


def test_a_recipe_sets_the_mix_of_an_export():
    raw = {
        "name": "x",
        "dataset": "d",
        "stages": {},
        "export": [{"format": "parquet", "out": "e", "caption_mix": MIX}],
    }
    assert build_recipe(raw, "here", ["export.0.caption_mix.text=0.5"]).export[0].caption_mix["text"] == 0.5
