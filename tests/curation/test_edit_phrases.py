"""Instructions: every exact task can be said in both languages, truly and in one sentence."""

from __future__ import annotations

import re

import pytest

from zcurate.curation.edits.phrases import Names, Referent, UnspeakableError, instruct
from zcurate.curation.edits.spec import EditSpec, between

CUP = Referent("red cup", "红色杯子", "只", color="red")
BALL = Referent("orange ball", "橙色皮球")
MUG = {"sprite": "cup", "x": 0.1, "y": 0.9, "scale": 1}

#: (source state, target state, words of the English instruction, words of the Chinese one)
CASES = [
    ({}, {"object/0": MUG}, ("a red cup", "lower left"), ("一只红色杯子", "左下角")),
    ({"object/0": MUG}, {}, ("the red cup",), ("红色杯子",)),
    (
        {"object/0": MUG},
        {"object/0": {**MUG, "sprite": "ball"}},
        ("the red cup", "an orange ball"),
        ("橙色皮球",),
    ),
    ({"object/0": MUG}, {"object/0": {**MUG, "x": 0.9}}, ("to the lower right",), ("右下角",)),
    ({"object/0": MUG}, {"object/0": {**MUG, "x": 0.2}}, ("to the right",), ("向右",)),
    ({"object/0": MUG}, {"object/0": {**MUG, "scale": 2}}, ("much",), ("大",)),
    ({"object/0": MUG}, {"object/0": {**MUG, "scale": 0.8}}, ("smaller",), ("小",)),
    ({"object/0": MUG}, {"object/0": {**MUG, "flip": True}}, ("the red cup",), ("红色杯子",)),
    ({}, {"part/0": {"removed": True}}, ("the red cup",), ("红色杯子",)),
    ({}, {"part/0": {"hue": 120, "color": "green"}}, ("green",), ("绿色",)),
    ({"part/0": {"hue": 120, "color": "green"}}, {}, ("red",), ("红色",)),
    ({}, {"extract/0": {"part": 0, "ground": "white"}}, ("white background",), ("白色背景",)),
    ({}, {"background/0": "b"}, ("red cup",), ("红色杯子",)),
    ({}, {"weather/0": {"kind": "snow"}}, ("snow",), ("雪",)),
    ({"weather/0": {"kind": "fog"}}, {}, ("fog",), ("雾",)),
    ({}, {"light/0": {"name": "dusk"}}, ("dusk",), ("黄昏",)),
    ({"light/0": {"name": "dusk"}}, {}, ("light",), ("光",)),
    ({}, {"style/0": {"name": "film"}}, ("film",), ("胶片",)),
    ({"style/0": {"name": "film"}}, {}, ("photograph",), ("照片",)),
    ({"style/0": {"name": "film"}}, {"style/0": {"name": "cartoon"}}, ("cartoon",), ("卡通",)),
    ({"style/0": {"name": "sketch"}}, {}, ("sketch", "photograph"), ("素描", "照片")),
    ({}, {"photometric/brightness": 0.1}, ("bright", "slightly"), ("亮",)),
    ({"photometric/brightness": 0.3}, {}, ("dark",), ("暗",)),
    ({}, {"photometric/temperature": -0.2}, ("blue|cool",), ("冷",)),
    ({}, {"photometric/grey": 1}, ("black|gray|color",), ("黑白|灰度|色彩",)),
    ({"photometric/grey": 1}, {}, ("color",), ("色",)),
    ({"pixel/blur": 2.0}, {}, ("blur|focus",), ("模糊|清晰|焦",)),
    ({}, {"pixel/noise": 9}, ("nois|grain",), ("噪点|颗粒",)),
    ({"pixel/jpeg": {"strength": 0.8}}, {}, ("compression",), ("压缩",)),
    ({"pixel/downscale": 4}, {}, ("resolution",), ("分辨率|低清",)),
    ({}, {"geometry/0": {"op": "rotate", "degrees": 270}}, ("90", "counterclockwise"), ("逆时针", "90")),
    ({"geometry/0": {"op": "rotate", "degrees": 90}}, {}, ("90", "counterclockwise"), ("逆时针",)),
    ({"geometry/0": {"op": "flip", "axis": "vertical"}}, {}, ("vertically",), ("垂直",)),
    ({}, {"geometry/0": {"op": "crop", "x": 0.5, "y": 0.5}}, ("center",), ("中央",)),
    (
        {"geometry/0": {"op": "crop", "x": 0.5, "y": 0.5}},
        {},
        ("extend|zoom out|outpaint",),
        ("扩展|拉远|补全",),
    ),
]


def names_for(source, target):
    def called(state):
        slots = [
            s
            for s in {**source, **target}
            if s.partition("/")[0] in ("object", "part", "extract", "background")
        ]
        return {
            s: BALL if isinstance(state.get(s), dict) and state[s].get("sprite") == "ball" else CUP
            for s in slots
        }

    return Names(called(source), called(target))


@pytest.mark.parametrize(("source", "target", "en", "zh"), CASES)
@pytest.mark.parametrize("draw", [0, 1, 2])
def test_every_phrasing_says_what_was_done(source, target, en, zh, draw):
    spec = between(source, target)

    def choose(label, options):
        return options[draw % len(options)]

    for long in (False, True):
        english = instruct(spec, source, names_for(source, target), "en", choose, long)
        chinese = instruct(spec, source, names_for(source, target), "zh", choose, long)
        for words, text in ((en, english), (zh, chinese)):
            for word in words:
                assert re.search(word, text, re.I), (word, text)
        assert english[0].isupper()
        assert english.endswith(".")
        assert "  " not in english
        assert "{" not in english + chinese
        assert chinese.endswith("。")
        assert not re.search("[a-zA-Z]", chinese.replace("JPEG", ""))
        assert not re.search("[\u4e00-\u9fff]", english)


def test_several_changes_are_one_sentence_in_the_order_of_the_spec():
    source = {"pixel/blur": 2.0}
    target = {"object/0": MUG, "photometric/brightness": 0.3}
    spec = between(source, target, ("object/0", "photometric/brightness", "pixel/blur"))
    text = instruct(spec, source, names_for(source, target), "en", lambda label, options: options[0])
    assert re.search("Add.*bright.*blur", text)
    assert text.count(".") == 1


def test_a_thing_that_changes_twice_is_named_once():
    target = {"object/0": {**MUG, "x": 0.9, "scale": 2}}
    spec = between({"object/0": MUG}, target)
    names = names_for({"object/0": MUG}, target)
    for language, name in (("en", "red cup"), ("zh", "红色杯子")):
        text = instruct(spec, {"object/0": MUG}, names, language, lambda label, options: options[0])
        assert text.count(name) == 1, text


def test_what_has_no_name_is_not_guessed():
    spec = between({"object/0": MUG}, {})
    with pytest.raises(UnspeakableError, match="object/0"):
        instruct(spec, {"object/0": MUG}, Names(), "en", lambda label, options: options[0])
    with pytest.raises(UnspeakableError, match="nothing"):
        instruct(EditSpec(), {}, Names(), "en", lambda label, options: options[0])
