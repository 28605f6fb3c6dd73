"""Rules over tables: nulls, overrides, explain, what-if."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zcurate.curation.errors import ConfigError
from zcurate.curation.filters import compile_expression, decide, explain, parse_rules, whatif

TABLE = pa.table(
    {
        "sample_id": pa.array([bytes([i]) * 16 for i in range(1, 6)], pa.binary(16)),
        "samples.source": ["web-a", "web-b", "museum", "web-a", None],
        "profile.width_px": pa.array([100, 300, 500, None, 256], pa.int32()),
        "profile.height_px": pa.array([400, 300, 100, 10, 0], pa.int32()),
        "profile.border_variance": pa.array([1.0, float("nan"), 9.0, 2.0, None], pa.float32()),
        "profile.format": ["GIF", "JPEG", None, "BMP", "PNG"],
        "profile.has_icc": [True, False, None, False, True],
        "scores.tags": pa.array([["Cat", "dog"], [], None, ["dog", None], ["cat"]], pa.list_(pa.string())),
        "metadata.software": ["Adobe Photoshop 25.1", None, "", "GIMP", "photoshop"],
    }
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("width_px < 256", [True, False, False, None, False]),
        ("not width_px < 256", [False, True, True, None, True]),
        ("border_variance < 4", [True, None, False, True, None]),
        ("not border_variance < 4", [False, None, True, False, None]),
        ("border_variance is null", [False, True, False, False, True]),
        ("width_px < 256 or has_icc", [True, False, None, None, True]),
        ("height_px < 50 or width_px < 256", [True, False, False, True, True]),
        ('format in ("GIF", "BMP")', [True, False, None, True, False]),
        ('format not in ("GIF", "BMP")', [False, True, None, False, True]),
        ("aspect > 3", [True, False, True, None, None]),
        ("short_side_px < 256", [True, False, True, None, True]),
        ("pixels >= 90_000", [False, True, False, None, False]),
        ("width_px in (100, -5, 300)", [True, True, False, None, False]),
        ("max(width_px, height_px, 450) == 450", [True, True, False, None, True]),
        ("abs(width_px - height_px) / 2 >= 100 + 50", [True, False, True, None, False]),
        ("has_icc == false", [False, True, None, True, False]),
        ('"cat" in tags', [False, False, None, False, True]),
        ('"cat" in lower(tags)', [True, False, None, False, True]),
        ('"dog" not in tags', [False, True, None, False, True]),
        ('not "dog" in tags', [False, True, None, False, True]),
        ("count(tags) > 0", [True, False, None, True, True]),
        ("tags is null", [False, False, True, False, False]),
        ('"photoshop" in lower(software)', [True, None, False, False, True]),
        ('"Photoshop" not in software', [False, None, True, True, True]),
        ('software == ""', [False, None, True, False, False]),
        ('lower(format) == "gif" and "dog" in tags', [True, False, None, False, False]),
    ],
)
def test_evaluation(text, expected):
    assert compile_expression(text, TABLE.schema).evaluate(TABLE).to_pylist() == expected


WORDS = st.sampled_from(["a", "A", "b", "ab", "", "é", "É"])


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.one_of(st.none(), st.lists(st.one_of(st.none(), WORDS), max_size=4)), min_size=1, max_size=9),
    WORDS,
    st.integers(0, 8),
    st.integers(1, 9),
)
def test_lists_agree_with_python_however_they_are_sliced(lists, word, first, length):
    whole = pa.table({"tags": pa.array(lists, pa.list_(pa.string())), "text": [str(v) for v in lists]})
    chunked = pa.concat_tables([whole.slice(0, 3), whole.slice(3)])
    for table, rows in ((whole.slice(first, length), lists[first : first + length]), (chunked, lists)):
        for text, python in {
            f'"{word}" in tags': lambda v: word in v,
            f'"{word}" not in tags': lambda v: word not in v,
            f'"{word.lower()}" in lower(tags)': lambda v: (
                word.lower() in [s.lower() for s in v if s is not None]
            ),
            "count(tags) >= 2": lambda v: len(v) >= 2,
            "count(lower(tags)) >= 2": lambda v: len(v) >= 2,
        }.items():
            found = compile_expression(text, table.schema).evaluate(table).to_pylist()
            assert found == [None if v is None else python(v) for v in rows], text
        found = compile_expression(f'"{word}" in text', table.schema).evaluate(table).to_pylist()
        assert found == [word in str(v) for v in rows]


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.one_of(st.none(), st.integers(-50, 50)), min_size=1, max_size=8),
    st.sampled_from(["+", "-", "*", "/"]),
    st.integers(-9, 9),
)
def test_arithmetic_agrees_with_python(values, op, b):
    table = pa.table({"x": pa.array(values, pa.int32())})
    found = compile_expression(f"x {op} {b} > 3", table.schema).evaluate(table).to_pylist()
    calc = {"+": lambda a: a + b, "-": lambda a: a - b, "*": lambda a: a * b, "/": lambda a: a / b}[op]
    if op == "/" and b == 0:
        assert found == [None] * len(values)
    else:
        assert found == [None if v is None else calc(v) > 3 for v in values]


RULES = {
    "small": {"drop_if": "width_px < 256", "reason": "too small"},
    "flat": "border_variance < 4",
}


def test_decide_with_overrides():
    sources = {"web-*": {"small": {"drop_if": "width_px < 50"}}, "web-b": {"small": {"drop_if": "width_px < 301"}},
               "museum": {"small": False, "flat": {"drop_if": "border_variance < 10"}}}  # fmt: skip
    rules = parse_rules(RULES, TABLE.schema, sources)
    assert decide(TABLE, rules).to_pydict() == {
        "keep": [False, False, False, False, True],
        "reasons": [["flat"], ["small"], ["flat"], ["flat"], []],
    }
    assert decide(TABLE.slice(0, 0), rules).num_rows == 0
    verdicts = [(e.rule, e.verdict) for e in explain(TABLE.slice(2, 1).to_pylist()[0], rules, TABLE.schema)]
    assert verdicts == [("small", "off"), ("flat", "drop")]


def test_a_source_can_have_rules_of_its_own():
    sources = {
        "web-*": {
            "gif": {"drop_if": 'format == "GIF"', "reason": "no animations from the web"},
            "small": "off",
        },
        "web-b": {"gif": {"drop_if": "width_px > 200"}},
        "museum": {"dogs": {"drop_if": "tags is null", "reason": "untagged"}},
    }
    rules = parse_rules({"small": "width_px < 256"}, TABLE.schema, sources)
    assert [(r.name, r.drop_if is None) for r in rules.rules] == [
        ("small", False),
        ("gif", True),
        ("dogs", True),
    ]
    assert decide(TABLE, rules)["reasons"].to_pylist() == [["gif"], ["gif"], ["dogs"], [], []]
    assert "scores.tags" in rules.columns
    found = {
        e.rule: (e.verdict, e.reason) for e in explain(TABLE.slice(2, 1).to_pylist()[0], rules, TABLE.schema)
    }
    assert found == {
        "small": ("keep", ""),
        "gif": ("off", "no animations from the web"),
        "dogs": ("drop", "untagged"),
    }
    assert rules.config() != parse_rules({"small": "width_px < 256"}, TABLE.schema).config()
    off = parse_rules({"small": "width_px < 256"}, TABLE.schema, {**sources, "*": {"gif": False}})
    assert decide(TABLE, off)["reasons"].to_pylist() == [[], [], ["dogs"], [], []]
    alone = parse_rules({}, TABLE.schema, {"museum": sources["museum"]})
    assert decide(TABLE, alone)["reasons"].to_pylist() == [[], [], ["dogs"], [], []]


def test_explain_gives_values_and_thresholds():
    rules = parse_rules({"r": "width_px < 256 and not border_variance > 4"}, TABLE.schema)
    (one,) = explain(TABLE.slice(0, 1).to_pylist()[0], rules, TABLE.schema)
    assert one.verdict == "drop"
    assert [(c.value, c.op, c.threshold, c.holds) for c in one.checks] == [
        (100, "<", 256, True),
        (1.0, ">", 4, False),
    ]
    (missing,) = explain({"samples.source": "x"}, rules, TABLE.schema)
    assert missing.verdict == "unknown"


def test_config_changes_with_a_threshold_and_not_with_spelling():
    one = parse_rules(RULES, TABLE.schema, {"web-*": {"small": "off"}}).config()
    same = parse_rules(
        [{"name": "small", "drop_if": "( profile.width_px )<256.0"}, {"name": "flat", "drop_if": "border_variance<4"}],
        TABLE.schema,
        {"web-*": {"small": False}},
    ).config()  # fmt: skip
    other = parse_rules({**RULES, "flat": "border_variance < 5"}, TABLE.schema).config()
    assert one == same
    assert one != other


@pytest.mark.parametrize(
    ("rules", "sources", "message"),
    [
        ({"small": "widht_px < 3"}, {}, "rule 'small'"),
        ({"small": {"dorp_if": "width_px < 3"}}, {}, "expected {drop_if"),
        ({"small": {"drop_if": "width_px < 3", "resaon": "x"}}, {}, "unknown field 'resaon'"),
        (RULES, {"web": {"smal": False}}, "did you mean 'small'"),
        (RULES, {"web": {"smal": {"drop_if": "has_icc"}}}, "did you mean 'small'.*needs a reason"),
        ({}, {"web": {"new": "has_icc"}}, "there are none"),
        (RULES, {"web": {"a b": {"drop_if": "has_icc", "reason": "x"}}}, "rule name"),
        (RULES, {"web": {"new": {"drop_if": "has_ic", "reason": "x"}}}, r"sources\.web, rule 'new'"),
        ([{"name": "a", "drop_if": "has_icc"}] * 2, {}, "given twice"),
        ({"a b": "has_icc"}, {}, "rule name"),
    ],
)
def test_wrong_rules_are_named(rules, sources, message):
    with pytest.raises(ConfigError, match=message):
        parse_rules(rules, TABLE.schema, sources)


def test_whatif_counts_do_not_depend_on_batches():
    rng = np.random.default_rng(5)
    values = rng.normal(50, 20, 1000).round(2)
    table = pa.table(
        {
            "sample_id": pa.array([rng.bytes(16) for _ in values], pa.binary(16)),
            "samples.source": [f"s{i % 3}" for i in range(1000)],
            "profile.x": pa.array([None if i % 50 == 0 else v for i, v in enumerate(values)], pa.float64()),
        }
    )
    whole = whatif([table], "x < 40")
    parts = whatif([table.slice(0, 1), table.slice(1, 699), table.slice(700)], "x < 40")
    valid = np.array([v for v in table["profile.x"].to_pylist() if v is not None])
    assert whole.counts == parts.counts
    assert (whole.counts.total, whole.counts.null, whole.counts.matched) == (1000, 20, (valid < 40).sum())
    assert whole.per_source == parts.per_source
    assert sum(c.matched for c in whole.per_source.values()) == whole.counts.matched
    assert whole.examples == parts.examples
    assert len(whole.examples) == 12
    assert {e.matched for e in whole.examples} == {True, False}
    for found in (whole, parts):
        h = found.histogram
        assert h.edges[20] == 40
        assert h.counts.sum() + h.below + h.above == 980
        assert h.counts[:20].sum() + h.below == whole.counts.matched


def test_whatif_of_a_compound_or_text_condition_shows_what_matches():
    found = whatif([TABLE], 'format == "GIF" or width_px < 200')
    assert (found.counts.matched, found.histogram, found.threshold) == (1, None, None)
    assert [(e.sample_id, e.value, e.matched) for e in found.examples] == [(bytes([1]) * 16, None, True)]
    found = whatif([TABLE.slice(2), TABLE.slice(0, 2)], '"dog" in tags', n_examples=1)
    assert ([e.sample_id[0] for e in found.examples], found.counts.null) == ([1], 1)
    assert whatif([TABLE], 'format == "GIF"').histogram is None
    assert whatif([TABLE], "format == software").counts.matched == 0
    assert whatif([TABLE], "200 > width_px").threshold == 200
    with pytest.raises(ConfigError, match="no rows"):
        whatif([], "width_px < 3")


def test_elements_behind_a_null_are_none():
    """A list column may keep values in the place of a null; they belong to no row."""
    values = pa.array(["cat", "dog", "cat", "bird"])
    lists = pa.ListArray.from_arrays(
        pa.array([0, 1, 3, 4], pa.int32()), values, mask=pa.array([True, False, False])
    )
    table = pa.table({"tags": lists})
    for word, expected in (("cat", [None, True, False]), ("bird", [None, False, True])):
        found = compile_expression(f'"{word}" in tags', table.schema).evaluate(table)
        assert found.to_pylist() == expected
        found = compile_expression(f'"{word}" in lower(tags)', table.schema).evaluate(table)
        assert found.to_pylist() == expected
