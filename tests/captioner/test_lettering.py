"""Agreement of strings: counts, order, scripts; and the spaces the recognizer almost wrote."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from zcurate.captioner.lettering import (
    Agreement,
    agreement,
    en_words,
    leaked,
    ordered_distance,
    zh_characters,
)
from zcurate.captioner.ocr.spaces import with_spaces


def test_tokens_are_words_and_characters():
    assert en_words("Don’t STOP：Ｃａｆé 3号楼 A1") == ["dont", "stop", "café", "3", "a1"]
    assert zh_characters("３号楼，Café 々〇") == ["号", "楼", "々", "〇"]


def test_agreement_counts_multisets():
    counts = agreement(["go go 你好你"], ["go 你你你"])
    assert counts["en"] == Agreement(1, 2, 1)
    assert counts["zh"] == Agreement(2, 3, 3)
    assert (counts["en"].recall, counts["en"].precision) == (0.5, 1.0)
    assert agreement([], [])["en"].recall is None


strings = st.text(st.characters(codec="utf-8"), max_size=30)


@given(st.lists(strings, max_size=5), st.lists(strings, max_size=5))
def test_agreement_is_symmetric_and_bounded(a, b):
    there, back = agreement(a, b), agreement(b, a)
    for language in there:
        assert there[language].matched == back[language].matched
        assert there[language].matched <= min(there[language].reference, there[language].found)
    assert all(c.matched == c.reference for c in agreement(a, a).values())


def plain_distance(a: str, b: str) -> int:
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        above, row[0] = row[0], i
        for j, y in enumerate(b, 1):
            above, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, above + (x != y))
    return row[-1]


@given(st.text("abc中", max_size=12), st.text("abc中", max_size=12))
def test_ordered_distance_is_levenshtein(a, b):
    want = plain_distance(a, b) / max(len(a), len(b), 1)
    assert ordered_distance(a, b) == pytest.approx(want)
    assert ordered_distance(a, b) == ordered_distance(b, a)


def test_order_counts_and_blanks_do_not():
    assert ordered_distance("Open daily", "OPENDAILY") == 0
    assert ordered_distance("左右", "右左") > 0
    assert agreement(["左右"], ["右左"])["zh"].recall == 1


def test_leak_is_a_script_the_picture_does_not_have():
    assert leaked(["清晨面包"], ["Morning bread", "清晨", "24"]) == ["Morning bread"]
    assert leaked(["海风 Coffee"], ["Coffee", "海风"]) == []
    assert leaked(["24:00"], ["anything"]) == []


LETTERS = ["blank", "a", "b", "中", " "]


def columns(*steps: tuple[str, float]) -> np.ndarray:
    """One column per step: the best character, and the probability of a space beside it."""
    out = np.zeros((len(steps), len(LETTERS)))
    for row, (char, space) in zip(out, steps, strict=True):
        row[LETTERS.index(char) if char != "_" else 0] = 0.9 - space if char != " " else 0
        row[-1] = max(row[-1], space)
    return out


def test_a_likely_space_between_letters_is_written():
    assert with_spaces("ab", columns(("a", 0), ("_", 0.4), ("b", 0)), LETTERS) == "a b"
    assert with_spaces("ab", columns(("a", 0), ("_", 0.1), ("b", 0)), LETTERS) == "ab"
    assert with_spaces("a中", columns(("a", 0), ("_", 0.4), ("中", 0)), LETTERS) == "a中"
    assert with_spaces("a b", columns(("a", 0), (" ", 0.9), ("b", 0)), LETTERS) == "a b"
    assert with_spaces("other", columns(("a", 0), ("_", 0.4), ("b", 0)), LETTERS) == "other"
