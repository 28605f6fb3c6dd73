"""What texts and zero-shot phrases say: language, the culture lexicon and its false friends, tags."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from zcurate.curation.scoring.culture import find_culture, lexicon
from zcurate.curation.scoring.semantics import Semantics, merged
from zcurate.curation.scoring.text import language_of
from zcurate.curation.scoring.zero_shot import CULTURE_FACET, ZeroShotTagger, tag_list

# --- language -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("A dog on a beach", "en"),
        ("Un café à Paris", "en"),
        ("海边的一只狗", "zh"),
        ("穿旗袍的女子 cheongsam", "zh"),
        ("The Great Wall (长城) of China in autumn", "en"),
        ("東京タワーの夜景", "other"),
        ("서울의 밤", "other"),
        ("iPhone 15 ケース", "other"),
        ("Tokyo Tower 東京タワー", "other"),
        ("A photo of the word ありがとう on a wall in Kyoto", "en"),
        ("列奥纳多・达・芬奇的画", "zh"),
        ("新品上市ー春装", "zh"),
        ("Красная площадь", "other"),
        ("12345 - !!", "other"),
        ("  ", None),
        (None, None),
    ],
)
def test_language_by_script(text, language):
    assert language_of(text) == language


@given(st.text())
def test_any_text_has_a_language_or_is_empty(text):
    assert language_of(text) in (("zh", "en", "other") if text.strip() else (None,))


# --- culture --------------------------------------------------------------------------------------


def test_every_word_of_the_lexicon_finds_its_entry():
    entries = lexicon()
    assert len(entries) >= 250
    assert len({e.id for e in entries}) == len(entries)
    assert len({e.category for e in entries}) >= 12
    for entry in entries:
        assert entry.zh, entry.id
        for word in (*entry.zh, *entry.zh_hant, *entry.en):
            assert entry.id in find_culture([word]), f"{word} does not find {entry.id}"
            assert entry.id in find_culture(
                [f"前面，{word}。" if word[0] > "z" else f"One {word.title()}, here"]
            )


def test_a_word_belongs_to_one_entry():
    owners: dict[str, str] = {}
    for entry in lexicon():
        for word in {*entry.zh, *entry.zh_hant, *(w.lower() for w in entry.en)}:
            assert owners.setdefault(word, entry.id) == entry.id, word


@pytest.mark.parametrize(
    ("text", "ids"),
    [
        ("一位穿汉服的女孩在苏州园林", ["hanfu", "suzhou_garden"]),
        ("京劇臉譜", ["opera_mask"]),
        ("端午节赛龙舟", ["dragon_boat_festival", "dragon_boat"]),
        ("Hot, steaming XIAOLONGBAO and jiao-zi", ["xiaolongbao"]),
        ("Peking-Duck at a restaurant", ["peking_duck"]),
        ("Giant pandas eating", ["panda"]),
        ("Pu-erh tea; ma jiang; Sun Wu Kong", ["puer", "sun_wukong"]),
        ("Ｈａｎｆｕ", ["hanfu"]),
        ("the Forbidden City’s roofs", ["forbidden_city"]),
        ("老宅影壁，肉包子，茶道具", ["baozi", "tea_ceremony", "screen_wall"]),
        ("十二生肖面塑", ["zodiac", "clay_figurine"]),
        ("a go board game on a table", ["weiqi"]),
        ("art of the Great Wall", ["great_wall"]),
    ],
)
def test_finds(text, ids):
    assert find_culture([text]) == ids


@pytest.mark.parametrize(
    "text",
    [
        "A china plate with dragon fruit",
        "Made in China",
        "恐龙玩具和火龙果，水龙头，尼龙",
        "凤凰城太阳队",
        "凤凰卫视",
        "武汉服装批发",
        "武漢服飾",
        "青春节拍",
        "北京剧院门口",
        "四川剧场",
        "越剧烈的运动",
        "中国结构设计",
        "复古风格连衣裙",
        "小熊猫",
        "red panda in a tree",
        "pandas dataframe tutorial",
        "国际象棋比赛",
        "跆拳道教练",
        "手工笔记本",
        "银行书面通知",
        "透明代码",
        "请填写联系人，核对联系方式",
        "青花椒鱼",
        "长城汽车哈弗",
        "Great Wall Motors",
        "Great wall art for the bedroom",
        "long men's jacket",
        "Hulu original series",
        "Yantai harbour",
        "Happy New Year picture",
        "Pokemon GO board game",
        "手机影壁纸",
        "电影壁画",
        "毕业生肖像",
        "牛肉包装袋",
        "牛肉包邮",
        "净菜包装",
        "共青团员",
        "公司福利是什么",
        "他的权利是平等的",
        "高血糖人群",
        "表面塑料膜",
        "巨无霸大汉堡",
        "奶茶道具",
        "空中医院",
        "男仕女装",
        "sushi and tempura",
        "Phoenix, Arizona",
        "",
    ],
)
def test_false_friends_find_nothing(text):
    assert find_culture([text]) == []


@given(st.lists(st.text(max_size=60), max_size=4))
def test_any_text_gives_known_ids_in_lexicon_order(texts):
    ids = [e.id for e in lexicon()]
    found = find_culture(texts)
    assert found == [i for i in ids if i in set(found)]


# --- zero-shot ------------------------------------------------------------------------------------


class Axes:
    """A text tower with an axis per phrase: a text lies on the axes of the words it holds."""

    def __init__(self, words):
        self.words = words
        self.seen: list[str] = []

    def encode_texts(self, texts):
        self.seen += texts
        out = np.array([[float(w in t) for w in self.words] + [0.5] for t in texts])
        return (out / np.linalg.norm(out, axis=1, keepdims=True)).astype(np.float32)


def test_tag_list_has_both_languages_and_culture():
    tags = tag_list()
    assert {t.facet for t in tags} == {"medium", "scene", "time", "subject", CULTURE_FACET}
    assert all(t.en and t.zh for t in tags)
    for facet in {t.facet for t in tags}:
        names = [t.name for t in tags if t.facet == facet]
        assert None in names, f"{facet} has no neutral line"
        assert len(set(names) - {None}) == len(names) - names.count(None)
    assert {t.name for t in tags if t.facet == CULTURE_FACET} - {None} <= {e.id for e in lexicon()}


def test_tags_that_stand_out_are_given():
    encoder = Axes(["a dog", "beach", "hanfu", "oil painting"])
    tagger = ZeroShotTagger(encoder, ["en"], 0.01, 0.3)
    images = np.zeros((3, 5))
    images[0, [0, 1]] = 0.7
    images[1, 2] = 1.0
    images[2, 4] = 1.0
    dog, hanfu, nothing = tagger.tags(images)
    assert set(dog) == {"dog", "beach"}
    assert hanfu == ["hanfu"]
    assert nothing == []
    p = tagger.probabilities(images)
    sizes = [sum(t.facet == f for t in tag_list()) for f in dict.fromkeys(t.facet for t in tag_list())]
    for part in np.split(p, np.cumsum(sizes)[:-1], axis=1):
        np.testing.assert_allclose(part.sum(axis=1), 1)


def test_languages_choose_the_phrases():
    encoder = Axes(["x"])
    ZeroShotTagger(encoder, ["zh"], 0.01, 0.3)
    assert any("汉服" in t for t in encoder.seen)
    assert not any("hanfu" in t for t in encoder.seen)
    both = Axes(["x"])
    ZeroShotTagger(both, ["zh", "en"], 0.01, 0.3)
    assert len(both.seen) == 2 * len(encoder.seen)


def test_findings_are_merged():
    a = Semantics(tags=("dog",), faces=2)
    b = Semantics(tags=("cat", "dog"), faces=3, culture=("hanfu",))
    assert merged(a, b) == Semantics(tags=("dog", "cat"), faces=2, culture=("hanfu",))
    assert merged(Semantics(faces=0), b).faces == 0
    assert merged() == Semantics()
    assert merged(Semantics(), Semantics(tags=())).tags == ()
