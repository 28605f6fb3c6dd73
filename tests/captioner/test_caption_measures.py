"""What the caption report measures of single rows, and how it adds up."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zcurate.captioner.caption_measures import CaptionedRow, clip_scores, clip_sentences, measure
from zcurate.captioner.caption_report import Histogram, Tally, Thresholds
from zcurate.captioner.known_facts import KnownFacts

GOOD = {
    "en_long": 'A red wooden sign reading "清晨面包" stands before a gray wall in Lisbon. Below it, white letters read "Open 7:30".',
    "en_medium": "A red wooden sign stands before a gray wall in Lisbon, with two lines of text.",
    "en_short": "A red wooden sign before a gray wall in Lisbon.",
    "en_tags": ["red sign", "gray wall", "wooden sign", '"清晨面包"', '"Open 7:30"'],
    "en_user_prompts": ["red sign", "sign in Lisbon"],
    "zh_long": "一块写着“清晨面包”的红色木牌立在里斯本的灰墙前，下方的白色字母写着“Open 7:30”。",
    "zh_medium": "里斯本的一块红色木牌立在灰墙前，上面有两行文字。",
    "zh_short": "里斯本的红色木牌立在灰墙前。",
    "zh_tags": ["红色木牌", "灰墙", '"清晨面包"'],
    "zh_user_prompts": ["红色木牌", "灰墙前"],
    "ocr": [{"text": "清晨面包"}, {"text": "Open 7:30"}],
    "entities": [{"en": "Lisbon", "zh": "里斯本", "kind": "place", "source": "both"}],
    "finish_reason": "stop", "attempts": 2, "failures": [], "repaired": [], "model": "m", "tokens_in": 10,
    "tokens_out": 5, "placeholder": False,
}  # fmt: skip
READ = ["清晨面包", "Open 7:30"]
FACTS = KnownFacts({"file place": "Lisbon, Portugal"})


def of(changes=None, read=READ, truth=None, facts=FACTS):
    return measure(CaptionedRow(GOOD | (changes or {}), read, truth, facts))


def rate(m, name):
    part, whole = m.shares[name]
    return part / whole


def test_a_good_row_has_nothing_against_it():
    m = of(truth=READ)
    for (_, where, tokens), count in m.lettering.items():
        assert (count.recall, count.precision) == (1.0, 1.0), (where, tokens)
    for name in ("language_leak_long_en", "language_leak_model_ocr", "invented_quotes", "invented_entities",
                 "wrong_language_long", "subjective_long", "repetition", "no_end", "cut_at_last"):  # fmt: skip
        assert rate(m, name) == 0, name
    for name in ("entity_agreement", "tags_in_long_en", "tags_in_long_zh", "prompts_below_short"):
        assert rate(m, name) == 1, name
    assert rate(m, "world_knowledge_en_long") == 1
    assert rate(m, "world_knowledge_en_tags") == 0
    assert m.distances == {"ocr_stage": 0.0, "truth": 0.0}
    assert Thresholds().reasons(m) == {}


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"en_long": 'A red sign reading "Open 7:30" stands before a wall in Lisbon.'}, "missing_lettering"),
        ({"en_long": GOOD["en_long"] + ' A poster says "Sale".'}, "invented_quotes"),
        ({"en_long": GOOD["zh_long"]}, "wrong_language"),
        ({"zh_short": "A red wooden sign before a gray wall in Lisbon."}, "wrong_language"),
        (
            {"entities": [*GOOD["entities"], {"en": "Porto", "zh": "波尔图", "source": "visual"}]},
            "invented_entities",
        ),
        ({"en_long": GOOD["en_long"] + " The red sign stands there." * 9}, "repetition"),
        (
            {"en_long": GOOD["en_long"] + " It evokes a sense of calm, perhaps a stunning and serene mood."},
            "subjective",
        ),
    ],
)
def test_every_fault_is_a_reason_for_review(changes, reason):
    assert reason in Thresholds().reasons(of(changes))


def test_a_translation_leaks():
    m = measure(
        CaptionedRow(
            GOOD | {"en_long": 'A sign reading "Morning bread" on a gray wall.'}, ["清晨面包"], None, FACTS
        )
    )
    assert rate(m, "language_leak_long_en") == 1
    assert {"language_leak", "invented_quotes", "missing_lettering"} <= set(Thresholds().reasons(m))


def test_truth_outranks_the_other_reader():
    m = of(read=["something else entirely"], truth=READ)
    assert m.lettering["ocr_stage", "long_en", "en"].recall == 0
    assert "missing_lettering" not in Thresholds().reasons(m)


def test_nothing_is_said_where_nothing_was_read_or_named():
    m = of(
        {"entities": None, "ocr": None, "finish_reason": None, "attempts": None},
        read=None,
        facts=KnownFacts({}),
    )
    assert m.lettering == {}
    assert "invented_entities" not in m.shares
    assert "cut_at_last" not in m.shares
    one = of({f"zh_{k}": None for k in ("long", "medium", "short", "tags", "user_prompts")})
    assert ("zh", "long") not in one.lengths
    assert "entity_agreement" not in one.shares


def test_thresholds_can_be_moved_and_switched_off():
    m = of({"en_tags": ["red sign", "dragon"]})
    assert Thresholds().reasons(m) == {}
    assert Thresholds(tags_not_in_long=0.4).reasons(m) == {"tags_not_in_long": 0.5}
    bad = of({"en_long": GOOD["en_long"] + ' A poster says "Sale".'})
    assert Thresholds(invented_quotes=None).reasons(bad) == {}


def test_rows_add_up_in_any_order():
    rows = [of(), of({"en_long": 'A sign "Open 7:30".'}), of(read=["别的"])]
    summaries = []
    for order in (rows, rows[::-1]):
        tally = Tally()
        for m in order:
            tally.add(m, GOOD)
        summaries.append(tally.summary())
    assert summaries[0] == summaries[1]
    assert summaries[0]["rows"] == 3
    assert summaries[0]["tokens_out"] == 15
    long = summaries[0]["lettering"]["ocr_stage"]["long_en"]
    assert long["zh"]["reference"] == 10
    assert long["zh"]["recall"] == pytest.approx(4 / 10)


@settings(deadline=None)
@given(st.lists(st.integers(0, 40), min_size=1, max_size=60))
def test_percentiles_are_those_of_the_sorted_list(values):
    histogram = Histogram()
    for v in values:
        histogram.add(v)
    found, ordered = histogram.summary(), sorted(values)
    assert found["mean"] == pytest.approx(sum(values) / len(values))
    assert (found["min"], found["max"]) == (ordered[0], ordered[-1])
    assert found["p50"] == ordered[(len(values) + 1) // 2 - 1]


def test_clip_sentences_and_scores():
    assert clip_sentences("A red sign stands. It is. 一块红色的木牌立着。短。") == [
        "A red sign stands.",
        "一块红色的木牌立着。",
    ]
    assert clip_scores([0.4, -0.2]) == (1.0, 0.5)
