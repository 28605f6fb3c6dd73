"""What a page is by its title, in many languages, and by its Wikidata id."""

import numpy as np
import pyarrow as pa
import pytest

from zcurate.graph import kinds


def kind_of(title, lang="en", category=False, wikidata=-1):
    none = np.zeros(1, bool)
    found = kinds.kinds_of(
        pa.array([title]), lang, np.array([category]), none, none, np.array([wikidata], np.int64)
    )
    return kinds.NAMES[found[0]]


@pytest.mark.parametrize(
    ("lang", "title", "expected"),
    [
        ("en", "9th century", "date"), ("en", "January 1", "date"), ("en", "1980s", "date"), ("en", "List of birds", "list"),
        ("en", "Mercury (disambiguation)", "disambiguation"), ("en", "Mercury (planet)", "article"), ("en", "Listeria", "article"),
        ("en", "Lista", "article"), ("en", "2001: A Space Odyssey", "article"), ("en", "1984 (novel)", "article"),
        ("en", "May Fourth Movement", "article"), ("en", "March", "date"), ("en", "Timeline of art", "list"),
        ("zh", "1998年", "date"), ("zh", "中国皇帝列表", "list"), ("zh", "水星 (消歧义)", "disambiguation"), ("zh", "年糕", "article"),
        ("it", "4 ottobre", "date"), ("it", "Lista di pittori", "list"), ("it", "Saturno (disambigua)", "disambiguation"),
        ("pt", "Século XIX", "date"), ("nl", "Lijst van vogels", "list"), ("nl", "19e eeuw", "date"), ("pl", "Lista ptaków", "list"),
        ("ru", "1812 год", "date"), ("ru", "Список птиц", "list"), ("ru", "Лук (значения)", "disambiguation"), ("ru", "Луковица", "article"),
        ("sv", "Lista över fåglar", "list"), ("ko", "1988년", "date"), ("ko", "새 목록", "list"), ("ko", "사과 (동음이의)", "disambiguation"),
        ("ch", "Lista na bariu", "list"), ("ch", "Guåhan", "article"), ("vi", "Sao (định hướng)", "disambiguation"),
    ],
)  # fmt: skip
def test_titles(lang, title, expected):
    assert kind_of(title, lang) == expected


@pytest.mark.parametrize(
    ("title", "expected"),
    [("User en-3", "maintenance"), ("User zh-Hans-CN", "maintenance"), ("Candidates for speedy deletion", "maintenance"),
     ("User interfaces", "category"), ("Kuttura", "category"), ("Birds", "category"), ("1990s births", "maintenance")],
)  # fmt: skip
@pytest.mark.parametrize("lang", ["en", "ch"])
def test_categories(title, expected, lang):
    assert kind_of(title, lang, category=True) == expected


def test_wikidata_knows_the_calendar_and_the_main_page_in_any_language():
    assert kind_of("Febreru", "ch", wikidata=109) == "date"
    assert kind_of("Lunes", "ch", wikidata=105) == "date"
    assert kind_of("Fanhaluman", "ch", wikidata=5296) == "maintenance"
    assert kind_of("Guåhan", "ch", wikidata=16635) == "article"
